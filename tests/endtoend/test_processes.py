"""
The example of several processes, on free ports: what becomes of it when some of them end.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from datetime import datetime
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from msgserver.interfaces import User
from tests.endtoend.processes import PATIENCE, Gate, Server, login, token, waitUntil
from tests.endtoend.test_examples import clusterOnFreePorts
from tests.endtoend.workload import Workload

PASSWORDS = {"alice": "password", "bob": "secret", "carol": "password"}


class LoudWorkload(Workload):
    """Also logs whom it has let go of, as nobody can ask it when it is stopping."""

    log = Logger()

    def loggedOut(self, user: User) -> None:
        super().loggedOut(user)
        self.log.info("let go of {uid}", uid=user.uid.decode())


class ProcessesCase(SynchronousTestCase):
    """
    The example, with another handler and a user more: as many as there are processes.

    @ivar config: it.
    @ivar ports: the gate's, in the order of its processes.
    """

    def setUp(self) -> None:
        self.config = re.sub(
            r"^(alice)( = .*)$", r"\1\2\ncarol\2", clusterOnFreePorts(), flags=re.M
        ).replace("examples.slow:SlowHandler", f"{__name__}:{LoudWorkload.__name__}")
        addresses = re.search(r"^addresses = (.*)$", self.config, re.M)
        assert addresses is not None
        self.ports = [int(port) for port in re.findall(r"\d+", addresses[1])]

    def start(self, *options: str) -> Server:
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        server = Server(folder, self.config, *options, ownGroup=True)
        self.addCleanup(self.end, server)
        return server

    def end(self, server: Server) -> None:
        """See that nothing of it is left, and that no end of a process was a surprise to it."""
        server.__exit__(None, None, None)
        self.assertAllEnd(server)
        self.assertNotRegex(server.log, "Traceback|Unhandled|KeyboardInterrupt")

    def startWhole(self) -> Server:
        """Start it, and wait for all of it."""
        server = self.start().__enter__()
        waitUntil(lambda: server.log.count("has registered") == 3, "three gates register")
        return server

    def pids(self, server: Server) -> dict[str, list[int]]:
        """Tell the pids that each process of the gate has had."""
        found: dict[str, list[int]] = {}
        for process, pid in re.findall(r"\[gate (\d)\] is process (\d+)$", server.log, re.M):
            found.setdefault(process, []).append(int(pid))
        return found

    def running(self, server: Server) -> list[int]:
        """Tell which of the pids of its processes there are."""
        pids = [pid for each in self.pids(server).values() for pid in each]
        return [pid for pid in pids if Path(f"/proc/{pid}").exists()]

    def assertAllEnd(self, server: Server) -> None:
        waitUntil(lambda: self.running(server) == [], "all processes end")

    def logIn(self, server: Server, uid: str) -> tuple[int, Gate]:
        """Log in and connect to where that was; give the port, and the connection."""
        admitted = login(server.ports["login"], token(uid, PASSWORDS[uid]))
        assert admitted.address is not None
        port = int(admitted.address.rpartition(":")[2])
        gate = Gate(port, User(uid.encode(), admitted.subid, b"sample"), admitted.secret, 1)
        self.addCleanup(gate.close)
        self.assertEqual(gate.verdict, b"200 OK")
        return port, gate

    def logInAll(self, server: Server) -> dict[int, Gate]:
        """Log in everybody; give the connections by their ports."""
        gates = dict(self.logIn(server, uid) for uid in PASSWORDS)
        self.assertEqual(sorted(gates), sorted(self.ports))
        return gates

    def askSlowly(self, gates: dict[int, Gate]) -> None:
        """Ask everywhere for what takes a while, and see that it is running."""
        for gate in gates.values():
            gate.send(1, b"slow:500:a")
            self.assertEqual(gate.ask(2, b"run:b"), b"ran b")

    def assertDrained(self, gates: dict[int, Gate]) -> None:
        """B5: see that what was running is answered, and the connections closed then."""
        for gate in gates.values():
            self.assertEqual(gate.answer(), (1, 1, b"ran a"))
            self.assertIsNone(gate.receive())
            gate.close()


class ProcessesTests(ProcessesCase):
    def test_gateKilled(self) -> None:
        """
        A process of the gate that is killed is started anew and registers; nobody at the
        others notices. The users are spread over all of them.
        """
        server = self.startWhole()
        gates = self.logInAll(server)
        before = self.pids(server)
        os.kill(before["2"][0], signal.SIGKILL)
        waitUntil(lambda: server.log.count("has registered") == 4, "it registers again")
        self.assertIn("[gate 2] has ended: signal 9", server.log)
        after = self.pids(server)
        self.assertEqual((after["1"], after["3"]), (before["1"], before["3"]))
        self.assertEqual(sorted(self.running(server)), sorted(pids[-1] for pids in after.values()))
        dead = gates.pop(self.ports[1])
        self.assertIsNone(dead.receive())
        for gate in gates.values():
            self.assertEqual(gate.ask(1, b"calls"), b"")
        # The fresh one has the least to do.
        uid = next(iter(PASSWORDS.keys() - self.uidsAt(server, *gates)))
        port, again = self.logIn(server, uid)
        self.assertEqual(port, self.ports[1])
        self.assertEqual(again.ask(1, b"run:a"), b"ran a")

    def uidsAt(self, server: Server, *ports: int) -> set[str]:
        """Tell who has logged in at some ports."""
        pattern = r"uid=b'(\w+)'\) logged in at \S+:(\d+) "
        return {uid for uid, port in re.findall(pattern, server.log) if int(port) in ports}

    def test_terminated(self) -> None:
        """B5: SIGTERM to the supervisor stops all in good order, and then it ends."""
        server = self.startWhole()
        gates = self.logInAll(server)
        self.askSlowly(gates)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        self.addCleanup(stopping.join)
        self.assertDrained(gates)
        stopping.join()
        # Having shut down in good order, twistd ends as the signal would have ended it.
        self.assertEqual(server.process.returncode, -signal.SIGTERM)
        self.assertEqual(self.running(server), [])
        for uid in PASSWORDS:
            self.assertEqual(server.log.count(f"let go of {uid}"), 1)
        self.assertEqual(server.log.count("is gone"), 3)
        self.assertRegex(server.log, r"Server Shut Down\.\n\Z")

    def test_interrupted(self) -> None:
        """B5: so does Ctrl-C, which a terminal sends to all processes of the group."""
        server = self.startWhole()
        gates = self.logInAll(server)
        self.askSlowly(gates)
        os.killpg(server.process.pid, signal.SIGINT)
        self.assertDrained(gates)
        self.assertEqual(server.process.wait(PATIENCE), -signal.SIGINT)
        self.assertEqual(self.running(server), [])
        # From the supervisor they hear by SIGTERM, and from the terminal nothing.
        self.assertEqual(server.log.count("Received SIGINT"), 1)
        self.assertEqual(server.log.count("Received SIGTERM"), 3)

    def test_interruptedAtOnce(self) -> None:
        """Ctrl-C is in good order, too, while the processes are still being started."""
        server = self.start()
        waitUntil(lambda: len(self.pids(server)) == 3, "there are processes")
        pids = self.running(server)
        waitUntil(lambda: all(os.getsid(pid) == pid for pid in pids), "they have no terminal")
        os.killpg(server.process.pid, signal.SIGINT)
        self.assertEqual(server.process.wait(PATIENCE), -signal.SIGINT)
        self.assertEqual(self.running(server), [])

    def test_supervisorKilled(self) -> None:
        """B5: the processes of a supervisor that is killed stop by themselves, in good order."""
        server = self.startWhole()
        gates = self.logInAll(server)
        self.askSlowly(gates)
        server.process.kill()
        self.assertDrained(gates)
        self.assertAllEnd(server)

    def test_portTaken(self) -> None:
        """
        A process that cannot listen says so in one line, and is started again after a while,
        until it can.
        """
        with socket.create_server(("127.0.0.1", self.ports[1])):
            server = self.start()
            pids = self.pids
            waitUntil(lambda: len(pids(server).get("2", [])) == 2, "it is started again")
            text = f"[gate 2] gate.listen: Address already in use: tcp:{self.ports[1]}:"
            lines = [line for line in server.log.splitlines() if "[gate 2] " in line]
            self.assertIn("is process", lines[0])
            self.assertIn(text, lines[1])
            self.assertIn("has ended: exit status 1", lines[2])
            self.assertIn("is process", lines[3])
            self.assertLess(len(lines), 7)
            ended, started = (datetime.fromisoformat(line.split()[0]) for line in lines[2:4])
            self.assertGreaterEqual((started - ended).total_seconds(), 1)
        waitUntil(lambda: server.log.count("has registered") == 3, "it can listen")
        self.assertLess(len(pids(server)["2"]), 4)


class OneProcessTests(ProcessesCase):
    def test_onItsOwn(self) -> None:
        """One process of the gate may be started by whatever else starts processes."""
        server = self.start("--process", "2")
        waitUntil(lambda: f"listening on 127.0.0.1:{self.ports[1]}\n" in server.log, "it listens")
        # Its standard input has ended, as always; and there is no login server.
        waitUntil(lambda: server.log.count("no registration with") > 1, "it goes on trying")
        self.assertEqual(server.log.count("listening on"), 1)
        self.assertEqual(server.stop(), -signal.SIGTERM)
        self.assertIn("Server Shut Down", server.log)

    def test_noSuchProcess(self) -> None:
        """A process that there is not is one line and an exit status of 1."""
        file = r"\S+/msgserver\.toml:\d+: gate\.processes: "
        for number, line in (
            ("0", "--process: must be a whole number, 1 or more, not '0'"),
            ("x", "--process: must be a whole number, 1 or more, not 'x'"),
            ("4", f"{file}there is no process 4: they are numbered 1 to 3"),
        ):
            server = self.start("--process", number)
            self.assertEqual(server.process.wait(PATIENCE), 1)
            self.assertRegex(server.log, rf"\A{line}\n\Z")
