"""
Tests for L{msgserver.directory}: which gates there are, and who is logged in at which.
"""

from __future__ import annotations

from itertools import count, islice

from twisted.trial.unittest import SynchronousTestCase

from msgserver.cluster import GateLoad, IGate, LoginRecord, Registration
from msgserver.directory import Directory
from msgserver.errors import UserNotFound
from msgserver.testing import MemoryGate

OLD, NEW = LoginRecord(b"alice", b"1", 100), LoginRecord(b"alice", b"2", 200)


class DirectoryCase(SynchronousTestCase):
    """Tests that need a directory, without gates."""

    multilogin = False

    def setUp(self) -> None:
        """Make it."""
        self.directory = Directory(self.multilogin)

    def add(
        self,
        servername: bytes = b"sample",
        address: str | None = None,
        *logins: LoginRecord,
        weight: int = 1,
        isDraining: bool = False,
    ) -> IGate:
        """Add a gate that replaces none, with logins that none supersedes."""
        gate = MemoryGate()
        registration = Registration(servername, address, weight, isDraining)
        _, replaced = self.directory.add(gate, registration)
        self.assertIsNone(replaced)
        self.assertEqual(self.directory.adopt(gate, logins), ([], []))
        return gate

    def assertAt(self, *places: tuple[IGate, LoginRecord], uid: bytes = b"alice") -> None:
        """See where a uid is logged in; and that the gates know no more of it than that."""
        found = self.directory.placesOf(uid)
        self.assertEqual([(place.member.gate, place.record) for place in found], list(places))
        self.assertEqual(
            {
                place
                for member in self.directory.members()
                for place in member.places
                if place.record.uid == uid
            },
            set(found),
        )

    def adopt(self, gate: IGate, *logins: LoginRecord) -> list[LoginRecord]:
        """Adopt logins; tell which are superseded."""
        return self.directory.adopt(gate, logins)[0]

    def outdating(self, gate: IGate, *logins: LoginRecord) -> list[tuple[IGate, LoginRecord]]:
        """Adopt logins; tell which older ones, at which gates, they supersede."""
        places = self.directory.adopt(gate, logins)[1]
        return [(place.member.gate, place.record) for place in places]


class GateTests(DirectoryCase):
    """Gates that come and go."""

    def test_add(self) -> None:
        """A gate is what its registration says, without its logins."""
        gate = MemoryGate()
        registration = Registration(b"sample", "east:1", 7, True, logins=(OLD,))
        member, _ = self.directory.add(gate, registration)
        self.assertIs(self.directory.get(gate), member)
        self.assertIs(member.gate, gate)
        self.assertEqual((member.servername, member.address), (b"sample", "east:1"))
        self.assertEqual((member.weight, member.isDraining, member.asked), (7, True, 0))
        self.assertAt()

    def test_joins(self) -> None:
        """Gates of one name and several addresses, or none, are a group, in their order."""
        east, west = self.add(address="b:1"), self.add(address="a:1")
        other, plain = self.add(b"other", "b:1"), self.add()
        group = [member.gate for member in self.directory.group(b"sample")]
        self.assertEqual(group, [east, west, plain])
        self.assertEqual([member.gate for member in self.directory.group(b"other")], [other])
        self.assertEqual(list(self.directory.group(b"nowhere")), [])

    def test_replaces(self) -> None:
        """One of the same name and the same address takes its place; its logins are gone."""
        for address in ("east:1", None):
            first = self.add(b"sample", address, OLD)
            second = MemoryGate()
            member, replaced = self.directory.add(second, Registration(b"sample", address))
            self.assertIs(replaced, first)
            self.assertIs(member.gate, second)
            self.assertIsNone(self.directory.get(first))
            self.assertAt()
            self.directory.remove(second)

    def test_addAgain(self) -> None:
        """One that comes anew replaces none, begins anew, and stands behind the others."""
        first, second = self.add(b"sample", "a:1", OLD), self.add(b"sample", "b:1")
        late = self.directory.get(first)
        assert late is not None
        late.lateUntil, late.asked = 100.0, 5
        _, replaced = self.directory.add(first, Registration(b"sample", "a:1"))
        self.assertIsNone(replaced)
        self.assertAt()
        candidates = self.directory.candidates(b"sample", None, 0.0)
        self.assertEqual([member.gate for member in candidates], [second, first])
        self.assertEqual([(each.asked, each.lateUntil) for each in candidates], [(0, 0)] * 2)

    def test_addAgainElsewhere(self) -> None:
        """One that comes anew by another name has left the first."""
        gate = self.add(b"sample", "a:1", OLD)
        self.directory.add(gate, Registration(b"other", "b:1"))
        self.assertEqual(list(self.directory.group(b"sample")), [])
        self.assertEqual(len(list(self.directory.group(b"other"))), 1)

    def test_remove(self) -> None:
        """A gate is forgotten with its logins, and no other's are; once is enough."""
        bob = LoginRecord(b"bob", b"1", 1)
        gate, other = self.add(b"a", None, OLD), self.add(b"b", None, bob)
        removed = self.directory.remove(gate)
        assert removed is not None
        self.assertEqual((removed.gate, removed.places), (gate, set()))
        self.assertIsNone(self.directory.remove(gate))
        self.assertAt()
        self.assertAt((other, bob), uid=b"bob")

    def test_members(self) -> None:
        """All gates are given in the order of their names."""
        for servername, address in ((b"b", None), (b"b", "a:1"), (b"a", "z:1"), (b"c", None)):
            self.add(servername, address)
        names = [member.name for member in self.directory.members()]
        self.assertEqual(names, ["a@z:1", "b", "b@a:1", "c"])


