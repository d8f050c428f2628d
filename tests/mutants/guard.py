"""
Run a command that does not outlive whoever started it: C{guard.py COMMAND ARGUMENT…}.

Started by L{tests.mutants.trials} as a plain file, in a session of its own, with a pipe as its
standard input that nobody writes to. The command takes the place of this process. Beside it stays
another, that reads the pipe: at its end, which comes also where the starter is killed, the whole
session is killed. The tests know nothing of it: it is not a child of theirs, and no thread.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path


def endSession(session: int) -> None:
    """
    Kill every process of a session, the caller last where it is one of them.

    @param session: the id of its first process. Where there is no C{/proc}, what has left that
        process's group stays.
    """
    own = os.getpid()
    seen = {own}
    isSettled = False
    # Until a look finds nobody new: there may be those that began after the last.
    while not isSettled:
        isSettled = True
        for pid in {int(entry.name) for entry in Path("/proc").glob("[0-9]*")} - seen:
            with suppress(ProcessLookupError, PermissionError):
                if os.getsid(pid) == session:
                    seen.add(pid)
                    isSettled = False
                    # Not killed yet: whoever waits for this one would go on.
                    os.kill(pid, signal.SIGSTOP)
    for pid in seen - {own}:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(session, signal.SIGKILL)


def main() -> None:
    """Become the command, with the watcher beside it."""
    child = os.fork()
    if child == 0:
        # A grandchild, whose parent is gone, is nobody's whom the tests could wait for.
        if os.fork() == 0:
            os.read(0, 1)
            endSession(os.getsid(0))
        os._exit(0)
    os.waitpid(child, 0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.execv(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
