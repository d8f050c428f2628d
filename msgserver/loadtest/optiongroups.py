"""
The options of C{msgserver-bench}, group by group.
"""

from __future__ import annotations

from argparse import ArgumentParser

from msgserver.clientlogin import MAX_UNANSWERED
from msgserver.commandparts import address, identity
from msgserver.loadtest.optionvalues import (
    expectation,
    label,
    name,
    positive,
    rangeOf,
    rate,
    secondsOf,
    share,
    textOf,
    whole,
)
from msgserver.loadtest.plan import MAX_USERS
from msgserver.wire.framing import MAX_REQUEST

LOGIN, GATE = "127.0.0.1:8001", "127.0.0.1:8888"
TEMPLATE = "{user}.{number} {filler}"

USERS, DURATION, GRACE, SIZE = 100, 10.0, 10.0, 64

TURN = 1.0
"""Seconds that a user is connected, where no turn is given and there are fewer connections."""

RAMP_RATE = 200
"""How many users come in a second, where no ramp is given."""


def addServers(parser: ArgumentParser) -> None:
    """Add the options that say where the servers are."""
    group = parser.add_argument_group("servers")
    add = group.add_argument
    add(
        "--demo",
        dest="isDemo",
        action="store_true",
        help="start a server to try this on, and stop it again",
    )
    place = "host:port, [IPv6 address]:port or unix:/path"
    add(
        "--login",
        type=address,
        default=LOGIN,
        metavar="ADDRESS",
        help=f"the login server: {place} (default: {LOGIN})",
    )
    add(
        "--gate",
        type=address,
        default=GATE,
        metavar="ADDRESS",
        help=f"the gate, where logins do not tell where it is (default: {GATE})",
    )
    add(
        "--server",
        type=label,
        default="sample",
        metavar="NAME",
        help="the gate's name (default: sample)",
    )
    add("--tls", dest="usesTLS", action="store_true", help="speak TLS with both of them")
    add(
        "--ca",
        dest="authorities",
        type=textOf,
        metavar="FILE",
        help="speak TLS, and trust the certificates in this file alone (PEM)",
    )
    add(
        "--identity",
        type=identity,
        metavar="KEY",
        help="what the login server must prove to be; msgserver-ctl keygen shows it",
    )
    add("--classic", dest="isClassic", action="store_true", help="log in with the classic suite")


def addUsers(parser: ArgumentParser) -> None:
    """Add the options that say who logs in, and with what."""
    group = parser.add_argument_group("users")
    add = group.add_argument
    add(
        "--users",
        type=whole(1, MAX_USERS),
        default=USERS,
        metavar="N",
        help=f"how many users log in (default: {USERS})",
    )
    add(
        "--connections",
        type=whole(1, MAX_USERS),
        metavar="N",
        help="how many of them are connected at a time (default: all)",
    )
    add(
        "--turn",
        type=positive,
        metavar="SECONDS",
        help=f"how long each is connected then, until the next in line is (default: {TURN:g})",
    )
    add(
        "--user",
        type=name,
        default="user{n}",
        metavar="NAME",
        help="their names; {n} counts them from 1 (default: user{n})",
    )
    secret = group.add_mutually_exclusive_group()
    secret.add_argument(
        "--password-file",
        dest="passwordFile",
        metavar="FILE",
        help="a file whose first line is everybody's password; else MSGSERVER_PASSWORD has it",
    )
    secret.add_argument(
        "--token-file",
        dest="tokenFile",
        metavar="FILE",
        help="tokens for other login handlers: one line with {n} or {user} in it, or one for each",
    )


def addLoad(parser: ArgumentParser) -> None:
    """Add the options that say what is asked, and how much."""
    group = parser.add_argument_group("load")
    add = group.add_argument
    add(
        "--in-flight",
        dest="inFlight",
        type=whole(1, MAX_UNANSWERED),
        metavar="N",
        help=f"how many requests each user has under way, 1 to {MAX_UNANSWERED} (default: 1)",
    )
    add(
        "--think",
        type=rangeOf(secondsOf),
        metavar="SECONDS",
        help="how long a user waits after an answer: 0.5, or 0.1-1 (default: 0)",
    )
    add(
        "--rate",
        type=rate,
        default=0.0,
        metavar="N",
        help="ask by a schedule instead, so many requests a second of all users together",
    )
    add(
        "--size",
        type=rangeOf(whole(0, MAX_REQUEST)),
        metavar="BYTES",
        help=f"how long requests are: 64, or 16-4096 (default: {SIZE})",
    )
    add(
        "--request",
        dest="template",
        default=TEMPLATE,
        metavar="TEXT",
        help=f"what is asked (default: '{TEMPLATE}')",
    )
    add(
        "--expect",
        type=expectation,
        default="echo",
        metavar="WHAT",
        help="what must be answered (default: echo)",
    )
    add(
        "--cuts",
        type=share,
        default=0.0,
        metavar="SHARE",
        help="the share of the connections that is cut each second, such as 5%% (default: 0)",
    )


def addRun(parser: ArgumentParser) -> None:
    """Add the options that say how long it takes, and what is written."""
    group = parser.add_argument_group("run")
    add = group.add_argument
    add(
        "--ramp",
        type=secondsOf,
        metavar="SECONDS",
        help=f"how long until all users are there (default: {RAMP_RATE} users come a second)",
    )
    add(
        "--duration",
        type=positive,
        default=DURATION,
        metavar="SECONDS",
        help=f"how long is measured then (default: {DURATION:g})",
    )
    add(
        "--grace",
        type=secondsOf,
        default=GRACE,
        metavar="SECONDS",
        help=f"how long the last answers may take (default: {GRACE:g})",
    )
    add(
        "--processes",
        type=whole(1, 256),
        default=1,
        metavar="N",
        help="how many processes make the load (default: 1)",
    )
    add("--seed", type=whole(0, 2**31), default=1, metavar="N", help="what chance is made of")
    add("--json", metavar="FILE", help="write all figures to a file")
    add("--html", metavar="FILE", help="write a report with pictures to a file")
