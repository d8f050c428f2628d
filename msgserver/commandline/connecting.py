"""
The client that C{msgserver-client} talks by: L{msgserver.aio}'s, which can be kept away as well.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from msgserver import aio
from msgserver.aioprotocols import GateConversation
from msgserver.clientlogin import LoggedIn
from msgserver.commandline.commands import encoded
from msgserver.commandline.options import Options
from msgserver.commandline.statuses import Status
from msgserver.commandparts import Complaint
from msgserver.errors import MsgServerError, Refused
from msgserver.wire.classic import ClassicSuite
from msgserver.wire.naming import Account

# What OpenSSL makes of an answer that is none of TLS.
_NO_TLS = {"WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"}


class CommandClient(aio.MsgClient):
    """
    A client that stays away while it is told to. To be made where an event loop runs.

    @param token: what to log in with.
    @ivar reached: what the last attempt was to reach, for whoever must say what it did not.
    @ivar noted: called with what there is to say of attempts, in words; by default, nothing is.
    """

    def __init__(self, options: Options, token: bytes) -> None:
        context = tlsContext(options)
        self._mayConnect = asyncio.Event()
        self._mayConnect.set()
        self.reached = ""
        self.noted: Callable[[str], None] = lambda text: None
        account = Account(encoded(options.server), encoded(options.user))

        async def takeLogin() -> LoggedIn:
            await self._mayConnect.wait()
            self.reached = f"the login server, {options.login}"
            return await aio.login(
                options.login,
                account,
                token,
                ssl=context,
                suite=ClassicSuite() if options.isClassic else None,
                serverIdentity=options.identity,
                timeout=options.connectTimeout,
            )

        super().__init__(
            takeLogin,
            options.gate,
            ssl=context,
            maxUnanswered=options.window,
            requestTimeout=options.timeout or None,
        )
        self._gateAddress = options.gate
        self.on("connected", self._stayAway)
        self.on("back", self._stayAway)

    @property
    def isOffline(self) -> bool:
        """Whether it stays away."""
        return not self._mayConnect.is_set()

    def goOffline(self) -> None:
        """Cut the connection, and make no other; the login lives on, if the gate keeps it."""
        self._mayConnect.clear()
        self.dropConnection()

    def goOnline(self) -> None:
        """Connect again, now."""
        self._mayConnect.set()

    async def _reach(self) -> GateConversation:
        await self._mayConnect.wait()
        address = None if self.loggedIn is None else self.loggedIn.address
        self.reached = f"the gate, {address or self._gateAddress}"
        return await super()._reach()

    def _stayAway(self) -> None:
        # An attempt was under way when this was told to stay away.
        if self.isOffline:
            self.dropConnection()

    def _note(self, isWarning: bool, text: str, error: Exception) -> None:
        self.noted(f"{text}: {reason(error)}")


def tlsContext(options: Options) -> ssl.SSLContext | None:
    """
    Make what TLS is spoken with, if it is.

    @raise Complaint: the file of authorities cannot be read, or has none.
    """
    if not options.usesTLS:
        return None
    try:
        return ssl.create_default_context(cafile=options.authorities)
    except OSError as error:
        text = "it has no certificate in PEM form" if isinstance(error, ssl.SSLError) else None
        raise Complaint(
            Status.MISTAKEN, f"--ca {options.authorities}: {text or error.strerror}"
        ) from None


async def connect(client: CommandClient, seconds: float) -> None:
    """
    Wait for the first connection, and for no second attempt.

    @raise Complaint: there is none; with why, and the exit status that this is.
    """
    try:
        async with asyncio.timeout(seconds) as deadline:
            await client.whenConnected(failAfterFailures=1)
    except Refused as refusal:
        raise Complaint(Status.REFUSED, f"refused by {client.reached}: {refusal}") from None
    except (MsgServerError, OSError) as error:
        why = f"nothing within {seconds:g} seconds" if deadline.expired() else reason(error)
        raise Complaint(Status.UNREACHABLE, f"cannot reach {client.reached}: {why}") from None


def reason(error: Exception) -> str:
    """Tell in words why something has failed, on one line."""
    if isinstance(error, ssl.SSLCertVerificationError):
        text = f"its certificate is not trusted: {error.verify_message}"
    elif isinstance(error, ssl.SSLError) and getattr(error, "reason", None) in _NO_TLS:
        text = "it does not speak TLS"
    else:
        text = (isinstance(error, OSError) and error.strerror) or str(error)
    return " ".join(text.split()) or type(error).__name__
