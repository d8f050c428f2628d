"""
Tests for L{msgserver.remote.door}: who is let in, and what a stranger gets.
"""

from __future__ import annotations

import hmac
from typing import Any

from twisted.cred.portal import IRealm
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import Factory
from twisted.logger import capturedLogs, formatEvent
from twisted.spread import pb
from zope.interface import implementer

from msgserver.cluster import Registration
from msgserver.errors import GateUnavailable, InvalidState, Unauthorized
from msgserver.remote import door
from msgserver.remote.door import (
    OPERATOR,
    ControlFactory,
    IDesk,
    Keys,
    Proof,
    enter,
    identityOf,
    prove,
)
from msgserver.remote.gates import GateDesk, OperatorDesk
from msgserver.remote.link import Link, LinkBroker, Served
from msgserver.remote.servers import GateKey, LoginServers
from msgserver.testing import MemoryGate
from tests.remote.links import (
    KEY,
    KEYS,
    OPERATOR_KEY,
    OTHER_KEY,
    SAMPLE,
    SAMPLE_KEY,
    TIMES,
    ControlCase,
    LinkCase,
    warnings,
)
from tests.remote.strangers import Stranger

NONCE = bytes(range(32))


@implementer(IRealm)
class Realm:
    """Gives everybody the same, and writes down who they are."""

    def __init__(self, case: LinkCase) -> None:
        self.known: list[bytes] = []
        self.left: list[bytes] = []
        self._clock = case.clock

    def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
        """See L{IRealm.requestAvatar}."""
        Link(mind, self._clock, TIMES).stays()
        self.known.append(avatarId)
        return IDesk, Served(), lambda: self.left.append(avatarId)


