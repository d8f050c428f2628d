"""
Logins by the modern suite, with somebody on the way who may change each line.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from msgserver.errors import Forbidden, NotAcceptable, ProtocolError, Refused, Unauthorized
from msgserver.wire.login import Admitted, LoginClient, LoginServer, TokenReceived
from msgserver.wire.modern import ModernSuite

IDENTITY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
IDENTITY_PUBLIC = IDENTITY.public_key().public_bytes_raw()
OTHER_IDENTITY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))

TOKEN = b"YWxpY2U=@c2FtcGxl:cGFzc3dvcmQ="
SUBID = b"0123456789ab"
ADDRESS = "gate.example.org:8888"

DOWN = ("challenge", "server key", "status", "address")
"""The lines of the server, in their order."""

UP = ("client key", "proof", "token")
"""The lines of the client."""

REFUSALS: tuple[tuple[type[Refused], bytes], ...] = (
    (Unauthorized, b"401 Unauthorized"),
    (Forbidden, b"403 Forbidden"),
    (NotAcceptable, b"406 Not Acceptable"),
)
"""Each with the text that says it."""

Change = Callable[[str, bytes], bytes]
"""Is given the name of a line and the line with its end; gives what arrives in its place."""

Judge = Callable[[LoginServer], None]
"""Says yes or no to a token."""


def nothing(name: str, line: bytes) -> bytes:
    """Change nothing."""
    return line


def replacing(target: str, replacement: bytes) -> Change:
    """Make what puts something in the place of one line."""
    return lambda name, line: replacement if name == target else line


def repeating(target: str) -> Change:
    """Make what says one line twice."""
    return lambda name, line: line * 2 if name == target else line


def refusing(refusal: type[Refused]) -> Judge:
    """Make what says no."""
    return lambda server: server.refuse(refusal("the log's business"))


def admit(server: LoginServer) -> None:
    """Say yes, and where the gate is."""
    server.admit(SUBID, ADDRESS)


def makeServer(
    seed: int = 0, signingKey: Ed25519PrivateKey | None = IDENTITY, *, challenge: bytes = b""
) -> LoginServer:
    """
    Make a server whose keys follow from a number.

    @param challenge: if any, the one that it is to take.
    """
    random = Random(f"server {seed}")
    given = [challenge] if challenge else []
    return LoginServer(
        {32: ModernSuite(signingKey=signingKey)},
        lambda size: given.pop() if given else random.randbytes(size),
    )


def makeClient(seed: int = 0, serverIdentity: bytes | None = IDENTITY_PUBLIC) -> LoginClient:
    """Make a client whose key follows from a number."""
    random = Random(f"client {seed}")
    return LoginClient(ModernSuite(serverIdentity=serverIdentity), TOKEN, random.randbytes)


@frozen
class Outcome:
    """
    What a login came to.

    @ivar server: the event or the error of the server's end, if there was any.
    @ivar client: that of the client's end.
    @ivar lines: what was said, by its name, before any change.
    """

    server: TokenReceived | type[Exception] | None
    client: Admitted | type[Exception] | None
    lines: dict[str, bytes] = field(repr=False)

    @property
    def isRefused(self) -> bool:
        """Neither end has taken what it got for a login; nor is the client told to give up."""
        return self.client is ProtocolError and not isinstance(self.server, TokenReceived)


def converse(
    server: LoginServer,
    client: LoginClient,
    change: Change = nothing,
    judge: Judge = admit,
) -> Outcome:
    """Carry everything that both ends say, until they have no more to say; then close."""
    said: dict[str, bytes] = {}
    told: dict[str, object] = {}

    def carry(sender: LoginServer | LoginClient, names: tuple[str, ...]) -> bytes:
        carried = b""
        for line in sender.dataToSend().splitlines(keepends=True):
            name = names[sum(name in said for name in names)]
            said[name] = line
            carried += change(name, line)
        return carried

    def ask(end: LoginServer | LoginClient, name: str) -> None:
        try:
            event = end.nextEvent()
        except (Refused, ProtocolError) as error:
            told[name] = type(error)
            if isinstance(end, LoginServer) and isinstance(error, Unauthorized):
                end.refuse(error)
        else:
            if event is not None:
                told[name] = event
                if isinstance(end, LoginServer):
                    judge(end)

    isQuiet = False
    while not isQuiet:
        down = carry(server, DOWN)
        client.feed(down)
        ask(client, "client")
        up = carry(client, UP)
        server.feed(up)
        ask(server, "server")
        isQuiet = not (down or up)
    if "client" not in told:
        try:
            told["client"] = client.feedEnd()
        except ProtocolError as error:
            told["client"] = type(error)
    return Outcome(told.get("server"), told.get("client"), said)  # type: ignore[arg-type]


def said() -> dict[str, bytes]:
    """Give the lines of a login over an honest network."""
    return converse(makeServer(), makeClient()).lines
