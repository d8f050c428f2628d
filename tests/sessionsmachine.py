"""
Logins driven by hypothesis: several at once, each beside its model.

What the seeded plays of L{tests.test_sessions_properties} do not have: a failure is shrunk to
the fewest steps that show it; several logins share a table, and a user is admitted anew;
handshakes are judged (H1); a connection rests in the middle of a batch (B3); handlers end,
lose and answer things from within (U2).
"""

from __future__ import annotations

from operator import ge
from typing import Any, ClassVar

from attrs import astuple, evolve
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from msgserver.errors import IndexExpired, InvalidState, Refused, Unauthorized, UserNotFound
from msgserver.sessions import Logins, Running, SessionLimits
from msgserver.tally import Tally
from msgserver.wire.framing import packet
from msgserver.wire.gate import GateClient
from msgserver.wire.naming import MAX_INDEX, User, parseHandshake
from tests.logins import MAX_PIECE, answer, ask, failure, heldBy, numbered
from tests.machines import Machine
from tests.sessionsmodel import MAX_PACKET, Application, Model
from tests.sessionsparts import (
    ANSWER_SIZES,
    ANY_RARE,
    ANY_SITUATIONS,
    HANDSHAKES,
    INCREASING_RARE,
    INCREASING_SITUATIONS,
    LARGEST,
    MACS,
    MOST_LOGINS,
    RARE,
    SITUATIONS,
    SMALL,
    STEPS,
    USERS,
    USUAL,
    Entry,
    Link,
    ages,
    cut,
    requestsOf,
    sizes,
    unusual,
    written,
)


def hasLogins(machine: LoginsMachine) -> bool:
    """Say whether there is a login at all."""
    return bool(machine.table)


