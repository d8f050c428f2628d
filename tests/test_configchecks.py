"""
Tests for L{msgserver.configchecks}, and for what L{msgserver.configfile} makes of the processes
of a gate.
"""

from __future__ import annotations

from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock

from msgserver.configfile import Parts, loadConfig
from msgserver.errors import ConfigErrors
from tests.test_configfile import GATE, LOGIN, ConfigFileTestCase, EchoHandler, LoginHandler

LINK = '[gate.login]\nkey = "a-key-for-these-tests"\n'
GATES = 'gates.sample = "a-key-for-these-tests"\n'
FOUR = (
    GATE + 'listen = ["tcp:{port}:interface={host}", "unix:/run/gate-{port}"]\n'
    'advertise = "{host}:{port}"\n'
    'processes = 4\naddresses = ["[::1]:8001", "10.0.0.7:8002", "a.example:8003", "b.example:4"]\n'
)


class ProcessesTestCase(ConfigFileTestCase):
    """A config file, as one of the processes reads it."""

    def loadFor(self, process: int, content: str) -> Parts:
        """Load a file of this content."""
        self.path.write_text(content, encoding="utf-8")
        self.reactor = MemoryReactorClock()
        return loadConfig(str(self.path), self.reactor, process)


class ProcessesTests(ProcessesTestCase):
    """The processes of a gate."""

    def test_each(self) -> None:
        """Each has its own address, in its strings and in what clients are told (L5)."""
        for process, listen, advertise in [
            (1, (r"tcp:8001:interface=\:\:1", "unix:/run/gate-8001"), "[::1]:8001"),
            (2, ("tcp:8002:interface=10.0.0.7", "unix:/run/gate-8002"), "10.0.0.7:8002"),
            (4, ("tcp:4:interface=b.example", "unix:/run/gate-4"), "b.example:4"),
        ]:
            gate = self.loadFor(process, FOUR + LINK).gate
            assert gate is not None
            self.assertEqual((gate.settings.listen, gate.settings.advertise), (listen, advertise))
            self.assertEqual(tuple(text for text, _ in gate.endpoints), listen)
            self.assertEqual(gate.settings.processes, 1)
            gate.endpoints[0][1].listen(Factory())
            self.assertEqual(self.reactor.tcpServers[0][0], int(advertise.rpartition(":")[2]))

    def test_nothingElse(self) -> None:
        """Each is the gate alone: no login handler is made for it, and nobody connects to it."""
        made = []
        self.patch(LoginHandler, "__init__", lambda handler: made.append(handler))
        content = f"{LOGIN}[login.control]\n{GATES}{FOUR}{LINK}"
        parts = self.loadFor(3, content)
        self.assertEqual((parts.login, parts.control, made), (None, None, []))
        assert parts.gate is not None
        self.assertIsInstance(parts.gate.handler, EchoHandler)
        self.assertIsNotNone(parts.gateLogin)

    def test_supervisor(self) -> None:
        """The one that is started by hand is none of them, and the login server where it is."""
        parts = self.loadFor(0, f"{LOGIN}[login.control]\n{GATES}{FOUR}{LINK}")
        assert parts.login is not None and parts.gate is not None
        self.assertIsNotNone(parts.control)
        self.assertEqual((parts.gate.endpoints, parts.gate.settings.processes), ((), 4))
        self.assertEqual(parts.gate.settings.advertise, "{host}:{port}")
        self.assertIsInstance(parts.gate.handler, EchoHandler)

    def test_one(self) -> None:
        """One process has the first address, whether it has a number or none."""
        content = GATE + 'listen = ["tcp:{port}"]\naddresses = ["a.example:1", "5"]\n'
        for process in (0, 1):
            gate = self.loadFor(process, content).gate
            assert gate is not None
            self.assertEqual((gate.settings.listen, gate.settings.advertise), (("tcp:1",), ""))
            self.assertEqual([text for text, _ in gate.endpoints], ["tcp:1"])

    def test_oneWithoutAddress(self) -> None:
        """Without addresses, all is as the file says."""
        gate = self.loadFor(1, GATE + 'advertise = "a.example:1"').gate
        assert gate is not None
        self.assertEqual(gate.settings.advertise, "a.example:1")
        self.assertEqual(len(gate.endpoints), 1)

    def test_noSuchProcess(self) -> None:
        """A number that no process has is told."""
        for process, content, text in [
            (5, FOUR + LINK, ":6: gate.processes: there is no process 5: they are numbered 1 to 4"),
            (
                -1,
                FOUR + LINK,
                ":6: gate.processes: there is no process -1: they are numbered 1 to 4",
            ),
            (2, GATE, ":1: gate.processes: there is no process 2: they are numbered 1 to 1"),
            (1, LOGIN, ": there is no section [gate], and so no process 1 of it"),
        ]:
            errors = self.assertRaises(ConfigErrors, self.loadFor, process, content)
            self.assertEqual(str(errors), f"{self.path}{text}")


