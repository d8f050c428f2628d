"""
Tests for L{msgserver.listening}: ports, and the files that connections need.
"""

from __future__ import annotations

import errno
import gc
import resource
import sys
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from msgserver.listening import CannotStart, ListenService, provideFiles


def tcp(host: str = "127.0.0.1", port: int = 8888) -> IPv4Address:
    """Make an address."""
    return IPv4Address("TCP", host, port)


def denied(reason: str) -> Failure:
    """Make what an endpoint fails with where the system says no."""
    return Failure(CannotListenError("127.0.0.1", 8888, OSError(errno.EADDRINUSE, reason)))


@implementer(IListeningPort)
class Port:
    """A port that is open until it is stopped; its stop lasts until it is told."""

    def __init__(self, address: IAddress) -> None:
        self.address = address
        self.stopped: Deferred[None] | None = None

    def startListening(self) -> None:
        """See L{IListeningPort.startListening}: it listens already."""

    def stopListening(self) -> Deferred[None]:
        """See L{IListeningPort.stopListening}."""
        self.stopped = Deferred()
        return self.stopped

    def getHost(self) -> IAddress:
        """See L{IListeningPort.getHost}."""
        return self.address


@implementer(IStreamServerEndpoint)
class Endpoint:
    """An endpoint that has one answer to C{listen}, and keeps the factories that it got."""

    def __init__(self, answer: Deferred[IListeningPort]) -> None:
        self.answer = answer
        self.factories: list[IProtocolFactory] = []

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """See L{IStreamServerEndpoint.listen}."""
        self.factories.append(factory)
        return self.answer


class LoggingTestCase(SynchronousTestCase):
    """What is logged, as level and text."""

    def setUp(self) -> None:
        """Collect what is logged."""
        self._events = self.enterContext(capturedLogs())

    @property
    def logged(self) -> list[str]:
        """What L{msgserver.listening} has logged so far."""
        return [
            f"{event['log_level'].name} {formatEvent(event)}"
            for event in self._events
            if event.get("log_namespace", "").startswith("msgserver.listening")
        ]


