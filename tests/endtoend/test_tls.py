"""TLS around both ports of a real server: names, and renewed certificates without a restart."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from msgserver.interfaces import User
from tests.certificates import Signed
from tests.endtoend.processes import PATIENCE, Gate, Server, awaitEnd, connect, login, waitUntil

SECRET = b"8 bytes."

CONFIG = """
[login]
listen = ["tls:{folder}/live:port=0:interface=127.0.0.1"]
handler = "tests.endtoend.workload:Welcome"
suites = ["classic"]

[gate]
servername = "sample"
listen = ["{proxy}tls:{folder}/live:port=0:interface=127.0.0.1"]
handler = "tests.endtoend.workload:Workload"
handler_options = {{ admit = 3 }}
"""

REFUSED = "have changed, but cannot be used"


class TLSTests(SynchronousTestCase):
    """A login server and a gate in one process, with two certificates."""

    def setUp(self) -> None:
        self.folder = Path(mkdtemp()).resolve()
        self.addCleanup(rmtree, self.folder)
        self.authority = Signed("authority")
        (self.folder / "authority.crt").write_bytes(self.authority.certificate)
        self.first = self.write("a", "a.example")
        self.second = self.write("b", "b.example", "*.b.example")

    def write(self, folder: str, *names: str) -> Signed:
        """Write a new certificate and its key as certbot does: apart, and whole at once."""
        signed = self.authority.sign(*names)
        for file, content in (("privkey", signed.key), ("fullchain", signed.certificate)):
            self.replace(f"{folder}/{file}.pem", content)
        return signed

    def replace(self, name: str, content: bytes) -> None:
        """Write a file, and put it into its place."""
        new = self.folder / "new"
        new.write_bytes(content)
        place = self.folder / "live" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        new.replace(place)

    def serve(self, proxy: str = "") -> Server:
        """Start the server."""
        config = CONFIG.format(folder=self.folder, proxy=proxy)
        server = Server(self.folder, config).__enter__()
        self.addCleanup(server.__exit__, None, None, None)
        return server

    def connect(self, port: int, name: str | None, header: bytes = b"") -> ssl.SSLSocket:
        """Connect as a client that verifies who is there; one without a name cannot."""
        context = ssl.create_default_context(cafile=str(self.folder / "authority.crt"))
        context.check_hostname = name is not None
        stream = socket.create_connection(("127.0.0.1", port), PATIENCE)
        stream.sendall(header)
        return context.wrap_socket(stream, server_hostname=name)

    def shown(self, port: int, name: str | None) -> int:
        """Give the serial of the certificate that a client is shown."""
        with self.connect(port, name) as stream:
            shown = stream.getpeercert(binary_form=True)
        assert shown is not None
        return x509.load_der_x509_certificate(shown).serial_number

    def test_names(self) -> None:
        """Both ports show each client the certificate for its name, and serve it."""
        ports = self.serve().ports
        for port in ports.values():
            self.assertEqual(self.shown(port, "a.example"), self.first.serial)
            self.assertEqual(self.shown(port, "b.example"), self.second.serial)
            self.assertEqual(self.shown(port, "x.b.example"), self.second.serial)
            self.assertEqual(self.shown(port, None), self.first.serial)
            for name in ("other.example", "x.y.b.example"):
                self.assertRaises(ssl.SSLCertVerificationError, self.shown, port, name)
        admitted = login(self.connect(ports["login"], "x.b.example"), b"alice")
        user = User(b"alice", admitted.subid, b"sample")
        gate = Gate(self.connect(ports["gate"], "a.example"), user, admitted.secret, 1)
        self.assertEqual(gate.verdict, b"200 OK")
        self.assertEqual(gate.ask(1, b"ip"), b"127.0.0.1")
        gate.close()

    def test_strangers(self) -> None:
        """What strangers do to TLS leaves no trace in the log, however odd."""
        server = self.serve()
        # The last that a start says.
        waitUntil(lambda: "sample has registered" in server.log, "the gate registers")
        before = server.log
        for port in server.ports.values():
            for data in (
                b"GET / HTTP/1.0\r\n\r\n",
                b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
                b"\x16",
            ):
                with connect(port) as stream:
                    stream.sendall(data)
                    stream.shutdown(socket.SHUT_WR)
                    awaitEnd(stream)
            self.assertRaises(ssl.SSLCertVerificationError, self.shown, port, "other.example")
            self.assertEqual(self.shown(port, "a.example"), self.first.serial)
        self.assertEqual(server.log, before)

    def test_renewed(self) -> None:
        """Renewed certificates are shown without a restart, and what is open stays open."""
        server = self.serve()
        port = server.ports["gate"]
        gate = Gate(self.connect(port, "a.example"), User(b"0", b"1", b"sample"), SECRET, 1)
        self.assertEqual(gate.ask(1, b"run:a"), b"ran a")
        renewed = self.write("a", "a.example")
        waitUntil(lambda: self.shown(port, "a.example") == renewed.serial, "the new one")
        self.assertEqual(self.shown(port, "b.example"), self.second.serial)
        self.assertEqual(gate.ask(2, b"run:a"), b"ran a")
        # A key that came without its certificate.
        self.replace("a/privkey.pem", Signed("a.example").key)

        def isRefused() -> bool:
            self.assertEqual(self.shown(port, "a.example"), renewed.serial)
            return REFUSED in server.log

        waitUntil(isRefused, "the complaint")
        self.assertEqual(gate.ask(3, b"run:a"), b"ran a")
        last = self.write("a", "a.example")
        waitUntil(lambda: self.shown(port, "a.example") == last.serial, "the last one")
        self.assertEqual(server.log.count(REFUSED), 1)
        self.assertNotIn("Traceback", server.log)
        self.assertEqual(gate.ask(4, b"runs:a"), b"3")
        gate.close()

    def test_proxied(self) -> None:
        """A proxy that passes TLS on says whose it is before it, in the clear."""
        port = self.serve("haproxy:").ports["gate"]
        for number, (header, address) in enumerate(
            (
                (b"PROXY TCP4 192.0.2.1 10.0.0.7 1025 443\r\n", b"192.0.2.1"),
                (b"PROXY UNKNOWN\r\n", b"127.0.0.1"),
            )
        ):
            user = User(b"%d" % number, b"1", b"sample")
            gate = Gate(self.connect(port, "b.example", header), user, SECRET, 1)
            self.assertEqual(gate.ask(1, b"ip"), address)
            gate.close()
        with self.assertRaises(OSError):
            self.connect(port, "b.example")
