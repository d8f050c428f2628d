"""
The gate's port: handshakes, requests, and what must come of them (H, S, B).
"""

from __future__ import annotations

from msgserver.errors import GateStatus, RequestFailed
from msgserver.wire.framing import packet
from msgserver.wire.gate import requestPacket
from msgserver.wire.naming import User
from tests.fuzz.gateline import GateLine, helloOf
from tests.fuzz.network import NUMBER, RAW, Network, checkCounted
from tests.fuzz.plays import Data, Number, Verb, Word
from tests.fuzz.servers import MAX_CLIENT, MAX_PACKET, Known, Servers, sessionLimits
from tests.fuzz.stages import Part
from tests.fuzz.watching import HandlerBug, see

BYSTANDER = b"bystander"
BYSTANDER_SECRET = b"5eCret:b"

USER = Number(0, 2, (0, 0, 1))
INDEX = Data(
    (b"next", b"same", b"1", b"0", b"00", b"+1", b"1e999", b"9223372036854775807")
    + (b"9223372036854775808", b"18446744073709551617", b"-1", b"", b"1\n", b"\xb2", b"1_0")
)
MAC = Data((b"right", b"wrong", b"", b"=", b"AAAAAAAAAAA=", b"AAAAAAAAAAB=", b"right=", b"\xff"))
SESSION = Number(0, 2**32 - 1, (1, 2, 3, 4, 5, 0, 2**31, 2**31 + 1, 2**32 - 1))
CONTENT = Data(
    (b"hello", b"later:a", b"later:b", b"async:c", b"raise", b"refuse:no", b"refuse badly")
    + (b"logout", b"await logout", b"big:65530", b"big:65531", b"big:40000", b"nonsense:text")
    + (b"nonsense:none", b"nonsense:array", b"", b"x" * (MAX_PACKET - 4), b"x" * (MAX_PACKET - 3))
)
LENGTH = Number(0, 65535, (0, 3, 4, 5, 1, MAX_PACKET, MAX_PACKET + 1, 65535, 256))
ANSWER = Data((b"done", b"", b"x" * 65_530, b"x" * 65_531, b"raise", b"refuse", b"nonsense"))


