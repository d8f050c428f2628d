"""The chat as its README shows it: a server, clients in pipes, and a crowd."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from twisted.trial.unittest import SynchronousTestCase

from tests.endtoend.processes import PATIENCE, ROOT, Server, waitUntil
from tests.pages import blocks, read

README = "examples/chat/README.md"
PASSWORDS = {"alice": "password", "bob": "secret"}
SHOWN = ("--", "[", "!!")
LISTEN = re.compile(r'^listen = \["tcp:\d+:', re.MULTILINE)
TERMINAL = re.compile(r"In (\w+)'s terminal:\n\n```text\n(.*?)```", re.DOTALL)


class Person:
    """The client of one who talks, in a pipe."""

    def __init__(self, name: str, server: Server, password: str | None = None) -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "examples.chat.client", name),
                f"--login=tcp:127.0.0.1:{server.ports['login']}",
                f"--gate=tcp:127.0.0.1:{server.ports['gate']}",
            ],
            cwd=ROOT,
            env={**os.environ, "MSGSERVER_PASSWORD": password or PASSWORDS[name]},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self._shown = b""

    def type(self, line: str) -> None:
        """Type a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def see(self) -> str:
        """Give the next line that is shown."""
        waitUntil(self._isShown, "the next line is shown")
        line, _, self._shown = self._shown.partition(b"\n")
        return line.decode()

    def _isShown(self) -> bool:
        assert self.process.stdout is not None
        self._shown += self.process.stdout.read() or b""
        return b"\n" in self._shown

    def end(self) -> str:
        """Wait for the end, and give what else was shown."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.wait(PATIENCE)
        self._isShown()
        self.process.stdin.close()
        self.process.stdout.close()
        return self._shown.decode()


class ChatTests(SynchronousTestCase):
    """Two who talk."""

    def setUp(self) -> None:
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        config = (ROOT / "examples" / "chat" / "chat.toml").read_text()
        config = LISTEN.sub('listen = ["tcp:0:', config)
        # Its users are a section of a section, of which nothing listens.
        self.server = Server(folder, config).__enter__()
        self.addCleanup(self.server.__exit__, None, None, None)

    def sit(self, name: str, password: str | None = None) -> Person:
        """Have somebody begin to talk."""
        person = Person(name, self.server, password)
        self.addCleanup(self._leave, person)
        return person

    def _leave(self, person: Person) -> None:
        if person.process.poll() is None:
            person.process.kill()
            person.end()

    def restart(self) -> None:
        """Stop the server, and start it on the same ports."""
        self.server.stop()
        folder = self.server.folder
        config = (folder / "msgserver.toml").read_text()
        for name in ("login", "gate"):
            config = config.replace("tcp:0:", f"tcp:{self.server.ports[name]}:", 1)
        self.server = Server(folder, config).__enter__()
        self.addCleanup(self.server.__exit__, None, None, None)

    def test_readme(self) -> None:
        """Whoever types what the README says sees what it says: nothing else, nothing less."""
        people: dict[str, Person] = {}
        scenes = TERMINAL.findall(read(README))
        self.assertEqual(len(scenes), 7)
        for name, scene in scenes:
            person = people.get(name) or people.setdefault(name, self.sit(name))
            for line in scene.splitlines():
                if line.startswith(SHOWN):
                    self.assertEqual((name, person.see()), (name, line))
                else:
                    person.type(line)
        for name, person in people.items():
            self.assertEqual((name, person.end()), (name, ""))
            self.assertEqual(person.process.returncode, 0)

    def test_killed(self) -> None:
        """Whose client dies, and is begun again, is told what was said last; the others go on."""
        alice, bob = self.sit("alice"), self.sit("bob")
        for person in (alice, bob):
            person.see()
            person.type("/join lobby")
            person.see()
        bob.process.kill()
        bob.end()
        self.assertEqual([alice.see(), alice.see()], ["-- bob has joined lobby", "-- bob is away"])
        alice.type("hello?")
        alice.see()
        bob = self.sit("bob")
        bob.see()
        bob.type("/join lobby")
        self.assertEqual(bob.see(), "-- you are in lobby")
        self.assertEqual(bob.see(), "[lobby 1] alice: hello?")

    def test_secondTerminal(self) -> None:
        """Of two terminals of one user the second goes on, and the first waits for Enter."""
        first = self.sit("alice")
        first.see()
        second = self.sit("alice")
        second.see()
        shown = [
            "-- no connection; what is said now waits",
            "-- your login has ended, as by another one of yours; Enter logs in again",
        ]
        self.assertEqual([first.see(), first.see()], shown)
        second.type("/join lobby")
        self.assertEqual(second.see(), "-- you are in lobby")
        first.type("")
        self.assertEqual(first.see(), "-- connected, under a new login")
        self.assertEqual([second.see(), second.see()], shown)

    def test_restarted(self) -> None:
        """Where the server is restarted one is back in one's rooms, by itself."""
        alice = self.sit("alice")
        alice.see()
        alice.type("/join lobby")
        alice.see()
        self.restart()
        alice.type("hello?")
        shown = {alice.see() for _ in range(5)}
        self.assertEqual(
            shown,
            {
                "-- no connection; what is said now waits",
                "-- connected, under a new login",
                "!! perhaps messages are missed for good",
                "-- you are in lobby",
                "[lobby 1] alice: hello?",
            },
        )

    def test_refused(self) -> None:
        """A wrong password, or nobody there, is one line and an exit status of 1."""
        alice = self.sit("alice", "wrong")
        self.assertEqual(alice.see(), "alice was refused: 401 Unauthorized")
        self.assertEqual((alice.end(), alice.process.returncode), ("", 1))
        nobody = self.sit("\udcff", "wrong")
        self.assertEqual(nobody.see(), r"\udcff was refused: 401 Unauthorized")
        self.assertEqual((nobody.end(), nobody.process.returncode), ("", 1))
        self.server.stop()
        alice = self.sit("alice")
        self.assertRegex(alice.see(), "^no connection: ")
        self.assertEqual((alice.end(), alice.process.returncode), ("", 1))

    def test_stops(self) -> None:
        """B5: polls that stand do not keep a server from stopping."""
        alice = self.sit("alice")
        alice.see()
        alice.type("/join lobby")
        alice.see()
        self.server.stop()
        # Else it waits for drain_timeout, and says what for.
        self.assertIn("the gate has ended its logins", self.server.log)
        self.assertNotIn("unanswered", self.server.log)


