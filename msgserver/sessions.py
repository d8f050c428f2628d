"""
What a login remembers, and what its requests do to it (H1, H4, S1 to S9, B2).

Pure: bytes in, bytes out; no transport, no clock. A login changes at five moments only:

  - admitted: L{Logins.admit}
  - index accepted: L{Login.connect}
  - request begun and
  - answered: L{Connection.receive}, where the handler answers at once; L{Running} otherwise
  - ended: L{Logins.end}

The hot path is L{Connection.receive}: one call for each piece that the transport delivers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from struct import Struct
from typing import Any, Final, Protocol, TypeAlias

from attrs import frozen

from msgserver.current import DESK, Serving
from msgserver.errors import IndexExpired, InvalidState, Unauthorized, UserNotFound
from msgserver.kept import KeptResponses
from msgserver.tally import Tally, Totals
from msgserver.wire.framing import MAX_PACKET, MAX_RESPONSE, PACKET_LENGTH, SESSION_SIZE
from msgserver.wire.gate import ANSWERED, FAILED, checkSecret, isProvedBy, responsePacket
from msgserver.wire.naming import Handshake, User

_BATCH_SIZE: Final = 128 * 1024
"""
How many bytes of answers one call of L{Connection.receive} makes, about, before the transport
gets them: a few small requests must not fill memory with large answers (B3).
"""

_HEADER_SIZE: Final = PACKET_LENGTH.size
_RESPONSE_EXTRA: Final = MAX_PACKET - MAX_RESPONSE

_SMALL: Final = 2048
"""An answer below this many bytes has its length from a table."""

_HEADS: Final = [PACKET_LENGTH.pack(size + _RESPONSE_EXTRA) for size in range(_SMALL)]

_SHORT: Final = 512 if __file__.endswith(".py") else 0
"""
A packet below this many bytes is cut into content and session by one call, from a table. None
is where this is compiled: there, slices cost less than the call.
"""

_CUTS: Final = [
    Struct(f"{max(0, length - SESSION_SIZE)}s{SESSION_SIZE}s").unpack_from
    for length in range(_SHORT)
]

_FAILED: Final = FAILED[0]

_NONE: set[bytes] = set()
"""What all logins share whose connections inherit no running request; never added to."""


@frozen
class SessionLimits:
    """
    How much a login may hold.

    @ivar expiredNumber: how many responses are kept at least (S7).
    @ivar cacheBytes: bytes of responses beyond which fewer are kept (S7); at least 65,537.
    @ivar increasing: sessions count up; a past one that is not known ends the login (S7).
    @ivar maxPacket: the longest request packet, in bytes without its length (B4).
    @ivar maxRunning: how many requests may run at once (B2).
    """

    expiredNumber: int = 128
    cacheBytes: int = 1024 * 1024
    increasing: bool = False
    maxPacket: int = MAX_PACKET
    maxRunning: int = 128


class Application(Protocol):
    """What logins ask of whoever runs the user's handler."""

    def requestReceived(self, user: User, content: bytes) -> Any:
        """Run the handler: bytes are its answer, anything else goes to L{begin}."""

    def begin(self, result: Any) -> Any:
        """
        Run what the handler gave as far as it goes without waiting: bytes are its answer,
        anything else goes to L{answerLater}. What it raises, the handler has raised.
        """

    def requestFailed(self, user: User, error: BaseException) -> bytes:
        """Give the content of the flag-0 response to a request that raised (S4)."""

    def answerLater(self, running: Running, result: Any) -> None:
        """Have L{Running.answer} or L{Running.fail} called when C{result} is known."""

    def flushLater(self, connection: Connection) -> None:
        """Have the connection's transport flushed, in another turn of the reactor."""

    def forgotten(self, login: Login) -> None:
        """End the login: it was asked for what it no longer knows (S7)."""


_Fixed: TypeAlias = tuple[Application, bool, int, int]
"""
What a batch needs that is the same for all logins, at hand in one step: who runs the requests,
and of the limits C{increasing}, C{maxPacket} and C{maxRunning}.
"""


class Running:
    """A request that is being answered later."""

    __slots__ = ("connection", "login", "serving", "session")

    def __init__(
        self, login: Login, session: bytes, connection: Connection, serving: Serving
    ) -> None:
        self.serving = serving
        self.login = login
        self.session = session
        self.connection = connection
        """The connection that asked last; the response goes nowhere else (S6)."""

    @property
    def user(self) -> User:
        """Whose request it is."""
        return self.login.user

    def answer(self, content: bytes) -> None:
        """
        Respond with flag 1, once.

        @param content: at most L{MAX_RESPONSE} bytes.
        """
        self.login._answered(self, responsePacket(self.session, ANSWERED, content))

    def fail(self, content: bytes) -> None:
        """Respond with flag 0, once."""
        self.login._answered(self, responsePacket(self.session, FAILED, content))


