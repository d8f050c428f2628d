"""
The responses that a login keeps, so that a request asked again need not run again (S7).

Pure. Within one connection nothing is ever replayed (S5), so while a connection lasts its
responses are only appended to a log: the bytes that were sent, one object for each batch. A
handshake parses the log, once, into what the new connection may ask for again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from msgserver.wire.framing import PACKET_LENGTH, SESSION_SIZE


class _Recalled:
    """
    What one connection may be told again. Most connections of most logins need none of it.

    @ivar own: see L{KeptResponses.own}.
    @ivar aging: the sessions, of the replays and of C{own}, that leave with the older
        generation; those in C{fresh} leave with the younger.
    @ivar olderKnown: how many pieces of the older generation it tells of; C{known}: of the
        younger.
    """

    __slots__ = ("aging", "fresh", "known", "olderKnown", "own")

    def __init__(self) -> None:
        self.own: dict[bytes, bytes] = {}
        self.aging: set[bytes] = set()
        self.fresh: set[bytes] = set()
        self.olderKnown = 0
        self.known = 0


class KeptResponses:
    """
    A login's last responses, in two generations: when the younger is full it becomes the
    older, and the older is forgotten. So at least one generation is known, at most two.

    @param countLimit: how many responses fill a generation.
    @param sizeLimit: how many bytes of responses fill a generation, no less than the
        largest response has.
    @ivar replays: the responses of earlier connections that the present one has not asked
        for again yet, by session. Whoever replays one takes it out, unless sessions only
        count up.
    """

    __slots__ = (
        "_before",
        "_count",
        "_countLimit",
        "_older",
        "_recalled",
        "_size",
        "_sizeBefore",
        "_sizeLimit",
        "_younger",
        "replays",
    )

    def __init__(self, countLimit: int, sizeLimit: int) -> None:
        self._countLimit = countLimit
        self._sizeLimit = sizeLimit
        # The bytes that were sent, in pieces: one for each batch.
        self._older: Sequence[bytes] = ()
        self._younger: list[bytes] = []
        self._count = 0
        self._size = 0
        # What there was before the younger generation, less what has been settled.
        self._before = 0
        self._sizeBefore = 0
        # Always the same dict: a batch that is being served sees what comes in meanwhile.
        self.replays: dict[bytes, bytes] = {}
        self._recalled: _Recalled | None = None

    @property
    def own(self) -> Mapping[bytes, bytes]:
        """
        The responses of the present connection, by session, so far as L{recallOwn} has told
        of them: apart from the others, since a session may come round and be new (S5).
        """
        return {} if self._recalled is None else self._recalled.own

    def add(self, packets: list[bytes]) -> bytes:
        """Keep response packets in the order given, and give them back as one piece."""
        joined = b"".join(packets)
        count = self._count + len(packets)
        size = self._size + len(joined)
        if count <= self._countLimit and size <= self._sizeLimit:
            self._younger.append(joined)
            self._count = count
            self._size = size
        else:
            for packet in packets:
                self._addOne(packet)
        return joined

    def offer(self, session: bytes, packet: bytes) -> None:
        """Keep a response that was made for an earlier connection while a new one is there."""
        recalled = self._recall()
        self._addOne(packet)
        recalled.fresh.add(session)
        self.replays[session] = packet

    def recall(self, running: Collection[bytes]) -> None:
        """
        Make everything kept a replay, for a connection that begins.

        @param running: the sessions whose latest request has no response yet; what is kept
            for an earlier request of the same session is out of date.
        """
        self._letGo()
        if not self._younger and not self._older:
            return
        recalled = self._recall()
        # Packet by packet from now on, so that they are in memory once, for both.
        self._older, older = _apart(self._older)
        self._younger, younger = _apart(self._younger)
        for generation in (older, younger):
            self.replays.update(generation)
        for session in running:
            self.replays.pop(session, None)
        # Each session is in one of the two, so that what leaves with the older generation
        # is nothing that the younger one knows better.
        recalled.aging = older.keys() - younger.keys() - set(running)
        recalled.fresh = younger.keys() - set(running)
        recalled.olderKnown, recalled.known = len(self._older), len(self._younger)

    def recallOwn(self) -> None:
        """
        Tell of what the present connection was answered itself, too, in L{own}.

        Each response is looked at once, however often this is asked for.
        """
        recalled = self._recall()
        for pieces, known, sessions in (
            (self._older, recalled.olderKnown, recalled.aging),
            (self._younger, recalled.known, recalled.fresh),
        ):
            for session, packet in _bySession(pieces[known:]):
                recalled.own[session] = packet
                sessions.add(session)
        recalled.olderKnown, recalled.known = len(self._older), len(self._younger)

    def release(self) -> None:
        """Let go of the replays, for as long as there is no connection to ask for them."""
        self._letGo()
        # One piece takes less memory than many small ones, and a login may be away for long.
        self._older = [b"".join(self._older)] if self._older else ()
        self._younger = [b"".join(self._younger)] if self._younger else []

    def forget(self) -> None:
        """Let go of everything."""
        self._older = ()
        self._begin()
        self._letGo()

    def unsettled(self) -> tuple[int, int]:
        """Tell how many responses have been kept since L{settle}, and of how many bytes."""
        return self._before + self._count, self._sizeBefore + self._size

    def settle(self) -> tuple[int, int]:
        """Tell the same as L{unsettled}, once."""
        unsettled = self.unsettled()
        self._before, self._sizeBefore = -self._count, -self._size
        return unsettled

    def _begin(self) -> None:
        """Begin a younger generation."""
        self._younger = []
        self._before += self._count
        self._sizeBefore += self._size
        self._count = self._size = 0

    def _recall(self) -> _Recalled:
        if self._recalled is None:
            self._recalled = _Recalled()
        return self._recalled

    def _letGo(self) -> None:
        self._recalled = None
        self.replays.clear()

    def _addOne(self, packet: bytes) -> None:
        if self._count >= self._countLimit or self._size + len(packet) > self._sizeLimit:
            self._older = self._younger
            self._begin()
            recalled = self._recalled
            if recalled is not None:
                for session in recalled.aging:
                    self.replays.pop(session, None)
                    recalled.own.pop(session, None)
                recalled.aging, recalled.fresh = recalled.fresh, set()
                recalled.olderKnown, recalled.known = recalled.known, 0
        self._younger.append(packet)
        self._count += 1
        self._size += len(packet)


def _apart(pieces: Iterable[bytes]) -> tuple[list[bytes], dict[bytes, bytes]]:
    """Take pieces apart into packets, and look these up by session; the later one wins."""
    packets = list(_bySession(pieces))
    return [packet for _, packet in packets], dict(packets)


def _bySession(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    for piece in pieces:
        start = 0
        while start < len(piece):
            (length,) = PACKET_LENGTH.unpack_from(piece, start)
            end = start + PACKET_LENGTH.size + length
            yield piece[end - SESSION_SIZE : end], piece[start:end]
            start = end
