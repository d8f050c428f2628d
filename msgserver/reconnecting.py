"""
A connection that is made again whenever it is lost, by attempts of more than one step.

The loop and its back-off are those of Twisted's L{ClientService}. What it lacks is an attempt
that goes on after the connection is made, such as a handshake: where its C{prepareConnection}
fails, its state machine has no transition for the loss of the connection, which is bound to
follow. So here it hears of a connection only when that is of use.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from attrs import field, frozen
from twisted.application.internet import ClientService
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from zope.interface import implementer


@frozen
class Connected:
    """
    A connection that is of use.

    @ivar transport: told to close when the service stops.
    @ivar lost: fires when the connection is lost, and never fails; the service adds to it.
    """

    transport: ITransport
    lost: Deferred[None]


def reconnecting(
    attempt: Callable[[], Coroutine[Deferred[Any], Any, Connected]],
    retryPolicy: Callable[[int], float],
    clock: IReactorTime,
) -> ClientService:
    """
    Make a service that keeps one connection while it runs.

    @param attempt: connects, and does what else it takes until the connection is of use. It
        begins in a turn of the reactor of its own, and is cancelled when the service stops.
        Where it fails it leaves no connection; its failure counts for the back-off, and is
        what C{whenConnected} fails with.
    @param retryPolicy: the seconds to wait when so many attempts in a row have failed; after
        the loss of a connection, as if one had.
    @return: the service, to be started. Its C{whenConnected} fires with a protocol that is
        nobody's; its C{stopService}, when the connection is lost or the attempt has ended.
    """

    async def connect(lifelines: IProtocolFactory) -> IProtocol:
        # The caller's code is called neither where it starts the service nor from within
        # ClientService's state machine, where that cannot be asked anything.
        await deferLater(clock, 0)
        connected = await attempt()
        if not service.running:
            # The attempt made nothing of its cancellation.
            connected.transport.loseConnection()
            await connected.lost
            raise CancelledError()
        if connected.lost.called:
            raise ConnectionLost("the connection was lost before it was of use")
        lifeline = lifelines.buildProtocol(connected.transport.getPeer())
        assert lifeline is not None
        lifeline.makeConnection(connected.transport)
        connected.lost.addCallback(lambda _: lifeline.connectionLost(connectionDone))
        return lifeline

    # All that ClientService needs to know is the loss: its protocol is a lifeline, no more.
    lifelines = Factory.forProtocol(Protocol)
    service = ClientService(_Attempts(connect), lifelines, retryPolicy, clock)
    return service


@implementer(IStreamClientEndpoint)
@frozen
class _Attempts:
    """What L{ClientService} takes for an endpoint, and names in the log."""

    begin: Callable[[IProtocolFactory], Coroutine[Deferred[Any], Any, IProtocol]] = field(
        repr=False
    )

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return Deferred.fromCoroutine(self.begin(protocolFactory))