class Login:
    """
    One login, for as long as it lasts; its connections come and go.

    @ivar connection: the live one, or None while the user is away (H4).
    @ivar epoch: the login server's number of it, 0 where that knows nothing of it.
    @ivar isEnded: it is gone; a last connection may still be delivering answers (U2).
    @ivar runningCount: how many requests the handler is at, those that nobody waits for
        any more included (B2).
    @ivar bytesIn: the bytes of its requests that L{settle} has still to tell.
    @ivar meter: for whoever limits its requests; nothing here looks at it.
    """

    __slots__ = (
        "_application",
        "_fixed",
        "_index",
        "_inherited",
        "_kept",
        "_latest",
        "_limits",
        "_running",
        "_totals",
        "bytesIn",
        "connection",
        "epoch",
        "isEnded",
        "meter",
        "runningCount",
        "secret",
        "user",
    )

    def __init__(
        self,
        user: User,
        secret: bytes,
        limits: SessionLimits,
        application: Application,
        fixed: _Fixed,
        totals: Totals,
    ) -> None:
        self.user = user
        self.secret = secret
        self.connection: Connection | None = None
        self.epoch = 0
        self.isEnded = False
        self.runningCount = 0
        self.bytesIn = 0
        self.meter: Any = None
        self._totals = totals
        self._application = application
        self._limits = limits
        self._fixed = fixed
        self._index = 0
        self._latest: int | None = None
        self._kept = KeptResponses(limits.expiredNumber, limits.cacheBytes)
        self._running: dict[bytes, Running] = {}
        # The sessions that earlier connections left running and this one has not asked for.
        self._inherited = _NONE

    def connect(self, index: int, transport: Any) -> Connection:
        """
        Make a new connection the login's only one (H4).

        @raise IndexExpired: an index this high has been used before.
        """
        if index <= self._index:
            raise IndexExpired(f"index {index} is not above the last")
        self._index = index
        if self.connection is not None:
            self.disconnect(self.connection)
        self._kept.recall(self._running.keys())
        # Not added to: what was answered while the user was away is running no more.
        self._inherited = set(self._running) if self._running else _NONE
        self.connection = Connection(self, transport)
        return self.connection

    def disconnect(self, connection: Connection) -> bool:
        """
        Take note that a connection is lost.

        @return: whether it was the login's current one. If not, nothing has happened (H4).
        """
        connection._stop()
        if connection is not self.connection:
            return False
        connection.keepReady()
        self._kept.release()
        self.connection = None
        if self.isEnded:
            self._running.clear()
        self.settle()
        return True

    def settle(self) -> None:
        """Add to L{Totals} what this login has done since the last time."""
        totals = self._totals
        count, size = self._kept.settle()
        totals.responses += count
        totals.bytesOut += size
        totals.bytesIn += self.bytesIn
        self.bytesIn = 0

    def _end(self) -> None:
        self.isEnded = True
        self.secret = b""
        self._kept.forget()
        if self.connection is None:
            self._running.clear()
        else:
            # What becomes ready before the transport has closed still leaves (U2).
            self.connection._stop()

    def _answered(self, running: Running, packet: bytes) -> None:
        self.runningCount -= 1
        running.serving.session = None
        connection = self.connection
        if self._running.get(running.session) is running:
            del self._running[running.session]
            if packet[-1 - SESSION_SIZE] == _FAILED:
                self._totals.failed += 1
            if connection is not None and connection is running.connection:
                connection._ready.append(packet)
            elif connection is not None:
                self._inherited.discard(running.session)
                # They were made before this one, so they are not to outlive it (S7).
                connection.keepReady()
                self._kept.offer(running.session, packet)
            else:
                self._kept.add([packet])
                self.settle()
        else:
            self._totals.discarded += 1
        # Even an answer that goes nowhere makes room for a request that waits (B2).
        if connection is not None:
            self._application.flushLater(connection)


