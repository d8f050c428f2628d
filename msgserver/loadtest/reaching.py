"""
Where the servers are, and how users log in to them.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates

from msgserver.client import login
from msgserver.clientlogin import LoggedIn, parseAddress
from msgserver.interfaces import Account
from msgserver.loadtest.plan import Target
from msgserver.wire.classic import ClassicSuite

_UNIX = "unix:"
_END = "-----END CERTIFICATE-----"


class Reach:
    """
    Connects to a target.

    @param reactor: all that L{HostnameEndpoint} asks for.
    @raise ValueError: the target's certificates are none.
    """

    def __init__(self, target: Target, reactor: Any) -> None:
        self._target = target
        self._reactor = reactor
        self._trust = _trustOf(target.authorities)
        self.gate = self._endpoint(target.gate)
        self._login = self._endpoint(target.login)

    def connectTo(self, host: str, port: int) -> IStreamClientEndpoint:
        """Make the endpoint of an address that a login has told (L5)."""
        endpoint = HostnameEndpoint(self._reactor, host, port)
        if not self._target.usesTLS:
            return endpoint
        return wrapClientTLS(optionsForClientTLS(host, trustRoot=self._trust), endpoint)

    def takeLogin(self, number: int) -> Deferred[LoggedIn]:
        """Log the user of a number in."""
        target = self._target
        account = Account(target.server.encode(), target.nameOf(number))
        return login(
            self._login,
            account,
            target.tokenOf(number),
            suite=ClassicSuite() if target.isClassic else None,
            serverIdentity=target.identity or None,
            clock=IReactorTime(self._reactor),
        )

    def _endpoint(self, address: str) -> IStreamClientEndpoint:
        if address.startswith(_UNIX):
            return UNIXClientEndpoint(self._reactor, address.removeprefix(_UNIX))
        return self.connectTo(*parseAddress(address))


def _trustOf(authorities: str) -> Any:
    if not authorities:
        return None
    texts = [(text + _END).encode() for text in authorities.split(_END)[:-1]]
    if not texts:
        raise ValueError("no certificate in it")
    try:
        return trustRootFromCertificates([Certificate.loadPEM(text) for text in texts])
    except Exception:
        # pyOpenSSL's own say what is wrong only in numbers.
        raise ValueError("a certificate in it is none") from None
