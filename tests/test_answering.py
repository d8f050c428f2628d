"""L{msgserver.answering}: S4, and answers that come later."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextvars import copy_context
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, inlineCallbacks, succeed
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from zope.interface import implementer

from msgserver.current import currentRequest
from msgserver.errors import InvalidState, RequestFailed
from msgserver.interfaces import User
from msgserver.wire.gate import requestPacket
from tests.gates import ONE, THREE, TWO, Client, GateCase

TOO_MUCH = b"big:65531"


class FailureTests(GateCase):
    """S4: no answer is ever silently dropped, and no handler breaks a connection."""

    def answer(self, content: bytes) -> list[bytes]:
        """Ask for C{content}, and say what came; the connection must serve on."""
        client = self.connect(self.login())
        client.ask(ONE, content)
        self.turn()
        heard = client.heard()
        client.ask(TWO, b"still there")
        self.assertEqual(client.heard(), [b"still there\x01" + TWO])
        return heard

    def test_raises(self) -> None:
        """S4: flag 0 without content, and one log entry with the traceback."""
        self.assertEqual(self.answer(b"raise"), [b"\x00" + ONE])
        failures = self.flushLoggedErrors(ValueError)
        self.assertEqual(len(failures), 1)
        self.assertIn("requestReceived", failures[0].getTraceback())

    def test_raisesAnything(self) -> None:
        """S4: whatever a handler raises, the batch is answered, and what came before it too."""

        class Odd(BaseException):
            pass

        def requestReceived(user: object, content: bytes) -> bytes:
            if content == b"odd":
                raise Odd
            return content

        self.service._answering.requestReceived = requestReceived
        client = self.connect(self.login())
        client.send(requestPacket(ONE, b"a") + requestPacket(TWO, b"odd"))
        self.assertEqual(client.heard(), [b"a\x01" + ONE, b"\x00" + TWO])
        self.assertEqual(len(self.flushLoggedErrors(Odd)), 1)

    def test_requestFailed(self) -> None:
        """S4: flag 0 with the content that the handler gives; that is no bug."""
        self.assertEqual(self.answer(b"refuse:not enough gold"), [b"not enough gold\x00" + ONE])

    def test_noBytes(self) -> None:
        """S4: what is no bytes is answered with flag 0, and logged."""
        errors = self.loggedErrors()
        for what in (b"text", b"none", b"array"):
            self.assertEqual(self.answer(b"nonsense:" + what), [b"\x00" + ONE])
        self.assertEqual(self.answer(b"refuse badly"), [b"\x00" + ONE])
        self.assertEqual(len(errors), 4)

    def test_tooLong(self) -> None:
        """S4: 65,530 bytes are an answer, one more is flag 0, and logged."""
        errors = self.loggedErrors()
        self.assertEqual(self.answer(b"big:65530"), [bytes(65530) + b"\x01" + ONE])
        self.assertEqual(errors, [])
        self.assertEqual(self.answer(TOO_MUCH), [b"\x00" + ONE])
        self.assertEqual(self.answer(b"big:70000"), [b"\x00" + ONE])
        self.assertEqual(len(errors), 2)

    def test_later(self) -> None:
        """S4: all of that holds for what comes later."""
        errors = self.loggedErrors()
        user = self.login()
        for index, (answer, expected) in enumerate(
            (
                (b"fine", b"fine\x01"),
                (RequestFailed(b"no"), b"no\x00"),
                (RequestFailed(bytes(65531)), b"\x00"),
                ("text", b"\x00"),
                (bytes(65531), b"\x00"),
                (ZeroDivisionError(), b"\x00"),
                (CancelledError(), b"\x00"),
            ),
            1,
        ):
            client = self.connect(user, index)
            client.ask(bytes([0, 0, 0, index]), b"later:a")
            promised = self.handler.promised[b"a"]
            if isinstance(answer, Exception):
                promised.errback(answer)
            else:
                promised.callback(answer)
            self.turn()
            self.assertEqual(client.heard(), [expected + bytes([0, 0, 0, index])])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError, CancelledError)), 2)
        self.assertEqual(len(errors), 5)

    def test_hangs(self) -> None:
        """S1: a request that never ends holds up neither others nor a reconnection."""
        user = self.login()
        client = self.connect(user, 1)
        client.ask(ONE, b"later:never")
        client.ask(TWO, b"hello")
        self.assertEqual(client.heard(), [b"hello\x01" + TWO])
        self.connect(user, 2).ask(ONE, b"asked again")
        self.assertEqual(self.handler.requests, [b"later:never", b"hello"])

    def loggedErrors(self) -> list[str]:
        """The events at error level or above from here on."""
        seen: list[str] = []

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            if event["log_level"] >= LogLevel.error:
                seen.append(str(event.get("log_format")))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        return seen


class LaterTests(GateCase):
    """S1, S6, S8: answers that come by themselves."""

    def test_oneWriteForATurn(self) -> None:
        """Answers of one turn of the reactor leave together, in the order they were ready."""
        client = self.connect(self.login())
        for session in (ONE, TWO, THREE):
            client.ask(session, b"later:" + session)
        writes: list[bytes] = []
        self.patch(client.protocol, "_write", writes.append)
        for session in (THREE, ONE):
            self.handler.promised[session].callback(b"x")
        self.assertEqual(writes, [])
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.turn()
        self.assertEqual(writes, [b"\x00\x06x\x01" + THREE + b"\x00\x06x\x01" + ONE])

    def test_orderWithImmediate(self) -> None:
        """S1: an answer that was ready before a batch leaves before it."""
        client = self.connect(self.login())
        client.ask(ONE, b"later:a")
        self.handler.promised[b"a"].callback(b"first")
        client.ask(TWO, b"second")
        self.turn()
        self.assertEqual(client.heard(), [b"first\x01" + ONE, b"second\x01" + TWO])

    def test_besideTheDead(self) -> None:
        """S1: a connection that is lost in the turn of its logout keeps nobody's answers."""
        gone, user = self.login(b"gone"), self.login()
        dead, client = self.connect(gone), self.connect(user)
        client.ask(ONE, b"later:a")
        self.handler.gate.logout(gone)
        self.handler.promised[b"a"].callback(b"done")
        dead.lose()
        self.turn()
        self.assertEqual(client.heard(), [b"done\x01" + ONE])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_besideTheBroken(self) -> None:
        """S1: nor does one whose transport fails; that is logged."""
        bad, good = self.connect(self.login(b"bad")), self.connect(self.login())
        for client in (bad, good):
            client.ask(ONE, b"later:" + b"%d" % (client is good))

        def fail() -> None:
            raise ZeroDivisionError

        self.patch(bad.protocol, "flush", fail)
        self.handler.promised[b"0"].callback(b"lost")
        self.handler.promised[b"1"].callback(b"done")
        self.turn()
        self.assertEqual(good.heard(), [b"done\x01" + ONE])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_inTheBatch(self) -> None:
        """S1: so does one that becomes ready in the middle of it, in its place."""
        self.handler.requestReceived = lambda user, content: (  # type: ignore[method-assign]  # scripted
            fired(content) if content == b"later" else content
        )

        def fired(content: bytes) -> Deferred[bytes]:
            promised: Deferred[bytes] = Deferred()
            promised.callback(content)
            return promised

        self.service._answering.requestReceived = self.handler.requestReceived
        client = self.connect(self.login())
        client.send(
            requestPacket(ONE, b"a") + requestPacket(TWO, b"later") + requestPacket(THREE, b"b")
        )
        self.turn()
        self.assertEqual(client.heard(), [b"a\x01" + ONE, b"later\x01" + TWO, b"b\x01" + THREE])

    def test_toTheConnectionThatAsksLast(self) -> None:
        """S6: a request that runs across a cut is answered to who asked again, once."""
        user = self.login()
        old = self.connect(user, 1)
        old.ask(ONE, b"later:a")
        old.lose()
        new = self.connect(user, 2)
        new.ask(ONE, b"asked again")
        self.fulfil(b"a", b"done")
        self.assertEqual(old.heard(), [])
        self.assertEqual(new.heard(), [b"done\x01" + ONE])
        self.assertEqual(self.handler.requests, [b"later:a"])

    def test_whileAway(self) -> None:
        """S8: an answer made while the user is away is kept."""
        user = self.login()
        client = self.connect(user, 1)
        client.ask(ONE, b"later:a")
        client.lose()
        self.fulfil(b"a", b"done")
        again = self.connect(user, 2)
        again.ask(ONE, b"asked again")
        self.assertEqual(again.heard(), [b"done\x01" + ONE])

    def test_failedIsKept(self) -> None:
        """S9: a flag-0 response is replayed as it was."""
        user = self.login()
        client = self.connect(user, 1)
        client.send(requestPacket(ONE, b"refuse:no") + requestPacket(TWO, b"later:a"))
        client.lose()
        self.handler.promised[b"a"].errback(RequestFailed(b"never"))
        again = self.connect(user, 2)
        again.send(requestPacket(ONE, b"hello") + requestPacket(TWO, b"hello"))
        self.assertEqual(again.heard(), [b"no\x00" + ONE, b"never\x00" + TWO])


