"""
The report as a page of HTML: one file, which needs no other and no network.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from msgserver.loadtest.charts import overTime, percentiles
from msgserver.loadtest.conditions import optionsOf
from msgserver.loadtest.figures import Figures
from msgserver.loadtest.report import HEAD, caution, cells, facts, latencyRows
from msgserver.loadtest.statuses import NAME, Status
from msgserver.loadtest.units import seconds

_CSS = """
:root { color-scheme: light; --ink: #1f2933; --faint: #616e7c; --line: #e4e7eb; }
* { box-sizing: border-box; }
body { margin: 0; background: #f5f7fa; color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 28px 20px 48px; }
h1 { font-size: 22px; margin: 0; }
h2 { font-size: 16px; margin: 0 0 10px; }
.when { color: var(--faint); margin: 2px 0 16px; }
.verdict { padding: 12px 16px; border-radius: 8px; font-weight: 600; margin: 0 0 10px; }
.good { background: #e3f4ea; color: #1d5c3a; }
.bad { background: #fbe6e6; color: #8a1f1f; }
.note { background: #fff4e0; color: #7a4a0b; padding: 8px 16px; border-radius: 8px;
  margin: 0 0 10px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 10px;
  margin: 16px 0; }
.tile, section { background: #fff; border: 1px solid var(--line); border-radius: 8px; }
.tile { padding: 10px 14px; }
.tile b { display: block; font-size: 23px; line-height: 1.25; }
.tile span { color: var(--faint); font-size: 13px; }
section { padding: 16px 18px; margin: 14px 0; overflow-x: auto; }
section svg { display: block; width: 100%; height: auto; }
section table + svg { margin-top: 14px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
thead th { color: var(--faint); font-weight: 500; font-size: 13px; }
tbody th { font-weight: 500; white-space: nowrap; }
tr:last-child > * { border-bottom: 0; }
.numbers td, .numbers thead th:not(:first-child) { text-align: right; white-space: nowrap; }
code { font: 13px ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.method { color: var(--faint); font-size: 13.5px; margin: 10px 0 0; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(380px, 1fr)); gap: 0 14px;
  align-items: start; }
"""


_GREY = (
    '<p class="method">Grey is not measured: users come, or the last answers are waited for.</p>'
)


def page(figures: Figures) -> str:
    """Write the page."""
    isVerified = figures.status == Status.VERIFIED
    body = [
        f"<h1>{NAME}</h1>",
        f'<p class="when">{escape(_when(figures))}</p>',
        f'<p class="verdict {"good" if isVerified else "bad"}">{escape(figures.verdict)}</p>',
        *(f'<p class="note">{escape(note)}</p>' for note in figures.notes),
        _tiles(figures),
        _section("Over time", overTime(figures), _GREY),
        _section("Latency", _latencies(figures), percentiles(figures), _method(figures)),
        *_troubles(figures),
        '<div class="pair">',
        _section("Counts", _pairs(facts(figures))),
        _section("Machine of the tester", _pairs(figures.machine.items())),
        "</div>",
        _section("Options", _options(figures)),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{NAME}, {escape(figures.began)}</title>\n<style>{_CSS}</style>\n</head>\n"
        "<body>\n<main>\n" + "\n".join(body) + "\n</main>\n</body>\n</html>\n"
    )


def _when(figures: Figures) -> str:
    plan = figures.plan
    users = f"{plan.users:,} users"
    if plan.takesTurns:
        users += f", {plan.connections:,} of them connected at a time,"
    measured = f"{users} for {seconds(figures.results.seconds)}"
    return f"{figures.began.replace('T', ' ')}: {measured}, at {plan.target.login}"


def _tiles(figures: Figures) -> str:
    counts, latencies = figures.results.counts, figures.results.latencies
    tiles = [
        (f"{figures.rate:,.0f}", "requests a second"),
        (seconds(latencies["all"].percentile(50)), "latency, half of them (p50)"),
        (seconds(latencies["all"].percentile(99)), "latency, all but 1 % (p99)"),
        (seconds(latencies["all"].max), "the longest"),
        (f"{counts['cuts']:,}", "connections cut"),
    ]
    if latencies["back"].count:
        tiles.append((seconds(latencies["back"].percentile(50)), "to be back (p50)"))
    written = (f'<div class="tile"><b>{a}</b><span>{escape(b)}</span></div>' for a, b in tiles)
    return f'<div class="tiles">{"".join(written)}</div>'


def _latencies(figures: Figures) -> str:
    rows = [[title, *cells(each)] for title, each in latencyRows(figures)]
    return _table(["", *HEAD], rows)


def _method(figures: Figures) -> str:
    return f'<p class="method">{escape(f"{figures.method} {caution(figures)}".rstrip())}</p>'


def _troubles(figures: Figures) -> list[str]:
    """Write what went wrong, if anything did."""
    found = []
    if examples := figures.results.examples:
        rows = [
            [each.kind, each.user, str(each.number or ""), each.asked, each.told]
            for each in examples
        ]
        found.append(_section("Examples", _table(["", "user", "number", "asked", "told"], rows)))
    if reasons := figures.results.reasons.most_common():
        pairs = [(f"{count:,}", reason) for reason, count in reasons]
        found.append(_section("Failed attempts to connect or to log in", _pairs(pairs)))
    return found


def _options(figures: Figures) -> str:
    pairs = list(optionsOf(figures.plan, figures.processes).items())
    half = (len(pairs) + 1) // 2
    columns = _pairs(pairs[:half], "code") + _pairs(pairs[half:], "code")
    return f'<div class="pair">{columns}</div>'


def _section(title: str, *parts: str) -> str:
    return f"<section><h2>{escape(title)}</h2>\n{''.join(parts)}</section>"


def _pairs(pairs: Iterable[tuple[str, str]], kind: str = "span") -> str:
    rows = (
        f"<tr><th>{escape(name)}</th><td><{kind}>{escape(value)}</{kind}></td></tr>"
        for name, value in pairs
    )
    return f"<table><tbody>{''.join(rows)}</tbody></table>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    isNumbers = len(head) == len(HEAD) + 1
    cells = (
        f"<tr><th>{escape(row[0])}</th>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    titles = "".join(f"<th>{escape(name)}</th>" for name in head)
    kind = ' class="numbers"' if isNumbers else ""
    return f"<table{kind}><thead><tr>{titles}</tr></thead><tbody>{''.join(cells)}</tbody></table>"
