"""
What the site has beside the pages as they stand: what is made from the code, and the tables of
contents.

A page says where in a comment, which no other reader of Markdown shows: C{<!-- site: metrics -->}.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from importlib import import_module
from inspect import getdoc
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from pygments.lexers.special import TextLexer  # type: ignore[import-untyped]
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.intersphinx import InventoryAdapter
from twisted.internet.address import IPv4Address
from twisted.internet.testing import MemoryReactorClock, StringTransport

from msgserver.config import Setting, settings
from msgserver.configfile import loadConfig
from msgserver.handlers import Agent
from msgserver.tap import assemble

_COMMENT = re.compile(r"^<!-- site: (\w+) ?(\S*) -->$", re.MULTILINE)
_HEADING = re.compile(r"^###? (.+)$", re.MULTILINE)
_ENTRY = re.compile(r"\[([^\]]+)\]\(([^)#]+\.md)\)")

_FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_CHINESE = r"\u3000-\u303f\u4e00-\u9fff\uff00-\uffef\u201c\u201d"
_BROKEN = re.compile(
    rf"(?<=[{_CHINESE})])\n *(?=[{_CHINESE}])|(?<=[，。；：、？！）])\n *(?=[A-Za-z`\[(]|\*\S)"
)

_PLAIN = ("haproxy", "commands")
"""The languages of blocks that Pygments does not know, and nothing is to be coloured of."""

_OPS_PORT = 8003
_CONFIG = """
[login]
handler = "msgserver.handlers:PasswordLoginHandler"
handler_options = { servers = ["sample"], users = {} }
[login.control]
gates.sample = "a key for one reading"
[gate]
servername = "sample"
handler = "msgserver.handlers:AgentHandler"
handler_options = { agentFactory = "sitepages:SilentAgent" }
[ops]
"""
_LINK = """
[gate.login]
key = "a key for one reading"
"""


def settingsOf(section: str) -> str:
    """
    Write the settings of a section, each as an entry that can be linked to.

    @param section: as a file has it, such as C{gate.login}.
    @raise KeyError: there is no such section.
    """
    entries = [_entryOf(each) for each in settings() if each.section == section]
    if not entries:
        raise KeyError(section)
    return "\n".join(entries)


def _entryOf(setting: Setting) -> str:
    lines = [
        f":::{{setting}} {setting.section}.{setting.key}",
        setting.doc,
        "",
        f"- Allowed: {setting.range}",
        "- Required" if setting.isRequired else f"- Default: `{setting.defaultText}`",
    ]
    if setting.unit:
        lines[-1] += f", in {setting.unit}"
    if setting.isLimit:
        lines.append("- A limit: [what happens past it](../../README.md#limits)")
    return "\n".join([*lines, ":::", ""])


def metrics() -> str:
    """Write the metrics of a process that has all parts, as it tells of them itself."""
    return "\n".join(_metricOf(*each) for each in metricsOf())


def metricsOf() -> Iterator[tuple[str, str, str, list[str]]]:
    """Give the name, kind, meaning and labels of each metric that there is."""
    families: dict[str, Metric] = {}
    # A gate registers with a login server beside it, or elsewhere, and has metrics for either.
    for config in (_CONFIG, _CONFIG + _LINK):
        for family in text_string_to_metric_families(_scrape(config)):
            known = families.setdefault(family.name, family)
            known.samples = known.samples or family.samples
    for name, family in families.items():
        if name.startswith("msgserver_"):
            labels = dict.fromkeys(label for each in family.samples for label in each.labels)
            shown = f"{name}_total" if family.type == "counter" else name
            yield shown, family.type, family.documentation, [x for x in labels if x != "le"]


def _metricOf(name: str, kind: str, text: str, labels: list[str]) -> str:
    shown = ", ".join(f"`{label}`" for label in labels) or "none"
    lines = [f":::{{metric}} {name}", text, "", f"- Kind: {kind}", f"- Labels: {shown}"]
    return "\n".join([*lines, ":::", ""])


def _scrape(config: str) -> str:
    """Run a server in memory, and ask it for its metrics."""
    reactor = MemoryReactorClock()
    with TemporaryDirectory() as folder:
        file = Path(folder, "all.toml")
        file.write_text(config)
        servers = assemble(loadConfig(str(file), reactor), reactor)
    servers.startService()
    reactor.advance(1)
    (factory,) = (entry[1] for entry in reactor.tcpServers if entry[0] == _OPS_PORT)
    protocol = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
    assert protocol is not None
    transport = StringTransport()
    protocol.makeConnection(transport)
    protocol.dataReceived(b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n")
    servers.stopService()
    answer: bytes = transport.value()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    return body.decode()


def namesOf(module: str, known: Collection[str]) -> str:
    """
    Write a table of the public names of a module, each with its first sentence.

    @param known: the names that pydoctor has made pages of.
    """
    rows = ["| name | what it is |", "|---|---|"]
    for name, value in _publicOf(import_module(module)):
        doc = _plain((getdoc(value) or "").split("\n\n")[0])
        # The first sentence is all; the rest is on the page that it leads to.
        sentence = " ".join(doc.split()).partition(". ")[0].rstrip(".")
        rows.append(f"| {{any}}`{name} <{_pageOf(name, value, known)}>` | {sentence} |")
    return "\n".join(rows)


def _publicOf(module: ModuleType) -> list[tuple[str, Any]]:
    named = getattr(module, "__all__", None)
    found = [(name, getattr(module, name)) for name in named or vars(module)]
    return [
        (name, value)
        for name, value in found
        if named or (getattr(value, "__module__", "") == module.__name__ and name[0] != "_")
    ]


def _pageOf(name: str, value: Any, known: Collection[str]) -> str:
    """Find where pydoctor has put what may be imported from several modules."""
    path = value.__module__.split(".")
    places = [".".join([*path[:length], name]) for length in range(1, len(path) + 1)]
    return next((place for place in places if place in known), places[-1])


def _plain(text: str) -> str:
    return re.sub(r"[LCIB]\{([^}]*)\}", r"`\1`", text)


class SilentAgent(Agent):
    """What stands behind the gate that is asked for its metrics."""

    def request(self, content: bytes) -> bytes:
        """Answer nothing: nobody asks."""
        return b""


def contents(text: str) -> str:
    """
    Write the hidden tables of contents of the front page: its own lists, heading by heading.

    So whoever adds a page to the front page has added it to the site, and nobody lists it twice.
    """
    parts = _HEADING.split(text)[1:]
    tables = []
    for heading, section in zip(parts[::2], parts[1::2], strict=True):
        # What is called after the project is known by what the link says.
        entries = [
            f"{title} <{page}>" if page == "../README.md" else page
            for title, page in _ENTRY.findall(section)
        ]
        lines = [":::{toctree}", ":hidden:", f":caption: {heading}", "", *entries, ":::", ""]
        if entries:
            tables.append("\n".join(lines))
    return "\n".join(tables)


def joined(text: str) -> str:
    """
    Join the lines of Chinese paragraphs: a browser shows a space for the end of each.

    What is not between two letters or marks of Chinese, or is code, is left alone.
    """
    parts = _FENCED.split(text)
    return "".join(part if part.startswith("```") else _BROKEN.sub("", part) for part in parts)


def complete(app: Sphinx, docname: str, source: list[str]) -> None:
    """Add to a page what only the site has."""
    known = {name for names in InventoryAdapter(app.env).main_inventory.values() for name in names}
    makers: dict[str, Callable[[str], str]] = {
        "settings": settingsOf,
        "metrics": lambda _: metrics(),
        "names": lambda module: namesOf(module, known),
        "source": lambda _: "{any}`All of it, module by module <msgserver>`",
    }
    text = _COMMENT.sub(lambda match: makers[match[1]](match[2]), source[0])
    if docname.endswith(".zh"):
        text = joined(text)
    if docname == app.config.root_doc:
        text += f"\n{contents(text)}"
    source[0] = text


def outdated(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """Have what is made from the code made anew each time, though its page has not changed."""
    return [name for name in env.found_docs if name.startswith("docs/reference/")]


def setLanguage(
    app: Sphinx, docname: str, template: str, context: dict[str, Any], tree: Any
) -> None:
    """Say which pages are in Chinese, so that a browser takes the right letters."""
    if docname.endswith(".zh"):
        context["language"] = "zh-CN"


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx."""
    app.add_object_type("setting", "setting", "pair: %s; config key")
    app.add_object_type("metric", "metric", "pair: %s; metric")
    for language in _PLAIN:
        app.add_lexer(language, TextLexer)
    app.connect("env-get-outdated", outdated)
    app.connect("source-read", complete)
    app.connect("html-page-context", setLanguage)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