class Given:
    """An awaitable that gives whatever it is made with, and has what it is given for it."""

    def __init__(self, given: Any) -> None:
        self.given = given

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self.given)


class CoroutineTests(GateCase):
    """What a coroutine may give to be waited for: whatever C{Deferred.fromCoroutine} takes."""

    def answer(self, coroutine: Awaitable[Any]) -> Client:
        """Answer a request by a coroutine, begun at once."""
        self.service._answering.requestReceived = lambda user, content: coroutine
        client = self.connect(self.login(b"uid %d" % len(self.handler.calls)))
        client.ask(ONE, b"")
        self.turn()
        return client

    def test_raisesAtOnce(self) -> None:
        """S4: one that raises before it waits has failed, with the content that it says."""

        async def refuse() -> bytes:
            raise RequestFailed(b"no")

        async def err() -> bytes:
            raise ValueError("a bug of the handler")

        self.assertEqual(self.answer(refuse()).heard(), [b"no\x00" + ONE])
        self.assertEqual(self.answer(err()).heard(), [b"\x00" + ONE])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_raisesLater(self) -> None:
        """S4: so has one that raises when it has waited."""
        promised: Deferred[bytes] = Deferred()

        async def refuse() -> bytes:
            raise RequestFailed(await promised)

        client = self.answer(refuse())
        promised.callback(b"no")
        self.turn()
        self.assertEqual(client.heard(), [b"no\x00" + ONE])

    def test_waitsTwice(self) -> None:
        """It may wait as often as it likes; what it waits for may fail."""
        first: Deferred[bytes] = Deferred()
        second: Deferred[bytes] = Deferred()

        async def answer() -> bytes:
            content = await first
            try:
                return content + await second
            except ValueError:
                return content + b"b"

        client = self.answer(answer())
        first.callback(b"a")
        self.assertEqual(client.heard(), [])
        second.errback(ValueError())
        self.turn()
        self.assertEqual(client.heard(), [b"ab\x01" + ONE])

    def test_awaitable(self) -> None:
        """What is no coroutine, and can be awaited all the same, is."""
        promised: Deferred[bytes] = Deferred()
        client = self.answer(Given(promised))
        promised.callback(b"a")
        self.turn()
        self.assertEqual(client.heard(), [b"a\x01" + ONE])

    def test_fired(self) -> None:
        """Thousands of Deferreds that have fired take no more stack than one."""

        async def answer() -> object:
            return b"%d" % sum([await Given(succeed(1)) for _ in range(5000)])

        self.assertEqual(self.answer(answer()).heard(), [b"5000\x01" + ONE])

    def test_first(self) -> None:
        """So may the first be, and none at all."""

        async def answer() -> object:
            return (await Given(succeed(b"a"))) + (await Given(b"b"))

        self.assertEqual(self.answer(answer()).heard(), [b"ab\x01" + ONE])

    def test_firedWithFailure(self) -> None:
        """One that has failed raises where it is awaited."""

        async def answer() -> object:
            try:
                await Given(fail(ValueError()))
            except ValueError:
                return b"caught"
            return b"nothing"

        self.assertEqual(self.answer(answer()).heard(), [b"caught\x01" + ONE])

    def test_firedAndWaits(self) -> None:
        """One that has fired, and waits for another, is waited for."""
        inner: Deferred[bytes] = Deferred()
        outer = succeed(None).addCallback(lambda _: inner)

        async def answer() -> object:
            first: bytes = await Given(outer)
            return first + await Given(succeed(b"b"))

        client = self.answer(answer())
        self.assertEqual(client.heard(), [])
        inner.callback(b"a")
        self.turn()
        self.assertEqual(client.heard(), [b"ab\x01" + ONE])

    def test_coroutine(self) -> None:
        """A coroutine, or a generator of Deferreds, is run; as a result neither is."""

        async def inner() -> bytes:
            return b"a"

        def generator() -> Generator[Deferred[bytes], bytes, bytes]:
            return (yield succeed(b"b"))

        kept = generator()

        async def answer() -> object:
            result = await succeed(kept)
            isKept = result is kept and (await Given(succeed(kept))) is kept
            return (await Given(inner())) + (await Given(generator())) + b"%d" % isKept

        self.assertEqual(self.answer(answer()).heard(), [b"ab1\x01" + ONE])


