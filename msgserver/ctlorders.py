"""
The command line of C{msgserver-ctl}.
"""

from __future__ import annotations

import textwrap
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Sequence
from enum import IntEnum
from typing import Any

from attrs import frozen

from msgserver.ctltables import bytesText, parseBytes, printable

NAME = "msgserver-ctl"
"""What the command is called."""


class Status(IntEnum):
    """The exit statuses."""

    DONE = 0
    REFUSED = 1
    MISTAKEN = 2
    UNREACHABLE = 3
    INTERRUPTED = 130


@frozen
class Order:
    """
    What a command line says.

    @ivar config: the config file; empty where the verb is L{LOCAL}.
    @ivar uid: whose logins; None for everybody's.
    @ivar subid: which of them; None for all.
    @ivar gate: what the gate is called.
    @ivar file: a key's file.
    """

    config: str
    verb: str
    wantsJSON: bool = False
    uid: bytes | None = None
    subid: bytes | None = None
    gate: str = ""
    file: str = ""

    def __str__(self) -> str:
        names = [bytesText(raw) for raw in (self.uid, self.subid) if raw is not None]
        return " ".join(filter(None, [self.verb, *names, self.gate, self.file]))


_ABOUT = (
    "Shows and commands a login server and its gates. FILE is a config with a section [operator],"
    " or that of a login server on this machine, with its [login.control]; keygen and identity"
    " take none."
)
_ABOUT_BYTES = (
    "A uid or subid that is no printable text is shown as base64:..., and read so. Write -- before"
    " one that begins with a -."
)
VERBS = {
    "gates": ("list the gates", "Lists the gates, in the order of their names.", "gates"),
    "users": (
        "list who is logged in",
        f"Lists all logins, or those of one uid. {_ABOUT_BYTES}",
        "users alice",
    ),
    "kick": (
        "end a user's logins",
        f"Ends all logins of a uid, or one of them, and lists what has ended. {_ABOUT_BYTES}",
        "kick alice",
    ),
    "drain": (
        "have a gate take no new logins",
        "Has a gate take no new logins. Those that it has stay.",
        "drain sample@gate.example.org:8888",
    ),
    "undrain": (
        "have a gate take new logins again",
        "Has a gate take new logins again.",
        "undrain sample@gate.example.org:8888",
    ),
    "keygen": (
        "make an identity key for a login server",
        "Makes an identity key (Ed25519) in a new file, which only its owner may read, and shows"
        " its public part: what clients know the server by. Name the file in the server's [login],"
        " as identity.",
        "keygen identity.pem",
    ),
    "identity": (
        "show the public part of an identity key",
        "Shows the public part of an identity key: what clients know the server by.",
        "identity identity.pem",
    ),
}
"""Each verb, with its summary, what it does, and an example."""

LOCAL = ("keygen", "identity")
"""The verbs that are about a file, and need neither a config nor a server."""

_ABOUT_STATUSES = f"""\
exit status:
  {Status.DONE}    done
  {Status.REFUSED}    not done: the login server says no, or a gate does not answer, or the
       file of a key is not as it must be
  {Status.MISTAKEN}    not done: there is a mistake in the command line or in the config file
  {Status.UNREACHABLE}    no login server is there, or it does not take the key, or it went away
  {Status.INTERRUPTED}  interrupted
"""

_WIDTH = 79


def parse(arguments: Sequence[str], version: str) -> Order:
    """
    Read a command line.

    @param arguments: without the command's own name.
    @param version: what C{--version} shows.
    @raise SystemExit: it is wrong, or asks for help or the version.
    """
    json = ArgumentParser(prog=NAME, add_help=False)
    json.add_argument("--json", action="store_true", default=SUPPRESS, help="show JSON")
    options = ArgumentParser(prog=NAME, add_help=False, parents=[json])
    options.add_argument("-c", "--config", metavar="FILE", default=SUPPRESS, help="a config file")
    parser = ArgumentParser(
        prog=NAME,
        parents=[options],
        **_texts(_ABOUT, "gates", _ABOUT_STATUSES),
    )
    parser.add_argument("--version", action="version", version=version, help="show the version")
    _addVerbs(parser, options, json)
    options.usage = parser.format_usage().removeprefix("usage: ")
    # Options may stand anywhere, but argparse by itself takes none between two arguments.
    found, rest = options.parse_known_args(arguments)
    said = vars(parser.parse_args(rest, found))
    config = said.pop("config", None)
    if said["verb"] in LOCAL:
        if config is not None:
            parser.error(f"{said['verb']} asks no server, and takes no -c FILE")
    elif config is None:
        parser.error("-c FILE is required")
    return Order(config or "", wantsJSON=said.pop("json", False), **said)


def _addVerbs(parser: ArgumentParser, options: ArgumentParser, json: ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND", required=True, title="commands")
    added = {
        verb: verbs.add_parser(
            verb,
            help=summary,
            parents=[json if verb in LOCAL else options],
            **_texts(description, example),
        )
        for verb, (summary, description, example) in VERBS.items()
    }
    added["users"].add_argument("uid", nargs="?", type=_bytes, metavar="UID", help="a user")
    added["kick"].add_argument("uid", type=_bytes, metavar="UID", help="a user")
    added["kick"].add_argument(
        "subid", nargs="?", type=_bytes, metavar="SUBID", help="one of the user's logins"
    )
    for verb in ("drain", "undrain"):
        added[verb].add_argument(
            "gate",
            type=_gate,
            metavar="GATE",
            help="a gate's name, as shown; or its address or server name, if no other has that",
        )
    for verb in LOCAL:
        added[verb].add_argument("file", metavar="FILE", help="the key's file, in PEM form")


def _texts(description: str, example: str, more: str = "") -> dict[str, Any]:
    """Lay out the texts of a parser's help, whose lines argparse then leaves alone."""
    options = "" if example.split()[0] in LOCAL else "-c hello.toml "
    examples = f"example:\n  {NAME} {options}{example}"
    return {
        "description": textwrap.fill(description, _WIDTH),
        "epilog": f"{more}\n{examples}" if more else examples,
        "formatter_class": RawDescriptionHelpFormatter,
    }


def _bytes(text: str) -> bytes:
    try:
        return parseBytes(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{printable(text)}: {error}") from None


def _gate(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ArgumentTypeError(f"{printable(text)}: not UTF-8, as all names of gates") from None
    return text
