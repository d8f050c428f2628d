"""
What stands in a server in memory for what it would be given elsewhere.
"""

from __future__ import annotations

from attrs import field, frozen
from twisted.logger import ILogObserver, LogEvent
from twisted.python.failure import Failure
from zope.interface import implementer

from msgserver.interfaces import Account, ILoginHandler


@implementer(ILoginHandler)
@frozen
class AcceptAll:
    """
    Admits everybody: the token is the uid.

    @ivar servername: the gate that they want.
    """

    servername: bytes

    def authenticate(self, token: bytes) -> Account:
        """See L{ILoginHandler.authenticate}."""
        return Account(self.servername, token)


@implementer(ILogObserver)
@frozen
class LoggedErrors:
    """
    Keeps what is logged as a failure.

    @ivar failures: in their order.
    """

    failures: list[Failure] = field(factory=list)

    def __call__(self, event: LogEvent) -> None:
        """See L{ILogObserver}."""
        if "log_failure" in event:
            self.failures.append(event["log_failure"])
