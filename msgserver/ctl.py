"""
C{msgserver-ctl}: an operator's command, over the control link; two of them are about a file.

No reactor is imported before it is needed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn, TextIO

import twisted
from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react
from twisted.python.failure import Failure

import msgserver
from msgserver.config import Operator
from msgserver.configfile import Link, loadOperator
from msgserver.ctlorders import LOCAL, NAME, Order, Status, parse
from msgserver.ctltables import printable, showGate, showGates, showIdentity, showLogins
from msgserver.errors import ConfigErrors, GateUnavailable, MsgServerError, Unauthorized
from msgserver.identity import publicText, readIdentity, writeIdentity
from msgserver.later import asked
from msgserver.remote.link import LinkTimes
from msgserver.remote.operations import RemoteOperations


@frozen
class Outcome:
    """
    What has come of an order.

    @ivar output: what it shows.
    @ivar complaints: what went wrong, a line each; or what is to be done next.
    """

    status: Status
    output: str = ""
    complaints: tuple[str, ...] = ()


async def operate(order: Order, link: Link[Operator], clock: IReactorTime) -> Outcome:
    """Carry out an order at the first login server that is there."""
    settings = link.settings
    times = LinkTimes(proof=settings.timeout, answer=settings.timeout)
    try:
        operations = await RemoteOperations.connect(
            link.endpoints, settings.key.encode(), clock, times
        )
    except (Unauthorized, GateUnavailable) as error:
        return Outcome(Status.UNREACHABLE, complaints=tuple(str(error).splitlines()))
    try:
        return Outcome(Status.DONE, await _obey(operations, order))
    except MsgServerError as error:
        return await _explain(operations, order, error)
    finally:
        operations.close()


async def _obey(operations: RemoteOperations, order: Order) -> str:
    uid, wantsJSON = order.uid, order.wantsJSON
    if order.verb == "gates":
        return showGates(await operations.gates(), wantsJSON)
    if order.verb == "users":
        return showLogins(await operations.users(uid), wantsJSON, uid)
    if order.verb == "kick":
        assert uid is not None
        return showLogins(await operations.kick(uid, order.subid), wantsJSON, uid)
    return showGate(await operations.setDraining(order.gate, order.verb == "drain"), wantsJSON)


async def _explain(operations: RemoteOperations, order: Order, error: MsgServerError) -> Outcome:
    status = Status.REFUSED
    hint = f'"{NAME} {"users" if order.verb == "kick" else "gates"}" tells what there is'
    if isinstance(error, GateUnavailable):
        hint = f'"{NAME} gates" tells which gates do not answer'
        if not await _isThere(operations):
            status = Status.UNREACHABLE
            hint = "the login server is away, and may have done it or not: see, and try again"
    return Outcome(status, complaints=(f"{order}: {error} ({hint})",))


async def _isThere(operations: RemoteOperations) -> bool:
    """Tell whether the login server answers: if so, it is a gate that is away."""
    try:
        await operations.users(b"")
    except GateUnavailable:
        return False
    return True


_NEXT = (
    "give clients that line, for login(..., serverIdentity=...), and name {file} in the server's"
    " config, as identity in [login]"
)


def operateAlone(order: Order) -> Outcome:
    """Carry out an order that is about a file, and no server."""
    isNew = order.verb == "keygen"
    try:
        identity = writeIdentity(order.file) if isNew else publicText(readIdentity(order.file))
    except ValueError as error:
        return Outcome(Status.REFUSED, complaints=(str(error),))
    shown = showIdentity(order.file, identity, order.wantsJSON)
    # Not among what is shown: that is for a file or a program, and it is the line alone.
    hints = (_NEXT.format(file=order.file),) if isNew and not order.wantsJSON else ()
    return Outcome(Status.DONE, shown, hints)


def say(outcome: Outcome, out: TextIO | None, err: TextIO | None) -> Status:
    """
    Write what has come of an order.

    @param out: a file with a descriptor, or None; as is C{err}.
    @return: the exit status.
    """
    status, complaints = outcome.status, outcome.complaints
    error = _write(outcome.output, out)
    # Whoever reads from a pipe may have seen enough, as head has: it is done all the same.
    if error is not None and not isinstance(error, BrokenPipeError):
        status, complaints = Status.REFUSED, (f"cannot write what there is: {error.strerror}",)
    _write("".join(f"{NAME}: {printable(line)}\n" for line in complaints), err)
    return status


def _write(text: str, file: TextIO | None) -> OSError | None:
    if file is None:
        # What the process was started without, Python has none of.
        return None
    encoding = file.encoding
    try:
        file.write(text.encode(encoding, "backslashreplace").decode(encoding))
        file.flush()
    except OSError as error:
        # What is left in it Python would write once more at exit, and complain by itself.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, file.fileno())
        os.close(nowhere)
        return error
    return None


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """
    Carry out the order of a command line.

    @param arguments: by default, those of the process.
    @raise SystemExit: always.
    """
    version = f"msgserver {msgserver.__version__}, Twisted {twisted.__version__}"
    try:
        order = parse(sys.argv[1:] if arguments is None else arguments, version)
        if order.verb in LOCAL:
            raise SystemExit(say(operateAlone(order), sys.stdout, sys.stderr))
        from twisted.internet import reactor

        react(_perform, (order, loadOperator(order.config, reactor)))
    except ConfigErrors as errors:
        _write(f"{errors}\n", sys.stderr)
        raise SystemExit(Status.MISTAKEN) from None
    except KeyboardInterrupt:
        raise SystemExit(Status.INTERRUPTED) from None


def _perform(reactor: Any, order: Order, link: Link[Operator]) -> Deferred[NoReturn]:
    operated: Deferred[Outcome] = asked(operate, order, link, reactor)
    # Ctrl-C stops the reactor, and then nothing more is said.
    reactor.addSystemEventTrigger("before", "shutdown", operated.cancel)
    ended = operated.addCallbacks(
        lambda outcome: say(outcome, sys.stdout, sys.stderr), _interrupted
    )
    return ended.addCallback(sys.exit)


def _interrupted(failure: Failure) -> Status:
    # An interrupt that comes before the reactor runs, Deferreds take for a failure.
    failure.trap(CancelledError, KeyboardInterrupt)
    return Status.INTERRUPTED


if __name__ == "__main__":
    main()
