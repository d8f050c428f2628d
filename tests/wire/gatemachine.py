"""
A gate client's end against a gate's (H, S), with somebody in between.

As in L{tests.wire.loginmachine}; here nothing but the handshake is protected, in any suite.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from msgserver.errors import (
    BadRequest,
    IndexExpired,
    ProtocolError,
    Refused,
    Unauthorized,
    UserNotFound,
)
from msgserver.wire.framing import MAX_PACKET, MAX_RESPONSE, packet
from msgserver.wire.gate import (
    ANSWERED,
    FAILED,
    Connected,
    GateClient,
    GateServer,
    Response,
    isProvedBy,
    requestPacket,
    responsePacket,
)
from msgserver.wire.naming import Handshake, User, encode64
from tests.wire.conversations import (
    gateClient,
    gateServer,
    packetsOf,
)
from tests.wire.interference import (
    ALL,
    FORGED_PACKETS,
    FRONT,
    WHERE,
    ConversationMachine,
    mayForge,
    pull,
)
from tests.wire.test_properties import held

ALICE = User(uid=b"alice", subid=b"1", server=b"sample")
MALLORY = User(uid=b"mallory", subid=b"1", server=b"sample")
SECRET = bytes.fromhex("b9388be0af1ec90a")
OK = packet(b"200 OK")


class GateMachine(ConversationMachine):
    """
    L{GateClient} and L{GateServer}, and behind that a gate that answers what the test says.

    @ivar served: what the gate got behind the handshake; None until it is accepted.
    @ivar answered: which of the requests in there have been, by their number.
    @ivar responses: what was written of them.
    """

    situations = frozenset(
        """\
H: connected over an honest network
H: refused over an honest network
H: the client hears 401
H: the client hears 403
H: the client hears 404
H1: 401
H1: 403
H1: 404
H2: requests behind a refusal are not looked at
H2: requests behind the handshake are served
B4: the handshake is too long
S: responses arrive whole and in order
""".splitlines()
    )
    rare = frozenset(
        """\