class LoginsMachine(Machine):
    """
    Drives the logins of a gate.

    @cvar increasing: whether sessions count up (S7).
    """

    increasing: ClassVar[bool]

    logins: Bundle[Entry] = Bundle("logins")
    requests: Bundle[tuple[Entry, bytes, Running]] = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.application = Application()
        self.entries: list[Entry] = []
        self.table: dict[User, Entry] = {}
        self.asked: list[bytes] = []
        self.tally = Tally(0, 0, 0, 0, 0, 0, 0)
        self.serial = 0

    @initialize(
        target=logins,
        expiredNumber=st.integers(1, 4),
        cacheBytes=st.sampled_from([LARGEST, LARGEST + 1, 2 * LARGEST, 15 * LARGEST]),
        maxRunning=st.integers(1, 4),
    )
    def start(self, expiredNumber: int, cacheBytes: int, maxRunning: int) -> Any:
        """Open the gate, and admit the first user."""
        self.limits = SessionLimits(
            expiredNumber=expiredNumber,
            cacheBytes=cacheBytes,
            increasing=self.increasing,
            maxPacket=MAX_PACKET,
            maxRunning=maxRunning,
        )
        self.application.logins = Logins(self.limits, self.application)
        return self.admit(USERS[0], 2**32 - 3)

    @precondition(lambda self: len(self.table) < MOST_LOGINS)
    @rule(target=logins, user=st.sampled_from(USERS), top=st.sampled_from([0, 2**32 - 3]))
    def admit(self, user: User, top: int) -> Any:
        """Admit a user, unless it is there; of its earlier login nothing is left (U5)."""
        self.serial += 1
        secret = self.serial.to_bytes(8, "little")
        logins = self.application.logins
        if user in self.table:
            try:
                logins.admit(user, secret)
            except InvalidState:
                return multiple()
            raise AssertionError("U5: one login took another's place")
        if any(entry.user == user for entry in self.entries):
            self.note("U5: a user is admitted anew")
        entry = Entry(logins.admit(user, secret), secret, top, Model(self.limits, self.note))
        self.entries.append(entry)
        self.table[user] = entry
        return entry

    @rule(
        entry=logins,
        step=st.sampled_from(HANDSHAKES),
        mac=st.sampled_from(MACS),
    )
    def handshake(self, entry: Entry, step: int, mac: str) -> None:
        """Shake hands, or try to (H1)."""
        index = min(max(entry.model.index + step, 0), MAX_INDEX)
        secret = bytes(8) if mac == "other" else entry.secret
        hello = GateClient(entry.user, secret, index).hello[2:]
        handshake = parseHandshake(hello)
        if mac == "flipped":
            handshake = parseHandshake(hello.rpartition(b":")[0] + b":AAAAAAAAAAA=")
        elif mac == "short":
            handshake = parseHandshake(hello.rpartition(b":")[0] + b":")
        expected = self.verdict(entry, index, mac)
        try:
            connection = self.application.logins.connect(handshake, index)
        except Refused as refusal:
            assert type(refusal) is expected, f"H1: {refusal!r} where {expected} was expected"
            return
        assert expected is None, f"H1: accepted where {expected} was expected"
        self.noteLoss(entry)
        entry.model.connect(index)
        entry.links.append(Link(entry, connection))

    def verdict(self, entry: Entry, index: int, mac: str) -> type[Refused] | None:
        """H1, in its order."""
        live = self.table.get(entry.user)
        if live is None:
            self.note("H1: 404")
            return UserNotFound
        if live is not entry or mac != "right":
            self.note("H1: 401, be the index right or not")
            return Unauthorized
        if index <= entry.model.index:
            self.note("H1: 403")
            return IndexExpired
        return None

    def noteLoss(self, entry: Entry) -> None:
        """Take note of the loss of a connection that has more to give."""
        if entry.model.isConnected and entry.links[-1].connection.hasMore:
            self.note("B3: a connection is lost in the middle of a batch")

    @precondition(hasLogins)
    @rule(target=requests, entry=logins, written=written, sizes=sizes, kept=st.integers(0, 9))
    def receive(
        self, entry: Entry, written: list[tuple[str, int]], sizes: list[int], kept: int
    ) -> Any:
        """Receive requests, cut anywhere; the last bytes are yet to come."""
        link = self.current(entry)
        stream = link.unsent + b"".join(self.write(entry, *each) for each in written)
        link.unsent = stream[len(stream) - kept :] if kept else b""
        return self.serve(link, cut(stream[: len(stream) - kept], sizes))

    @precondition(hasLogins)
    @rule(target=requests, entry=logins, written=unusual)
    def receiveUnusual(self, entry: Entry, written: list[tuple[str, int]]) -> Any:
        """Receive requests for large answers, what ends things, and what is no request."""
        return self.receive(entry, written, [], 0)

    @rule(target=requests, entry=logins, age=ages, written=written)
    def disturb(self, entry: Entry, age: int, written: list[tuple[str, int]]) -> Any:
        """Receive requests on any connection, be it an old one (H4)."""
        if not entry.links:
            return multiple()
        link = entry.aged(age)
        if not link.isCurrent:
            self.note("H4: an old connection receives")
        stream = link.unsent + b"".join(self.write(entry, *each) for each in written)
        link.unsent = b""
        return self.serve(link, [stream])

    @precondition(hasLogins)
    @rule(
        target=requests,
        entry=logins,
        count=st.integers(1, 6),
        isReversed=st.booleans(),
        written=requestsOf(USUAL, 2),
    )
    def comeBack(
        self, entry: Entry, count: int, isReversed: bool, written: list[tuple[str, int]]
    ) -> Any:
        """Reconnect, ask for something new, and again for what was asked last."""
        entry = self.lively(entry)
        self.handshake(entry, 1, "right")
        sessions = list(entry.model.latest)[-count:]
        if isReversed:
            sessions.reverse()
        pieces = [self.write(entry, *each) for each in written]
        pieces += [ask(session, self.content("again")) for session in sessions]
        return self.serve(self.current(entry), pieces)

    @precondition(hasLogins)
    @rule(target=requests, entry=logins, isTaken=st.booleans())
    def goOn(self, entry: Entry, isTaken: bool) -> Any:
        """Send what is ready; go on with what waits, or do not (B2, B3)."""
        link = self.current(entry)
        if isTaken or not link.isCurrent or not entry.model.isOpen:
            self.compare(link, link.connection.take())
            return multiple()
        return self.serve(link, [b""])

    @rule(
        request=consumes(requests),
        size=st.sampled_from(ANSWER_SIZES),
        isAnswer=st.booleans(),
        isAway=st.booleans(),
        isAsked=st.booleans(),
    )
    def answer(
        self,
        request: tuple[Entry, bytes, Running],
        size: int,
        isAnswer: bool,
        isAway: bool,
        isAsked: bool,
    ) -> None:
        """
        Have a running request answered, wherever its connection and its login may be.

        @param isAway: its client has just reconnected, and for a large answer gone again.
        @param isAsked: its client asks for it again at once.
        """
        entry, content, running = request
        if isAway and not entry.model.isEnded:
            self.handshake(entry, 1, "right")
            if size:
                self.lose(entry, 0)
        if self.application.running.pop(content, None) is None:
            return  # Another handler has answered it.
        model = entry.model
        if model.isEnded and not model.isConnected:
            self.note("U2: an answer goes nowhere")
        padded = content.ljust(size, b".")
        self.application.ready.clear()
        (running.answer if isAnswer else running.fail)(padded)
        model.answer(content, (answer if isAnswer else failure)(running.session, padded))
        expected = {entry.links[-1].connection} if model.isConnected else set()
        assert self.application.ready == expected, "S1: who is told that answers are ready"
        if isAsked and model.isConnected:
            self.serve(entry.links[-1], [ask(running.session, self.content("again"))])

    @rule(entry=logins, age=ages)
    def lose(self, entry: Entry, age: int) -> None:
        """Lose a connection, be it an old one (H4)."""
        if not entry.links:
            return
        link = entry.aged(age)
        isCurrent = link.isCurrent
        if isCurrent:
            self.noteLoss(entry)
            entry.model.disconnect()
        else:
            self.note("H4: an old connection is lost")
        link.unsent = b""
        assert entry.login.disconnect(link.connection) is isCurrent, "H4, U1"
        if isCurrent:
            assert link.connection.take() == b"", "H4"

    @rule(user=st.sampled_from(USERS), patience=st.integers(0, 2))
    def end(self, user: User, patience: int) -> None:
        """End a login, or none (U2); mostly have patience with it, for then nothing happens."""
        if patience:
            return
        entry = self.table.get(user)
        ended = self.application.logins.end(user)
        if entry is None:
            assert ended is None, "U2: a login ended twice"
            self.note("U2: an end of what has ended")
        else:
            assert ended is entry.login, "U2"
            assert not any(heldBy(ended._kept)), "U2: the responses"
            self.ended(entry)

    def lively(self, entry: Entry) -> Entry:
        """Give a login, or the latest live one where it is no more: little happens to those."""
        if entry.model.isEnded and not entry.model.isConnected:
            return list(self.table.values())[-1]
        return entry

    def current(self, entry: Entry) -> Link:
        """Give a login's connection, or make one; of a login that has ended, the last."""
        entry = self.lively(entry)
        if not entry.model.isConnected:
            self.handshake(entry, 1, "right")
        return entry.links[-1]

    def ended(self, entry: Entry) -> None:
        """Take note that a login has ended."""
        del self.table[entry.user]
        if not entry.model.isEnded:
            entry.model.end()

    def content(self, verb: str) -> bytes:
        """Give a request's content, unlike any other."""
        self.serial += 1
        return b"%b %d" % (verb.encode(), self.serial)

    def write(self, entry: Entry, verb: str, choice: int) -> bytes:
        """Write a request, or what is none."""
        number = choice % 6
        if self.increasing:
            number = entry.top + STEPS[choice]
            entry.top = max(entry.top, number)
        session = numbered(number)
        if verb == "short":
            return packet(session[: choice % 4])
        if verb == "long":
            return packet(self.content("now").ljust(MAX_PACKET - 3) + session)
        if verb == "empty":
            return ask(session, b"")
        if verb == "exact":
            return ask(session, self.content("now").ljust(MAX_PACKET - 4))
        return ask(session, self.content(verb))

    def serve(self, link: Link, pieces: list[bytes]) -> Any:
        """Have a connection receive something, and compare what comes of it."""
        before = len(self.asked)
        for piece in pieces:
            model, connection = link.entry.model, link.connection
            isServed = link.isCurrent and model.isOpen
            begun = len(self.asked)
            waited = len(model.due) if link.isCurrent else 0
            sent = connection.receive(piece)
            assert len(sent) <= waited + MAX_PIECE + SMALL, "B3: a piece is too long"
            if not isServed:
                assert sent == b"", "H4, S3, U2: what is not to be served was"
                continue
            model.receive(piece, sent, self.asked, connection.hasMore, self.application.asked)
            assert self.application.asked == self.asked, "S: what handlers were asked"
            for content in self.asked[begun:]:
                if content.startswith(b"out "):
                    self.endOther(link.entry)
                elif content.startswith(b"move "):
                    moved = self.application.moved.pop(0)
                    link.entry.links.append(Link(link.entry, moved))
            if model.isEnded and link.entry in self.table.values():
                self.ended(link.entry)
            assert not connection.hasMore or sent, "B3: a batch stopped and made nothing"
            self.compare(link, sent)
        running = self.application.running
        return multiple(
            *((link.entry, each, running[each]) for each in self.asked[before:] if each in running)
        )

    def endOther(self, entry: Entry) -> None:
        """Take note that a handler has ended the first login that is not its own."""
        for other in self.table.values():
            if other is not entry:
                self.note("U2: a handler ends another login")
                self.ended(other)
                break

    def compare(self, link: Link, sent: bytes) -> None:
        """Compare what a connection is sent (H4, S)."""
        model = link.entry.model
        expected = model.due if link.isCurrent else b""
        assert sent == expected, f"S: {sent[:60]!r} was sent where {expected[:60]!r} was due"
        if link.isCurrent:
            model.due = b""

    @invariant()
    def tableU2(self) -> None:
        """U2, U5: there are the logins that were admitted and have not ended, no others."""
        logins = self.application.logins
        assert [each.user for each in logins] == list(self.table), "U2"
        assert len(logins) == len(self.table), "U2"
        for entry in self.entries:
            isLive = self.table.get(entry.user) is entry
            assert (logins.get(entry.user) is entry.login) is isLive, "U2, U5"
            assert entry.login.isEnded is entry.model.isEnded is not isLive, "U2"
            assert entry.login.secret == (entry.secret if isLive else b""), "U2: the secret"

    @invariant()
    def oneConnectionH4(self) -> None:
        """H4: a login's last connection is served, or none; an old one waits for nothing."""
        for entry in self.entries:
            current = entry.links[-1].connection if entry.model.isConnected else None
            assert entry.login.connection is current, "H4"
            for link in entry.links:
                connection = link.connection
                isOpen = link.isCurrent and not entry.model.isEnded
                assert connection.isOpen is isOpen, "H4, U2"
                assert isOpen or not (connection.isFull or connection.hasMore), "H4, U2"

    @invariant()
    def brokenS3(self) -> None:
        """S3, B4: the connection ends for what is no request, and for nothing else."""
        for entry in self.entries:
            if entry.model.isConnected:
                connection = entry.links[-1].connection
                assert connection.isBroken is entry.model.isBroken, "S3, B4"

    @invariant()
    def runningB2(self) -> None:
        """B2: what runs is counted, and no more than the bound; past it, requests wait."""
        for entry in self.entries:
            assert entry.login.runningCount == len(entry.model.running), "B2"
            assert entry.login.runningCount <= self.limits.maxRunning, "B2"
            if entry.model.isConnected:
                assert entry.links[-1].connection.isFull is entry.model.isFull, "B2"

    @invariant()
    def tallied(self) -> None:
        """Every request is counted once, whatever became of it; and no count ever falls."""
        connections = [
            entry.links[-1].connection for entry in self.entries if entry.model.isConnected
        ]
        running = sum(entry.login.runningCount for entry in self.entries)
        tally = self.application.logins.tally(connections, running)
        assert tally.requests == len(self.asked), "the requests"
        assert tally.answered + tally.failed + tally.running <= tally.requests
        counts = evolve(tally, running=0)
        assert all(map(ge, astuple(counts), astuple(self.tally))), "a count has fallen"
        self.tally = counts

    @invariant()
    def boundedS7(self) -> None:
        """S7, B4: what is held does not grow; kept twice over while there is a connection."""
        for entry in self.entries:
            held = sum(map(len, heldBy(entry.login._kept)))
            assert held <= (4 if entry.model.isConnected else 2) * self.limits.cacheBytes + 999, (
                "S7"
            )
            if entry.model.isConnected and entry.model.isOpen:
                connection = entry.links[-1].connection
                if not (connection.isFull or connection.hasMore):
                    assert len(connection._rest) < 2 + MAX_PACKET, "B4"


class AnyMachine(LoginsMachine):
    """Sessions are tokens in any order."""

    increasing = False
    situations = SITUATIONS | ANY_SITUATIONS
    rare = RARE | ANY_RARE


class IncreasingMachine(LoginsMachine):
    """Sessions count up, and wrap (S7)."""

    increasing = True
    situations = SITUATIONS | INCREASING_SITUATIONS
    rare = RARE | INCREASING_RARE | ANY_SITUATIONS | ANY_RARE
