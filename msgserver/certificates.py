"""
The certificates that a listener with TLS shows: which one to whom, and the new ones once they
have been renewed.

Certificates and keys may be spread over files in any way. Which belongs to which is told by
what they are: a key's certificate by its public key, a certificate's chain by who signed it.
Whatever is wrong with a file is a C{ValueError} whose text is for whoever wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_address
from typing import Any

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from OpenSSL import SSL
from OpenSSL.crypto import X509, PKey
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IReactorTime
from twisted.internet.ssl import CertificateOptions, TLSVersion
from twisted.logger import Logger
from zope.interface import implementer

from msgserver.filewatch import Watched
from msgserver.pemfiles import Found, chainOf, namesOf, publicPart, readPEM

OLDEST_VERSION = TLSVersion.TLSv1_2
"""The least that is spoken wherever this package makes TLS."""

_log = Logger()


def _now() -> datetime:
    return datetime.now(UTC)


@frozen
class Shown:
    """
    A certificate that can be shown, with its key and its chain.

    @ivar file: the one that it was found in.
    @ivar names: what it is for: host names in lower case, C{*.example.org} included, and
        addresses. Without any, its common name.
    @ivar context: what OpenSSL makes connections of that show it.
    """

    file: str
    names: frozenset[str]
    begins: datetime
    ends: datetime
    context: SSL.Context = field(repr=False)

    def isValid(self, now: datetime) -> bool:
        """Tell whether it is neither too early for it nor too late."""
        return self.begins <= now <= self.ends


@frozen
class Certificates:
    """
    Certificates by the names that they are for.

    @ivar default: for clients that ask for no name, or for one that there is none for.
    """

    byName: Mapping[str, Shown]
    default: Shown

    def pick(self, name: bytes | None, host: str = "") -> Shown:
        """
        Pick the one for a client.

        @param name: the host that it asks for (SNI): exactly that, then C{*} for its first
            label.
        @param host: the address that it has connected to, for those that ask for none: who
            knows a server by its address cannot.
        """
        text = (name or b"").decode("ascii", "replace").lower().rstrip(".") or host
        _, dot, rest = text.partition(".")
        found = self.byName.get(text) or (self.byName.get(f"*.{rest}") if dot else None)
        return found or self.default


@implementer(IOpenSSLServerConnectionCreator)
class CertificatesOnDisk:
    """
    Shows the certificates that there are in some files when a client connects.

    Connections that are open keep what they were made with.

    @param place: where they are, for what is said of them.
    @param files: lists the files.
    @param now: tells the time by which they are valid.
    @raise ValueError: they cannot be used.
    """

    def __init__(
        self,
        place: str,
        files: Callable[[], Sequence[str]],
        clock: IReactorTime,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._place = place
        self._files = files
        self._now = now
        what = f"the certificates in {place}"
        self._watched: Watched[Certificates] = Watched(what, files, self._read, clock)

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:
        """Make a connection; it changes to another certificate when the client says a name."""
        return SSL.Connection(self._watched.current().default.context, None)

    def _read(self, before: Certificates | None) -> Certificates:
        try:
            files = self._files()
        except OSError as error:
            raise ValueError(f"{error.strerror}: {error.filename}") from None
        if not files:
            raise ValueError(f"there is no .pem file in {self._place}")
        now = self._now()
        found = readCertificateSet(files, now)
        for name, shown in found.byName.items():
            if shown.isValid(now):
                continue
            late = "has expired" if now > shown.ends else "is not valid yet"
            old = before and before.byName.get(name)
            if old and old.isValid(now):
                raise ValueError(f"the certificate for {name} in {shown.file} {late}")
            _log.warn(
                "the certificate for {name} in {file} {late}",
                name=name,
                file=shown.file,
                late=late,
            )
        return found


def readCertificateSet(files: Sequence[str], now: datetime) -> Certificates:
    """
    Find out which certificates some files can show, and to whom.

    Of several for one name, one that is valid now comes before one that is not, then the one
    that was made last, then the one whose file comes first. The default is the one whose file
    comes first, of those that are valid.

    @raise ValueError: a file cannot be read or has nothing of use in it, a key has no
        certificate, or there is no certificate with a key.
    """
    keys: dict[bytes, tuple[str, PrivateKeyTypes]] = {}
    byKey: dict[bytes, dict[x509.Certificate, str]] = {}
    bySubject: dict[x509.Name, list[Found]] = {}
    for file in files:
        for each in readPEM(file):
            public = publicPart(each)
            if isinstance(each, x509.Certificate):
                byKey.setdefault(public, {}).setdefault(each, file)
                bySubject.setdefault(each.subject, []).append((file, each))
            else:
                keys.setdefault(public, (file, each))
    found: list[Shown] = []
    for public, (keyFile, key) in keys.items():
        if public not in byKey:
            raise ValueError(f"the key in {keyFile} is not that of any certificate there")
        for leaf, file in byKey[public].items():
            found.append(_show(leaf, file, key, chainOf((file, leaf), bySubject)))
    if not found:
        raise ValueError("there is no certificate with its key")
    # The best comes last, and stays.
    found.sort(key=lambda shown: shown.file, reverse=True)
    found.sort(key=lambda shown: (shown.isValid(now), shown.begins))
    default = min(found, key=lambda shown: (not shown.isValid(now), shown.file))
    made = Certificates({name: shown for shown in found for name in shown.names}, default)
    default.context.set_tlsext_servername_callback(partial(_change, made))
    return made


def _change(certificates: Certificates, connection: SSL.Connection) -> None:
    """Show the certificate that the client asks for; OpenSSL calls it even if for none."""
    name = connection.get_servername()
    shown = certificates.pick(name, "" if name else _hostOf(connection.get_app_data()))
    if shown is not certificates.default:
        connection.set_context(shown.context)


def _hostOf(protocol: Any) -> str:
    """Tell the address that a client has connected to, as a certificate has it."""
    try:
        address = ip_address(protocol.transport.getHost().host)
    except (AttributeError, ValueError, OSError):
        return ""  # A UNIX socket, or one that is lost already.
    # A port for both kinds has addresses of IPv4 within IPv6.
    return str(getattr(address, "ipv4_mapped", None) or address)


def _show(
    leaf: x509.Certificate, file: str, key: PrivateKeyTypes, chain: Sequence[x509.Certificate]
) -> Shown:
    try:
        context = CertificateOptions(
            privateKey=PKey.from_cryptography_key(key),  # type: ignore[arg-type]  # it says no
            certificate=X509.from_cryptography(leaf),
            extraCertChain=[X509.from_cryptography(each) for each in chain],
            raiseMinimumTo=OLDEST_VERSION,
        ).getContext()
        names = namesOf(leaf)
    except SSL.Error as error:
        # OpenSSL has more against a certificate than its form: its key may be too short.
        raise ValueError(f"{file} cannot be used: {error.args[0][-1][-1]}") from None
    except Exception as error:
        raise ValueError(f"{file} cannot be used: {error}") from None
    return Shown(file, names, leaf.not_valid_before_utc, leaf.not_valid_after_utc, context)
