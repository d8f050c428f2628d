"""What is printed of attacks: Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.attacks.honest import LOGIN, RECONNECT, REQUEST
from tests.attacks.runs import Report
from tests.attacks.verdict import mib

_KINDS = (REQUEST, RECONNECT, LOGIN)

_HEAD = (
    "| | RSS MiB | descriptors | CPU % | requests, ms | reconnects, ms | logins, ms | lost |\n"
    "|---|---|---|---|---|---|---|---|"
)

NOTES = """\
Of requests, reconnects (from the drop to the next answer) and logins (from the first connection to
the first answer): the median / the 99th percentile / the longest, and in brackets how many. RSS and
descriptors: the most in that time. Attacker and user run on the same machine as the server.
"""


def spread(seconds: Sequence[float]) -> str:
    """Write durations: in milliseconds, and how many there are."""
    if not seconds:
        return "none"
    ordered = sorted(seconds)
    shown = (ordered[min(len(ordered) - 1, int(len(ordered) * part))] for part in (0.5, 0.99, 1))
    return " / ".join(f"{each * 1000:,.0f}" for each in shown) + f" ({len(ordered):,})"


def table(report: Report) -> str:
    """Write all of one attack."""
    lines = [f"### {report.name}: {report.about}", "", _HEAD]
    for name, period in report.seen.periods.items():
        experience = report.seen.experiences[name]
        cells = [
            name,
            mib(period.memory),
            f"{period.descriptors:,}",
            f"{period.cpu * 100:.0f}",
            *(spread(experience.seconds[kind]) for kind in _KINDS),
            str(experience.lost),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        f"The attacker: {_told(report.counts)}.",
        f"Descriptors: {_recovered(report.seen.recovery)}; memory in use in the end:"
        f" {mib(report.seen.left)} MiB; log: {len(report.seen.log):,} characters.",
    ]
    tried = {
        name: {what: n for what, n in experience.counts.items() if n and ":" in what}
        for name, experience in report.seen.experiences.items()
    }
    lines += [
        f"The user had to try again {name}: {_told(what)}." for name, what in tried.items() if what
    ]
    lines += [f"FAULT: {fault}" for fault in report.faults] or ["All is well."]
    return "\n".join([*lines, ""])


def _recovered(seconds: float | None) -> str:
    return "never free again" if seconds is None else f"free again after {seconds:.1f} s"


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{what} {n:,}" for what, n in sorted(counts.items())) or "nothing"
