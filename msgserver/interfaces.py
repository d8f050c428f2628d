"""
The interfaces of msgserver, and the frozen values in their signatures.

What a user of msgserver writes: L{IMsgHandler} and L{ILoginHandler}. What a handler is
given: L{IMsgGate}. Where a protocol meets its service: L{ILogins} and L{IMsgConnections}.
Where the two services meet is in L{msgserver.cluster}.

A method whose result is a L{MaybeLater} may answer at once, with a Deferred, or be an
C{async def}.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from msgserver.wire.naming import Account, Handshake, User

if TYPE_CHECKING:
    from msgserver.sessions import Connection

__all__ = [
    "Account",
    "Admission",
    "IAgent",
    "ICounts",
    "ILoginHandler",
    "ILogins",
    "IMsgConnection",
    "IMsgConnections",
    "IMsgGate",
    "IMsgHandler",
    "INamesUser",
    "INoticesClosing",
    "INoticesConnections",
    "MaybeLater",
    "User",
]

_T = TypeVar("_T")
MaybeLater: TypeAlias = _T | Awaitable[_T]
"""A result, or a Deferred or coroutine of one."""


@frozen
class Admission:
    """
    What a login leads to.

    @ivar subid: which of the uid's logins this is.
    @ivar address: the gate's C{host:port}, or None where the client knows it (L5).
    """

    subid: bytes
    address: str | None = None


class ILoginHandler(Interface):
    """Decides who may log in: the original's C{auth_handler}."""

    def authenticate(token: bytes) -> MaybeLater[Account]:
        """
        Turn a client's token into the account that it proves.

        @param token: what the client sent, decrypted; whatever bytes client and handler
            agree on. It is never logged, and a handler must not log it either (L6).
        @raise Unauthorized: the token proves nothing. The client is told 401; so it is for
            anything else raised, which is logged as the handler's bug.
        """


class INamesUser(Interface):
    """What a login handler may provide besides, so that guessing at one user's token is slow."""

    def uidOf(token: bytes) -> bytes | None:
        """
        Tell whose login a token claims to be, before that is proved; at once.

        Where too many of a uid's logins have failed, the next must wait, and L{authenticate}
        is not asked. Without this, that holds for addresses alone.

        @return: the uid that L{ILoginHandler.authenticate} would give; None where the token
            claims none.
        """


class IMsgHandler(Interface):
    """
    The application behind a gate. L{msgserver.handlers.MsgHandler} has a working default
    for everything but L{requestReceived}.

    For one login the calls come in this order: L{loginReceived}; any number of
    L{requestReceived} and L{disconnected}; L{kicked} where it is kicked; L{loggedOut}.
    """

    def gateOpened(gate: IMsgGate) -> None:
        """
        Take note that the gate is about to listen: the original's C{register_handler}.

        @param gate: what business code uses to look users up and to log them out.
        """

    def loginReceived(uid: bytes, secret: bytes) -> MaybeLater[bytes | None]:
        """
        Make ready for a login, for instance load its data: the original's C{login_handler}.

        The login is admitted when this has answered. Where it raises, the client is told
        403; a L{Forbidden} is an expected no, anything else is logged.

        @param secret: what the client and the servers share; never logged (L6).
        @return: the login's subid, or None to have an unguessable one made (H5). A subid of
            the handler's own must never have been used before by this gate for the uid.
        """

    def requestReceived(user: User, content: bytes) -> MaybeLater[bytes]:
        """
        Answer one request: the original's C{request_handler}. A request runs once (S6).

        Requests run side by side: one that takes long holds up nobody (S1). Code that
        blocks does hold up everybody.

        @param content: 0 to 65,531 bytes.
        @return: 0 to 65,530 bytes. What is no bytes, or too long, is answered with flag 0
            and logged (S4).
        @raise RequestFailed: the client gets flag 0 with the content given; not logged.
            Anything else raised is logged, and the client gets flag 0 without content.
        """

    def disconnected(user: User) -> MaybeLater[None]:
        """
        Take note that the user has no connection any more, but is logged in still: the
        original's C{disconnect_handler}. The user may be back before this has finished (U1).
        """

    def kicked(user: User) -> MaybeLater[None]:
        """
        Save what must be saved, because the login is about to be ended from outside: the
        original's C{kick_handler}. L{loggedOut} follows, after C{kick_timeout} at the latest
        (U3).
        """

    def loggedOut(user: User) -> MaybeLater[None]:
        """
        Let go of the login: the original's C{logout_handler}. Called exactly once for each
        login, for whatever reason it ended (U2). It waits neither for L{disconnected},
        which is not called for a login that ends, nor for a L{kicked} past its time.
        """


