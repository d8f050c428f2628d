"""
Which lines of msgserver a play reaches: what tells the loop of L{tests.fuzz.engine} that a play
is worth keeping, and the reader how far all of them came.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, TypeAlias

import msgserver

_PACKAGE = Path(msgserver.__file__).resolve().parent

Line: TypeAlias = tuple[str, int]
"""A file's name in the package, and a line of it."""

_Tracer: TypeAlias = Any


class Reached:
    """
    The lines of functions that have run so far.

    It costs little once most lines have run: a function of which all have is not looked at.

    @param modules: the files to look at, by their names in the package; C{file.py:Name} for
        what in it has a name that begins so.
    @ivar lines: those that have run.
    @ivar all: those that there are.
    """

    def __init__(self, modules: Iterable[str]) -> None:
        self.lines: set[Line] = set()
        self.all: set[Line] = set()
        self._names: dict[str, str] = {}
        self._missing: dict[tuple[str, int], set[int]] = {}
        for module, _, name in (each.partition(":") for each in modules):
            path = str(_PACKAGE / module)
            self._names[path] = module
            for code in _functionsIn(path):
                if code.co_qualname.startswith(name):
                    lines = _linesOf(code)
                    self._missing[path, code.co_firstlineno] = lines
                    self.all |= {(module, line) for line in lines}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note what runs."""
        before = sys.gettrace()
        sys.settrace(self._called)
        try:
            yield
        finally:
            sys.settrace(before)

    def missing(self) -> dict[str, list[int]]:
        """Give the lines that have not run, by their files."""
        missing: dict[str, list[int]] = {}
        for module, line in sorted(self.all - self.lines):
            missing.setdefault(module, []).append(line)
        return missing

    def _called(self, frame: FrameType, event: str, argument: object) -> _Tracer:
        code = frame.f_code
        missing = self._missing.get((code.co_filename, code.co_firstlineno))
        if not missing:
            return None
        module = self._names[code.co_filename]

        def ran(frame: FrameType, event: str, argument: object) -> _Tracer:
            line = frame.f_lineno
            if line in missing:
                missing.discard(line)
                self.lines.add((module, line))
            return ran

        return ran(frame, event, argument)


@cache
def _functionsIn(path: str) -> list[CodeType]:
    return list(_functionsOf(compile(Path(path).read_text(), path, "exec")))


def _functionsOf(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            # The body of a class runs once, when it is imported; so do those of functions that
            # are nothing but a docstring never, for they are there for the type checker.
            isDeclaration = constant.co_consts[1:] == (None,) and not constant.co_names
            isFunction = bool(constant.co_flags & 0x02)  # CO_NEWLOCALS
            if isFunction and not isDeclaration:
                yield constant
            yield from _functionsOf(constant)


def _linesOf(code: CodeType) -> set[int]:
    lines = {line for _, _, line in code.co_lines() if line is not None}
    # The head of a function is no line that runs; where it is all on one line, that one is.
    return lines - {code.co_firstlineno} or lines
