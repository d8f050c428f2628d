"""
The chat of examples/chat, in memory: its words, its rooms, and its people.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from examples.chat import rooms, words
from examples.chat.rooms import Rooms
from examples.chat.screen import Missed, Screen
from examples.chat.server import ChatHandler
from examples.chat.talker import Talker
from examples.chat.words import (
    Entered,
    Event,
    Exited,
    Here,
    Join,
    Joined,
    Leave,
    Left,
    Mistake,
    Presence,
    Request,
    Said,
    Say,
    Who,
)
from msgserver import IMsgHandler, RequestFailed
from msgserver.handlers import Mailbox
from msgserver.testing import MemoryServer, everyCut

SAID = Said("lobby", 7, "alice", "h\N{LATIN SMALL LETTER E WITH ACUTE}llo")


class WordsTests(SynchronousTestCase):
    """What is asked and told, as JSON."""

    def test_requests(self) -> None:
        """What a client writes is what the server reads."""
        for request in (Join("lobby"), Leave("a-1"), Say("lobby", "hi"), Who("lobby"), Here()):
            self.assertEqual(words.parseRequest(words.writeRequest(request)), request)
        self.assertEqual(words.writeRequest(Join("lobby")), b'{"do": "join", "room": "lobby"}')

    def test_events(self) -> None:
        """And the other way; letters are letters in it."""
        own = Entered("a", "1"), Exited("a")
        for event in (*own, Joined("a", "b"), Left("a", "b"), SAID, Presence("b", "away")):
            self.assertEqual(words.parseEvent(words.writeEvent(event)), event)
        self.assertIn("h\N{LATIN SMALL LETTER E WITH ACUTE}llo".encode(), words.writeEvent(SAID))

    def test_mistakes(self) -> None:
        """What cannot be asked is told in one line: what is wrong, and what would be right."""
        for content, reason in (
            (b"", "that is not JSON in UTF-8"),
            (b"\xff", "that is not JSON in UTF-8"),
            (b"[" * 60_000, "that is not JSON in UTF-8"),
            (b"9" * 60_000, "that is not JSON in UTF-8"),
            (b"[]", "that is not an object of JSON"),
            (b"{}", "do must be one of join, leave, say, who, here"),
            (b'{"do": []}', "do must be one of join, leave, say, who, here"),
            (b'{"do": "sing"}', "do must be one of join, leave, say, who, here"),
            (b'{"do": "join"}', "join needs room"),
            (b'{"do": "here", "room": "a"}', "here knows no 'room'"),
        ):
            error = self.assertRaises(Mistake, words.parseRequest, content)
            self.assertEqual(str(error), reason)

    def test_rooms(self) -> None:
        """A room's name is short and plain."""
        for room in ("", "a b", "A", "a" * 33, "a\n", 7, None, ["a"]):
            content = json.dumps({"do": "join", "room": room}).encode()
            error = self.assertRaises(Mistake, words.parseRequest, content)
            self.assertEqual(str(error), "room must be 1 to 32 of the characters a-z, 0-9 and -")

    def test_texts(self) -> None:
        """What is said is one line, of whole characters, and not too long."""
        Say("lobby", "x" * 1000)
        for text in ("", "x" * 1001, "a\nb", "\x1b[2J", "\x9b", "\u2028", "\ud800", 7):
            content = json.dumps({"do": "say", "room": "a", "text": text}).encode()
            self.assertRaises(Mistake, words.parseRequest, content)

    def test_nothingThatIsTold(self) -> None:
        """What a server cannot tell is no event."""
        for message in (
            b'{"event": "presence", "user": "a", "state": "asleep"}',
            b'{"event": "said", "room": "a", "number": true, "user": "a", "text": "a"}',
            b'{"event": "joined", "room": "a", "user": 7}',
        ):
            self.assertRaises(Mistake, words.parseEvent, message)


