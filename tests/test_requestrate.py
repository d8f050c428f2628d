"""
Tests for L{msgserver.requestrate}: how often a login may ask, where that is limited.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from msgserver.interfaces import User
from msgserver.msgprotocol import GateLimits, MsgFactory
from msgserver.requestrate import RequestMeter, RequestRate
from msgserver.sessions import SessionLimits
from msgserver.wire.framing import measurePackets, packet
from msgserver.wire.gate import GateClient, requestPacket
from tests.gates import ONE, SECRET, TWO, Client, GateCase


def request(number: int, content: bytes = b"?") -> bytes:
    """Write a request."""
    return requestPacket(number.to_bytes(4, "big"), content)


def requests(count: int, content: bytes = b"?") -> bytes:
    """Write so many requests, with the sessions 0 and up."""
    return b"".join(request(number, content) for number in range(count))


class MeasureTests(SynchronousTestCase):
    """L{measurePackets}."""

    def test_first(self) -> None:
        """So many, and not more; and whether there is a whole one behind them."""
        data = packet(b"1234") + packet(b"12345") + packet(b"123456")
        for most, measured in (
            (0, (0, 0, True)),
            (1, (1, 6, True)),
            (2, (2, 13, True)),
            (3, (3, 21, False)),
            (9, (3, 21, False)),
        ):
            self.assertEqual(measurePackets(data, most, 100), measured)

    def test_incomplete(self) -> None:
        """One that is not whole is not counted, nor waited for."""
        data = packet(b"1234") + packet(b"12345")
        for end in range(6, 13):
            self.assertEqual(measurePackets(data[:end], 1, 100), (1, 6, False))
            self.assertEqual(measurePackets(data[:end], 9, 100), (1, 6, False))
        for end in range(6):
            self.assertEqual(measurePackets(data[:end], 9, 100), (0, 0, False))

    def test_noRequest(self) -> None:
        """S3, B4: what can be no request is passed on at once, with all behind it."""
        for length in (0, 3, 101, 65_535):
            data = packet(b"1234") + length.to_bytes(2, "big")
            self.assertEqual(measurePackets(data, 1, 100), (1, 8, False))
            self.assertEqual(measurePackets(data + b"more", 1, 100), (1, 12, False))
        self.assertEqual(measurePackets(packet(bytes(100)), 1, 100), (1, 102, False))


class FakeLogin:
    """What a rate has to do with a login."""

    meter = None


class MeterTests(SynchronousTestCase):
    """Four requests a second, and three before that holds."""

    def setUp(self) -> None:
        """Make a login's first connection."""
        self.clock = Clock()
        self.rate = RequestRate(self.clock, 4, 3, 100)
        self.login = FakeLogin()
        self.given = b""
        self.meter = self.connect()

    def connect(self) -> RequestMeter:
        """Make another connection of the login."""
        return RequestMeter(self.rate, self.login, self.resume)

    def resume(self) -> None:
        """Take what is due."""
        self.given += self.meter.take()

    def test_rate(self) -> None:
        """Three at once, then one each quarter of a second, in their order, each once."""
        self.given = self.meter.take(requests(8))
        counts = []
        for _ in range(8):
            counts.append(len(self.given) // 7)
            self.clock.advance(0.25)
        self.assertEqual(counts, [3, 4, 5, 6, 7, 8, 8, 8])
        self.assertEqual(self.given, requests(8))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        # Once for each time that there was something to wait for.
        self.assertEqual(self.rate.hits, {"request_rate": 5})

    def test_noWaitForNothing(self) -> None:
        """Who has asked no more than he may need not wait, whatever has come of the next."""
        for data in (requests(3), b"", b"\0\x05four"):
            self.meter.take(data)
            self.assertFalse(self.meter.isWaiting)
        self.assertEqual(self.rate.hits, {})
        self.assertEqual(self.meter.take(b"5"), b"")
        self.assertTrue(self.meter.isWaiting)

    def test_overConnections(self) -> None:
        """Another connection does not make it more."""
        self.assertEqual(self.meter.take(requests(3)), requests(3))
        self.meter.stop()
        self.meter = self.connect()
        self.assertEqual(self.meter.take(requests(1)), b"")
        self.clock.advance(0.25)
        self.assertEqual(self.given, requests(1))

    def test_otherLogins(self) -> None:
        """Another login has its own."""
        self.meter.take(requests(4))
        self.login = FakeLogin()
        self.assertEqual(self.connect().take(requests(3)), requests(3))

    def test_whileWaiting(self) -> None:
        """What comes while one waits stands behind it."""
        self.meter.take(requests(4))
        self.assertEqual(self.meter.take(request(4)[:3]), b"")
        self.assertEqual(self.meter.take(request(4)[3:]), b"")
        self.clock.advance(0.25)
        self.clock.advance(0.25)
        self.assertEqual(self.given, request(3) + request(4))

    def test_stop(self) -> None:
        """Whose connection is closed is nobody to wait for."""
        self.meter.take(requests(4))
        self.meter.stop()
        self.meter.stop()
        self.assertEqual((self.clock.getDelayedCalls(), self.meter.take()), ([], b""))

    def test_highRate(self) -> None:
        """A high rate sets no timer for each request, and gets all that it may."""
        self.rate = RequestRate(self.clock, 5000, 500, 100)
        self.meter = self.connect()
        self.given = self.meter.take(requests(3000))
        seconds = 0.0
        while self.meter.isWaiting:
            due = self.clock.getDelayedCalls()[0].getTime() - self.clock.seconds()
            self.clock.advance(due)
            seconds += due
        self.assertAlmostEqual(seconds, 0.5)
        self.assertLess(self.rate.hits["request_rate"], 60)

    def test_smallBurst(self) -> None:
        """So it is where the bucket is small: nothing flows over while one waits."""
        self.rate = RequestRate(self.clock, 1000, 1, 100)
        self.meter = self.connect()
        self.given = self.meter.take(requests(101))
        while self.meter.isWaiting:
            self.clock.advance(self.clock.getDelayedCalls()[0].getTime() - self.clock.seconds())
        self.assertAlmostEqual(self.clock.seconds(), 0.1)

    @settings(derandomize=True, deadline=None)
    @given(
        st.lists(st.tuples(st.integers(0, 20), st.sampled_from([0.0, 0.1, 0.25, 1.0])), max_size=20)
    )
    def test_anyPieces(self, pieces: list[tuple[int, float]]) -> None:
        """However it comes, all of it is given, whole and in its order, and never too much."""
        self.setUp()
        stream = requests(12, b"content")
        position = count = 0
        for size, seconds in pieces:
            self.given += self.meter.take(stream[position : position + size])
            position = min(len(stream), position + size)
            self.clock.advance(seconds)
            self.assertEqual(len(self.given) % 13, 0)
            count = len(self.given) // 13
            self.assertLessEqual(count, 3 + 4 * self.clock.seconds() + 1e-6)
        self.given += self.meter.take(stream[position:])
        for _ in range(20):
            self.clock.advance(0.25)
        self.assertEqual(self.given, stream)


class GateTests(GateCase):
    """A gate with such a rate."""

    gateLimits = GateLimits(requestRate=4, requestBurst=3, maxPacket=200)
    sessionLimits = SessionLimits(maxRunning=2, maxPacket=200)

    def heard(self, client: Client) -> list[int]:
        """Tell the sessions that were answered."""
        return [int.from_bytes(each[-4:], "big") for each in client.heard()]

    def test_off(self) -> None:
        """Where there is none, nothing is in between."""
        self.factory = MsgFactory(self.service, self.clock, GateLimits())
        client = self.connect(self.login())
        self.assertEqual(client.protocol.dataReceived, client.protocol._serve)
        client.send(requests(1000))
        self.assertEqual(self.heard(client), [*range(1000)])
        self.assertNotIn("_meter", vars(client.protocol))

    def test_rate(self) -> None:
        """What is asked too often waits, unread; all is answered, in its order."""
        client = self.connect(self.login())
        client.send(requests(6))
        self.assertEqual(self.heard(client), [0, 1, 2])
        self.assertFalse(client.transport.isReading)
        self.clock.pump([0.25, 0.25])
        self.assertEqual(self.heard(client), [3, 4])
        self.assertFalse(client.transport.isReading)
        self.clock.advance(0.25)
        self.assertEqual(self.heard(client), [5])
        self.assertTrue(client.transport.isReading)
        self.assertEqual(self.factory.rate and self.factory.rate.hits, {"request_rate": 3})

    def test_wellBehaved(self) -> None:
        """Who asks no more often than he may is always read, and answered at once."""
        client = self.connect(self.login())
        for number in range(50):
            client.send(request(number))
            self.assertEqual(self.heard(client), [number])
            self.assertTrue(client.transport.isReading)
            self.clock.advance(0.25)

    def test_nobodyElse(self) -> None:
        """One who asks too often holds up nobody else."""
        busy, calm = self.connect(self.login()), self.connect(self.login(b"bob"))
        busy.send(requests(100))
        calm.send(requests(3))
        self.assertEqual(self.heard(calm), [0, 1, 2])

    def test_behindTheHandshake(self) -> None:
        """H2: it holds for the requests in the segment of the handshake, too."""
        client = Client(self.factory)
        client.send(GateClient(self.login(), SECRET, 1).hello + requests(5))
        self.assertEqual([each[-4:] for each in client.heard()][1:], [b"\0\0\0\0", ONE, TWO])
        self.assertFalse(client.transport.isReading)
        self.clock.pump([0.25, 0.25])
        self.assertEqual(self.heard(client), [3, 4])
        self.assertTrue(client.transport.isReading)

    def test_reconnect(self) -> None:
        """A new connection does not make it more, and the old one takes nothing any more (H4)."""
        user = self.login()
        old = self.connect(user, 1)
        old.send(requests(5))
        new = self.connect(user, 2)
        old.send(requests(5))
        self.clock.advance(0.25)
        new.send(request(9) + request(10))
        self.assertEqual(self.heard(new), [9])
        old.lose()
        self.clock.advance(0.25)
        self.assertEqual(self.heard(new), [10])
        self.assertEqual(self.handler.requests, [b"?"] * 5)

    def test_lost(self) -> None:
        """What waited when the connection was lost is asked again, and no timer is left."""
        user = self.login()
        client = self.connect(user)
        client.send(requests(5))
        client.lose()
        self.clock.advance(1)
        self.assertEqual(len(self.handler.requests), 3)
        again = self.connect(user, 2)
        again.send(requests(5))
        self.assertEqual(self.heard(again), [0, 1, 2])
        self.assertEqual(len(self.handler.requests), 3)
        self.clock.advance(0.5)
        self.assertEqual(self.heard(again), [3, 4])

    def test_logout(self) -> None:
        """U2: what waits when the login ends does not begin."""
        client = self.connect(self.login())
        client.send(request(0, b"logout:") + requests(9))
        self.turn()
        self.assertTrue(client.isClosed)
        self.clock.advance(10)
        client.lose()
        self.assertEqual(self.handler.requests, [b"logout:"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_drain(self) -> None:
        """B5: nor when the gate drains."""
        client = self.connect(self.login())
        client.send(request(0, b"later:a") + requests(9))
        self.stop()
        self.clock.advance(1)
        self.assertEqual(len(self.handler.requests), 3)
        self.assertFalse(client.transport.isReading)

    def test_stalled(self) -> None:
        """B3: a client that does not read is not served when its time has come, but afterwards."""
        client = self.connect(self.login())
        client.send(requests(5))
        client.protocol.pauseProducing()
        self.clock.advance(10)
        self.assertEqual(len(self.handler.requests), 3)
        client.protocol.resumeProducing()
        self.assertEqual(self.heard(client), [0, 1, 2, 3, 4])
        self.assertTrue(client.transport.isReading)

    def test_full(self) -> None:
        """B2: nor is one served that runs as many as it may; nothing is lost of either."""
        client = self.connect(self.login())
        client.send(request(0, b"later:a") + request(1, b"later:b") + request(2) + request(3))
        self.clock.advance(10)
        self.assertEqual(self.handler.requests, [b"later:a", b"later:b"])
        self.assertFalse(client.transport.isReading)
        self.fulfil(b"a", b"done")
        self.assertEqual(self.heard(client), [0, 2, 3])
        self.assertTrue(client.transport.isReading)

    def test_broken(self) -> None:
        """S3, B4: what is no request ends the connection at once, after what came before it."""
        for broken in (b"\0\3abc", b"\0\xc9"):
            user = self.login(broken)
            client = self.connect(user)
            client.send(requests(2) + broken)
            self.assertEqual(self.heard(client), [0, 1])
            self.assertTrue(client.isClosed)
            client.lose()

    def test_brokenBehind(self) -> None:
        """S3: behind what waits, it does so in its turn."""
        client = self.connect(self.login())
        client.send(requests(4) + b"\0\0")
        self.assertFalse(client.isClosed)
        self.clock.advance(0.25)
        self.assertEqual(self.heard(client), [0, 1, 2, 3])
        self.assertTrue(client.isClosed)
        self.assertEqual(self.called("loggedOut"), [])

    def test_noTimerLeft(self) -> None:
        """A connection that ends while its requests wait leaves no timer."""
        client = self.connect(User(b"alice", self.login().subid, b"sample"))
        before = len(self.clock.getDelayedCalls())
        client.send(requests(5))
        self.assertEqual(len(self.clock.getDelayedCalls()), before + 1)
        client.protocol.abort()
        client.lose()
        # The one that the login has, while it is away (U2).
        self.assertEqual(len(self.clock.getDelayedCalls()), before + 1)
