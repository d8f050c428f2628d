"""
A login client's end against a login server's (L), with somebody in between, in either suite.

L{tests.wire.conversations} says what each must make of what arrives, to the byte. Beyond
that: an honest network harms nothing, and whatever the other kind does, the two never go on
with different secrets. It can do more to the classic suite than should be possible, for that
suite protects neither the token nor the verdict. The situations that begin with C{weak} are
those. To the modern suite it can do none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import ClassVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from msgserver.errors import (
    Forbidden,
    NotAcceptable,
    ProtocolError,
    Refused,
    Unauthorized,
)
from msgserver.wire.framing import MAX_LINE
from msgserver.wire.login import Admitted, LoginClient, LoginServer, TokenReceived
from tests import wire
from tests.wire.conversations import (
    line,
    loginClient,
    loginServer,
    unbase,
    withMac,
)
from tests.wire.interference import (
    ALL,
    FORGED_LINES,
    FRONT,
    PLACES,
    WHERE,
    ConversationMachine,
    mayForge,
    mayInterfere,
    pull,
)
from tests.wire.models import ClassicModel, Keys, Model, ModernModel
from tests.wire.test_properties import held

PATIENCE = st.integers(0, 9)
"""Where it is 0, what would end a conversation early does; that is to be rare."""

OWN = 900
"""The bytes that an end holds besides what has arrived: keys, and what it is about to send."""

IDENTITY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


class LoginMachine(ConversationMachine):
    """
    L{LoginClient} and L{LoginServer} in the classic suite.

    @cvar models: what the ends may speak; a connection's seed picks one.
    """

    models: ClassVar[Sequence[Model]] = (ClassicModel(),)

    situations = frozenset(
        """\
L: admitted over an honest network
L: refused over an honest network
L: refused before the token
L: the client hears no login server
L: the server takes no key, proof or token
L: the server closes before its verdict
L5: the address arrives
""".splitlines()
    )
    rare = frozenset(
        """\