class RoomsTests(SynchronousTestCase):
    """How many there may be."""

    def setUp(self) -> None:
        self.rooms = Rooms(history=2)

    def test_members(self) -> None:
        """A room holds 500; the next may come when one has left."""
        for number in range(rooms.MAX_MEMBERS):
            self.rooms.join("lobby", b"%d" % number)
        error = self.assertRaises(Mistake, self.rooms.join, "lobby", b"alice")
        self.assertEqual((str(error), rooms.MAX_MEMBERS), ("lobby is full", 500))
        self.rooms.leave("lobby", b"0")
        self.assertIsNotNone(self.rooms.join("lobby", b"alice"))

    def test_joined(self) -> None:
        """A user is in 20 rooms at most."""
        for number in range(rooms.MAX_JOINED):
            self.rooms.join(f"room-{number}", b"alice")
        error = self.assertRaises(Mistake, self.rooms.join, "lobby", b"alice")
        self.assertEqual(str(error), "you are in 20 rooms already; leave one first")
        self.rooms.leave("room-0", b"alice")
        self.rooms.join("lobby", b"alice")

    def test_rooms(self) -> None:
        """Of 1000 rooms the one that has been empty for longest goes for a new one, if any is."""
        for number in range(rooms.MAX_ROOMS):
            self.rooms.join(f"room-{number}", b"%d" % number)
        error = self.assertRaises(Mistake, self.rooms.join, "lobby", b"alice")
        self.assertEqual(str(error), "there are 1000 rooms already; join one of those")
        for number in (5, 3):
            self.rooms.leave(f"room-{number}", b"%d" % number).number = 7
        self.rooms.join("lobby", b"alice")
        again = self.rooms.join("room-3", b"alice")
        assert again is not None
        self.assertEqual(again.number, 7)
        self.assertRaises(Mistake, self.rooms.join, "room-5", b"alice")

    def test_notIn(self) -> None:
        """Nothing is done in a room that one is not in."""
        for do in (self.rooms.leave, self.rooms.of):
            error = self.assertRaises(Mistake, do, "lobby", b"alice")
            self.assertEqual(str(error), "you are not in lobby; join it first")


class Person:
    """
    Somebody who talks.

    @ivar heard: what has happened, as the terminal would show it.
    """

    def __init__(self, server: MemoryServer, uid: bytes) -> None:
        self.server = server
        self.client = server.client(uid)
        self.heard: list[str] = []
        self.failed: list[str] = []
        self.talker = Talker(self.client, self._happened, self.failed.append)
        server.settle()

    def _happened(self, event: Event | Missed) -> None:
        self.heard.append(Screen().happened(event))

    def ask(self, *requests: Request) -> list[dict[str, Any]]:
        """Ask, and hear what comes of it."""
        answers = [self.server.result(self.talker.ask(request)) for request in requests]
        self.server.settle()
        return answers

    def take(self) -> list[str]:
        """Give what has happened since this was called last."""
        heard, self.heard = self.heard, []
        return heard