class ChecksTests(ProcessesTestCase):
    """What the settings of a gate must be together."""

    def test_several(self) -> None:
        """Several processes need all that tells them apart; all of it is told at once."""
        self.assertMistakes(
            LOGIN + GATE + 'processes = 2\nlisten = ["tcp:1", "tcp:2"]\n',
            ":3: gate.advertise: is required where there are 2 processes, for clients to be told"
            ' theirs: one would be "gate.example.org:{port}"',
            ":6: gate.processes: there must be 2 addresses for 2 processes, not 0",
            ":6: gate.processes: there must be a section [gate.login] where there are 2 processes:"
            " each connects to the login server",
            ":6: gate.processes: there must be a section [login.control] where there are 2"
            " processes: each connects to the login server",
            ':7: gate.listen: "tcp:1" is the same for several processes: write {port} or {host}'
            " where they differ",
            ':7: gate.listen: "tcp:2" is the same for several processes: write {port} or {host}'
            " where they differ",
        )

    def test_defaults(self) -> None:
        """What is at its default is told with the number of processes."""
        self.assertMistakes(
            GATE + 'processes = 2\nadvertise = "a:{port}"\naddresses = ["1-2"]\n' + LINK,
            ':4: gate.processes: "tcp:8888:interface=127.0.0.1" is the same for several processes:'
            " write {port} or {host} where they differ",
        )

    def test_sameForSeveral(self) -> None:
        """It is no use to write what does not differ."""
        self.assertMistakes(
            GATE + 'processes = 2\naddresses = ["a:1", "b:1"]\nadvertise = "{host}:{port}"\n'
            'listen = ["tcp:{port}"]\n' + LINK,
            ':7: gate.listen: "tcp:{port}" is the same for several processes: write {port} or'
            " {host} where they differ",
        )

    def test_tooFew(self) -> None:
        """There must be an address for each; there may be more."""
        rest = 'listen = ["tcp:{port}"]\nadvertise = "a:{port}"\n' + LINK
        self.assertMistakes(
            GATE + 'processes = 3\naddresses = ["1-2"]\n' + rest,
            ":5: gate.addresses: there must be 3 addresses for 3 processes, not 2",
        )
        self.assertIsNotNone(self.load(GATE + 'processes = 3\naddresses = ["1-5"]\n' + rest).gate)

    def test_noAddresses(self) -> None:
        """What stands for an address needs one, even where there is one process."""
        reason = ", which stands for what addresses says: it must say something"
        self.assertMistakes(
            GATE + 'listen = ["tcp:{port}"]\nadvertise = "{host}:{port}"',
            f':4: gate.listen: "tcp:{{port}}" has a {{port}}{reason}',
            f':5: gate.advertise: "{{host}}:{{port}}" has a {{host}}{reason}',
        )

    def test_noHost(self) -> None:
        """A port is no host: once for all processes that lack one."""
        self.assertMistakes(
            GATE + 'listen = ["tcp:{port}:interface={host}"]\nadvertise = "{host}:{port}"\n'
            'addresses = ["a:1", "2-3"]\nprocesses = 3\n' + LINK,
            ':4: gate.listen: "tcp:{port}:interface={host}" has a {host}, but the address "2" has'
            " none",
            ':5: gate.advertise: "{host}:{port}" has a {host}, but the address "2" has none',
        )

    def test_noAddressAfterAll(self) -> None:
        """L5: what clients are told must be an address when all is filled in."""
        self.assertMistakes(
            GATE + 'advertise = "a:1{port}"\naddresses = ["60000"]\n',
            ':4: gate.advertise: must be a string of the form "host:port", with a port from 1 to'
            ' 65535, or "", not "a:160000"',
        )

    def test_endpoints(self) -> None:
        """An endpoint that is wrong is told once, not for each process."""
        self.assertMistakes(
            FOUR.replace("tcp:{port}:", "tcp:{port}:port=1:") + LINK,
            ':4: gate.listen: "tcp:8001:port=1:interface=\\:\\:1" is no endpoint: got multiple'
            " values for argument 'port'; one would be \"tcp:8001:interface=127.0.0.1\"",
        )

    def test_wrongValues(self) -> None:
        """What is wrong by itself is compared with nothing."""
        self.assertMistakes(
            GATE + "processes = 2\naddresses = 5\n",
            ':5: gate.addresses: must be a list of strings, each "port", "first-last" (ports) or'
            ' "host:port", not 5',
        )


