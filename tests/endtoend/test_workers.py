"""
Agents in real worker processes, behind a real server: what becomes of them when something ends.
"""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from twisted.trial.unittest import SynchronousTestCase

from msgserver.handlers.workers import pinned
from tests.endtoend.processes import Gate, Server, login, token, waitUntil
from tests.endtoend.test_server import CONFIG, userOf

AGENTS = """handler = "msgserver.handlers:AgentHandler"

[gate.handler_options]
agentFactory = "tests.endtoend.agents:Keeper"
options = { database = "DATABASE" }
pool = 1
processes = 2
"""


class WorkersTests(SynchronousTestCase):
    """Two workers, with a user in each."""

    def setUp(self) -> None:
        self.assertNotEqual(pinned(b"alice", 2), pinned(b"bob", 2))
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        self.database = folder / "counts.sqlite"
        gate = CONFIG.index('handler = "tests.endtoend.workload:Workload"')
        config = CONFIG[:gate] + AGENTS.replace("DATABASE", str(self.database))
        self.server = Server(folder, config, ownGroup=True)
        self.addCleanup(self.allEnd)
        self.addCleanup(self.server.__exit__, None, None, None)
        self.server.__enter__()
        waitUntil(lambda: len(self.pids()) == 2, "two workers are ready")

    def pids(self) -> list[int]:
        """Tell the pids of all workers so far."""
        return [int(pid) for pid in re.findall(r"worker \d is process (\d+)$", self.log, re.M)]

    @property
    def log(self) -> str:
        """What the server has logged."""
        return self.server.log

    def allEnd(self) -> None:
        """See that no worker is left."""
        for pid in self.pids():
            waitUntil(lambda pid=pid: not self.isAlive(pid), f"{pid} has ended")  # type: ignore[misc]

    def isAlive(self, pid: int) -> bool:
        """Say whether a process is there, and no mere zombie."""
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        return state != "Z"

    def enter(self, user: str, password: str) -> Gate:
        """Log in and connect."""
        admitted = login(self.server.ports["login"], token(user, password))
        gate = Gate(self.server.ports["gate"], userOf(user.encode(), admitted), admitted.secret, 1)
        self.addCleanup(gate.close)
        return gate

    def saved(self) -> dict[bytes, int]:
        """Read what was saved."""
        with sqlite3.connect(self.database) as database:
            return dict(database.execute("select uid, n from counts"))

    def test_killed(self) -> None:
        """
        A worker is killed while a request runs: that answers flag 0 and its user is logged out;
        nobody else notices, and the user logs in again.
        """
        alice, bob = self.enter("alice", "password"), self.enter("bob", "secret")
        workers = [int(gate.ask(1, b"pid")) for gate in (alice, bob)]
        self.assertEqual(set(workers), set(self.pids()))
        alice.send(2, b"block")
        waitUntil(lambda: "blocking" in self.log, "the request runs")
        os.kill(workers[0], signal.SIGKILL)
        self.assertEqual(alice.answer(), (2, 0, b""))
        self.assertIsNone(alice.receive())
        self.assertEqual(bob.ask(2, b"hello"), b"2")
        alice = self.enter("alice", "password")
        again = int(alice.ask(1, b"pid"))
        self.assertNotIn(again, workers)
        self.assertEqual(bob.ask(3, b"pid"), b"%d" % workers[1])
        self.assertIn("has died, and with it 1 agents", self.log)
        self.assertIn("has ended: signal 9; it is started anew", self.log)
        self.assertRegex(self.log, r"b'alice'.*is not saved: its worker has died")

    def test_stopped(self) -> None:
        """All of it is told to stop, workers too, as by systemd: everybody is saved first."""
        for user, password in (("alice", "password"), ("bob", "secret")):
            gate = self.enter(user, password)
            gate.ask(1, b"hello")
            gate.close()
        os.killpg(self.server.process.pid, signal.SIGTERM)
        self.server.process.wait(20)
        self.assertEqual(self.saved(), {b"alice": 1, b"bob": 1})
        self.assertNotIn("has died", self.log)
        self.assertNotIn("Traceback", self.log)

    def test_interrupted(self) -> None:
        """The same by Ctrl-C."""
        gate = self.enter("alice", "password")
        gate.ask(1, b"hello")
        gate.close()
        os.killpg(self.server.process.pid, signal.SIGINT)
        self.server.process.wait(20)
        self.assertEqual(self.saved(), {b"alice": 1})
        self.assertNotIn("Traceback", self.log)

    def test_interruptedAtOnce(self) -> None:
        """The same while workers are just being started: they end without a word."""
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)
        waitUntil(lambda: self.log.count("is started anew") == 2, "they have ended")
        waitUntil(lambda: len(self.children()) == 2, "two more are started")
        os.killpg(self.server.process.pid, signal.SIGINT)
        self.server.process.wait(20)
        self.assertNotIn("Traceback", self.log)
        self.assertNotIn("KeyboardInterrupt", self.log)

    def children(self) -> list[str]:
        """Tell the pids of the workers of this moment, ready or not."""
        pid = self.server.process.pid
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()

    def test_serverKilled(self) -> None:
        """The server itself is killed: its workers save what they have, and end."""
        alice = self.enter("alice", "password")
        alice.ask(1, b"hello")
        self.server.process.kill()
        self.server.process.wait(20)
        self.allEnd()
        self.assertEqual(self.saved(), {b"alice": 1})

    def test_log(self) -> None:
        """What workers print and raise is in the server's log; what they start ends as ever."""
        alice = self.enter("alice", "password")
        alice.send(1, b"bug")
        self.assertEqual(alice.answer(), (1, 0, b""))
        self.assertEqual(alice.ask(2, b"child"), b"a child\n")
        for pid in self.pids():
            status = Path(f"/proc/{pid}/status").read_text()
            self.assertIn("SigBlk:\t0000000000000000\n", status)
        waitUntil(lambda: "ValueError: as ordered" in self.log, "the bug is logged")
        self.assertRegex(self.log, r"\[worker \d\] .*loaded 0")
        self.assertEqual(self.log.count("as ordered"), 2, self.log)


class ByHandTests(SynchronousTestCase):
    """The module, started by somebody who is no gate."""

    def test_byHand(self) -> None:
        """It says in one line what it is for."""
        command = [sys.executable, "-m", "msgserver.handlers.worker"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(
            done.stderr,
            "this is started by msgserver.handlers.AgentHandler, not by hand: see processes\n",
        )
