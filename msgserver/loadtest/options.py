"""
The command line of C{msgserver-bench}.
"""

from __future__ import annotations

import os
import textwrap
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import Any, NoReturn

from attrs import frozen

from msgserver.loadtest.dialogue import FILLER
from msgserver.loadtest.optiongroups import (
    GATE,
    LOGIN,
    RAMP_RATE,
    SIZE,
    TURN,
    addLoad,
    addRun,
    addServers,
    addUsers,
)
from msgserver.loadtest.plan import Plan, Target
from msgserver.loadtest.statuses import NAME, Status
from msgserver.wire.framing import MAX_REQUEST

_WIDTH = 79


@frozen
class Options:
    """
    What a command line says.

    @ivar plan: what to do; without tokens.
    @ivar isDemo: the server is one of its own.
    @ivar json: a file for the figures; so is C{html}, for a page.
    """

    plan: Plan
    isDemo: bool
    passwordFile: str | None
    tokenFile: str | None
    processes: int
    json: str | None
    html: str | None


_ABOUT = (
    "Has many users log in to a msgserver, ask, and lose their connections, looks at every"
    " answer, and tells how long they took. All users have one password, which is in"
    " MSGSERVER_PASSWORD or in a file, or tokens from a file; they are never shown. The server's"
    " handler must answer in a way that can be verified, such as by an echo."
)
_EPILOG = f"""\
In the texts of --request and --expect, {{user}} is a user's name, {{number}} counts
the requests of each, and {{filler}} makes a request as long as it is to be. An
answer is, by --expect,
  echo         the request
  text:TEXT    TEXT, with {{user}}, {{number}} and {{request}} replaced
  prefix:TEXT  something that begins with TEXT, the same replaced
  any          anything

Ctrl-C ends it early, with a report; a second one waits for no more answers.

exit status:
  {Status.VERIFIED}    every request has its answer, once, and it is right
  {Status.FAILED}    not so; or something else has failed
  {Status.MISTAKEN}    there is a mistake in the command line, or something is not installed
  {Status.REFUSED}    the login or the gate's handshake was refused
  {Status.UNREACHABLE}    the login server or the gate could not be reached
  {Status.INTERRUPTED}  interrupted before there was anything to report

examples:
  {NAME} --demo --users 200 --cuts 5% --html report.html
  {NAME} --login game.example.org:8001 --password-file secret --rate 500
"""


class _Parser(ArgumentParser):
    """Complains in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(Status.MISTAKEN, f"{NAME}: {message} ({NAME} --help tells more)\n")


def parse(arguments: Sequence[str], version: str) -> Options:
    """
    Read a command line.

    @param arguments: without the command's own name.
    @param version: what C{--version} shows.
    @raise SystemExit: it is wrong, or asks for help or the version.
    """
    parser = _Parser(
        prog=NAME,
        usage=f"{NAME} [options]",
        description=textwrap.fill(_ABOUT, _WIDTH),
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=version, help="show the version")
    addServers(parser)
    addUsers(parser)
    addLoad(parser)
    addRun(parser)
    said = parser.parse_args(arguments)
    if complaint := _complaintOf(said):
        parser.error(complaint)
    return _optionsOf(said)


def _complaintOf(said: Any) -> str | None:
    """Say what does not go together."""
    if said.isClassic and said.identity:
        return "--identity goes without --classic: the classic suite proves none"
    if said.usesTLS and said.login.startswith("unix:"):
        return "there is no TLS on a UNIX socket"
    isElsewhere = said.login != LOGIN or said.gate != GATE or said.usesTLS or said.authorities
    if said.isDemo and (isElsewhere or said.tokenFile or said.passwordFile):
        return "--demo has a server and a password of its own: it goes without any other"
    if said.rate and (said.inFlight is not None or said.think is not None):
        return "--rate is an open loop, --in-flight and --think are of a closed one"
    if said.size is not None and FILLER not in said.template:
        return "--size needs {filler} in --request: without it, each is as long as it is"
    if complaint := _complaintOfNumbers(said):
        return complaint
    if said.users > 1 and said.user.replace("{n}", "") == said.user:
        return "--user needs {n} in it, as users have different names"
    longest = len(os.fsencode(said.template)) + 3 * len(os.fsencode(said.user)) + 20
    if longest > MAX_REQUEST:
        return f"--request: a request takes at most {MAX_REQUEST:,} bytes"
    if said.json is not None and said.json == said.html:
        return "--json and --html: two files are wanted"
    return None


def _complaintOfNumbers(said: Any) -> str | None:
    """Say what does not go together with so many users and connections."""
    connections = said.users if said.connections is None else said.connections
    if said.processes > said.users:
        return f"--processes: {said.processes:,} are more than there are users ({said.users:,})"
    if connections > said.users:
        return f"--connections: {connections:,} are more than there are users ({said.users:,})"
    if connections < said.processes:
        return f"--processes: {said.processes:,} are more than there are connections"
    if said.turn is not None and connections == said.users:
        return "--turn goes with fewer --connections than --users: else nobody takes turns"
    return None


def _optionsOf(said: Any) -> Options:
    target = Target(
        login=said.login,
        gate=said.gate,
        usesTLS=said.usesTLS or bool(said.authorities),
        authorities=said.authorities or "",
        server=said.server,
        user=said.user,
        isClassic=said.isClassic,
        identity=said.identity or "",
    )
    plan = Plan(
        target,
        users=said.users,
        inFlight=said.inFlight or 1,
        rate=said.rate,
        think=said.think or (0.0, 0.0),
        size=said.size or (SIZE, SIZE),
        template=said.template,
        expect=said.expect,
        cuts=said.cuts,
        ramp=max(1.0, said.users / RAMP_RATE) if said.ramp is None else said.ramp,
        duration=said.duration,
        grace=said.grace,
        seed=said.seed,
        connections=said.users if said.connections is None else said.connections,
        turn=TURN if said.turn is None else said.turn,
    )
    return Options(
        plan, said.isDemo, said.passwordFile, said.tokenFile, said.processes, said.json, said.html
    )
