"""
The terminal of examples/chat: what is typed, and what is shown.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from examples.chat.client import PASSWORD_VARIABLE, Logins, Plug, findPassword
from examples.chat.screen import ERASE, Missed, Screen, isColoured
from examples.chat.server import ChatHandler
from examples.chat.talker import Talker
from examples.chat.terminal import Terminal
from examples.chat.words import (
    Joined,
)
from msgserver import Account
from msgserver.client import MsgClient, login
from msgserver.clientlogin import LoggedIn
from msgserver.configfile import loadConfig
from msgserver.testing import MemoryServer
from msgserver.testing.network import MemoryEndpoint
from tests.pages import ROOT


class TerminalTests(SynchronousTestCase):
    """What is typed, and what is shown."""

    def setUp(self) -> None:
        clock = Clock()
        self.server = MemoryServer(ChatHandler(clock=clock), clock=clock)
        self.addCleanup(self.server.stop)
        self.done: list[str] = []
        self.begin(Screen())

    def begin(self, screen: Screen) -> None:
        """Have somebody sit down."""
        network: dict[str, Callable[[], object]] = {
            name: partial(self.done.append, name) for name in ("/cut", "/offline", "/online")
        }
        self.terminal = Terminal(screen, network, lambda: self.done.append("typed"))
        self.shown = StringTransport()
        self.client = self.server.client(b"alice")
        talker = Talker(
            self.client,
            lambda event: self.terminal.show(screen.happened(event)),
            self.terminal.complain,
        )
        self.terminal.begin(talker)
        self.terminal.makeConnection(self.shown)
        self.server.settle()

    def type(self, *lines: str) -> list[str]:
        """Type, and give what is shown then."""
        self.shown.clear()
        for line in lines:
            self.terminal.dataReceived(line.encode() + b"\n")
            self.server.settle()
        return bytes(self.shown.value()).decode().splitlines()

    def test_talk(self) -> None:
        """One joins, talks, and leaves."""
        self.assertEqual(self.type("/join lobby"), ["-- you are in lobby"])
        self.assertEqual(self.type("hello", ""), ["[lobby 1] alice: hello"])
        self.assertEqual(
            self.type("/join #attic", "up"), ["-- you are in attic", "[attic 1] alice: up"]
        )
        self.assertEqual(
            self.type("/who", "/who lobby"),
            ["-- in attic: alice (online)", "-- in lobby: alice (online)"],
        )
        self.assertEqual(self.type("/leave"), ["-- you have left attic"])
        self.assertEqual(self.type("down"), ["[lobby 2] alice: down"])
        self.assertEqual(
            self.type("/leave lobby", "gone"),
            ["-- you have left lobby", "!! you are in no room; /join one first"],
        )

    def test_atOnce(self) -> None:
        """What is typed before the answers are there is done in its order."""
        for line in (b"/join lobby\n", b"one\n", b"two\n"):
            self.terminal.dataReceived(line)
        self.server.settle()
        self.assertEqual(
            bytes(self.shown.value()).decode().splitlines(),
            ["-- you are in lobby", "[lobby 1] alice: one", "[lobby 2] alice: two"],
        )

    def test_mistakes(self) -> None:
        """What is no command, or no good, is told in one line."""
        unknown = "!! there is no {}, or not like that; /help tells what there is"
        for line, shown in (
            ("hello", "!! you are in no room; /join one first"),
            ("/who", "!! you are in no room; /join one first"),
            ("/sing", unknown.format("/sing")),
            ("/join", unknown.format("/join")),
            ("/cut it", unknown.format("/cut")),
            ("/join No Room", "!! room must be 1 to 32 of the characters a-z, 0-9 and -"),
            ("/leave attic", "!! you are not in attic; join it first"),
            ("still in none", "!! you are in no room; /join one first"),
        ):
            self.assertEqual(self.type(line), [shown])

    def test_tooLong(self) -> None:
        """A line without an end is told, and the next is as any other."""
        self.assertEqual(self.type("x" * 40_000)[0], "!! that line is too long")
        self.type("")
        self.assertEqual(self.type("/join lobby"), ["-- you are in lobby"])

    def test_tooLongTail(self) -> None:
        """Nothing of such a line is done, in however many pieces it comes; what follows is."""
        self.type("/join lobby")
        for length in (40_000, 5, 20_000):
            self.terminal.dataReceived(b"x" * length)
        self.assertEqual(
            bytes(self.shown.value()), b"-- you are in lobby\n!! that line is too long\n"
        )
        self.assertEqual(
            self.type(" that is the tail\nnext", "after"),
            ["[lobby 1] alice: next", "[lobby 2] alice: after"],
        )
        shown = self.type("y" * 20_000 + "\nthen", "last")
        self.assertEqual(
            shown, ["!! that line is too long", "[lobby 3] alice: then", "[lobby 4] alice: last"]
        )

    def test_lastLine(self) -> None:
        """The last line needs no end."""
        self.type("/join lobby")
        self.shown.clear()
        self.terminal.dataReceived(b"goodbye")
        self.done.clear()
        self.terminal.readConnectionLost()
        # Who is leaving does not want to be logged in.
        self.assertEqual(self.done, [])
        self.server.settle()
        self.assertEqual(bytes(self.shown.value()), b"[lobby 1] alice: goodbye\n")

    def test_notText(self) -> None:
        """Bytes that are no text are shown as such."""
        self.type("/join lobby")
        self.terminal.dataReceived(b"caf\xe9\n")
        self.server.settle()
        self.assertIn("caf\N{REPLACEMENT CHARACTER}", bytes(self.shown.value()).decode())

    def test_network(self) -> None:
        """Three commands are about the connection."""
        self.assertEqual(self.type("/cut", "/offline", "/online"), [])
        self.assertEqual(self.done[::2], ["/cut", "/offline", "/online"])

    def test_typed(self) -> None:
        """Each line is told of, an empty one too, but not that somebody quits."""
        self.type("/who", "", "/quit", "late")
        self.assertEqual(self.done, ["typed", "typed"])

    def test_help(self) -> None:
        """What may be typed is told."""
        shown = "\n".join(self.type("/help"))
        for command in ("/join", "/leave", "/who", "/cut", "/offline", "/online", "/quit"):
            self.assertIn(f"-- {command}", shown)

    def test_unknown(self) -> None:
        """Where the login ends with something unanswered, one is told what that was."""
        self.type("/join lobby")
        self.server.cutBeforeAnswer(self.client)
        self.terminal.dataReceived(b"perhaps\n")
        self.server.offline(self.client)
        self.server.settle()
        self.server.result(self.server.logout(b"alice"))
        self.server.online(self.client)
        self.server.advance(5)
        shown = bytes(self.shown.value()).decode().splitlines()
        self.assertIn("!! nobody knows whether this was said: perhaps", shown)

    def test_quit(self) -> None:
        """It ends at /quit, and at the end of what can be read, or of what can be shown."""
        for end in (
            lambda: self.type("/quit"),
            lambda: self.terminal.readConnectionLost(),
            lambda: self.terminal.writeConnectionLost(),
            lambda: self.terminal.connectionLost(),
        ):
            self.begin(Screen())
            self.assertNoResult(self.terminal.ended)
            end()
            self.successResultOf(self.terminal.ended)
            self.type("/quit")

    def test_close(self) -> None:
        """What is shown is seen before it closes; nothing is shown to nobody."""
        closed = self.terminal.close()
        self.assertTrue(self.shown.disconnecting)
        self.assertNoResult(closed)
        self.terminal.connectionLost()
        self.successResultOf(closed)
        self.terminal.note("late")
        self.successResultOf(self.terminal.close())

    def test_colours(self) -> None:
        """In colours, what was typed gives way to what everybody sees."""
        self.begin(Screen(isColoured=True))
        self.assertEqual(self.type("/join lobby"), ["\x1b[2m-- you are in lobby\x1b[0m"])
        (line,) = self.type("hello")
        self.assertEqual(line[: len(ERASE)], ERASE)
        self.assertRegex(line, r"\x1b\[2m\[lobby 1\]\x1b\[0m \x1b\[3\dmalice\x1b\[0m: hello")

    def test_coloursOfAMistake(self) -> None:
        """What cannot be said stays as well, to be mended."""
        self.begin(Screen(isColoured=True))
        self.type("/join lobby")
        (line,) = self.type("x" * 1001)
        self.assertNotIn(ERASE, line)

    def test_coloursInTheDark(self) -> None:
        """Without a connection it stays, so that one knows what is waiting."""
        self.begin(Screen(isColoured=True))
        self.type("/join lobby")
        self.server.offline(self.client)
        self.server.settle()
        self.assertEqual(self.type("hello"), [])


class ScreenTests(SynchronousTestCase):
    """Lines."""

    def test_untrusted(self) -> None:
        """What others say, or are called, does nothing to the terminal."""
        for evil in ("\x1b[2J", "\x9b2J", "\u202e", "\x07", "\u2066"):
            line = Screen().happened(Joined("lobby", f"bob{evil}"))
            self.assertFalse(set(evil) & set(line) - set("[2J"))
            self.assertIn("\N{REPLACEMENT CHARACTER}", line)

    def test_missed(self) -> None:
        """Missed messages are counted where that is known."""
        for missed, line in (
            (Missed("lobby", 1), "!! missed for good in lobby, messages: 1"),
            (Missed(None, 3), "!! missed for good, messages: 3"),
            (Missed(None, None), "!! perhaps messages are missed for good"),
        ):
            self.assertEqual(Screen().happened(missed), line)

    def test_isColoured(self) -> None:
        """Colours are for terminals that want them."""
        self.assertTrue(isColoured(True, {}))
        self.assertTrue(isColoured(True, {"NO_COLOR": ""}))
        for isTerminal, environment in (
            (False, {}),
            (True, {"NO_COLOR": "1"}),
            (True, {"TERM": "dumb"}),
        ):
            self.assertFalse(isColoured(isTerminal, environment))


class ClientTests(SynchronousTestCase):
    """What the client is made of, beside its terminal."""

    def test_config(self) -> None:
        """The config is without mistakes."""
        file = ROOT / "examples" / "chat" / "chat.toml"
        parts = loadConfig(str(file), MemoryReactorClock())
        assert parts.gate is not None
        self.assertIsInstance(parts.gate.handler, ChatHandler)

    def test_password(self) -> None:
        """The password is in a file's first line, or in the environment, in that order."""
        temporary = TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        file = Path(temporary.name) / "password"
        file.write_text("sesame\nand more\n")
        environment = {PASSWORD_VARIABLE: "secret"}
        self.assertEqual(findPassword("alice", str(file), environment), "sesame")
        self.assertEqual(findPassword("alice", None, environment), "secret")
        self.assertRaises(OSError, findPassword, "alice", str(file) + "x", environment)

    def test_plug(self) -> None:
        """There is a connection as long as the plug is in."""
        plug = Plug(_Wire())  # type: ignore[arg-type]  # it has all that is asked of it
        self.assertEqual(self.successResultOf(plug.connect(Factory())), "connected")
        plug.isIn = False
        self.failureResultOf(plug.connect(Factory()), ConnectError)
        plug.isIn = True
        self.successResultOf(plug.connect(Factory()))


