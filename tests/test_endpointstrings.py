"""
Tests for L{msgserver.endpointstrings}: who can connect, as endpoint strings say.
"""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase

from msgserver.endpointstrings import (
    clientStringOf,
    exposureOf,
    hasTLS,
    isOverheard,
    isProxied,
    parseEndpoint,
)

_KINDS = ("tcp", "tcp6", "unix", "haproxy:tcp", r"t\cp", "port=1:tcp")
_ARGUMENTS = (
    *("1", "50", "600", "666", "127.0.0.1", "10.0.0.1", r"\:\:1", r"\:\:", "", "/run/x", "\\"),
    *("port=1", "backlog=5", "mode=600", "mode=666", "address=/run/x", "interface="),
    *("interface=127.0.0.1", "interface=10.0.0.1", r"interface=\:\:1", r"interface\=127.0.0.1"),
    *(r"inter\face=127.0.0.1", "interface==127.0.0.1", r"interface=127.0.0.1\:", "x"),
)


class HasTLSTests(SynchronousTestCase):
    """L{hasTLS}"""

    def test_kinds(self) -> None:
        """It is told by the kind, in whichever case, and behind a proxy too."""
        for text in ("tls:/x:1", "TLS:/x:1", "ssl:1", "haproxy:tls:/x:1", r"t\ls:/x"):
            self.assertTrue(hasTLS(text), text)
        for text in ("tcp:1", "unix:tls", "haproxy:tcp:1", "haproxy", "", "tcp:host=tls:port=1"):
            self.assertFalse(hasTLS(text), text)

    def test_keywordFirst(self) -> None:
        """As Twisted has it, the kind is the first that is no keyword."""
        self.assertTrue(hasTLS("path=/x:tls:port=1"))


class IsProxiedTests(SynchronousTestCase):
    """L{isProxied}"""

    def test_kinds(self) -> None:
        """It is told by the kind, in whichever case; a name is none."""
        for text in (
            "haproxy:tcp:1",
            "HAProxy:tls:/x:1",
            "port=1:haproxy:tcp",
            r"h\aproxy:unix:/x",
        ):
            self.assertTrue(isProxied(text), text)
        for text in ("tcp:1", "haproxy", "unix:haproxy", "tcp:haproxy:1", "tls:haproxy:1", ""):
            self.assertFalse(isProxied(text), text)


class IsOverheardTests(SynchronousTestCase):
    """L{isOverheard}"""

    def test_safe(self) -> None:
        """Nobody overhears TLS, by whichever way it comes, nor what stays on this machine."""
        for text in (
            *("tls:/x:1", "ssl:1", "haproxy:tls:/x:1", "haproxy:ssl:1", "TLS:/x"),
            *("tcp:1:interface=127.0.0.1", "tcp:1:127.0.0.1", r"tcp6:1:interface=\:\:1"),
            *("unix:/run/x", "unix:/run/x:mode=666", "unix:address=/run/x"),
        ):
            self.assertFalse(isOverheard(text), text)

    def test_unsafe(self) -> None:
        """Others may overhear what goes through any other address."""
        for text in (
            *("tcp:8001", "tcp6:8001", "tcp:8001:interface=", "tcp:8001:interface=0.0.0.0"),
            *("tcp:8001:interface=10.0.0.1", r"tcp6:8001:interface=\:\:", "tcp:1:backlog=50"),
        ):
            self.assertTrue(isOverheard(text), text)

    def test_unknown(self) -> None:
        """Where it is not known, they may."""
        for text in ("systemd:domain=INET:index=0", "tcp:1:interface=localhost", "stdio:", "", "x"):
            self.assertTrue(isOverheard(text), text)

    def test_proxy(self) -> None:
        """What a proxy sends has come to it by whichever way, though none is as safe."""
        for text in (
            *("haproxy:tcp:1", "haproxy:tcp:1:interface=127.0.0.1", "haproxy:unix:/x:mode=600"),
        ):
            self.assertTrue(isOverheard(text), text)

    @given(st.sampled_from(_KINDS), st.lists(st.sampled_from(_ARGUMENTS), min_size=1, max_size=4))
    @settings(max_examples=500, deadline=None)
    def test_asTwistedHasIt(self, kind: str, arguments: list[str]) -> None:
        """What is said to be safe is so as Twisted reads it, however it is spelt."""
        text = ":".join([kind, *arguments])
        reactor = MemoryReactor()
        try:
            endpoint = serverFromString(reactor, text)
        except Exception:
            return  # It is told as no endpoint, before anybody asks.
        if isOverheard(text):
            return
        self.assertNotIn("haproxy", text)
        endpoint.listen(Factory())
        for *_, host in reactor.tcpServers:
            self.assertTrue(ip_address(host).is_loopback, text)


class BehindTests(SynchronousTestCase):
    """L{Endpoint.behind}"""

    def test_strings(self) -> None:
        """It says what stands behind the proxy, as it would be said without one."""
        for text, behind in (
            ("haproxy:tcp:1", "tcp:1"),
            ("haproxy:tcp:1:interface=127.0.0.1:backlog=5", "tcp:1:interface=127.0.0.1:backlog=5"),
            (r"haproxy:interface=\:\:1:tcp6:1", r"tcp6:1:interface=\:\:1"),
            (r"haproxy:unix:/a\:b\\c", r"unix:/a\:b\\c"),
            (r"haproxy:unix:a\=b:mode=6\=6", r"unix:a\=b:mode=6\=6"),
            ("haproxy:haproxy:tcp:1", "haproxy:tcp:1"),
            ("haproxy:", ""),
        ):
            self.assertEqual(parseEndpoint(text).behind, behind)

    @given(st.lists(st.text(alphabet="a=:\\1", max_size=6), max_size=4))
    @settings(max_examples=500, deadline=None)
    def test_sameArguments(self, parts: list[str]) -> None:
        """Whatever is in it, it is read as it was."""
        text = ":".join(["haproxy", "x", *parts])
        before = parseEndpoint(text)
        after = parseEndpoint(f"haproxy:{before.behind}")
        self.assertEqual(after, before)


