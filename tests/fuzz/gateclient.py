"""
The gate's client, in front of a gate that says anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import TimeoutError
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from msgserver.client import MsgClient
from msgserver.clientlogin import LoggedIn
from msgserver.errors import (
    ClientClosed,
    Forbidden,
    OutcomeUnknown,
    ProtocolError,
    Refused,
    RequestFailed,
    Unauthorized,
)
from msgserver.wire.framing import packet
from msgserver.wire.gate import responsePacket
from msgserver.wire.naming import User
from tests.fuzz.clients import MAY_FAIL_WITH, RAW, VERDICT, Far, Servers
from tests.fuzz.plays import Data, Number, Verb, Word
from tests.fuzz.references import splitPackets
from tests.fuzz.stages import Stage
from tests.fuzz.watching import Watch, see

SECRET = b"5eCret:c"
MAX_UNANSWERED = 4

NUMBER = Number(0, 9, (0, 0, 1, 2, 3))
CONTENT = Data((b"hello", b"", b"x" * 65_531, b"x" * 65_532, b"x"))
ANSWER = Data((b"hi", b"", b"x" * 65_530))
SESSION = Number(0, 2**32 - 1, (1, 2, 3, 4, 5, 0, 2**32 - 1))
FLAG = Number(0, 255, (1, 1, 0, 2, 255))
LENGTH = Number(0, 65535, (0, 1, 4, 5, 6, 65535))


@define(eq=False)
class Asked:
    """
    A request that the client was asked to make, or a connection that is waited for.

    @ivar results: what it came to; never more than one.
    """

    content: bytes
    answer: Deferred[bytes]
    results: list[bytes | Failure] = field(factory=list)


class GateClientStage(Stage):
    """A client that asks a gate."""

    verbs = {
        "verdict": Verb((VERDICT,), 8),
        "respond": Verb((SESSION, FLAG, ANSWER), 8),
        "lie": Verb((LENGTH, RAW), 3),
        "ask": Verb((CONTENT,), 8),
        "cancel": Verb((NUMBER,), 2),
        "drop": Verb((), 1),
        "login": Verb((Word(("yes", "no", "away", "hang", "elsewhere")),), 2),
        "away": Verb((Number(0, 1, (0, 1)),), 1),
        "connected": Verb((Number(0, 3, (0, 1, 2)),), 2),
        "close": Verb((), 1),
    }

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        watch.hide(SECRET)
        self._clock = Clock()
        self._servers = Servers(self._clock)
        self.parts = [self, self._servers]
        self._mode = "yes"
        self._logins = 0
        self._asked: list[Asked] = []
        self._waiting: list[Asked] = []
        self._client = MsgClient(
            self._clock,
            self._logIn,
            self._servers,
            retryPolicy=lambda attempt: 1.0,
            maxUnanswered=MAX_UNANSWERED,
            loginAfter=2,
            connectTo=lambda host, port: self._servers,
        )

    def _logIn(self) -> Deferred[LoggedIn]:
        self._logins += 1
        user = User(b"alice", b"%d" % self._logins, b"sample")
        ways: dict[str, Callable[[], Deferred[LoggedIn]]] = {
            "no": lambda: fail(Unauthorized("no")),
            "away": lambda: fail(Forbidden("away")),
            "hang": Deferred,
            "elsewhere": lambda: succeed(LoggedIn(user, SECRET, "gate.example.org:8888")),
        }
        return ways.get(self._mode, lambda: succeed(LoggedIn(user, SECRET)))()

    def play_verdict(self, verdict: bytes) -> None:
        """Say a verdict on the handshake."""
        self._servers.say(packet(verdict[:65_535]))

    def play_respond(self, session: int, flag: int, content: bytes) -> None:
        """Say a response."""
        data = responsePacket(session.to_bytes(4, "big"), bytes([flag]), content[:65_530])
        self._servers.say(data)

    def play_lie(self, length: int, data: bytes) -> None:
        """Announce one length, and say another."""
        self._servers.say(length.to_bytes(2, "big") + data)

    def play_ask(self, content: bytes) -> None:
        """Ask, from the side of the client's user."""
        try:
            answer = self._client.request(content)
        except ValueError:
            see(len(content) > 65_531, "S: a request that is not too long was refused")
            return
        asked = Asked(content, answer)
        self._asked.append(asked)
        answer.addBoth(asked.results.append)

    def play_cancel(self, number: int) -> None:
        """Wait for an answer no more."""
        if self._asked:
            self._asked[number % len(self._asked)].answer.cancel()

    def play_drop(self) -> None:
        """Drop the connection, from the side of the client's user."""
        self._client.dropConnection()

    def play_login(self, mode: str) -> None:
        """Have the next logins go another way."""
        self._mode = mode

    def play_away(self, isAway: int) -> None:
        """Have the gate listen no more, or again."""
        self._servers.isAway = bool(isAway)

    def play_connected(self, failures: int) -> None:
        """Wait for a connection, from the side of the client's user."""
        asked = Asked(b"", Deferred())
        self._waiting.append(asked)
        waiting: Deferred[Any] = self._client.whenConnected(failures or None)
        waiting.addBoth(asked.results.append)

    def play_close(self) -> None:
        """End the client."""
        self._client.close()

    def check(self) -> None:
        """See that what was answered is what the gate has said, and that no more is sent."""
        self._servers.settle()
        seconds = self._clock.seconds()
        most = 3 * (seconds + 2) + 3
        see(self._servers.attempts <= most, f"{self._servers.attempts} attempts in {seconds} s")
        sent: set[tuple[bytes, bytes]] = set()
        said: set[bytes] = set()
        for far in self._servers.all:
            sent |= self._sentOn(far)
            said |= _saidOn(far)
        for asked in self._asked:
            see(len(asked.results) <= 1, "a request came to two results")
            sessions = [session for session, content in sent if content == asked.content]
            for result in asked.results:
                self._checkResult(result, sessions, said)

    def _sentOn(self, far: Far) -> set[tuple[bytes, bytes]]:
        """Give the session and content of each request on a connection, which all must be ours."""
        packets, rest = splitPackets(bytes(far.heard))
        see(not rest, "S: the client has sent half a packet")
        hasVerdict = far.said.startswith(packet(b"200 OK"))
        see(len(packets) == 1 or hasVerdict, "H: requests before the verdict")
        contents = {asked.content for asked in self._asked}
        foreign = [each for each in packets[1:] if each[:-4] not in contents]
        see(not foreign, "S: the client asked what nobody wanted to ask")
        return {(each[-4:], each[:-4]) for each in packets[1:]}

    def _checkResult(
        self, result: bytes | Failure, sessions: list[bytes], said: set[bytes]
    ) -> None:
        """See that a result is what the gate has said to one of these sessions (S)."""
        if isinstance(result, bytes):
            expected = [result + b"\x01" + session for session in sessions]
        elif isinstance(result.value, RequestFailed):
            expected = [result.value.content + b"\x00" + session for session in sessions]
        else:
            isAllowed = result.check(
                ClientClosed, OutcomeUnknown, Refused, ProtocolError, TimeoutError, *MAY_FAIL_WITH
            )
            see(isAllowed, f"a request failed with {result!r}")
            self.watch.readText(str(result), "a failure")
            return
        see(not said.isdisjoint(expected), f"S: {result!r:.80} is the result, and nobody said so")

    def finish(self) -> None:
        """End the client, and see that nothing is left."""
        closed: list[object] = []
        self._client.close().addBoth(closed.append)
        self._servers.play_wait(3)
        self.check()
        see(closed == [None], f"the client does not close: {closed}")
        for asked in (*self._asked, *self._waiting):
            see(len(asked.results) == 1, f"what waits comes to {len(asked.results)} results")
        self._servers.checkClosed()


def _saidOn(far: Far) -> set[bytes]:
    """Give what a gate has said on a connection, which ends with the first nonsense (H, S)."""
    packets, _ = splitPackets(bytes(far.said))
    isGood = True
    for number, each in enumerate(packets):
        isGood = each[-5:-4] in (b"\x00", b"\x01") if number else each == b"200 OK"
        if not isGood:
            break
    see(isGood or far.isLost, "H, S: the gate speaks nonsense, and the connection is open")
    return set(packets[1:])