class ChatTests(SynchronousTestCase):
    """The chat, with real sessions and real clients."""

    def setUp(self) -> None:
        clock = Clock()
        self.handler = ChatHandler(history=3, clock=clock)
        self.server = MemoryServer(self.handler, clock=clock)
        self.addCleanup(self.server.stop)
        self.alice, self.bob = Person(self.server, b"alice"), Person(self.server, b"bob")

    def join(self) -> None:
        """Have both in the lobby."""
        for person in (self.alice, self.bob):
            person.ask(Join("lobby"))
        self.alice.take()
        self.bob.take()

    def test_handler(self) -> None:
        """It is a handler."""
        self.assertTrue(verifyObject(IMsgHandler, self.handler))

    def test_talk(self) -> None:
        """What one says all hear, who said it too, with its number."""
        self.alice.ask(Join("lobby"))
        self.assertEqual(self.alice.take(), ["-- you are in lobby"])
        self.bob.ask(Join("lobby"))
        self.assertEqual(self.alice.take(), ["-- bob has joined lobby"])
        self.assertEqual(self.alice.ask(Say("lobby", "hello")), [{"number": 1}])
        self.assertEqual(self.bob.ask(Say("lobby", "hi")), [{"number": 2}])
        said = ["[lobby 1] alice: hello", "[lobby 2] bob: hi"]
        self.assertEqual(self.alice.take(), said)
        self.assertEqual(self.bob.take(), ["-- you are in lobby", *said])

    def test_history(self) -> None:
        """Who joins is told what was said last, as much as is kept, and then what comes."""
        self.alice.ask(Join("lobby"), *[Say("lobby", text) for text in "abcde"])
        self.bob.ask(Join("lobby"))
        self.alice.ask(Say("lobby", "f"))
        self.assertEqual(
            self.bob.take(),
            [
                "-- you are in lobby",
                *[f"[lobby {n}] alice: {t}" for n, t in zip("3456", "cdef", strict=True)],
            ],
        )

    def test_historyOfMore(self) -> None:
        """Who is told more at once than a box holds has missed that, and hears what follows."""
        self.handler.mailbox = Mailbox(self.server.clock, maxMessages=2)
        self.server.result(self.server.logout(b"bob"))
        self.server.advance(5)
        self.alice.ask(Join("lobby"), *[Say("lobby", text) for text in "abc"])
        self.bob.ask(Join("lobby"))
        self.bob.take()
        self.alice.ask(Say("lobby", "d"))
        self.assertEqual(self.bob.take(), ["[lobby 4] alice: d"])

    def test_historyThatCannotBe(self) -> None:
        """How much is told to who joins is a number that fits into a box."""
        for history in (-1, True, 1.5, 201):
            error = self.assertRaises(ValueError, ChatHandler, history, self.server.clock)
            self.assertEqual(
                str(error), f"history: must be a whole number, 0 to 200, not {history!r}"
            )
        ChatHandler(200, self.server.clock)

    def test_leave(self) -> None:
        """Who has left hears nothing any more; the others are told."""
        self.join()
        self.bob.ask(Leave("lobby"))
        self.alice.ask(Say("lobby", "hello"))
        self.assertEqual(self.bob.take(), ["-- you have left lobby"])
        self.assertEqual(self.alice.take(), ["-- bob has left lobby", "[lobby 1] alice: hello"])
        self.bob.ask(Join("lobby"))
        self.assertEqual(self.bob.take(), ["-- you are in lobby", "[lobby 1] alice: hello"])

    def test_who(self) -> None:
        """One may ask who is there."""
        self.join()
        self.server.offline(self.bob.client)
        self.server.settle()
        (answer,) = self.alice.ask(Who("lobby"))
        self.assertEqual(
            answer["members"],
            [{"user": "alice", "state": "online"}, {"user": "bob", "state": "away"}],
        )

    def test_presence(self) -> None:
        """Those in the same rooms are told, once, who is away, back and gone; others are not."""
        carol = Person(self.server, b"carol")
        carol.ask(Join("elsewhere"))
        carol.take()
        self.join()
        for person in (self.alice, self.bob):
            person.ask(Join("attic"))
            person.take()
        self.alice.take()
        self.server.offline(self.bob.client)
        self.server.advance(5)
        self.assertEqual(self.alice.take(), ["-- bob is away"])
        self.server.online(self.bob.client)
        self.server.advance(5)
        self.assertEqual(self.alice.take(), ["-- bob is back"])
        self.server.result(self.bob.client.close())
        self.server.result(self.server.logout(b"bob"))
        self.assertEqual(self.alice.take(), ["-- bob is away", "-- bob is gone"])
        self.assertEqual((self.bob.take(), carol.take()), ([], []))
        (answer,) = self.alice.ask(Who("lobby"))
        self.assertEqual(answer["members"], [{"user": "alice", "state": "online"}])

    def test_pulledPlug(self) -> None:
        """Who had no connection has missed nothing, and said everything once."""
        self.join()
        self.server.offline(self.bob.client)
        self.server.settle()
        for text in "abcdef":
            self.alice.ask(Say("lobby", text))
        waiting = Deferred.fromCoroutine(self.bob.talker.ask(Say("lobby", "late")))
        self.server.advance(10)
        self.assertNoResult(waiting)
        self.assertEqual(self.bob.take(), [])
        self.server.online(self.bob.client)
        self.server.advance(10)
        self.assertEqual(self.successResultOf(waiting), {"number": 7})
        wanted = [f"[lobby {n}] alice: {t}" for n, t in enumerate("abcdef", 1)]
        self.assertEqual(self.bob.take(), [*wanted, "[lobby 7] bob: late"])

    def test_newLogin(self) -> None:
        """Under a new login one is in the same rooms again, and hears what is new, once."""
        self.join()
        self.alice.ask(Say("lobby", "a"))
        self.server.offline(self.bob.client)
        self.server.settle()
        self.alice.ask(Say("lobby", "b"))
        self.server.result(self.server.logout(b"bob"))
        self.alice.ask(Say("lobby", "c"), Say("lobby", "d"))
        self.server.online(self.bob.client)
        self.server.advance(10)
        self.alice.ask(Say("lobby", "e"))
        self.assertEqual(
            self.bob.take(), [f"[lobby {n}] alice: {t}" for n, t in enumerate("abcde", 1)]
        )
        self.assertEqual(self.bob.failed, [])

    def test_saidBeforeANewLogin(self) -> None:
        """What was said without a connection is said under the next login, in its order."""
        self.join()
        self.server.offline(self.bob.client)
        self.server.settle()
        waiting = [
            Deferred.fromCoroutine(self.bob.talker.ask(request))
            for request in (Say("lobby", "a"), Say("lobby", "b"), Who("lobby"), Say("attic", "c"))
        ]
        self.server.result(self.server.logout(b"bob"))
        self.server.online(self.bob.client)
        self.server.advance(10)
        self.assertEqual(
            [self.successResultOf(each)["number"] for each in waiting[:2]],
            [1, 2],
        )
        self.assertEqual(len(self.successResultOf(waiting[2])["members"]), 2)
        self.failureResultOf(waiting[3], RequestFailed)
        self.assertEqual(self.bob.take(), ["[lobby 1] bob: a", "[lobby 2] bob: b"])

    def test_newLoginTooLate(self) -> None:
        """What the room has forgotten by then is missed, and one is told so."""
        self.join()
        self.alice.ask(Say("lobby", "a"))
        self.server.offline(self.bob.client)
        self.server.settle()
        self.server.result(self.server.logout(b"bob"))
        self.alice.ask(*[Say("lobby", text) for text in "bcdef"])
        self.server.online(self.bob.client)
        self.server.advance(10)
        self.assertEqual(
            self.bob.take(),
            [
                "[lobby 1] alice: a",
                "!! missed for good in lobby, messages: 2",
                *[f"[lobby {n}] alice: {t}" for n, t in zip("456", "def", strict=True)],
            ],
        )

    def test_mistakes(self) -> None:
        """What cannot be done is told in one line, and nothing is logged."""
        for content, reason in (
            (b"hello", b"that is not JSON in UTF-8"),
            (words.writeRequest(Say("lobby", "x")), b"you are not in lobby; join it first"),
            (b"poll:nonsense", b"a poll has 16 bytes, not 8"),
        ):
            error = self.assertRaises(
                RequestFailed, self.server.result, self.alice.client.request(content)
            )
            self.assertEqual(error.content, reason)
        self.assertEqual(self.server.errors, [])

    def test_joinTwice(self) -> None:
        """Joining where one is already does nothing."""
        self.join()
        self.bob.ask(Join("lobby"))
        self.assertEqual((self.alice.take(), self.bob.take()), ([], []))

    def test_closed(self) -> None:
        """Who ends stops listening, and is told why."""
        self.server.result(self.alice.client.close())
        self.successResultOf(self.alice.talker.listening)
        self.assertEqual(self.alice.failed, ["the client was closed"])

    def test_whenQuiet(self) -> None:
        """Quiet is when all is answered, and one has heard what one said oneself."""
        self.join()
        self.successResultOf(self.alice.talker.whenQuiet())
        asked = Deferred.fromCoroutine(self.alice.talker.ask(Say("lobby", "hello")))
        quiet = self.alice.talker.whenQuiet()
        self.assertNoResult(quiet)
        self.server.settle()
        self.successResultOf(quiet)
        self.successResultOf(asked)
        self.assertEqual(self.alice.take(), ["[lobby 1] alice: hello"])