class NamedTests(DirectoryCase):
    """Finding a gate by what an operator calls it."""

    def assertNamed(self, gate: IGate, *names: str) -> None:
        """See a gate found by each of these."""
        for name in names:
            self.assertIs(self.directory.named(name).gate, gate, name)

    def assertNotNamed(self, name: str, why: str) -> None:
        """See none found, and why."""
        error = self.assertRaises(UserNotFound, self.directory.named, name)
        self.assertEqual(str(error), why)

    def test_named(self) -> None:
        """By its name, its address, or its server name."""
        self.assertNamed(self.add(b"sample", "east:1"), "sample@east:1", "east:1", "sample")
        self.assertNamed(self.add(b"plain"), "plain")

    def test_group(self) -> None:
        """One of a group by its name or its address; the error says what the names are."""
        self.assertNamed(self.add(b"sample", "east:1"), "sample@east:1", "east:1")
        self.assertNamed(self.add(b"sample", "west:1"), "sample@west:1", "west:1")
        self.assertNotNamed(
            "sample", "sample may be any of sample@east:1, sample@west:1: name one of them"
        )

    def test_sharedAddress(self) -> None:
        """An address that two server names have does not say which; their names do."""
        self.assertNamed(self.add(b"a", "east:1"), "a@east:1", "a")
        self.assertNamed(self.add(b"b", "east:1"), "b@east:1", "b")
        self.assertNotNamed("east:1", "east:1 may be any of a@east:1, b@east:1: name one of them")

    def test_unknown(self) -> None:
        """A name that is none, or is a part of one, is nobody's."""
        self.add(b"sample", "east:1")
        self.add(b"plain")
        for name in ("nowhere", "", "sam", "sample@", "@east:1", "east", "None", "plain@None"):
            self.assertNotNamed(name, f"no gate is named {name}")

    def test_at(self) -> None:
        """A server name may look like a gate's; a name that fits two is never guessed at."""
        self.assertNamed(self.add(b"me@home", "east:1"), "me@home@east:1", "me@home", "east:1")
        impostor = self.add(b"me@home@east:1", "west:1")
        self.assertNamed(impostor, "me@home@east:1@west:1", "west:1")
        self.assertNotNamed(
            "me@home@east:1",
            "me@home@east:1 may be any of me@home@east:1, me@home@east:1@west:1: name one of them",
        )

    def test_noAddress(self) -> None:
        """A gate without an address can be named, whoever shares its server name."""
        plain = self.add(b"sample")
        self.add(b"sample", "east:1")
        self.assertNamed(plain, "sample")

    def test_bytes(self) -> None:
        """A server name is any bytes: it is read as UTF-8, and told by numbers where it is not."""
        self.assertNamed(self.add("d\xe9mo".encode()), "d\xe9mo")
        self.assertNamed(self.add(b"\xff\x00", "east:1"), "\\xff\x00@east:1", "\\xff\x00")


