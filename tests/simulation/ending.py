"""
How a world ends, and what must be left of it: nothing.
"""

from __future__ import annotations

import gc
from random import Random
from types import FunctionType, ModuleType

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import globalLogPublisher

from tests.simulation.clientsteps import ClientSteps
from tests.simulation.handlers import Handler, LoginHandler
from tests.simulation.network import Network
from tests.simulation.world import Step

_NOT_OURS = (type, FunctionType, ModuleType, LoginHandler, Handler, Network)

_MOST_TURNS = 2_000
"""The turns within which whatever is asked again is answered, 100 seconds in all."""


class Simulation(ClientSteps):
    """A world, with all that may happen in it, and its end."""

    def finish(self, isHealed: bool, isToEnd: bool = True) -> None:
        """
        End everything, and see that nothing is left.

        @param isHealed: first the network is whole and the application keeps its promises,
            until every device has its answers.
        @param isToEnd: False to leave it at that.
        """
        try:
            if not isToEnd:
                return
            if isHealed and self.failure is None:
                self._heal()
            if self.failure is None:
                self._stop(isHealed)
            if self.failure is None:
                self._checkNothingLeft()
        finally:
            globalLogPublisher.removeObserver(self._observer)

    def _heal(self) -> None:
        """What is asked again is answered."""
        for uid in self.uids:
            devices = [device for device in self._open() if device.uid == uid]
            for device in devices[:-1]:
                device.close()
        for device in self._open():
            device.verb = b"yes"
        for end in self._rawEnds():
            end.socket.close()
        for _ in range(_MOST_TURNS):
            self._step(True)
            if self.failure is not None:
                return
            if not any(device.unanswered for device in self._open()):
                return
        for device in self._open():
            for asked in device.unanswered[:1]:
                self.fail("S6", f"{asked.content[:40]!r} of {device.name} is never answered")

    def _step(self, isKept: bool, seconds: float = 0.05) -> None:
        """Let everything move that can."""
        for link in self.network.links:
            link.isStuck = link.isHeld = False
        while self.network.dials:
            self.network.answer(self.network.dials[0])
        for link in list(self.network.links):
            if link.server is None:
                self._acceptLink(link)
        for number in range(4 * len(self.network.links)):
            self._move(number, 8 * 2)
        while isKept and self.pending:
            self._settle(0, 0)
        self.reactor.passTime(seconds)
        self._check(True)

    def _stop(self, isHealed: bool) -> None:
        """Shut down (B5)."""
        self.loginPort.factory = None
        for gate in self.gates:
            if gate.stopped is None:
                self._stopGate(gate)
        self._check(False)
        random = Random(f"stop {self.seed}")
        names, weights = list(self.weights), list(self.weights.values())
        for name in random.choices(names, weights, k=0 if isHealed else 60):
            if name not in ("device", "stranger", "connect", "garbage"):
                self.take(Step(name, random.randrange(2**14), random.randrange(2**14)))
        for device in self.devices:
            device.close()
        for _ in range(1_000):
            self._step(isHealed, 0.5)
            if self.failure is not None or self._isOver():
                break
        stopped = DeferredList([gate.stopped for gate in self.gates if gate.stopped])
        if not stopped.called:
            self.fail("B5", "a gate does not stop")
        for device in self.devices:
            if device.closed is not None and not device.closed.called:
                self.fail("S1", f"{device.name} does not close")
            for asked in device.unanswered:
                self.fail("S1", f"{asked.content[:40]!r} of {device.name} neither works nor fails")

    def _isOver(self) -> bool:
        closed = [device.closed for device in self.devices if device.closed is not None]
        stopped = [gate.stopped for gate in self.gates if gate.stopped is not None]
        return all(done.called for done in closed + stopped) and not self.network.links

    def _checkNoDeferred(self) -> None:
        """Nothing of ours holds a Deferred that has yet to fire."""
        while self.pending:
            self._settle(0, 0)
        self.reactor.passTime(0)
        roots: list[object] = [self.logins, self.loginFactory]
        roots += [thing for gate in self.gates for thing in (gate.service, gate.factory)]
        roots += [device.client for device in self.devices]
        seen = {id(thing) for thing in (self, self.reactor, *self.gates, *self.devices)}
        seen |= {id(thing) for gate in self.gates for thing in (gate.model, gate.handler)}
        while roots:
            thing = roots.pop()
            if id(thing) in seen or isinstance(thing, _NOT_OURS):
                continue
            seen.add(id(thing))
            if isinstance(thing, Deferred) and not thing.called:
                holders = {type(each).__name__ for each in gc.get_referrers(thing)}
                self.fail("B5", f"a Deferred is left, held by {sorted(holders)}")
            roots += gc.get_referents(thing)

    def _checkNothingLeft(self) -> None:
        """No timer, no connection, no login, and nobody who waits for anything."""
        self.reactor.passTime(0)
        self._check(True)
        self._checkNoDeferred()
        for call in self.reactor.getDelayedCalls():
            self.fail("B5", f"a timer is left: {call}")
        left = {
            "links": len(self.network.links),
            "dials": len(self.network.dials),
            "login connections": len(self.loginFactory.limits),
            "logins under way": len(self.logins.underWay) + len(self.logins._underWay),
            "places": len(self.logins._directory.places()),
            "members": len(list(self.logins._directory.members())),
        }
        for gate in self.gates:
            service = gate.service
            left[f"{gate.name} connections"] = len(gate.factory.limits)
            left[f"{gate.name} connected"] = len(service._connections)
            left[f"{gate.name} stalls"] = len(gate.factory.stalls)
            left[f"{gate.name} logins"] = len(list(service.users()))
            left[f"{gate.name} away"] = len(service._away)
            left[f"{gate.name} kicks"] = len(service._kicks)
            left[f"{gate.name} to flush"] = len(service._answering._toFlush)
            left[f"{gate.name} running"] = service._answering.running - gate.model.runningInAll
            left[f"{gate.name} wires"] = len(gate.model.wires)
            for each in gate.model.logins.values():
                if not each.isEnded:
                    self.fail("U2", f"{each.user} has not ended")
        for what, count in left.items():
            if count:
                self.fail("B5", f"left: {what} {count}")
        if self.bugsLogged != self.bugs:
            self.fail("S4", f"{self.bugs} bugs of handlers, {self.bugsLogged} in the log")
