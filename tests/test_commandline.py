"""
Tests for L{msgserver.commandline.running} and L{msgserver.commandline.connecting}: what a command
line comes to, without a server.
"""

from __future__ import annotations

import asyncio
import io
import os
import socket
import ssl
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from msgserver import commandline
from msgserver.commandline import running
from msgserver.commandline.connecting import CommandClient, connect, reason, tlsContext
from msgserver.commandline.options import Options, parse
from msgserver.commandline.output import Closed
from msgserver.commandline.sources import Interrupted
from msgserver.commandline.statuses import Status
from msgserver.commandparts import PASSWORD_VARIABLE, Complaint
from msgserver.errors import Forbidden, ProtocolError, Unauthorized
from tests.commandlines import SECRET, runInLoop


class ReasonTests(SynchronousTestCase):
    """Why something has failed, in words."""

    def test_words(self) -> None:
        """It is told without numbers of the system's, on one line, and never as nothing."""
        certificate = ssl.SSLCertVerificationError()
        certificate.verify_message = "self-signed certificate"
        plain = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)")
        plain.reason = "WRONG_VERSION_NUMBER"
        for error, text in (
            (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
            (plain, "it does not speak TLS"),
            (ssl.SSLError(1, "[SSL] internal error (_ssl.c:1)"), "[SSL] internal error (_ssl.c:1)"),
            (OSError("a\nb"), "a b"),
            (TimeoutError("no login within 1 seconds"), "no login within 1 seconds"),
            (ConnectionResetError(), "ConnectionResetError"),
            (Unauthorized("401 Unauthorized"), "401 Unauthorized"),
            (certificate, "its certificate is not trusted: self-signed certificate"),
        ):
            self.assertEqual(reason(error), text)


class TLSTests(SynchronousTestCase):
    """What TLS is spoken with."""

    def test_context(self) -> None:
        """Without TLS there is nothing; with it, who is there is always verified."""
        self.assertEqual(tlsContext(parse([])), None)
        context = tlsContext(parse(["--tls"]))
        assert context is not None
        self.assertTrue(context.check_hostname)
        self.assertEqual(context.verify_mode, ssl.CERT_REQUIRED)

    def test_noAuthorities(self) -> None:
        """A file that has none, or is none, is a mistake."""
        path = self.mktemp()
        Path(path).write_text("nothing")
        for name, text in (("missing", "No such file"), (path, "no certificate in PEM form")):
            complaint = self.assertRaises(Complaint, tlsContext, parse(["--ca", name]))
            self.assertEqual(complaint.status, Status.MISTAKEN)
            self.assertIn(f"--ca {name}: ", str(complaint))
            self.assertIn(text, str(complaint))


class Attempt:
    """A client whose first attempt comes to this."""

    reached = "the gate, g:1"

    def __init__(self, error: Exception | None, seconds: float = 0.0) -> None:
        self._error = error
        self._seconds = seconds

    async def whenConnected(self, failAfterFailures: int) -> None:
        """Wait for it."""
        assert failAfterFailures == 1
        await asyncio.sleep(self._seconds)
        if self._error is not None:
            raise self._error


class ConnectTests(SynchronousTestCase):
    """The first connection."""

    def connect(self, attempt: Any) -> None:
        """Wait for it."""
        runInLoop(connect(attempt, 5.0))

    def test_connected(self) -> None:
        """Where there is one, that is all."""
        self.connect(Attempt(None, 4.0))

    def test_refused(self) -> None:
        """A no is told as one, and by whom."""
        for refusal in (Unauthorized("401"), Forbidden("403")):
            complaint = self.assertRaises(Complaint, self.connect, Attempt(refusal))
            self.assertEqual(complaint.status, Status.REFUSED)
            self.assertEqual(str(complaint), f"refused by the gate, g:1: {refusal}")

    def test_unreachable(self) -> None:
        """Whatever else there was is told as well, and what was not reached."""
        for attempt, text in (
            (Attempt(OSError(111, "Connection refused")), "Connection refused"),
            (Attempt(ProtocolError("no login server")), "no login server"),
            (Attempt(TimeoutError("no login within 3 seconds")), "no login within 3 seconds"),
            (Attempt(None, 6.0), "nothing within 5 seconds"),
        ):
            complaint = self.assertRaises(Complaint, self.connect, attempt)
            self.assertEqual(complaint.status, Status.UNREACHABLE)
            self.assertEqual(str(complaint), f"cannot reach the gate, g:1: {text}")


class OfflineTests(SynchronousTestCase):
    """A client that stays away."""

    def test_noLogin(self) -> None:
        """Where it is told to stay away at once, it does not even try to log in."""

        async def main() -> None:
            with socket.socket() as listening:
                listening.bind(("127.0.0.1", 0))
                listening.listen()
                listening.setblocking(False)
                port = listening.getsockname()[1]
                client = CommandClient(parse(["--login", f"127.0.0.1:{port}"]), SECRET)
                client.goOffline()
                self.assertTrue(client.isOffline)
                for _ in range(100):
                    await asyncio.sleep(0)
                self.assertRaises(BlockingIOError, listening.accept)
                self.assertEqual(client.reached, "")
                client.goOnline()
                loop = asyncio.get_running_loop()
                accepted, _ = await loop.sock_accept(listening)
                accepted.close()
                self.assertIn(str(port), client.reached)
                await client.close()

        asyncio.run(main())

    def test_tooLate(self) -> None:
        """An attempt that comes to an end after that is no connection for long."""

        async def main() -> None:
            client = CommandClient(parse([]), SECRET)
            dropped: list[str] = []
            self.patch(client, "dropConnection", lambda: dropped.append("dropped"))
            client._happened("connected")
            self.assertEqual(dropped, [])
            client.goOffline()
            client._happened("connected")
            client._happened("back")
            self.assertEqual(dropped, ["dropped"] * 3)
            await client.close()

        asyncio.run(main())

    def test_secret(self) -> None:
        """Nothing that is written of a client has its token."""

        async def main() -> None:
            client = CommandClient(parse([]), SECRET)
            self.assertNotIn(SECRET.decode(), repr(client) + str(vars(client)))
            await client.close()

        asyncio.run(main())


class RunTests(SynchronousTestCase):
    """Exit statuses, and what is said of them."""

    def setUp(self) -> None:
        """Have a password, and nothing to read."""
        self.err = io.StringIO()
        self.patch(sys, "stdin", None)
        self.patch(sys, "stdout", None)
        self.patch(sys, "stderr", self.err)
        environment = patch.dict(os.environ, {PASSWORD_VARIABLE: SECRET.decode()})
        environment.start()
        self.addCleanup(environment.stop)

    def freePort(self) -> int:
        """Give a port that nobody listens on."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            return port

    def ends(self, error: BaseException) -> Status:
        """Give the status of a talk that ends so."""

        async def talk(options: Options, token: bytes, source: object) -> Status:
            raise error

        self.patch(running, "_talk", talk)
        return running.run([])

    def test_main(self) -> None:
        """The command exits with what comes of it."""
        for status in (Status.FINE, Status.FAILED):
            self.patch(running, "run", lambda arguments, status=status: status)
            self.assertEqual(self.assertRaises(SystemExit, commandline.main, []).code, status)

    def test_complaints(self) -> None:
        """What is wrong is told in one line, which no terminal obeys."""
        self.assertEqual(self.ends(Complaint(Status.REFUSED, "no\x1b[m\n")), Status.REFUSED)
        self.assertEqual(self.err.getvalue(), "msgserver-client: no\\x1b[m\\n\n")

    def test_interrupted(self) -> None:
        """Ctrl-C ends it without a word."""
        for error in (KeyboardInterrupt(), Interrupted()):
            self.assertEqual(self.ends(error), Status.INTERRUPTED)
        self.assertEqual(self.err.getvalue(), "")

    def test_closed(self) -> None:
        """Whoever has seen enough of it has no quarrel with it."""
        self.assertEqual(self.ends(Closed()), Status.FINE)
        self.assertEqual(self.err.getvalue(), "")

    def test_mistakesFirst(self) -> None:
        """A script's mistake is told before anybody is asked for anything."""
        self.patch(running, "takeToken", self.fail)
        self.assertEqual(running.run(["-c", "nonsense"]), Status.MISTAKEN)
        self.assertIn('"nonsense" is no command', self.err.getvalue())

    def test_unreachable(self) -> None:
        """Where nobody listens, one line says where, and the record has it; not the password."""
        record = self.mktemp()
        place = f"127.0.0.1:{self.freePort()}"
        arguments = ["--login", place, "--record", record, "-c", "send x"]
        self.assertEqual(running.run(arguments), Status.UNREACHABLE)
        said = self.err.getvalue()
        self.assertEqual(len(said.splitlines()), 1)
        self.assertTrue(
            said.startswith(f"msgserver-client: cannot reach the login server, {place}: ")
        )
        recorded = Path(record).read_text()
        self.assertIn('"complaint"', recorded)
        self.assertNotIn(SECRET.decode(), recorded + said)

    def test_noRecord(self) -> None:
        """A record that cannot be written is a mistake."""
        path = os.path.join(self.mktemp(), "x")
        self.assertEqual(running.run(["--record", path]), Status.MISTAKEN)
        self.assertIn("cannot be written", self.err.getvalue())
