"""
Certificates for tests: authorities, whom they have signed, and how two of those meet.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

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
from twisted.internet.address import IPv4Address
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    wrapClientTLS,
    wrapServerTLS,
)
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.test.iosim import connectedServerAndClient

from msgserver.linktls import Credentials

# Far apart, so that no test depends on the day.
_FIRST_DAY = datetime(2020, 1, 1)
_LAST_DAY = _FIRST_DAY + timedelta(days=36500)


class Signed:
    """
    A certificate and its key, signed by itself or by another.

    @ivar certificate: in PEM form.
    @ivar key: in PEM form.
    """

    def __init__(
        self,
        name: str,
        by: Signed | None = None,
        canSign: bool = True,
        key: EllipticCurvePrivateKey | RSAPrivateKey | None = None,
        isNamed: bool = True,
    ) -> None:
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = key or generate_private_key(SECP256R1())
        signer = by or self
        builder = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(signer._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_FIRST_DAY)
            .not_valid_after(_LAST_DAY)
            .add_extension(x509.BasicConstraints(ca=canSign, path_length=None), critical=True)
        )
        if isNamed:
            try:
                named: x509.GeneralName = x509.IPAddress(ip_address(name))
            except ValueError:
                named = x509.DNSName(name)
            names = x509.SubjectAlternativeName([named])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(signer._key, SHA256())
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM)
        self.key = self._keyPem(serialization.NoEncryption())

    @property
    def encryptedKey(self) -> bytes:
        """The key as a passphrase protects it."""
        return self._keyPem(serialization.BestAvailableEncryption(b"open sesame"))

    def sign(self, name: str) -> Signed:
        """Make a certificate that this one has signed, which cannot sign others."""
        return Signed(name, self, canSign=False)

    def _keyPem(self, encryption: serialization.KeySerializationEncryption) -> bytes:
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )


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


def meet(server: Credentials, client: IOpenSSLClientConnectionCreator) -> tuple[Talker, Talker]:
    """Let a client connect to a server, and give both when all is said."""
    reactor = MemoryReactorClock()
    talkers = Talker(), Talker()
    wrapServerTLS(server.serverOptions(), TCP4ServerEndpoint(reactor, 1), reactor).listen(
        Factory.forProtocol(lambda: talkers[0])
    )
    wrapClientTLS(client, TCP4ClientEndpoint(reactor, "x", 1), reactor).connect(
        Factory.forProtocol(lambda: talkers[1])
    )
    address = IPv4Address("TCP", "10.0.0.7", 1)
    *_, pump = connectedServerAndClient(
        lambda: reactor.tcpServers[0][1].buildProtocol(address),
        lambda: reactor.tcpClients[0][2].buildProtocol(address),
        clock=reactor,
    )
    pump.flush()
    return talkers
