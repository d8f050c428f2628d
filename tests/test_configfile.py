"""
Tests for L{msgserver.configfile}: a config file, and every mistake in one.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from attrs import evolve
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import alsoProvides, implementer

from msgserver.config import Gate, Login, Ops, exampleConfig
from msgserver.configfile import Parts, loadConfig
from msgserver.errors import ConfigErrors
from msgserver.handlers import MsgHandler
from msgserver.interfaces import Account, ILoginHandler, INamesUser, User

LOGIN = f'[login]\nhandler = "{__name__}:LoginHandler"\n'
GATE = f'[gate]\nservername = "sample"\nhandler = "{__name__}:EchoHandler"\n'


@implementer(ILoginHandler)
class LoginHandler:
    """Lets everybody in."""

    def __init__(self, password: str = "") -> None:
        self.password = password

    def authenticate(self, token: bytes) -> Account:
        """See L{ILoginHandler.authenticate}."""
        return Account(b"sample", token)


class EchoHandler(MsgHandler):
    """Sends back what it gets."""

    def requestReceived(self, user: User, content: bytes) -> bytes:
        """See L{IMsgHandler.requestReceived}."""
        return content


class NamelessHandler(LoginHandler):
    """Says that it names users, and does not."""

    def __init__(self) -> None:
        super().__init__()
        alsoProvides(self, INamesUser)


class ConfigFileTestCase(SynchronousTestCase):
    """A config file on disk."""

    def setUp(self) -> None:
        """Make a place for the file."""
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        self.path = Path(directory) / "server.toml"

    def load(self, content: str | bytes) -> Parts:
        """Load a file of this content."""
        self.path.write_bytes(content.encode() if isinstance(content, str) else content)
        return loadConfig(str(self.path), MemoryReactorClock())

    def assertMistakes(self, content: str | bytes, *mistakes: str) -> None:
        """See exactly these mistakes, a line each, with the file's name left away."""
        errors = self.assertRaises(ConfigErrors, self.load, content)
        lines = [line.removeprefix(str(self.path)) for line in str(errors).splitlines()]
        self.assertEqual(lines, list(mistakes))


