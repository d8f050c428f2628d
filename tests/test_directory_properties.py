"""
What holds of L{msgserver.directory} whatever happens to it, and in whichever order.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from msgserver.cluster import IGate, LoginRecord, Registration
from msgserver.directory import Directory, Place
from msgserver.testing import MemoryGate

NUMBERS = st.integers(0, 2)
LOGINS = st.builds(
    lambda uid, subid, epoch: LoginRecord(b"%d" % uid, b"%d" % subid, epoch),
    NUMBERS,
    NUMBERS,
    st.integers(1, 4),
)
STEPS = st.one_of(
    st.tuples(st.just("add"), NUMBERS),
    st.tuples(st.just("remove"), NUMBERS),
    st.tuples(st.just("adopt"), NUMBERS, st.lists(LOGINS, max_size=3)),
    st.tuples(st.just("forget"), NUMBERS, LOGINS),
)


class PropertyTests(SynchronousTestCase):
    """What holds whatever happens, in whichever order."""

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(st.booleans(), st.lists(STEPS, max_size=40))
    def test_model(self, multilogin: bool, steps: list[tuple[str, int, object]]) -> None:
        """The directory knows what has been adopted, and is neither superseded, nor outdated,
        nor forgotten, nor removed: where a uid may have one, the newest. It keeps no more."""
        run = Run(multilogin)
        for step in steps:
            run.step(*step)
            run.check(self)
        for number in range(3):
            run.step("remove", number)
        run.check(self)
        self.assertEqual((run.directory._members, run.directory._places), ({}, {}))
        self.assertEqual(run.directory._lost, run._lost)

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.lists(st.tuples(NUMBERS, LOGINS), max_size=8), st.randoms(use_true_random=False))
    def test_anyOrder(self, reports: list[tuple[int, LoginRecord]], random: Any) -> None:
        """Login servers that have heard of the same logins in any order agree on where
        everybody is, and that is the newest of each."""
        ends = []
        # The same login has one epoch, wherever it is heard of.
        logins = list({(number, each.uid, each.subid): each for number, each in reports}.items())
        for _ in range(2):
            run = Run(multilogin=False)
            for number in range(3):
                run.step("add", number)
            random.shuffle(logins)
            for (number, _, _), login in logins:
                run.step("adopt", number, [login])
            ends.append(run.known())
        self.assertEqual(ends[0], ends[1])
        newest: dict[bytes, tuple[int, bytes, int]] = {}
        for (number, uid, subid), login in logins:
            newest[uid] = max(newest.get(uid, (0, b"", 0)), (login.epoch, subid, number))
        self.assertEqual(
            ends[0],
            {
                (number, LoginRecord(uid, subid, epoch))
                for uid, (epoch, subid, number) in newest.items()
            },
        )


class Run:
    """
    A directory, beside a model of it: the set of what it is to know, by number of the gate.

    The gates' names are in the order of their numbers.
    """

    def __init__(self, multilogin: bool) -> None:
        self.directory = Directory(multilogin)
        self._multilogin = multilogin
        self._gates: list[IGate] = [MemoryGate() for _ in range(3)]
        self._present: set[int] = set()
        self._model: set[tuple[int, LoginRecord]] = set()
        # Of each uid that may be somewhere out of reach, the newest epoch since.
        self._lost: dict[bytes, int] = {}

    def step(self, what: str, number: int, about: Any = None) -> None:
        """Do one thing to both."""
        gate = self._gates[number]
        if what == "add":
            self.directory.add(gate, Registration(b"sample", f"{number}:1"))
            self._leave(number)
            self._present.add(number)
        elif what == "remove":
            self.directory.remove(gate)
            self._leave(number)
        elif what == "forget":
            self.directory.forget(gate, about.uid, about.subid)
            self._model -= {each for each in self._model if _isThat(each, number, about)}
        else:
            superseded, outdated = self.directory.adopt(gate, about)
            expected = self._adopted(number, about)
            assert (superseded, set(map(self._told, outdated))) == expected, what
            assert len(outdated) == len(expected[1])

    def known(self) -> set[tuple[int, LoginRecord]]:
        """Tell what the directory knows."""
        return set(map(self._told, self.directory.places()))

    def check(self, test: SynchronousTestCase) -> None:
        """See that the directory knows what it is to know, however it is asked."""
        known = list(map(self._told, self.directory.places()))
        test.assertEqual(len(known), len(self._model))
        test.assertEqual(set(known), self._model)
        members = list(self.directory.members())
        test.assertEqual({self._gates.index(member.gate) for member in members}, self._present)
        test.assertEqual({self._told(each) for one in members for each in one.places}, self._model)
        uids = [login.uid for _, login in known]
        test.assertEqual(set(self.directory._places), set(uids))
        if not self._multilogin:
            test.assertEqual(len(uids), len(set(uids)))

    def _leave(self, number: int) -> None:
        self._present.discard(number)
        self._lose({each for each in self._model if each[0] == number})

    def _lose(self, places: set[tuple[int, LoginRecord]]) -> None:
        self._model -= places
        if not self._multilogin:
            for _, login in places:
                self._lost.setdefault(login.uid, 0)

    def _adopted(
        self, number: int, logins: list[LoginRecord]
    ) -> tuple[list[LoginRecord], set[tuple[int, LoginRecord]]]:
        superseded: list[LoginRecord] = []
        outdated: set[tuple[int, LoginRecord]] = set()
        for login in logins if number in self._present else ():
            if any(_isThat(each, number, login) for each in self._model):
                continue
            rivals = {each for each in self._model if each[1].uid == login.uid}
            if self._multilogin:
                rivals = set()
            isOld = login.epoch < self._lost.get(login.uid, 0)
            if isOld or any(_age(each) > _age((number, login)) for each in rivals):
                superseded.append(login)
                continue
            self._lose(rivals)
            self._model |= {(number, login)}
            outdated |= rivals
            if login.uid in self._lost:
                self._lost[login.uid] = login.epoch
        return superseded, outdated

    def _told(self, place: Place) -> tuple[int, LoginRecord]:
        return self._gates.index(place.member.gate), place.record


def _isThat(known: tuple[int, LoginRecord], number: int, login: LoginRecord) -> bool:
    return (known[0], known[1].uid, known[1].subid) == (number, login.uid, login.subid)


def _age(known: tuple[int, LoginRecord]) -> tuple[int, bytes, int]:
    return known[1].epoch, known[1].subid, known[0]
