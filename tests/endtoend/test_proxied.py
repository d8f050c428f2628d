"""The PROXY header, both versions, before both ports of a real server."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from socket import AF_INET6
from tempfile import mkdtemp
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from msgserver.interfaces import User
from msgserver.wire.gate import GateClient
from tests.endtoend.clusters import freePort
from tests.endtoend.processes import PATIENCE, Gate, Server, awaitEnd, connect, login, waitUntil
from tests.test_proxied import FOUR, HEADERS, SIX, binary, hosts

SECRET = b"8 bytes."

CONFIG = """
[login]
listen = ["haproxy:tcp:0:interface=127.0.0.1"]
handler = "tests.endtoend.workload:Welcome"
suites = ["classic"]

[gate]
servername = "sample"
listen = ["haproxy:tcp:0:interface=127.0.0.1"]
handler = "tests.endtoend.workload:Workload"
handler_options = { admit = 100 }
handshake_timeout = 1
"""

LINE = b"PROXY TCP4 192.0.2.1 10.0.0.7 1025 443\r\n"
BINARY = binary(0x21, 0x21, SIX)


class ProxiedTestCase(SynchronousTestCase):
    """
    A login server and a gate in one process, behind a proxy that is the test.

    @cvar more: what else is said of the gate.
    """

    more = ""

    def setUp(self) -> None:
        self.folder = Path(mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.server = Server(self.folder, CONFIG + self.more).__enter__()
        self.addCleanup(self.server.__exit__, None, None, None)
        self.port = self.server.ports["gate"]
        self.users = 0

    def user(self) -> User:
        """Give one that has not been here."""
        self.users += 1
        return User(b"%d" % self.users, b"1", b"sample")

    def begin(self, *pieces: bytes) -> socket.socket:
        """Connect, and send this, each piece by itself."""
        stream = connect(self.port)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number, piece in enumerate(pieces):
            if number:
                time.sleep(0.01)  # Long enough for most to arrive alone; it must do either way.
            stream.sendall(piece)
        return stream


class ProxiedTests(ProxiedTestCase):
    """What is behind the header, and who."""

    def test_address(self) -> None:
        """The user's address is what the header says, or else the proxy's."""
        for header, (source, _) in HEADERS.items():
            gate = Gate(self.begin(header), self.user(), SECRET, 1)
            self.assertEqual(gate.verdict, b"200 OK", header)
            address = getattr(source, "host", None) if source else "127.0.0.1"
            self.assertEqual(gate.ask(1, b"ip").decode(), str(address), header)
            gate.close()

    def test_pieces(self) -> None:
        """The header may come in pieces, and in one with the handshake."""
        for header, address in ((LINE, b"192.0.2.1"), (BINARY, b"2001:db8::1")):
            for size in (1, 7, 15, 20):
                pieces = [header[start : start + size] for start in range(0, len(header), size)]
                gate = Gate(self.begin(*pieces), self.user(), SECRET, 1)
                self.assertEqual(gate.ask(1, b"ip"), address)
                gate.close()
            # All at once; and the handshake's own end by itself.
            for size in (len(header) + 1000, len(header) + 9):
                stream = header + GateClient(self.user(), SECRET, 1).hello
                with self.begin(stream[:size], stream[size:]) as connection:
                    self.assertRegex(connection.recv(100), b"^..200 OK$")

    def test_log(self) -> None:
        """What the log says of logins has the address, too."""
        for header, address in ((LINE, "192.0.2.1"), (BINARY, "2001:db8::1")):
            stream = connect(self.server.ports["login"])
            stream.sendall(header)
            admitted = login(stream, b"alice")
            self.assertTrue(admitted.subid)
            self.assertRegex(self.server.log, f"logged in at .* from {re.escape(address)}\n")

    def test_garbage(self) -> None:
        """What is no header is closed at once, and says nothing to the log."""
        for port in self.server.ports.values():
            for data in (
                *(b"GET / HTTP/1.0\r\n\r\n", b"PROXY TCP9 1 2 3 4\r\n", b"\x16\x03\x01\x02\x00"),
                *(b"PROXY TCP4 192.0.2.1 10.0.0.7 x 443\r\n", binary(0x21, 0x11, FOUR[:5])),
            ):
                with connect(port) as stream:
                    stream.sendall(data)
                    awaitEnd(stream)
        self.assertNotIn("Traceback", self.server.log)
        self.assertNotIn("Unhandled", self.server.log)

    def test_silent(self) -> None:
        """Who sends no header, or none to its end, is closed when the time is up (H3)."""
        for data in (b"", b"PROXY TCP4 192.0.2.1", BINARY[:20]):
            with self.begin(data) as stream:
                awaitEnd(stream)


class LimitsTests(ProxiedTestCase):
    """Limits for an address behind a proxy: they are the client's, not the proxy's."""

    more = "address_maxclient = 2"

    def isServed(self, header: bytes) -> bool:
        """Try a handshake, and stay if it succeeds."""
        stream = self.begin(header + GateClient(self.user(), SECRET, 1).hello)
        self.addCleanup(stream.close)
        try:
            return stream.recv(100) == b"\0\x06200 OK"
        except ConnectionResetError:
            return False

    def test_address(self) -> None:
        """So many may come from one address, or from one network of IPv6, and not one more."""
        fours = [b"PROXY TCP4 192.0.2.%d 10.0.0.7 1025 443\r\n" % host for host in (1, 1, 1, 2)]
        sixes = [
            binary(0x21, 0x21, hosts(AF_INET6, host, "fd00::7", 1025, 443))
            for host in ("2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::3")
        ]
        mapped = [b"PROXY TCP6 ::ffff:192.0.2.%d fd00::7 1025 443\r\n" % host for host in (1, 2)]
        served = [self.isServed(header) for header in (*fours, *sixes, *mapped)]
        self.assertEqual(served, [True, True, False, True] * 2 + [False, True])
        # The proxy itself is on this machine, which is not limited.
        self.assertEqual([self.isServed(b"PROXY UNKNOWN\r\n") for _ in range(4)], [True] * 4)


HAPROXY = """
defaults
    mode tcp
    timeout connect 5s
    timeout client 1m
    timeout server 1m