class LoadTests(ConfigFileTestCase):
    """Files that are right."""

    def test_defaults(self) -> None:
        """What a file does not say is at its default."""
        parts = self.load(LOGIN + GATE)
        assert parts.login is not None and parts.gate is not None
        self.assertEqual(parts.login.settings, Login(handler=f"{__name__}:LoginHandler"))
        gate = Gate(servername="sample", handler=f"{__name__}:EchoHandler")
        self.assertEqual(parts.gate.settings, gate)
        self.assertIsInstance(parts.login.handler, LoginHandler)
        self.assertIsInstance(parts.gate.handler, EchoHandler)
        self.assertEqual((parts.control, parts.gateLogin), (None, None))
        self.assertEqual((parts.ops, parts.identity), (None, None))
        for part in (parts.login, parts.gate):
            self.assertEqual(tuple(text for text, _ in part.endpoints), part.settings.listen)

    def test_everything(self) -> None:
        """What a file says goes to the setting of that name, in the setting's type."""
        parts = self.load(
            LOGIN + 'listen = ["tcp:1", "tcp:2"]\nmaxclient = 5\nlogin_timeout = 20\n'
            'gate_timeout = 7.5\nmultilogin = true\nsticky = true\nsuites = ["classic"]\n'
            "max_strangers = 4\naddress_maxclient = 3\naddress_rate = 2\naddress_burst = 9\n"
            'address_table = 2000\nunlimited = ["10.0.0.0/8", "fd00::1"]\nfree_failures = 8\n'
            "address_free_failures = 9\nfailure_delay = 0.5\nlongest_failure_delay = 6\n"
            "failure_memory = 70\nmax_authenticating = 12\n"
            "[login.handler_options]\npassword = 'x'\n"
            + GATE
            + 'listen = ["tcp:3"]\nadvertise = "a.example:3"\nmaxclient = 6\nnodelay = false\n'
            + "direct_send = false\nbatch_reads = false\n"
            'expired_number = 1\ncache_bytes = 65537\nsessions = "increasing"\n'
            "max_packet = 128\nhandshake_timeout = 1\nmax_running = 2\nstall_timeout = 3\n"
            "away_timeout = 0\nkick_timeout = 4\ndrain_timeout = 5\nhandler_options = {}\n"
            "weight = 7\nmax_strangers = 4\naddress_maxclient = 3\naddress_rate = 2\n"
            "address_burst = 9\naddress_table = 2000\nunlimited = []\nrequest_rate = 50\n"
            "request_burst = 60\n"
            '[ops]\nlisten = ["tcp:{port}"]\nport = 4\nmaxclient = 5\n'
        )
        assert parts.ops is not None
        self.assertEqual(parts.ops.settings, Ops(listen=("tcp:{port}",), port=4, maxclient=5))
        self.assertEqual([text for text, _ in parts.ops.endpoints], ["tcp:4"])
        assert parts.login is not None and parts.gate is not None
        self.assertEqual(
            parts.login.settings,
            Login(
                listen=("tcp:1", "tcp:2"),
                handler=f"{__name__}:LoginHandler",
                handlerOptions={"password": "x"},
                maxclient=5,
                loginTimeout=20.0,
                gateTimeout=7.5,
                multilogin=True,
                sticky=True,
                suites=("classic",),
                maxStrangers=4,
                addressMaxclient=3,
                addressRate=2.0,
                addressBurst=9,
                addressTable=2000,
                unlimited=("10.0.0.0/8", "fd00::1"),
                freeFailures=8,
                addressFreeFailures=9,
                failureDelay=0.5,
                longestFailureDelay=6.0,
                failureMemory=70.0,
                maxAuthenticating=12,
            ),
        )
        self.assertIs(type(parts.login.settings.loginTimeout), float)
        self.assertEqual([text for text, _ in parts.login.endpoints], ["tcp:1", "tcp:2"])
        self.assertEqual(
            parts.gate.settings,
            Gate(
                servername="sample",
                listen=("tcp:3",),
                advertise="a.example:3",
                weight=7,
                handler=f"{__name__}:EchoHandler",
                maxclient=6,
                nodelay=False,
                directSend=False,
                batchReads=False,
                expiredNumber=1,
                cacheBytes=65537,
                sessions="increasing",
                maxPacket=128,
                handshakeTimeout=1.0,
                maxRunning=2,
                stallTimeout=3.0,
                awayTimeout=0.0,
                kickTimeout=4.0,
                drainTimeout=5.0,
                maxStrangers=4,
                addressMaxclient=3,
                addressRate=2.0,
                addressBurst=9,
                addressTable=2000,
                unlimited=(),
                requestRate=50.0,
                requestBurst=60,
            ),
        )

    def test_options(self) -> None:
        """The options reach the handler, and no repr (L6)."""
        parts = self.load(LOGIN + 'handler_options = { password = "hunter2" }')
        assert parts.login is not None and isinstance(parts.login.handler, LoginHandler)
        self.assertEqual(parts.login.handler.password, "hunter2")
        self.assertNotIn("hunter2", repr(parts))

    def test_eitherAlone(self) -> None:
        """A process may be one of the two servers alone."""
        self.assertIsNone(self.load(LOGIN).gate)
        self.assertIsNone(self.load(GATE).login)

    def test_byteOrderMark(self) -> None:
        """The mark that some editors put before UTF-8 does no harm."""
        self.assertIsNotNone(self.load(b"\xef\xbb\xbf" + LOGIN.encode()).login)

    def test_exampleConfig(self) -> None:
        """What C{--print-config} prints is right, with the handlers filled in."""
        text = exampleConfig()
        text = text.replace("yours:YourLoginHandler", f"{__name__}:LoginHandler")
        text = text.replace("yours:YourMsgHandler", f"{__name__}:EchoHandler")
        parts = self.load(text)
        assert parts.login is not None and parts.gate is not None
        self.assertEqual(parts.login.settings, Login(handler=f"{__name__}:LoginHandler"))
        self.assertEqual(evolve(parts.gate.settings, servername="x").servername, "x")

    def test_examples(self) -> None:
        """The files that come with msgserver are right."""
        root = Path(__file__).resolve().parent.parent
        self.patch(os, "getcwd", lambda: str(root))
        files = sorted((root / "examples").glob("*.toml"))
        self.assertIn("msgserver.toml", [file.name for file in files])
        for file in files:
            loadConfig(str(file), MemoryReactorClock())