class Connection:
    """
    One connection of a login, from its accepted handshake to its loss.

    @ivar transport: whatever L{Login.connect} was given.
    @ivar isOpen: requests are served. No more once it is lost, replaced, or the login ended.
    @ivar isBroken: the peer broke the wire; close when what is ready has been sent (S3).
    @ivar isFull: a request waits for running ones to be answered (B2).
    @ivar hasMore: a request waits until other connections have had their turn, and the
        transport has taken the answers so far (B3). It is flushed then.
    """

    __slots__ = (
        "_ready",
        "_replayed",
        "_rest",
        "hasMore",
        "isBroken",
        "isFull",
        "isOpen",
        "login",
        "transport",
    )

    def __init__(self, login: Login, transport: Any) -> None:
        self.login = login
        self.transport = transport
        self.isOpen = True
        self.isBroken = False
        self.isFull = False
        self.hasMore = False
        self._rest = b""
        # Answered and to be sent: not kept yet, and kept already.
        self._ready: list[bytes] = []
        self._replayed: list[bytes] = []

    def receive(self, data: bytes) -> bytes:
        """
        Serve one batch: the requests in C{data}, and those that waited for it.

        @return: the answers that are ready now, to be sent as they are.
        """
        if not self.isOpen or self.isBroken:
            return b""
        if self._rest:
            data = self._rest + data
        login = self.login
        application, increasing, maxPacket, maxRunning = login._fixed
        user = login.user
        requestReceived = application.requestReceived
        replays = login._kept.replays
        inherited = login._inherited
        running = login._running
        ready = self._ready
        answered = ANSWERED
        desk = DESK
        desk.open()
        room = _BATCH_SIZE
        start = 0
        end = len(data)
        last = end - _HEADER_SIZE
        self.isFull = self.hasMore = False
        while start <= last:
            length = data[start + 1]
            if data[start]:
                length += data[start] << 8
            if not SESSION_SIZE <= length <= maxPacket:
                self.isBroken = True  # S3, B4
                break
            body = start + _HEADER_SIZE
            stop = body + length
            if stop > end:
                break
            if length < _SHORT:
                content, session = _CUTS[length](data, body)
            else:
                content = data[body : stop - SESSION_SIZE]
                session = data[stop - SESSION_SIZE : stop]
            if (replays or inherited) and (size := self._askedAgain(session)) is not None:
                start = stop
                room -= size
            elif increasing and (size := self._askedLate(session)) is not None:
                start = stop
                room -= size
            elif login.runningCount >= maxRunning:
                self.isFull = True  # B2
                break
            else:
                if running:
                    running.pop(session, None)  # S5: the later one's answer is sent.
                current = desk.serving
                current.user = user
                current.session = session
                start = stop
                try:
                    answer = requestReceived(user, content)
                except BaseException as error:  # As Deferreds do: the batch is not to suffer.
                    room -= self._fail(session, error)
                else:
                    if type(answer) is bytes and (count := len(answer)) < _SMALL:
                        ready.append(_HEADS[count] + answer + answered + session)
                        room -= count
                    else:
                        room -= self._begin(session, answer)
            if not self.isOpen:
                break
            if room < 0:
                self.hasMore = True
                application.flushLater(self)
                break
        desk.serving.session = None
        self._rest = data[start:]
        login.bytesIn += start
        if self._replayed or login.connection is not self:
            return self.take()
        if not ready:
            return b""
        taken = login._kept.add(ready)
        ready.clear()
        return taken

    def take(self) -> bytes:
        """Give the answers that are ready, once, and keep them."""
        if self.login.connection is not self:
            self._keepLate()
            self.login.settle()
            self._replayed.clear()
            return b""  # H4
        if self._replayed:
            self.keepReady()
            taken, self._replayed = b"".join(self._replayed), []
            return taken
        if not self._ready:
            return b""
        taken = self.login._kept.add(self._ready)
        self._ready.clear()
        return taken

    def keepReady(self) -> None:
        """Keep the answers that are ready, sent or not (S8)."""
        if self._ready:
            self._replayed.append(self.login._kept.add(self._ready))
            self._ready.clear()

    def _keepLate(self) -> None:
        """Keep what a request answered in which this connection was lost or replaced (H4)."""
        newer = self.login.connection
        if newer is None:
            self.keepReady()
            return
        newer.keepReady()
        for packet in self._ready:
            self.login._kept.offer(packet[-SESSION_SIZE:], packet)
        self._ready.clear()

    def _stop(self) -> None:
        self.isOpen = self.isFull = self.hasMore = False

    def _fail(self, session: bytes, error: BaseException) -> int:
        """Answer that the handler failed (S4), and tell the bytes that are ready now."""
        login = self.login
        login._totals.failed += 1
        content = login._application.requestFailed(login.user, error)
        self._ready.append(responsePacket(session, FAILED, content))
        return len(content)

    def _begin(self, session: bytes, result: Any) -> int:
        """
        Answer with what the handler gave, at once or later.

        @return: the bytes that are ready now.
        """
        login = self.login
        if result.__class__ is not bytes:
            try:
                result = login._application.begin(result)
            except BaseException as error:
                return self._fail(session, error)
        if result.__class__ is bytes and len(result) <= MAX_RESPONSE:
            self._ready.append(responsePacket(session, ANSWERED, result))
            return len(result)
        request = Running(login, session, self, DESK.renew())
        login._running[session] = request
        login.runningCount += 1
        if login.connection is not self and login.connection is not None:
            login._inherited = login._inherited | {session}  # Replaced in the handler (H4, S6).
        count = len(self._ready)
        login._application.answerLater(request, result)
        return 0 if len(self._ready) == count else len(self._ready[-1])

    def _askedAgain(self, session: bytes) -> int | None:
        """
        S6: answer from what earlier connections left. From then on it is ours (S5).

        @return: the bytes that are ready for it now; None where they left nothing.
        """
        login = self.login
        replays = login._kept.replays
        if session in replays:
            # What this batch has made so far counts: it may be what this is forgotten for (S7).
            self.keepReady()
            packet = replays.get(session)
            if packet is not None:
                if not login._limits.increasing:
                    del replays[session]
                return self._replay(packet)
        elif session in login._inherited:
            login._inherited.discard(session)
            login._running[session].connection = self
            return 0
        return None

    def _askedLate(self, session: bytes) -> int | None:
        """
        S7: see to a session that does not count up.

        @return: the bytes that are ready for it now; None where it does count up.
        """
        login = self.login
        number = int.from_bytes(session, "big")
        if login._latest is None or _isAfter(number, login._latest):
            if login.runningCount < login._limits.maxRunning:
                login._latest = number  # Not yet where it waits and is looked at again (B2).
            return None
        if session in login._running:
            return 0  # It is this connection's already, and its response will come.
        self.keepReady()
        login._kept.recallOwn()
        packet = login._kept.own.get(session)
        if packet is None:
            DESK.serving.session = None
            login._application.forgotten(login)
            return 0
        return self._replay(packet)

    def _replay(self, packet: bytes) -> int:
        totals = self.login._totals
        totals.replayed += 1
        totals.bytesOut += len(packet)
        self._replayed.append(packet)
        return len(packet)


