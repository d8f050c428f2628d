"""
Under which conditions it was measured: what was asked for, and on which machine.
"""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from msgserver.loadtest.plan import Plan
from msgserver.loadtest.units import percent, span


def optionsOf(plan: Plan, processes: int) -> dict[str, str]:
    """Tell what was asked for, by the names of the command's options; no secret is among it."""
    target = plan.target
    load = {"rate": f"{plan.rate:,g}/s"} if plan.isOpen else {"in-flight": f"{plan.inFlight:,}"}
    told = {
        "login": target.login,
        "gate": target.gate,
        "server": target.server,
        "user": target.user,
        "suite": "classic" if target.isClassic else "modern",
        "tls": "yes" if target.usesTLS else "no",
        "users": f"{plan.users:,}",
        "connections": f"{plan.connections:,}",
        "turn": f"{plan.turn:g} s",
        **load,
        "size": span(*(f"{each:,}" for each in plan.size)) + " bytes",
        "think": "none"
        if not plan.think[1]
        else span(*(f"{each:g}" for each in plan.think)) + " s",
        "cuts": f"{percent(plan.cuts, 1)} of the connections each second",
        "ramp": f"{plan.ramp:g} s",
        "duration": f"{plan.duration:g} s",
        "grace": f"{plan.grace:g} s",
        "request": plan.template,
        "expect": plan.expect,
        "processes": f"{processes:,}",
        "seed": str(plan.seed),
    }
    if plan.isOpen:
        del told["think"]
    if not plan.takesTurns:
        del told["turn"]
    return told


def machine() -> dict[str, str]:
    """Tell what the tester runs on."""
    return {
        "machine": f"{platform.machine()}, {coresOf()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        **{name: versionOf(name) for name in ("msgserver", "twisted", "hdrhistogram")},
    }


def coresOf() -> int:
    """Tell how many cores this process may have."""
    # Fewer than there are, by taskset or in a container. Not every system tells.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def versionOf(name: str) -> str:
    """Tell which version of a package is installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
