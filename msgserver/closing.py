"""How a connection is closed so that what was written to it arrives."""

from __future__ import annotations

from twisted.internet.interfaces import ISSLTransport, ITCPTransport, ITransport


def closeDelivering(transport: ITransport) -> None:
    """
    Close a connection once everything that was written to it has been delivered (B5).

    A TCP socket that is closed while bytes of the peer lie unread resets the connection, and
    the reset overtakes what is on its way (RFC 1122, section 4.2.2.13). So this closes the
    sending side alone; the peer sees the end and closes its own. For the peer that does not,
    the caller keeps a deadline.
    """
    if ITCPTransport.providedBy(transport) and not ISSLTransport.providedBy(transport):
        transport.loseWriteConnection()
    else:
        transport.loseConnection()
