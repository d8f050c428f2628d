"""
The handlers of the examples, as objects: no process, no port.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from examples.echo import EchoHandler
from examples.slow import SlowHandler
from msgserver import IMsgHandler, RequestFailed, User
from msgserver.configfile import loadConfig, loadOperator
from msgserver.later import asked
from msgserver.msgprotocol import GateLimits, MsgFactory
from msgserver.msgservice import MsgService
from msgserver.testing import MemoryTransport
from msgserver.wire.framing import packet
from tests.pages import ROOT

ALICE = User(uid=b"alice", subid=b"1", server=b"sample")


class ConfigTests(SynchronousTestCase):
    """The configs beside the examples."""

    def test_load(self) -> None:
        """They are without mistakes."""
        for name in ("msgserver.toml", "slow.toml", "cluster.toml"):
            loadConfig(str(ROOT / "examples" / name), MemoryReactorClock())

    def test_processes(self) -> None:
        """cluster.toml has as many as "make run-cluster" says, each where it says."""
        for process in (1, 2, 3):
            file = str(ROOT / "examples" / "cluster.toml")
            parts = loadConfig(file, MemoryReactorClock(), process)
            assert parts.gate is not None
            self.assertEqual(parts.gate.settings.advertise, f"127.0.0.1:{8880 + process}")
            self.assertIn(f"tcp:{8880 + process}:", parts.gate.settings.listen[0])

    def test_operator(self) -> None:
        """cluster.toml tells msgserver-ctl where to connect, and with which key."""
        operator = loadOperator(str(ROOT / "examples" / "cluster.toml"), MemoryReactorClock())
        self.assertEqual(operator.settings.servers, ("tcp:127.0.0.1:8002",))


class EchoTests(SynchronousTestCase):
    """examples/echo.py."""

    def test_echo(self) -> None:
        """Every request is its own answer."""
        handler = EchoHandler()
        self.assertTrue(verifyObject(IMsgHandler, handler))
        for content in (b"", b"hello", b"slow:1000:late", bytes(range(256))):
            self.assertEqual(handler.requestReceived(ALICE, content), content)


class SlowTests(SynchronousTestCase):
    """examples/slow.py."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.handler = SlowHandler(self.clock)
        self.assertTrue(verifyObject(IMsgHandler, self.handler))

    def ask(self, content: bytes) -> Deferred[bytes]:
        """Ask as the gate does."""
        return asked(self.handler.requestReceived, ALICE, content)

    def test_atOnce(self) -> None:
        """echo:X is X; what has no verb is its own answer."""
        for content, answer in (
            (b"echo:hello", b"hello"),
            (b"echo:", b""),
            (b"echo:slow:5:x", b"slow:5:x"),
            (b"hello", b"hello"),
            (b"", b""),
            (b"unknown:x", b"unknown:x"),
        ):
            self.assertEqual(self.successResultOf(self.ask(content)), answer)

    def test_deferred(self) -> None:
        """slow:MS:X is X, after so many milliseconds."""
        answer = self.ask(b"slow:2000:a:b")
        self.clock.advance(1.999)
        self.assertNoResult(answer)
        self.clock.advance(0.001)
        self.assertEqual(self.successResultOf(answer), b"a:b")

    def test_coroutine(self) -> None:
        """twice:MS:X is X twice, after two waits."""
        answer = self.ask(b"twice:200:ab")
        self.clock.advance(0.2)
        self.assertNoResult(answer)
        self.clock.advance(0.2)
        self.assertEqual(self.successResultOf(answer), b"abab")

    def test_errors(self) -> None:
        """refuse:X fails with X; error:X is a bug; neither is a time that is no number."""
        refused = self.failureResultOf(self.ask(b"refuse:no"), RequestFailed)
        self.assertEqual(refused.value.content, b"no")
        self.failureResultOf(self.ask(b"error:boom"), ValueError)
        for content in (b"slow:", b"slow:soon:x", b"slow:-1:x"):
            self.failureResultOf(self.ask(content), RequestFailed)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_transcript(self) -> None:
        """In a gate it answers the original's clients as the original did, byte for byte."""
        service = MsgService(self.handler, b"sample", self.clock)
        service.startService()
        transcript = _transcript()
        service.admit(ALICE, bytes.fromhex(transcript["login"]["secret"]))
        factory = MsgFactory(service, self.clock, GateLimits())
        for frames in transcript["connections"]:
            self._replay(factory, frames)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def _replay(self, factory: MsgFactory, frames: list[tuple[str, Any]]) -> None:
        transport = MemoryTransport()
        protocol = factory.buildProtocol(None)
        transport.connect(protocol)
        for who, frame in frames:
            if who == "wait":
                self.clock.advance(frame)
            elif who == "client" and frame is not None:
                protocol.dataReceived(packet(bytes.fromhex(frame)))
            elif who == "server" and frame is not None:
                self.assertEqual(self._heard(transport), packet(bytes.fromhex(frame)))
            elif who == "server":
                self.assertTrue(transport.writeClosed)
        self.assertEqual(transport.take(), b"")
        transport.lose()

    def _heard(self, transport: MemoryTransport) -> bytes:
        """Give what the gate says next, if need be after a while."""
        heard = transport.take()
        if not heard:
            self.clock.advance(0.3)
            heard = transport.take()
        return heard


def _transcript() -> Any:
    return json.loads((ROOT / "tests" / "vectors" / "classic-transcript.json").read_text())
