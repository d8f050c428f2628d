"""
The responses that a login keeps, so that a request asked again need not run again (S7).

Pure. Within one connection nothing is ever replayed (S5), so while a connection lasts its
responses are only appended to a log: the bytes that were sent, one object for each batch. A
handshake parses the log, once, into what the new connection may ask for again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from msgserver.wire.framing import PACKET_LENGTH, SESSION_SIZE


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
    @ivar own: the responses of the present connection, by session, so far as L{recallOwn} has
        told of them: apart from the others, since a session may come round and be new (S5).
    """

    __slots__ = (
        "_aging",
        "_count",
        "_countLimit",
        "_fresh",
        "_known",
        "_older",
        "_olderKnown",
        "_size",
        "_sizeLimit",
        "_younger",
        "own",
        "replays",
    )

    def __init__(self, countLimit: int, sizeLimit: int) -> None:
        self._countLimit = countLimit
        self._sizeLimit = sizeLimit
        self._older: list[bytes] = []
        self._younger: list[bytes] = []
        self._count = 0
        self._size = 0
        self.replays: dict[bytes, bytes] = {}
        self.own: dict[bytes, bytes] = {}
        # How many pieces of each generation, and which sessions, the replays have been told of.
        self._olderKnown = 0
        self._known = 0
        self._aging: set[bytes] = set()
        self._fresh: set[bytes] = set()

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
        self._addOne(packet)
        self._fresh.add(session)
        self.replays[session] = packet

    def recall(self, running: Collection[bytes]) -> None:
        """
        Make everything kept a replay, for a connection that begins.

        @param running: the sessions whose latest request has no response yet; what is kept
            for an earlier request of the same session is out of date.
        """
        older = dict(_bySession(self._older))
        younger = dict(_bySession(self._younger))
        self.replays.clear()
        self.own.clear()
        for generation in (older, younger):
            self.replays.update(generation)
        for session in running:
            self.replays.pop(session, None)
        # Each session is in one of the two, so that what leaves with the older generation
        # is nothing that the younger one knows better.
        self._aging = older.keys() - younger.keys() - set(running)
        self._fresh = younger.keys() - set(running)
        self._olderKnown, self._known = len(self._older), len(self._younger)

    def recallOwn(self) -> None:
        """
        Tell of what the present connection was answered itself, too, in L{own}.

        Each response is looked at once, however often this is asked for.
        """
        for pieces, known, sessions in (
            (self._older, self._olderKnown, self._aging),
            (self._younger, self._known, self._fresh),
        ):
            for session, packet in _bySession(pieces[known:]):
                self.own[session] = packet
                sessions.add(session)
        self._olderKnown, self._known = len(self._older), len(self._younger)

    def release(self) -> None:
        """Let go of the replays, for as long as there is no connection to ask for them."""
        self.replays.clear()
        self.own.clear()
        self._aging = set()
        self._fresh = set()
        self._olderKnown = self._known = 0

    def forget(self) -> None:
        """Let go of everything."""
        self._older, self._younger = [], []
        self._count = self._size = 0
        self.release()

    def _addOne(self, packet: bytes) -> None:
        if self._count >= self._countLimit or self._size + len(packet) > self._sizeLimit:
            self._older = self._younger
            self._younger = []
            self._count = self._size = 0
            for session in self._aging:
                self.replays.pop(session, None)
                self.own.pop(session, None)
            self._aging, self._fresh = self._fresh, set()
            self._olderKnown, self._known = self._known, 0
        self._younger.append(packet)
        self._count += 1
        self._size += len(packet)


def _bySession(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    for piece in pieces:
        start = 0
        while start < len(piece):
            (length,) = PACKET_LENGTH.unpack_from(piece, start)
            end = start + PACKET_LENGTH.size + length
            yield piece[end - SESSION_SIZE : end], piece[start:end]
            start = end
