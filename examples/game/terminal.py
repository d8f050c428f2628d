"""
Where a player's commands come from, and what is shown goes: a terminal, or a pipe.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

GREEN, RED, GREY = "32", "31", "90"


@implementer(IHalfCloseableProtocol)
class Terminal(LineOnlyReceiver):
    """
    Where commands come from, and answers go.

    @param isTerminal: somebody is typing; else it is a pipe or a file.
    @param isColoured: colours are wanted.
    @ivar lines: what was typed, and None at the end of it.
    @ivar closed: fires when all that was said has left.
    """

    delimiter = b"\n"

    def __init__(self, isTerminal: bool, isColoured: bool) -> None:
        self.isTerminal = isTerminal
        self._isColoured = isColoured
        self._isTooLong = False
        self.lines: DeferredQueue[str | None] = DeferredQueue()
        self.closed: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        """Show the prompt."""
        self._write("")

    def lineReceived(self, line: bytes) -> None:
        """Take a command."""
        self.lines.put(line.decode("utf-8", "replace").strip())

    def lineLengthExceeded(self, line: bytes) -> None:
        """Say so, and take no more: nobody knows what the rest would mean."""
        if not self._isTooLong:
            self._isTooLong = True
            self.say("that line is too long", RED)
            self.lines.put(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Take note of the end."""
        self.lines.put(None)
        self.closed.callback(None)

    def readConnectionLost(self) -> None:
        """Take note that there are no more commands; what they lead to is still shown."""
        # The last line may have no end.
        self.dataReceived(self.delimiter)  # type: ignore[no-untyped-call]  # Twisted's
        self.lines.put(None)

    def writeConnectionLost(self) -> None:
        """Take note that nobody reads any more."""
        self.lines.put(None)

    def say(self, text: str, colour: str = "") -> None:
        """Show a text. What a terminal would take for an order to itself is left out."""
        shown = "\n".join("".join(filter(str.isprintable, line)) for line in text.splitlines())
        if self._isColoured and colour:
            shown = f"\x1b[{colour}m{shown}\x1b[0m"
        self._write(f"{shown}\n")

    def _write(self, text: str) -> None:
        transport = self.transport
        assert transport is not None
        beginning = "\r\x1b[K" if self._isColoured else ""
        prompt = "> " if self.isTerminal else ""
        transport.write(f"{beginning}{text}{prompt}".encode())
