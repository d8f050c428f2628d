"""
The gate's part: what was C{gated.lua}, with its six hooks, and an agent for each user.

What is gone from it: the table of usernames, and the calls of C{msgserver.login},
C{msgserver.logout} and of the login server that the hooks had to make in the right order.
C{msgserver.handlers:AgentHandler} is all of this file, ready-made, and saves in time.
"""

from __future__ import annotations

from os import urandom

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from examples.migrating.msgagent import MsgAgent
from msgserver import IMsgGate, MsgHandler, User
from msgserver.wire.naming import encode64


class Gated(MsgHandler):
    """
    One agent for each login.

    @param clock: the time; by default the reactor's.
    @ivar agents: of everybody who is logged in, connected or away.
    """

    def __init__(self, clock: IReactorTime | None = None) -> None:
        if clock is None:
            # Importing it installs it, which is not for the import of this module to decide.
            from twisted.internet import reactor

            clock = IReactorTime(reactor)
        self._clock = clock
        self.agents: dict[User, MsgAgent] = {}

    # server.register_handler(name): it told the login server of the gate, which is done for you
    def gateOpened(self, gate: IMsgGate) -> None:
        """Take note of the gate: its name is C{gate.servername}."""
        self.gate = gate

    # server.login_handler(uid, secret) -> subid
    def loginReceived(self, uid: bytes, secret: bytes) -> bytes:
        """
        Make the agent. The subid was a count, which anybody can guess; this cannot be. To refuse,
        raise L{msgserver.errors.Forbidden}. There is no "already login" to raise: where
        C{multilogin} is off, an earlier login of the uid has been kicked before.
        """
        user = User(uid, encode64(urandom(12)), self.gate.servername)
        self.agents[user] = agent = MsgAgent(user, self._clock)
        agent.login()
        return user.subid

    # server.request_handler(username, msg)
    def requestReceived(self, user: User, content: bytes) -> Deferred[bytes]:
        """Answer, now or later. What it raises is an answer with flag 0, as it was."""
        return self.agents[user].client(content)

    # server.disconnect_handler(username)
    def disconnected(self, user: User) -> None:
        """The connection is lost; the login lives on, for C{away_timeout} at most."""
        self.agents[user].afk()

    # server.kick_handler(uid, subid)
    def kicked(self, user: User) -> None:
        """
        Another login is to take this one's place. Do not log the user out here: that follows
        by itself.
        """

    # server.logout_handler(uid, subid)
    def loggedOut(self, user: User) -> None:
        """Let go of the login: called once for each, whatever it has ended of."""
        self.agents.pop(user).logout()
