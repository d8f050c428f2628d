"""
The recording of the original's own traffic, replayed on real sockets, byte for byte.

The client's half is sent and the server's half must come, and the other way about: our
client core must say what the recorded client said.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, DeferredQueue, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.interfaces import IReactorTCP, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from examples.slow import SlowHandler
from msgserver.interfaces import Admission, ILogins, User
from msgserver.loginprotocol import LoginFactory, LoginLimits
from msgserver.msgprotocol import GateLimits, MsgFactory
from msgserver.msgservice import MsgService
from msgserver.wire.classic import ClassicSuite
from msgserver.wire.framing import LineReader, PacketReader, packet
from msgserver.wire.gate import GateClient, requestPacket
from msgserver.wire.login import LoginClient

RECORD: dict[str, Any] = json.loads(
    (Path(__file__).parent / "vectors" / "classic-transcript.json").read_text()
)
LOGIN = RECORD["login"]
SECRET = bytes.fromhex(LOGIN["secret"])
ALICE = User(*(RECORD["user"][name].encode() for name in ("uid", "subid", "server")))
# Not in the recording: the discrete logarithm of the server's public key there.
SERVER_PRIVATE = bytes.fromhex("5e96acc95cb8480c")


class Wire(Protocol):
    """A raw connection: what comes from the server, message by message, None for its close."""

    def __init__(self, reader: LineReader | PacketReader) -> None:
        self._reader = reader
        self.heard: DeferredQueue[bytes | None] = DeferredQueue()
        self.lost: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self._reader.feed(data)
        for message in iter(self._reader.next, None):
            self.heard.put(message)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.heard.put(None)
        self.lost.callback(None)

    def send(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    def close(self) -> Deferred[None]:
        assert self.transport is not None
        self.transport.loseConnection()
        return self.lost


@implementer(ILogins)
class Recorded:
    """Admits whoever sends the recorded token, as the recording says."""

    def login(self, token: bytes, secret: bytes, peer: str) -> Deferred[Admission]:
        assert token == LOGIN["token"].encode()
        assert secret == SECRET
        return succeed(Admission(ALICE.subid))


class TranscriptTests(TestCase):
    async def listen(self, factory: Any, wire: Callable[[], Wire]) -> Callable[[], Any]:
        tcp = IReactorTCP(reactor)
        port = tcp.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        host = port.getHost()
        assert isinstance(host, IPv4Address)
        endpoint = TCP4ClientEndpoint(reactor, host.host, host.port)
        return lambda: connectProtocol(endpoint, wire())

    async def test_login(self) -> None:
        """L, L2: the recorded login, line for line, from both ends."""
        lines = [line.encode() for _, line in LOGIN["lines"]]
        randomness = iter([b"\x3e\xd8\x64\x82\x61\x02\x74\x42", SERVER_PRIVATE])
        factory = LoginFactory(
            Recorded(),
            IReactorTime(reactor),
            [ClassicSuite()],
            LoginLimits(),
            lambda size: next(randomness),
        )
        connect = await self.listen(factory, lambda: Wire(LineReader()))
        wire = await connect()
        client = LoginClient(
            ClassicSuite(),
            LOGIN["token"].encode(),
            lambda size: bytes.fromhex(LOGIN["client_private_key"]),
        )
        said = b""
        for (side, _), line in zip(LOGIN["lines"], lines, strict=True):
            if side == "client":
                self.assertEqual(said[: len(line) + 1], line + b"\n")
                said = said[len(line) + 1 :]
                wire.send(line + b"\n")
            else:
                self.assertEqual(await wire.heard.get(), line)
                client.feed(line + b"\n")
                client.nextEvent()
                said += client.dataToSend()
        self.assertEqual(said, b"")
        self.assertIsNone(await wire.heard.get())
        admitted = client.feedEnd()
        assert admitted is not None
        self.assertEqual((admitted.subid, admitted.secret), (ALICE.subid, SECRET))

    async def test_gate(self) -> None:
        """H, S: the recorded connections, packet for packet."""
        service = MsgService(SlowHandler(), b"sample", IReactorTime(reactor))
        service.startService()
        service.admit(ALICE, SECRET)
        factory = MsgFactory(service, IReactorTime(reactor), GateLimits())
        connect = await self.listen(factory, lambda: Wire(PacketReader()))
        for frames in RECORD["connections"]:
            await self.replay(await connect(), frames)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        await service.stopService()

    async def replay(self, wire: Wire, frames: list[tuple[str, Any]]) -> None:
        for side, content in frames:
            if side == "wait":
                await deferLater(IReactorTime(reactor), content, lambda: None)
            elif side == "client" and content is None:
                await wire.close()
            elif side == "client":
                wire.send(packet(bytes.fromhex(content)))
            else:
                expected = None if content is None else bytes.fromhex(content)
                self.assertEqual(await wire.heard.get(), expected)


class ClientTests(TestCase):
    def test_handshakesAndRequests(self) -> None:
        """H, S: our client core says what the recorded client said."""
        recorded = [
            bytes.fromhex(content)
            for frames in RECORD["connections"]
            for side, content in frames
            if side == "client" and content is not None
        ]
        handshakes = [GateClient(ALICE, SECRET, index).hello for index in (1, 2)]
        ours = {*handshakes, *(requestPacket(said[-4:], said[:-4]) for said in recorded)}
        for said in recorded:
            self.assertIn(packet(said), ours)
        self.assertEqual(sum(packet(said) in handshakes for said in recorded), 3)