listen one
    bind 127.0.0.1:{one}
    server one 127.0.0.1:{port} check send-proxy

listen two
    bind 127.0.0.1:{two}
    server two 127.0.0.1:{port} check send-proxy-v2
"""


class HAProxyTests(SynchronousTestCase):
    """The same behind HAProxy itself."""

    def setUp(self) -> None:
        if shutil.which("haproxy") is None:
            raise SkipTest("there is no haproxy on this machine")
        self.folder = Path(mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.server = Server(self.folder, CONFIG).__enter__()
        self.addCleanup(self.server.__exit__, None, None, None)

    def test_address(self) -> None:
        """The user's address is its own, with either version; health checks do no harm."""
        ports = [freePort(), freePort()]
        file = self.folder / "haproxy.cfg"
        one, two = ports
        file.write_text(HAPROXY.format(one=one, two=two, port=self.server.ports["gate"]))
        proxy = subprocess.Popen(["haproxy", "-db", "-f", file], stderr=subprocess.DEVNULL)
        self.addCleanup(proxy.wait)
        self.addCleanup(proxy.kill)
        for number, port in enumerate(ports):
            waitUntil(lambda port=port: self.isOpen(port), "the proxy listens")  # type: ignore[misc]
            stream = socket.create_connection(("127.0.0.1", port), PATIENCE, ("127.0.0.5", 0))
            gate = Gate(stream, User(b"%d" % number, b"1", b"sample"), SECRET, 1)
            self.assertEqual(gate.ask(1, b"ip"), b"127.0.0.5")
            gate.close()
        self.assertNotIn("Traceback", self.server.log)

    def isOpen(self, port: int) -> bool:
        """Tell whether the proxy listens, and has found the server."""
        try:
            with connect(port) as stream:
                stream.settimeout(0.2)
                try:
                    return stream.recv(1) != b""
                except TimeoutError:
                    return True
                except ConnectionResetError:
                    return False
        except ConnectionRefusedError:
            return False
