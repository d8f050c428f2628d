"""
Those who use the gate: devices, which are the client of ours, and strangers, who do what
any program may do with a socket.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, Protocol

from attrs import define
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from msgserver.client import MsgClient
from msgserver.clientlogin import LoggedIn
from msgserver.errors import ClientClosed, OutcomeUnknown, RequestFailed, Unauthorized
from msgserver.wire.gate import ANSWERED, FAILED, GateClient, responsePacket
from tests.simulation.network import Endpoint, Reactor, Socket
from tests.simulation.parts import Request
from tests.simulation.transitions import Reached


class Surroundings(Protocol):
    """What clients ask of the simulation."""

    reactor: Reactor
    reached: Reached
    multilogin: bool

    def logIn(self, server: bytes, uid: bytes, verb: bytes, owner: str) -> Deferred[LoggedIn]:
        """Log in."""

    def endpoint(self, address: str | None, owner: str) -> Endpoint:
        """Give where a gate is."""

    def runs(self, content: bytes) -> list[Request]:
        """Give each time that a request has run."""

    def hasEnded(self, loggedIn: LoggedIn) -> bool:
        """Say whether a login has ended."""

    def isOf(self, run: Request, loggedIn: LoggedIn) -> bool:
        """Say whether a request ran in a login."""

    def fail(self, rule: str, text: str) -> None:
        """Take note that an invariant does not hold."""

    def trace(self, text: str) -> None:
        """Write down what happens."""


@define(eq=False)
class Asked:
    """
    A request of a device.

    @ivar connections: how many connections the device had made with its login when it asked.
    @ivar isDone: it was answered, or has failed.
    """

    content: bytes
    connections: int
    answer: Deferred[bytes]
    isCancelled: bool = False
    isDone: bool = False


class Device:
    """A user's device, which runs a L{MsgClient}."""

    def __init__(
        self, world: Surroundings, uid: bytes, name: str, hasAddress: bool, maxUnanswered: int
    ) -> None:
        self.uid = uid
        self.name = name
        self.asked: list[Asked] = []
        self.logins: list[LoggedIn] = []
        self.isClosed = False
        self.closed: Deferred[None] | None = None
        self.verb = b"yes"
        self._world = world
        self._serial = 0
        self.client = MsgClient(
            world.reactor,
            self._takeLogin,
            None if hasAddress else world.endpoint(None, name),
            retryPolicy=lambda failures: min(0.1 * 2**failures, 2.0),
            maxUnanswered=maxUnanswered,
            connectTo=lambda host, port: world.endpoint(host, name),
        )

    @property
    def unanswered(self) -> list[Asked]:
        """What it has asked and has no answer to."""
        return [asked for asked in self.asked if not asked.isDone]

    @property
    def _connections(self) -> int:
        # The index of the last handshake tells.
        return self.client._login._index

    async def _takeLogin(self) -> LoggedIn:
        loggedIn = await self._world.logIn(b"sample", self.uid, self.verb, self.name)
        if self.logins:
            self._world.reached("client new login")
        self.logins.append(loggedIn)
        return loggedIn

    def ask(self, verb: bytes, size: int) -> None:
        """Ask something."""
        self._serial += 1
        content = b"%b %b.%d " % (verb, self.name.encode(), self._serial)
        content = content.ljust(size, b"-")
        asked = Asked(content, self._connections, Deferred())
        self.asked.append(asked)
        answer = asked.answer = self.client.request(content)
        answer.addBoth(self._done, asked)

    def cancel(self, number: int) -> bool:
        """Cancel a request."""
        waiting = self.unanswered
        if not waiting:
            return False
        asked = waiting[number % len(waiting)]
        asked.isCancelled = True
        self._world.reached("client cancelled")
        asked.answer.cancel()
        return True

    def close(self) -> bool:
        """Close it."""
        if self.isClosed:
            return False
        if self.unanswered:
            self._world.reached("client closed")
        self.isClosed = True
        self.closed = self.client.close()
        return True

    def _done(self, result: bytes | Failure, asked: Asked) -> None:
        world = self._world
        what = asked.content[:40].decode().rstrip("- ")
        asked.isDone = True
        runs = world.runs(asked.content)
        if isinstance(result, bytes):
            self._check(what, runs, ANSWERED, result)
            isLater = self._connections > max(1, asked.connections)
            world.reached("client answered later" if isLater else "client answered")
        elif isinstance(result.value, RequestFailed):
            self._check(what, runs, FAILED, result.value.content)
            world.reached("client failed")
        elif isinstance(result.value, OutcomeUnknown):
            self._checkUnknown(what, runs)
            world.reached("client unknown")
        elif isinstance(result.value, CancelledError):
            if not asked.isCancelled:
                world.fail("S1", f"{what} was cancelled by nobody")
        elif isinstance(result.value, ClientClosed | Unauthorized):
            if not self.isClosed and not isinstance(result.value, Unauthorized):
                world.fail("S1", f"{what} fails, and its client was not closed")
            if runs:
                world.fail("S6", f"{what} ran, and its client says that it was never sent")
            self.isClosed = True
            world.reached("client never sent")
        else:
            world.fail("S1", f"{what} fails with {result.value!r}")

    def _check(self, what: str, runs: list[Request], flag: bytes, content: bytes) -> None:
        """Every answer is the first one that was made."""
        if not runs:
            self._world.fail("S6", f"{what} is answered and has never run")
        elif runs[0].response != responsePacket(runs[0].session, flag, content):
            self._world.fail("S6", f"{what} is not answered with the answer made for it")

    def _checkUnknown(self, what: str, runs: list[Request]) -> None:
        """U5: only a login that has ended leaves an outcome unknown, or one that was left."""
        if self.isClosed:
            return
        current = self.client._login.loggedIn
        if current is not None and not self._world.hasEnded(current):
            if any(self._world.isOf(run, current) for run in runs):
                self._world.fail("S6", f"{what} is given up, and its login lasts")
        if self._world.multilogin:
            return
        for loggedIn in self.logins:
            if loggedIn is not current and not self._world.hasEnded(loggedIn):
                self._world.fail("U5", f"{what} has no answer, and its login has not ended")


