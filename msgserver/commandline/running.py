"""
C{msgserver-client} from its beginning to its exit status.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from time import time
from typing import TextIO

from msgserver.commandline.connecting import CommandClient, connect
from msgserver.commandline.credentials import takeToken
from msgserver.commandline.display import Display, Record
from msgserver.commandline.events import Event, printable
from msgserver.commandline.options import Options, parse
from msgserver.commandline.output import Closed, chooseOutput, hint
from msgserver.commandline.sources import Interrupted, Source, chooseSource
from msgserver.commandline.statuses import NAME, Status
from msgserver.commandline.talking import Talk
from msgserver.commandparts import Complaint


def run(arguments: Sequence[str] | None = None) -> Status:
    """
    Carry out a command line.

    @param arguments: without the command's own name; by default, those of the process.
    @return: the exit status.
    @raise SystemExit: the command line is wrong, or asks for help or the version.
    """
    options = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        # Before anything is asked of anybody: what is mistaken here will not do anyway.
        source = chooseSource(options, sys.stdin, sys.stdout)
        token = takeToken(options)
        return asyncio.run(_talk(options, token, source))
    except Complaint as complaint:
        _complain(str(complaint))
        return Status(complaint.status)
    except Closed:
        # Whoever reads from a pipe may have seen enough, as head has.
        _discard(sys.stdout)
        return Status.FINE
    except (KeyboardInterrupt, Interrupted):
        return Status.INTERRUPTED


async def _talk(options: Options, token: bytes, source: Source) -> Status:
    record = None if options.record is None else Record(options.record)
    with source.shownAbove(), Display(record=record) as display:
        if sys.stdout is not None:
            display.add(chooseOutput(options.style, sys.stdout))
        try:
            return await _converse(options, token, source, display)
        except Complaint as complaint:
            display.record(Event("complaint", time(), str(complaint)))
            raise


async def _converse(options: Options, token: bytes, source: Source, display: Display) -> Status:
    client = CommandClient(options, token)
    try:
        talk = Talk(client, source, display, options.timeout or None)
        await connect(client, options.connectTimeout)
        client.noted = talk.note
        if source.isTyped:
            talk.greet(hint())
        return await talk.run()
    finally:
        await client.close()


def _complain(text: str) -> None:
    if sys.stderr is not None:
        try:
            print(f"{NAME}: {printable(text)}", file=sys.stderr, flush=True)
        except OSError:
            _discard(sys.stderr)


def _discard(file: TextIO | None) -> None:
    """Have what is left in a file go nowhere: Python would write it at exit, and complain."""
    if file is not None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, file.fileno())
        os.close(nowhere)
