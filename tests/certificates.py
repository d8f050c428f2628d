"""
Certificates for tests: authorities, whom they have signed, and how two of those meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet.address import IPv4Address
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    wrapClientTLS,
    wrapServerTLS,
)
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import CertificateOptions
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, connectedServerAndClient
from zope.interface import implementer

from msgserver.linktls import Credentials

# Far apart, so that no test depends on the day.
FIRST_DAY = datetime(2020, 1, 1)
LAST_DAY = FIRST_DAY + timedelta(days=36500)


class Signed:
    """
    A certificate and its key, signed by itself or by another.

    @param valid: from when to when.
    @param names: host names and addresses that it is for; its own name, where there are none.
    @ivar certificate: in PEM form.
    @ivar key: in PEM form.
    @ivar serial: the number that nothing else that was signed has.
    """

    def __init__(
        self,
        name: str,
        by: Signed | None = None,
        canSign: bool = True,
        key: EllipticCurvePrivateKey | RSAPrivateKey | None = None,
        isNamed: bool = True,
        names: Sequence[str] = (),
        valid: tuple[datetime, datetime] = (FIRST_DAY, LAST_DAY),
    ) -> None:
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.privateKey = key or generate_private_key(SECP256R1())
        signer = by or self
        builder = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(signer._name)
            .public_key(self.privateKey.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(valid[0])
            .not_valid_after(valid[1])
            .add_extension(x509.BasicConstraints(ca=canSign, path_length=None), critical=True)
        )
        if isNamed:
            named = x509.SubjectAlternativeName([_generalName(each) for each in names or [name]])
            builder = builder.add_extension(named, critical=False)
        certificate = builder.sign(signer.privateKey, SHA256())
        self.serial = certificate.serial_number
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM)
        self.key = self._keyPem(serialization.NoEncryption())

    @property
    def encryptedKey(self) -> bytes:
        """The key as a passphrase protects it."""
        return self._keyPem(serialization.BestAvailableEncryption(b"open sesame"))

    @property
    def pair(self) -> bytes:
        """Both in one."""
        return self.key + self.certificate

    def sign(self, name: str, *names: str) -> Signed:
        """Make a certificate that this one has signed, which cannot sign others."""
        return Signed(name, self, canSign=False, names=(name, *names))

    def _keyPem(self, encryption: serialization.KeySerializationEncryption) -> bytes:
        return self.privateKey.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )


def _generalName(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def writeCertificates(folder: Path) -> Signed:
    """
    Write C{authority.pem}, and C{login.pem}, C{gate.pem}, C{operator.pem} and their C{.key}
    signed by it.

    @return: the authority.
    """
    authority = Signed("authority")
    (folder / "authority.pem").write_bytes(authority.certificate)
    for name in ("login", "gate", "operator"):
        signed = authority.sign(name)
        (folder / f"{name}.pem").write_bytes(signed.certificate)
        (folder / f"{name}.key").write_bytes(signed.key)
    return authority


class Talker(Protocol):
    """Says hello, and keeps what it hears."""

    def __init__(self) -> None:
        self.heard = b""
        self.lost: Failure | None = None

    def connectionMade(self) -> None:
        """Say hello."""
        assert self.transport is not None
        self.transport.write(b"hello")

    def dataReceived(self, data: bytes) -> None:
        """Keep it."""
        self.heard += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Keep why."""
        self.lost = reason


@implementer(IOpenSSLClientConnectionCreator)
@frozen
class Asking:
    """A client that asks for a name, or for none, and takes what it is shown."""

    name: str = ""

    def clientConnectionForTLS(self, protocol: object) -> SSL.Connection:
        """Make its connection."""
        connection = SSL.Connection(CertificateOptions().getContext(), None)
        if self.name:
            connection.set_tlsext_host_name(self.name.encode("latin-1"))
        return connection


class Meeting:
    """
    A client that connects to a server, both TLS.

    @param server: what C{wrapServerTLS} takes.
    @param client: what C{wrapClientTLS} takes.
    @param host: where to.
    @ivar talkers: the server's, and the client's.
    """

    def __init__(
        self, server: Any, client: IOpenSSLClientConnectionCreator, host: str = "10.0.0.7"
    ) -> None:
        reactor = MemoryReactorClock()
        self.talkers = Talker(), Talker()
        wrapServerTLS(server, TCP4ServerEndpoint(reactor, 1), reactor).listen(
            Factory.forProtocol(lambda: self.talkers[0])
        )
        wrapClientTLS(client, TCP4ClientEndpoint(reactor, "x", 1), reactor).connect(
            Factory.forProtocol(lambda: self.talkers[1])
        )
        address = IPv4Address("TCP", "10.0.0.7", 1)
        there = reactor.tcpServers[0][1].buildProtocol(address)
        here = reactor.tcpClients[0][2].buildProtocol(address)
        *_, self._pump = connectedServerAndClient(
            lambda: there,
            lambda: here,
            serverTransportFactory=lambda protocol: FakeTransport(
                protocol, isServer=True, hostAddress=IPv4Address("TCP", host, 1)
            ),
            clock=reactor,
        )
        self._pump.flush()

    def say(self, data: bytes) -> tuple[bytes, bytes]:
        """Let both say this, and give what both have heard since they met."""
        for talker in self.talkers:
            assert talker.transport is not None
            talker.transport.write(data)
        self.flush()
        return self.talkers[0].heard, self.talkers[1].heard

    def flush(self) -> None:
        """Let arrive what is on its way."""
        self._pump.flush()

    @property
    def shown(self) -> list[int]:
        """The serials of the certificates that the server has shown; empty if it did not."""
        transport: Any = self.talkers[1].transport
        connection: SSL.Connection = transport.getHandle()
        chain = connection.get_peer_cert_chain() or []
        return [each.get_serial_number() for each in chain]


def meet(server: Credentials, client: IOpenSSLClientConnectionCreator) -> tuple[Talker, Talker]:
    """Let a client connect to a server, and give both when all is said."""
    return Meeting(server.serverOptions(), client).talkers
