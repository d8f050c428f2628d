"""
What a gate and its worker processes say to each other, over AMP.

The gate begins a worker with L{Begin}; then it asks, an agent at a time, and the worker answers
each with what has become of it. Of its own accord the worker tells L{Logout} and L{Count}.
"""

from __future__ import annotations

import signal
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.protocols import amp
from twisted.python.failure import Failure

from msgserver.errors import Forbidden, RequestFailed
from msgserver.wire.framing import MAX_RESPONSE

TO_WORKER = 3
"""The descriptor on which a worker is asked."""

FROM_WORKER = 4
"""And the one on which it answers."""

HELD_SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""What a worker takes no notice of: held back until it ignores them."""

_PIECE = 0xFFFF
"""Bytes of a value of AMP at most."""

_LONGEST_TEXT = 10_000
"""Characters of a traceback that are told, its last: of at most 6 bytes each they fit a value."""


class AgentLost(Exception):
    """The worker in which the agent lived has died."""


class WorkerError(Exception):
    """What an agent raised in its worker: its text is the traceback there."""


DONE, REFUSED, FORBIDDEN, FAILED = b"done", b"refused", b"forbidden", b"failed"
"""
What has become of a call: an answer; a L{RequestFailed}, with its content; a L{Forbidden}, with its
text; anything else, with its traceback.
"""


class Long(amp.Argument):
    """Bytes of any length, in as many values of AMP as it takes."""

    def __init__(self) -> None:
        amp.Argument.__init__(self)

    def toBox(self, name: bytes, strings: Any, objects: Any, proto: Any) -> None:
        """Write it down in pieces."""
        whole = objects.pop(name.decode())
        for number, start in enumerate(range(0, len(whole), _PIECE)):
            strings[b"%b.%d" % (name, number)] = whole[start : start + _PIECE]

    def fromBox(self, name: bytes, strings: Any, objects: Any, proto: Any) -> None:
        """Put it together."""
        pieces: list[bytes] = []
        while (piece := strings.pop(b"%b.%d" % (name, len(pieces)), None)) is not None:
            pieces.append(piece)
        objects[name.decode()] = b"".join(pieces)


class Call(amp.Command):
    """What an agent, or the worker, is asked."""

    response = [(b"outcome", amp.String()), (b"content", amp.String())]


class Begin(Call):
    """
    Make ready: the first call, whose options may be secret, and so are on no command line.

    C{settings} is a pickled dict, of the worker's own parent.
    """

    arguments = [(b"settings", Long())]


class Load(Call):
    """Have an agent, and load it."""

    arguments = [(b"username", amp.String())]


class Request(Call):
    """Have an agent answer. C{session} is the client's, or empty where it is not known."""

    arguments = [
        (b"username", amp.String()),
        (b"session", amp.String()),
        (b"content", amp.String()),
    ]


class Tell(Call):
    """Call a method of an agent that takes nothing: C{away}, C{back} or C{save}."""

    arguments = [(b"username", amp.String()), (b"method", amp.String())]


class Ping(Call):
    """Give a sign of life."""


class Forget(amp.Command):
    """Let go of an agent."""

    arguments = [(b"username", amp.String())]
    requiresAnswer = False


class Logout(amp.Command):
    """End a login: what an agent asks of its gate."""

    arguments = [(b"username", amp.String())]
    requiresAnswer = False


class Count(amp.Command):
    """Count something that has happened in the worker."""

    arguments = [(b"event", amp.String())]
    requiresAnswer = False


class Line(amp.AMP):
    """
    An end of the line between a gate and a worker. Twisted's own would log both of its ends.

    @ivar isLost: nothing comes through any more.
    """

    isLost = False

    def __init__(self) -> None:
        amp.AMP.__init__(self)

    def dataReceived(self, data: bytes) -> None:
        """Take what the other end says."""
        amp.AMP.dataReceived(self, data)

    def call(self, command: type[amp.Command], **arguments: object) -> Any:
        """Call the other end: see C{callRemote}, and L{ask}."""
        return amp.AMP.callRemote(self, command, **arguments)

    def makeConnection(self, transport: Any) -> None:
        """Begin to talk."""
        amp.BinaryBoxProtocol.makeConnection(self, transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Have all fail that is unanswered."""
        self.isLost = True
        amp.BinaryBoxProtocol.connectionLost(self, reason)
        self.transport = None


def ask(line: Line, command: type[Call], **arguments: object) -> Deferred[bytes]:
    """
    Call the other end.

    @return: what it answers; fails with a L{RequestFailed}, L{Forbidden} or L{WorkerError} as
        the agent has, or with an L{AgentLost}. AMP's own would, where it fails, end the line.
    """
    answer: Deferred[bytes] = Deferred(lambda _: None)

    def answered(response: dict[str, bytes]) -> None:
        if not answer.called:
            _settle(answer, response["outcome"], response["content"])

    def failed(failure: Failure) -> None:
        if not answer.called:
            answer.errback(AgentLost(failure.getErrorMessage()))

    line.call(command, **arguments).addCallbacks(answered, failed)
    return answer


def _settle(answer: Deferred[bytes], outcome: bytes, content: bytes) -> None:
    if outcome == DONE:
        answer.callback(content)
    elif outcome == REFUSED:
        answer.errback(RequestFailed(content))
    elif outcome == FORBIDDEN:
        answer.errback(Forbidden(content.decode()))
    else:
        answer.errback(WorkerError(content.decode()))


def responseOf(result: object) -> dict[str, bytes]:
    """
    Make the response to a call.

    @param result: what the agent has given: for a request, its answer; or a Failure.
    """
    if isinstance(result, Failure):
        try:
            return _failure(result)
        except Exception:
            # An error whose text raises: by AMP, that would end the line, and all agents with it.
            return _failed(result.getTraceback())
    if result is None:
        result = b""
    if isinstance(result, bytes) and len(result) <= MAX_RESPONSE:
        return {"outcome": DONE, "content": result}
    return _failed(
        f"the agent answered with {_nameOf(result)}; it takes up to {MAX_RESPONSE} bytes"
    )


def _failure(failure: Failure) -> dict[str, bytes]:
    error = failure.value
    if isinstance(error, RequestFailed):
        content = error.content
        if isinstance(content, bytes) and len(content) <= MAX_RESPONSE:
            return {"outcome": REFUSED, "content": content}
        return _failed(
            f"a RequestFailed has {_nameOf(content)}; it takes up to {MAX_RESPONSE} bytes"
        )
    if isinstance(error, Forbidden):
        return {"outcome": FORBIDDEN, "content": _encoded(str(error))}
    isSaid = isinstance(error, WorkerError)
    return _failed(str(error) if isSaid else failure.getTraceback())


def _failed(text: str) -> dict[str, bytes]:
    return {"outcome": FAILED, "content": _encoded(text)}


def _encoded(text: str) -> bytes:
    return text[-_LONGEST_TEXT:].encode("utf-8", "backslashreplace")


def _nameOf(result: object) -> str:
    return f"{len(result)} bytes" if isinstance(result, bytes) else repr(type(result))
