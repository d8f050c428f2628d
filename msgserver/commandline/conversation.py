"""
Commands, carried out by a client: requests side by side, each with its number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import time

from attrs import define

from msgserver.commandline.clients import Client
from msgserver.commandline.commands import (
    HELP,
    Command,
    Do,
    Expect,
    ExpectFail,
    ExpectMessage,
    Messages,
    Mistake,
    Repeat,
    Send,
    SendFile,
    Sleep,
)
from msgserver.commandline.events import Event, Kind, contentText, nameOf
from msgserver.commandline.following import Follower
from msgserver.commandline.statuses import Unexpected
from msgserver.errors import RequestFailed
from msgserver.wire.framing import MAX_REQUEST

MAX_OUTSTANDING = 1000
"""How many requests are without an answer at a time; one more is asked when one is answered."""

TURNS = 10
"""The most turns of the loop that the loss of a connection which we cut takes; one or two do."""


class Quit(Exception):
    """C{quit} was said."""


@define
class Outcome:
    """
    What came of a request.

    @ivar content: the answer; or what the server's handler failed with.
    @ivar error: why there is no answer; None where there is one.
    @ivar counts: it is among those that have failed.
    """

    content: bytes
    error: Exception | None = None
    counts: bool = False


class Conversation:
    """
    Carry out one command after another.

    @param show: takes what there is to tell.
    @param timeout: seconds that an expected message may take; None for any number.
    @param clock: tells the time, in seconds since the epoch; by default, the machine's.
    @ivar asked: how many requests there were.
    @ivar answered: how many of them were answered.
    @ivar failed: how many have failed, but for those of which that was expected.
    """

    def __init__(
        self,
        client: Client,
        show: Callable[[Event], None],
        timeout: float | None = None,
        clock: Callable[[], float] = time,
    ) -> None:
        self._client = client
        self._show = show
        self._clock = clock
        self.asked = 0
        self.answered = 0
        self.failed = 0
        self._unanswered: set[asyncio.Task[Outcome]] = set()
        self._last: asyncio.Task[Outcome] | None = None
        self._timeout = timeout
        self._follower = Follower(
            client,
            lambda message: self.tell("message", "", message),
            lambda text, said: self.tell("note", text, said),
        )

    def tell(self, kind: Kind, text: str = "", content: bytes | None = None) -> None:
        """Show something that happens now; see L{Event}."""
        self._show(Event(kind, self._clock(), text, content))

    async def perform(self, command: Command) -> None:
        """
        Carry out a command. A request is asked, and its answer shown when it comes.

        @raise Mistake: a file cannot be sent.
        @raise Unexpected: see there.
        @raise Quit: see there.
        """
        match command:
            case Send(content):
                await self._ask(content)
            case SendFile(path):
                await self._ask(_read(path))
            case Repeat(times, repeated):
                for _ in range(times):
                    await self.perform(repeated)
                    # Not all there is to do waits for something, and Ctrl-C is to be heard.
                    await asyncio.sleep(0)
            case Expect(content):
                await self._expect(content)
            case ExpectFail(reason):
                await self._expectFail(reason)
            case Sleep(seconds):
                await asyncio.sleep(seconds)
            case Messages(prefix):
                self._follower.follow(prefix)
            case ExpectMessage(content):
                await self._follower.expect(content, self._timeout)
            case Do(verb):
                await self._do(verb)

    async def wait(self, most: int = 0) -> None:
        """Wait until no more than so many requests are without an answer."""
        while len(self._unanswered) > most:
            await asyncio.wait(self._unanswered, return_when=asyncio.FIRST_COMPLETED)

    async def stop(self) -> None:
        """Wait for nothing any more, and show nothing: not what is unanswered, nor pushed."""
        # What is cancelled before it has begun does not let go of what it was to wait for.
        await asyncio.sleep(0)
        tasks = [*self._unanswered]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._follower.stop()

    async def _ask(self, content: bytes) -> None:
        await self.wait(MAX_OUTSTANDING - 1)
        self.asked += 1
        self._show(Event("sent", self._clock(), "", content, self.asked))
        asked = asyncio.get_running_loop().time()
        # In the order of the commands, which that of tasks need not be.
        answer = self._client.request(content)
        self._last = asyncio.create_task(self._await(answer, self.asked, asked))
        self._unanswered.add(self._last)
        self._last.add_done_callback(self._unanswered.discard)

    async def _await(self, answer: Awaitable[bytes], number: int, asked: float) -> Outcome:
        try:
            outcome = Outcome(await answer)
            self.answered += 1
        except Exception as error:
            # What has ended the client may be anything.
            content = error.content if isinstance(error, RequestFailed) else b""
            outcome = Outcome(content, error, counts=True)
            self.failed += 1
        hasContent = outcome.error is None or isinstance(outcome.error, RequestFailed)
        self._show(
            Event(
                "answered" if outcome.error is None else "failed",
                self._clock(),
                "" if hasContent else str(outcome.error),
                outcome.content if hasContent else None,
                number,
                1000 * (asyncio.get_running_loop().time() - asked),
            )
        )
        return outcome

    async def _lastOutcome(self) -> Outcome:
        if self._last is None:
            raise Unexpected("nothing was asked")
        # Whoever stops to wait for it does not stop it.
        return await asyncio.shield(self._last)

    async def _expect(self, content: bytes) -> None:
        outcome = await self._lastOutcome()
        if outcome.error is not None:
            raise Unexpected(f"#{self.asked} failed")
        if outcome.content != content:
            raise Unexpected(
                f"#{self.asked} should be answered {contentText(content)},"
                f" not {contentText(outcome.content)}"
            )

    async def _expectFail(self, reason: bytes | None) -> None:
        outcome = await self._lastOutcome()
        if outcome.error is None:
            raise Unexpected(f"#{self.asked} should fail")
        if reason is not None and outcome.content != reason:
            raise Unexpected(
                f"#{self.asked} should fail with {contentText(reason)},"
                f" not {contentText(outcome.content) or outcome.error}"
            )
        self.failed -= outcome.counts
        outcome.counts = False

    async def _do(self, verb: str) -> None:
        match verb:
            case "wait":
                await self.wait()
            case "cut":
                self._client.dropConnection()
                await self._lost()
            case "offline":
                self._client.goOffline()
                await self._lost()
            case "online":
                self._client.goOnline()
            case "status":
                self.tell("status", self._status())
            case "help":
                self.tell("help", HELP)
            case "quit":
                raise Quit

    async def _lost(self) -> None:
        """Wait for the loop to take note: what is asked next is not for that connection."""
        for _ in range(TURNS):
            if self._client.isConnected:
                await asyncio.sleep(0)

    def _status(self) -> str:
        client = self._client
        if client.loggedIn is None:
            login = "no login"
        else:
            login = nameOf(client.loggedIn.user)
        state = "connected" if client.isConnected else "offline" if client.isOffline else "away"
        return (
            f"{state}, {login}; {self.asked} asked, {self.answered} answered, {self.failed} failed,"
            f" {len(self._unanswered)} without an answer ({client.waiting} not sent yet)"
        )


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_REQUEST + 1)
    except OSError as error:
        raise Mistake(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise Mistake("there is no file of such a name") from None
    if len(content) > MAX_REQUEST:
        raise Mistake(f"{path} is too long: a request has {MAX_REQUEST} bytes at most")
    return content
