"""
A server to try the load tester on: anybody may log in who knows one password, and every request is
its own answer.

It is no server for anything else: one password for all is as good as none.
"""

from __future__ import annotations

import re
from hmac import compare_digest

from zope.interface import implementer

from msgserver.errors import Unauthorized
from msgserver.handlers.base import MsgHandler
from msgserver.interfaces import Account, ILoginHandler, User
from msgserver.passwords import parsePasswordToken

DEMO_CONFIG = """\
# For a load test alone: everybody has the same password.
[login]
listen = ["{login}"]
handler = "msgserver.loadtest.server:AnybodyLoginHandler"
handler_options = {{ password = "{password}" }}
maxclient = {maxclient}
max_strangers = {maxclient}

[gate]
servername = "sample"
listen = ["{gate}"]
handler = "msgserver.loadtest.server:EchoOnceHandler"
maxclient = {maxclient}
max_strangers = {maxclient}
"""

TWICE = b"ran twice, or out of order: "
"""What L{EchoOnceHandler} answers a request with that should not have run."""

_NUMBER = re.compile(rb"([0-9]{1,18})(?: |$)")


@implementer(ILoginHandler)
class AnybodyLoginHandler:
    """
    Lets anybody in, by any name, who has the password. For load tests alone.

    L{msgserver.handlers.PasswordLoginHandler} takes tens of milliseconds of CPU for each login, so
    that guessing is slow. This one takes none, and what is measured is the server.

    @param password: everybody's.
    @raise ValueError: it is empty.
    """

    def __init__(self, password: str) -> None:
        if not password:
            raise ValueError("password: must not be empty")
        self._password = password.encode()

    def authenticate(self, token: bytes) -> Account:
        """See L{ILoginHandler.authenticate}."""
        try:
            user, server, password = parsePasswordToken(token)
        except ValueError as error:
            raise Unauthorized(str(error)) from None
        if not compare_digest(password, self._password):
            raise Unauthorized("wrong password")
        return Account(server, user)


class EchoOnceHandler(MsgHandler):
    """
    Answers each request with itself, but for one that runs twice (S6).

    The load tester numbers the requests of a user: C{NAME.NUMBER}, and then whatever it likes.
    Within a login the numbers ascend. One that does not is answered so that it is no echo, and
    the tester finds it wrong. What is not numbered so is not looked at.
    """

    def __init__(self) -> None:
        self._last: dict[User, int] = {}

    def requestReceived(self, user: User, content: bytes) -> bytes:
        """See L{msgserver.interfaces.IMsgHandler.requestReceived}."""
        name = user.uid + b"."
        numbered = _NUMBER.match(content, len(name)) if content.startswith(name) else None
        if numbered is None:
            return content
        number = int(numbered[1])
        if number <= self._last.get(user, -1):
            return TWICE + content
        self._last[user] = number
        return content

    def loggedOut(self, user: User) -> None:
        """See L{msgserver.interfaces.IMsgHandler.loggedOut}."""
        self._last.pop(user, None)
