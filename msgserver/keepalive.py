"""
Keep-alive by the kernel: a connection whose other end is gone is noticed though nothing is sent.
"""

from __future__ import annotations

import errno
import socket

PROBES = 3
"""How many unanswered probes end a connection."""

LONGEST = 32_767
"""The most seconds that a kernel takes: those of Linux."""


def keepAlive(sock: socket.socket, seconds: float) -> None:
    """
    Have the kernel close a connection that has given no sign of life.

    An idle one is probed after C{seconds}, then three times as often, and given up after three
    probes (RFC 9293, section 3.8.4); where something was sent that the other end has not
    acknowledged, after twice C{seconds} (RFC 5482). That keeps entries of address translation
    alive as well. It does not go through proxies, nor tell whether the program over there
    still runs.

    @param sock: of TCP; any other is left as it is.
    @param seconds: 1 or more; less counts as 1, and more than L{LONGEST} as that.
    @raise OSError: the socket is closed.
    """
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    idle = round(min(max(1.0, seconds), LONGEST))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        # What macOS calls the first of them.
        ("TCP_KEEPALIVE", idle),
        ("TCP_KEEPIDLE", idle),
        ("TCP_KEEPINTVL", max(1, idle // PROBES)),
        ("TCP_KEEPCNT", PROBES),
        ("TCP_USER_TIMEOUT", 2 * idle * 1000),
    ):
        option = getattr(socket, name, None)
        if option is not None:
            try:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
            except OSError as error:
                # Not each kernel knows what the machine that Python was built on does.
                if error.errno != errno.ENOPROTOOPT:
                    raise