class CutTests(SynchronousTestCase):
    """S6, once more: a chat between two, cut at every byte."""

    def test_everyCut(self) -> None:
        """Wherever a connection breaks, all is heard once, and in order."""

        def make() -> MemoryServer:
            clock = Clock()
            return MemoryServer(ChatHandler(clock=clock), clock=clock)

        def scenario(server: MemoryServer) -> list[list[str]]:
            people = [Person(server, name) for name in (b"alice", b"bob")]
            for person in people:
                person.ask(Join("lobby"))
            for number in range(2):
                for person in people:
                    person.ask(Say("lobby", f"say {number}"))
            server.advance(5)
            # Who is away or back is another story.
            return [[line for line in each.take() if line[0] == "["] for each in people]

        heard = everyCut(make, scenario, everyByte=False)
        self.assertEqual([len(each) for each in heard], [4, 4])

    def test_outAndIn(self) -> None:
        """Who leaves and is back at once is in the room, wherever the connection breaks."""

        def make() -> MemoryServer:
            clock = Clock()
            return MemoryServer(ChatHandler(clock=clock), clock=clock)

        def scenario(server: MemoryServer) -> tuple[list[str], list[str]]:
            alice = Person(server, b"alice")
            alice.ask(Join("lobby"))
            asked = [
                Deferred.fromCoroutine(alice.talker.ask(request))
                for request in (Leave("lobby"), Join("lobby"), Join("attic"), Leave("attic"))
            ]
            server.advance(5)
            for each in asked:
                server.result(each)
            alice.take()
            alice.ask(Say("lobby", "hello"))
            server.advance(5)
            return [line for line in alice.take() if line[0] == "["], alice.talker.rooms

        heard = everyCut(make, scenario, everyByte=False)
        self.assertEqual(heard, (["[lobby 1] alice: hello"], ["lobby"]))