class IMsgGate(Interface):
    """A gate as its handler sees it: the functions of the original's C{msgserver} module."""

    servername: bytes = Attribute("The name of this login point.")

    def userid(username: bytes) -> User:
        """
        Take a username apart: the original's C{msgserver.userid}.

        @raise ValueError: it is not of the form of a username.
        """

    def username(uid: bytes, subid: bytes, server: bytes) -> bytes:
        """Put a username together: the original's C{msgserver.username}."""

    def login(user: User, secret: bytes) -> None:
        """
        Admit a login: the original's C{msgserver.login}. After
        L{IMsgHandler.loginReceived} this is done for you; it is here for logins that come
        another way than through the login server, which does not hear of them.

        @raise InvalidState: the login exists already, no suite makes secrets of that length
            (8 bytes), the name is too long for a handshake within C{max_packet}, or the gate is
            shutting down.
        """

    def logout(user: User) -> Deferred[None]:
        """
        End a login: the original's C{msgserver.logout}. Answers that are ready in the same
        turn of the reactor still leave; that of the request which is asking among them.
        Ending a login that has ended does nothing (U2).

        @return: fires at once, when L{IMsgHandler.loggedOut} has been called.
        """

    def ip(user: User) -> str | None:
        """
        Tell the peer address of the user's connection: the original's C{msgserver.ip}.

        @return: None while the user is away, unknown, or on a transport without addresses.
        """

    def online() -> Iterable[User]:
        """Tell every login of this gate, connected or away, as it is at this moment."""


class IAgent(Interface):
    """
    One user's part of an application: what L{msgserver.handlers.AgentHandler} has one of for
    each login. L{msgserver.handlers.Agent} has a default for everything but L{request}.

    Each method but L{request} may answer with anything, at once or later.
    """

    user: User = Attribute("Whose agent it is; set before L{load}.")
    gate: IMsgGate = Attribute("The gate; set before L{load}.")

    def load() -> MaybeLater[None]:
        """
        Make ready for the user's requests, for instance from a database. The user is logged in
        when this has answered.

        @raise Forbidden: there is no login; the client is told 403, as where anything else is
            raised, which is logged.
        """

    def request(content: bytes) -> MaybeLater[bytes]:
        """Answer one request: see L{IMsgHandler.requestReceived}."""

    def away() -> MaybeLater[None]:
        """Take note that the user has no connection any more: see L{IMsgHandler.disconnected}."""

    def back() -> MaybeLater[None]:
        """Take note that a user who was away has a connection again."""

    def save() -> MaybeLater[None]:
        """
        Keep what must be kept: the login is ending, or about to.

        It is called once more where it has failed, or a request has run since.
        """


class INoticesConnections(Interface):
    """What a message handler may provide besides, to be told who is there."""

    def connected(user: User) -> MaybeLater[None]:
        """
        Take note that the user has a connection, the login's first or a later one, before its
        first request. Where a newer one takes the place of one, this is called, too, and
        L{IMsgHandler.disconnected} is not.
        """


class INoticesClosing(Interface):
    """What a message handler may provide besides, to finish its work when the gate stops."""

    def gateClosed() -> MaybeLater[None]:
        """
        Finish: the gate has ended its logins, and the process goes on only until this has
        answered, or for C{drain_timeout}.
        """


class ICounts(Interface):
    """What a message handler may provide besides, to have its counts among the metrics."""

    def counts() -> Mapping[str, int]:
        """
        Tell how often each event has happened so far; at once.

        @return: the same events every time, from the start, at 0. Their names are labels of a
            metric: a few words, such as C{saves_failed}, and nothing a client has a say in.
        """


class ILogins(Interface):
    """What a login connection asks of the login side."""

    def login(token: bytes, secret: bytes, peer: str) -> Deferred[Admission]:
        """
        Run one login (L4): authenticate, kick what it supersedes, ask the gate.

        @param peer: the client's address, for the log.
        @return: fails with a L{Refused} whose status is what the client is told. Cancelling
            it leaves nothing behind (L1).
        """


class IMsgConnection(Interface):
    """A gate connection as the service sees it: the transport's side."""

    peer: str | None = Attribute("The client's address without its port, where there is one.")

    def flush() -> None:
        """Send the answers that are ready, and go on with requests that waited for them."""

    def finish() -> None:
        """Send the answers that are ready, then close, having delivered them (U2)."""

    def abort() -> None:
        """Close at once and deliver nothing (H4)."""

    def pause() -> None:
        """Serve no further requests: the gate is about to close (B5)."""


class IMsgConnections(Interface):
    """What a gate connection asks of the service."""

    def connect(handshake: Handshake, transport: IMsgConnection) -> Connection:
        """
        Judge a handshake, and make the connection the login's only one (H1, H4).

        @raise Refused: with the status that the client is told.
        """

    def isAwaited(connection: Connection) -> bool:
        """Say whether L{answered} is to be told of a new connection: it may cost it memory."""

    def answered(connection: Connection) -> None:
        """Take note that the first answers of a connection leave: once, and of no other."""

    def disconnect(connection: Connection) -> None:
        """Take note that a connection is lost: the current one of its login, or not (U1)."""
