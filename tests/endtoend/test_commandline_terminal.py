"""C{msgserver-client} on terminals: prompts, colours, and passwords that are not shown."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import time
from collections.abc import Sequence
from select import select

from tests.endtoend.processes import PATIENCE, ROOT, waitUntil
from tests.endtoend.test_commandline import PASSWORD, CommandLineTestCase


class Terminal:
    """
    A terminal that a command runs on.

    @ivar shown: everything that it was given to show.
    """

    def __init__(self, arguments: Sequence[str], environment: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        self.shown = ""
        # What was waited for stands before this.
        self._seen = 0
        self.process = subprocess.Popen(
            arguments,
            cwd=ROOT,
            env=environment,
            # It is what controls the process, as one is that a shell runs on.
            preexec_fn=lambda: os.login_tty(slave),
            pass_fds=[slave],
        )
        os.close(slave)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def expect(self, pattern: str) -> None:
        """Wait until this is shown, behind all that was waited for before."""
        deadline = time.monotonic() + PATIENCE
        while (match := re.search(pattern, self.shown[self._seen :])) is None:
            if time.monotonic() > deadline or not self._read():
                raise AssertionError(f"never: {pattern!r}, but {self.shown!r}")
        self._seen += match.end()

    def end(self) -> int:
        """Wait for the end, and give the exit status."""
        while self._read():
            pass
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        """End it."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)

    def _read(self) -> bool:
        """Read some, and say whether there is to be more."""
        ready, _, _ = select([self._master], [], [], PATIENCE)
        if not ready:
            return False
        try:
            piece = os.read(self._master, 65536)
        except OSError:
            # This is how Linux tells that nobody is at the other end.
            return False
        self.shown += piece.decode()
        return bool(piece)


class TerminalTests(CommandLineTestCase):
    """Prompts, colours and passwords."""

    def open(self, *options: str, **environment: str) -> Terminal:
        """Run the command on a terminal."""
        shell = self.environment(**{"TERM": "xterm-256color", **environment})
        terminal = Terminal(self.arguments(*options), shell)
        self.addCleanup(terminal.close)
        return terminal

    def test_prompt(self) -> None:
        """One types at a prompt; all is shown in colours, and the end of the input ends it."""
        terminal = self.open()
        terminal.expect(r"\x1b\[1;32mconnected\x1b\[0m: alice at sample")
        terminal.expect("msgserver>")
        terminal.type("hello there\r")
        terminal.expect(r"\x1b\[32m#1 answered after [\d.]+ ms\x1b\[0m: hello there\r\n")
        terminal.type("refuse:no\r")
        terminal.expect(r"\x1b\[1;31m#2 failed after [\d.]+ ms\x1b\[0m: no\r\n")
        terminal.type("expect-fail no\r")
        terminal.type("sleep soon\r")
        terminal.expect(r"\x1b\[31mhow long\? ")
        terminal.type("cut\r")
        terminal.expect(r"\x1b\[1;32mback\x1b\[0m")
        # Before it is there again, the terminal would take it for itself.
        terminal.expect("msgserver>")
        terminal.type("\x04")
        self.assertEqual(terminal.end(), 0)
        self.assertNotIn(PASSWORD, terminal.shown)

    def test_completed(self) -> None:
        """The tabulator completes commands."""
        terminal = self.open()
        terminal.expect("msgserver>")
        terminal.type("sta\t\r")
        terminal.expect("connected, alice at sample")
        terminal.type("quit\r")
        self.assertEqual(terminal.end(), 0)

    def test_noColour(self) -> None:
        """With NO_COLOR there is a prompt, and nothing is coloured."""
        terminal = self.open(NO_COLOR="1")
        terminal.expect("msgserver>")
        terminal.type("hello\r")
        terminal.expect(r"#1 answered after [\d.]+ ms: hello\r\n")
        # Before it is there again, the terminal would take it for itself.
        terminal.expect("msgserver>")
        terminal.type("\x04")
        self.assertEqual(terminal.end(), 0)
        self.assertNotRegex(terminal.shown, r"\x1b\[[\d;]*3[1-7]m")

    def test_interrupted(self) -> None:
        """Ctrl-C ends it, at a prompt, and while something is waited for."""
        for typed in ("", "sleep 60\r"):
            terminal = self.open("--record", str(self.folder / "typed"))
            terminal.expect("msgserver>")
            terminal.type(typed)
            if typed:
                record = self.folder / "typed"
                waitUntil(lambda: "sleep 60" in record.read_text(), "it sleeps")  # noqa: B023
            terminal.type("\x03")
            self.assertEqual(terminal.end(), 130)
            self.assertNotIn("Traceback", terminal.shown)

    def test_password(self) -> None:
        """A password is asked for where there is none, and not shown."""
        environment = self.environment(TERM="xterm-256color")
        del environment["MSGSERVER_PASSWORD"]
        for typed, status in ((f"{PASSWORD}\r", 0), ("guessed\r", 3), ("\x03", 130)):
            terminal = Terminal(self.arguments("-c", "send hello"), environment)
            self.addCleanup(terminal.close)
            terminal.expect("Password of alice: ")
            terminal.type(typed)
            self.assertEqual(terminal.end(), status)
            self.assertNotIn(typed.strip(), terminal.shown)
            self.assertNotIn("Traceback", terminal.shown)

    def test_plainPrompt(self) -> None:
        """A terminal that does nothing it is told has a plain prompt, and plain lines."""
        terminal = self.open(TERM="dumb")
        terminal.expect("msgserver> ")
        terminal.type("hello\n")
        terminal.expect(r"#1 answered after [\d.]+ ms: hello\r\n")
        terminal.type("\x04")
        self.assertEqual(terminal.end(), 0)
        self.assertNotIn("\x1b", terminal.shown)

    def test_script(self) -> None:
        """A script on a terminal has colours, and no prompt."""
        terminal = self.open("-c", "send hello")
        self.assertEqual(terminal.end(), 0)
        self.assertIn("\x1b[32m#1 answered", terminal.shown)
        self.assertNotIn("msgserver>", terminal.shown)
