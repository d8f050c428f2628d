"""What an attacker does on a connection."""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from os import urandom
from random import Random

from msgserver.errors import MsgServerError, Refused
from msgserver.interfaces import User
from msgserver.wire.framing import MAX_LINE, MAX_PACKET, PACKET_LENGTH, packet
from msgserver.wire.gate import GateClient, requestPacket
from msgserver.wire.login import LoginClient, Suite
from msgserver.wire.naming import encode64
from tests.attacks.raids import Line, Tactic

_ANSWER = 60_000
"""The bytes of an answer that nobody reads."""

_PIPELINED = 2000
"""How many of those are asked for on each connection."""


class Drip(Tactic):
    """
    Says one byte a second, of something that never ends.

    @param text: what it says first.
    @param filler: the byte that it says from then on.
    """

    def __init__(self, text: bytes, filler: bytes) -> None:
        self._text = text
        self._filler = filler

    def tick(self, line: Line) -> None:
        """Say the next byte."""
        line.send(self._text[line.age - 1 : line.age] or self._filler)


LONG_LINE = Drip(b"", b"A")
LONG_PACKET = Drip(PACKET_LENGTH.pack(MAX_PACKET), b"A")


class Say(Tactic):
    """Says something at once, and then nothing more."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    def begin(self, line: Line) -> None:
        """Say it."""
        line.send(self._text)


FULL_PACKET = Say(packet(b"A" * MAX_PACKET))
"""A packet of the greatest length, which is no handshake."""

ALL_BUT_ONE = Say(packet(b"A" * MAX_PACKET)[:-1])
"""The same without its last byte, for which the gate has to wait."""

FULL_LINE = Say(b"A" * MAX_LINE)
"""A line of the greatest length, for whose end the login server has to wait."""


class Churn(Tactic):
    """
    Connects and closes.

    @param text: what is said before.
    @param isPatient: it closes when the server has said something, rather than at once.
    """

    def __init__(self, text: bytes = b"", isPatient: bool = False) -> None:
        self._text = text
        self._isPatient = isPatient

    def begin(self, line: Line) -> None:
        """Say what there is to say, and close."""
        if self._text:
            line.send(self._text)
        if not self._isPatient:
            line.close()

    def heard(self, line: Line, data: bytes) -> None:
        """Close."""
        line.close()


class Guess(Tactic):
    """
    Logs in, or tries to: a full conversation with each of some tokens.

    @param nextToken: makes up the next.
    """

    def __init__(self, suite: Suite, nextToken: Callable[[], bytes]) -> None:
        self._suite = suite
        self._nextToken = nextToken
        self._conversations: dict[Line, LoginClient] = {}

    def begin(self, line: Line) -> None:
        """Make up a token."""
        self._conversations[line] = LoginClient(self._suite, self._nextToken(), urandom)

    def heard(self, line: Line, data: bytes) -> None:
        """Go on with the conversation."""
        conversation = self._conversations[line]
        try:
            conversation.feed(data)
            conversation.nextEvent()
        except Refused as refusal:
            line.count(f"said {refusal.status.value.decode()}")
            line.close()
        except MsgServerError as error:
            line.count(f"said {error}")
            line.close()
        else:
            if conversation.isAdmitted:
                line.count("ADMITTED")
                line.close()
            else:
                line.send(conversation.dataToSend())

    def lost(self, line: Line) -> None:
        """Forget the conversation."""
        self._conversations.pop(line, None)


class WrongMac(Tactic):
    """
    Shakes hands as somebody, without the secret.

    @param nextUser: makes up as whom.
    """

    def __init__(self, nextUser: Callable[[], User]) -> None:
        self._nextUser = nextUser
        # Greater than any that the user has used: were it accepted, it would lock the user out.
        self._index = 2**40

    def begin(self, line: Line) -> None:
        """Shake hands, and ask something at once."""
        self._index += 1
        hello = GateClient(self._nextUser(), urandom(8), self._index).hello
        line.send(hello + requestPacket(bytes(4), b"run:by an attacker"))

    def heard(self, line: Line, data: bytes) -> None:
        """Count the verdict."""
        line.count(f"said {data[PACKET_LENGTH.size :].decode('ascii', 'replace')}")


class NeverRead(Tactic):
    """
    Asks for large answers, as fast as the gate takes requests, and reads none of them.

    @param nextHello: shakes hands, with a login and an index that the gate accepts.
    """

    reads = False

    def __init__(self, nextHello: Callable[[], bytes]) -> None:
        self._nextHello = nextHello

    def begin(self, line: Line) -> None:
        """Shake hands, and ask for everything at once."""
        order = b"big:%d" % _ANSWER
        # Sessions that no other connection of the login has used: none is asked again.
        first = int.from_bytes(urandom(4), "big") >> 1
        asked = (requestPacket((first + n).to_bytes(4, "big"), order) for n in range(_PIPELINED))
        line.send(self._nextHello() + b"".join(asked))


def tokensOf(user: bytes, server: bytes, random: Random) -> Callable[[], bytes]:
    """Make up wrong passwords of a user, and every other time users as well."""
    counts = Counter[str]()

    def nextToken() -> bytes:
        counts["all"] += 1
        name = user if counts["all"] % 2 else b"u%d" % random.getrandbits(48)
        parts = (name, server, b"guess %d" % random.getrandbits(48))
        return b"%b@%b:%b" % tuple(map(encode64, parts))

    return nextToken


def clientHello() -> bytes:
    """Write what a client says first that wants TLS."""
    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="server.example")
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()
