"""The attacker's connections, against a listener that does as it is told."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from tests.attacks.raids import Line, Raid, Tactic, attack
from tests.attacks.tactics import Churn, Drip, Say

SECONDS = 20.0
"""Until a raid is broken off that should have ended long ago."""

SHORT = 0.5
"""Seconds of a raid that ends when its time is up."""

TICK = 0.05

ADDRESSES = ("127.66.0.1", "127.66.0.2")


class Listener:
    """
    Accepts connections, one at a time.

    @param serve: what is done with each, before it is closed.
    @ivar peers: where connections came from.
    """

    def __init__(self, serve: Callable[[socket.socket], object]) -> None:
        self.peers: list[str] = []
        self._serve = serve
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                stream, (peer, _) = self._listening.accept()
            except OSError:
                return
            self.peers.append(peer)
            # The attacker resets what it has enough of.
            with stream, contextlib.suppress(ConnectionError):
                self._serve(stream)

    def close(self) -> None:
        """End it."""
        # Closing alone does not wake up who is waiting.
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()


class RaidTests(SynchronousTestCase):
    def raid(
        self, serve: Callable[[socket.socket], object], tactic: Tactic, total: int, seconds: float
    ) -> tuple[Listener, Counter[str]]:
        """Attack a listener; C{total} connections, two at once."""
        listener = Listener(serve)
        self.addCleanup(listener.close)
        raid = Raid(listener.port, tactic, ADDRESSES, 2, total)
        return listener, attack([raid], seconds, TICK)

    def test_closed(self) -> None:
        """What the server closes is opened again, from the next address, up to the total."""
        listener, counts = self.raid(lambda stream: stream.sendall(b"hi"), Tactic(), 6, SECONDS)
        self.assertEqual(counts, {"connected": 6, "closed after a word": 6})
        self.assertEqual(Counter(listener.peers), dict.fromkeys(ADDRESSES, 3))

    def test_silent(self) -> None:
        """What the server leaves open stays open until the time is up."""
        _, counts = self.raid(lambda stream: stream.recv(1), Tactic(), 0, SHORT)
        self.assertEqual(counts, {"connected": 2, "open at the end": 2})

    def test_churn(self) -> None:
        """The attacker closes, at once or when something is said."""
        _, counts = self.raid(
            lambda stream: stream.sendall(b"hi"), Churn(isPatient=True), 6, SECONDS
        )
        self.assertEqual(counts, {"connected": 6, "closed by the attacker": 6})

    def test_say(self) -> None:
        """All is sent that is to be, though the server takes it in pieces."""
        heard: list[int] = []
        text = b"A" * 5_000_000
        self.raid(lambda stream: heard.append(_countOf(stream, len(text))), Say(text), 2, SECONDS)
        self.assertEqual(heard, [len(text)] * 2)

    def test_drip(self) -> None:
        """A drip is a byte each tick: its text, then its filler."""
        heard: list[bytes] = []

        def serve(stream: socket.socket) -> None:
            heard.append(b"".join(stream.recv(1) for _ in range(4)))

        self.raid(serve, Drip(b"ab", b"."), 1, SECONDS)
        self.assertEqual(heard, [b"ab.."])

    def test_unread(self) -> None:
        """A tactic that never reads still notices that the server has closed."""

        class Unread(Tactic):
            reads = False

            def begin(self, line: Line) -> None:
                line.send(b"?")

        def serve(stream: socket.socket) -> None:
            stream.recv(1)
            stream.sendall(b"!")

        _, counts = self.raid(serve, Unread(), 2, SECONDS)
        self.assertEqual(counts, {"connected": 2, "closed without a word": 2})


def _countOf(stream: socket.socket, most: int) -> int:
    count = 0
    while count < most and (data := stream.recv(65536)):
        count += len(data)
    return count
