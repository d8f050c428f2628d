"""
The login conversation (L), both ends, as bytes in and bytes out.

A transport feeds what arrives, asks for the next event, and sends C{dataToSend}. Neither
end knows a clock: whoever holds the transport closes it when the deadline has passed (L1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, auto
from hmac import compare_digest
from typing import Protocol

from attrs import field, frozen

from msgserver.errors import (
    Forbidden,
    InvalidState,
    LoginStatus,
    NotAcceptable,
    ProtocolError,
    Refused,
    Unauthorized,
)
from msgserver.wire.framing import LineReader
from msgserver.wire.naming import decode64, encode64

CHALLENGE_SIZE = 8
"""The bytes of the server's challenge."""

ADDRESS_STATUS = b"210"
"""The status of the line that says at which address the gate is (L5)."""

MAX_TOKEN = 6128
"""The bytes of a token: more would not fit a line as the modern suite seals it (L1)."""

RandomBytes = Callable[[int], bytes]
"""Gives as many unpredictable bytes as asked for."""


class Keys(Protocol):
    """What one end holds once the keys are exchanged."""

    @property
    def secret(self) -> bytes:
        """What client and servers share from now on."""

    @property
    def proof(self) -> bytes:
        """What the client sends to show that it holds the secret."""

    def seal(self, token: bytes) -> bytes:
        """Encrypt the token."""

    def unseal(self, sealed: bytes) -> bytes:
        """Decrypt the token; a ValueError where it was not sealed with these keys."""

    def vouchForSubid(self, subid: bytes) -> bytes:
        """Make the mac that stands behind the subid; empty where none does."""

    def vouch(self, text: bytes) -> bytes:
        """Make the mac that stands behind another line of the server's; empty where none does."""


class Suite(Protocol):
    """A set of algorithms; the length of its public keys picks it (L)."""

    @property
    def name(self) -> str:
        """What a config calls it."""

    @property
    def keySize(self) -> int:
        """The bytes of a public key."""

    @property
    def vouches(self) -> bool:
        """A mac stands behind what the server says once the keys are exchanged."""

    def makeKeys(self, randomBytes: RandomBytes) -> tuple[bytes, bytes]:
        """Make a client's private and public key."""

    def answer(
        self, challenge: bytes, theirs: bytes, randomBytes: RandomBytes
    ) -> tuple[bytes, Keys]:
        """
        Answer a client's public key: with what it is sent, and what both share. A ValueError
        where the key is unacceptable.
        """

    def agree(self, private: bytes, public: bytes, challenge: bytes, answer: bytes) -> Keys:
        """Compute what both share from that answer; a ValueError where it is unacceptable."""


@frozen
class TokenReceived:
    """The server's event: the client holds the secret, and this is who it claims to be."""

    token: bytes = field(repr=False)
    secret: bytes = field(repr=False)


@frozen
class Admitted:
    """
    The client's event: the login exists.

    @ivar subid: which of the uid's logins it is.
    @ivar secret: what the gate's handshake is proved with.
    @ivar address: C{host:port} of the gate, or None where the server did not say (L5).
    """

    subid: bytes
    secret: bytes = field(repr=False)
    address: str | None = None


_REFUSALS: dict[bytes, type[Refused]] = {
    refusal.status.value: refusal for refusal in (Unauthorized, Forbidden, NotAcceptable)
}


class _State(Enum):
    KEY = auto()
    PROOF = auto()
    TOKEN = auto()
    VERDICT = auto()
    CLOSED = auto()