class LostTests(DirectoryCase):
    """Logins at gates that went away, and come back."""

    def setUp(self) -> None:
        """Log alice in at a gate that is lost then, and make another gate."""
        super().setUp()
        self.east = self.add(b"sample", "east:1", OLD)
        self.west = self.add(b"sample", "west:1")
        self.directory.remove(self.east)

    def back(self) -> list[LoginRecord]:
        """Have the gate come back; tell which of its logins are superseded."""
        self.directory.add(self.east, Registration(b"sample", "east:1"))
        return self.adopt(self.east, OLD)

    def test_back(self) -> None:
        """Where there was no other login meanwhile, it is known again; the longest, too."""
        for _ in range(3):
            self.assertEqual(self.back(), [])
            self.assertAt((self.east, OLD))
            self.directory.remove(self.east)

    def test_newerHasEnded(self) -> None:
        """U4: a login that was superseded stays so when the newer one has ended."""
        self.assertEqual(self.adopt(self.west, NEW), [])
        self.directory.forget(self.west, b"alice", NEW.subid)
        self.assertEqual(self.back(), [OLD])
        self.assertAt()

    def test_newerIsLostToo(self) -> None:
        """U4: and when the newer one's gate is lost as well, whichever is back first."""
        self.assertEqual(self.adopt(self.west, NEW), [])
        self.directory.remove(self.west)
        self.assertEqual(self.back(), [OLD])
        self.directory.add(self.west, Registration(b"sample", "west:1"))
        self.assertEqual(self.adopt(self.west, NEW), [])
        self.assertAt((self.west, NEW))

    def test_outdated(self) -> None:
        """U4: one that a newer login drives out may still be there when that has ended."""
        self.assertEqual(self.back(), [])
        self.assertEqual(self.outdating(self.west, NEW), [(self.east, OLD)])
        self.directory.forget(self.west, b"alice", NEW.subid)
        self.assertEqual(self.adopt(self.east, OLD), [OLD])

    def test_supersede(self) -> None:
        """An operator's kick holds for it, and for no later login."""
        self.assertTrue(self.directory.supersedeLost(b"alice"))
        self.assertFalse(self.directory.supersedeLost(b"bob"))
        self.assertEqual(self.back(), [OLD])
        later = LoginRecord(b"alice", b"3", self.directory.lastEpoch + 1)
        self.assertEqual(self.adopt(self.west, later), [])

    def test_bound(self) -> None:
        """So many uids are remembered; then the first that was lost is forgotten."""
        self.directory = Directory(False, mostLost=2)
        records = [LoginRecord(b"%d" % number, b"1", 10) for number in range(4)]
        for record in records:
            gate = self.add(b"sample", "east:1", record)
            self.directory.remove(gate)
        lost = [self.directory.supersedeLost(record.uid) for record in records]
        self.assertEqual(lost, [False, False, True, True])


class LostMultiloginTests(DirectoryCase):
    """The same, where multiple logins are on."""

    multilogin = True

    def test_nothing(self) -> None:
        """No login supersedes another, and nothing is remembered."""
        east, west = self.add(b"sample", "east:1", OLD), self.add(b"sample", "west:1")
        self.directory.remove(east)
        self.assertEqual(self.adopt(west, NEW), [])
        self.assertFalse(self.directory.supersedeLost(b"alice"))
        self.directory.add(east, Registration(b"sample", "east:1"))
        self.assertEqual(self.adopt(east, OLD), [])


class UntoldTests(DirectoryCase):
    """The logins that a gate says that it has and has not told of count, too."""

    def test_load(self) -> None:
        """Its handler's own fill it, and its others do before they are told of one by one."""
        full, empty = MemoryGate(), MemoryGate()
        load = GateLoad(logins=2)
        self.directory.add(full, Registration(b"sample", "east:1", load=load))
        self.directory.add(empty, Registration(b"sample", "west:1"))
        member = self.directory.get(full)
        assert member is not None

        def first() -> IGate:
            return self.directory.candidates(b"sample", None, 0.0)[0].gate

        self.assertEqual((first(), member.fullness), (empty, 2))
        # One of the two is told of; the other is its handler's own.
        self.adopt(full, OLD)
        self.assertEqual((first(), member.fullness), (empty, 2))
        # This one it was asked for here: it is one more.
        self.directory.adopt(full, [LoginRecord(b"bob", b"1", 300)], isTold=False)
        self.assertEqual(member.fullness, 3)


