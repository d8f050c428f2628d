"""
What a fuzzer looks for can be found: each thing that must hold is broken here once, on purpose,
and seen to be missed.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from msgserver import clientprotocols, loginprotocol, msgprotocol, sessions
from msgserver.answering import Answering
from msgserver.clientprotocols import LoginClientProtocol
from msgserver.deadlines import Deadlines
from msgserver.errors import NotAcceptable
from msgserver.limits import ConnectionLimits
from msgserver.loginprotocol import LoginProtocol
from msgserver.loginservice import LoginService
from msgserver.msgprotocol import MsgProtocol
from msgserver.msgservice import MsgService
from msgserver.remote import link
from msgserver.sessions import Connection
from msgserver.wire.framing import LineReader
from msgserver.wire.gate import GateServer
from tests.compilation import patchesSessions
from tests.fuzz import parsers
from tests.fuzz.crashes import kindOf, minimise
from tests.fuzz.plays import writeData
from tests.fuzz.targets import TARGETS
from tests.fuzz.watching import Broken

HELLO = "open 0\nhello 0 0 next right\n"


class Other(Exception):
    """An exception that nobody raises: to catch it in place of another is not to catch that."""


def nothing(*arguments: object) -> None:
    """Do nothing, in place of something."""


class FaultTests(SynchronousTestCase):
    """A play breaks something, and would not without the fault."""

    def tearDown(self) -> None:
        self.flushLoggedErrors()

    def assertFound(
        self, name: str, play: str, owner: object, attribute: str, fault: object, what: str
    ) -> str:
        """
        Run a play without a fault and with it.

        @param owner: what the fault is put into, as its C{attribute}.
        @param what: how what is found begins.
        @return: what was found.
        """
        target = TARGETS[name]
        target.runText(play.encode())
        patcher = self.patch(owner, attribute, fault)
        with self.assertRaises(Broken) as caught:
            target.runText(play.encode())
        patcher.restore()
        found = str(caught.exception)
        self.assertIn(what, found)
        return found

    def test_errorNotCaught(self) -> None:
        """An exception that leaves C{dataReceived}, at either port and either client."""
        for name, play, module in (
            ("login", "call 0\nraw 0 x{9000}\n", loginprotocol),
            ("gate", "open 0\nraw 0 \\xff\\xff\n", msgprotocol),
            ("loginclient", "line SSH\n", clientprotocols),
            ("gateclient", "wait 1\nverdict nonsense\n", clientprotocols),
        ):
            self.assertFound(name, play, module, "ProtocolError", Other, "an exception came out")

    def test_lengthNotChecked(self) -> None:
        """B4: a packet that is too long and is waited for."""
        make: Callable[..., None] = GateServer.__init__
        self.assertFound(
            "gate",
            "open 0\nraw 0 \\xff\\xff\n",
            GateServer,
            "__init__",
            lambda self, limit: make(self),
            "B4",
        )

    def test_lineNotBounded(self) -> None:
        """L1: a line that never ends and is kept."""
        make: Callable[..., None] = LineReader.__init__
        self.assertFound(
            "login",
            "call 0\nsplit 1000\nraw 0 x{20000}\n",
            LineReader,
            "__init__",
            lambda self: make(self, 10**6),
            "L1",
        )

    def test_deadlineNotArmed(self) -> None:
        """H3, L1 and B3: what has no deadline stays."""
        full = HELLO + "stop 0\nask 0 1 big:65530\nask 0 2 big:65530\nwait 31\n"
        for name, play, rule in (
            ("gate", "open 0\nwait 11\n", "H3"),
            ("gate", full, "B3"),
            ("gate", HELLO + "raw 0 \\x00\\x00\nwait 31\n", "B3"),
            ("login", "call 0\nwait 11\n", "L1"),
            ("door", "open 0\nwait 11\n", "H3"),
        ):
            self.assertFound(name, play, Deadlines, "start", nothing, rule)

    def test_notLetGo(self) -> None:
        """B1: a connection that is counted when it is gone."""
        for name, play in (
            ("gate", "open 0\nlose 0\n"),
            ("login", "call 0\nlose 0\n"),
            ("door", "open 0\nlose 0\n"),
        ):
            self.assertFound(name, play, ConnectionLimits, "closed", nothing, "B1")

    def test_tooMany(self) -> None:
        """B1: one connection more than there may be."""
        fault: Callable[..., bool] = lambda *arguments, **options: True  # noqa: E731
        for name, play in (("gate", "open 0\n" * 8), ("login", "call 0\n" * 9)):
            self.assertFound(name, play, ConnectionLimits, "opened", fault, "B1")

    def test_tokenInTheLog(self) -> None:
        """L6: a token, or a secret, in a line of the log."""
        take = LoginProtocol._tokenReceived

        def tell(self: LoginProtocol, event: Any) -> None:
            self.factory.log.debug("{told}", told=event.token)
            take(self, event)

        self.assertFound("login", "converse 0 no\n", LoginProtocol, "_tokenReceived", tell, "L6")

    def test_secretInTheLog(self) -> None:
        """L6: a secret, even as hexadecimal digits."""
        admit = MsgService.admit

        def tell(self: MsgService, user: Any, secret: bytes) -> Any:
            self.log.info("{secret}", secret=secret.hex())
            return admit(self, user, secret)

        self.assertFound("gate", "login 0\n", MsgService, "admit", tell, "L6")

    def test_wrongMac(self) -> None:
        """H: a mac that does not fit and is taken."""
        self.assertFound(
            "gate",
            "open 0\nhello 0 0 next wrong\n",
            sessions,
            "isProvedBy",
            lambda handshake, secret: True,
            "H: ",
        )

    def test_oldConnectionStays(self) -> None:
        """H4: two live connections of one login."""
        play = HELLO + "open 1\nhello 1 0 next right\n"
        self.assertFound("gate", play, MsgProtocol, "abort", nothing, "H4")

    def test_refusedStaysOpen(self) -> None:
        """H1: a refused connection that is not closed."""
        play = "open 0\nhello 0 0 0 right\n"
        self.assertFound("gate", play, MsgProtocol, "_close", nothing, "H1")

    def test_shortRequest(self) -> None:
        """S3: a request that is too short and goes unnoticed."""
        play = HELLO + "raw 0 \\x00\\x00\n"
        self.assertFound("gate", play, MsgProtocol, "_adjust", nothing, "S3")

    @patchesSessions
    def test_answersOfOthers(self) -> None:
        """S: an answer that is not the one that the handler gave."""
        receive = Connection.receive
        self.assertFound(
            "gate",
            HELLO + "ask 0 1 hello\n",
            Connection,
            "receive",
            lambda self, data: receive(self, data).replace(b"hello", b"hullo"),
            "S: ",
        )

    def test_bystanderWaits(self) -> None:
        """One client's slow reading holds up another."""
        serve = MsgProtocol._serve

        def fault(self: MsgProtocol, data: bytes) -> None:
            if not len(self.factory.stalls):
                serve(self, data)

        play = HELLO + "stop 0\nask 0 1 big:65530\nask 0 2 big:65530\n"
        self.assertFound("gate", play, MsgProtocol, "_serve", fault, "a bystander")

    @patchesSessions
    def test_tooManyRunning(self) -> None:
        """B2: more requests at once than there may be."""
        begin = Connection._begin

        def fault(self: Connection, session: bytes, result: Any) -> int:
            made = begin(self, session, result)
            self.login.runningCount = 0
            return made

        play = HELLO + "".join(f"ask 0 {number} later:a\n" for number in range(1, 7))
        self.assertFound("gate", play, Connection, "_begin", fault, "B2")

    def test_bugOfOurs(self) -> None:
        """A failure in the log that no handler has made."""
        found = self.assertFound(
            "gate",
            HELLO + "ask 0 1 later:a\nfulfil 0 done\n",
            MsgProtocol,
            "flush",
            lambda self: 1 // 0,
            "a failure was logged",
        )
        self.assertIn("ZeroDivisionError", found)

    def test_endNotTold(self) -> None:
        """U2: a connection that never hears that its login has ended."""
        play = HELLO + "logout 0\n"
        self.assertFound("gate", play, Answering, "flushLater", nothing, "U2")

    def test_lockedOut(self) -> None:
        """L1: a login that stays under way keeps its user out."""

        async def fault(self: LoginService, token: bytes, secret: bytes, peer: str) -> Any:
            account = await self._authenticate(token, peer)
            if account.uid in self._underWay:
                raise NotAcceptable()
            self._underWay.add(account.uid)
            return await self._admit(account, secret, peer)

        self.assertFound("login", "call 0\n", LoginService, "_login", fault, "L1")

    def test_timerLeft(self) -> None:
        """A timer of a client's that nothing waits for any more."""
        key = writeData(bytes.fromhex("b6d78fb8d13314c5"))
        play = f"challenge 8\\x20bytes!\nkey {key}\nstatus 200\\x20MQ==\nlose 1\n"
        self.assertFound("loginclient", play, LoginClientProtocol, "_stopGrace", nothing, "timers")

    def test_parser(self) -> None:
        """Base64 that is read although nobody would write it so."""
        self.assertFound("parsers", "base64 QR==\n", parsers, "decode64", b64decode, "is read as")

    def test_strangersBytes(self) -> None:
        """B4: a stranger at the door who may send more than strangers may."""
        play = "open 0\nsplit 7\nraw 0 \\x00@\\x82x{5000}\n"
        self.assertFound("door", play, link, "_STRANGER_BYTES", 10**6, "B4")


class MinimiseTests(SynchronousTestCase):
    """What is found is made short."""

    def test_minimise(self) -> None:
        """What a play does not need to show what it shows is left out."""
        target = TARGETS["gate"]
        self.patch(sessions, "isProvedBy", lambda handshake, secret: True)
        text = HELLO + "ask 0 1 hello\nopen 1\nwait 3\nhello 1 1 next AAAAAAAAAAA=\nlose 1\n"
        play = minimise(target, target.grammar.read(text.encode()))
        self.assertEqual([action.verb for action in play], ["open", "hello"])

    def test_kinds(self) -> None:
        """Finds are of one kind where they differ in numbers and places alone."""
        self.assertEqual(
            kindOf("action 1 of 2 (open 0): B1: the 9th connection"),
            kindOf("action 7 of 8 (open 1): B1: the 12th connection"),
        )
        self.assertNotEqual(kindOf("at the end: B1: x"), kindOf("at the end: B2: x"))