class LoginServer:
    """
    The server's end. Its one event is L{TokenReceived}; then L{admit} or L{refuse} ends it.

    @param suites: what clients may pick, by the size of its public keys.
    """

    def __init__(self, suites: Mapping[int, Suite], randomBytes: RandomBytes) -> None:
        self._suites = suites
        self._randomBytes = randomBytes
        self._lines = LineReader()
        self._challenge = randomBytes(CHALLENGE_SIZE)
        self._outgoing = encode64(self._challenge) + b"\n"
        self._state = _State.KEY
        self._keys: Keys | None = None
        self._isProved = False
        # The client has what vouches for a line: it has sealed something with it.
        self._isUnsealed = False

    @property
    def isProved(self) -> bool:
        """The client has shown that it holds the secret, and so is no mere stranger."""
        return self._isProved

    def feed(self, data: bytes) -> None:
        """Take what the client sent. What comes after its last line is of no interest."""
        if self._state not in (_State.VERDICT, _State.CLOSED):
            self._lines.feed(data)

    def dataToSend(self) -> bytes:
        """Give what is to be sent now, once."""
        outgoing, self._outgoing = self._outgoing, b""
        return outgoing

    def nextEvent(self) -> TokenReceived | None:
        """
        Give the event that what was fed so far makes, or None until more is.

        @raise Unauthorized: a line is wrong; L{refuse} has it said to the client. No further
            line is looked at: there is one guess at a proof.
        @raise ProtocolError: a line is too long (L1). The conversation is over.
        """
        while self._state not in (_State.VERDICT, _State.CLOSED):
            try:
                line = self._lines.next()
            except ProtocolError:
                self._state = _State.CLOSED
                raise
            if line is None:
                return None
            step = self._state
            try:
                event = self._lineReceived(decode64(line))
            except ValueError as error:
                self._state = _State.VERDICT
                raise Unauthorized(f"{step.name.lower()} line: {error}") from None
            if event is not None:
                return event
        return None

    def _lineReceived(self, line: bytes) -> TokenReceived | None:
        if self._keys is None:
            suite = self._suites.get(len(line))
            if suite is None:
                raise ValueError(f"no suite here has public keys of {len(line)} bytes")
            answer, self._keys = suite.answer(self._challenge, line, self._randomBytes)
            self._outgoing += encode64(answer) + b"\n"
            self._state = _State.PROOF
        elif self._state is _State.PROOF:
            if not compare_digest(line, self._keys.proof):
                raise ValueError("not the proof of this secret")
            self._isProved = True
            self._state = _State.TOKEN
        else:
            token = self._keys.unseal(line)
            self._isUnsealed = True
            self._state = _State.VERDICT
            return TokenReceived(token, self._keys.secret)
        return None

    def admit(self, subid: bytes, address: str | None = None) -> None:
        """
        Tell the client that it is in, and where its gate is (L5). The conversation is over.

        @param address: C{host:port}, or None for the address that the client knows.
        @raise InvalidState: the client has not sent a token, or the suite vouches for no empty
            subid: what stands behind that is the client's own proof.
        """
        keys = self._keys
        if keys is None or not self._isUnsealed:
            raise InvalidState("the client has not sent a token")
        mac = keys.vouchForSubid(subid)
        if mac and not subid:
            raise InvalidState("the subid is empty")
        self._say(b"%b %b" % (LoginStatus.OK.value, encode64(subid)), mac)
        if address is not None:
            # A line of its own: clients that know nothing of it have stopped reading.
            text = b"%b %b" % (ADDRESS_STATUS, encode64(address.encode()))
            self._say(text, keys.vouch(text))
        self._end()

    def refuse(self, refusal: Refused) -> None:
        """Tell the client no, in the refusal's own words. The conversation is over."""
        text = refusal.status.value
        # Where no token was unsealed, the two ends may hold different keys.
        self._say(text, self._keys.vouch(text) if self._keys and self._isUnsealed else b"")
        self._end()

    def _say(self, text: bytes, mac: bytes) -> None:
        self._outgoing += (b"%b %b\n" % (text, encode64(mac))) if mac else text + b"\n"

    def _end(self) -> None:
        self._state = _State.CLOSED
        self._keys = None


