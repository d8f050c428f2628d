"""
L{msgserver.jsonlog}: whatever is logged, each line is one JSON object.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from io import BytesIO, StringIO
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from twisted.application.twist._options import TwistOptions
from twisted.logger import (
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    LogPublisher,
    jsonFileLogObserver,
    textFileLogObserver,
)
from twisted.python import log as legacy
from twisted.python.failure import Failure
from twisted.scripts.twistd import ServerOptions  # type: ignore[attr-defined]  # as docs say
from twisted.trial.unittest import SynchronousTestCase

from msgserver.interfaces import User
from msgserver.jsonlog import LONGEST_LINE, formatAsJSON, jsonLogObserver, useLogFormat
from tests.pages import FolderTestCase

FIELDS = ["time", "level", "source", "message"]


class Odd:
    """What cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


class FormatTests(SynchronousTestCase):
    """What a line says."""

    def setUp(self) -> None:
        """Log to memory."""
        self.file = StringIO()
        observer = LogPublisher(jsonLogObserver(self.file))
        self.log = Logger(namespace="msgserver.x.Y", observer=observer)

    def taken(self) -> list[dict[str, Any]]:
        """Give what the lines say, since the last time."""
        text = self.file.getvalue()
        self.file.seek(0)
        self.file.truncate()
        self.assertTrue(text == "" or text.endswith("\n"))
        return list(map(parse, text.splitlines()))

    def said(self) -> dict[str, Any]:
        """Give what the one line says."""
        (line,) = self.taken()
        return line

    def test_line(self) -> None:
        """The parts that all have, in their order; then the event's own fields."""
        self.log.warn("{a} of {b}", a=1, b="two", event="limit")
        line = self.said()
        self.assertEqual(list(line), ["time", "level", "source", "event", "message", "a", "b"])
        del line["time"]
        self.assertEqual(
            line,
            {
                "level": "warn",
                "source": "msgserver.x.Y",
                "event": "limit",
                "message": "1 of two",
                "a": 1,
                "b": "two",
            },
        )

    def test_time(self) -> None:
        """UTC, in milliseconds; whatever else it is, there is one."""
        self.assertEqual(lineOf(log_time=1.0625)["time"], "1970-01-01T00:00:01.062Z")
        for time in (None, "x", 1e300, float("nan")):
            pattern = r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z"
            self.assertRegex(lineOf(log_time=time)["time"], pattern)

    def test_levels(self) -> None:
        """Each has its name."""
        for level in LogLevel.iterconstants():
            self.log.emit(level, "x")
        self.assertEqual(
            [line["level"] for line in self.taken()],
            ["debug", "info", "warn", "error", "critical"],
        )

    def test_bytes(self) -> None:
        """Bytes are text; what is none is escaped."""
        self.log.info("hello", uid=b"\xc3\xa9\xff", odd="\udcff")
        line = self.said()
        self.assertEqual(
            (line["uid"], line["odd"]), ("\N{LATIN SMALL LETTER E WITH ACUTE}\\xff", "\\udcff")
        )

    def test_plain(self) -> None:
        """Numbers are numbers, lists are lists; what JSON has no word for is text."""
        self.log.info(
            "hello",
            numbers=[1, 2.5, True, None, float("inf")],
            nested=(((1,), ((((b"x",),),),)),),
            big=2**70,
            source="here",
            process="gate 1",
        )
        line = self.said()
        self.assertEqual(line["numbers"], [1, 2.5, True, None, "inf"])
        self.assertEqual(line["nested"], [[[1], ["(((b'x',),),)"]]])
        self.assertEqual((line["big"], line["source_"], line["process"]), (2**70, "here", "gate 1"))
        self.assertEqual(line["source"], "msgserver.x.Y")

    def test_objects(self) -> None:
        """An object is told where the message tells it, and nowhere else: it may hold anything."""
        self.log.info("{user}", user=User(b"a", b"b", b"c"), other=object(), table={"a": 1})
        line = self.said()
        self.assertEqual(list(line), FIELDS)
        self.assertEqual(line["message"], "User(uid=b'a', subid=b'b', server=b'c')")

    def test_failure(self) -> None:
        """A failure is in one line, its traceback a field."""
        try:
            raise ValueError("one\ntwo")
        except ValueError:
            self.log.failure("it {what}", what="failed")
            self.log.failure("")
        for line, message in zip(self.taken(), ("it failed", "two"), strict=True):
            self.assertEqual((line["level"], line["message"]), ("critical", message))
            self.assertIn("test_failure", line["traceback"])
            self.assertIn("builtins.ValueError: one\ntwo", line["traceback"])

    def test_noTraceback(self) -> None:
        """A failure that cannot be shown is one all the same."""
        failure = Failure(ValueError())
        failure.getTraceback = Odd().__str__  # type: ignore[assignment]  # as a bug of somebody's
        line = lineOf(log_failure=failure)
        self.assertEqual(line["traceback"], "a failure without a traceback: RuntimeError")

    def test_legacy(self) -> None:
        """What the old way of logging says is said, without its trappings."""
        publisher = legacy.LogPublisher(publishPublisher=LogPublisher(jsonLogObserver(self.file)))
        publisher.msg("hello", "you", system="old", number=5)
        publisher.msg(format="%(a)s", a="b")
        first, second = self.taken()
        self.assertEqual(list(first), [*FIELDS, "number"])
        self.assertEqual((first["message"], first["source"]), ("hello you", "old"))
        self.assertEqual((second["message"], second["a"]), ("b", "b"))

    def test_nothing(self) -> None:
        """What says nothing is no line; but an event is, without a word."""
        self.log.info("")
        self.log.info()
        self.assertEqual(self.taken(), [])
        self.log.info(event="limit", port="gate")
        self.assertEqual((self.said())["port"], "gate")

    def test_oddities(self) -> None:
        """Nothing that is logged makes it fail."""
        self.log.info("{odd}", odd=Odd())
        self.assertIn("odd", self.said()["message"])
        self.log.info("{missing}")
        self.assertIn("missing", self.said()["message"])
        self.assertEqual(
            lineOf(event=Odd())["message"], "an event could not be written: RuntimeError"
        )
        self.assertEqual(lineOf(log_namespace=b"\xff")["source"], "\\xff")

    def test_lines(self) -> None:
        """Whatever a stranger has put into it, a line is one line, of ASCII."""
        self.log.info("{text}", text='"}\r\n{"level": "critical"\u2028\x00\x1e')
        text = self.file.getvalue()
        self.assertTrue(text.isascii())
        self.assertEqual(len(self.taken()), 1)
        self.assertEqual(len(text.splitlines()), 1)

    def test_long(self) -> None:
        """What is too long is cut, and says so; the end of a traceback stays."""
        for character in ("x", "\N{GRINNING FACE}", "\x00"):
            self.log.info("{long}", long=character * LONGEST_LINE, event="e")
            text = self.file.getvalue()
            self.assertLessEqual(len(text), LONGEST_LINE + 1)
            line = self.said()
            self.assertIs(line["truncated"], True)
            self.assertEqual((line["event"], line["message"]), ("e", character * 2000))
            self.assertNotIn("long", line)
        failure = Failure(ValueError("x" * LONGEST_LINE + "end"))
        self.assertTrue(lineOf(log_failure=failure)["traceback"].endswith("end\n"))

    def test_relayed(self) -> None:
        """What another process has logged is written as that, and tells which process it was."""
        said = {"time": "then", "level": "warn", "source": "s", "message": "m", "extra": [1]}
        self.log.info("[{process}] m", process="gate 1", relayed=said)
        self.assertEqual(self.said(), {**said, "process": "gate 1"})
        self.log.info("m", process="gate 1", relayed={**said, "extra": "x" * LONGEST_LINE})
        self.assertEqual((self.said())["process"], "gate 1")

    def test_binary(self) -> None:
        """A file of bytes is as good."""
        file = BytesIO()
        observer = jsonLogObserver(file)
        self.assertTrue(ILogObserver.providedBy(observer))
        observer({"log_format": "hello"})
        self.assertEqual(parse(file.getvalue().decode())["message"], "hello")

    @settings(
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=50,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        some.dictionaries(
            some.text(),
            some.recursive(
                some.none()
                | some.booleans()
                | some.integers()
                | some.floats()
                | some.text()
                | some.binary()
                | some.builds(object),
                lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner),
            ),
        )
    )
    def test_anything(self, event: LogEvent) -> None:
        """Any event is nothing, or one line that parses."""
        text = formatAsJSON({"log_format": "x", **event})
        if text is not None:
            self.assertEqual(len(text.splitlines()), 1)
            self.assertLessEqual(set(FIELDS) - {"message"}, set(parse(text)))