class GatePort(Part):
    """
    The gate's port, with a bystander on it who must not notice anything.

    @ivar lines: its connections so far.
    """

    verbs = {
        "increasing": Verb((), 1),
        "secure": Verb((NUMBER,), 1),
        "open": Verb((NUMBER,), 6),
        "hello": Verb((NUMBER, USER, INDEX, MAC), 10),
        "ask": Verb((NUMBER, SESSION, CONTENT), 14),
        "lie": Verb((NUMBER, LENGTH, RAW), 4),
        "login": Verb((USER,), 2),
        "logout": Verb((USER,), 1),
        "kick": Verb((USER,), 1),
        "fulfil": Verb((Number(0, 9, (0, 1, 2)), ANSWER), 6),
        "hook": Verb(
            (
                Word(("disconnected", "kicked", "loggedOut", "loginReceived")),
                Word(("answer", "raise", "refuse", "hang", "nonsense")),
            ),
            2,
        ),
    }

    def __init__(self, servers: Servers, network: Network) -> None:
        self._servers = servers
        self._network = network
        self.lines: list[GateLine] = []
        self._asked = 0
        self._begin()

    def _begin(self) -> None:
        known = self._servers.logIn(BYSTANDER, BYSTANDER_SECRET)
        assert known is not None
        self._bystander = self._open()
        self._bystander.send(helloOf(known, b"next", b"right"))
        see(self._bystander.status == GateStatus.OK.value, "the bystander is not let in")
        self._bystander.settle()
        for number in range(2):
            self.play_login(number)

    # The actions

    def play_increasing(self) -> None:
        """Start anew, with sessions that count up, where nothing has happened yet (S7)."""
        if len(self.lines) == 1 and not self._servers.isIncreasing:
            self.lines[0].lose()
            self._servers.stop(self._network.settle)
            self._servers.sending.reset()
            self._servers.logins.clear()
            self._servers.start(sessionLimits(increasing=True))
            self.lines.clear()
            self._begin()

    def _open(self, number: int | None = None, isSecure: bool = False) -> GateLine:
        servers = self._servers
        openLines = sum(not line.isLost for line in self.lines)
        line = GateLine(servers.clock, servers.msgFactory, servers.sending, "192.0.2.1", isSecure)
        line.servers = servers
        self.lines.append(line)
        self._network.add(line, number)
        isTooMany = openLines >= MAX_CLIENT
        see(line.pipe.disconnected is isTooMany, f"B1: the {openLines + 1}th connection")
        return line

    def play_secure(self, number: int) -> None:
        """Connect, with TLS."""
        self._open(number, isSecure=True)

    def play_open(self, number: int) -> None:
        """Connect."""
        self._open(number)

    def play_hello(self, number: int, user: int, index: bytes, mac: bytes) -> None:
        """Shake hands."""
        known = self._servers.latest.get(user)
        if known is None:
            known = Known(User(b"nobody", b"1", b"sample"), b"5eCret:n")
        self._network.send(number, helloOf(known, index, mac))

    def play_ask(self, number: int, session: int, content: bytes) -> None:
        """Send a request."""
        self._network.send(number, requestPacket(session.to_bytes(4, "big"), content[:65_531]))

    def play_lie(self, number: int, length: int, data: bytes) -> None:
        """Announce one length, and send another."""
        self._network.send(number, length.to_bytes(2, "big") + data)

    def play_login(self, number: int) -> None:
        """Log in anew, past the login port."""
        secret = b"5eCret:%d" % number
        self._servers.logIn(b"user %d" % number, secret, number)

    def play_logout(self, number: int) -> None:
        """Log out, as business code does."""
        if number in self._servers.latest:
            self._servers.handler.gate.logout(self._servers.latest[number].user)

    def play_kick(self, number: int) -> None:
        """Kick, as the login server does."""
        if number in self._servers.latest:
            user = self._servers.latest[number].user
            self._servers.msgService.kick(user.uid, user.subid)

    def play_fulfil(self, number: int, answer: bytes) -> None:
        """Have the handler answer a request that is running."""
        answers: dict[bytes, object] = {
            b"raise": HandlerBug("late"),
            b"refuse": RequestFailed(b"late"),
            b"nonsense": ["nonsense"],
        }
        result = answers.get(answer, answer)
        self._servers.handler.fulfil(number, result)

    def play_hook(self, name: str, mode: str) -> None:
        """Have calls of the handler do something else from now on."""
        self._servers.handler.modes[name] = mode

    # What must hold

    def check(self) -> None:
        """See that all holds."""
        self._network.settle()
        servers = self._servers
        now = servers.clock.seconds()
        live: dict[User, int] = {}
        for line in self.lines:
            line.check(now)
            if line.known is not None:
                for session, flag, content in line.responses():
                    outcomes = servers.handler.outcomes.get((line.known.user, session), ())
                    isOurs = (flag, content) in outcomes
                    see(isOurs, f"S: {content[:40]!r} {flag!r} was never the answer to {session!r}")
                if not line.pipe.isClosing and not line.isLost:
                    isOver = servers.hasEnded(line.known.user)
                    see(not isOver, "U2: a login has ended, and its connection is open")
                    live[line.known.user] = live.get(line.known.user, 0) + 1
        see(max(live.values(), default=0) <= 1, f"H4: two live connections: {live}")
        openLines = sum(not line.isLost for line in self.lines)
        checkCounted(openLines, len(servers.msgFactory.limits))
        self._checkRequests()
        self.checkBystander()

    def _checkRequests(self) -> None:
        """See that what reached the handler had been sent by that user (H2, H4)."""
        fresh = self._servers.handler.fresh
        for user, session, content in fresh:
            sent = requestPacket(session, content)
            isSent = any(
                line.known is not None and line.known.user == user and sent in line.sent
                for line in self.lines
            )
            see(isSent, f"H2: nobody who is {user} has sent {content[:40]!r}")
        fresh.clear()

    def checkBystander(self) -> None:
        """See that who has nothing to do with it is answered."""
        line = self._bystander
        self._asked += 1
        session = self._asked.to_bytes(4, "big")
        before = len(line.pipe.written)
        size, self._servers.sending.size = self._servers.sending.size, 0
        asked = requestPacket(session, b"?%d" % self._asked)
        line.sent += asked
        line.protocol.dataReceived(asked)
        self._servers.sending.size = size
        heard = bytes(line.pipe.written[before:])
        expected = packet(b"?%d\x01" % self._asked + session)
        see(heard == expected, f"a bystander asked, and got {heard[:80]!r}")

    def finish(self) -> None:
        """Lose all connections, come back, and see that nothing is left in the end."""
        servers = self._servers
        servers.sending.reset()
        servers.handler.modes.clear()
        for line in self.lines[1:]:
            line.lose()
        servers.handler.fulfilAll()
        self._network.settle()
        if not servers.isIncreasing:
            for known in servers.online():
                if known.user.uid != BYSTANDER:
                    self._checkBack(known)
        self.check()
        see(len(servers.msgFactory.stalls) == 0, "B3: a deadline is left")
        # The gate is not to wait for ever: not for this, nor for its client to close (B5).
        self._bystander.send(requestPacket(b"last", b"later:the end"))
        self._servers.handler.fresh.clear()

    def checkGone(self) -> None:
        """See that nothing is left when the servers have stopped."""
        servers = self._servers
        see(self._bystander.isLost, "B5: the gate has stopped, and a connection is open")
        servers.handler.fulfilAll()
        self._network.settle()
        see(not servers.msgService._connections, "B1: a connection is left")
        see(len(servers.msgFactory.limits) == 0, "B1: a connection is counted for ever")

    def _checkBack(self, known: Known) -> None:
        """See that a login is of use still, whatever its connections went through (S3, U1)."""
        line = self._open()
        line.send(helloOf(known, b"next", b"right"))
        if known.index == 2**63 - 1:
            line.lose()
            return
        see(
            line.status == GateStatus.OK.value,
            f"U1: {known.user} cannot come back: {line.status!r}",
        )
        line.settle()
        before = len(line.pipe.written)
        line.send(requestPacket(b"last", b"still there"))
        line.settle()
        heard = bytes(line.pipe.written[before:])
        see(heard == packet(b"still there\x01last"), f"U1: {known.user} is answered {heard[:80]!r}")
        line.lose()
