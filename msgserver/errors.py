"""
Every exception of msgserver, and the status lines and packets that a refusal sends.

::

    MsgServerError
      ProtocolError          the peer broke the wire: count it, close
      Refused                an expected no; its status is what is sent
        BadRequest           400, gate
        Unauthorized         401, login and gate
        Forbidden            403, login
        IndexExpired         403, gate
        UserNotFound         404, gate
        NotAcceptable        406, login
      RequestFailed          the handler's way to put content into a flag-0 response
      OutcomeUnknown         client: the login ended, the request may or may not have run
      RequestTimedOut        client: no answer in time; the request may or may not have run
      TooManyWaiting         client: so many requests wait to be sent that no more are taken
      ClientClosed           client: it was closed
      MessagesMissed         client: messages were pushed that it will not get
      MessageTooLong         a message that fits no answer
      InvalidState           our bug, or a call that its documentation forbids
      GateUnavailable        the other service is away, or did not answer in time
      ConfigError            one mistake in a config file
      ConfigErrors           all the mistakes of a config file

Anything else that a handler raises is the handler's bug: it is logged once with its
traceback, and the peer gets a flag-0 response (S4) or the status that PROTOCOL names.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import ClassVar


class LoginStatus(bytes, Enum):
    """The status lines of the login conversation, without line end or arguments."""

    OK = b"200"
    UNAUTHORIZED = b"401 Unauthorized"
    FORBIDDEN = b"403 Forbidden"
    NOT_ACCEPTABLE = b"406 Not Acceptable"


class GateStatus(bytes, Enum):
    """The answers to a gate handshake, without their packet length."""

    OK = b"200 OK"
    BAD_REQUEST = b"400 Bad Request"
    UNAUTHORIZED = b"401 Unauthorized"
    INDEX_EXPIRED = b"403 Index Expired"
    USER_NOT_FOUND = b"404 User Not Found"


class MsgServerError(Exception):
    """The root of every exception that msgserver raises."""


class ProtocolError(MsgServerError):
    """The peer broke the wire in a way that has no answer: the connection is closed."""


class Refused(MsgServerError):
    """
    An expected no. The text is for the log alone; the peer sees C{status}.
    """

    status: ClassVar[LoginStatus | GateStatus]


class BadRequest(Refused):
    """The handshake is not of the form that H asks for."""

    status = GateStatus.BAD_REQUEST


class Unauthorized(Refused):
    """Whoever is asking did not prove to be the one they say. Login handlers raise it."""

    status = LoginStatus.UNAUTHORIZED


class Forbidden(Refused):
    """Authenticated, but there is no login: unknown server, or its gate said no."""

    status = LoginStatus.FORBIDDEN


class IndexExpired(Refused):
    """The handshake's index is not above the last accepted one."""

    status = GateStatus.INDEX_EXPIRED


class UserNotFound(Refused):
    """No such login at this gate."""

    status = GateStatus.USER_NOT_FOUND


class NotAcceptable(Refused):
    """A login of this uid is under way already."""

    status = LoginStatus.NOT_ACCEPTABLE


class RequestFailed(MsgServerError):
    """
    A request's failure, with what the client is told of it.

    A handler raises it to answer with flag 0 and C{content}; that is no bug and is not
    logged (S4). The client raises it where a flag-0 response arrived.
    """

    def __init__(self, content: bytes = b"") -> None:
        super().__init__(content)
        self.content = content


class OutcomeUnknown(MsgServerError):
    """
    The login ended while a request was unanswered: it may or may not have run.

    Only the caller can know whether asking again under the next login is safe.
    """


class RequestTimedOut(MsgServerError, TimeoutError):
    """
    No answer came within the request's own time-out: it may have run, or may yet.

    What was never sent has not run, and will not.
    """


class TooManyWaiting(MsgServerError):
    """So many requests wait to be sent already that the client takes no more; this has not run."""


class ClientClosed(MsgServerError):
    """The client was closed, by C{close}, and asks nothing any more."""


class MessagesMissed(MsgServerError):
    """
    Messages were pushed to this client that it will never get: its mailbox was full, or is gone.

    Those after them come as ever.

    @ivar count: how many, 1 or more; None where nobody knows.
    """

    def __init__(self, count: int | None) -> None:
        super().__init__("messages were missed" if count is None else f"missed {count} messages")
        self.count = count


class MessageTooLong(MsgServerError, ValueError):
    """A message that is to be pushed fits no answer."""


class InvalidState(MsgServerError):
    """A call that cannot be right in the present state: a bug of the caller."""


class GateUnavailable(MsgServerError):
    """The other service is away, or did not answer in time."""


class ConfigError(MsgServerError):
    """
    One mistake in a config file.

    @ivar file: the file's name as the user gave it.
    @ivar line: the line of the mistake, from 1; 0 where no line is to blame.
    @ivar key: the key's full name, C{gate.maxclient}; empty where no key is to blame.
    @ivar reason: what is wrong and what is allowed.
    """

    def __init__(self, file: str, line: int, key: str, reason: str) -> None:
        place = f"{file}:{line}" if line else file
        super().__init__(": ".join(part for part in (place, key, reason) if part))
        self.file = file
        self.line = line
        self.key = key
        self.reason = reason


class ConfigErrors(MsgServerError):
    """
    All the mistakes of one config file, in the order of their lines; a line each as text.
    """

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        self.errors = tuple(sorted(errors, key=lambda error: error.line))
        super().__init__("\n".join(map(str, self.errors)))
