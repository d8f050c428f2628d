"""
What a login server knows: which gates there are, and who is logged in at which (L4).

It is a table and nothing else: it asks nobody, and nothing in it takes time. What is done about
what it says is L{msgserver.loginservice}'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from attrs import define, field, frozen

from msgserver.cluster import IGate, LoginRecord, Registration
from msgserver.errors import UserNotFound


@define(eq=False)
class Member:
    """
    A gate that is registered.

    @ivar asked: how many logins it is being asked for at this moment.
    @ivar untold: how many logins it has said that it has, beside those that it has told of: its
        handler's own, and those that it is about to tell of.
    @ivar lateUntil: when its having been late is forgotten, in seconds of the clock.
    """

    gate: IGate
    servername: bytes
    address: str | None
    weight: int
    isDraining: bool
    asked: int = 0
    untold: int = 0
    lateUntil: float = 0.0
    places: set[Place] = field(factory=set, repr=False)

    @property
    def name(self) -> str:
        """What to call it, as in L{msgserver.cluster.GateReport}."""
        return self.server if self.address is None else f"{self.server}@{self.address}"

    @property
    def server(self) -> str:
        """Its server name, which it may share."""
        return self.servername.decode("utf-8", "backslashreplace")

    @property
    def fullness(self) -> float:
        """
        How many logins it has for its weight, those that it is being asked for included, and
        those that it has told the number of.
        """
        return (len(self.places) + self.asked + self.untold) / self.weight

    def isLate(self, now: float) -> bool:
        """Say whether it has been late lately, or is so at this moment."""
        return now < self.lateUntil or self.gate.isLate


@frozen(eq=False)
class Place:
    """Where a login is. It is the place that is compared, never what it says."""

    member: Member
    record: LoginRecord

    @property
    def age(self) -> tuple[int, bytes, str]:
        """Greater for the newer of two logins; the same to every login server that knows both."""
        return self.record.epoch, self.record.subid, self.member.name


MOST_LOST = 100_000
"""
How many uids with a login at a gate that was lost are remembered; then the longest known is
forgotten. Some 20 MB.
"""


class Directory:
    """
    The gates, and their logins.

    @param multilogin: a uid may have several logins at once.
    @param mostLost: see L{MOST_LOST}.
    @ivar lastEpoch: the greatest that any login has had.
    """

    def __init__(self, multilogin: bool, mostLost: int = MOST_LOST) -> None:
        self.lastEpoch = 0
        self._multilogin = multilogin
        self._mostLost = mostLost
        self._members: dict[IGate, Member] = {}
        self._places: dict[bytes, list[Place]] = {}
        # Of each uid that may have a login at a gate out of reach: the epoch of the newest that
        # it has had since. That login may end, and is no less newer for it.
        self._lost: dict[bytes, int] = {}

    # Gates

    def add(self, gate: IGate, registration: Registration) -> tuple[Member, IGate | None]:
        """
        Take in a gate, or take it in anew; it has no logins until they are adopted.

        @return: what there is of it, and the gate that had its server name and its address,
            which is forgotten.
        """
        self.remove(gate)
        servername, address = registration.servername, registration.address
        replaced = next(
            (member.gate for member in self.group(servername) if member.address == address), None
        )
        if replaced is not None:
            self.remove(replaced)
        member = self._members[gate] = Member(
            gate,
            servername,
            address,
            registration.weight,
            registration.isDraining,
            untold=registration.load.logins,
        )
        return member, replaced

    def remove(self, gate: IGate) -> Member | None:
        """
        Forget a gate and its logins.

        @return: what there was of it; None where it was not known.
        """
        member = self._members.pop(gate, None)
        if member is not None:
            for place in list(member.places):
                self.lose(place)
        return member

    def get(self, gate: IGate) -> Member | None:
        """Give what there is of a gate; None where it is not known."""
        return self._members.get(gate)

    def members(self) -> Iterable[Member]:
        """Give all gates, in the order of their names."""
        return sorted(self._members.values(), key=lambda member: member.name)

    def group(self, servername: bytes) -> Iterator[Member]:
        """Give the gates of one server name, in the order in which they came."""
        return (member for member in self._members.values() if member.servername == servername)

    def named(self, name: str) -> Member:
        """
        Find a gate by its name, its address, or its server name where that is its alone; that
        of a gate without an address is its name.

        @raise UserNotFound: there is none, or more than one.
        """
        found = [
            member
            for member in self.members()
            if name in (member.name, member.address, member.server)
        ]
        if not found:
            raise UserNotFound(f"no gate is named {name}")
        alone = [member for member in found if member.address is None and member.name == name]
        if len(alone) == 1:
            return alone[0]
        if len(found) > 1:
            names = ", ".join(member.name for member in found)
            raise UserNotFound(f"{name} may be any of {names}: name one of them")
        return found[0]

    def candidates(self, servername: bytes, home: IGate | None, now: float) -> list[Member]:
        """
        Give the gates of a server name that take logins, the best first: those that are not
        late; of these C{home}; of the others those that are less full.

        @param now: seconds of the clock.
        """
        return sorted(
            (member for member in self.group(servername) if not member.isDraining),
            key=lambda member: (member.isLate(now), member.gate is not home, member.fullness),
        )

    # Logins

    def adopt(
        self, gate: IGate, logins: Iterable[LoginRecord], isTold: bool = True
    ) -> tuple[list[LoginRecord], list[Place]]:
        """
        Take in logins of a gate. Where a uid may have one alone, the newest stays.

        @param isTold: it is the gate that tells of them; it was not asked for them here.

        @return: which of them newer ones have superseded, and so are not taken in; and the
            places of older ones that they supersede, and so are forgotten. Neither for a
            gate that is not known.
        """
        superseded: list[LoginRecord] = []
        outdated: list[Place] = []
        member = self._members.get(gate)
        if member is None:
            return superseded, outdated
        for record in logins:
            if isTold:
                member.untold = max(0, member.untold - 1)
            self.lastEpoch = max(self.lastEpoch, record.epoch)
            if self._find(gate, record.uid, record.subid) is not None:
                continue
            place = Place(member, record)
            if not self._multilogin:
                rivals = list(self.placesOf(record.uid))
                isOld = record.epoch < self._lost.get(record.uid, 0)
                if isOld or any(rival.age > place.age for rival in rivals):
                    superseded.append(record)
                    continue
                for rival in rivals:
                    self.lose(rival)
                outdated += rivals
                if record.uid in self._lost:
                    self._lost[record.uid] = record.epoch
            member.places.add(place)
            self._places.setdefault(record.uid, []).append(place)
        return superseded, outdated

    def lose(self, place: Place) -> None:
        """
        Forget a login that may not have ended, since its gate is out of reach, or does not
        answer: if it turns up again, it is superseded by whatever was newer meanwhile.
        """
        self._drop(place)
        uid = place.record.uid
        if self._multilogin or uid in self._lost:
            return
        if len(self._lost) >= self._mostLost:
            del self._lost[next(iter(self._lost))]
        self._lost[uid] = 0

    def supersedeLost(self, uid: bytes) -> bool:
        """
        Have a login of the uid that turns up again be superseded.

        @return: whether there may be one.
        """
        if uid not in self._lost:
            return False
        self.lastEpoch += 1
        self._lost[uid] = self.lastEpoch
        return True

    def placesOf(self, uid: bytes) -> Sequence[Place]:
        """Tell where a uid is logged in."""
        return self._places.get(uid, ())

    def places(self) -> list[Place]:
        """Tell of all logins, in the order of their uids."""
        return [place for uid in sorted(self._places) for place in self._places[uid]]

    def forget(self, gate: IGate, uid: bytes, subid: bytes) -> None:
        """Forget one login of a gate, if it is known, and no other (U4)."""
        place = self._find(gate, uid, subid)
        if place is not None:
            self._drop(place)

    def _find(self, gate: IGate, uid: bytes, subid: bytes) -> Place | None:
        for place in self.placesOf(uid):
            if place.member.gate is gate and place.record.subid == subid:
                return place
        return None

    def _drop(self, place: Place) -> None:
        uid = place.record.uid
        places = self._places[uid]
        places.remove(place)
        if not places:
            del self._places[uid]
        place.member.places.discard(place)