class ExposureTests(SynchronousTestCase):
    """L{exposureOf}"""

    def test_local(self) -> None:
        """Where only this machine can connect, and only those whom it lets, nobody else can."""
        for text in (
            *("tcp:1:interface=127.0.0.1", "tcp:1:127.0.0.1", "tcp:interface=127.9.9.9:port=1"),
            *(r"tcp6:1:interface=\:\:1", r"tcp6:1:50:\:\:1", r"TCP6:1:interface=\:\:1"),
            *(
                r"tcp:1:interface=\:\:1",
                r"tcp:1:inter\face=127.0.0.1",
                r"tcp:1:interface=127.0.0\.1",
            ),
            *("unix:/run/x:mode=600", "unix:/run/x:660", "unix:address=/run/x:mode=0770"),
        ):
            self.assertEqual(exposureOf(text), "", text)

    def test_otherMachines(self) -> None:
        """Where an address is not loopback, or not known to be, others can connect."""
        for text in (
            *("tcp:1", "tcp:1:interface=", "tcp:1:interface=10.0.0.1", "tcp:1:interface=0.0.0.0"),
            *("tcp:1:interface=127.0.0.1:interface=10.0.0.1", "tcp:1:interface=localhost"),
            *("tcp6:1", r"tcp6:1:interface=\:\:", r"tcp6:1:127.0.0.1", "tcp6:1:interface=::1"),
            *("systemd:domain=INET:index=0", r"tcp:1\:interface=127.0.0.1"),
            *(r"tcp:1:interface\=127.0.0.1", "tcp:1:interface=127.0.0.1=", "tcp:1:Interface=::1"),
        ):
            self.assertEqual(exposureOf(text), "may be reached from other machines", text)

    def test_otherUsers(self) -> None:
        """A UNIX socket is everybody's, unless its mode says otherwise."""
        for text, mode in [
            *(("unix:/run/x", "666"), ("unix:/run/x:mode=777", "777"), ("unix:/x:601", "601")),
            ("unix:/run/x:lockfile=0", "666"),
        ]:
            self.assertEqual(
                exposureOf(text),
                f"lets every user of this machine connect (mode={mode}): write mode=600",
            )

    def test_noFile(self) -> None:
        """A mode is no use to a socket that is no file."""
        self.assertIn("has no mode", exposureOf("unix:\0x:mode=600"))

    def test_noCertificate(self) -> None:
        """TLS by itself keeps nobody out, wherever it listens."""
        for text in ("tls:/x:1", "ssl:1:interface=127.0.0.1"):
            self.assertEqual(
                exposureOf(text), "lets anybody connect: its TLS asks for no certificate"
            )

    def test_proxy(self) -> None:
        """A proxy on this machine is there for others."""
        for text in ("haproxy:tcp:1:interface=127.0.0.1", "haproxy:unix:/x:mode=600"):
            self.assertEqual(exposureOf(text), "lets connect whomever the proxy does")

    @given(st.sampled_from(_KINDS), st.lists(st.sampled_from(_ARGUMENTS), min_size=1, max_size=4))
    @settings(max_examples=500, deadline=None)
    def test_asTwistedHasIt(self, kind: str, arguments: list[str]) -> None:
        """What is said to be safe is so as Twisted reads it, however it is spelt."""
        text = ":".join([kind, *arguments])
        reactor = MemoryReactor()
        try:
            endpoint = serverFromString(reactor, text)
        except Exception:
            return  # It is told as no endpoint, before anybody asks.
        if exposureOf(text):
            return
        endpoint.listen(Factory())
        for *_, host in reactor.tcpServers:
            self.assertTrue(ip_address(host).is_loopback, text)
        for _, _, _, mode, _ in reactor.unixServers:
            self.assertEqual(mode & 0o007, 0, text)


class ClientStringTests(SynchronousTestCase):
    """L{clientStringOf}"""

    def test_strings(self) -> None:
        """A client connects to where the server listens, by loopback where that is all."""
        for server, client in [
            ("tcp:8002:interface=127.0.0.1", "tcp:127.0.0.1:8002"),
            ("tcp:8002:interface=10.0.0.7", "tcp:10.0.0.7:8002"),
            ("tcp:port=8002", "tcp:127.0.0.1:8002"),
            ("tcp:8002:interface=0.0.0.0", "tcp:127.0.0.1:8002"),
            ("tcp6:8002", r"tcp:\:\:1:8002"),
            (r"tcp6:8002:interface=\:\:", r"tcp:\:\:1:8002"),
            (r"tcp6:8002:interface=fe80\:\:2", r"tcp:fe80\:\:2:8002"),
            ("unix:/run/x:mode=600", "unix:/run/x"),
            (r"unix:address=/run/a\:b:lockfile=0", r"unix:/run/a\:b"),
        ]:
            self.assertEqual(clientStringOf(server), client)

    def test_none(self) -> None:
        """Some strings do not tell where that is, or want more than a connection."""
        for text in ("tcp:0", "tcp", "tcp:x", "unix", "systemd:domain=INET:index=0", "ssl:1", ""):
            self.assertIsNone(clientStringOf(text))
        for text in ("haproxy:tcp:1", "haproxy:unix:/x", "tls:/x:1"):
            self.assertIsNone(clientStringOf(text))
