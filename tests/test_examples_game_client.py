"""
The terminal client of the game: what is typed and what is shown, against a server in memory.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from examples.game import client
from examples.game.client import PARSER, Game, readPassword
from examples.game.server import GameHandler
from examples.game.terminal import Terminal
from msgserver.client import MsgClient, login
from msgserver.clientlogin import LoggedIn
from msgserver.interfaces import Account
from msgserver.testing import MemoryServer
from msgserver.testing.network import MemoryEndpoint
from tests.test_examples_game_server import doAtOnce


class ClientTestCase(SynchronousTestCase):
    """A server, and what is typed and shown."""

    def setUp(self) -> None:
        clock = Clock()
        handler = GameHandler(":memory:", run=doAtOnce, clock=clock)
        self.server = MemoryServer(handler, clock=clock)
        self.addCleanup(self.server.stop)

    def begin(self, isTerminal: bool = False, isColoured: bool = False, delay: float = 1.0) -> None:
        """Begin to play, as Alice."""
        self.terminal = Terminal(isTerminal, isColoured)
        self.transport = StringTransport()
        self.terminal.makeConnection(self.transport)
        line = self.server.network.newLine()
        clock = self.server.clock

        def takeLogin() -> Awaitable[LoggedIn]:
            endpoint = MemoryEndpoint(line, isGate=False)
            return login(endpoint, Account(b"sample", b"alice"), b"alice", clock=clock)

        def makeClient(logIn: Callable[[], Awaitable[LoggedIn]]) -> MsgClient:
            gate = MemoryEndpoint(line, isGate=True)
            return MsgClient(clock, logIn, gate, retryPolicy=lambda failures: delay)

        self.game = Game(self.terminal, clock, takeLogin, makeClient)
        self.addCleanup(lambda: self.server.result(self.game.client.close()))
        self.playing = Deferred.fromCoroutine(self.game.play())
        self.server.settle()

    def shown(self) -> str:
        """Give what was shown since last asked."""
        shown: str = self.transport.value().decode()
        self.transport.clear()
        return shown

    def type(self, text: str) -> str:
        """Type something, and give what it leads to."""
        self.terminal.dataReceived(text.encode())
        self.server.settle()
        return self.shown()


class PipeTests(ClientTestCase):
    """Commands from a pipe."""

    def test_plain(self) -> None:
        """What is shown has no prompt and no colour."""
        self.begin()
        self.assertEqual(self.shown(), "* logged in\n")
        self.assertEqual(
            self.type("go mine\nbuy rope\n").splitlines()[1:],
            [
                "no: the shop is in town: go town",
            ],
        )

    def test_end(self) -> None:
        """At its end, what was typed is done still, its last line too; then it is over."""
        self.begin()
        self.shown()
        self.terminal.dataReceived(b"go mine\ninventory")
        self.terminal.readConnectionLost()
        self.server.settle()
        self.assertIn("you have 100.00\n", self.shown())
        self.successResultOf(self.playing)

    def test_quit(self) -> None:
        """/quit ends it; nothing behind it is done."""
        self.begin()
        self.shown()
        self.assertEqual(self.type("/quit\ngo mine\n"), "")
        self.successResultOf(self.playing)

    def test_cut(self) -> None:
        """/cut with a command breaks the connection when that is asked; it is done once."""
        self.begin()
        self.shown()
        self.type("/cut buy rope\n")
        self.server.advance(1)
        self.type("/cut\n")
        self.server.advance(1)
        self.shown()
        self.assertEqual(self.type("inventory\n"), "you have 97.50, 1 rope\n")

    def test_tooLong(self) -> None:
        """A line that is too long is told, once, and that is the end: what is it a part of?"""
        self.begin()
        self.shown()
        self.assertEqual(
            self.type("inventory\n" + "x" * 20_000), "that line is too long\nyou have 100.00\n"
        )
        self.assertEqual(self.type("y" * 20_000 + " buy rope\ngo mine\n"), "")
        self.successResultOf(self.playing)

    def test_unknown(self) -> None:
        """An order to the client that is none says which there are; an empty line, nothing."""
        self.begin()
        self.shown()
        self.assertEqual(self.type("/fly\n\n"), "/cut, /cut COMMAND, /quit\n")

    def test_strangeCharacters(self) -> None:
        """What would steer a terminal is not shown."""
        self.begin()
        self.shown()
        self.terminal.say("a\x1b[2Jb\x07\nc")
        self.assertEqual(self.shown(), "a[2Jb\nc\n")


class TerminalTests(ClientTestCase):
    """Commands from somebody who is typing."""

    def test_prompt(self) -> None:
        """There is a prompt, and it is there again behind what is shown."""
        self.begin(isTerminal=True)
        self.assertEqual(self.shown(), "> * logged in\n> ")
        self.assertEqual(self.type("go town\n")[-2:], "> ")

    def test_colours(self) -> None:
        """Answers are green, refusals red."""
        self.begin(isTerminal=True, isColoured=True)
        self.shown()
        answer, refusal = self.type("inventory\n"), self.type("dig\n")
        self.assertEqual(answer, "\r\x1b[K\x1b[32myou have 100.00\x1b[0m\n> ")
        self.assertIn("\x1b[31mno: there is nothing", refusal)

    def test_notWaiting(self) -> None:
        """While something has no answer, one may go on typing, and leave."""
        self.begin(isTerminal=True)
        self.server.network.isOpen = False
        self.game.client.dropConnection()
        self.server.settle()
        self.type("inventory\n")
        self.type("/quit\n")
        self.successResultOf(self.playing)
        self.server.network.isOpen = True


class SecondLoginTests(ClientTestCase):
    """A login that is ended by another of the same player."""

    def test_idle(self) -> None:
        """Who was asking nothing does not kick the other in turn, until there is something."""
        self.begin()
        second = self.server.client(b"alice")
        self.server.advance(60)
        self.assertTrue(second.isConnected)
        self.assertEqual(
            self.shown().splitlines()[-2:],
            [
                "* the login has ended: there is another of yours, or the server was stopped",
                "* the next command logs in again",
            ],
        )
        self.assertIn("you have 100.00\n", self.type("inventory\n"))

    def test_failedThenKicked(self) -> None:
        """
        An order that the game has failed at is asked again though its login has ended before:
        that is something to ask.
        """
        self.begin(delay=0.1)
        database = self.server.handler._store._database
        database.execute("alter table orders rename to away")
        self.type("buy rope\n")
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        database.execute("alter table away rename to orders")
        self.server.result(self.server.kick(b"alice"))
        for _ in range(10):
            self.server.advance(0.1)
        self.assertIn("you buy a rope for 2.50; you have 97.50\n", self.shown())

    def test_quitWhileIdle(self) -> None:
        """One may leave all the same."""
        self.begin()
        self.server.client(b"alice")
        self.server.advance(60)
        self.type("/quit\n")
        self.successResultOf(self.playing)
        self.server.result(self.game.client.close())


class PasswordTests(SynchronousTestCase):
    """L{readPassword}."""

    def read(self, *arguments: str, isTerminal: bool = False, **environment: str) -> bytes:
        """Read it."""
        return readPassword(PARSER.parse_args(["alice", *arguments]), environment, isTerminal)

    def test_environment(self) -> None:
        """It is in GAME_PASSWORD."""
        self.assertEqual(self.read(GAME_PASSWORD="secret"), b"secret")

    def test_anyBytes(self) -> None:
        """It may be any bytes, and so may be who is playing."""
        self.assertEqual(self.read(GAME_PASSWORD="caf\udce9"), b"caf\xe9")
        options = PARSER.parse_args(["caf\udce9", "--server", "\udce9"])
        client._ways(Clock(), options, b"secret")

    def test_file(self) -> None:
        """It is a file's first line, which goes before."""
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        file = Path(folder.name) / "password"
        file.write_bytes(b"in the file\nnot this\n")
        self.assertEqual(self.read(f"--password-file={file}", GAME_PASSWORD="x"), b"in the file")
        file.write_bytes(b"")
        self.assertRaises(ValueError, self.read, f"--password-file={file}")

    def test_typed(self) -> None:
        """It is asked for, of somebody who can type."""
        prompts: list[str] = []

        def getpass(prompt: str) -> str:
            prompts.append(prompt)
            return "typed"

        self.patch(client, "getpass", getpass)
        self.assertEqual(self.read(isTerminal=True), b"typed")
        self.assertEqual(prompts, ["Password of alice: "])

    def test_none(self) -> None:
        """Without any, what to do is said."""
        raised = self.assertRaises(ValueError, self.read)
        self.assertEqual(str(raised), "no password: set GAME_PASSWORD, or give --password-file")
        self.assertRaises(ValueError, self.read, GAME_PASSWORD="")

    def test_notInArguments(self) -> None:
        """There is no option for it: arguments are seen by everybody."""
        options = vars(PARSER.parse_args(["alice"]))
        self.assertEqual([name for name in options if "password" in name], ["password_file"])
