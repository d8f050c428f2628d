"""
TLS around the control link, with certificates at both ends.

Each end trusts whom the authority has signed, and nobody else: neither the system's authorities
nor an end without a certificate. Whatever is wrong with a file is a C{ValueError} whose text
is for whoever wrote the config. Files that are renewed are read again, for new connections.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from OpenSSL import SSL
from OpenSSL.crypto import FILETYPE_PEM, X509
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import (
    verify_certificate_hostname,
    verify_certificate_ip_address,
)
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IReactorTime,
)
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    KeyPair,
    PrivateCertificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from zope.interface import implementer

from msgserver.certificates import OLDEST_VERSION
from msgserver.filewatch import Watched

_Options = TypeVar("_Options")


def readCertificates(path: str) -> list[Certificate]:
    """
    Read the certificates of a PEM file, one or more.

    @raise ValueError: there are none to be had from it.
    """
    content = _read(path)
    try:
        found = x509.load_pem_x509_certificates(content)
    except ValueError:
        raise ValueError(f"{path} has no certificate in PEM form") from None
    return [Certificate.loadPEM(each.public_bytes(Encoding.PEM)) for each in found]


def readPrivateKey(path: str) -> KeyPair:
    """
    Read the private key of a PEM file.

    @raise ValueError: there is none to be had from it.
    """
    content = _read(path)
    try:
        # What would ask for the passphrase waits for a terminal, which a server has not.
        load_pem_private_key(content, None)
    except TypeError:
        raise ValueError(f"the key in {path} must not need a passphrase") from None
    except Exception:
        raise ValueError(f"{path} has no private key in PEM form") from None
    key: KeyPair = KeyPair.load(content, FILETYPE_PEM)
    return key


@frozen
class Credentials:
    """
    What one end shows, and whom it trusts.

    @ivar chain: the end's certificate first, then those that lead to the other's authority.
    @ivar authorities: who must have signed the other end's certificate.
    """

    chain: Sequence[Certificate]
    key: KeyPair
    authorities: Sequence[Certificate]

    def check(self) -> None:
        """
        See to it that they can be used.

        @raise ValueError: they cannot; the key is to blame.
        """
        if not self.key.matches(self.chain[0].getPublicKey()):
            raise ValueError("is not the key of the certificate")
        try:
            self.serverOptions().getContext()
        except SSL.Error as error:
            # OpenSSL has more against a key than its form: it may be too short.
            raise ValueError(f"cannot be used: {error.args[0][-1][-1]}") from None

    def serverOptions(self) -> CertificateOptions:
        """Make what C{wrapServerTLS} takes."""
        return CertificateOptions(
            privateKey=self.key.original,
            certificate=self.chain[0].original,
            trustRoot=trustRootFromCertificates(self.authorities),
            **self._chainOptions(),
        )

    def clientOptions(self, serverName: str) -> IOpenSSLClientConnectionCreator:
        """
        Make what C{wrapClientTLS} takes.

        @param serverName: what the server's certificate must be for.
        @raise ValueError: that can be no server's name.
        """
        try:
            options = optionsForClientTLS(
                serverName,
                trustRootFromCertificates(self.authorities),
                PrivateCertificate.fromCertificateAndKeyPair(self.chain[0], self.key),
                extraCertificateOptions=self._chainOptions(),
            )
        except UnicodeError as error:
            raise ValueError(f"can be no server's name: {error}") from None
        return _NamedServer(options, serverName)

    @property
    def hasExpired(self) -> bool:
        """Tell whether it is too late for the end's own certificate."""
        ends = self.chain[0].original.to_cryptography().not_valid_after_utc
        return bool(datetime.now(UTC) > ends)

    def _chainOptions(self) -> dict[str, Any]:
        chain = [certificate.original for certificate in self.chain[1:]]
        return {"extraCertChain": chain, "raiseMinimumTo": OLDEST_VERSION}


@frozen
class CredentialFiles:
    """
    Where the credentials of one end are.

    @ivar certificate: has the chain.
    """

    certificate: str
    privateKey: str
    authority: str

    def read(self) -> Credentials:
        """
        Read them.

        @raise ValueError: they cannot be used.
        """
        credentials = Credentials(
            readCertificates(self.certificate),
            readPrivateKey(self.privateKey),
            readCertificates(self.authority),
        )
        try:
            credentials.check()
        except ValueError as error:
            raise ValueError(f"{self.privateKey} {error}") from None
        return credentials


class _Renewed(Generic[_Options]):
    """
    What is made of credentials, and of the new ones when a file has changed.

    @raise ValueError: they cannot be used.
    """

    def __init__(
        self, files: CredentialFiles, make: Callable[[Credentials], _Options], clock: IReactorTime
    ) -> None:
        self._files = files
        self._make = make
        paths = (files.certificate, files.privateKey, files.authority)
        what = f"the certificates of the control link in {files.certificate}"
        self._watched: Watched[tuple[Credentials, _Options]] = Watched(
            what, lambda: paths, self._read, clock
        )

    @property
    def options(self) -> _Options:
        """What connections are made of now."""
        return self._watched.current()[1]

    def _read(self, before: tuple[Credentials, _Options] | None) -> tuple[Credentials, _Options]:
        credentials = self._files.read()
        if before is not None and credentials.hasExpired and not before[0].hasExpired:
            raise ValueError(f"the certificate in {self._files.certificate} has expired")
        return credentials, self._make(credentials)


@implementer(IOpenSSLServerConnectionCreator)
class RenewedServer(_Renewed[CertificateOptions]):
    """Lets clients of the link connect, by what the files say at that time."""

    def __init__(self, files: CredentialFiles, clock: IReactorTime) -> None:
        super().__init__(files, Credentials.serverOptions, clock)

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """Make the connection."""
        return self.options.serverConnectionForTLS(protocol)


@implementer(IOpenSSLClientConnectionCreator)
class RenewedClient(_Renewed[IOpenSSLClientConnectionCreator]):
    """Connects to the link's servers, by what the files say at that time."""

    def __init__(self, files: CredentialFiles, serverName: str, clock: IReactorTime) -> None:
        super().__init__(files, lambda found: found.clientOptions(serverName), clock)

    def clientConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """Make the connection."""
        return self.options.clientConnectionForTLS(protocol)


@implementer(IOpenSSLClientConnectionCreator)
@frozen
class _NamedServer:
    """
    Lets nobody pass for a server whose certificate does not have the server's name.

    Twisted's own check lets a certificate without any name pass: what is raised for that is
    logged, and not a no (26.10). Ends that are no servers have such certificates.
    """

    options: IOpenSSLClientConnectionCreator
    serverName: str

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """Make the connection, with a check of ours for Twisted's."""
        connection = self.options.clientConnectionForTLS(tlsProtocol)
        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._verify)
        return connection

    def _verify(
        self, connection: SSL.Connection, certificate: X509, error: int, depth: int, isFine: int
    ) -> bool:
        if depth != 0 or not isFine:
            return bool(isFine)
        try:
            if isIPAddress(self.serverName) or isIPv6Address(self.serverName):
                verify_certificate_ip_address(certificate.to_cryptography(), self.serverName)
            else:
                verify_certificate_hostname(certificate.to_cryptography(), self.serverName)
        except (CertificateError, VerificationError):
            return False  # The handshake fails, and says so.
        return True


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ValueError(f"{error.strerror}: {path}") from None