class LoginClient:
    """
    The client's end. Its one event is L{Admitted}.

    @param suite: the algorithms; the server must know them too.
    @param token: what the login handler over there makes a user of.
    @raise ValueError: the token is over 6,128 bytes.
    """

    def __init__(self, suite: Suite, token: bytes, randomBytes: RandomBytes) -> None:
        if len(token) > MAX_TOKEN:
            raise ValueError(f"a token takes at most {MAX_TOKEN} bytes, not {len(token)}")
        self._suite = suite
        self._token = token
        self._lines = LineReader()
        self._private, self._public = suite.makeKeys(randomBytes)
        self._challenge: bytes | None = None
        self._keys: Keys | None = None
        self._outgoing = b""
        self._admitted: Admitted | None = None
        self._done = False

    @property
    def isAdmitted(self) -> bool:
        """The server has said yes; whether it says where as well is open until its close."""
        return self._admitted is not None

    def feed(self, data: bytes) -> None:
        """Take what the server sent."""
        if not self._done:
            self._lines.feed(data)

    def dataToSend(self) -> bytes:
        """Give what is to be sent now, once."""
        outgoing, self._outgoing = self._outgoing, b""
        return outgoing

    def nextEvent(self) -> Admitted | None:
        """
        Give the event that what was fed so far makes, or None until more is. After an
        error there is none.

        @raise Refused: the server said no, in its own words.
        @raise ProtocolError: this is no login server.
        """
        try:
            return self._readLines()
        except (Refused, ProtocolError):
            self._done = True
            raise

    def _readLines(self) -> Admitted | None:
        while not self._done:
            line = self._lines.next()
            if line is None:
                return None
            if self._admitted is not None:
                self._done = True
                address = self._readAddress(line)
                return Admitted(self._admitted.subid, self._admitted.secret, address)
            # Base64 has no space, so a line with one is a status, whenever it comes.
            if b" " in line:
                self._statusReceived(line)
            else:
                self._keyReceived(line)
        return None

    def feedEnd(self) -> Admitted | None:
        """
        Take note that the server has closed, or that it has been given time enough to say
        more: where it said yes, that is the event now.

        @raise ProtocolError: it closed before it said yes or no, or in the middle of a line
            that a mac stands behind.
        """
        if self._done:
            return None
        self._done = True
        if self._admitted is None:
            raise ProtocolError("the login server closed without a verdict")
        if self._suite.vouches and self._lines.isWithinLine:
            raise ProtocolError("the login server closed in the middle of a line")
        return self._admitted

    def _keyReceived(self, line: bytes) -> None:
        try:
            raw = decode64(line)
            if self._challenge is None:
                if len(raw) != CHALLENGE_SIZE:
                    raise ValueError(f"a challenge of {len(raw)} bytes")
                self._challenge = raw
                self._outgoing += encode64(self._public) + b"\n"
                return
            if self._keys is not None:
                raise ValueError("one line too many")
            keys = self._suite.agree(self._private, self._public, self._challenge, raw)
            self._keys = keys
        except ValueError as error:
            raise ProtocolError(f"no login at this server: {error}") from None
        for part in (keys.proof, keys.seal(self._token)):
            self._outgoing += encode64(part) + b"\n"

    def _statusReceived(self, line: bytes) -> None:
        text, mac = self._split(line)
        code, _, argument = text.partition(b" ")
        if code == LoginStatus.OK.value:
            self._admissionReceived(argument, mac)
            return
        refusal = _REFUSALS.get(text)
        if refusal is None:
            raise ProtocolError("a status that no login server gives")
        if self._suite.vouches and (self._keys is None or not mac):
            # Whoever is in the middle can say that. It must not end a client for good.
            raise ProtocolError(
                f"refused ({text.decode()}) by who did not prove to be the server: it may not"
                f" take the suite {self._suite.name}"
            )
        self._check(mac, self._keys.vouch(text) if self._keys else b"")
        raise refusal(text.decode())

    def _admissionReceived(self, argument: bytes, mac: bytes) -> None:
        if self._keys is None:
            raise ProtocolError("admitted before the keys were exchanged")
        try:
            subid = decode64(argument)
        except ValueError as error:
            raise ProtocolError(f"the subid is {error}") from None
        expected = self._keys.vouchForSubid(subid)
        if expected and not subid:
            # What would stand behind it is the proof that we have sent ourselves.
            raise ProtocolError("the subid is empty")
        self._check(mac, expected)
        self._admitted = Admitted(subid, self._keys.secret)

    def _split(self, line: bytes) -> tuple[bytes, bytes]:
        """Take a line apart into what it says and the mac that stands behind that, if any."""
        text, space, last = line.rpartition(b" ")
        if not self._suite.vouches or line in _REFUSALS or not space:
            return line, b""
        try:
            return text, decode64(last)
        except ValueError as error:
            raise ProtocolError(f"the mac of a line is {error}") from None

    def _check(self, mac: bytes, expected: bytes) -> None:
        if not compare_digest(mac, expected):
            raise ProtocolError("what stands behind a line of the server does not fit it")

    def _readAddress(self, line: bytes) -> str | None:
        assert self._keys is not None
        text, mac = self._split(line)
        self._check(mac, self._keys.vouch(text))
        code, _, argument = text.partition(b" ")
        if code != ADDRESS_STATUS:
            return None
        try:
            return decode64(argument).decode()
        except ValueError as error:
            raise ProtocolError(f"the gate's address is {error}") from None
