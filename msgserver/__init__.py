"""
A gateway for applications whose clients lose their connection.

A user logs in once; the login outlives any number of TCP connections. Requests run side by
side, their answers come back in any order, and after a break the client asks again: no
request runs twice and no answer is lost.

From the wire up, each part knowing only those before it:

  - L{msgserver.errors}: every exception
  - L{msgserver.wire}: the wire protocol, pure, both ends
  - L{msgserver.current}, L{msgserver.kept}, L{msgserver.sessions}: what a login remembers,
    pure; the hot path; L{msgserver.compiled}: how it runs
  - L{msgserver.clientlogin}, L{msgserver.clientmessages}, L{msgserver.clientcore}: the
    client's half of that, pure
  - L{msgserver.interfaces}: what users write, and where protocols meet their services
  - L{msgserver.cluster}: where login servers, gates and operators meet
  - L{msgserver.deadlines}, L{msgserver.limits} and its parts, L{msgserver.turns},
    L{msgserver.later}, L{msgserver.closing}: time-outs and bounds
  - L{msgserver.strangerlog}, L{msgserver.hiding}: what is logged of strangers, and of secrets
  - L{msgserver.certificates}, L{msgserver.proxied}: what stands before the wire on a listener
  - L{msgserver.loginprotocol}, L{msgserver.msgprotocol}: the wire on a transport
  - L{msgserver.directory}, L{msgserver.gatecalls}, L{msgserver.operations},
    L{msgserver.loginservice}: the login server
  - L{msgserver.answering}, L{msgserver.msgservice}, L{msgserver.msggate}: the gate
  - L{msgserver.remote}: the link between them, where they are processes of their own
  - L{msgserver.handlers}, L{msgserver.passwords}: ready-made parts for the user's side: agents,
    mailboxes, a table of users
  - L{msgserver.identity}: the key by which clients know the server
  - L{msgserver.reconnecting}, L{msgserver.keepalive}, L{msgserver.client}: the Twisted client
  - L{msgserver.aio}: the client for asyncio
  - L{msgserver.commandline}: C{msgserver-client}; L{msgserver.loadtest}: C{msgserver-bench};
    L{msgserver.commandparts}: what both have
  - L{msgserver.testing}: a server and its clients in memory, for tests
  - L{msgserver.config} and its neighbours: the config file
  - L{msgserver.tap}: C{twistd msgserver}, where everything is put together;
    L{msgserver.processes}: a gate of several processes
  - L{msgserver.watched}, L{msgserver.metrics}, L{msgserver.opsserver}, L{msgserver.jsonlog}:
    what it tells those who watch it
  - L{msgserver.ctl}: C{msgserver-ctl}, the operator's command
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from msgserver.current import CurrentRequest, currentRequest
    from msgserver.errors import RequestFailed, Unauthorized
    from msgserver.handlers import MsgHandler
    from msgserver.interfaces import ILoginHandler, IMsgGate, IMsgHandler, INamesUser
    from msgserver.wire.naming import Account, User

__all__ = [
    "Account",
    "CurrentRequest",
    "ILoginHandler",
    "IMsgGate",
    "IMsgHandler",
    "INamesUser",
    "MsgHandler",
    "RequestFailed",
    "Unauthorized",
    "User",
    "currentRequest",
]

__version__ = "0.1.0"

_HOMES = {
    "Account": "msgserver.wire.naming",
    "CurrentRequest": "msgserver.current",
    "ILoginHandler": "msgserver.interfaces",
    "IMsgGate": "msgserver.interfaces",
    "IMsgHandler": "msgserver.interfaces",
    "INamesUser": "msgserver.interfaces",
    "MsgHandler": "msgserver.handlers",
    "RequestFailed": "msgserver.errors",
    "Unauthorized": "msgserver.errors",
    "User": "msgserver.wire.naming",
    "currentRequest": "msgserver.current",
}


def __getattr__(name: str) -> Any:
    # Only when asked for: the pure parts are of use without Twisted, and stay without it.
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(import_module(home), name)