def lineOf(**event: Any) -> dict[str, Any]:
    """Give what an event's line says."""
    text = formatAsJSON({"log_format": "hello", **event})
    assert text is not None
    return parse(text)


def parse(line: str) -> dict[str, Any]:
    """Read a line strictly: JSON has no NaN, nor twice the same key."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs), pairs
        return dict(pairs)

    def never(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    said: dict[str, Any] = json.loads(line, object_pairs_hook=once, parse_constant=never)
    return said


class TwistdTests(FolderTestCase):
    """What twistd is told."""

    def options(self, *arguments: str) -> ServerOptions:
        """Give twistd's options; not those of a plugin."""
        options = ServerOptions()
        options.parseOptions(arguments)
        return options

    def write(self, *arguments: str) -> None:
        """Log to where a command line says."""
        options = self.options(*arguments)
        useLogFormat("json", options)
        observer = self.observer(options)
        self.assertTrue(ILogObserver.providedBy(observer))
        observer({"log_format": "hello"})

    def observer(self, options: ServerOptions) -> ILogObserver:
        """Give the observer that twistd would take: it is told its name."""
        options.postOptions()
        observer: ILogObserver = options["logger"]()
        return observer

    def test_text(self) -> None:
        """Unless told otherwise, and for text, it goes its own way."""
        for name in (None, "", "text"):
            options = self.options()
            useLogFormat(name, options)
            self.assertFalse(options.get("logger"))

    def test_stdout(self) -> None:
        """In the foreground that is stdout, as it is for a dash."""
        for arguments in (["-n"], ["-n", "--logfile", "-"]):
            stdout = StringIO()
            self.patch(sys, "stdout", stdout)
            self.write(*arguments)
            self.assertEqual(parse(stdout.getvalue())["message"], "hello")

    def test_file(self) -> None:
        """A file that is named, in the foreground or not; a daemon has one of its own."""
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        for name, arguments in (
            ("a", ["-n", "--logfile", "a"]),
            ("b", ["--logfile", str(self.folder / "b")]),
            ("twistd.log", []),
        ):
            self.write(*arguments)
            self.assertEqual(parse((self.folder / name).read_text())["message"], "hello")

    def test_rotate(self) -> None:
        """SIGUSR1 begins a new file, in the reactor's turn; not where somebody else takes it."""
        if not hasattr(signal, "SIGUSR1"):
            return
        handlers: list[Any] = [signal.SIG_DFL]
        self.patch(signal, "getsignal", lambda number: handlers[-1])
        self.patch(signal, "signal", lambda number, handler: handlers.append(handler))
        file = self.folder / "log"
        calls: list[Any] = []
        from twisted.internet import reactor

        self.patch(reactor, "callFromThread", calls.append)
        self.write("--logfile", str(file))
        self.assertEqual(len(handlers), 2)
        handlers[-1](signal.SIGUSR1, None)
        self.assertFalse((self.folder / "log.1").exists())
        calls.pop()()
        self.assertEqual(file.read_text(), "")
        self.assertIn("hello", (self.folder / "log.1").read_text())
        self.write("--logfile", str(file))
        self.assertEqual(len(handlers), 2)

    def test_refused(self) -> None:
        """What cannot be is one line: what, and why."""
        self.assertRefused(
            "--log-format: must be one of text, json, not 'xml'", "xml", self.options()
        )
        self.assertRefused(
            "--log-format: json does not go together with --syslog",
            "json",
            self.options("--syslog"),
        )
        self.assertRefused(
            "--log-format: json does not go together with --logger",
            "json",
            self.options("--logger", "msgserver.jsonlog.twistdObserver"),
        )
        options = self.options("--logfile", "-")
        useLogFormat("json", options)
        error = self.assertRaises(SystemExit, self.observer, options)
        self.assertEqual(str(error), "--logfile: daemons cannot log to stdout")

    def assertRefused(self, text: str, name: str, options: ServerOptions) -> None:
        """See it refused."""
        error = self.assertRaises(SystemExit, useLogFormat, name, options)
        self.assertEqual(str(error), text)

    def test_nobody(self) -> None:
        """Where there is neither, as in tests, there is nothing to be told."""
        useLogFormat("json", None)


class TwistTests(SynchronousTestCase):
    """What twist is told."""

    def test_json(self) -> None:
        """It writes our lines to where it writes; text is text, though it may be no terminal."""
        for name, factory in (
            ("json", jsonLogObserver),
            ("text", textFileLogObserver),
            ("", jsonFileLogObserver),
        ):
            options = TwistOptions()
            options["logFile"] = StringIO()
            options.selectDefaultLogObserver()
            useLogFormat(name, options)
            self.assertIs(options["fileLogObserverFactory"], factory)
