"""What the servers of the benchmarks run."""

from __future__ import annotations

from zope.interface import implementer

from msgserver import Account, ILoginHandler

SERVER = b"bench"
"""The server name of every gate."""


@implementer(ILoginHandler)
class Welcome:
    """Lets everybody in at once: the token is the uid."""

    def authenticate(self, token: bytes) -> Account:
        """See L{ILoginHandler.authenticate}."""
        return Account(SERVER, token)
