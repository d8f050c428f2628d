"""
What a play is run against.
"""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from attrs import frozen

from tests.fuzz.plays import Grammar, Play, Verb
from tests.fuzz.watching import Broken, Watch, watching

_LONGEST_LINE = 300
"""The most characters that are told of anything in one line."""


class Part:
    """
    A part of a stage: what does a verb is its method C{play_VERB}.

    @cvar verbs: what it can do.
    """

    verbs: ClassVar[Mapping[str, Verb]] = {}


class Stage:
    """
    What a play is run against. It is made anew for each.

    @ivar watch: sees the log.
    @ivar parts: what has the verbs; the stage has some of its own.
    """

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.parts: list[Any] = []

    def check(self) -> None:
        """
        See that all holds, after each action.

        @raise Broken: something does not.
        """

    def finish(self) -> None:
        """
        End what is left, and see that nothing is.

        @raise Broken: something is.
        """


@frozen
class Target:
    """
    Something to fuzz.

    @ivar modules: what of msgserver it is about, as L{tests.fuzz.reached} names it.
    @ivar related: the targets whose plays are plays of this one, too.
    """

    name: str
    grammar: Grammar
    makeStage: Callable[[Watch], Stage]
    modules: Sequence[str]
    related: Sequence[str] = ()

    def run(self, play: Play) -> None:
        """
        Run one play.

        @raise Broken: something that must hold did not, or an exception came out.
        """
        done = 0
        try:
            with watching() as watch:
                stage = self.makeStage(watch)
                methods = {
                    verb: getattr(part, f"play_{verb}")
                    for part in stage.parts
                    for verb in part.verbs
                }
                for action in play:
                    done += 1
                    methods[action.verb](*action.values)
                    stage.check()
                    watch.check()
                done = len(play) + 1
                stage.finish()
                watch.check()
        except Broken as broken:
            raise Broken(f"{self._place(play, done)}: {_short(str(broken))}") from None
        except Exception as error:
            text = _short("".join(traceback.format_exception(error)))
            raise Broken(f"{self._place(play, done)}: an exception came out:\n{text}") from error

    def runText(self, text: bytes) -> None:
        """Run a play from its text."""
        self.run(self.grammar.read(text))

    def runCollecting(self, play: Play) -> None:
        """
        Run a play, and see what becomes of the garbage that it leaves: a Deferred that failed
        and was never looked at tells it only then.
        """
        with watching() as watch:
            self.run(play)
            gc.collect()
            watch.check()

    def _place(self, play: Play, done: int) -> str:
        if not done:
            return "before the first action"
        if done > len(play):
            return "at the end"
        (line,) = self.grammar.write(play[done - 1 : done]).decode().splitlines()
        return f"action {done} of {len(play)} ({line[:80]})"


def _short(text: str) -> str:
    return "\n".join(line[:_LONGEST_LINE] for line in text.splitlines())
