"""
What the application, business code and operators may do.
"""

from __future__ import annotations

from tests.simulation.clients import ignored
from tests.simulation.gates import Gate
from tests.simulation.handlers import SimulatedBug
from tests.simulation.networksteps import NetworkSteps
from tests.simulation.world import KICK_TIMEOUT


class GateSteps(NetworkSteps):
    """Steps of the servers' side."""

    def _settle(self, x: int, y: int) -> bool:
        """Do what was promised."""
        if not self.pending:
            return False
        pending = self.pending.pop(x % len(self.pending))
        self.trace(f"    {pending.what} is done for {pending.user and pending.user.uid.decode()}")
        if pending.request is not None:
            for gate in self.gates:
                if pending.request.login in gate.model.logins.values():
                    gate.handler.resolve(pending, y % 9)
        elif pending.promised.called:
            if pending.what == "authenticate":
                self.reached("login while late")
        elif y % 9 == 8:
            self.bugs += 1
            pending.promised.errback(SimulatedBug())
        else:
            pending.promised.callback(pending.result)
        return True

    def _log_out(self, x: int, y: int) -> bool:
        """Have business code log a user out."""
        return self._logOut(x, isEnded=False)

    def _log_out_old(self, x: int, y: int) -> bool:
        """Have business code log out a login that has ended."""
        return self._logOut(x, isEnded=True)

    def _logOut(self, who: int, isEnded: bool) -> bool:
        logins = self._logins(isEnded)
        if not logins:
            return False
        gate, user = logins[who % len(logins)]
        gate.model.mustEnd(user, "logout")
        gate.handler.gate.logout(user)
        return True

    def _kick(self, x: int, y: int) -> bool:
        """Have an operator kick a user."""
        living = self._logins(isEnded=False)
        if not living:
            return False
        _, user = living[x % len(living)]
        for gate, each in living:
            if each == user:
                gate.model.mayKick(user)
        begun = self.reactor.seconds()
        done = self.logins.operations.kick(user.uid, user.subid).addBoth(ignored)

        def over(_: None) -> None:
            seconds = self.reactor.seconds() - begun
            if seconds > KICK_TIMEOUT + 1e-6:
                self.fail("U3", f"a kick took {seconds:g} seconds")

        done.addCallback(over)
        return True

    def _kick_old(self, x: int, y: int) -> bool:
        """Have a late kick come, for a login that has ended."""
        ended = self._logins(isEnded=True)
        if not ended:
            return False
        gate, user = ended[x % len(ended)]
        gate.model.mayKick(user)
        gate.service.kick(user.uid, user.subid).addBoth(ignored)
        return True

    def _stop_gate(self, x: int, y: int) -> bool:
        """Shut a gate down, where there is another (B5)."""
        running = [gate for gate in self.gates if gate.stopped is None]
        if len(running) < 2:
            return False
        self._stopGate(running[x % len(running)])
        return True

    def _stopGate(self, gate: Gate) -> None:
        gate.port.factory = None
        gate.model.draining()
        gate.stopped = gate.service.stopService().addCallback(lambda _: gate.model.stopped())