@define(eq=False)
class Taken:
    """
    A login that a stranger has.

    @ivar index: the last index that it has used.
    @ivar top: the highest session, where it counts.
    """

    loggedIn: LoggedIn
    index: int = 0
    top: int = 2**32 - 5

    def hello(self, index: int) -> bytes:
        """Write a handshake."""
        return GateClient(self.loggedIn.user, self.loggedIn.secret, index).hello


class RawEnd:
    """
    A socket that a stranger reads and writes.

    @ivar isStubborn: it does not close where the other end has.
    """

    def __init__(self, socket: Socket, taken: Taken | None, trace: Callable[[str], None]) -> None:
        self.socket = socket
        self.taken = taken
        self.outbox = b""
        self.isStubborn = False
        self._isEnding = False
        self._trace = trace

    def canRead(self) -> bool:
        """See L{End.canRead}."""
        return not self.socket.isClosed

    def canWrite(self) -> bool:
        """See L{End.canWrite}."""
        return not self.socket.isClosed and bool(self.outbox or self._isEnding)

    def read(self) -> None:
        """Take what there is; close at the end of it."""
        try:
            data = self.socket.recv(2**16)
        except OSError as error:
            if error.errno != errno.EWOULDBLOCK:
                self.socket.close()
            return
        if not data and (not self.isStubborn or self.socket.outgoing.isEnded):
            self.socket.close()

    def write(self) -> None:
        """Send."""
        if self.outbox:
            try:
                sent = self.socket.send(self.outbox)
            except OSError as error:
                if error.errno != errno.EWOULDBLOCK:
                    self.socket.close()
                return
            self.outbox = self.outbox[sent:]
        if self._isEnding and not self.outbox:
            self._isEnding = False
            self.socket.shutdown(1)

    def halfClose(self) -> None:
        """Close the sending side, once everything has been sent."""
        self._isEnding = True


def ignored(_: Any) -> None:
    """Take no note of a result."""