class CurrentRequestTests(GateCase):
    """What a handler may ask for beyond its arguments."""

    def test_inCoroutine(self) -> None:
        """A coroutine finds its own request, whatever else has been served meanwhile."""
        client = self.connect(self.login())
        client.send(requestPacket(ONE, b"async:a") + requestPacket(TWO, b"async:b"))
        client.ask(THREE, b"hello")
        self.fulfil(b"b", None)
        self.fulfil(b"a", None)
        self.assertEqual(
            client.heard(), [b"hello\x01" + THREE, TWO + b"\x01" + TWO, ONE + b"\x01" + ONE]
        )

    def test_inlineCallbacks(self) -> None:
        """So does a generator that a handler has started by itself."""

        @inlineCallbacks
        def answer(content: bytes) -> Generator[Deferred[bytes], bytes, bytes]:
            promised = self.handler.promised[content] = Deferred()
            yield promised
            return currentRequest().session

        self.service._answering.requestReceived = lambda user, content: answer(content)
        client = self.connect(self.login())
        client.send(requestPacket(ONE, b"a") + requestPacket(TWO, b"b"))
        client.ask(THREE, b"c")
        for name in (b"b", b"a", b"c"):
            self.fulfil(name, None)
        self.assertEqual(client.heard(), [each + b"\x01" + each for each in (TWO, ONE, THREE)])

    def test_within(self) -> None:
        """A batch that is served from within a handler leaves each its own."""
        told: list[tuple[bytes, bytes]] = []

        def requestReceived(user: User, content: bytes) -> Any:
            if content == b"serve":
                other.send(requestPacket(THREE, b"async:b"))
            elif content == b"tell":
                current = currentRequest()
                told.append((current.user.uid, current.session))
            else:
                return self.handler.requestReceived(user, content)
            return b""

        self.service._answering.requestReceived = requestReceived
        client, other = self.connect(self.login()), self.connect(self.login(b"bob"))
        client.send(requestPacket(ONE, b"serve") + requestPacket(TWO, b"tell"))
        self.assertEqual(told, [(b"alice", TWO)])
        self.fulfil(b"b", None)
        self.assertEqual(other.heard(), [THREE + b"\x01" + THREE])

    def test_answered(self) -> None:
        """Once it is answered, no request is being served, whoever asks in its context."""
        asked: list[Callable[[], object]] = []

        async def answer() -> bytes:
            await self.handler.promised.setdefault(b"a", Deferred())
            run = copy_context().run
            asked.append(lambda: run(currentRequest))
            return currentRequest().session

        self.service._answering.requestReceived = lambda user, content: answer()
        client = self.connect(self.login())
        client.ask(ONE, b"")
        self.fulfil(b"a", None)
        self.assertEqual(client.heard(), [ONE + b"\x01" + ONE])
        self.assertRaises(InvalidState, asked[0])

    def test_behindTheAnswer(self) -> None:
        """What goes on behind an answer, while no other is served, is told of none."""
        told: list[object] = []

        async def goOn(content: bytes) -> None:
            promised: Deferred[None] = Deferred()
            self.handler.promised[content] = promised
            await promised
            try:
                told.append(currentRequest())
            except InvalidState:
                told.append(None)

        def requestReceived(user: User, content: bytes) -> bytes:
            Deferred.fromCoroutine(goOn(content))
            return content

        self.service._answering.requestReceived = requestReceived
        client = self.connect(self.login())
        client.send(requestPacket(ONE, b"a") + requestPacket(TWO, b"b"))
        for name in (b"a", b"b"):
            self.fulfil(name, None)
        self.assertEqual(told, [None, None])

    def test_outside(self) -> None:
        """Outside of a request there is none."""
        self.connect(self.login()).ask(ONE, b"hello")
        self.assertRaises(InvalidState, currentRequest)
