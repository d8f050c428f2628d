"""
A gate in memory: real protocols, sessions and service; a clock; a handler that does as asked.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from msgserver.current import currentRequest
from msgserver.errors import GateStatus, RequestFailed
from msgserver.interfaces import IMsgGate, IMsgHandler, User
from msgserver.msgprotocol import GateLimits, MsgFactory
from msgserver.msgservice import LifeLimits, MsgService
from msgserver.sessions import SessionLimits
from msgserver.testing import MemoryDirectory, MemoryTransport
from msgserver.wire.framing import PacketReader, packet
from msgserver.wire.gate import GateClient, requestPacket

SECRET = bytes.fromhex("b9388be0af1ec90a")
OK = packet(GateStatus.OK.value)
ONE, TWO, THREE = b"\x00\x00\x00\x01", b"\x00\x00\x00\x02", b"\x00\x00\x00\x03"


@implementer(IMsgHandler)
class Handler:
    """
    Answers as the content says, and writes down every call.

    @ivar calls: the name of each call but requestReceived, with what it was about.
    @ivar requests: the content of each request that reached it.
    @ivar promised: what requests of content C{later:NAME} wait for, by name.
    @ivar answers: what the next call of a name but requestReceived gives; None if not there.
    """

    gate: IMsgGate

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []
        self.requests: list[bytes] = []
        self.promised: dict[bytes, Deferred[Any]] = {}
        self.answers: dict[str, Any] = {}

    def gateOpened(self, gate: IMsgGate) -> None:
        self.gate = gate
        self.calls.append(("gateOpened", gate.servername))

    def loginReceived(self, uid: bytes, secret: bytes) -> Any:
        return self._called("loginReceived", uid)

    def disconnected(self, user: User) -> Any:
        return self._called("disconnected", user)

    def kicked(self, user: User) -> Any:
        return self._called("kicked", user)

    def loggedOut(self, user: User) -> Any:
        return self._called("loggedOut", user)

    def requestReceived(self, user: User, content: bytes) -> Any:
        self.requests.append(content)
        order, _, rest = content.partition(b":")
        if order == b"later":
            promised = self.promised[rest] = Deferred()
            return promised
        if order == b"async":
            return self._waitAndTell(rest)
        if order == b"raise":
            raise ValueError("a bug of the handler")
        if order == b"refuse":
            raise RequestFailed(rest)
        if order == b"refuse badly":
            raise RequestFailed("text")  # type: ignore[arg-type]  # what a handler may do
        if order == b"logout":
            self.gate.logout(user)
            return b"bye"
        if order == b"await logout":
            return self._awaitLogout(user)
        if order == b"big":
            return bytes(int(rest))
        if order == b"nonsense":
            return {b"text": "text", b"none": None, b"array": bytearray(b"x")}[rest]
        return content

    async def _waitAndTell(self, name: bytes) -> bytes:
        promised = self.promised[name] = Deferred()
        await promised
        return currentRequest().session

    async def _awaitLogout(self, user: User) -> bytes:
        await self.gate.logout(user)
        return b"bye"

    def _called(self, name: str, about: object) -> Any:
        self.calls.append((name, about))
        answer = self.answers.get(name)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Client:
    """One connection to the gate, from its client's side."""

    def __init__(self, factory: MsgFactory, peer: str = "192.0.2.1") -> None:
        self.transport = MemoryTransport(peer)
        self.protocol = factory.buildProtocol(None)
        self.transport.connect(self.protocol)
        self._packets = PacketReader()

    def send(self, data: bytes) -> None:
        self.protocol.dataReceived(data)

    def ask(self, session: bytes, content: bytes) -> None:
        self.send(requestPacket(session, content))

    def heard(self) -> list[bytes]:
        """What came from the gate since the last time, packet by packet."""
        self._packets.feed(self.transport.take())
        return list(iter(self._packets.next, None))

    @property
    def isClosed(self) -> bool:
        """The gate has closed its side, after everything it had written."""
        return self.transport.writeClosed

    @property
    def isAborted(self) -> bool:
        return self.transport.disconnected

    def lose(self) -> None:
        self.transport.lose()


class GateCase(SynchronousTestCase):
    """Tests that need a gate. Its limits are class attributes."""

    gateLimits = GateLimits()
    sessionLimits = SessionLimits()
    lifeLimits = LifeLimits()

    def setUp(self) -> None:
        self.clock = Clock()
        self.handler = Handler()
        self.directory = MemoryDirectory()
        self.epoch = 0
        self.service = MsgService(
            self.handler,
            b"sample",
            self.clock,
            self.directory,
            "gate.example.org:8888",
            self.sessionLimits,
            self.lifeLimits,
        )
        self.factory = MsgFactory(self.service, self.clock, self.gateLimits)
        self.service.startService()
        self.handler.calls.clear()

    def loginOf(self, uid: bytes = b"alice", secret: bytes = SECRET) -> Deferred[bytes]:
        """Have the login side ask for a login: each with an epoch above the last."""
        self.epoch += 1
        return self.service.login(uid, secret, self.epoch)

    def login(self, uid: bytes = b"alice") -> User:
        subid = self.successResultOf(self.loginOf(uid))
        return User(uid, subid, b"sample")

    def connect(self, user: User, index: int = 1) -> Client:
        """Connect and shake hands, which must succeed."""
        client = Client(self.factory)
        client.send(GateClient(user, SECRET, index).hello)
        self.assertEqual(client.heard(), [b"200 OK"])
        return client

    def turn(self) -> None:
        """Let the reactor's turn end."""
        self.clock.advance(0)

    def called(self, *names: str) -> list[tuple[str, object]]:
        """The calls of these names so far."""
        return [call for call in self.handler.calls if call[0] in names]

    def fulfil(self, name: bytes, answer: object) -> None:
        """Answer the request C{later:NAME}, and let the turn end."""
        self.handler.promised.pop(name).callback(answer)
        self.turn()

    def stop(self) -> Deferred[None]:
        return self.service.stopService() or succeed(None)