class CandidateTests(DirectoryCase):
    """Which gates take a login, the best first."""

    def setUp(self) -> None:
        """Begin to count uids."""
        super().setUp()
        self.uids = (b"%d" % number for number in count())

    def assertOrder(self, *gates: IGate, home: IGate | None = None, now: float = 0.0) -> None:
        """See these gates, and no others, in this order."""
        found = self.directory.candidates(b"sample", home, now)
        self.assertEqual([member.gate for member in found], list(gates))

    def logins(self, number: int) -> list[LoginRecord]:
        """Make so many logins, of uids that nobody else has."""
        return [LoginRecord(uid, b"1", 1) for uid in islice(self.uids, number)]

    def test_fullness(self) -> None:
        """Those that have fewer logins come first; of equals, those that came first."""
        two = self.add(b"sample", "a:1", *self.logins(2))
        none, alsoNone = self.add(b"sample", "c:1"), self.add(b"sample", "b:1")
        one = self.add(b"sample", "d:1", *self.logins(1))
        self.assertOrder(none, alsoNone, one, two)

    def test_weight(self) -> None:
        """Logins count for less where there is more weight."""
        light = self.add(b"sample", "a:1", *self.logins(2), weight=1)
        heavy = self.add(b"sample", "b:1", *self.logins(5), weight=3)
        self.assertOrder(heavy, light)
        self.directory.adopt(heavy, self.logins(2))
        self.assertOrder(light, heavy)

    def test_asked(self) -> None:
        """Logins that a gate is being asked for count as those that it has."""
        first, second = self.add(b"sample", "a:1"), self.add(b"sample", "b:1")
        member = self.directory.get(first)
        assert member is not None
        member.asked = 1
        self.assertOrder(second, first)
        self.directory.adopt(second, self.logins(2))
        self.assertOrder(first, second)

    def test_ended(self) -> None:
        """Logins that have ended count no more."""
        first = self.add(b"sample", "a:1", OLD)
        second = self.add(b"sample", "b:1")
        self.assertOrder(second, first)
        self.directory.forget(first, b"alice", b"1")
        self.assertOrder(first, second)

    def test_draining(self) -> None:
        """Those that take no logins are left out."""
        self.add(b"sample", "a:1", isDraining=True)
        open = self.add(b"sample", "b:1", *self.logins(9))
        self.assertOrder(open)

    def test_others(self) -> None:
        """So are those of other names; an unknown name has none."""
        self.add(b"other", "a:1")
        self.assertOrder()

    def test_home(self) -> None:
        """Home comes before those that are less full, unless it is of another name."""
        home = self.add(b"sample", "a:1", *self.logins(9), weight=1)
        empty = self.add(b"sample", "b:1")
        self.assertOrder(home, empty, home=home)
        self.assertOrder(empty, home, home=self.add(b"other"))

    def test_homeDraining(self) -> None:
        """Home is no candidate either where it takes no logins."""
        home, other = self.add(b"sample", "a:1", isDraining=True), self.add(b"sample", "b:1")
        self.assertOrder(other, home=home)

    def test_late(self) -> None:
        """Those that are late come last, home or not, until their time is over."""
        late, full = self.add(b"sample", "a:1"), self.add(b"sample", "b:1", *self.logins(9))
        member = self.directory.get(late)
        assert member is not None
        member.lateUntil = 10.0
        self.assertOrder(full, late, now=9.9)
        self.assertOrder(full, late, now=9.9, home=late)
        self.assertOrder(late, full, now=10.0)


