"""
Who may know whom in L{msgserver}: imports go one way, and the pure core stays pure.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

PACKAGE = "msgserver"
ROOT = Path(__file__).resolve().parent.parent / PACKAGE

WIRE = "wire.framing wire.naming wire.classic wire.modern wire.login wire.gate"
HELPERS = "closing deadlines hiding later limits strangerlog turns"
BELOW_PROTOCOLS = f"errors interfaces {WIRE} {HELPERS}"
REMOTE = "remote remote.link remote.door remote.gates remote.servers remote.operations"
SECTIONS = "configvalues addresses linksections sections"
READING = f"errors interfaces tomllines {SECTIONS} config"
CONFIG = (
    f"tomllines {SECTIONS} config configreading configchecks loading endpointstrings linktls"
    " linkparts configfile"
)

# Each module, and what of the package it may import. A protocol never imports a service nor
# the reverse, and the login side never the gate's: they meet in interfaces and in cluster.
ALLOWED = {
    # The pure core.
    "errors": "",
    "wire": "",
    "wire.framing": "errors",
    "wire.naming": "errors",
    "wire.classic": "errors",
    "wire.modern": "errors",
    "wire.login": "errors wire.framing wire.naming",
    "wire.gate": "errors wire.framing wire.naming wire.classic wire.modern",
    "wire.messages": "errors wire.framing",
    "current": "errors wire.naming",
    "kept": f"errors {WIRE}",
    "tally": "",
    "sessions": f"errors {WIRE} current kept tally",
    "clientlogin": f"errors {WIRE}",
    # Beside it.
    "compiled": "sessions",
    "identity": f"errors {WIRE}",
    "interfaces": "errors wire.naming",
    "cluster": "errors",
    # Helpers of protocols and services.
    "closing": "",
    "deadlines": "",
    "later": "",
    "strangerlog": "",
    "hiding": "",
    "turns": "",
    "addresslimits": "",
    "loginfailures": "errors addresslimits",
    "requestrate": "addresslimits wire.framing",
    "limits": "deadlines addresslimits loginfailures requestrate",
    "collector": "",
    "directsend": "",
    "readset": "",
    # Beside the protocols: what keeps a connection, whichever.
    "reconnecting": "",
    # The login side.
    "loginprotocol": BELOW_PROTOCOLS,
    "directory": "errors cluster",
    "gatecalls": f"errors {HELPERS} cluster directory",
    "operations": "errors cluster directory gatecalls",
    "loginservice": f"{BELOW_PROTOCOLS} cluster directory gatecalls operations",
    # The gate's side.
    "msgprotocol": f"{BELOW_PROTOCOLS} sessions directsend readset",
    "histograms": "",
    "gatecounts": "histograms sessions",
    "answering": f"{BELOW_PROTOCOLS} sessions",
    "msggate": BELOW_PROTOCOLS,
    "msgservice": f"{BELOW_PROTOCOLS} cluster sessions tally gatecounts answering msggate",
    # Above them.
    "remote": "",
    "remote.link": f"errors {HELPERS}",
    "remote.door": f"errors {HELPERS} wire.login remote.link",
    "remote.gates": f"errors {HELPERS} cluster remote.link remote.door",
    "remote.servers": f"errors {HELPERS} cluster reconnecting remote.link remote.door remote.gates",
    "remote.operations": f"errors {HELPERS} cluster remote.link remote.door remote.gates",
    "passwords": "wire.naming",
    "handlers.base": "interfaces",
    "handlers.logins": "errors interfaces passwords turns wire.naming",
    "handlers.mailbox": f"errors interfaces {WIRE} wire.messages deadlines",
    "handlers.seats": "errors interfaces",
    "handlers.pool": "interfaces loading",
    "handlers.workerprotocol": "errors wire.framing",
    "handlers.workerpipes": "relaying handlers.workerprotocol",
    "handlers.watching": "handlers.workerprotocol",
    "handlers.workergate": "errors interfaces wire.naming",
    "handlers.remoteagents": "current errors interfaces handlers.workerprotocol",
    "handlers.workers": "errors interfaces later handlers.remoteagents handlers.workerprotocol"
    " handlers.workerpipes handlers.watching",
    "handlers.worker": "current interfaces jsonlog later wire.naming handlers.pool handlers.saving"
    " handlers.seats handlers.workergate handlers.workerprotocol",
    "handlers.saving": "later handlers.seats handlers.workerprotocol",
    "handlers.agents": "errors interfaces later wire.naming handlers.pool handlers.saving"
    " handlers.seats handlers.workers",
    "handlers": "handlers.base handlers.logins handlers.mailbox handlers.agents",
    "clientmessages": f"errors {WIRE} wire.messages",
    "clientcore": f"errors {WIRE} clientlogin clientmessages",
    "keepalive": "",
    "commandparts": "errors clientlogin identity",
    "clientprotocols": f"{BELOW_PROTOCOLS} clientlogin",
    "client": f"{BELOW_PROTOCOLS} wire.messages identity clientlogin clientcore clientprotocols"
    " keepalive reconnecting commandline",
    "testing.doubles": "cluster",
    "testing.cuts": "wire.framing",
    "testing.wires": "testing.doubles",
    "testing.network": "testing.cuts testing.wires",
    "testing.passing": "",
    "testing.parts": "interfaces",
    "testing.settings": "loginprotocol msgprotocol msgservice sections sessions",
    "testing.server": f"{BELOW_PROTOCOLS} clientlogin client loginprotocol loginservice msgprotocol"
    " msgservice testing.cuts testing.network testing.parts testing.passing testing.settings",
    "testing.everycut": "testing.cuts testing.server",
    "testing": "testing.doubles testing.server testing.everycut",
    # Clients without Twisted, and what is made of them.
    "aio": f"errors {WIRE} clientmessages identity clientlogin clientcore keepalive aioprotocols"
    " aiowaiting",
    "aiowaiting": "errors",
    "aioprotocols": f"errors {WIRE} clientlogin",
    "commandline.statuses": "",
    "commandline.values": "",
    "commandline.commands": "wire.framing",
    "commandline.events": "wire.naming",
    "commandline.clients": "clientlogin",
    "commandline.following": "errors commandline.clients commandline.events commandline.statuses",
    "commandline.conversation": "errors wire.framing commandline.clients commandline.commands"
    " commandline.events commandline.following commandline.statuses",
    "commandline.options": "commandparts clientlogin commandline.commands commandline.statuses"
    " commandline.values",
    "commandline.credentials": "commandparts passwords wire.naming commandline.commands"
    " commandline.options commandline.statuses",
    "commandline.connecting": "commandparts errors wire.classic wire.naming clientlogin aio"
    " aioprotocols commandline.commands commandline.options commandline.statuses",
    "commandline.output": "commandparts commandline.events commandline.statuses",
    "commandline.display": "commandparts commandline.events commandline.output"
    " commandline.statuses",
    "commandline.sources": "commandparts commandline.commands commandline.options"
    " commandline.output commandline.statuses",
    "commandline.talking": "commandparts errors commandline.clients commandline.commands"
    " commandline.connecting commandline.conversation commandline.display commandline.events"
    " commandline.sources commandline.statuses",
    "commandline.running": "commandparts commandline.connecting commandline.credentials"
    " commandline.display commandline.events commandline.options commandline.output"
    " commandline.sources commandline.statuses commandline.talking",
    "commandline": "commandline.running",
    "commandline.__main__": "commandline",
    # The load tester.
    "loadtest": "",
    "loadtest.latencies": "",
    "loadtest.client": "client clientlogin",
    "loadtest.plan": "clientlogin",
    "loadtest.statuses": "",
    "loadtest.units": "",
    "loadtest.server": "errors handlers.base interfaces passwords",
    "loadtest.dialogue": "",
    "loadtest.effort": "loadtest.latencies",
    "loadtest.reaching": "client clientlogin interfaces wire.classic loadtest.plan",
    "loadtest.credentials": "commandparts passwords wire.naming loadtest.plan loadtest.statuses",
    "loadtest.files": "clientcore commandparts loadtest.plan loadtest.statuses",
    "loadtest.conditions": "loadtest.plan loadtest.units",
    "loadtest.demo": "commandparts loadtest.server loadtest.statuses",
    "loadtest.optionvalues": "clientlogin errors identity loadtest.dialogue",
    "loadtest.results": "loadtest.effort loadtest.latencies",
    "loadtest.optiongroups": "commandparts clientlogin wire.framing loadtest.optionvalues"
    " loadtest.plan",
    "loadtest.figures": "loadtest.conditions loadtest.latencies loadtest.plan loadtest.results"
    " loadtest.statuses loadtest.units",
    "loadtest.probe": "commandparts client clientlogin errors loadtest.dialogue loadtest.plan"
    " loadtest.reaching loadtest.results loadtest.statuses",
    "loadtest.recorder": "loadtest.dialogue loadtest.results",
    "loadtest.options": "wire.framing loadtest.dialogue loadtest.optiongroups loadtest.plan"
    " loadtest.statuses",
    "loadtest.charts": "loadtest.figures loadtest.latencies loadtest.results",
    "loadtest.live": "loadtest.figures loadtest.plan loadtest.results loadtest.units",
    "loadtest.report": "loadtest.figures loadtest.latencies loadtest.statuses loadtest.units",
    "loadtest.turns": "",
    "loadtest.surroundings": "clientlogin loadtest.dialogue loadtest.plan loadtest.recorder"
    " loadtest.turns",
    "loadtest.user": "clientlogin errors loadtest.client loadtest.dialogue loadtest.results"
    " loadtest.surroundings loadtest.turns",
    "loadtest.page": "loadtest.charts loadtest.conditions loadtest.figures loadtest.report"
    " loadtest.statuses loadtest.units",
    "loadtest.crew": "loadtest.effort loadtest.plan loadtest.recorder loadtest.surroundings"
    " loadtest.user",
    "loadtest.worker": "clientcore loadtest.crew loadtest.dialogue loadtest.effort loadtest.files"
    " loadtest.plan loadtest.reaching loadtest.recorder loadtest.results loadtest.surroundings",
    "loadtest.workers": "commandparts loadtest.plan loadtest.results loadtest.statuses"
    " loadtest.worker",
    "loadtest.running": "commandparts loadtest.credentials loadtest.demo loadtest.figures"
    " loadtest.files loadtest.live loadtest.options loadtest.page loadtest.plan loadtest.probe"
    " loadtest.reaching loadtest.statuses loadtest.workers",
    "loadtest.command": "commandparts loadtest.conditions loadtest.credentials loadtest.options"
    " loadtest.plan loadtest.report loadtest.running loadtest.statuses",
    "loadtest.__main__": "loadtest.command",
    # For whoever watches a process.
    "watched": "limits loginprotocol msgprotocol msgservice operations remote.door remote.servers",
    "metrics": "compiled gatecounts histograms msgservice operations watched",
    "opsserver": "limits",
    # The config file.
    "tomllines": "",
    "configvalues": "errors",
    "addresses": "configvalues",
    "linksections": "configvalues",
    "sections": f"{WIRE} configvalues addresses linksections",
    "config": SECTIONS,
    "configreading": READING,
    "configchecks": f"{READING} configreading endpointstrings",
    "loading": "errors interfaces certificates endpointstrings pemfiles proxied",
    "endpointstrings": "",
    "filewatch": "",
    "pemfiles": "",
    "certificates": "filewatch pemfiles",
    "proxied": "",
    "linktls": "certificates filewatch",
    "linkparts": f"{READING} configreading loading endpointstrings linktls",
    "configfile": f"{READING} configreading configchecks identity loading linkparts",
    "listening": f"errors interfaces {HELPERS} {CONFIG}",
    # The processes of a gate that has several.
    "jsonlog": "",
    "relaying": "jsonlog",
    "processes": "relaying",
    # What users see; of ours, only the tops need it (for the version).
    PACKAGE: "errors interfaces current sessions passwords handlers client wire.naming",
    # The operator's command.
    "ctltables": "cluster wire.naming",
    "ctlorders": "ctltables",
    # The tops, which nothing imports.
    "ctl": f"errors later identity config configfile remote.link remote.operations ctltables"
    f" ctlorders {PACKAGE}",
    "options": f"errors compiled config configfile jsonlog {PACKAGE}",
    "tap": f"{BELOW_PROTOCOLS} sessions loginprotocol loginservice msgprotocol msgservice"
    f" readset collector compiled cluster {REMOTE} processes options metrics opsserver watched"
    f" handlers listening {CONFIG} {PACKAGE}",
}

# What is named in signatures alone, and so only under TYPE_CHECKING.
ALLOWED_FOR_TYPES = {"interfaces": "sessions", "msggate": "msgservice"}

# No Twisted, no zope, no clock, no randomness, no operating system: all that is handed in.
PURE = {"errors", "wire", "current", "kept", "sessions", "tally", "clientlogin", "clientcore"}
PURE |= {"wire.messages", "clientmessages", *WIRE.split()}
ALLOWED_IN_PURE = {
    *"__future__ abc base64 binascii collections contextvars dataclasses enum functools".split(),
    *"hashlib hmac itertools math operator re struct types typing".split(),
    *"attrs cryptography".split(),
}

# The link between the services is one package's business.
ONLY_IN = {"twisted.spread": "remote"}


@frozen
class Import:
    """One imported name, as C{package.module} or C{package.module.name}."""

    line: int
    name: str
    isForTypes: bool


def importsOf(source: str, module: str, isPackage: bool = False) -> Iterator[Import]:
    """Find every import of a module, those within functions included."""
    tree = ast.parse(source)
    forTypes = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    path = [PACKAGE, *(module.split(".") if module != PACKAGE else [])]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = path[: len(path) - node.level + isPackage] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield Import(node.lineno, name, node in forTypes)


def moduleOf(name: str) -> str:
    """Tell which of our modules an imported name of ours is, or is in."""
    path = name.split(".")[1:]
    while path and ".".join(path) not in ALLOWED:
        # What is no module is a name in one; but an unknown module is nobody's name.
        path.pop()
    return ".".join(path) or PACKAGE


def violations(module: str, source: str, isPackage: bool = False) -> list[str]:
    """Say which imports of a module are not allowed, and where."""
    if module not in ALLOWED:
        return [f"{module} is not in the table of tests/test_layers.py"]
    wrong = []
    for each in importsOf(source, module, isPackage):
        top = each.name.partition(".")[0]
        if top == PACKAGE:
            allowed = ALLOWED[module].split()
            if each.isForTypes:
                allowed += ALLOWED_FOR_TYPES.get(module, "").split()
            isWrong = moduleOf(each.name) not in allowed
        else:
            isWrong = module in PURE and top not in ALLOWED_IN_PURE
        isWrong |= any(
            f"{each.name}.".startswith(f"{name}.") and not f"{module}.".startswith(f"{only}.")
            for name, only in ONLY_IN.items()
        )
        if isWrong:
            wrong.append(f"{module}:{each.line} imports {each.name}")
    return wrong


class LayerTests(SynchronousTestCase):
    """The package as it stands."""

    def test_everyImport(self) -> None:
        """Every module is in the table, and imports what the table allows."""
        wrong = []
        seen = set()
        for file in sorted(ROOT.rglob("*.py")):
            path = file.relative_to(ROOT).with_suffix("").parts
            isPackage = path[-1] == "__init__"
            module = ".".join(path[:-1] if isPackage else path) or PACKAGE
            seen.add(module)
            wrong += violations(module, file.read_text(encoding="utf-8"), isPackage)
        self.assertEqual(wrong, [])
        self.assertLessEqual({"errors", "wire.login", "interfaces", PACKAGE}, seen)

    def test_noCircle(self) -> None:
        """The table knows only modules that it has, and goes one way."""
        edges = {module: allowed.split() for module, allowed in ALLOWED.items()}
        for allowed in edges.values():
            self.assertLessEqual(set(allowed), set(ALLOWED))
        self.assertEqual(set(TopologicalSorter(edges).static_order()), set(ALLOWED))
        self.assertLessEqual(PURE, set(ALLOWED))

    def test_top(self) -> None:
        """Nothing imports the tops, and nothing but the tops the package itself."""
        importers = {name: self.importersOf(name) for name in ("tap", "ctl", PACKAGE)}
        self.assertEqual(
            importers, {"tap": set(), "ctl": set(), PACKAGE: {"options", "tap", "ctl"}}
        )

    def test_sides(self) -> None:
        """Protocols and services do not know each other, nor the login side the gate's."""
        sides = {"loginprotocol", "loginservice", "msgprotocol", "msgservice"}
        for side in sides:
            self.assertEqual(self.importersOf(side) & sides, set())
        for side in ("directory", "loginprotocol", "loginservice"):
            gates = {"msgprotocol", "answering", "msggate", "msgservice"}
            self.assertEqual(self.importersOf(side) & gates, set())
            self.assertEqual(set(ALLOWED[side].split()) & gates, set())

    def test_pure(self) -> None:
        """The pure core knows only itself."""
        for module in PURE:
            self.assertLessEqual(set(ALLOWED[module].split()), PURE)

    def importersOf(self, name: str) -> set[str]:
        """Tell who may import a module."""
        return {module for module, allowed in ALLOWED.items() if name in allowed.split()}