H: the client hears 400
H: the client hears no gate
H: the handshake is none
H: a response arrives in the place of the verdict
S: a response without a flag
weak: another request arrives than was sent
weak: another response arrives than was sent
""".splitlines()
    )

    server: GateServer
    client: GateClient

    @initialize()
    def start(self) -> None:
        """Open the gate."""
        self.index = 0
        self.serial = 0
        self.dial(1, ALICE, SECRET, MAX_PACKET, "nowhere", 0, 0)

    @rule(
        step=st.sampled_from([1] * 6 + [5, 0, -1]),
        user=st.sampled_from([ALICE] * 5 + [MALLORY]),
        secret=st.sampled_from([SECRET] * 5 + [bytes(8)]),
        room=st.sampled_from([MAX_PACKET] * 4 + [100, 0, -1]),
        where=st.sampled_from(WHERE),
        count=st.integers(0, 3),
        depth=st.sampled_from([0, 1, 2, 2, 2, 3, 3, 3]),
    )
    def dial(
        self, step: int, user: User, secret: bytes, room: int, where: str, count: int, depth: int
    ) -> None:
        """
        Begin a new connection.

        @param step: how much greater than the last its index is.
        @param room: how much longer than this handshake packets may be.
        @param count: how many requests follow the handshake at once.
        @param depth: whether the handshake arrives, is judged, and the verdict arrives before
            anything happens to them.
        """
        self.begin(where)
        index = max(self.index + step, 0)
        self.client = GateClient(user, secret, index)
        self.secret = secret
        self.limit = min(len(self.client.hello) - 2 + room, MAX_PACKET)
        self.server = GateServer(self.limit)
        self.isServerDone = False
        self.verdict: type[Refused] | None = None
        self.served: bytes | None = None
        self.answered: set[int] = set()
        self.responses: list[Response] = []
        self.asked: list[bytes] = []
        self.up.write(self.client.hello)
        for size in range(count):
            self.ask(size)
        if depth > 0:
            self.deliver(True, ALL, True)
        if depth > 1 and self.serverTold and not self.isServerDone:
            self.judge(None)
        if depth > 2:
            self.deliver(False, ALL, True)

    @rule(size=st.integers(0, 9))
    def ask(self, size: int) -> None:
        """Write a request, be the handshake accepted or not."""
        self.serial += 1
        request = requestPacket(self.serial.to_bytes(4, "big"), bytes(size))
        self.asked.append(request[2:])
        self.up.write(request)

    @property
    def isOver(self) -> bool:
        """Whether the client hears nothing more."""
        return isinstance((self.clientTold or [None])[-1], type)

    def feedServer(self, data: bytes) -> None:
        """Have bytes arrive at the gate; once connected, at what stands behind."""
        if self.served is None:
            self.server.feed(data)
        else:
            self.served += data

    def pullServer(self) -> None:
        """Ask for the handshake; what is none is refused (H)."""
        if not self.isServerDone:
            self.serverSaw = self.up.arrived
        pull(self.server, self.serverTold)
        told = gateServer(self.serverSaw, self.limit)
        assert self.serverTold == told, f"H, H2: {self.serverTold}, not {told}"
        if self.serverTold and not self.isServerDone:
            if self.serverTold == [BadRequest]:
                self.note("H: the handshake is none")
                self.refuse(BadRequest)
            elif self.serverTold == [ProtocolError]:
                self.note("B4: the handshake is too long")
                self.isServerDone = True
        assert self.serverTold or held(self.server) < 2 + self.limit, "B4"

    def pullClient(self) -> None:
        """Ask for the client's events."""
        self.clientSaw = self.down.arrived
        pull(self.client, self.clientTold)
        told = gateClient(self.clientSaw)
        assert self.clientTold == told, f"H, S: {self.clientTold}, not {told}"
        for event in self.clientTold[:1]:
            if isinstance(event, type) and issubclass(event, Refused):
                self.note(f"H: the client hears {event.status.value[:3].decode()}")
            elif event is ProtocolError:
                self.note("H: the client hears no gate")
                if next(packetsOf(self.clientSaw)) in list(packetsOf(self.down.written))[1:]:
                    self.note("H: a response arrives in the place of the verdict")
        if self.clientTold[1:] and self.clientTold[-1] is ProtocolError:
            self.note("S: a response without a flag")

    @precondition(mayForge)
    @rule(isUp=st.booleans(), place=FRONT, what=st.sampled_from(list(FORGED_PACKETS)))
    def forge(self, isUp: bool, place: int, what: str) -> None:
        """Say something in the other's name, at any time."""
        self.insert(isUp, place, FORGED_PACKETS[what])

    def refuse(self, refusal: type[Refused]) -> None:
        """Say no."""
        self.isServerDone = True
        self.verdict = refusal
        self.down.write(self.server.refuse(refusal()))

    @precondition(lambda self: self.serverTold and not self.isServerDone)
    @rule(refusal=st.sampled_from([None] * 4 + [BadRequest, Unauthorized, IndexExpired]))
    def judge(self, refusal: type[Refused] | None) -> None:
        """Judge the handshake (H1), or say no for whatever reason."""
        handshake = self.serverTold[0]
        assert isinstance(handshake, Handshake)
        if refusal is None:
            refusal = self.judged(handshake)
        if refusal is not None:
            self.refuse(refusal)
            return
        hello = packet(handshake.text + b":" + encode64(handshake.mac))
        assert hello == self.client.hello, "H: proved is what the client has said, or nothing"
        assert self.secret == SECRET, "H: nothing is proved with another secret"
        self.isServerDone = True
        self.index = handshake.index
        accepted, self.served = self.server.accept()
        if self.served:
            self.note("H2: requests behind the handshake are served")
        self.down.write(accepted)

    def judged(self, handshake: Handshake) -> type[Refused] | None:
        """Judge a handshake, in the order of H1."""
        if handshake.user != ALICE:
            self.note("H1: 404")
            return UserNotFound
        if not isProvedBy(handshake, SECRET):
            self.note("H1: 401")
            return Unauthorized
        if handshake.index <= self.index:
            self.note("H1: 403")
            return IndexExpired
        return None

    def unanswered(self) -> list[tuple[int, bytes]]:
        """Give the requests that the gate has got and not answered, with their numbers."""
        requests = enumerate(packetsOf(self.served or b""))
        return [
            (number, request)
            for number, request in requests
            if len(request) >= 4 and number not in self.answered
        ]

    @precondition(lambda self: self.unanswered())
    @rule(
        choice=st.integers(0, 9),
        isAnswer=st.booleans(),
        size=st.sampled_from([0, 1, 2, 9, 300, MAX_RESPONSE]),
    )
    def respond(self, choice: int, isAnswer: bool, size: int) -> None:
        """Answer a request, whichever."""
        requests = self.unanswered()
        number, request = requests[choice % len(requests)]
        self.answered.add(number)
        content = bytes([number % 256]) * size
        self.responses.append(Response(request[-4:], isAnswer, content))
        self.down.write(responsePacket(request[-4:], ANSWERED if isAnswer else FAILED, content))

    @precondition(lambda self: self.down in self.targets() and self.down.pending[:8] == OK)
    @rule()
    def loseVerdict(self) -> None:
        """Lose the verdict, and not what comes behind it."""
        if self.down.arrived == b"":
            if self.unanswered():
                self.respond(0, True, 9)
            self.down.replace(0, len(OK), b"")

    @rule(choice=st.integers(0, 9), patience=st.integers(0, 2))
    def finish(self, choice: int, patience: int) -> None:
        """Go on to the end; an honest network harms nothing."""
        if patience:
            return
        self.exchangeAll()
        if self.serverTold and not self.isServerDone:
            self.judge(None)
        while self.unanswered():
            self.respond(choice, choice % 3 > 0, choice)
        self.exchangeAll()
        if not self.isHonest:
            return
        if self.served is not None:
            self.note("H: connected over an honest network")
            assert list(packetsOf(self.served)) == self.asked, "S: the requests"
            assert self.clientTold == [Connected(), *self.responses], "S: the responses"
            assert len(self.responses) == len(self.asked), "S: the responses"
            if len(self.responses) > 1:
                self.note("S: responses arrive whole and in order")
        elif self.verdict is not None:
            self.note("H: refused over an honest network")
            assert self.clientTold == [self.verdict], "H: the verdict"

    @invariant()
    def verdictFirstH2(self) -> None:
        """H2: nothing behind the handshake before the verdict; after a no, nothing at all."""
        assert len(self.serverTold) <= 1, "H2"
        if self.isServerDone:
            assert held(self.server) == 0, "H2, B4"
        if self.served is not None:
            (size,) = (2 + len(each) for each in [next(packetsOf(self.up.arrived))])
            assert self.served == self.up.arrived[size:], "H2: every byte, once"
        elif self.verdict is not None and len(self.up.arrived) > len(self.client.hello):
            self.note("H2: requests behind a refusal are not looked at")

    @invariant()
    def untouchedS(self) -> None:
        """S: what arrives was said, in this order, unless it was changed on its way."""
        requests = list(packetsOf(self.served or b""))
        if requests != self.asked[: len(requests)]:
            self.note("weak: another request arrives than was sent")
            assert self.up.isTampered, "S: the requests"
        responses = [event for event in self.clientTold if isinstance(event, Response)]
        if responses != self.responses[: len(responses)]:
            self.note("weak: another response arrives than was sent")
            assert self.down.isTampered, "S: the responses"
        if Connected() in self.clientTold:
            assert self.clientSaw.startswith(OK), "H: the verdict is the gate's first packet"
            assert self.served is not None or self.down.isTampered, "H: the verdict"