def _isAfter(number: int, other: int) -> bool:
    """RFC 1982, section 3.2: compare 32-bit serial numbers, which wrap."""
    return 0 < (number - other) % 2**32 < 2**31


class Logins:
    """
    The table of a gate's logins.

    @param application: runs the requests of all of them.
    """

    def __init__(self, limits: SessionLimits, application: Application) -> None:
        self._limits = limits
        self._application = application
        self._fixed = application, limits.increasing, limits.maxPacket, limits.maxRunning
        self._totals = Totals()
        self._logins: dict[User, Login] = {}

    def __len__(self) -> int:
        return len(self._logins)

    def __iter__(self) -> Iterator[Login]:
        return iter(list(self._logins.values()))

    def get(self, user: User) -> Login | None:
        """Give the login of that name, or None."""
        return self._logins.get(user)

    def admit(self, user: User, secret: bytes) -> Login:
        """
        Make a login; it has no connection yet.

        @raise InvalidState: it exists already, or no suite makes secrets of that length.
        """
        if user in self._logins:
            raise InvalidState(f"{user} is logged in already")
        checkSecret(secret)
        login = Login(user, secret, self._limits, self._application, self._fixed, self._totals)
        self._logins[user] = login
        return login

    def connect(self, handshake: Handshake, transport: Any) -> Connection:
        """
        Judge a handshake, in the order of H1, and connect its login.

        @raise UserNotFound: there is no such login.
        @raise Unauthorized: the mac is not the one of its secret.
        @raise IndexExpired: the index has been used.
        """
        login = self._logins.get(handshake.user)
        if login is None:
            raise UserNotFound("no such login")
        if not isProvedBy(handshake, login.secret):
            raise Unauthorized("the mac does not fit")
        return login.connect(handshake.index, transport)

    def tally(self, connections: Collection[Connection], running: int) -> Tally:
        """
        Count what all logins have done, those included that have ended.

        @param connections: every one that is open.
        @param running: how many requests the handler is at.
        """
        totals = self._totals
        for connection in connections:
            connection.login.settle()
        waiting = sum(len(connection._ready) for connection in connections)
        responses = totals.responses + waiting
        return Tally(
            requests=responses + totals.discarded + running,
            answered=responses - totals.failed,
            failed=totals.failed,
            replayed=totals.replayed,
            running=running,
            bytesIn=totals.bytesIn,
            bytesOut=totals.bytesOut,
        )

    def end(self, user: User) -> Login | None:
        """
        Forget a login and its secret.

        @return: the login, to be taken leave of; None where there is none any more (U2).
        """
        login = self._logins.pop(user, None)
        if login is not None:
            login._end()
            login.settle()
        return login
