"""
Tests for the load generators: what they find wrong, and what they count.
"""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from bench import generator
from bench.loadconnection import LEAST_WRITTEN, LoadError, Writer
from bench.loads import Kind, Load, LoadFigures, compiledGenerator, generatorCommand
from bench.servers import ROOT, BenchError
from tests.loadserver import (
    PATIENCE,
    Answer,
    Laggard,
    Reversing,
    Server,
    echo,
    packet,
    serve,
)

SHORT = 0.05
"""Seconds of a load."""


def onceWrong(wrong: Answer) -> Answer:
    """Answer well, but for one request of connection 1."""

    def answer(connection: int, number: int, content: bytes, session: bytes) -> bytes | None:
        good = connection != 1 or number != 7
        return (serve if good else wrong)(connection, number, content, session)

    return answer


_none = r"a response of session \d+, of which no request is outstanding"
_content = r"the response of session \d+ has another content"
_gone = (
    r"(closed by the server|Connection reset by peer|Broken pipe), with \d requests not answered"
)

WRONGS: list[tuple[Answer, str]] = [
    (lambda _, __, content, session: serve(0, 0, b"?" + content[1:], session), _content),
    (lambda _, __, content, session: serve(0, 0, content[:-1] + b"?", session), _content),
    (lambda _, __, content, session: serve(0, 0, content, b"?" + session[1:]), _none),
    (lambda _, __, content, session: serve(0, 0, content, b"????"), _none),
    (lambda _, __, content, session: 2 * serve(0, 0, content, session), _none),
    (lambda _, __, content, session: packet(content, b"\0", session), r".* has flag 0"),
    (lambda _, __, content, session: packet(b"\0", session), "a response of 5 bytes, where 21"),
    (lambda _, __, content, session: echo(0, 0, content, session), "a response of 20 bytes, where"),
    (lambda _, __, content, session: None, _gone),
]
"""What is wrong about an answer, and what is said of it."""


