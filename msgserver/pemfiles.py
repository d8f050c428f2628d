"""
Certificates and keys in PEM files, and which of them belong together.

That is told by what they are, not by which file they are in. Whatever is wrong with a file is a
C{ValueError} whose text is for whoever wrote it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

Found: TypeAlias = tuple[str, x509.Certificate]
"""A certificate, and before it the file that it was found in."""

_LONGEST_CHAIN = 8
"""How many certificates may lead from one to its authority."""

_BEGIN = b"-----BEGIN "
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


def pemFilesIn(folder: str) -> list[str]:
    """
    List the files whose names end in C{.pem}, in a folder and those below, in their order.

    Links are followed, to folders too.

    @raise OSError: a folder cannot be read.
    """
    found: list[str] = []
    seen: set[tuple[int, int]] = set()
    for path, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        status = os.stat(path)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()  # A link to a folder that is looked at already, or to one above.
            continue
        folders.sort()
        seen.add((status.st_dev, status.st_ino))
        found += [os.path.join(path, name) for name in names if name.endswith(".pem")]
    return sorted(found)


def readPEM(file: str) -> list[x509.Certificate | PrivateKeyTypes]:
    """
    Read the certificates and private keys of a file, in their order.

    @raise ValueError: it has neither, or something that cannot be read.
    """
    try:
        with open(file, "rb") as opened:
            content = opened.read()
    except OSError as error:
        raise ValueError(f"{error.strerror}: {file}") from None
    blocks = list(_BLOCK.finditer(content))
    if not blocks or len(blocks) != content.count(_BEGIN):
        raise ValueError(f"{file} has nothing in PEM form, or is cut off")
    found: list[x509.Certificate | PrivateKeyTypes] = []
    for block in blocks:
        try:
            if block[1] == b"CERTIFICATE":
                found.append(x509.load_pem_x509_certificate(block[0]))
            elif block[1].endswith(b"PRIVATE KEY"):
                found.append(load_pem_private_key(block[0], None))
            # Else parameters of a curve, a request for a certificate: nothing to show.
        except TypeError:
            raise ValueError(f"the key in {file} must not need a passphrase") from None
        except Exception:
            what = block[1].decode().lower()
            raise ValueError(f"{file} has a {what} that cannot be read") from None
    return found


def publicPart(each: x509.Certificate | PrivateKeyTypes) -> bytes:
    """Give what a key and its certificate have in common."""
    public = each.public_key()
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def chainOf(found: Found, pool: Mapping[x509.Name, Sequence[Found]]) -> list[x509.Certificate]:
    """
    Give those that lead from a certificate to its authority, without that.

    @param pool: certificates by their subjects. One that stands in a file with the first is
        preferred: that chain is the one that is meant.
    """
    file, leaf = found
    chain = [leaf]
    while chain[-1].issuer != chain[-1].subject and len(chain) <= _LONGEST_CHAIN:
        candidates = sorted(pool.get(chain[-1].issuer, ()), key=lambda each: each[0] != file)
        issuer = next((each for _, each in candidates if _hasSigned(each, chain[-1])), None)
        # Who trusts an authority has its own certificate, which says that it signed itself.
        if issuer is None or issuer in chain or issuer.issuer == issuer.subject:
            break
        chain.append(issuer)
    return chain[1:]


def namesOf(certificate: x509.Certificate) -> frozenset[str]:
    """Tell what a certificate is for: host names in lower case, and addresses."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return frozenset(str(name.value).lower() for name in common)
    hosts = extension.value.get_values_for_type(x509.DNSName)
    addresses = extension.value.get_values_for_type(x509.IPAddress)
    return frozenset(str(name).lower() for name in (*hosts, *addresses))


def _hasSigned(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _raise(error: OSError) -> None:
    raise error
