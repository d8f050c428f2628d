"""
Fewer connections than users: who may be connected when.

There are so many places for connections. A user has one for a turn, and whoever is first in line
has it next. A turn outlives a connection that is cut: the user who comes back has the place still.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from math import inf

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from zope.interface import implementer


class Line:
    """
    The places, and those who wait for one: first come, first served.

    @param places: how many there are, 1 or more.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: OrderedDict[Deferred[None], None] = OrderedDict()
        # Who may go, as soon as somebody waits; and how many were told to, and have not gone yet.
        self._spare: OrderedDict[Turn, None] = OrderedDict()
        self._going = 0

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._waiting)

    def take(self) -> Deferred[None]:
        """
        Wait for a place.

        @return: fires when there is one. Who cancels it is in the line no more.
        """
        place: Deferred[None] = Deferred(lambda place: self._waiting.pop(place, None))
        if self._free:
            self._free -= 1
            place.callback(None)
        else:
            self._waiting[place] = None
            self._call()
        return place

    def mayGo(self, turn: Turn) -> None:
        """Have a turn end as soon as somebody waits for its place."""
        self._spare[turn] = None
        self._call()

    def giveBack(self, turn: Turn) -> None:
        """Give the place of a turn to the next."""
        if turn.isGoing:
            self._going -= 1
        self._spare.pop(turn, None)
        if self._waiting:
            place, _ = self._waiting.popitem(last=False)
            place.callback(None)
        else:
            self._free += 1

    def _call(self) -> None:
        """Have as many go as there are who wait."""
        while self._spare and self._going < self.waiting:
            turn, _ = self._spare.popitem(last=False)
            self._going += 1
            turn.go()


class Turn:
    """
    The turns of one user, one after another.

    @param seconds: how long each is, from the gate's word that there is a connection; infinite
        for one that never ends.
    @param drop: called when a turn is over and somebody waits: cuts the connection.
    @ivar number: which it is, or was last, from 1.
    @ivar hasPlace: whether the user has one; before the turn begins, as connecting takes a while.
    @ivar isOn: the turn has begun, and is not over.
    @ivar isGoing: the connection is being cut, as the turn is over.
    @ivar isLast: there is nothing more to do; the user waits for no place any more.
    """

    def __init__(
        self, line: Line, seconds: float, clock: IReactorTime, drop: Callable[[], object]
    ) -> None:
        self._line = line
        self._seconds = seconds
        self._clock = clock
        self._drop = drop
        self._end: IDelayedCall | None = None
        self._isTrying = False
        self._isConnected = False
        # Its time is over, and the line knows that.
        self._isOver = False
        self._isClosed = False
        self.isOn = self.hasPlace = self._isEndless
        self.number = int(self._isEndless)
        self.isGoing = False
        self.isLast = False

    @property
    def _isEndless(self) -> bool:
        return self._seconds == inf

    def at(self, endpoint: IStreamClientEndpoint) -> IStreamClientEndpoint:
        """Give an endpoint that waits for a place, and then connects as another does."""
        return _PlaceEndpoint(self, endpoint)

    async def take(self) -> None:
        """Wait for a place, unless there is one: an attempt to connect begins."""
        if self.isLast:
            never: Deferred[None] = Deferred()
            await never
        if not self.hasPlace:
            await self._line.take()
            self.hasPlace = True
        self._isTrying = True

    def connected(self) -> None:
        """Take note that the gate has accepted a connection: the turn begins, or goes on."""
        self._isTrying, self._isConnected = False, True
        if not self.isOn:
            self.isOn = True
            self.number += 1
        if self._end is None and not self._isEndless:
            self._end = self._clock.callLater(self._seconds, self._over)

    def away(self) -> None:
        """Take note that the connection is lost."""
        self._isConnected = False
        if self._isOver or self.isLast:
            self._leave()

    def failed(self) -> None:
        """Take note that an attempt to connect has failed: somebody else may have more luck."""
        self._isTrying = False
        self._leave()

    def finish(self) -> None:
        """Take note that there is nothing more to do: others may have the place."""
        if not self._isEndless and not self.isLast:
            self.isLast = True
            if not self._isOver:
                self._line.mayGo(self)

    def close(self) -> None:
        """Keep the place, for which nobody is to wait any more."""
        self._isClosed = self.isLast = True
        self._stopClock()

    def go(self) -> None:
        """Cut the connection; called by the line."""
        self.isGoing = True
        self._drop()

    def _over(self) -> None:
        self._end = None
        if self._isConnected and not self.isLast:
            self._isOver = True
            self._line.mayGo(self)
        elif not self._isConnected and not self._isTrying:
            self._leave()
        # Else an attempt is under way: where it leads to a connection, there is more time.

    def _leave(self) -> None:
        if self.hasPlace and not self._isEndless and not self._isClosed:
            self._stopClock()
            self.isOn = self.hasPlace = self._isOver = False
            self._line.giveBack(self)
            self.isGoing = False

    def _stopClock(self) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None


@implementer(IStreamClientEndpoint)
class _PlaceEndpoint:
    """
    See L{Turn.at}.
    """

    def __init__(self, turn: Turn, endpoint: IStreamClientEndpoint) -> None:
        self._turn = turn
        self._endpoint = endpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect, as soon as there is a place. Who cancels it has none."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, protocolFactory: IProtocolFactory) -> IProtocol:
        await self._turn.take()
        try:
            return await self._endpoint.connect(protocolFactory)
        except Exception:
            self._turn.failed()
            raise
