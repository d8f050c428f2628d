"""
The load: a generator as a process of its own, told what to do and asked what came of it.

It is bench/generator.c, built once with C{cc} into C{.bench/}, or bench/generator.py where that
cannot be done. Both verify every byte of every answer. Linux only: they use epoll.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from attrs import frozen

from bench.servers import ROOT, BenchError

Kind = Literal["echo", "gate"]
"""What answers: an echo of the whole packet, or a gate."""

_SOURCES = [ROOT / "bench" / name for name in ("generator.c", "connection.c")]
_HEADERS = [ROOT / "bench" / name for name in ("connection.h", "histogram.h")]
_TWIN = "bench.generator"
_FLAGS = "-O2", "-std=gnu11"

_PATIENCE = 60.0
"""Seconds past a load's own that its generator may take to answer; it gives up before, itself."""

_FULL = 0.05
"""A generator that waits for less than this share of the time may be what is measured."""


@frozen
class LoadFigures:
    """
    What came of a load, all of which was answered as it must be.

    @ivar requests: how many were answered within the window.
    @ivar seconds: how long that was.
    @ivar p50: the latency, in seconds, that half of the requests did not exceed; in an open loop
        it counts from the instant at which the request should have been sent.
    @ivar p99: that which 99 % did not exceed. L{p999}: 99.9 %. L{max}: none.
    @ivar cpu: seconds of CPU that the generator took in the window.
    @ivar idle: the share of the window, 0 to 1, in which it had nothing to do.
    """

    requests: int
    seconds: float
    p50: float
    p99: float
    p999: float
    max: float
    cpu: float
    idle: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds

    @property
    def isBottleneck(self) -> bool:
        """Whether the generator had so little time left that a faster server would not show."""
        return self.idle < _FULL


@cache
def compiledGenerator() -> Path | None:
    """
    Build the generator, unless it is there already, and tell where it is.

    The compiler is C{cc}, or what C{CC} names.

    @return: L{None} where there is no compiler, or it fails; this is said once.
    """
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        reason = "there is no C compiler"
    else:
        digest = hashlib.sha256(f"{platform.machine()} {_FLAGS}".encode())
        for source in (*_SOURCES, *_HEADERS):
            digest.update(source.read_bytes())
        try:
            return _build(compiler, digest.hexdigest()[:16])
        except subprocess.CalledProcessError as error:
            reason = f"{compiler} failed: {error.stderr.strip().partition(chr(10))[0]}"
        except OSError as error:
            reason = str(error)
    print(f"The load is made by Python, which may be the bottleneck: {reason}.", file=sys.stderr)
    return None


def generatorCommand(compiled: bool | None = None) -> list[str]:
    """
    Give the words of the command that the generator is started by, in the project's folder.

    @param compiled: whether it is to be the compiled one; L{None}: if there is one.
    @raise BenchError: it is to be, and there is none.
    """
    program = None if compiled is False else compiledGenerator()
    if program is not None:
        return [str(program)]
    if compiled:
        raise BenchError("there is no compiled generator")
    return [sys.executable, "-m", _TWIN]


def _build(compiler: str, name: str) -> Path:
    folder = ROOT / ".bench"
    program = folder / f"generator-{name}"
    if program.exists():
        return program
    folder.mkdir(exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    # Under another name first, as somebody else may be building it, too.
    with tempfile.TemporaryDirectory(dir=folder) as place:
        built = Path(place, "generator")
        command = [compiler, *_FLAGS, "-o", str(built), *map(str, _SOURCES)]
        subprocess.run(command, check=True, capture_output=True, text=True)
        built.replace(program)
    return program


class Load:
    """
    Connections to a server on 127.0.0.1, and requests on them; a context manager.

    They are made on entering, and closed on leaving. Between two loads it waits and takes no
    CPU; it minds no server that is stopped meanwhile.

    @param connections: how many.
    @param depth: how many requests each has outstanding in a closed loop.
    @param size: of a request's content, in bytes.
    @param hellos: a handshake packet for each connection, back to back; L{None}: no handshakes.
    @param cpu: the number of the core to run on; L{None}: any.
    @param compiled: whether the generator is to be the compiled one; L{None}: if there is one.
    @raise BenchError: on entering: not all connections could be made.
    """

    def __init__(
        self,
        port: int,
        connections: int,
        depth: int,
        size: int,
        kind: Kind,
        hellos: bytes | None = None,
        cpu: int | None = None,
        compiled: bool | None = None,
    ) -> None:
        self._program = generatorCommand(compiled)
        self.isCompiled = len(self._program) == 1
        self._arguments = [str(each) for each in (port, connections, depth, size, kind)]
        self._hellos = hellos
        self._cpu = cpu
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        with tempfile.NamedTemporaryFile() as file:
            if self._hellos is not None:
                file.write(self._hellos)
                file.flush()
            self._start([*self._arguments, "-" if self._hellos is None else file.name])
            try:
                self._read(0)
            except BaseException:
                self._stop()
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def closed(self, seconds: float) -> LoadFigures:
        """
        Keep so many requests outstanding on each connection.

        @raise BenchError: something was not answered, or not as it must be.
        """
        return self._ask(f"closed {seconds}", seconds)

    def open(self, seconds: float, rate: float) -> LoadFigures:
        """
        Send requests on schedule, whether or not others have been answered.

        @param rate: requests a second, on all connections together.
        @raise BenchError: something was not answered, or not as it must be.
        """
        return self._ask(f"open {seconds} {rate}", seconds)

    def _ask(self, command: str, seconds: float) -> LoadFigures:
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise BenchError("the generator has ended") from None
        return LoadFigures(**self._read(seconds))

    def _start(self, arguments: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [*self._program, *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._cpu is not None:
            try:
                os.sched_setaffinity(self._process.pid, {self._cpu})
            except OSError as error:
                self._stop()
                raise BenchError(f"there is no core {self._cpu} to run on: {error}") from None

    def _read(self, seconds: float) -> dict[str, Any]:
        """Wait for one line, so many seconds and some more, and give what it says."""
        assert self._process is not None and self._process.stdout is not None
        # It writes whole lines, one for each of ours, and so none waits in a buffer of ours.
        poll = select.poll()
        poll.register(self._process.stdout, select.POLLIN)
        if not poll.poll((seconds + _PATIENCE) * 1000):
            raise BenchError("the generator does not answer")
        line = self._process.stdout.readline()
        if not line:
            raise BenchError(f"the generator has ended with status {self._process.wait()}")
        told: dict[str, Any] = json.loads(line)
        if "error" in told:
            raise BenchError(told["error"])
        return told

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            # This closes its pipes, too.
            self._process.__exit__(None, None, None)
            self._process = None
