"""
The agent: what was C{msgagent.lua}, and a service of its own for each user. Here it is an object.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from msgserver import User

_DELAY = 0.1
"""Seconds until the echo: long enough to lose a connection in, as in the original."""


class MsgAgent:
    """
    One user, from login to logout.

    @param user: who; C{user.uid} and C{user.subid} are what C{login} had as C{uid} and C{sid}.
    @param clock: what C{skynet.sleep} was.
    @ivar asked: how many requests there were. Whatever a user's state is stands here.
    """

    _log = Logger()

    def __init__(self, user: User, clock: IReactorTime) -> None:
        self._user = user
        self._clock = clock
        self.asked = 0

    # CMD.login(source, uid, sid, secret): where it loaded the user's data
    def login(self) -> None:
        """Take note of the login."""
        self._log.info("{user} is logged in", user=self._user)

    # skynet.dispatch("client", ...), with skynet.sleep and skynet.ret
    def client(self, message: bytes) -> Deferred[bytes]:
        """Answer a request with itself, after a while. Meanwhile others may run."""
        self.asked += 1
        return deferLater(self._clock, _DELAY, lambda: message)

    # CMD.afk(source)
    def afk(self) -> None:
        """Take note that the connection is lost, and the user is not."""
        self._log.info("{user} is away", user=self._user)

    # CMD.logout(source): where it saved them, and asked the gate for the logout
    def logout(self) -> None:
        """Save what must be saved: the login ends."""
        self._log.info("{user} asked {asked} times", user=self._user, asked=self.asked)
