"""
C{msgserver-bench}: the command.

What it needs beside the server's own libraries is imported when it is known that it is there.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from time import monotonic
from typing import Any, NoReturn

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from msgserver.commandparts import Complaint
from msgserver.loadtest.conditions import versionOf
from msgserver.loadtest.credentials import passwordTokens, takePassword, tokensFromFile
from msgserver.loadtest.options import Options, parse
from msgserver.loadtest.plan import withTarget
from msgserver.loadtest.statuses import NAME, Status

_NEEDED = {"hdrh": "hdrhistogram", "rich": "rich"}
_NEEDED_FOR_HTML = {"matplotlib": "matplotlib"}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """
    Carry out what a command line says.

    @param arguments: by default, those of the process.
    @raise SystemExit: always.
    """
    version = f"msgserver {versionOf('msgserver')}, Twisted {versionOf('twisted')}"
    try:
        options = parse(sys.argv[1:] if arguments is None else arguments, version)
        checkInstalled(options)
        tokens = () if options.isDemo else tokensOf(options)
        options = evolve(options, plan=withTarget(options.plan, tokens=tokens))
        checkWritable(options)
        react(_perform, (options,))
    except Complaint as complaint:
        _complain(complaint)
    except ImportError as error:
        _complain(_brokenOf(error))
    except KeyboardInterrupt:
        raise SystemExit(Status.INTERRUPTED) from None


def checkInstalled(options: Options) -> None:
    """
    See that all is there that it takes.

    @raise Complaint: it is not.
    """
    needed = {**_NEEDED, **(_NEEDED_FOR_HTML if options.html else {})}
    missing = [name for module, name in needed.items() if not _isInstalled(module)]
    if missing:
        raise Complaint(
            Status.MISTAKEN,
            f"{' and '.join(missing)} must be installed: pip install 'msgserver[bench]'",
        )


def _isInstalled(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:
        return False


def checkWritable(options: Options) -> None:
    """
    See that the files can be written, before there is anything to lose.

    @raise Complaint: one cannot.
    """
    for path in (options.json, options.html):
        if path is None:
            continue
        try:
            with open(path, "a"):
                pass
        except OSError as error:
            text = f"{path} cannot be written: {error.strerror}"
            raise Complaint(Status.MISTAKEN, text) from None


def tokensOf(options: Options) -> tuple[str, ...]:
    """
    Give the tokens of all users.

    @raise Complaint: there are none.
    """
    plan = options.plan
    if options.tokenFile is not None:
        return tokensFromFile(options.tokenFile, plan.users)
    return passwordTokens(plan, takePassword(options.passwordFile))


def _brokenOf(error: ImportError) -> Complaint:
    # It is there, and what it needs is not; libraries tell that in more lines than one.
    what, _, _ = str(error).strip().partition("\n")
    text = f"something is not installed as it must be: {what}: pip install 'msgserver[bench]'"
    return Complaint(Status.MISTAKEN, text)


def _complain(complaint: Complaint) -> NoReturn:
    print(f"{NAME}: {complaint}", file=sys.stderr)
    raise SystemExit(complaint.status)


def _perform(reactor: Any, options: Options) -> Deferred[NoReturn]:
    # It needs what was not known to be installed until now.
    from msgserver.loadtest.running import Run

    run = Run(options, reactor, sys.stderr, monotonic)
    # The reactor's own handler would end it without a report.
    stop = partial(_stop, run, reactor)
    signal.signal(signal.SIGINT, stop)
    # This one the reactor takes when it begins to run.
    reactor.callLater(0, signal.signal, signal.SIGTERM, stop)
    return Deferred.fromCoroutine(_finish(run, options))


def _stop(run: Any, reactor: Any, *_: object) -> None:
    reactor.callFromThread(run.stop)


async def _finish(run: Any, options: Options) -> NoReturn:
    from msgserver.loadtest.running import writeFiles

    try:
        figures = await run.run()
        try:
            _writeOut(figures)
        finally:
            # Whoever wanted files has them, whatever became of standard output.
            writeFiles(figures, options)
    except Complaint as complaint:
        _complain(complaint)
    except ImportError as error:
        _complain(_brokenOf(error))
    raise SystemExit(figures.status)


def _writeOut(figures: Any) -> None:
    """
    Write the report on standard output.

    @raise Complaint: it cannot be written, such as to a pipe that nobody reads any more.
    """
    from msgserver.loadtest.report import write

    if isinstance(sys.stdout, io.TextIOWrapper):
        # Not every terminal can write a micro sign, or a user's name.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        write(figures, sys.stdout)
    except OSError as error:
        # Else Python would try again when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        text = f"the report cannot be written: {error.strerror}"
        raise Complaint(Status.FAILED, text) from None


if __name__ == "__main__":
    main()