L1: a line is too long
L5: the address is lost
weak: another token arrives than was sent
weak: another subid arrives than was sent
weak: a forged yes is believed
""".splitlines()
    )

    server: LoginServer
    client: LoginClient

    @initialize()
    def start(self) -> None:
        """Open the first connection."""
        self.dial(0, 20, "nowhere", 0)

    @rule(
        seed=st.integers(0, 2**32),
        tokenSize=st.integers(0, 40),
        where=st.sampled_from(WHERE),
        depth=st.sampled_from([0, 1, 2, 3, 3, 3, 3, 4, 5, 5, 5]),
    )
    def dial(self, seed: int, tokenSize: int, where: str, depth: int) -> None:
        """
        Open a connection.

        @param depth: how many deliveries are made before anything happens to it; the last is
            the verdict that it is admitted.
        """
        self.begin(where)
        random = Random(seed)
        self.model = self.models[seed % len(self.models)]
        size = self.model.keySize
        self.token = random.randbytes(tokenSize)
        self.challenge = random.randbytes(8)
        self.serverPrivate, self.clientPrivate = (random.randbytes(size) for _ in range(2))
        self.server = LoginServer(
            {size: self.model.serverSuite()}, wire.given(self.challenge, self.serverPrivate)
        )
        self.client = LoginClient(
            self.model.clientSuite(), self.token, wire.given(self.clientPrivate)
        )
        self.clientKeys: Keys | None = None
        self.serverKeys: Keys | None = None
        self.admitted: Admitted | None = None
        self.verdict = b""
        self.isServerDone = self.isEnded = False
        self.heldAtEnd: int | None = None
        self.down.write(self.server.dataToSend())
        self.exchange(depth)
        if self.serverTold and depth > 4:
            self.judge(b"1", "a:1", None)

    @property
    def isOver(self) -> bool:
        """Whether the client hears nothing more."""
        return self.isEnded or bool(self.clientTold)

    def feedServer(self, data: bytes) -> None:
        """Have bytes arrive at the server's end."""
        self.server.feed(data)

    def pullServer(self) -> None:
        """Ask for the server's events; what is wrong it refuses (L)."""
        if not self.isServerDone:
            self.serverSaw = self.up.arrived
        before = len(self.serverTold)
        pull(self.server, self.serverTold)
        told = loginServer(self.serverSaw, self.challenge, self.serverPrivate, self.model)
        assert self.serverTold == told.events, f"L: {self.serverTold}, not {told.events}"
        self.serverKeys = told.keys
        if self.serverTold[before:] == [Unauthorized]:
            self.note("L: the server takes no key, proof or token")
            self.refuse(Unauthorized)
        elif self.serverTold == [ProtocolError]:
            self.note("L1: a line is too long")
            self.isServerDone = True
        self.down.write(self.server.dataToSend())
        assert self.down.written == told.sent + self.verdict, "L: what the server says, and when"
        if not self.serverTold and not self.isServerDone:
            assert held(self.server) <= OWN + MAX_LINE, "L1"
        elif self.heldAtEnd is None:
            # What has come and is not looked at may lie there; but it does not grow.
            self.heldAtEnd = held(self.server)
        else:
            assert held(self.server) <= self.heldAtEnd, "L1"

    def pullClient(self) -> None:
        """Ask for the client's events."""
        if not self.isEnded:
            self.clientSaw = self.down.arrived
        pull(self.client, self.clientTold)
        told = loginClient(self.clientSaw, self.isEnded, self.token, self.clientPrivate, self.model)
        assert self.clientTold == told.events, f"L: {self.clientTold}, not {told.events}"
        self.clientKeys = told.keys
        if self.clientTold == [ProtocolError]:
            self.note("L: the client hears no login server")
        self.up.write(self.client.dataToSend())
        assert self.up.written == told.sent, "L: what the client says, and when"
        assert self.clientTold or held(self.client) <= OWN + MAX_LINE, "L1"

    @precondition(mayForge)
    @rule(isUp=st.booleans(), place=FRONT, what=st.sampled_from(list(FORGED_LINES)))
    def forge(self, isUp: bool, place: int, what: str) -> None:
        """Say something in the other's name, at any time."""
        self.insert(isUp, place, FORGED_LINES[what])

    @precondition(mayInterfere)
    @rule(isUp=st.booleans(), number=st.integers(0, 1), place=PLACES, bit=st.integers(0, 7))
    def change(self, isUp: bool, number: int, place: int, bit: int) -> None:
        """Change one bit of what a line says, so that it is a line still."""
        pipe = self.pipe(isUp)
        *lines, rest = pipe.pending.split(b"\n")
        if number < len(lines):
            status, space, text = lines[number].rpartition(b" ")
            raw = bytearray(unbase(text) or b"")
            if raw:
                raw[place % len(raw)] ^= 1 << bit
                lines[number] = status + space + line(bytes(raw))[:-1]
        pipe.replace(0, len(pipe.pending), b"\n".join([*lines, rest]))

    def refuse(self, refusal: type[Refused]) -> None:
        """Say no."""
        self.server.refuse(refusal())
        self.isServerDone = True
        text = refusal.status.value
        self.verdict = withMac(text, self.serverKeys.lineMac(text) if self.serverKeys else b"")
        self.down.write(self.server.dataToSend())

    @precondition(lambda self: self.serverTold and not self.isServerDone)
    @rule(
        subid=st.binary(max_size=9),
        address=st.none() | st.text("a:1\xe9", max_size=9),
        refusal=st.sampled_from([None, None, Unauthorized, Forbidden, NotAcceptable]),
    )
    def judge(self, subid: bytes, address: str | None, refusal: type[Refused] | None) -> None:
        """Say yes or no to the token."""
        if refusal is not None:
            self.refuse(refusal)
            return
        assert self.serverKeys is not None
        if self.model.hasMacs and not subid:
            # The server has none such (L3).
            subid = b"0"
        self.server.admit(subid, address)
        self.isServerDone = True
        received = self.serverTold[0]
        assert isinstance(received, TokenReceived)
        self.admitted = Admitted(subid, received.secret, address)
        self.verdict = withMac(b"200 " + line(subid)[:-1], self.serverKeys.subidMac(subid))
        if address is not None:
            text = b"210 " + line(address.encode())[:-1]
            self.verdict += withMac(text, self.serverKeys.lineMac(text))
        self.down.write(self.server.dataToSend())

    @precondition(lambda self: not self.serverTold and not self.isServerDone)
    @rule(refusal=st.sampled_from([Unauthorized, Forbidden, NotAcceptable]), patience=PATIENCE)
    def refuseEarly(self, refusal: type[Refused], patience: int) -> None:
        """Say no before the token has arrived."""
        if patience:
            return
        self.note("L: refused before the token")
        self.refuse(refusal)

    @precondition(lambda self: not self.isEnded)
    @rule(isLost=st.booleans(), patience=PATIENCE)
    def close(self, isLost: bool, patience: int) -> None:
        """
        Close the server's side, mostly behind its verdict only; what is on its way is lost
        with it, or is not.
        """
        if patience and not self.isServerDone:
            return
        if isLost:
            self.down.cut(0)
        self.deliver(False, ALL, True)
        if not self.isEnded:
            self.isEnded = True
            try:
                event = self.client.feedEnd()
            except ProtocolError:
                self.note("L: the server closes before its verdict")
                self.clientTold.append(ProtocolError)
            else:
                self.clientTold.extend([event] if event is not None else [])
            self.pullClient()

    @precondition(lambda self: not self.isEnded)
    @rule(
        subid=st.binary(max_size=9),
        address=st.none() | st.text("a:1\xe9", max_size=9),
        refusal=st.sampled_from([None, None, Unauthorized, Forbidden, NotAcceptable]),
        patience=st.integers(0, 2),
    )
    def finish(
        self, subid: bytes, address: str | None, refusal: type[Refused] | None, patience: int
    ) -> None:
        """Go on to the end; an honest network harms nothing."""
        if patience:
            return
        self.exchangeAll()
        if self.serverTold and not self.isServerDone:
            self.judge(subid, address, refusal)
        self.close(False, 0)
        if self.isHonest:
            if self.admitted is not None:
                self.note("L: admitted over an honest network")
                assert self.clientTold == [self.admitted], "L: admitted"
            elif self.model.hasMacs and self.serverKeys is None:
                self.note("L3: a refusal that nothing stands behind is no verdict")
                assert self.clientTold == [ProtocolError], "L3: a plain refusal"
            else:
                self.note("L: refused over an honest network")
                (refused,) = self.clientTold
                assert isinstance(refused, type) and issubclass(refused, Refused), "L: refused"
                assert self.verdict.startswith(refused.status.value), "L: refused"

    @invariant()
    def oneSecretL(self) -> None:
        """L: a server that has its token shares a secret with the client, whatever arrived."""
        for received in self.serverTold:
            if isinstance(received, TokenReceived):
                assert self.clientKeys is not None, "L: the secret"
                assert received.secret == self.clientKeys.secret, "L: the secret"
                if received.token != self.token:
                    self.note("weak: another token arrives than was sent")
                    assert self.up.isTampered, "L: the token"

    @invariant()
    def oneVerdictL(self) -> None:
        """L, L5: a client that is admitted was admitted, or the server's words were changed."""
        for admitted in self.clientTold:
            if not isinstance(admitted, Admitted):
                continue
            if self.admitted is None:
                self.note("weak: a forged yes is believed")
                assert self.down.isTampered, "L: the verdict"
                continue
            assert admitted.secret == self.admitted.secret, "L: the secret"
            if admitted.subid != self.admitted.subid:
                self.note("weak: another subid arrives than was sent")
                assert self.down.isTampered, "L: the subid"
            if admitted.address != self.admitted.address:
                self.note("L5: the address is lost")
                isShort = admitted.address is None and self.down.isCut
                assert isShort or self.down.isTampered, "L5"
            elif admitted.address is not None:
                self.note("L5: the address arrives")


class ModernLoginMachine(LoginMachine):
    """The same in the modern suite, where nobody in between is believed anything (L3)."""

    models = (ModernModel(), ModernModel(IDENTITY))
    situations = LoginMachine.situations
    rare = frozenset(
        [each for each in LoginMachine.rare if not each.startswith("weak: ")]
        + ["L3: a refusal that nothing stands behind is no verdict"]
    )