class LoginsTests(SynchronousTestCase):
    """When there is a next login by itself, and when not."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = MemoryServer(ChatHandler(clock=self.clock), clock=self.clock)
        self.addCleanup(self.server.stop)
        self.notes: list[str] = []
        line = self.server.network.newLine()
        self.gate = Plug(MemoryEndpoint(line, isGate=True))

        def takeLogin() -> Awaitable[LoggedIn]:
            endpoint = MemoryEndpoint(line, isGate=False)
            return login(endpoint, Account(b"sample", b"alice"), b"alice", clock=self.clock)

        self.logins = Logins(takeLogin, self.gate)
        self.alice = MsgClient(self.clock, self.logins.take, self.gate, retryPolicy=lambda _: 1.0)
        self.addCleanup(lambda: self.server.result(self.alice.close()))
        self.logins.watch(self.alice, self.notes.append)
        self.server.settle()

    def test_elsewhere(self) -> None:
        """Who is ended by a login elsewhere lets that be until something is typed."""
        self.logins.want()
        second = self.server.client(b"alice")
        self.server.advance(60)
        self.assertEqual((self.alice.isConnected, second.isConnected), (False, True))
        self.assertEqual(
            self.notes, ["your login has ended, as by another one of yours; Enter logs in again"]
        )
        self.logins.want()
        self.logins.want()
        self.server.settle()
        self.assertTrue(self.alice.isConnected)

    def test_quitThen(self) -> None:
        """One may leave instead."""
        self.server.client(b"alice")
        self.server.advance(60)
        self.server.result(self.alice.close())

    def test_noNetwork(self) -> None:
        """Who was without a network is logged in again by itself, as after a restart."""
        self.gate.isIn = False
        self.alice.dropConnection()
        self.server.advance(5)
        self.server.result(self.server.logout(b"alice"))
        self.gate.isIn = True
        self.server.advance(5)
        self.assertTrue(self.alice.isConnected)
        self.assertEqual(self.notes, [])


class _Wire:
    """What a plug is put into."""

    def connect(self, factory: object) -> Deferred[str]:
        """Connect at once."""
        return succeed("connected")
