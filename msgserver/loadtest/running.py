"""
A whole load test: a server if need be, one request, and then all of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, TextIO

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import LoopingCall

from msgserver.commandparts import Complaint
from msgserver.loadtest.credentials import passwordTokens
from msgserver.loadtest.demo import Demo
from msgserver.loadtest.figures import Figures
from msgserver.loadtest.files import checkFiles, raiseFileLimit
from msgserver.loadtest.live import Display, Progress
from msgserver.loadtest.options import Options
from msgserver.loadtest.plan import Plan, withTarget
from msgserver.loadtest.probe import Probe
from msgserver.loadtest.reaching import Reach
from msgserver.loadtest.statuses import Status
from msgserver.loadtest.workers import Workers

_SHOW = 0.5
"""Seconds between two looks at how it is going."""


class Run:
    """
    One load test.

    @param err: where to show how it is going.
    @param now: tells the time, in seconds; it must not jump.
    """

    def __init__(
        self, options: Options, reactor: Any, err: TextIO, now: Callable[[], float]
    ) -> None:
        self._options = options
        self._reactor = reactor
        self._err = err
        self._now = now
        self._preparing: Deferred[Plan] | None = None
        self._workers: Workers | None = None
        self._demo: Demo | None = None
        self._isEarly = False
        # The server's seconds of CPU when the measuring began, and the time of that.
        self._serverBegan: tuple[float, float] | None = None
        self._serverCpu: float | None = None

    async def run(self) -> Figures:
        """
        Do it.

        @raise Complaint: there is nothing to report.
        """
        try:
            self._preparing = Deferred.fromCoroutine(self._ready(self._options.plan))
            return await self._run(await self._preparing)
        except CancelledError:
            raise Complaint(Status.INTERRUPTED, "interrupted") from None
        finally:
            if self._demo is not None:
                await self._demo.stop()

    def stop(self) -> None:
        """End early; a second time, wait for no more answers."""
        self._isEarly = True
        if self._workers is not None:
            self._workers.stop()
        elif self._preparing is not None:
            self._preparing.cancel()

    async def _ready(self, plan: Plan) -> Plan:
        """Start the server if there is to be one, and give the plan with where it is."""
        # Who is started inherits it.
        checkFiles(plan, self._options.processes, raiseFileLimit())
        if self._options.isDemo:
            self._demo = demo = Demo(plan.users, self._reactor)
            await demo.ready
            tokens = passwordTokens(plan, demo.password.encode())
            plan = withTarget(plan, tokens=tokens, **demo.addresses)
        try:
            reach = Reach(plan.target, self._reactor)
        except ValueError as error:
            raise Complaint(Status.MISTAKEN, f"--ca: {error}") from None
        await Probe(plan, self._reactor, reach).run()
        return plan

    async def _run(self, plan: Plan) -> Figures:
        processes = self._options.processes
        began = datetime.now().astimezone().isoformat(timespec="seconds")
        progress = Progress(processes, self._now)
        self._workers = Workers(plan.shares(processes), self._reactor, progress.tell)
        display = Display(plan, progress, self._err)

        def look() -> None:
            display.show()
            self._measureServer(progress.elapsed)

        looking = LoopingCall(look)

        def begin() -> None:
            progress.start()
            looking.start(_SHOW, now=False)

        try:
            results = await self._workers.run(begin)
        finally:
            if looking.running:
                looking.stop()
            display.close()
        return Figures(plan, results, began, processes, self._isEarly, self._serverCpu)

    def _measureServer(self, time: float) -> None:
        """Look at what the server has taken, from the ramp's end to the measuring's."""
        plan = self._options.plan
        if self._demo is None or not plan.ramp <= time <= plan.ramp + plan.duration:
            return
        if (cpu := self._demo.cpuSeconds) is None:
            return
        if self._serverBegan is None:
            self._serverBegan = cpu, time
            return
        began, since = self._serverBegan
        self._serverCpu = (cpu - began) / max(time - since, 1e-9)


def writeFiles(figures: Figures, options: Options) -> None:
    """
    Write what the command line asks for.

    @raise Complaint: it cannot be written.
    """
    try:
        if options.json is not None:
            with open(options.json, "w", encoding="ascii") as file:
                json.dump(figures.document(), file, indent=1)
                file.write("\n")
        if options.html is not None:
            # It takes a second to import.
            from msgserver.loadtest.page import page

            with open(options.html, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(page(figures))
    except OSError as error:
        raise Complaint(Status.FAILED, f"the report cannot be written: {error.strerror}") from None
