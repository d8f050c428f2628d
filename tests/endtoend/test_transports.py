"""The same gate over TLS and over a UNIX socket: the rules hold, by whatever it listens on."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.trial.unittest import SynchronousTestCase

from msgserver.interfaces import User
from tests.endtoend.processes import PATIENCE, Gate, Server
from tests.endtoend.workload import SECRET

CONFIG = """
[gate]
servername = "sample"
listen = ["{listen}"]
handler = "tests.endtoend.workload:Workload"
handler_options = {{ admit = 1 }}
stall_timeout = 1
"""
USER = User(b"0", b"1", b"sample")


def writeCertificate(file: Path) -> None:
    """Write a key and its own certificate for localhost, for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )


class TransportTests(SynchronousTestCase):
    def setUp(self) -> None:
        # Short, as the path of a UNIX socket must be.
        self.folder = Path(mkdtemp())
        self.addCleanup(rmtree, self.folder)
        self.pem = self.folder / "localhost.pem"
        writeCertificate(self.pem)

    def serve(self, listen: str) -> Server:
        server = Server(self.folder, CONFIG.format(listen=listen)).__enter__()
        self.addCleanup(server.__exit__, None, None, None)
        return server

    def encrypted(self, stream: socket.socket) -> socket.socket:
        context = ssl.create_default_context(cafile=str(self.pem))
        return context.wrap_socket(stream, server_hostname="localhost")

    def exercise(self, one: socket.socket, other: socket.socket) -> None:
        """Ask, cut, ask again, ask much, log out."""
        gate = Gate(one, USER, SECRET, 1)
        self.assertEqual(gate.verdict, b"200 OK")
        self.assertEqual(gate.ask(1, b"run:a"), b"ran a")
        again = Gate(other, USER, SECRET, 2)
        self.assertIsNone(gate.receive())
        self.assertEqual(again.ask(1, b"run:a"), b"ran a")
        self.assertEqual(again.ask(2, b"runs:a"), b"1")
        for first in range(3, 103, 20):
            for session in range(first, first + 20):
                again.send(session, b"big:60000")
            for session in range(first, first + 20):
                self.assertEqual(again.answer(), (session, 1, bytes(60000)))
        again.send(200, b"logout")
        self.assertEqual(again.answer(), (200, 1, b"bye"))
        self.assertIsNone(again.receive())
        gate.close()
        again.close()

    def test_ssl(self) -> None:
        """Over TLS, by a key and a certificate of its own."""
        files = f"privateKey={self.pem}:certKey={self.pem}"
        port = self.serve(f"ssl:0:{files}:interface=127.0.0.1").ports["gate"]

        def connect() -> socket.socket:
            return self.encrypted(socket.create_connection(("127.0.0.1", port), PATIENCE))

        self.exercise(connect(), connect())

    def test_tls(self) -> None:
        """Over TLS, by the name that the client asks for (SNI)."""
        server = self.serve(f"tls:{self.folder}:0:interface=127.0.0.1")
        self.assertIn("with TLS", server.log)
        port = server.ports["gate"]

        def connect() -> socket.socket:
            return self.encrypted(socket.create_connection(("127.0.0.1", port), PATIENCE))

        self.exercise(connect(), connect())

    def test_unix(self) -> None:
        """Over a UNIX socket."""
        path = self.folder / "gate"
        self.serve(f"unix:{path}")

        def connect() -> socket.socket:
            stream = socket.socket(socket.AF_UNIX)
            stream.settimeout(PATIENCE)
            stream.connect(str(path))
            return stream

        self.exercise(connect(), connect())
