"""
The login server's part: what was C{logind.lua}.

Of its three functions one is left. C{login_handler} and C{command_handler} kept the tables of
gates and of who is logged in, kicked the earlier login and asked the gate: msgserver does that.
"""

from __future__ import annotations

from hmac import compare_digest

from zope.interface import implementer

from msgserver import Account, ILoginHandler, Unauthorized
from msgserver.passwords import parsePasswordToken


@implementer(ILoginHandler)
class Logind:
    """
    Admits everybody who knows the one password, as the original's example does. A server of yours
    asks your accounts, or takes C{msgserver.handlers:PasswordLoginHandler}, which knows the same
    tokens and has a password for each user.

    @param password: it comes from the config, C{[login.handler_options]}.
    """

    def __init__(self, password: str) -> None:
        self._password = password.encode()

    # auth_handler(token) -> server, user
    def authenticate(self, token: bytes) -> Account:
        """Take C{base64(user)@base64(server):base64(password)} apart, and judge it."""
        try:
            user, server, password = parsePasswordToken(token)
        except ValueError as error:
            raise Unauthorized(str(error)) from None
        # Where the original asserts, here is a plain no; anything else raised is logged as a bug.
        if not compare_digest(password, self._password):
            raise Unauthorized("wrong password")
        return Account(server, user)