class ListenServiceTests(LoggingTestCase):
    """L{ListenService}"""

    def setUp(self) -> None:
        """Make no factory yet."""
        super().setUp()
        self.factories: dict[str, Factory] = {}

    def factoryOf(self, text: str) -> Factory:
        """Give the factory of an endpoint."""
        return self.factories.setdefault(text, Factory())

    def service(
        self, *endpoints: tuple[str, IAddress | Failure], isWeak: bool = False
    ) -> ListenService:
        """Make a service of endpoints that open a port of an address, or fail."""
        made = []
        self.ports: list[Port] = []
        self.endpoints: list[Endpoint] = []
        for text, answer in endpoints:
            if isinstance(answer, Failure):
                endpoint = Endpoint(fail(answer))
            else:
                self.ports.append(Port(answer))
                endpoint = Endpoint(succeed(self.ports[-1]))
            self.endpoints.append(endpoint)
            made.append((text, endpoint))
        return ListenService("gate", made, self.factoryOf, isWeak)

    def test_factories(self) -> None:
        """Each endpoint has the factory that its string asks for."""
        self.service(("tcp:1", tcp()), ("tcp:2", tcp())).startService()
        self.assertEqual(
            [each for endpoint in self.endpoints for each in endpoint.factories],
            [self.factories["tcp:1"], self.factories["tcp:2"]],
        )

    def test_once(self) -> None:
        """Under twistd it is started twice, with and without privileges, and listens once."""
        service = self.service(("tcp:1", tcp()))
        service.privilegedStartService()
        service.startService()
        self.assertEqual(len(self.endpoints[0].factories), 1)
        self.assertTrue(service.running)

    def test_log(self) -> None:
        """What listens where is told by the port, since tcp:0 does not say."""
        self.service(
            ("tcp:0:interface=127.0.0.1", tcp(port=40123)),
            ("tcp6:0", IPv6Address("TCP", "::1", 40124)),
            ("unix:/run/gate", UNIXAddress(b"/run/gate")),
            ("ssl:1", tcp("0.0.0.0", 1)),
            ("haproxy:tls:/etc/certificates:2", tcp("0.0.0.0", 2)),
            ("onion:3", HostnameAddress(b"a.onion", 3)),
        ).startService()
        self.assertEqual(
            self.logged,
            [
                "info gate: listening on 127.0.0.1:40123",
                "info gate: listening on [::1]:40124",
                "info gate: listening on /run/gate",
                "info gate: listening on 0.0.0.0:1 with TLS",
                "info gate: listening on 0.0.0.0:2 with TLS",
                "info gate: listening on HostnameAddress(hostname=b'a.onion', port=3)",
            ],
        )

    def test_weak(self) -> None:
        """L2: one warning where what is weak is spoken to others without TLS."""
        self.service(
            ("tcp:1", tcp("0.0.0.0", 1)),
            ("tcp:2:interface=127.0.0.1", tcp("127.0.0.1", 2)),
            ("tcp:3", IPv6Address("TCP", "::", 3)),
            isWeak=True,
        ).startService()
        warnings = [text for text in self.logged if text.startswith("warn")]
        self.assertEqual(
            warnings,
            [
                "warn gate: whoever can overhear 0.0.0.0:1, [::]:3 can read the passwords:"
                " classic logins are weak, and there is no TLS around them"
            ],
        )

    def test_weakButSafe(self) -> None:
        """L2: none where nobody else can listen, nor where TLS is around it."""
        self.service(
            ("tcp:1:interface=127.0.0.1", tcp("127.0.0.1", 1)),
            ("tcp:1:interface=127.9.9.9", tcp("127.9.9.9", 1)),
            ("tcp6:2", IPv6Address("TCP", "::1", 2)),
            ("unix:/run/login", UNIXAddress(b"/run/login")),
            ("ssl:3", tcp("0.0.0.0", 3)),
            ("tls:/etc/certificates:4", tcp("0.0.0.0", 4)),
            isWeak=True,
        ).startService()
        self.assertEqual([text for text in self.logged if not text.startswith("info")], [])

    def test_weakBehindProxy(self) -> None:
        """L2: what a proxy passes on has come from elsewhere, unless it does so with TLS."""
        self.service(
            ("haproxy:tcp:1:interface=127.0.0.1", tcp("127.0.0.1", 1)),
            ("haproxy:tls:x:2:interface=127.0.0.1", tcp("127.0.0.1", 2)),
            isWeak=True,
        ).startService()
        (warning,) = [text for text in self.logged if not text.startswith("info")]
        self.assertIn("overhear 127.0.0.1:1 can read", warning)

    def test_tlsAround(self) -> None:
        """TLS that is around all of them is told, though no string says so."""
        port = Port(tcp("0.0.0.0", 1))
        endpoints = [("tcp:1", Endpoint(succeed(port)))]
        service = ListenService("gate", endpoints, self.factoryOf, isWeak=True, hasTLS=True)
        service.startService()
        self.assertEqual(self.logged, ["info gate: listening on 0.0.0.0:1 with TLS"])

    def test_strong(self) -> None:
        """L2: nor where what is spoken may be overheard."""
        self.service(("tcp:1", tcp("0.0.0.0", 1))).startService()
        self.assertEqual(self.logged, ["info gate: listening on 0.0.0.0:1"])

    def test_inUse(self) -> None:
        """A port in use ends the start with a line that names key, reason and endpoint."""
        service = self.service(("tcp:8888", denied("Address already in use")), ("tcp:1", tcp()))
        error = self.assertRaises(CannotStart, service.privilegedStartService)
        self.assertEqual(str(error), "gate.listen: Address already in use: tcp:8888")
        self.assertEqual(self.endpoints[1].factories, [])

    def test_inUseLater(self) -> None:
        """So it does under twist, which knows no privileges."""
        service = self.service(("tcp:8888", denied("Address already in use")))
        self.assertRaises(CannotStart, service.startService)

    def test_otherReasons(self) -> None:
        """Whatever else an endpoint fails with is told the same way."""
        for error, reason in [
            (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
            (OverflowError("bind(): port must be 0-65535."), "bind(): port must be 0-65535."),
            (CannotListenError(None, "/run/x", "Cannot acquire lock"), "Cannot acquire lock"),
        ]:
            service = self.service(("unix:/run/x", Failure(error)))
            raised = self.assertRaises(CannotStart, service.startService)
            self.assertEqual(str(raised), f"gate.listen: {reason}: unix:/run/x")

    def test_late(self) -> None:
        """An endpoint that takes its time is told of when it listens, and closed with all."""
        answer: Deferred[IListeningPort] = Deferred()
        service = ListenService("gate", [("onion:1", Endpoint(answer))], self.factoryOf)
        service.startService()
        self.assertEqual(self.logged, [])
        port = Port(tcp(port=1))
        answer.callback(port)
        self.assertEqual(self.logged, ["info gate: listening on 127.0.0.1:1"])
        service.stopService()
        self.assertIsNotNone(port.stopped)

    def test_lateAndInUse(self) -> None:
        """Where it fails then, that is logged as any error that nobody has handled."""
        answer: Deferred[IListeningPort] = Deferred()
        service = ListenService("gate", [("onion:1", Endpoint(answer))], self.factoryOf)
        service.startService()
        answer.errback(denied("Address already in use"))
        del service, answer
        gc.collect()
        self.assertEqual(len(self.flushLoggedErrors(CannotListenError)), 1)

    def test_endsTheProcess(self) -> None:
        """As the process sees it, it is an exit with a text; as twistd does, an error."""
        error = CannotStart("why")
        self.assertIsInstance(error, SystemExit)
        self.assertIsInstance(error, Exception)
        self.assertEqual(error.code, "why")

    def test_stop(self) -> None:
        """B5: stopping closes every port, and lasts until they are closed."""
        service = self.service(("tcp:1", tcp()), ("tcp:2", tcp()))
        service.startService()
        stopped = service.stopService()
        self.assertFalse(service.running)
        for port in self.ports:
            self.assertNoResult(stopped)
            assert port.stopped is not None
            port.stopped.callback(None)
        self.successResultOf(stopped)

    def test_stopTwice(self) -> None:
        """A port is closed once, even by a parent that stops what has stopped."""
        parent = MultiService()
        service = self.service(("tcp:1", tcp()))
        service.setServiceParent(parent)
        parent.startService()
        service.stopService()
        first = self.ports[0].stopped
        parent.stopService()
        self.assertIs(self.ports[0].stopped, first)


class ProvideFilesTests(LoggingTestCase):
    """L{provideFiles}"""

    def limits(self, soft: int, hard: int, refuses: type[Exception] | None = None) -> list[Any]:
        """Let there be these limits, and give those that are set."""
        changes: list[Any] = []

        def setrlimit(which: int, limits: tuple[int, int]) -> None:
            if refuses is not None:
                raise refuses("no")
            changes.append(limits)

        self.patch(resource, "getrlimit", lambda which: (soft, hard))
        self.patch(resource, "setrlimit", setrlimit)
        return changes

    def test_enough(self) -> None:
        """Where the limit is high enough, it stays."""
        for soft in (1064, 5000, resource.RLIM_INFINITY):
            changes = self.limits(soft, resource.RLIM_INFINITY)
            provideFiles(1000)
            self.assertEqual(changes, [])
        self.assertEqual(self.logged, [])

    def test_raised(self) -> None:
        """Where it is too low it is raised, as far as needed."""
        for hard in (1064, 5000, resource.RLIM_INFINITY):
            changes = self.limits(1063, hard)
            provideFiles(1000)
            self.assertEqual(changes, [(1064, hard)])
        self.assertEqual(self.logged, [])

    def test_notEnough(self) -> None:
        """B1: where more is promised than the process may open, the log warns, once."""
        changes = self.limits(256, 512)
        provideFiles(1000)
        self.assertEqual(changes, [(512, 512)])
        self.assertEqual(
            self.logged,
            [
                "warn 1000 connections are allowed, but this process may open 512 files only:"
                " raise its limit (ulimit -n, LimitNOFILE), or lower maxclient"
            ],
        )

    def test_refused(self) -> None:
        """Where the system does not let it be raised, the log warns with what it is."""
        for error in (OSError, ValueError, OverflowError):
            self.limits(256, 5000, error)
            provideFiles(1000)
            self.assertIn("may open 256 files only", self.logged[-1])
        self.assertEqual(len(self.logged), 3)

    def test_noLimits(self) -> None:
        """Windows has no such limit to ask for."""
        changes = self.limits(256, 512)
        self.addCleanup(sys.modules.__setitem__, "resource", resource)
        sys.modules["resource"] = None  # type: ignore[assignment] # It makes the import fail.
        provideFiles(1000)
        self.assertEqual((changes, self.logged), ([], []))
