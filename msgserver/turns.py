"""
Having few at a time do what is dear, and the others wait: those whom it is owed to, first.
"""

from __future__ import annotations

from collections import OrderedDict

from twisted.internet.defer import Deferred, succeed


class Turns:
    """
    Gives turns, so many at a time.

    @param most: how many; 1 or more.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        # Whose turn comes first, first; those who are preferred in one, all others in the other.
        self._waiting: tuple[OrderedDict[Deferred[None], None], OrderedDict[Deferred[None], None]]
        self._waiting = OrderedDict(), OrderedDict()

    def __len__(self) -> int:
        """Tell how many wait."""
        return sum(map(len, self._waiting))

    def begin(self, isPreferred: bool = False) -> Deferred[None]:
        """
        Wait for a turn; whoever got one must L{end} it.

        @param isPreferred: it comes before all who are not, however long they have waited.
        @return: cancelling it gives the place up.
        """
        if self._free:
            self._free -= 1
            return succeed(None)
        queue = self._waiting[not isPreferred]
        turn: Deferred[None] = Deferred(queue.pop)
        queue[turn] = None
        return turn

    def end(self) -> None:
        """End a turn, which is the next one's then."""
        for queue in self._waiting:
            if queue:
                turn, _ = queue.popitem(last=False)
                turn.callback(None)
                return
        self._free += 1
