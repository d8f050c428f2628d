"""What the servers run whose logs are searched for secrets; and a log of all that is logged."""

from __future__ import annotations

import re
from hmac import compare_digest
from pathlib import Path

from twisted.logger import ILogObserver, LogEvent, Logger, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from msgserver import Account, ILoginHandler, MsgHandler, User
from msgserver.errors import RequestFailed, Unauthorized
from msgserver.interfaces import MaybeLater
from msgserver.wire.naming import decode64

_TOKEN = re.compile(rb"([^@]+)@([^:]+):(.+)")


@implementer(ILogObserver)
class EveryField:
    """
    Writes each event of every level with all of its fields, as C{repr} has them: more than any
    text or JSON log shows.

    @param folder: where the file is made.
    """

    def __init__(self, folder: str, name: str) -> None:
        self._file = (Path(folder) / name).open("a")

    def __call__(self, event: LogEvent) -> None:
        """Write one event."""
        for key, value in event.items():
            self._file.write(f"{key}: {value!r}\n")
            if isinstance(value, Failure):
                self._file.write(f"{value.getTraceback()}\n{value.value!r}\n")
        self._file.flush()


def _writeEverything(folder: str, name: str) -> None:
    globalLogPublisher.addObserver(EveryField(folder, name))


@implementer(ILoginHandler)
class Guard:
    """
    Checks passwords: the token is C{base64(user)@base64(server):base64(password)}.

    @param folder: where L{EveryField} writes.
    @param password: everybody's.
    @param isLeaky: writes each token into the log, as none must: so that it is seen that this
        would be found.
    """

    _log = Logger()

    def __init__(self, folder: str, password: str, isLeaky: bool = False) -> None:
        _writeEverything(folder, "events.login")
        self._password = password.encode()
        self._isLeaky = isLeaky

    async def authenticate(self, token: bytes) -> Account:
        """See L{ILoginHandler.authenticate}."""
        self._log.debug("a token is looked at")
        if self._isLeaky:
            self._log.debug("a token: {token}", token=token)
        match = _TOKEN.fullmatch(token)
        if match is None:
            raise Unauthorized("the token is not of the form user@server:password")
        user, server, password = map(decode64, match.groups())
        if user == b"crash":
            raise KeyError(token)
        if user == b"nobody":
            return token  # type: ignore[return-value]  # as a handler might by mistake
        if not compare_digest(password, self._password):
            raise Unauthorized("wrong user or password")
        return Account(server, user)


class Guarded(MsgHandler):
    """
    Answers with what it is asked; C{raise}, C{fail} and C{logout} do so.

    @param folder: where L{EveryField} writes.
    """

    _log = Logger()

    def __init__(self, folder: str) -> None:
        _writeEverything(folder, "events.gate")

    def loginReceived(self, uid: bytes, secret: bytes) -> MaybeLater[bytes | None]:
        """Refuse some by a mistake, some on purpose."""
        if uid == b"mistake":
            raise RuntimeError(secret)
        if uid == b"unwelcome":
            raise Unauthorized("as ordered")
        return None

    def requestReceived(self, user: User, content: bytes) -> MaybeLater[bytes]:
        """Do as ordered."""
        self._log.debug("a request is looked at")
        match content:
            case b"raise":
                raise RuntimeError("as ordered")
            case b"fail":
                raise RequestFailed(b"as ordered")
            case b"logout":
                self.gate.logout(user)
        return content

    def kicked(self, user: User) -> MaybeLater[None]:
        """Fail."""
        raise RuntimeError("as ordered")
