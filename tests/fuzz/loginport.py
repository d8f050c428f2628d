"""
The login port: conversations, and what must come of them (L).
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from msgserver.wire.classic import decrypt, encrypt, publicKey
from msgserver.wire.framing import MAX_LINE
from msgserver.wire.naming import User, encode64
from tests.fuzz.handlers import MAX_UID, TOKEN_MARK
from tests.fuzz.loginline import CLIENT_PRIVATE, PRIME, PROOF, SECRET, LoginLine, lineOf
from tests.fuzz.network import NUMBER, Network, checkCounted
from tests.fuzz.plays import Data, Verb, Word
from tests.fuzz.references import fromBase64
from tests.fuzz.servers import MAX_CLIENT, Servers
from tests.fuzz.stages import Part
from tests.fuzz.watching import see

KEY = Data(
    (b"right", bytes(8), b"\x01" + bytes(7), (PRIME - 1).to_bytes(8, "little"), b"\xff" * 8)
    + (PRIME.to_bytes(8, "little"), b"x" * 7, b"x" * 9, b"", b"x" * 32, b"x" * 33)
)
PROVED = Data((b"right", bytes(8), b"", b"x" * 7, b"x" * 9))
TOKEN = Data(
    (b"ok user 0", b"ok user 1", b"ok ", b"no", b"raise", b"refuse", b"hang", b"nonsense")
    + (b"elsewhere user 0", b"ok " + b"u" * MAX_UID, b"ok \n@#\x00")
)
SEALED = Data((b"x" * 8, b"", b"x" * 7, b"x" * 16, bytes(8)))
TEXT = Data(
    (b"AAAA", b"", b"=", b"QR==", b"QQ==\r", b"200 MQ==", b"A" * MAX_LINE, b"A" * (MAX_LINE + 1))
    + (b"AAAA" * 2000, b"\xff\xfe", b"\x00")
)


class LoginPort(Part):
    """
    The login port. A visitor comes at the beginning and at the end, who must be let in.

    @ivar lines: its connections so far.
    """

    verbs = {
        "callSecurely": Verb((NUMBER,), 1),
        "call": Verb((NUMBER,), 5),
        "key": Verb((NUMBER, KEY), 5),
        "proof": Verb((NUMBER, PROVED), 5),
        "token": Verb((NUMBER, TOKEN), 6),
        "sealed": Verb((NUMBER, SEALED), 1),
        "converse": Verb((NUMBER, TOKEN), 6),
        "line": Verb((NUMBER, TEXT), 2),
        "gate": Verb(
            (
                Word(("loginReceived", "kicked", "loggedOut")),
                Word(("answer", "hang", "raise", "refuse", "nonsense")),
            ),
            3,
        ),
        "unhang": Verb((), 2),
    }

    def __init__(self, servers: Servers, network: Network) -> None:
        self._servers = servers
        self._network = network
        self.lines: list[LoginLine] = []
        servers.watch.hide(SECRET)
        self._visit()

    # The actions

    def play_callSecurely(self, number: int) -> None:
        """Connect, with TLS."""
        self._open(number, isSecure=True)

    def play_call(self, number: int) -> None:
        """Connect."""
        self._open(number)

    def _open(self, number: int | None = None, isSecure: bool = False) -> LoginLine:
        servers = self._servers
        openLines = sum(not line.isLost for line in self.lines)
        line = LoginLine(
            servers.clock, servers.loginFactory, servers.sending, "192.0.2.2", isSecure
        )
        self.lines.append(line)
        self._network.add(line, number)
        isTooMany = openLines >= MAX_CLIENT
        see(line.pipe.disconnected is isTooMany, f"B1: the {openLines + 1}th connection")
        return line

    def play_key(self, number: int, key: bytes) -> None:
        """Say the public key."""
        self._network.send(number, lineOf(key, publicKey(CLIENT_PRIVATE)))

    def play_proof(self, number: int, proof: bytes) -> None:
        """Say the proof."""
        self._network.send(number, lineOf(proof, PROOF))

    def play_token(self, number: int, token: bytes) -> None:
        """Say the token, encrypted as it should be."""
        self._network.send(number, encode64(encrypt(SECRET, TOKEN_MARK + token)) + b"\n")

    def play_converse(self, number: int, token: bytes) -> None:
        """Connect, and say everything that leads to a verdict."""
        self.play_call(number)
        self.play_key(number, b"right")
        self.play_proof(number, b"right")
        self.play_token(number, token)

    def play_sealed(self, number: int, sealed: bytes) -> None:
        """Say a token that is encrypted in another way, if at all."""
        self._network.send(number, encode64(sealed) + b"\n")

    def play_line(self, number: int, text: bytes) -> None:
        """Say a line."""
        self._network.send(number, text + b"\n")

    def play_gate(self, name: str, mode: str) -> None:
        """Have the gate's handler do something else from now on."""
        self._servers.handler.modes[name] = mode

    def play_unhang(self) -> None:
        """Have the first call that hangs answer, with nothing."""
        for hanging in (self._servers.loginHandler.hanging, self._servers.handler.hanging):
            while hanging:
                promised: Deferred[object] = hanging.pop(0)
                if not promised.called:
                    promised.callback(None)
                    return

    # What must hold

    def check(self) -> None:
        """See that all holds."""
        self._network.settle()
        now = self._servers.clock.seconds()
        for line in self.lines:
            status = line.check(now)
            if status is not None:
                self._know(status, line)
        openLines = sum(not line.isLost for line in self.lines)
        checkCounted(openLines, len(self._servers.loginFactory.limits))

    def _know(self, status: bytes, line: LoginLine) -> None:
        """Take note of a login, which our model is to see end."""
        if line.isKnown:
            return
        line.isKnown = True
        subid = fromBase64(status[4:])
        see(subid is not None, f"L: admitted as {status!r}")
        token = decrypt(SECRET, fromBase64(bytes(line.sent).split(b"\n")[2]) or b"")
        uid = token.partition(b" ")[2]
        self._servers.know(User(uid, subid or b"", Servers.SERVERNAME), SECRET, None)

    def _visit(self) -> None:
        """Log in as one who has nothing to do with it, in one segment."""
        servers = self._servers
        if len(servers.loginFactory.limits) >= MAX_CLIENT:
            return
        size, servers.sending.size = servers.sending.size, 0
        line = self._open()
        line.hold()
        line.send(lineOf(b"right", publicKey(CLIENT_PRIVATE)) + lineOf(b"right", PROOF))
        line.send(encode64(encrypt(SECRET, TOKEN_MARK + b"ok visitor")) + b"\n")
        line.go()
        servers.sending.size = size
        line.settle()
        see(b"\n200 " in line.pipe.written, f"a visitor was told {bytes(line.pipe.written)!r}")
        self.check()

    def finish(self) -> None:
        """Lose all connections, log in, and see that nothing is left in the end."""
        servers = self._servers
        servers.sending.reset()
        servers.handler.modes.clear()
        for line in self.lines:
            line.lose()
        self._network.settle()
        see(len(servers.loginFactory.limits) == 0, "B1: a connection is counted for ever")
        # Whatever hangs does so still: the next logins work all the same (L1).
        servers.clock.pump([1] * 10)
        see(not servers.loginService._underWay, "L1: a login is under way for ever")
        for uid in (b"user 0", b"user 1"):
            known = servers.logIn(uid, SECRET)
            see(known is not None, f"L1: {uid!r} is locked out")
        self._visit()
        self._network.settle()

    def checkGone(self) -> None:
        """See that nothing is left when the servers have stopped."""
        self._network.settle()
        see(len(self._servers.loginFactory.limits) == 0, "B1: a connection is left")