class FileTests(ConfigFileTestCase):
    """Files that cannot be read."""

    def test_missing(self) -> None:
        """A file that is not there is told by its name alone."""
        errors = self.assertRaises(ConfigErrors, loadConfig, "nowhere.toml", MemoryReactorClock())
        self.assertEqual(str(errors), "nowhere.toml: No such file or directory")

    def test_directory(self) -> None:
        """So is a directory."""
        directory = str(self.path.parent)
        errors = self.assertRaises(ConfigErrors, loadConfig, directory, MemoryReactorClock())
        self.assertEqual(str(errors), f"{directory}: Is a directory")

    def test_notUTF8(self) -> None:
        """TOML is UTF-8: the line that is not is told."""
        self.assertMistakes(b'[gate]\n# fine\nservername = "\xff"\n', ":3: this is not UTF-8")

    def test_syntax(self) -> None:
        """What is no TOML is told with its line, the last one where it ends too early."""
        for content, line in [
            ("[gate]\nx = \ny = 1", 2),
            ("[gate]\n\n[gate]\n\n", 3),
            ('[gate]\nx = """\n\n\n', 4),
            ("x = [", 1),
        ]:
            errors = self.assertRaises(ConfigErrors, self.load, content)
            start = f"{self.path}:{line}: this is not TOML: "
            self.assertEqual(str(errors)[: len(start)], start)
            self.assertNotIn("(at", str(errors))

    def test_unreadableValue(self) -> None:
        """Nor is there a traceback for a value that Python refuses to read."""
        errors = self.assertRaises(ConfigErrors, self.load, f"x = {'9' * 5000}")
        self.assertIn("server.toml: this is not TOML: ", str(errors))