class CheckerTests(SynchronousTestCase):
    """The checker itself, on modules that do not exist."""

    def assertWrong(self, module: str, source: str, *names: str) -> None:
        """See exactly these imports found wrong."""
        wrong = [each.partition(" imports ")[2] for each in violations(module, source)]
        self.assertEqual(wrong, list(names), source)

    def test_spellings(self) -> None:
        """A forbidden edge is found however it is written, and wherever."""
        name = "msgserver.msgservice"
        self.assertWrong("msgprotocol", "import msgserver.msgservice", name)
        self.assertWrong("msgprotocol", "import msgserver.msgservice as service", name)
        self.assertWrong("msgprotocol", "from msgserver import msgservice", name)
        self.assertWrong("msgprotocol", "from msgserver import errors, msgservice", name)
        self.assertWrong("msgprotocol", "from msgserver.msgservice import X", f"{name}.X")
        self.assertWrong("msgprotocol", "from . import msgservice", name)
        self.assertWrong("msgprotocol", "from .msgservice import X", f"{name}.X")
        self.assertWrong("wire.gate", "from ..sessions import X", "msgserver.sessions.X")
        self.assertWrong("wire.framing", "from . import naming", "msgserver.wire.naming")
        self.assertWrong(
            "msgprotocol",
            f"def f():\n    try:\n        import {name}\n    except ImportError:\n        pass",
            name,
        )
        self.assertWrong("msgprotocol", "import msgserver", "msgserver")
        self.assertWrong(
            "msgprotocol", "from msgserver import __version__", "msgserver.__version__"
        )

    def test_package(self) -> None:
        """In a package's own file, one dot is the package itself."""
        self.assertEqual(
            violations("wire", "from .gate import X", isPackage=True),
            ["wire:1 imports msgserver.wire.gate.X"],
        )
        self.assertEqual(violations(PACKAGE, "from .errors import X", isPackage=True), [])
        self.assertEqual(
            violations(PACKAGE, "from . import tap", isPackage=True),
            ["msgserver:1 imports msgserver.tap"],
        )

    def test_allowed(self) -> None:
        """What the table allows is not found."""
        self.assertWrong("msgprotocol", "from msgserver.sessions import Connection")
        self.assertWrong("msgprotocol", "from .wire import gate\nimport msgserver.wire.framing")
        self.assertWrong("msgprotocol", "import os\nfrom twisted.internet import protocol")
        self.assertWrong("sessions", "from collections.abc import Iterator\nimport attrs")

    def test_sides(self) -> None:
        """Neither side knows the other, nor a protocol its service."""
        self.assertWrong("loginprotocol", "import msgserver.sessions", "msgserver.sessions")
        self.assertWrong("loginservice", "import msgserver.msgservice", "msgserver.msgservice")
        self.assertWrong("msgservice", "import msgserver.msgprotocol", "msgserver.msgprotocol")
        self.assertWrong("config", "import msgserver.tap", "msgserver.tap")

    def test_forTypes(self) -> None:
        """What is allowed for types alone is wrong elsewhere, the other branch included."""
        line = "from msgserver.sessions import X"
        name = "msgserver.sessions.X"
        self.assertWrong("interfaces", f"if TYPE_CHECKING:\n    {line}")
        self.assertWrong("interfaces", f"if typing.TYPE_CHECKING:\n    {line}")
        self.assertWrong("interfaces", line, name)
        self.assertWrong("interfaces", f"if TYPE_CHECKING:\n    pass\nelse:\n    {line}", name)
        self.assertWrong("interfaces", f"if not TYPE_CHECKING:\n    pass\n{line}", name)
        self.assertWrong("loginservice", f"if TYPE_CHECKING:\n    {line}", name)
        service = "from msgserver.msgservice import X"
        self.assertWrong("msggate", f"if TYPE_CHECKING:\n    {service}")
        self.assertWrong("msggate", service, "msgserver.msgservice.X")

    def test_pure(self) -> None:
        """In the pure core, everything outside the list is found, for types as well."""
        for name in (
            *("time", "datetime", "random", "secrets", "os", "asyncio", "threading", "socket"),
            *("os.path", "twisted", "twisted.internet.defer", "zope.interface", "logging"),
        ):
            for module in ("errors", "wire.login", "sessions", "clientlogin"):
                self.assertWrong(module, f"import {name}", name)
            self.assertWrong("wire.gate", f"from {name} import X", f"{name}.X")
            self.assertWrong("kept", f"if TYPE_CHECKING:\n    import {name}", name)

    def test_onePackagesBusiness(self) -> None:
        """The link's library is found everywhere but in the link."""
        for module in REMOTE.split():
            self.assertWrong(module, "from twisted.spread import pb")
        self.assertWrong("tap", "from twisted.spread import pb", "twisted.spread.pb")
        self.assertWrong("tap", "from twisted.spread.pb import X", "twisted.spread.pb.X")
        self.assertWrong("tap", "import twisted.spreadsheet")

    def test_unknownModule(self) -> None:
        """A module that the table does not have is wrong as such."""
        self.assertEqual(
            violations("novelty", ""), ["novelty is not in the table of tests/test_layers.py"]
        )