class EnterTests(ControlCase):
    """A peer and a login server that prove a key to each other."""

    def makeRealm(self) -> IRealm:
        """Make a realm that writes down who enters."""
        self.realm = Realm(self)
        return self.realm

    def door(self) -> pb.RemoteReference:
        """Connect without entering; give what stands there."""
        self.resultOf(self.place.connect(door._PeerFactory()))
        return self.resultOf(self.peer.ready)

    @property
    def peer(self) -> LinkBroker:
        """The latest peer's end."""
        broker: LinkBroker = self.place.wire.client.protocol
        return broker

    def ask(self, there: pb.RemoteReference, method: str, *arguments: object) -> Deferred[Any]:
        """Ask something at the door."""
        # Many answers to one connection are more than a stranger may send.
        self.peer.isProved = True
        return Link(self.peer, self.clock, TIMES).ask(there, method, *arguments)

    def test_rightKey(self) -> None:
        """Who holds the key is let in as who it is, and told of when it is gone."""
        link, desk = self.entered()
        self.assertEqual(self.realm.known, [SAMPLE])
        self.assertIsInstance(desk, pb.RemoteReference)
        self.assertTrue(self.brokerOf(self.place.wire).isProved)
        self.assertEqual(self.realm.left, [])
        link.close()
        self.turn()
        self.assertEqual(self.realm.left, [SAMPLE])
        self.assertQuiet()

    def test_identities(self) -> None:
        """Each identity has a key of its own; a gate named as the operator is another."""
        self.assertEqual(identityOf(b"sample"), b"gate sample")
        self.assertNotEqual(identityOf(b"operator"), OPERATOR)
        self.entered(OPERATOR, OPERATOR_KEY)
        self.entered(identityOf(b"other"), OTHER_KEY)
        for identity, key in (
            (OPERATOR, KEY),
            (SAMPLE, OPERATOR_KEY),
            (SAMPLE, OTHER_KEY),
            (identityOf(b"operator"), OPERATOR_KEY),
        ):
            self.assertFails(self.enter(identity, key), Unauthorized, "unknown, or a wrong key")
        self.assertEqual(self.realm.known, [OPERATOR, identityOf(b"other")])

    def test_desks(self) -> None:
        """A gate is given a gate's desk, under its name, and an operator an operator's."""
        realm = ControlCase.makeRealm(self)
        named = identityOf(OPERATOR)
        for identity, kind in (
            (SAMPLE, GateDesk),
            (named, GateDesk),
            (OPERATOR, OperatorDesk),
        ):
            self.entered()
            broker = self.brokerOf(self.place.wire)
            avatar: Any = realm.requestAvatar(identity, broker, IDesk)
            face, desk, left = avatar
            self.assertIs(face, IDesk)
            self.assertIsInstance(desk, kind)
            left()

    def test_wrongKey(self) -> None:
        """A wrong key is refused, with a warning that names the peer; the peer closes."""
        for identity, key in ((SAMPLE, b"wrong"), (b"gate nobody", KEY), (b"gate nobody", b"")):
            with capturedLogs() as events:
                self.assertFails(self.enter(identity, key), Unauthorized, "unknown, or a wrong key")
            self.assertEqual(
                warnings(events),
                [f"192.0.2.1:54321: refused as {identity!r}: unknown, or a wrong key"],
            )
            self.assertTrue(self.place.wire.isLost)
        self.assertEqual(self.realm.known, [])
        self.assertQuiet()

    def test_manyWrongKeys(self) -> None:
        """Whoever knocks again and again fills no log: what is not logged is counted."""
        with capturedLogs() as events:
            for _ in range(70):
                self.assertFails(self.enter(SAMPLE, b"wrong"), Unauthorized)
            self.assertLess(len(warnings(events)), 70)
            self.factory.closeAll()
        refusals = [event for event in events if event.get("event") == "link_refusal"]
        suppressed = sum(event.get("suppressed", 0) for event in events)
        self.assertEqual(len(refusals) + suppressed, 70)
        self.assertEqual(self.factory.refused, 70)
        self.assertQuiet()

    def test_emptyKey(self) -> None:
        """A key of no bytes lets nobody in, though it is configured."""
        self.place.factory = ControlFactory(self.realm, Keys({SAMPLE: b""}), self.clock, 10, TIMES)
        self.assertFails(self.enter(SAMPLE, b""), Unauthorized)

    def test_malformed(self) -> None:
        """What is no proof of bytes is refused, and so is a nonce of another size."""
        there = self.door()
        nonce = self.resultOf(self.ask(there, "challenge", 1))
        proof = prove(KEY, "peer", SAMPLE, (nonce, NONCE))
        good: tuple[object, ...] = (SAMPLE, NONCE, proof)
        for place in range(3):
            for part in (None, 5, "text", ("tuple",)):
                bad = (*good[:place], part, *good[place + 1 :])
                self.assertFails(
                    self.ask(there, "enter", *bad), Unauthorized, "a proof is of bytes"
                )
        for said in ((), good[:2], (*good, 1)):
            self.assertFails(self.ask(there, "enter", *said), Unauthorized, "a proof is of bytes")
        for short in (NONCE[:-1], NONCE + b"x", b""):
            self.assertFails(
                self.ask(there, "enter", SAMPLE, short, prove(KEY, "peer", SAMPLE, (nonce, short))),
                Unauthorized,
                "a nonce of a wrong size",
            )
        self.assertEqual(self.realm.known, [])
        self.resultOf(self.ask(there, "enter", *good))

    def test_onlyOnce(self) -> None:
        """A connection is let in once, even with the right key."""
        link, _ = self.entered()
        there = link.broker.remoteForName("root")
        nonce = self.resultOf(link.ask(there, "challenge", 1))
        proof = prove(OPERATOR_KEY, "peer", OPERATOR, (nonce, NONCE))
        self.assertFails(
            link.ask(there, "enter", OPERATOR, NONCE, proof),
            InvalidState,
            "this connection has been let in already",
        )
        self.assertEqual(self.realm.known, [SAMPLE])

    def test_version(self) -> None:
        """A peer that speaks another version is told which one is spoken here."""
        there = self.door()
        for said in ((2,), (0,), ("1",), (None,), (), (1, 2), ((1,),)):
            self.assertFails(
                self.ask(there, "challenge", *said),
                InvalidState,
                "this login server speaks version 1 of the link",
            )
        self.patch(door, "_VERSION", 2)
        self.assertEqual(len(self.resultOf(self.ask(there, "challenge", 2))), 32)

    def test_otherVersion(self) -> None:
        """A peer of another version fails, and leaves no connection."""

        def remote_challenge(self: door.Door, version: int) -> bytes:
            raise InvalidState("this login server speaks version 2 of the link")

        self.patch(door.Door, "remote_challenge", remote_challenge)
        self.assertFails(
            self.enter(), InvalidState, "this login server speaks version 2 of the link"
        )
        self.assertTrue(self.place.wire.isLost)

    def test_replayed(self) -> None:
        """A proof that has been overheard opens no other connection: its nonce is another."""
        first = self.resultOf(self.ask(self.door(), "challenge", 1))
        proof = prove(KEY, "peer", SAMPLE, (first, NONCE))
        there = self.door()
        self.assertNotEqual(self.resultOf(self.ask(there, "challenge", 1)), first)
        self.assertFails(self.ask(there, "enter", SAMPLE, NONCE, proof), Unauthorized)
        self.assertEqual(self.realm.known, [])

    def test_reflected(self) -> None:
        """The login server's own answer proves nothing to it."""
        there = self.door()
        nonce = self.resultOf(self.ask(there, "challenge", 1))
        answer = prove(KEY, "server", SAMPLE, (nonce, NONCE))
        self.assertFails(self.ask(there, "enter", SAMPLE, NONCE, answer), Unauthorized)

    def test_proof(self) -> None:
        """A proof is the HMAC-SHA256 of the version, the side, both nonces and the identity."""
        head = b"msgserver control 1 peer "
        self.assertEqual(
            prove(KEY, "peer", SAMPLE, (NONCE, b"theirs")),
            hmac.digest(KEY, head + NONCE + b"theirs" + SAMPLE, "sha256"),
        )

    def test_nonces(self) -> None:
        """Both ends' nonces are of 32 random bytes, and both count."""
        sizes: list[int] = []

        def randomBytes(size: int) -> bytes:
            sizes.append(size)
            return NONCE

        self.factory.randomBytes = randomBytes
        self.resultOf(enter(self.place, SAMPLE, KEY, self.clock, TIMES, randomBytes))
        self.assertEqual(sizes, [32, 32])

    def test_constantTime(self) -> None:
        """Both ends compare proofs by C{hmac.compare_digest}, an unknown peer's among them."""
        compared: list[tuple[bytes, bytes]] = []
        compare = hmac.compare_digest

        def compare_digest(one: bytes, other: bytes) -> bool:
            compared.append((one, other))
            return compare(one, other)

        self.patch(hmac, "compare_digest", compare_digest)
        self.entered()
        self.assertEqual([one == other for one, other in compared], [True, True])
        compared.clear()
        self.assertFails(self.enter(b"gate nobody"), Unauthorized)
        self.assertEqual([one == other for one, other in compared], [False])

    def test_mutual(self) -> None:
        """A login server that lets us in without our key is none of ours, and is let go of."""

        class Impostor(Keys):
            def requestAvatarId(self, credentials: Proof) -> Deferred[Any]:
                self._keys[credentials.identity] = b"another key"
                credentials = Proof(
                    credentials.identity,
                    credentials.nonces,
                    prove(b"another key", "peer", credentials.identity, credentials.nonces),
                )
                return Keys.requestAvatarId(self, credentials)

        self.place.factory = ControlFactory(self.realm, Impostor({}), self.clock, 10, TIMES)
        self.assertFails(self.enter(), Unauthorized, "the login server does not hold our key")
        self.assertEqual(self.realm.known, [SAMPLE])
        self.assertTrue(self.place.wire.isLost)
        self.assertQuiet()

    def test_secrets(self) -> None:
        """Neither keys nor proofs are logged at any level, or shown by what holds them."""
        proofs: list[bytes] = []

        def noted(*arguments: Any) -> bytes:
            proofs.append(prove(*arguments))
            return proofs[-1]

        self.patch(door, "prove", noted)
        with capturedLogs() as events:
            gates = LoginServers(SAMPLE_KEY, [("place", self.place)], self.clock, TIMES)
            wrong = LoginServers(
                GateKey(SAMPLE, b"another secret"), [("place", self.place)], self.clock, TIMES
            )
            for each in (gates, wrong):
                each.register(MemoryGate(), lambda: Registration(b"sample"))
            self.wait(1)
            for each in (gates, wrong):
                self.resultOf(each.unregister(MemoryGate()))
        self.assertTrue(proofs)
        shown = "".join(f"{event!r} {formatEvent(event)}" for event in events)
        shown += repr(SAMPLE_KEY) + repr(Keys(KEYS))
        shown += repr(Proof(SAMPLE, (NONCE, NONCE), proofs[0]))
        for secret in (KEY, b"another secret", *proofs):
            self.assertNotIn(repr(secret)[2:-1], shown)
            self.assertNotIn(secret.hex(), shown)
        self.assertIn("refused as b'gate sample'", shown)


