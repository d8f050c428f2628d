"""
A log of JSON as real servers write it: whatever happens, each line is one object.
"""

from __future__ import annotations

import signal
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from msgserver.errors import Unauthorized
from tests.endtoend.processes import Gate, Server, login, token, waitUntil
from tests.endtoend.test_examples import clusterOnFreePorts
from tests.endtoend.test_server import CONFIG, userOf
from tests.test_jsonlog import parse


class JSONLogTests(SynchronousTestCase):
    def start(self, config: str) -> Server:
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        server = Server(folder, config, "--log-format", "json")
        self.addCleanup(server.__exit__, None, None, None)
        return server

    def lines(self, server: Server) -> list[dict[str, Any]]:
        """Read the log; what is being written may be half a line."""
        return [parse(line) for line in server.log.splitlines(True) if line.endswith("\n")]

    def find(self, server: Server, **fields: str) -> list[dict[str, Any]]:
        """Give the lines with these fields."""
        return [line for line in self.lines(server) if fields.items() <= line.items()]

    def port(self, server: Server, section: str) -> int:
        """Wait until a section listens, and tell on which port."""

        def places() -> list[str]:
            lines = self.find(server, section=section)
            return [line["place"] for line in lines if "place" in line]

        waitUntil(lambda: places() != [], f"{section} listens")
        return int(places()[0].rpartition(":")[2])

    def test_server(self) -> None:
        """From its first line to its last, a traceback and a refusal among them."""
        server = self.start(CONFIG)
        port = self.port(server, "gate")
        admitted = login(self.port(server, "login"), token("alice", "password"))
        gate = Gate(port, userOf(b"alice", admitted), admitted.secret, 1)
        gate.send(1, b"raise")
        self.assertEqual(gate.answer()[:2], (1, 0))
        with self.assertRaises(Unauthorized):
            login(self.port(server, "login"), token("alice", "wrong"))
        gate.send(2, b"logout")
        waitUntil(lambda: self.find(server, event="logout") != [], "it is logged")
        gate.close()
        self.assertEqual(server.stop(), -signal.SIGTERM)
        lines = self.lines(server)
        self.assertEqual(len(lines), len(server.log.splitlines()))
        self.assertIn("starting up", lines[0]["message"])
        self.assertEqual(lines[-1]["message"], "Server Shut Down.")
        (bug,) = self.find(server, level="critical")
        self.assertIn("builtins.ValueError: as ordered", bug["traceback"])
        (logout,) = self.find(server, event="logout")
        self.assertEqual((logout["uid"], logout["reason"]), ("alice", "logout"))

    def test_processes(self) -> None:
        """What the processes of a gate log is an object as they wrote it, and whose it is."""
        server = self.start(clusterOnFreePorts())
        waitUntil(lambda: len(self.find(server, event="gate_up")) == 3, "three gates register")
        self.assertEqual(server.stop(), -signal.SIGTERM)
        for process in ("gate 1", "gate 2", "gate 3"):
            ups = self.find(server, event="link_up", process=process)
            self.assertEqual([line["level"] for line in ups], ["info"])
            self.assertEqual(ups[0]["source"], "msgserver.remote.servers")
            self.assertEqual(len(self.find(server, event="gate_drained", process=process)), 1)