class LinkTests(ProcessesTestCase):
    """A login server and a gate of one file, that are to meet over the control link."""

    def mistakes(self, control: str, link: str, gate: str = FOUR) -> list[str]:
        """Load a file with these, and tell what is wrong with it."""
        content = f"{LOGIN}[login.control]\n{control}{gate}{LINK}{link}"
        try:
            self.loadFor(0, content)
        except ConfigErrors as errors:
            return [f"{error.key}: {error.reason}" for error in errors.errors]
        return []

    def test_meet(self) -> None:
        """They meet by the defaults, by other ports, by whatever name, and by a UNIX socket."""
        unix = 'listen = ["unix:/run/x.sock:mode=600"]\n'
        for control, link in (
            ("", ""),
            ('listen = ["tcp:9:interface=127.0.0.1"]\n', 'servers = ["tcp:localhost:9"]\n'),
            ('listen = ["tcp:9:interface=127.0.0.1"]\n', 'servers = ["tcp:host=x:port=9"]\n'),
            (unix, 'servers = ["tcp:a:1", "unix:/run/x.sock"]\n'),
        ):
            self.assertEqual(self.mistakes(GATES + control, link), [], control)

    def test_elsewhere(self) -> None:
        """Several processes that would not connect to the login server that starts them."""
        unix = 'listen = ["unix:/run/x.sock:mode=600"]\n'
        for control in (unix, 'listen = ["tcp:9:interface=127.0.0.1"]\n'):
            (mistake,) = self.mistakes(GATES + control, "")
            self.assertRegex(mistake, r"^gate\.login\.servers: none of these is where \[login\.con")

    def test_oneElsewhere(self) -> None:
        """A gate of one process may be of another login server's."""
        control = 'listen = ["tcp:9:interface=127.0.0.1"]\n'
        self.assertEqual(self.mistakes(control, "", GATE), [])

    def test_keys(self) -> None:
        """A key that is not the same, or missing; the key itself is never told (L6)."""
        for control, mistake in (
            ('gates.sample = "another key, long enough"\n', "gate.login.key: must be the key that"),
            ('gates.sampel = "a-key-for-these-tests"\n', 'login.control.gates: "sample" must be'),
            ("", 'login.control.gates: "sample" must be'),
        ):
            (told,) = self.mistakes(control, "")
            self.assertIn(mistake, told)
            self.assertNotIn("a-key", told)


class OpsTests(ProcessesTestCase):
    """Where the processes are watched: the section C{[ops]}."""

    def test_each(self) -> None:
        """The process that is started by hand has the port, and each other one its own."""
        for process, port in [(0, 8003), (1, 8004), (4, 8007)]:
            content = f"{LOGIN}[login.control]\n{GATES}{FOUR}{LINK}[ops]\n"
            ops = self.loadFor(process, content).ops
            assert ops is not None
            listen = f"tcp:{port}:interface=127.0.0.1"
            self.assertEqual([text for text, _ in ops.endpoints], [listen])

    def test_same(self) -> None:
        """Several processes cannot listen on the same; one may."""
        ops = '[ops]\nlisten = ["tcp:8003", "tcp:{port}"]\n'
        self.assertMistakes(
            FOUR + LINK + ops,
            ':11: ops.listen: "tcp:8003" is the same for several processes: write {port} where'
            " they differ",
        )
        parts = self.load(GATE + ops)
        assert parts.ops is not None
        self.assertEqual(len(parts.ops.endpoints), 2)

    def test_host(self) -> None:
        """There is no host to be put in."""
        self.assertMistakes(
            GATE + '[ops]\nlisten = ["tcp:{port}:interface={host}"]\n',
            ':5: ops.listen: "tcp:{port}:interface={host}" has a {host}, which stands for'
            " nothing here",
        )

    def test_ports(self) -> None:
        """There must be a port for each process."""
        self.assertMistakes(
            FOUR + LINK + "[ops]\nport = 65532\n",
            ":11: ops.port: must be at most 65531, for 4 processes to have one each",
        )
        self.assertMistakes(
            GATE + "[ops]\nport = 65536\n",
            ":5: ops.port: must be a port, from 1 to 65535, not 65536",
        )
        self.load(GATE + "[ops]\nport = 65535\n")