class CrowdTests(SynchronousTestCase):
    """Many who talk."""

    def crowd(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run a crowd."""
        return subprocess.run(
            [sys.executable, "-m", "examples.chat.crowd", *options],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def test_crowd(self) -> None:
        """Each hears all, once and in order, over connections that break all the time."""
        told = self.crowd("--users=20", "--seconds=3", "--rooms=2", "--pause=0.5", "--cuts=0.5")
        self.assertEqual((told.returncode, told.stderr), (0, ""))
        table = dict(line.rsplit(maxsplit=1) for line in told.stdout.splitlines())
        self.assertEqual(
            [table[name] for name in ("users", "rooms", "missed", "doubled", "out of order")],
            ["20", "2", "0", "0", "0"],
        )
        said = int(table["messages said"].replace(",", ""))
        self.assertEqual(int(table["deliveries"].replace(",", "")), said * 10)
        self.assertGreater(said, 20)
        self.assertGreater(int(table["cuts"]), 5)

    def test_table(self) -> None:
        """The README's table is of what is printed."""
        table = [block.code for block in blocks(README) if block.language == "text"][-1]
        self.assertEqual(len(table.splitlines()), 8)
        self.assertEqual([line[-1] for line in table.splitlines()[-3:]], ["0", "0", "0"])

    def test_mistakes(self) -> None:
        """An option that cannot be is one line."""
        for option in ("--users=0", "--pause=0", "--cuts=-1", "--rooms=0"):
            told = self.crowd(option)
            self.assertEqual((told.returncode, told.stdout), (2, ""))
            self.assertIn(f"error: {option.partition('=')[0]}: must be", told.stderr)
