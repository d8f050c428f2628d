"""
The client's connections: L{msgserver.wire}'s client ends on transports.

They hold no policy: which connections there are, and what comes of how they end, is
L{msgserver.client}'s.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from msgserver.clientlogin import ADDRESS_GRACE, ClientLogin
from msgserver.errors import ProtocolError, Refused, RequestFailed
from msgserver.wire.gate import Connected, Response
from msgserver.wire.login import Admitted, LoginClient


class LoginClientProtocol(Protocol):
    """
    One login conversation (L).

    @ivar admitted: fires when the server has said all that it will; fails with a L{Refused},
        with L{ProtocolError}, or with what the connection was lost of. Cancelling it aborts
        the connection.
    """

    transport: ITCPTransport

    def __init__(self, wire: LoginClient, clock: IReactorTime) -> None:
        self._wire = wire
        self._clock = clock
        self._grace: IDelayedCall | None = None
        self.admitted: Deferred[Admitted] = Deferred(lambda _: self._abort())

    def dataReceived(self, data: bytes) -> None:
        """Go on with the conversation."""
        self._wire.feed(data)
        try:
            event = self._wire.nextEvent()
        except (Refused, ProtocolError):
            self._finish(Failure())
            return
        self.transport.write(self._wire.dataToSend())
        if event is not None:
            self._finish(event)
        elif self._wire.isAdmitted and self._grace is None:
            # Where there is no address to say, a close follows; from the original's server,
            # nothing ever does.
            self._grace = self._clock.callLater(ADDRESS_GRACE, self._allSaid)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Make what there is of what the server has said."""
        if self._wire.isAdmitted or reason.check(ConnectionDone):
            self._allSaid()
        else:
            self._finish(reason)

    def _allSaid(self) -> None:
        try:
            event = self._wire.feedEnd()
        except ProtocolError:
            self._finish(Failure())
        else:
            if event is not None:
                self._finish(event)

    def _finish(self, result: Admitted | Failure) -> None:
        self._stopGrace()
        self.transport.loseConnection()
        if not self.admitted.called:
            self.admitted.callback(result)

    def _abort(self) -> None:
        self._stopGrace()
        self.transport.abortConnection()

    def _stopGrace(self) -> None:
        if self._grace is not None and self._grace.active():
            self._grace.cancel()


class GateClientProtocol(Protocol):
    """
    One connection to a gate: the handshake (H), then requests and responses (S).

    @param login: the login to connect with; it has the requests, and whoever waits for them.
    @ivar accepted: fires when the gate has said C{200 OK}; fails with a L{Refused}, with
        L{ProtocolError}, or with what the connection was lost of. Cancelling it aborts the
        connection.
    @ivar lost: fires when the connection is lost.
    @ivar heard: how often something was received.
    """

    _log = Logger()
    transport: ITCPTransport

    def __init__(self, login: ClientLogin[Deferred[bytes]]) -> None:
        self._login = login
        self._wire = login.newConnection()
        self.accepted: Deferred[None] = Deferred(lambda _: self.transport.abortConnection())
        self.lost: Deferred[None] = Deferred()
        self.heard = 0

    def whenLost(self, callback: Callable[[], None]) -> None:
        """Call back when the connection is lost."""
        self.lost.addCallback(lambda _: callback())

    def abort(self) -> None:
        """Cut the connection."""
        self.transport.abortConnection()

    def askAgain(self) -> None:
        """Send what is unanswered, then what has waited."""
        self.transport.write(self._login.askAgain())
        self.sendRequests()

    def sendRequests(self) -> None:
        """Send what waits, as much as may be unanswered at a time."""
        self.transport.write(self._login.dataToSend())

    def connectionMade(self) -> None:
        """Say who we are."""
        self.transport.write(self._wire.hello)

    def dataReceived(self, data: bytes) -> None:
        """Take the gate's verdict, and then its responses."""
        self.heard += 1
        self._wire.feed(data)
        try:
            while (event := self._wire.nextEvent()) is not None:
                if isinstance(event, Connected):
                    self.accepted.callback(None)
                else:
                    self._responseReceived(event)
        except (Refused, ProtocolError) as error:
            self.transport.abortConnection()
            if self.accepted.called:
                self._log.info("closed the connection to the gate: {error!r}", error=error)
            else:
                self.accepted.errback(error)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell whoever waits for the verdict, or for the end."""
        if not self.accepted.called:
            self.accepted.errback(reason)
        self.lost.callback(None)

    def _responseReceived(self, response: Response) -> None:
        answer = self._login.answered(response.session)
        # There is room for one more.
        self.sendRequests()
        if answer is None:
            return
        if response.isAnswer:
            answer.callback(response.content)
        else:
            answer.errback(RequestFailed(response.content))