class AdoptTests(DirectoryCase):
    """Logins, of which a uid has one alone: the newest one."""

    def setUp(self) -> None:
        """Make two gates."""
        super().setUp()
        self.one, self.two = self.add(b"sample", "a:1"), self.add(b"sample", "b:1")

    def test_newer(self) -> None:
        """A newer one supersedes the one known, which is given and forgotten."""
        self.assertEqual(self.outdating(self.one, OLD), [])
        self.assertEqual(self.outdating(self.two, NEW), [(self.one, OLD)])
        self.assertAt((self.two, NEW))

    def test_older(self) -> None:
        """An older one is superseded by the one known, and not taken in."""
        self.directory.adopt(self.two, [NEW])
        self.assertEqual(self.directory.adopt(self.one, [OLD]), ([OLD], []))
        self.assertAt((self.two, NEW))

    def test_sameGate(self) -> None:
        """So it is at one gate, and within one report, whichever comes first."""
        self.assertEqual(self.outdating(self.one, OLD, NEW), [(self.one, OLD)])
        self.assertAt((self.one, NEW))
        self.assertEqual(self.adopt(self.one, NEW, OLD), [OLD])
        self.assertAt((self.one, NEW))

    def test_tie(self) -> None:
        """Of two of one epoch the subid decides, then the gate's name: never the order."""
        for one, two in (
            (LoginRecord(b"alice", b"1", 100), LoginRecord(b"alice", b"2", 100)),
            (OLD, OLD),
        ):
            self.directory.adopt(self.one, [one])
            self.assertEqual(self.outdating(self.two, two), [(self.one, one)])
            self.assertEqual(self.adopt(self.one, one), [one])
            self.assertAt((self.two, two))
            self.directory.forget(self.two, b"alice", two.subid)

    def test_twice(self) -> None:
        """A login that is known already is as it was: neither superseded nor outdated."""
        self.directory.adopt(self.one, [OLD])
        self.assertEqual(self.directory.adopt(self.one, [OLD, OLD]), ([], []))
        self.assertAt((self.one, OLD))

    def test_otherUids(self) -> None:
        """Logins of other uids are no rivals, whatever their subids."""
        bob = LoginRecord(b"bob", b"1", 300)
        self.directory.adopt(self.one, [OLD, bob])
        self.assertEqual(self.directory.adopt(self.two, [NEW])[0], [])
        self.assertAt((self.one, bob), uid=b"bob")

    def test_unknownGate(self) -> None:
        """What a gate has that is not known is neither taken in nor judged."""
        self.directory.adopt(self.one, [OLD])
        self.assertEqual(self.directory.adopt(MemoryGate(), [NEW]), ([], []))
        self.assertAt((self.one, OLD))

    def test_lastEpoch(self) -> None:
        """The greatest epoch is remembered, of logins that are gone, too."""
        self.assertEqual(self.directory.lastEpoch, 0)
        self.directory.adopt(self.one, [NEW, OLD])
        self.assertEqual(self.directory.lastEpoch, 200)
        self.directory.remove(self.one)
        self.directory.adopt(self.two, [OLD])
        self.assertEqual(self.directory.lastEpoch, 200)

    def test_places(self) -> None:
        """All logins are told of in the order of their uids."""
        bob = LoginRecord(b"bob", b"1", 1)
        self.directory.adopt(self.one, [bob])
        self.directory.adopt(self.two, [OLD])
        self.assertEqual([place.record for place in self.directory.places()], [OLD, bob])

    def test_forget(self) -> None:
        """U4: one is forgotten by its gate, its uid and its subid, and by nothing less."""
        self.directory.adopt(self.one, [OLD])
        for gate, uid, subid in (
            (self.two, b"alice", b"1"),
            (MemoryGate(), b"alice", b"1"),
            (self.one, b"bob", b"1"),
            (self.one, b"alice", b"2"),
        ):
            self.directory.forget(gate, uid, subid)
            self.assertAt((self.one, OLD))
        for _ in range(2):
            self.directory.forget(self.one, b"alice", b"1")
            self.assertAt()

    def test_lateForget(self) -> None:
        """U4: one that was superseded has been forgotten; the newer one stays."""
        self.directory.adopt(self.one, [OLD, NEW])
        self.directory.forget(self.one, b"alice", OLD.subid)
        self.assertAt((self.one, NEW))


class MultiloginTests(DirectoryCase):
    """Where a uid may have several logins."""

    multilogin = True

    def test_stay(self) -> None:
        """All stay, the last one last; none is superseded, whatever the epochs."""
        one, two = self.add(b"sample", "a:1"), self.add(b"sample", "b:1")
        self.assertEqual(self.directory.adopt(one, [NEW]), ([], []))
        self.assertEqual(self.directory.adopt(two, [OLD, NEW, OLD]), ([], []))
        self.assertAt((one, NEW), (two, OLD), (two, NEW))

    def test_forget(self) -> None:
        """U4: a logout names the gate and the subid, and ends that login alone."""
        one, two = self.add(b"sample", "a:1", OLD, NEW), self.add(b"sample", "b:1", OLD)
        self.directory.forget(one, b"alice", b"1")
        self.assertAt((one, NEW), (two, OLD))

    def test_remove(self) -> None:
        """A gate that goes takes its own along, and no others."""
        one, two = self.add(b"sample", "a:1", OLD, NEW), self.add(b"sample", "b:1", OLD)
        self.directory.remove(one)
        self.assertAt((two, OLD))
