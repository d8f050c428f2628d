"""What is printed of runs."""

from __future__ import annotations

from collections.abc import Sequence

from tests.chaos.runs import Report

_CASES_SHOWN = 5
"""Of each kind of case, how many are told in full."""

_MEGABYTE = 1024 * 1024

NOTES = """\
replays: answers that were made before the connection that brought them; so they were kept, and sent
  again. A few more there may be, made while a connection was being accepted.
handed over: answers to what an earlier connection asked, made for a later one (S6).
reconnections: handshakes that the gate accepted of a login that it had accepted one of before.
"""


def figuresOf(report: Report) -> dict[str, str]:
    """Give all figures of a run, by what they are."""
    verdict, counts = report.verdict, report.counts
    before, after = report.before, report.after
    numbers = {
        "connections through the proxy": report.faults["connections"],
        **{name: n for name, n in sorted(report.faults.items()) if name != "connections" and n},
        "logins": counts["logins"],
        "attempts to connect to the gate": counts["attempts"],
        "reconnections": counts["reconnections"],
        "requests sent": verdict.sent,
        "requests asked again": counts["asked again"],
        "executed": verdict.executed,
        "answered": verdict.answered,
        "of these, logouts": counts["logouts"],
        "failed as ordered": verdict.failed,
        "outcome unknown": verdict.unknown,
        "replays": counts["replays"],
        "handed over": counts["handed over"],
        "duplicates": len(verdict.duplicates),
        "lost": len(verdict.lost),
        "wrong": len(verdict.wrong),
        "logs with a traceback": len(report.tracebacks),
    }
    return {
        **{name: f"{number:,}" for name, number in numbers.items()},
        "memory of the gate (MiB)": _change(before.memory, after.memory, _MEGABYTE),
        "descriptors of the gate": _change(before.descriptors, after.descriptors, 1),
        **report.figures,
    }


def table(report: Report) -> str:
    """Write a run's figures, a line each."""
    figures = figuresOf(report)
    width = max(map(len, figures))
    lines = [f"  {name.ljust(width)}  {figure:>12}" for name, figure in figures.items()]
    return "\n".join([report.title, *lines, *filter(None, [report.remark])])


def casesOf(report: Report) -> list[str]:
    """Write the first few cases of each kind in full; nothing where all is well."""
    verdict = report.verdict
    kinds: dict[str, Sequence[str]] = {
        "duplicate": verdict.duplicates,
        "lost": verdict.lost,
        "wrong": verdict.wrong,
        "log": report.tracebacks,
    }
    lines = []
    for kind, cases in kinds.items():
        lines += [f"{kind}: {case}" for case in cases[:_CASES_SHOWN]]
        if len(cases) > _CASES_SHOWN:
            lines.append(f"{kind}: and {len(cases) - _CASES_SHOWN} more")
    if report.hasLeaked:
        lines.append("descriptors: the gate has more of them open than before the first client")
    return lines


def _change(before: int, after: int, unit: int) -> str:
    return f"{before // unit:,} -> {after // unit:,}"