class LoadTests(SynchronousTestCase):
    """Loads, as the generator in Python makes them."""

    compiled = False

    def load(
        self, server: Server, kind: Kind = "gate", hellos: bytes | None = None, **how: int
    ) -> Load:
        """Make a load of two connections, with four requests of 16 bytes each."""
        shape = {"connections": 2, "depth": 4, "size": 16} | how
        return Load(server.port, kind=kind, hellos=hellos, compiled=self.compiled, **shape)

    def closed(self, server: Server, kind: Kind = "gate", **how: int) -> LoadFigures:
        """Drive a server, in a closed loop."""
        with server, self.load(server, kind, None, **how) as load:
            return load.closed(SHORT)

    def errorOf(self, server: Server, hellos: bytes | None = None) -> str:
        """Drive a server that does something wrong, and give what is said of it."""
        with server:
            # Longer than it takes, as it ends at once.
            error = self.assertRaises(BenchError, self.drive, self.load(server, hellos=hellos))
        return str(error)

    def drive(self, load: Load) -> None:
        """Keep up a load for a long time."""
        with load:
            load.closed(PATIENCE)

    def program(self, arguments: str, commands: str = "") -> subprocess.CompletedProcess[str]:
        """Run it as a program."""
        return subprocess.run(
            [*generatorCommand(self.compiled), *arguments.split()],
            cwd=ROOT,
            input=commands,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def test_closed(self) -> None:
        """What was answered within the window is counted, and the rest is waited for."""
        kinds: list[tuple[Kind, Answer]] = [("echo", echo), ("gate", serve)]
        for kind, answer in kinds:
            server = Server(answer)
            figures = self.closed(server, kind)
            self.assertAlmostEqual(figures.seconds, SHORT)
            self.assertAlmostEqual(figures.rate * figures.seconds, figures.requests)
            # Beside these: a first request on each connection, and those of the end.
            others = len(server.contents) - figures.requests
            self.assertTrue(2 <= others <= 2 + 2 * 4, others)
            self.assertTrue(0 < figures.p50 <= figures.p99 <= figures.p999 <= figures.max)
            self.assertTrue(0 <= figures.idle <= 1, figures)

    def test_contents(self) -> None:
        """Contents differ, from request to request and from connection to connection."""
        contents: list[bytes] = []

        def answer(connection: int, number: int, content: bytes, session: bytes) -> bytes:
            if number < 5:
                contents.append(content)
            return serve(connection, number, content, session)

        self.closed(Server(answer), connections=4)
        self.assertEqual(len(contents), 4 * 5)
        self.assertEqual(len(set(contents)), 4 * 5)

    def test_sizes(self) -> None:
        """A content may be empty, and so long that a response is all a packet can hold."""
        for size in (0, 1, 65_530):
            server = Server(serve)
            self.closed(server, size=size)
            self.assertEqual({len(content) for content in server.contents}, {size})

    def test_twice(self) -> None:
        """The same connections bear one load after the other."""
        server = Server(serve)
        with server, self.load(server) as load:
            loads = [load.closed(SHORT), load.open(SHORT, 1000), load.closed(SHORT)]
        others = len(server.contents) - sum(each.requests for each in loads)
        self.assertTrue(2 <= others <= 2 + 8 + 50 + 8, others)
        self.assertEqual(load.isCompiled, self.compiled)

    def test_open(self) -> None:
        """There are as many requests as the rate says, whatever becomes of their answers."""
        server = Server(serve)
        with server, self.load(server) as load:
            figures = load.open(0.5, 200)
        self.assertEqual(len(server.contents), 2 + 100)
        self.assertTrue(0 < figures.requests <= 100, figures)

    def test_openBeyondDepth(self) -> None:
        """A request goes out on schedule, however many are outstanding: fours need that here."""
        server = Server(Reversing())
        with server, self.load(server, depth=1) as load:
            load.open(0.04, 1000)
        self.assertEqual(len(server.contents), 2 + 40)

    def test_anyOrder(self) -> None:
        """Responses may come in any order."""
        server = Server(Reversing())
        self.closed(server)
        self.assertGreaterEqual(len(server.contents), 2 + 2 * 4)
        self.assertEqual(len(server.contents) % 4, 2)

    def test_late(self) -> None:
        """A response may come after those of a great many later requests."""
        server = Server(Laggard())
        with server, self.load(server, connections=1, depth=1) as load:
            load.open(0.11, 1000)
        self.assertEqual(len(server.contents), 1 + 110)

    def test_handshakes(self) -> None:
        """Each connection sends a handshake of its own, and no request before its verdict."""
        server = Server(serve, verdict=b"200 OK")
        hellos = packet(b"one:1:") + packet(b"another:1:")
        with server, self.load(server, hellos=hellos) as load:
            self.assertEqual(server.contents, [])
            load.closed(SHORT)
        self.assertGreater(len(server.contents), 0)

    def test_shortSends(self) -> None:
        """What the system does not take at once is sent later."""
        server = Server(serve, buffer=4096)
        self.closed(server, connections=1, depth=64, size=60_000)
        self.assertGreaterEqual(len(server.contents), 64)

    def test_manyConnections(self) -> None:
        """All connections are made, though the system would not take in as many at once."""
        server = Server(serve)
        self.closed(server, connections=200, depth=1)
        self.assertGreaterEqual(len(server.contents), 400)

    def test_wrong(self) -> None:
        """Whatever is not as it must be is found, and told with its connection."""
        for wrong, expected in WRONGS:
            error = self.errorOf(Server(onceWrong(wrong)))
            self.assertRegex(error, f"^connection 1: {expected}")

    def test_early(self) -> None:
        """An old response that would fit the next request, once it is sent, fits nothing yet."""
        sent: list[bytes] = []

        def answer(connection: int, number: int, content: bytes, session: bytes) -> bytes:
            response = serve(connection, number, content, session)
            sent.append(response)
            # Of the generator in Python, a request comes again after so many others.
            again = number == 20 and sent[number + 1 - LEAST_WRITTEN]
            return response + again if again else response

        with Server(answer) as server:
            load = self.load(server, connections=1, depth=1)
            error = self.assertRaises(BenchError, self.drive, load)
        self.assertRegex(str(error), f"^connection 0: {_none}")

    def test_refused(self) -> None:
        """A handshake that is refused is told with its verdict."""
        hellos = packet(b"one:1:") + packet(b"another:1:")
        error = self.errorOf(Server(serve, verdict=b"403 Index Expired"), hellos)
        # Of two that are refused, either may be first.
        self.assertRegex(
            error, r"\Aconnection [01]: its handshake was answered '403 Index Expired'\Z"
        )

    def test_fewHandshakes(self) -> None:
        """There must be a handshake for each connection."""
        for hellos in (packet(b"one:1:"), packet(b"one:1:") + packet(b"another:1:")[:-1]):
            error = self.errorOf(Server(serve, verdict=b"200 OK"), hellos)
            self.assertEqual(error, "there are only 1 handshakes for 2 connections")

    def test_nobody(self) -> None:
        """A server that does not listen is told."""
        with socket.socket() as nobody:
            # Bound, so that nobody else listens there; and it does not listen itself.
            nobody.bind(("127.0.0.1", 0))
            load = Load(nobody.getsockname()[1], 1, 1, 16, "echo", compiled=self.compiled)
            error = self.assertRaises(BenchError, load.__enter__)
        self.assertEqual(str(error), "connection 0: Connection refused")

    def test_noCore(self) -> None:
        """A core that there is not is told."""
        with Server(serve) as server:
            load = self.load(server, cpu=100_000)
            error = self.assertRaises(BenchError, load.__enter__)
        self.assertIn("there is no core 100000 to run on", str(error))

    def test_misused(self) -> None:
        """Arguments that are none are told in one line."""
        for arguments, expected in (
            ("", "usage: generator PORT CONNECTIONS DEPTH SIZE echo|gate HELLOS|-"),
            ("0 1 1 16 echo -", "generator: PORT: '0' is no number from 1 to 65535"),
            ("1 1 1 65531 echo -", "generator: SIZE: '65531' is no number from 0 to 65530"),
            ("1 1 -1 16 echo -", "generator: DEPTH: '-1' is no number from 1 to 65536"),
            ("1 1 1 16 e -", "generator: KIND: 'e' is neither echo nor gate"),
        ):
            done = self.program(arguments)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertEqual(done.stderr, expected + "\n")

    def test_commands(self) -> None:
        """It ends well with its input, and badly with a command that there is not."""
        with Server(serve) as server:
            arguments = f"{server.port} 1 1 16 gate -"
            done = self.program(arguments)
            self.assertEqual((done.returncode, done.stdout), (0, '{"connected": 1}\n'))
            for command in ("faster", "closed", "closed x", "closed 0", "closed 1 2", "open 1"):
                done = self.program(arguments, command + "\n")
                self.assertEqual(done.returncode, 1)
                told = f'{{"error": "there is no command \'{command}\'"}}'
                self.assertEqual(done.stdout.splitlines()[1:], [told])


class SilenceTests(SynchronousTestCase):
    """Servers that answer nothing."""

    def test_silence(self) -> None:
        """A server that answers nothing is given up."""
        self.patch(generator, "PATIENCE", SHORT)
        with Server(lambda *_: b"") as server:
            load = generator.Generator(server.port, 1, Writer(16, False))
            error = self.assertRaises(LoadError, load.connect, 1, None)
            load.close()
        self.assertEqual(str(error), f"connection 0: nothing was answered for {SHORT} s")


class CompiledLoadTests(LoadTests):
    """The generator in C, where there is a compiler."""

    compiled = True

    def setUp(self) -> None:
        """See whether there is one."""
        if compiledGenerator() is None:
            raise SkipTest("there is no C compiler")


class CompilingTests(SynchronousTestCase):
    """Whether there is a compiled generator."""

    def test_none(self) -> None:
        """Without a compiler it is said, once, and the generator is the one in Python."""
        said = io.StringIO()
        self.patch(sys, "stderr", said)
        self.patch(os, "environ", {**os.environ, "CC": "no-such-compiler"})
        self.addCleanup(compiledGenerator.cache_clear)
        compiledGenerator.cache_clear()
        for _ in range(2):
            self.assertFalse(Load(1, 1, 1, 16, "echo").isCompiled)
        text = "The load is made by Python, which may be the bottleneck: there is no C compiler."
        self.assertEqual(said.getvalue(), text + "\n")
        self.assertRaises(BenchError, Load, 1, 1, 1, 16, "echo", compiled=True)
