"""
What the logins of a gate have done: the numbers that L{msgserver.sessions} counts. Pure.
"""

from __future__ import annotations

from attrs import frozen


class Totals:
    """
    What the logins of a gate have done so far, but for what L{Login.settle} has still to tell.

    It is added to where a login loses its connection or ends, and on what is rare. So a request
    costs nothing for being counted, and a batch one addition.

    @ivar responses: answers made, of either flag; C{failed}: of flag 0, those among them.
    @ivar discarded: answers that were made and went nowhere (S5, U2).
    @ivar replayed: kept responses that were sent again (S6).
    @ivar bytesIn: of requests, their packets' lengths included; C{bytesOut}: of responses.
    """

    __slots__ = ("bytesIn", "bytesOut", "discarded", "failed", "replayed", "responses")

    def __init__(self) -> None:
        self.responses = 0
        self.failed = 0
        self.discarded = 0
        self.replayed = 0
        self.bytesIn = 0
        self.bytesOut = 0


@frozen
class Tally:
    """
    What the logins of a gate have done up to a moment. No number but C{running} ever falls.

    @ivar requests: handed to the handler.
    @ivar answered: with flag 1; C{failed}: with flag 0.
    @ivar replayed: kept responses that were sent again (S6).
    @ivar running: requests that the handler is at.
    @ivar bytesIn: of requests, their packets' lengths included; C{bytesOut}: of responses.
    """

    requests: int
    answered: int
    failed: int
    replayed: int
    running: int
    bytesIn: int
    bytesOut: int