class MistakesTests(ConfigFileTestCase):
    """Files that say what is not allowed."""

    def test_nothing(self) -> None:
        """A server must be one of the two; operators are none."""
        for content in ("", '[operator]\nkey = "a-key-for-these-tests"'):
            self.assertMistakes(
                content, ": there must be a section [login], a section [gate], or both"
            )

    def test_everyMistake(self) -> None:
        """Every mistake is told at once: the line, the key, what is wrong, what is allowed."""
        self.assertMistakes(
            """\
colour = "red"

[login]
handler = "nowhere:Handler"
listen = [
    "tcp:8001",
    "tcp:x",
]
maxclient = 0
multilogin = 1
gate_timeout = 20
[login.handler_options]
anything = "goes"

[gate]
kick_timeout = 30.5
listen = "tcp:1"
"""
            f'handler = "{__name__}:EchoHandler"\n'
            """\
handler_options = { colour = "red" }
sessions = "many"
drain_timeout = 0
advertise = "here"
""",
            ":1: colour: is not known: there are login, gate, ops, operator",
            f":4: login.handler: there is no module nowhere, neither in {os.getcwd()} nor"
            " installed",
            ':5: login.listen: "tcp:x" is no endpoint: invalid literal for int() with base 10:'
            " 'x'; one would be \"tcp:8001:interface=127.0.0.1\"",
            ":9: login.maxclient: must be a whole number, 1 or more, not 0",
            ":10: login.multilogin: must be true or false, not 1",
            ":11: login.gate_timeout: login.gate_timeout (20) must be below login.login_timeout"
            " (10.0)",
            ":15: gate.servername: is required: it must be a string that is not empty",
            ":16: gate.kick_timeout: gate.kick_timeout (30.5) must be below login.gate_timeout"
            " (20)",
            ':17: gate.listen: must be a list of one or more endpoint strings, not "tcp:1"',
            f":19: gate.handler_options: {__name__}:EchoHandler: got an unexpected keyword"
            " argument 'colour'; its options are: none",
            ':20: gate.sessions: must be "any" or "increasing", not "many"',
            ":21: gate.drain_timeout: must be a number above 0, at most 31536000 (a year), not 0",
            ':22: gate.advertise: must be a string of the form "host:port", with a port from 1 to'
            ' 65535, or "", not "here"',
        )

    def test_ranges(self) -> None:
        """Each key has the range that is declared for it."""
        for key, wrong in [
            *(("expired_number", 0), ("expired_number", 65537), ("cache_bytes", 65536)),
            *(("max_packet", 127), ("max_packet", 65536), ("max_running", 0), ("maxclient", -1)),
            *(("handshake_timeout", "inf"), ("stall_timeout", 0), ("away_timeout", -1)),
            *(("max_strangers", 0), ("address_maxclient", 0), ("address_rate", 0)),
            *(("address_burst", 0), ("address_table", 1023), ("request_rate", -1)),
            *(("request_burst", 0), ("unlimited", '["10.0.0.1/8"]'), ("unlimited", '["here"]')),
        ]:
            errors = self.assertRaises(ConfigErrors, self.load, f"{GATE}{key} = {wrong}")
            self.assertEqual([error.key for error in errors.errors], [f"gate.{key}"])
            self.assertEqual(errors.errors[0].line, 4)

    def test_networks(self) -> None:
        """What is no network is told, with what is wrong about it."""
        self.assertMistakes(
            GATE + 'unlimited = ["10.0.0.0/8", "10.0.0.1/8"]\n',
            ":4: gate.unlimited: must be a list of strings, each an IP address or a network"
            ' ("10.0.0.0/8", "fd00::/8"): 10.0.0.1/8 has host bits set',
        )

    def test_sectionThatIsNone(self) -> None:
        """A section is a table; whatever is there instead is not told (L6)."""
        self.assertMistakes('gate = "hunter2"', ":1: gate: must be a table")
        self.assertMistakes("[[login]]", ":1: login: must be a table")

    def test_unknownKeys(self) -> None:
        """A key that is not known is told with the one that may be meant, on its line."""
        self.assertMistakes(
            GATE + "maxClients = 5\n\n[gtae]\nx = 1\n",
            ":4: gate.maxClients: is not known: did you mean maxclient?",
            ":6: gtae: is not known: did you mean gate?",
        )

    def test_wrongPlace(self) -> None:
        """A key that belongs elsewhere is told so."""
        self.assertMistakes(
            "maxclient = 5\n" + GATE + "login_timeout = 5\n",
            ":1: maxclient: stands in the wrong place: it is a key of [login] and of"
            " [login.control] and of [gate] and of [ops]",
            ":5: gate.login_timeout: stands in the wrong place: it is a key of [login]",
        )

    def test_unknownInside(self) -> None:
        """A section inside of another is read like any, with its lines."""
        self.assertMistakes(
            LOGIN
            + "[login.control]\nlistn = 5\nmaxclient = 0\n[login.contrl]\n"
            + GATE
            + "[gate.login]\nretry_delay = -1\nkeys = 'hunter2'\n[operator]\ntimeout = 0\n",
            ":4: login.control.listn: is not known: did you mean listen?",
            ":5: login.control.maxclient: must be a whole number, 1 or more, not 0",
            ":6: login.contrl: is not known: did you mean control?",
            ":10: gate.login.key: is required: it must be a string of 16 to 256 printable ASCII"
            " characters",
            ":11: gate.login.retry_delay: must be a number above 0, at most 31536000 (a year),"
            " not -1",
            ":12: gate.login.keys: is not known: did you mean key?",
            ":13: operator.key: is required: it must be a string of 16 to 256 printable ASCII"
            " characters",
            ":14: operator.timeout: must be a number above 0, at most 31536000 (a year), not 0",
        )

    def test_sectionElsewhere(self) -> None:
        """A section that belongs elsewhere is told so, and so is one that is no table."""
        self.assertMistakes(
            "[control]\n" + LOGIN + "[login.gate]\n[login.login]\n" + GATE + "[gate.operator]\n",
            ":1: control: stands in the wrong place: there is a section [login.control]",
            ":4: login.gate: stands in the wrong place: there is a section [gate]",
            ":5: login.login: stands in the wrong place: there is a section [login] and a section"
            " [gate.login]",
            ":9: gate.operator: stands in the wrong place: there is a section [operator]",
        )
        self.assertMistakes(LOGIN + "[[login.control]]", ":3: login.control: must be a table")
        self.assertMistakes(GATE + "login = 'hunter2'", ":4: gate.login: must be a table")

    def test_nearlyThis(self) -> None:
        """A key that is much like one of this section is not taken for that of another."""
        self.assertMistakes(
            GATE + 'server_name = "x"',
            ":4: gate.server_name: is not known: did you mean servername?",
        )
        self.assertMistakes(
            GATE + 'key = "hunter2"',
            ":4: gate.key: stands in the wrong place: it is a key of [gate.login] and of"
            " [operator]",
        )

    def test_secrets(self) -> None:
        """L6: a key that is wrong is not told."""
        self.assertMistakes(
            LOGIN
            + '[login.control]\noperator_key = "hunter2"\n[login.control.gates]\na = "hunter2"\n',
            ":4: login.control.operator_key: must be a string of 16 to 256 printable ASCII"
            ' characters, or "": no operators',
            ":5: login.control.gates: must be a table of names and keys, each a string"
            ' of 16 to 256 printable ASCII characters; that of "a" is none',
        )

    def test_times(self) -> None:
        """L1, U3: a time that runs within another is shorter; the one in the file is blamed."""
        self.assertMistakes(
            LOGIN + "login_timeout = 5\n",
            ":3: login.login_timeout: login.gate_timeout (5.0) must be below login.login_timeout"
            " (5)",
        )
        self.assertMistakes(
            LOGIN + "gate_timeout = 3\n" + GATE,
            ":3: login.gate_timeout: gate.kick_timeout (3.0) must be below login.gate_timeout (3)",
        )

    def test_timesOfOneSection(self) -> None:
        """A gate alone does not know how long its login server waits."""
        self.assertIsNotNone(self.load(GATE + "kick_timeout = 100").gate)

    def test_timesThatAreWrong(self) -> None:
        """A time that is wrong by itself is compared with nothing."""
        self.assertMistakes(
            LOGIN + 'login_timeout = "5"\n',
            ':3: login.login_timeout: must be a number above 0, at most 31536000 (a year), not "5"',
        )

    def test_handlerOfOtherSection(self) -> None:
        """A handler must be one for its section."""
        self.assertMistakes(
            f'[login]\n\nhandler = "{__name__}:EchoHandler"',
            ":3: login.handler: EchoHandler is no ILoginHandler: it is not declared as one, by"
            " @implementer(ILoginHandler) before its class; it has no authenticate",
        )

    def test_handlerNamesNobody(self) -> None:
        """What a handler says that it provides besides, it must provide."""
        self.assertMistakes(
            LOGIN.replace("LoginHandler", "NamelessHandler"),
            ":2: login.handler: NamelessHandler is no INamesUser: it has no uidOf",
        )

    def test_missingOptions(self) -> None:
        """Options that are missing are missed on the line of the handler."""
        self.assertMistakes(
            '[login]\nhandler = "msgserver.handlers:PasswordLoginHandler"\n',
            ":2: login.handler: msgserver.handlers:PasswordLoginHandler: missing a required"
            " argument: 'users'; its options are: users, servers, runInThread",
        )

    def test_optionsThatAreNone(self) -> None:
        """L6: options are a table; where they are not, no handler is made of them."""
        self.patch(LoginHandler, "__init__", _refuse)
        self.assertMistakes(
            LOGIN + 'handler_options = "hunter2"', ":3: login.handler_options: must be a table"
        )

    def test_oneLineEach(self) -> None:
        """A mistake is one line, whatever a handler says of it."""
        self.patch(LoginHandler, "__init__", _refuse)
        self.assertMistakes(
            LOGIN, f":2: login.handler: {__name__}:LoginHandler: not accepted: one two"
        )


def _refuse(self: LoginHandler) -> None:
    raise ValueError("one\ntwo")
