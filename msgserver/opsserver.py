"""
Telling of a process by HTTP: C{/metrics} for Prometheus, C{/healthz} and C{/readyz} for whoever
restarts it or sends it clients.

It answers one request a connection, of no body, within some seconds, and then closes: whoever
does worse holds nothing for long.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any, Final

from attrs import frozen
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, HTTPFactory, Request

from msgserver.limits import ConnectionLimits

_PATIENCE: Final = 10.0
"""Seconds that a connection may take altogether, its request and the way of the answer included."""

_MOST_HEADERS: Final = 50
_HEADERS_SIZE: Final = 8192
"""How many lines a request's head may have, and how many bytes in all."""

_log = Logger()

_TEXT: Final = b"text/plain; charset=utf-8"
_JSON: Final = b"application/json"


@frozen
class Health:
    """
    What a process says of itself.

    @ivar version: of msgserver; C{twisted}: of Twisted; C{sessions}: how sessions run.
    """

    version: str
    twisted: str
    sessions: str


@frozen
class _Answer:
    code: int
    contentType: bytes
    body: bytes


class OpsRequest(Request):
    """One request; its channel's factory knows the answer."""

    channel: OpsChannel

    def gotLength(self, length: int | None) -> None:
        """Take no body, nor keep one in a file: there is nothing to be told here."""
        self.content = BytesIO()
        if length != 0:
            self.channel.refuseBody()

    def handleContentChunk(self, data: bytes) -> None:
        """Drop what comes of it all the same."""

    def process(self) -> None:
        """Answer."""
        answer = self.channel.factory.answer(self)
        self.setResponseCode(answer.code)
        headers = self.responseHeaders
        headers.setRawHeaders(b"Content-Type", [answer.contentType])
        headers.setRawHeaders(b"Content-Length", [b"%d" % len(answer.body)])
        headers.setRawHeaders(b"Cache-Control", [b"no-store"])
        headers.setRawHeaders(b"X-Content-Type-Options", [b"nosniff"])
        if answer.code == 405:
            headers.setRawHeaders(b"Allow", [b"GET, HEAD"])
        Request.write(self, answer.body)
        Request.finish(self)


class OpsChannel(HTTPChannel):
    """One connection, for one request."""

    factory: OpsFactory
    transport: Any
    requestFactory = OpsRequest
    maxHeaders = _MOST_HEADERS
    totalHeadersSize = _HEADERS_SIZE
    MAX_LENGTH = _HEADERS_SIZE

    def connectionMade(self) -> None:
        """Begin, unless there are too many connections."""
        if self.factory.limits.opened(self):
            HTTPChannel.connectionMade(self)
        else:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let go of it."""
        self.factory.limits.closed(self)
        HTTPChannel.connectionLost(self, reason)

    def checkPersistence(self, request: Request, version: bytes) -> bool:
        """Say that there is no further request on a connection."""
        request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        return False

    def refuseBody(self) -> None:
        """Refuse what should have no body."""
        head = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        self.transport.write(head)
        HTTPChannel.loseConnection(self)

    def expired(self) -> None:
        """Close at once: its time is up."""
        self.transport.abortConnection()


class OpsFactory(HTTPFactory):
    """
    Serves the three pages, over any number of ports.

    @param registry: what is asked for the metrics.
    @param notReady: tells why no new users should be sent here; None where they should.
    @param maxclient: connections at once.
    """

    noisy = False
    protocol = OpsChannel  # type: ignore[assignment]  # only HTTP/1 here

    def __init__(
        self,
        registry: CollectorRegistry,
        notReady: Callable[[], str | None],
        health: Health,
        clock: IReactorTime,
        maxclient: int = 64,
    ) -> None:
        # The limits see to time.
        HTTPFactory.__init__(self, timeout=None, reactor=clock)  # type: ignore[arg-type]  # or none
        self.limits: ConnectionLimits[OpsChannel] = ConnectionLimits(
            clock, maxclient, _PATIENCE, OpsChannel.expired
        )
        self._registry = registry
        self._notReady = notReady
        self._health = health
        self._pages: dict[bytes, Callable[[Request], _Answer]] = {
            b"/metrics": self._metrics,
            b"/healthz": self._healthz,
            b"/readyz": self._readyz,
        }

    def startFactory(self) -> None:
        """Keep no access log, nor a clock for one."""

    def stopFactory(self) -> None:
        """Have nothing to close."""

    def log(self, request: Request) -> None:
        """Log no requests: they come every few seconds, for ever."""

    def answer(self, request: Request) -> _Answer:
        """Answer a request; it never raises."""
        page = self._pages.get(request.path)
        if page is None:
            return _Answer(404, _TEXT, b"not found\n")
        if request.method not in (b"GET", b"HEAD"):
            return _Answer(405, _TEXT, b"only GET and HEAD\n")
        try:
            return page(request)
        except Exception:
            _log.failure("{path} failed", path=request.path.decode("ascii", "replace"))
            return _Answer(500, _TEXT, b"it failed: the log says why\n")

    def _metrics(self, request: Request) -> _Answer:
        encode, contentType = choose_encoder(_accepted(request))
        return _Answer(200, contentType.encode("ascii"), encode(self._registry))

    def _healthz(self, request: Request) -> _Answer:
        health = self._health
        text = f"ok: msgserver {health.version}, Twisted {health.twisted}, {health.sessions}"
        details = {
            "status": "ok",
            "version": health.version,
            "twisted": health.twisted,
            "sessions": health.sessions.rpartition(": ")[2],
        }
        return _said(request, 200, text, details)

    def _readyz(self, request: Request) -> _Answer:
        reason = self._notReady()
        if reason is None:
            return _said(request, 200, "ready", {"status": "ready"})
        details = {"status": "not ready", "reason": reason}
        return _said(request, 503, f"not ready: {reason}", details)


def _accepted(request: Request) -> str:
    headers = request.requestHeaders.getRawHeaders(b"Accept", [])
    return ",".join(each.decode("ascii", "replace") for each in headers)


def _said(request: Request, code: int, text: str, details: dict[str, Any]) -> _Answer:
    """Say something as text, or as JSON to who asks for that."""
    if "application/json" in _accepted(request):
        return _Answer(code, _JSON, json.dumps(details).encode() + b"\n")
    return _Answer(code, _TEXT, text.encode() + b"\n")
