"""
What all users of a process share.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from attrs import Factory, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

from msgserver.clientlogin import LoggedIn
from msgserver.loadtest.dialogue import Dialogue
from msgserver.loadtest.plan import Plan
from msgserver.loadtest.recorder import Recorder
from msgserver.loadtest.turns import Line


@frozen
class Surroundings:
    """
    What all users of a process share.

    @ivar takeLogin: logs the user of a number in.
    @ivar gate: where to connect when logins tell no address.
    @ivar connectTo: makes the endpoint of an address that a login tells.
    @ivar retryPolicy: the client's.
    @ivar line: the places for their connections.
    """

    plan: Plan
    clock: IReactorTime
    recorder: Recorder
    dialogue: Dialogue
    random: Random
    takeLogin: Callable[[int], Deferred[LoggedIn]]
    gate: IStreamClientEndpoint
    connectTo: Callable[[str, int], IStreamClientEndpoint]
    retryPolicy: Callable[[int], float]
    line: Line = field(
        init=False, default=Factory(lambda self: Line(self.plan.connections), takes_self=True)
    )
