"""
The login client, in front of a login server that says anything.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.error import TimeoutError
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from msgserver.client import login
from msgserver.clientlogin import LoggedIn
from msgserver.errors import ProtocolError, Refused
from msgserver.interfaces import Account
from msgserver.wire.classic import PRIME, ClassicSuite, publicKey, sharedSecret
from msgserver.wire.framing import MAX_LINE
from msgserver.wire.naming import encode64
from tests.fuzz.clients import ADDRESS, MAY_FAIL_WITH, STATUS, Servers
from tests.fuzz.plays import Data, Verb
from tests.fuzz.stages import Stage
from tests.fuzz.watching import Watch, see
from tests.wire.test_properties import held

TOKEN = b"t0ken&sEcret:ok"
CLIENT_PRIVATE = bytes.fromhex("1122334455667701")
SERVER_PRIVATE = bytes.fromhex("5e96acc95cb8480c")
SECRET = sharedSecret(SERVER_PRIVATE, publicKey(CLIENT_PRIVATE))
TIMEOUT = 10.0
"""The seconds that a login may take."""

CHALLENGE = Data((b"8 bytes!", b"7 bytes", b"", b"x" * 9, b"x" * 32))
KEY = Data(
    (publicKey(SERVER_PRIVATE), bytes(8), b"\x01" + bytes(7), b"\xff" * 8, b"", b"x" * 32)
    + ((PRIME - 1).to_bytes(8, "little"),)
)
LINE = Data((b"", b"=", b"QR==", b"A" * MAX_LINE, b"A" * (MAX_LINE + 1), b"AAAA\r", b"\xff"))


class LoginClientStage(Stage):
    """A client that logs in."""

    verbs = {
        "challenge": Verb((CHALLENGE,), 5),
        "key": Verb((KEY,), 5),
        "line": Verb((LINE,), 2),
        "status": Verb((STATUS,), 5),
        "address": Verb((ADDRESS,), 3),
        "cancel": Verb((), 1),
    }

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        watch.hide(TOKEN)
        watch.hide(SECRET)
        self._clock = Clock()
        self._servers = Servers(self._clock)
        self.parts = [self, self._servers]
        self._results: list[LoggedIn | Failure] = []
        self._login: Deferred[LoggedIn] = login(
            self._servers,
            Account(b"sample", b"alice"),
            TOKEN,
            clock=self._clock,
            timeout=TIMEOUT,
            suite=ClassicSuite(),
            randomBytes=lambda size: CLIENT_PRIVATE,
        )
        self._login.addBoth(self._results.append)

    def play_challenge(self, challenge: bytes) -> None:
        """Say the challenge."""
        self._servers.say(encode64(challenge) + b"\n")

    def play_key(self, key: bytes) -> None:
        """Say the server's public key."""
        self._servers.say(encode64(key) + b"\n")

    def play_line(self, text: bytes) -> None:
        """Say a line."""
        self._servers.say(text + b"\n")

    def play_status(self, status: bytes) -> None:
        """Say a status."""
        self._servers.say(status + b"\n")

    def play_address(self, address: bytes) -> None:
        """Say where the gate is (L5)."""
        self._servers.say(b"210 " + encode64(address) + b"\n")

    def play_cancel(self) -> None:
        """Give the login up."""
        self._login.cancel()

    def check(self) -> None:
        """See that the login ends when it has to, as it has to, and says no secret."""
        # Before the connection is lost: its loss would stop what was forgotten.
        timers = self._clock.getDelayedCalls()
        see(not self._results or not timers, f"a login is over, and timers are left: {timers}")
        self._servers.settle()
        far = self._servers.far
        assert far is not None
        most = MAX_LINE + 65_536 + 200
        see(held(vars(far.transport._protocol)["_wire"]) <= most, "B4: more is held than a line")
        see(self._results or self._clock.seconds() < TIMEOUT, "L1: no result in time")
        see(TOKEN not in far.heard and encode64(TOKEN) not in far.heard, "L6: the token, as it is")
        for result in self._results:
            self._checkResult(result, bytes(far.said))

    def _checkResult(self, result: LoggedIn | Failure, said: bytes) -> None:
        if isinstance(result, Failure):
            isAllowed = result.check(Refused, ProtocolError, TimeoutError, *MAY_FAIL_WITH)
            see(isAllowed, f"L: failed with {result!r}")
            self.watch.readText(str(result) + repr(result.value), "a failure")
            if isinstance(result.value, Refused):
                line = result.value.status.value + b"\n"
                see(line in said, f"L: {result.value!r}, and nobody said so")
            return
        self.watch.readText(repr(result), "a repr")
        lines = said.split(b"\n")
        hasSaid = any(line == b"200 " + encode64(result.user.subid) for line in lines[2:3])
        see(hasSaid, f"L: admitted by {lines!r}")
        see(result.user.uid == b"alice", "L: admitted as another")

    def finish(self) -> None:
        """Wait until the login has ended, and see that nothing is left."""
        self._servers.play_wait(12)
        self.check()
        see(len(self._results) == 1, f"L1: {len(self._results)} results")
        self._servers.checkClosed()