class OtherServersTests(LinkCase):
    """What a peer makes of those who are no login server."""

    def enter(self) -> Deferred[Any]:
        """Begin to connect."""
        return Deferred.fromCoroutine(enter(self.place, SAMPLE, KEY, self.clock, TIMES))

    def listen(self, root: Served | None) -> None:
        """Have somebody listen who has that to call, or nobody who speaks."""
        factory: Any = Factory()

        def buildProtocol(address: object) -> Any:
            if root is None:
                return Stranger()
            broker = LinkBroker(isClient=False)
            broker.factory = factory
            pb.Broker.setNameForLocal(broker, "root", root)
            broker.ready.addErrback(lambda _: None)
            return broker

        factory.buildProtocol = buildProtocol
        factory.connectionMade = factory.clientConnectionMade = lambda broker: None
        factory.unsafeTracebacks = False
        self.place.factory = factory

    def test_nobody(self) -> None:
        """Where the endpoint fails, so does it."""
        self.assertFails(self.enter(), ConnectionRefusedError)

    def test_noConnection(self) -> None:
        """One that cannot be connected to in time is given up, and said in our own words."""
        connecting: Deferred[Any] = Deferred(lambda _: connecting.errback(ValueError("odd words")))
        self.patch(self.place, "connect", lambda factory: connecting)
        entering = self.enter()
        self.wait(TIMES.proof - 0.25)
        self.assertNoResult(entering)
        self.wait(0.25)
        self.assertFails(entering, GateUnavailable, f"no connection within {TIMES.proof:g} seconds")
        self.assertQuiet()

    def test_sendsMuch(self) -> None:
        """Who has not proved that the key is held there may send no more than strangers may."""

        class Root(Served):
            def remote_challenge(self, version: int) -> bytes:
                return bytes(5000)

        self.listen(Root())
        with capturedLogs() as events:
            self.assertFails(self.enter(), GateUnavailable)
        self.assertEqual(len([each for each in warnings(events) if "too much" in each]), 1)

    def test_silent(self) -> None:
        """Who says nothing is let go of after C{answer} seconds."""
        self.listen(None)
        entering = self.enter()
        self.wait(TIMES.answer - 0.25)
        self.assertNoResult(entering)
        self.wait(0.25)
        self.assertFails(entering, GateUnavailable, "no login server answers there")
        self.assertTrue(self.place.wire.isLost)
        self.assertQuiet()

    def test_late(self) -> None:
        """What arrives after that is no error."""
        self.listen(Served())
        self.place.hold()
        entering = self.enter()
        self.wait(TIMES.answer)
        self.assertFails(entering, GateUnavailable)
        self.place.hold(False)
        self.assertQuiet()

    def test_cannotConnect(self) -> None:
        """A connection that takes longer than C{proof} is given up."""
        never: Deferred[Any] = Deferred()
        self.patch(self.place, "connect", lambda factory: never)
        entering = self.enter()
        self.wait(TIMES.proof - 0.25)
        self.assertNoResult(entering)
        self.wait(0.25)
        self.failureResultOf(entering)
        self.assertQuiet()

    def test_lost(self) -> None:
        """Who goes away meanwhile is unavailable."""
        self.listen(None)
        entering = self.enter()
        self.place.wire.cut()
        self.assertFails(entering, GateUnavailable, "the connection was lost")
        self.assertQuiet()

    def test_nonsense(self) -> None:
        """Who speaks something else is let go of at once, with one warning."""
        self.listen(None)
        for nonsense in (b"220 SMTP" + b"." * 60, b"\xff" * 9, b"\x05\x81", b"x" * 99):
            entering = self.enter()
            with capturedLogs() as events:
                self.place.wire.server.write(nonsense)
                self.assertFails(entering, GateUnavailable, "the connection was lost")
            (warning,) = warnings(events)
            self.assertTrue(warning.startswith("192.0.2.1:54321: no Perspective Broker: "))
            self.assertTrue(self.place.wire.isLost)

    def test_noDoor(self) -> None:
        """Who speaks Perspective Broker, but is no login server, is unavailable."""

        class Root(Served):
            answers: Any = b"no nonce", None
            entered = 0

            def remote_challenge(self, version: int) -> Any:
                return self.answers[0]

            def remote_enter(self, *proof: bytes) -> Any:
                self.entered += 1
                return self.answers[1]

        self.listen(Served())
        self.assertFails(
            self.enter(), GateUnavailable, "the other end of the link knows no challenge"
        )
        root = Root()
        self.listen(root)
        for nonce in (b"no nonce", NONCE + b"x", "n" * 32, None, 5):
            root.answers = nonce, None
            self.assertFails(self.enter(), GateUnavailable, "nobody there who is a login server")
        # They are not given a proof to make something of.
        self.assertEqual(root.entered, 0)
        for answer in (None, NONCE, (NONCE,), (NONCE, NONCE), (Served(), "text"), (1, 2, 3)):
            root.answers = NONCE, answer
            self.assertFails(self.enter(), GateUnavailable, "nobody there who is a login server")
        root.answers = NONCE, (Served(), NONCE)
        self.assertFails(self.enter(), Unauthorized, "the login server does not hold our key")
        self.assertTrue(all(wire.isLost for wire in self.place.wires))
        self.assertQuiet()

    def test_nonce(self) -> None:
        """Each connection's nonce is another: no earlier answer proves anything."""

        class Root(Served):
            def __init__(self) -> None:
                self.nonces: list[bytes] = []

            def remote_challenge(self, version: int) -> bytes:
                return NONCE

            def remote_enter(self, identity: bytes, nonce: bytes, proof: bytes) -> Any:
                self.nonces.append(nonce)
                return Served(), prove(KEY, "server", SAMPLE, (NONCE, self.nonces[0]))

        self.listen(Root())
        self.resultOf(self.enter())
        self.assertFails(self.enter(), Unauthorized)

    def test_cancelled(self) -> None:
        """Who does not want it any more leaves no connection."""
        self.listen(None)
        entering = self.enter()
        entering.cancel()
        self.failureResultOf(entering)
        self.turn()
        self.assertTrue(self.place.wire.isLost)
        self.assertQuiet()
