"""
A login server in memory: the real service; a clock; a handler and gates that do as asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from msgserver.cluster import IGate, LoginRecord, Registration
from msgserver.errors import Refused
from msgserver.interfaces import Account, Admission, ILoginHandler, MaybeLater
from msgserver.loginservice import LoginService
from msgserver.testing import MemoryGate

SECRET = b"8 secret"
ALICE = Account(b"sample", b"alice")

Authentication = Callable[[bytes], Any]
"""A login handler's C{authenticate}."""


def giving(answer: object) -> Authentication:
    """Make an authentication that answers any token with C{answer}."""
    return lambda token: answer


def raising(error: Exception) -> Authentication:
    """Make an authentication that raises C{error}."""

    def authenticate(token: bytes) -> Account:
        raise error

    return authenticate


def unmoved(promised: Deferred[Any]) -> Deferred[Any]:
    """Make of a promise one that cancelling does not reach."""

    async def wait() -> object:
        try:
            await Deferred()
        except CancelledError:
            pass
        return await promised

    return Deferred.fromCoroutine(wait())


@implementer(ILoginHandler)
class Handler:
    """
    A login handler that writes down the tokens, and says yes to alice unless told otherwise.

    @ivar authentication: what turns a token into an account.
    """

    def __init__(self) -> None:
        self.tokens: list[bytes] = []
        self.authentication: Authentication = giving(ALICE)

    def authenticate(self, token: bytes) -> MaybeLater[Account]:
        """See L{ILoginHandler.authenticate}."""
        self.tokens.append(token)
        answer: MaybeLater[Account] = self.authentication(token)
        return answer


class LoginServerCase(SynchronousTestCase):
    """
    Tests that need a login server. It has one gate, C{sample}, that may take five seconds.

    Its options are class attributes.
    """

    multilogin = False
    sticky = False

    def setUp(self) -> None:
        """Make it."""
        self.clock = Clock()
        self.handler = Handler()
        self.gate = MemoryGate()
        self.service = LoginService(
            self.handler, self.clock, self.multilogin, gateTimeout=5, sticky=self.sticky
        )
        self.register(self.gate, b"sample", address="192.0.2.9:8888")

    def tearDown(self) -> None:
        """No test leaves a timer, or a uid under way (L1)."""
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.service._underWay, set())

    def register(
        self,
        gate: IGate,
        name: bytes,
        *logins: LoginRecord,
        address: str | None = None,
        weight: int = 1,
        isDraining: bool = False,
    ) -> Sequence[LoginRecord]:
        """Register a gate; tell which of its logins have been superseded."""
        registration = Registration(name, address, weight, isDraining, logins=logins)
        return self.successResultOf(self.service.register(gate, lambda: registration))

    def adopt(self, gate: IGate, *logins: LoginRecord) -> Sequence[LoginRecord]:
        """Report logins of a gate; tell which of them have been superseded."""
        return self.successResultOf(self.service.adopt(gate, logins))

    def login(self, token: bytes = b"token") -> Deferred[Admission]:
        """Begin a login."""
        return self.service.login(token, SECRET, "192.0.2.1")

    def loginOf(self, uid: bytes, server: bytes = b"sample") -> Deferred[Admission]:
        """Begin a login of a uid."""
        self.handler.authentication = giving(Account(server, uid))
        return self.login()

    def loggedIn(self, server: bytes = b"sample", uid: bytes = b"alice") -> bytes:
        """Log in, successfully and at once, and tell the subid."""
        return self.successResultOf(self.loginOf(uid, server)).subid

    def assertRefused(self, login: Deferred[Admission], refusal: type[Refused]) -> None:
        """See a login refused, and for no other reason."""
        self.failureResultOf(login, refusal)

    def assertAt(self, *places: tuple[str, bytes], uid: bytes = b"alice") -> None:
        """See where a uid is logged in: at which gates, by which subids."""
        reports = self.service.operations.users(uid)
        self.assertEqual([(report.gate, report.subid) for report in reports], list(places))


def kicked(gate: MemoryGate) -> list[tuple[bytes, bytes]]:
    """Tell whom a gate has been asked to kick, by uid and subid, in their order."""
    return [(uid, subid) for question, uid, subid in gate.asked if question == "kick"]


def admitted(gate: MemoryGate) -> list[bytes]:
    """Tell the uids that a gate has been asked to admit, in their order."""
    return [uid for question, uid, _ in gate.asked if question == "login"]
