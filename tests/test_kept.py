"""
Tests for L{msgserver.kept}: which responses are kept, and which are replays.
"""

from __future__ import annotations

from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from msgserver import kept
from msgserver.kept import KeptResponses
from tests.compilation import patchesSessions
from tests.logins import FOUR, ONE, THREE, TWO, answer, failure, numbered


class KeptResponsesTests(SynchronousTestCase):
    """Two generations of two responses, or of 65,537 bytes (S7)."""

    def setUp(self) -> None:
        self.kept = KeptResponses(2, 65537)

    def make(self, *sessions: bytes) -> None:
        """Keep a response to each, one at a time."""
        for session in sessions:
            self.kept.add([answer(session, b"")])

    def assertReplays(self, *sessions: bytes) -> None:
        """Check whose responses can be replayed."""
        self.assertEqual(self.kept.replays, {session: answer(session, b"") for session in sessions})

    def test_givenBack(self) -> None:
        """What is to be kept is given back as one piece, in its order."""
        packets = [b"\x00\x06x\x01\0\0\0\1", b"\x00\x05\x00\0\0\0\2", b"\x00\x05\x01\0\0\0\3"]
        for count in range(1, 4):
            self.assertEqual(self.kept.add(packets[:count]), b"".join(packets[:count]))

    def test_notBeforeRecall(self) -> None:
        """S5: what the present connection has made is no replay for it."""
        self.make(ONE)
        self.assertReplays()
        self.kept.recall([])
        self.assertReplays(ONE)
        self.make(TWO)
        self.assertReplays(ONE)

    def test_wholePackets(self) -> None:
        """S6, S9: a replay is its packet, byte for byte, out of whatever pieces were kept."""
        packets = {
            ONE: failure(ONE, b"\x00\x05\x01\0\0\0\3"),
            TWO: answer(TWO, bytes(300)),
            THREE: answer(THREE, b""),
        }
        self.kept.add([packets[ONE]])
        self.kept.add([packets[TWO], packets[THREE]])
        self.kept.recall([])
        self.assertEqual(self.kept.replays, packets)

    def test_count(self) -> None:
        """S7: a third response begins a generation, a fifth forgets the first, in any batches."""
        for count, oldest in ((3, 1), (4, 1), (5, 3), (6, 3), (7, 5)):
            packets = [answer(numbered(number), b"") for number in range(1, count + 1)]
            for size in range(1, count + 1):
                self.setUp()
                for start in range(0, count, size):
                    self.kept.add(packets[start : start + size])
                self.kept.recall([])
                self.assertReplays(*map(numbered, range(oldest, count + 1)))

    def test_size(self) -> None:
        """S7: 65,537 bytes fill a generation exactly, whatever the count."""
        for size, expected in ((65514, {ONE, TWO, THREE, FOUR}), (65515, {TWO, THREE, FOUR})):
            self.kept = KeptResponses(100, 65537)
            self.kept.add([answer(ONE, bytes(65530))])
            self.kept.add([answer(TWO, bytes(size)), answer(THREE, b"\0\0")])
            self.kept.add([failure(FOUR)])
            self.kept.recall([])
            self.assertEqual(self.kept.replays.keys(), expected)
            self.assertTrue(sum(map(len, self.kept.replays.values())) <= 2 * 65537)

    def test_sizeWithinABatch(self) -> None:
        """S7: so they do where the batch goes on."""
        self.kept = KeptResponses(100, 65537)
        self.kept.add([failure(ONE)])
        self.kept.add([answer(TWO, bytes(65523)), failure(THREE)])
        self.kept.recall([])
        self.assertEqual(self.kept.replays.keys(), {ONE, TWO, THREE})

    def test_latest(self) -> None:
        """S6: of several responses of a session the latest is the one that counts."""
        self.kept.add([answer(ONE, b"first"), answer(TWO, b"first")])
        self.kept.add([answer(ONE, b"second"), failure(TWO)])
        self.kept.recall([])
        self.assertEqual(self.kept.replays, {ONE: answer(ONE, b"second"), TWO: failure(TWO)})
        self.make(THREE)
        self.assertEqual(self.kept.replays, {ONE: answer(ONE, b"second"), TWO: failure(TWO)})

    def test_outOfDate(self) -> None:
        """S6: what is kept of a session that runs again is no replay, in either generation."""
        self.make(ONE, TWO, THREE)
        self.kept.recall([ONE, THREE, FOUR])
        self.assertReplays(TWO)
        self.kept.recall([])
        self.assertReplays(ONE, TWO, THREE)

    def test_forgottenReplays(self) -> None:
        """S7: a replay is forgotten with its generation, while the connection lasts."""
        self.make(ONE, TWO, THREE)
        self.kept.recall([])
        self.make(numbered(10))
        self.assertReplays(ONE, TWO, THREE)
        self.make(numbered(11))
        self.assertReplays(THREE)
        self.make(numbered(12))
        self.assertReplays(THREE)
        self.make(numbered(13))
        self.assertReplays()

    def test_release(self) -> None:
        """S7, S8: what is kept outlasts having no connection, in fewer pieces, and ages as ever."""
        for count in range(1, 8):
            self.make(numbered(count))
            self.kept.release()
            self.assertReplays()
        self.assertEqual([len(self.kept._older), len(self.kept._younger)], [1, 1])
        self.kept.recall([])
        self.assertReplays(numbered(5), numbered(6), numbered(7))
        self.make(numbered(8))
        self.make(numbered(9))
        self.assertReplays(numbered(7))

    def test_takenOut(self) -> None:
        """S6: a replay that was taken out stays out, and is one again for the next connection."""
        self.make(ONE, TWO, THREE)
        self.kept.recall([])
        del self.kept.replays[ONE], self.kept.replays[THREE]
        self.make(FOUR, numbered(5))
        self.assertReplays()
        self.kept.recall([])
        self.assertReplays(THREE, FOUR, numbered(5))

    def test_offered(self) -> None:
        """S6: a response made unasked is a replay at once, kept like any other."""
        self.kept.recall([ONE])
        self.kept.offer(ONE, answer(ONE, b""))
        self.assertReplays(ONE)
        self.make(TWO, THREE, FOUR)
        self.assertReplays(ONE)
        self.make(numbered(5))
        self.assertReplays()
        self.kept.recall([])
        self.assertReplays(THREE, FOUR, numbered(5))

    def test_offeredAnew(self) -> None:
        """S6, S7: it does not leave with what was kept for an earlier request of its session."""
        self.make(ONE, TWO)
        self.kept.recall([ONE])
        self.kept.offer(ONE, answer(ONE, b"anew"))
        self.make(THREE)
        self.assertEqual(self.kept.replays.get(ONE), answer(ONE, b"anew"))
        self.make(FOUR)
        self.assertEqual(self.kept.replays, {ONE: answer(ONE, b"anew")})

    def test_offeredAnewLater(self) -> None:
        """S6, S7: not where that is of the older generation either."""
        self.make(ONE, TWO, THREE)
        self.kept.recall([ONE])
        self.kept.offer(ONE, answer(ONE, b"anew"))
        self.make(FOUR)
        self.assertEqual(
            self.kept.replays, {ONE: answer(ONE, b"anew"), THREE: answer(THREE, b"")}
        )

    def test_released(self) -> None:
        """Released replays are kept, for the next connection; and leave as any others do."""
        self.make(ONE, TWO)
        self.kept.recall([])
        self.kept.release()
        self.assertReplays()
        self.make(THREE)
        self.kept.recall([])
        self.assertReplays(ONE, TWO, THREE)
        self.kept.release()
        self.make(FOUR, numbered(5))
        self.kept.recall([])
        self.assertReplays(THREE, FOUR, numbered(5))

    def test_forget(self) -> None:
        """U2: everything can be forgotten."""
        self.make(ONE, TWO, THREE)
        self.kept.recall([])
        self.kept.forget()
        self.assertReplays()
        self.kept.recall([])
        self.assertReplays()
        self.make(ONE, TWO, THREE, FOUR)
        self.kept.recall([])
        self.assertReplays(ONE, TWO, THREE, FOUR)

    def test_own(self) -> None:
        """S7: what the present connection was answered is told of when that is asked for."""
        self.make(ONE)
        self.kept.recall([])
        self.make(TWO, THREE)
        self.kept.recallOwn()
        self.assertReplays(ONE)
        self.assertEqual(set(self.kept.own), {TWO, THREE})
        self.make(FOUR, numbered(5))
        self.assertReplays()
        self.assertEqual(set(self.kept.own), {THREE})
        self.kept.recallOwn()
        self.assertEqual(set(self.kept.own), {THREE, FOUR, numbered(5)})
        self.kept.release()
        self.assertEqual(self.kept.own, {})

    @patchesSessions
    def test_ownIsReadOnce(self) -> None:
        """S7: asking for that again and again looks at no response again."""
        read: list[bytes] = []

        def bySession(pieces: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
            for session, packet in parse(pieces):
                read.append(session)
                yield session, packet

        parse = kept._bySession
        self.patch(kept, "_bySession", bySession)
        self.kept.recall([])
        for number in range(1, 20):
            self.make(numbered(number))
            for _ in range(3):
                self.kept.recallOwn()
        self.assertEqual(read, [numbered(number) for number in range(1, 20)])
