"""
The PROXY header: what a proxy says of a client before the client's own bytes.

Both versions are read, in pieces of any size. What is no header closes the connection. The
header comes in the clear before all else, TLS included: a proxy that passes TLS on has no key,
and can put it nowhere else.

This stands for Twisted's own (26.10), which wants the first bytes in one piece, raises what
nobody catches for ports and addresses that are none, refuses C{PROXY UNKNOWN} without
addresses, spells IPv6 addresses as nobody else does, and looks for the header inside TLS.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from socket import AF_INET, AF_INET6, inet_ntop
from struct import unpack

from attrs import frozen
from twisted.internet import address as addresses
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolFactory,
    IStreamServerEndpoint,
    ITCPTransport,
)
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from zope.interface import implementer

LONGEST_LINE = 107
"""Bytes of a header of version 1 at most, its end included."""

LONGEST_HEADER = 4096
"""Bytes of a header of version 2 at most: addresses, and what a proxy has to add to them."""

_TEXT = b"PROXY "
_BINARY = b"\r\n\r\n\0\r\nQUIT\n"
_START = len(_BINARY) + 4
_LINE = re.compile(rb"PROXY TCP([46]) (\S+) (\S+) (\d{1,5}) (\d{1,5})\r\n")
_UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*)?\r\n")
_LOCAL, _PROXY = 0x20, 0x21
# What comes behind the length by the family of addresses, for streams: two hosts, two ports.
_TCP4, _TCP6, _UNIX = 0x11, 0x21, 0x31
_HOST_SIZES = {_TCP4: 4, _TCP6: 16, _UNIX: 108}
_NO_FAMILY = 0x00
_LAST_PORT = 0xFFFF


@frozen
class Header:
    """
    What a header says.

    @ivar size: in bytes.
    @ivar source: who has connected; None: the proxy itself, or it does not say.
    @ivar destination: where to.
    """

    size: int
    source: IAddress | None = None
    destination: IAddress | None = None


def parseHeader(data: bytes) -> Header | None:
    """
    Read a header from the first bytes of a connection; None if more of them are needed.

    @raise ValueError: they begin no header.
    """
    if data.startswith(_BINARY[: len(data)]):
        return _parseBinary(data)
    if data.startswith(_TEXT[: len(data)]):
        return _parseLine(data[:LONGEST_LINE])
    raise ValueError("no PROXY header")


def _parseLine(data: bytes) -> Header | None:
    end = data.find(b"\r\n") + 2
    if end < 2:
        if len(data) < LONGEST_LINE:
            return None
        raise ValueError("a PROXY header that does not end")
    line = data[:end]
    if _UNKNOWN.fullmatch(line):
        return Header(end)
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError("a PROXY header of no known form")
    version, *hosts = match[1], match[2].decode("latin-1"), match[3].decode("latin-1")
    make = IPv4Address if version == b"4" else IPv6Address
    packed = [make(host).packed for host in hosts]
    source, destination = map(_addressOf, packed, (int(match[4]), int(match[5])))
    return Header(end, source, destination)


def _parseBinary(data: bytes) -> Header | None:
    if len(data) < _START:
        return None
    command, family, length = unpack("!BBH", data[len(_BINARY) : _START])
    size = _START + length
    hostSize = _HOST_SIZES.get(family)
    if command not in (_LOCAL, _PROXY) or size > LONGEST_HEADER:
        raise ValueError("a PROXY header of no known form")
    if command == _PROXY and family != _NO_FAMILY:
        portSize = 0 if family == _UNIX else 2
        if hostSize is None or length < 2 * (hostSize + portSize):
            raise ValueError("a PROXY header of no known form")
    if len(data) < size:
        return None
    if command == _LOCAL or hostSize is None:
        # The proxy asks on its own behalf, whether all is well; or it does not know.
        return Header(size)
    hosts = data[_START : _START + hostSize], data[_START + hostSize : _START + 2 * hostSize]
    if family == _UNIX:
        return Header(size, *(addresses.UNIXAddress(host.rstrip(b"\0")) for host in hosts))
    ports = unpack("!HH", data[_START + 2 * hostSize :][:4])
    return Header(size, *map(_addressOf, hosts, ports))


def _addressOf(packed: bytes, port: int) -> IAddress:
    """Make an address, its host spelt as the system does for connections without a proxy."""
    if port > _LAST_PORT:
        raise ValueError("a PROXY header with a port that is none")
    if len(packed) == 4:
        return addresses.IPv4Address("TCP", inet_ntop(AF_INET, packed), port)
    return addresses.IPv6Address("TCP", inet_ntop(AF_INET6, packed), port)


class ProxiedProtocol(ProtocolWrapper):
    """
    One connection from a proxy.

    The protocol inside has its transport at once, so that its own deadline holds for the
    header, too; whose connection it is, C{getPeer} tells from its first bytes on.
    """

    transport: ITCPTransport  # What is called of it, UNIX sockets have, too.
    _log = Logger()
    _header: Header | None = None
    _begun = b""
    _isRefused = False

    def dataReceived(self, data: bytes) -> None:
        """Take the header away, and pass on what comes behind it."""
        if self._header is not None:
            self.wrappedProtocol.dataReceived(data)
        elif not self._isRefused:
            self._headerReceived(self._begun + data)

    def _headerReceived(self, data: bytes) -> None:
        try:
            self._header = parseHeader(data)
        except ValueError as error:
            self._begun = b""
            self._isRefused = True
            self._log.debug("{peer}: {error}", peer=self.getPeer(), error=error)
            self.transport.abortConnection()
            return
        if self._header is None:
            self._begun = data
            return
        self._begun = b""
        behind = data[self._header.size :]
        if behind:
            self.wrappedProtocol.dataReceived(behind)

    def getPeer(self) -> IAddress:
        """Tell who has connected to the proxy, or the proxy where that is not known."""
        return (self._header and self._header.source) or self.transport.getPeer()

    def getHost(self) -> IAddress:
        """Tell where to, or this end of the proxy's connection where that is not known."""
        return (self._header and self._header.destination) or self.transport.getHost()


class ProxiedFactory(WrappingFactory[ProxiedProtocol]):
    """Puts a L{ProxiedProtocol} before each protocol of a factory."""

    noisy = False
    protocol = ProxiedProtocol


@implementer(IStreamServerEndpoint)
@frozen
class ProxiedEndpoint:
    """Listens where a proxy connects."""

    endpoint: IStreamServerEndpoint

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen."""
        wrapping = ProxiedFactory(factory)  # type: ignore[no-untyped-call]
        return self.endpoint.listen(wrapping)
