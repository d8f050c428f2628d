"""
The command line of C{msgserver-client}.
"""

from __future__ import annotations

import textwrap
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from attrs import frozen

from msgserver.clientlogin import MAX_UNANSWERED
from msgserver.commandline.commands import HELP
from msgserver.commandline.statuses import NAME, Status
from msgserver.commandline.values import number, seconds, secondsOrNone
from msgserver.commandparts import PASSWORD_VARIABLE, address, identity

LOGIN = "127.0.0.1:8001"
GATE = "127.0.0.1:8888"
SERVER = "sample"
USER = "alice"

REQUEST_TIMEOUT = 30.0
"""Seconds that a request may take until it has failed, by default."""

CONNECT_TIMEOUT = 10.0
"""Seconds until the first connection, by default."""

_WIDTH = 79


@frozen
class Options:
    """
    What a command line says.

    @ivar login: where the login server is, as L{msgserver.aio} has it; so is C{gate}.
    @ivar identity: what the login server must prove to be; None for anything.
    @ivar isClassic: the login is made with the classic suite.
    @ivar usesTLS: both connections speak TLS.
    @ivar authorities: a file of the certificates that are trusted then; None for the machine's.
    @ivar timeout: seconds that a request may take; 0 for any number.
    @ivar window: how many requests are sent and unanswered at a time (S7).
    @ivar commands: those of the command line itself; None where there are none.
    @ivar script: a file of commands, C{-} for the standard input; None where there is none.
    @ivar style: how things are shown; C{line}, C{answers} or C{json}.
    """

    login: str
    gate: str
    server: str
    user: str
    identity: str | None
    isClassic: bool
    usesTLS: bool
    authorities: str | None
    passwordFile: str | None
    tokenFile: str | None
    connectTimeout: float
    timeout: float
    window: int
    commands: tuple[str, ...] | None
    script: str | None
    style: str
    record: str | None


_ABOUT = (
    "Logs in to a msgserver, and asks its gate what you type, or what a script or a pipe says."
    " Connections that are lost come back by themselves. The password is asked for, or is in"
    f" {PASSWORD_VARIABLE} or in a file; it is never shown or recorded."
)
_STATUSES = f"""\
exit status:
  {Status.FINE}    all is well
  {Status.FAILED}    a request failed, or an expectation was not met
  {Status.MISTAKEN}    there is a mistake in the command line, in a script, or in a file it names
  {Status.REFUSED}    the login or the gate's handshake was refused
  {Status.UNREACHABLE}    the login server or the gate could not be reached
  {Status.INTERRUPTED}  interrupted
"""
_EXAMPLE = f"""\
example:
  {NAME} --user alice -c 'send hello' -c 'expect hello'
"""


def parse(arguments: Sequence[str]) -> Options:
    """
    Read a command line.

    @param arguments: without the command's own name.
    @raise SystemExit: it is wrong, or asks for help or the version.
    """
    parser = ArgumentParser(
        prog=NAME,
        description=textwrap.fill(_ABOUT, _WIDTH),
        epilog=f"commands:\n{textwrap.indent(HELP, '  ')}\n\n{_STATUSES}\n{_EXAMPLE}",
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=_version(), help="show the version")
    _addServers(parser)
    _addUser(parser)
    _addTimes(parser)
    _addCommands(parser)
    said = parser.parse_args(arguments)
    if said.isClassic and said.identity is not None:
        parser.error("--identity goes without --classic: the classic suite proves none")
    if said.commands is not None and said.script is not None:
        parser.error("--script goes without -c")
    said.usesTLS |= said.authorities is not None
    if said.usesTLS and "unix:" in (said.login[:5], said.gate[:5]):
        parser.error("there is no TLS on a UNIX socket")
    said.commands = None if said.commands is None else tuple(said.commands)
    return Options(**vars(said))


def _addServers(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("servers")
    group.add_argument(
        "--login",
        type=address,
        default=LOGIN,
        metavar="ADDRESS",
        help=f"the login server: host:port, [IPv6 address]:port or unix:/path (default: {LOGIN})",
    )
    group.add_argument(
        "--gate",
        type=address,
        default=GATE,
        metavar="ADDRESS",
        help=f"the gate, where the login server does not say where it is (default: {GATE})",
    )
    group.add_argument(
        "--server", default=SERVER, metavar="NAME", help=f"the gate's name (default: {SERVER})"
    )
    group.add_argument(
        "--tls", dest="usesTLS", action="store_true", help="speak TLS with both of them"
    )
    group.add_argument(
        "--ca",
        dest="authorities",
        metavar="FILE",
        help="speak TLS, and trust the certificates in this file alone (PEM)",
    )
    group.add_argument(
        "--identity",
        type=identity,
        metavar="KEY",
        help="what the login server must prove to be; msgserver-ctl keygen shows it",
    )
    group.add_argument(
        "--classic",
        dest="isClassic",
        action="store_true",
        help="log in with the classic suite, which the original's servers know",
    )


def _addUser(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("user")
    group.add_argument(
        "--user", default=USER, metavar="NAME", help=f"who you are (default: {USER})"
    )
    secret = group.add_mutually_exclusive_group()
    secret.add_argument(
        "--password-file",
        dest="passwordFile",
        metavar="FILE",
        help=f"a file whose first line is the password; without it, {PASSWORD_VARIABLE} has it,"
        " or it is asked for",
    )
    secret.add_argument(
        "--token-file",
        dest="tokenFile",
        metavar="FILE",
        help="a file whose bytes are the token, for login handlers that want another",
    )


def _addTimes(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("limits")
    group.add_argument(
        "--connect-timeout",
        dest="connectTimeout",
        type=seconds,
        default=CONNECT_TIMEOUT,
        metavar="SECONDS",
        help=f"how long the first connection may take (default: {CONNECT_TIMEOUT:g})",
    )
    group.add_argument(
        "--timeout",
        type=secondsOrNone,
        default=REQUEST_TIMEOUT,
        metavar="SECONDS",
        help=f"how long a request may take; 0 for ever (default: {REQUEST_TIMEOUT:g})",
    )
    group.add_argument(
        "--window",
        type=number,
        default=MAX_UNANSWERED,
        metavar="N",
        help=f"how many requests are sent before an answer is there (default: {MAX_UNANSWERED})",
    )


def _addCommands(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("what to do")
    group.add_argument(
        "-c",
        dest="commands",
        action="append",
        metavar="COMMAND",
        help="a command; may be said more than once",
    )
    group.add_argument(
        "--script", metavar="FILE", help="a file of commands, one a line; - for standard input"
    )
    shown = group.add_mutually_exclusive_group()
    shown.add_argument(
        "--json",
        dest="style",
        action="store_const",
        const="json",
        default="line",
        help="show a JSON object for everything that happens",
    )
    shown.add_argument(
        "-q",
        "--quiet",
        dest="style",
        action="store_const",
        const="answers",
        help="show answers and pushed messages alone, without their numbers",
    )
    group.add_argument(
        "--record", metavar="FILE", help="write down what is said and seen as well, as JSON"
    )


def _version() -> str:
    try:
        return f"msgserver {version('msgserver')}"
    except PackageNotFoundError:
        return "msgserver, from a folder where it is not installed"
