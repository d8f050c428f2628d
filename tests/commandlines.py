"""
What tests of C{msgserver-client} talk to: a client that answers by content, in a time of its own.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeVar

from attrs import define
from twisted.trial.unittest import SynchronousTestCase

from msgserver.clientlogin import LoggedIn
from msgserver.commandline.commands import parse
from msgserver.commandline.conversation import Conversation
from msgserver.commandline.display import Display
from msgserver.commandline.events import Event
from msgserver.commandline.output import Output
from msgserver.commandline.sources import Given, Line
from msgserver.errors import RequestFailed, RequestTimedOut
from msgserver.wire.naming import User

SECRET = b"a secret that nobody is shown"
LOGGED_IN = LoggedIn(User(b"alice", b"1", b"sample"), SECRET)
NOON = 1_800_000_000.0
"""When tests take place, in seconds since the epoch."""

_T = TypeVar("_T")


class _Jumping(selectors.DefaultSelector):
    """Waits for nothing: where nothing is ready, the time has passed."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise AssertionError("nothing will ever happen again")
            self.passed += max(timeout, 0)
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to whatever happens next."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Tell the time: it has stood still but for what was waited."""
        return self._jumping.passed


def runInLoop(main: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine to its end, in no time."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(main)


@define
class _Pushed(AsyncIterator[bytes]):
    things: Iterator[bytes | float | Exception]

    async def __anext__(self) -> bytes:
        for each in self.things:
            if isinstance(each, Exception):
                raise each
            if isinstance(each, bytes):
                return each
            await asyncio.sleep(each)
        never: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        return await never


class FakeClient:
    """
    A client whose server answers by what it is asked.

    - C{late S TEXT}: C{TEXT}, after C{S} seconds
    - C{fail TEXT}: a failure with C{TEXT}
    - C{lost}: it is not known what came of it
    - C{never}: nothing
    - anything else: itself

    @ivar asked: what was asked.
    @ivar done: what else was done.
    @ivar pushed: what C{messages} gives, raises, or waits so many seconds for, before it waits
        for ever.
    """

    def __init__(self) -> None:
        self.loggedIn: LoggedIn | None = LOGGED_IN
        self.isConnected = True
        self.isOffline = False
        self.unanswered = 0
        self.waiting = 0
        self.mostUnanswered = 0
        self.asked: list[bytes] = []
        self.done: list[str] = []
        self.pushed: list[bytes | float | Exception] = []
        self.hooks: dict[str, list[Callable[..., object]]] = {}

    def request(self, content: bytes) -> Awaitable[bytes]:
        """Ask."""
        self.asked.append(content)
        self.unanswered += 1
        self.mostUnanswered = max(self.mostUnanswered, self.unanswered)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()
        answer.add_done_callback(self._answered)
        verb, _, text = content.partition(b" ")
        if verb == b"late":
            seconds, _, text = text.partition(b" ")
            loop.call_later(float(seconds), answer.set_result, text)
        elif verb == b"fail":
            answer.set_exception(RequestFailed(text))
        elif verb == b"lost":
            answer.set_exception(RequestTimedOut("no answer within 5 seconds"))
        elif verb != b"never":
            answer.set_result(content)
        return answer

    def _answered(self, answer: asyncio.Future[bytes]) -> None:
        self.unanswered -= 1

    def messages(self, prefix: bytes = b"") -> AsyncIterator[bytes]:
        """Give what is pushed."""
        self.done.append(f"messages {prefix.decode()}")
        return _Pushed(iter([*self.pushed]))

    def dropConnection(self) -> None:
        """Cut the connection."""
        self.done.append("cut")

    def goOffline(self) -> None:
        """Stay away."""
        self.isOffline, self.isConnected = True, False

    def goOnline(self) -> None:
        """Come back."""
        self.isOffline, self.isConnected = False, True

    def on(self, happening: str, hook: Callable[..., object]) -> Callable[[], None]:
        """Have a function called."""
        hooks = self.hooks.setdefault(happening, [])
        hooks.append(hook)
        return lambda: hooks.remove(hook)

    def happen(self, happening: str, *reason: Exception) -> None:
        """Tell that something has happened."""
        for hook in [*self.hooks.get(happening, ())]:
            hook(*reason)


class Seen(Output):
    """Keeps the events that it shows."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.isClosed = False

    def show(self, event: Event) -> None:
        """Keep it."""
        self.events.append(event)

    def close(self) -> None:
        """Take note."""
        self.isClosed = True

    @property
    def lines(self) -> list[str]:
        """The lines of what was shown."""
        return [event.line for event in self.events]


class Typed(Given):
    """Lines that somebody types at a prompt."""

    isTyped = True

    def __init__(self, *texts: str) -> None:
        super().__init__([])
        self._lines = iter([Line(text, "") for text in texts])


class CommandLineTestCase(SynchronousTestCase):
    """A client to talk by, and what is shown of it."""

    def setUp(self) -> None:
        """Make them."""
        self.client = FakeClient()
        self.seen = Seen()
        self.record = Seen()
        self.display = Display(self.seen, record=self.record)

    def perform(self, *lines: str) -> Conversation:
        """Carry out lines, and wait for nothing more."""

        async def main() -> Conversation:
            conversation = Conversation(self.client, self.seen.show, 30.0, lambda: NOON)
            try:
                for line in lines:
                    command = parse(line)
                    assert command is not None
                    await conversation.perform(command)
            finally:
                await conversation.stop()
            return conversation

        return runInLoop(main())
