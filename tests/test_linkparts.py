"""
Tests for L{msgserver.linkparts}: the ends of the control link, as a config file says.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.test.iosim import connectedServerAndClient

from msgserver.config import Control, GateLogin, Operator
from msgserver.configfile import Link, Parts, loadConfig, loadOperator
from msgserver.errors import ConfigErrors
from msgserver.filewatch import LOOK_INTERVAL
from tests.certificates import Signed, Talker, writeCertificates
from tests.test_configfile import GATE, LOGIN, ConfigFileTestCase, LoginHandler

KEY = "a-key-for-these-tests"
CONTROL = LOGIN + "[login.control]\n"
GATE_LOGIN = f'{GATE}[gate.login]\nkey = "{KEY}"\n'
OPERATOR = f'[operator]\nkey = "{KEY}"\n'

WAYS_OUT = (
    ' Either listen where this machine alone can connect ("tcp:8002:interface=127.0.0.1",'
    ' "unix:/run/control.sock:mode=600"); or set certificate, private_key, authority; or, on a'
    " network that is safe, insecure = true"
)


class LinkTestCase(ConfigFileTestCase):
    """A config file, and certificates beside it."""

    def setUp(self) -> None:
        """Make the certificates."""
        super().setUp()
        self.folder = self.path.parent
        self.authority = writeCertificates(self.folder)
        self.reactor = MemoryReactorClock()

    def load(self, content: str | bytes) -> Parts:
        """Load a file of this content, on a reactor that is kept."""
        self.path.write_bytes(content.encode() if isinstance(content, str) else content)
        return loadConfig(str(self.path), self.reactor)

    def control(self, content: str) -> Link[Control]:
        """Load a file with this in its [login.control]."""
        parts = self.load(CONTROL + content)
        assert parts.control is not None
        return parts.control

    def tls(self, name: str) -> str:
        """Say the files of an end."""
        return (
            f'certificate = "{self.folder}/{name}.pem"\nprivate_key = "{self.folder}/{name}.key"\n'
            f'authority = "{self.folder}/authority.pem"\n'
        )


class ControlTests(LinkTestCase):
    """The login server's end."""

    def test_defaults(self) -> None:
        """An empty section is enough: this machine alone may connect."""
        link = self.control("")
        self.assertEqual(link.settings, Control())
        self.assertFalse(link.hasTLS)
        ((text, endpoint),) = link.endpoints
        self.assertEqual(text, "tcp:8002:interface=127.0.0.1")
        endpoint.listen(Factory())
        self.assertEqual(self.reactor.tcpServers[0][0], 8002)

    def test_everything(self) -> None:
        """What a file says goes to the setting of that name; keys go to no repr (L6)."""
        parts = self.load(
            f'{CONTROL}listen = ["tcp:1"]\noperator_key = "{KEY}"\ninsecure = true\nmaxclient = 5\n'
            "handshake_timeout = 1\nping_interval = 2\nping_timeout = 3\n"
            f'[login.control.gates]\nsample = "{KEY}"\n'
        )
        assert parts.login is not None and parts.control is not None
        expected = Control(
            listen=("tcp:1",),
            gates={"sample": KEY},
            operatorKey=KEY,
            insecure=True,
            maxclient=5,
            handshakeTimeout=1.0,
            pingInterval=2.0,
            pingTimeout=3.0,
        )
        self.assertEqual(parts.control.settings, expected)
        self.assertEqual(parts.login.settings.control, expected)
        self.assertNotIn(KEY, repr(parts))

    def test_exposed(self) -> None:
        """Without TLS, others are let in only where that is said to be safe."""
        signed = self.authority.sign("login")
        both = self.folder / "both.pem"
        both.write_bytes(signed.certificate + signed.key)
        ssl = f"ssl:1:privateKey={both}"
        strings = ["tcp:8002", "tcp:1:interface=127.0.0.1", "unix:/run/x", ssl]
        listen = f"listen = {strings}\n"
        at = ":4: login.control.listen: "
        self.assertMistakes(
            CONTROL + listen,
            f'{at}"tcp:8002" may be reached from other machines.{WAYS_OUT}',
            f'{at}"unix:/run/x" lets every user of this machine connect (mode=666): write'
            f" mode=600.{WAYS_OUT}",
            f'{at}"{ssl}" lets anybody connect: its TLS asks for no certificate.{WAYS_OUT}',
        )
        link = self.control(f"{listen}insecure = true")
        self.assertEqual(len(link.endpoints), 4)

    def test_wrongEndpoint(self) -> None:
        """What is no endpoint is told as that, and no more."""
        self.assertMistakes(
            CONTROL + 'listen = ["tcp:x"]',
            ':4: login.control.listen: "tcp:x" is no endpoint: invalid literal for int() with base'
            " 10: 'x'; one would be \"tcp:8001:interface=127.0.0.1\"",
        )

    def test_insecureThatIsWrong(self) -> None:
        """Where it is not known what is meant, only that is told."""
        self.assertMistakes(
            CONTROL + 'listen = ["tcp:1"]\ninsecure = 1',
            ":5: login.control.insecure: must be true or false, not 1",
        )

    def test_tls(self) -> None:
        """With certificates, TLS is around every endpoint, and may be reached by others."""
        link = self.control(f'listen = ["tcp:1", "unix:/run/x"]\n{self.tls("login")}')
        self.assertTrue(link.hasTLS)
        for _, endpoint in link.endpoints:
            endpoint.listen(Factory())
        for factory in (self.reactor.tcpServers[0][1], self.reactor.unixServers[0][1]):
            self.assertIsInstance(factory, TLSMemoryBIOFactory)

    def test_tlsTwice(self) -> None:
        """What has TLS of its own gets no second one."""
        (self.folder / "certificates").mkdir()
        signed = self.authority.sign("login")
        (self.folder / "certificates" / "x.pem").write_bytes(signed.key + signed.certificate)
        text = f"haproxy:tls:{self.folder}/certificates:1"
        self.assertMistakes(
            f'{CONTROL}listen = ["{text}"]\n{self.tls("login")}insecure = true\n',
            f':4: login.control.listen: "{text}" has TLS of its own, and certificate, private_key,'
            " authority put TLS around it once more: let it be without",
        )


class FilesTests(LinkTestCase):
    """The files of either end."""

    def test_some(self) -> None:
        """They are for all of them or none; the first that is said is blamed."""
        lines = self.tls("login").splitlines()
        rest = "certificate, private_key, authority are for all of them or none: "
        self.assertMistakes(
            f'{CONTROL}listen = ["tcp:1"]\n{lines[1]}',
            f":5: login.control.private_key: {rest}certificate and authority must be set, too",
        )
        self.assertMistakes(
            f"{GATE_LOGIN}{lines[0]}\n{lines[1]}",
            f":6: gate.login.certificate: {rest}authority must be set, too",
        )

    def test_wrongFiles(self) -> None:
        """Each that cannot be read is told on its own line, and nothing on top of that."""
        (self.folder / "login.key").write_bytes(self.authority.encryptedKey)
        (self.folder / "authority.pem").write_bytes(b"nothing")
        (self.folder / "login.pem").unlink()
        self.assertMistakes(
            f'{CONTROL}listen = ["tcp:1"]\n{self.tls("login")}',
            f":5: login.control.certificate: No such file or directory: {self.folder}/login.pem",
            f":6: login.control.private_key: the key in {self.folder}/login.key must not need a"
            " passphrase",
            f":7: login.control.authority: {self.folder}/authority.pem has no certificate in PEM"
            " form",
        )

    def test_otherKey(self) -> None:
        """So is a key that is not that of the certificate."""
        (self.folder / "gate.key").write_bytes(Signed("gate").key)
        self.assertMistakes(
            GATE_LOGIN + self.tls("gate"),
            ":7: gate.login.private_key: is not the key of the certificate",
        )

    def test_noPath(self) -> None:
        """And what is no path."""
        self.assertMistakes(
            f'{CONTROL}listen = ["tcp:1"]\ncertificate = 5',
            ':5: login.control.certificate: must be the path of a PEM file, or "", not 5',
        )


class GateLoginTests(LinkTestCase):
    """A gate's end."""

    def test_defaults(self) -> None:
        """A key is enough."""
        link = self.load(GATE_LOGIN).gateLogin
        assert link is not None
        self.assertEqual(link.settings, GateLogin(key=KEY))
        self.assertNotIn(KEY, repr(link))
        ((text, endpoint),) = link.endpoints
        self.assertEqual(text, "tcp:127.0.0.1:8002")
        endpoint.connect(Factory())
        self.assertEqual(self.reactor.tcpClients[0][:2], ("127.0.0.1", 8002))

    def test_everything(self) -> None:
        """What a file says goes to the setting of that name."""
        link = self.load(
            f'{GATE_LOGIN}servers = ["tcp:a:1", "unix:/x"]\nserver_name = "a"\nping_interval = 1\n'
            "ping_timeout = 2\nretry_delay = 3\n"
        ).gateLogin
        assert link is not None
        self.assertEqual(
            link.settings,
            GateLogin(
                servers=("tcp:a:1", "unix:/x"),
                key=KEY,
                serverName="a",
                pingInterval=1.0,
                pingTimeout=2.0,
                retryDelay=3.0,
            ),
        )
        self.assertEqual([text for text, _ in link.endpoints], ["tcp:a:1", "unix:/x"])

    def test_both(self) -> None:
        """A gate may have a login server beside it and yet connect to another."""
        parts = self.load(LOGIN + GATE_LOGIN)
        self.assertIsNotNone(parts.login)
        self.assertIsNotNone(parts.gateLogin)
        self.assertIsNone(parts.control)

    def test_mistakes(self) -> None:
        """What is no endpoint of a client is told, and what has TLS twice."""
        self.assertMistakes(
            f'{GATE_LOGIN}servers = ["tcp:a", "tls:a:1"]\n{self.tls("gate")}server_name = "a..b"\n',
            ':6: gate.login.servers: "tcp:a" is no endpoint of a client: missing 1 required'
            " positional argument: 'port'; one would be \"tcp:127.0.0.1:8002\"",
            ':6: gate.login.servers: "tls:a:1" has TLS of its own, and certificate, private_key,'
            " authority put TLS around it once more: let it be without",
            ":10: gate.login.server_name: can be no server's name: Empty Label",
        )

    def test_tlsOfItsOwn(self) -> None:
        """Without certificates, a string may have TLS of its own."""
        self.assertIsNotNone(self.load(GATE_LOGIN + 'servers = ["tls:a:1"]').gateLogin)

    def both(self) -> None:
        """Load a file with both ends, and have the login server listen."""
        gates = f'gates.sample = "{KEY}"\n'
        parts = self.load(CONTROL + gates + self.tls("login") + GATE_LOGIN + self.tls("gate"))
        assert parts.control is not None and parts.gateLogin is not None
        self.talkers = [Talker(), Talker()]
        parts.control.endpoints[0][1].listen(Factory.forProtocol(lambda: self.talkers[0]))
        self.client = parts.gateLogin.endpoints[0][1]

    def met(self) -> list[int]:
        """Let both meet, and give the serials of what each has shown."""
        self.talkers[:] = Talker(), Talker()
        self.client.connect(Factory.forProtocol(lambda: self.talkers[1]))
        address = IPv4Address("TCP", "127.0.0.1", 8002)
        *_, pump = connectedServerAndClient(
            lambda: self.reactor.tcpServers[0][1].buildProtocol(address),
            lambda: self.reactor.tcpClients[-1][2].buildProtocol(address),
            clock=self.reactor,
        )
        pump.flush()
        self.assertEqual([talker.heard for talker in self.talkers], [b"hello", b"hello"])
        transports: list[Any] = [talker.transport for talker in reversed(self.talkers)]
        return [transport.getPeerCertificate().get_serial_number() for transport in transports]

    def test_meet(self) -> None:
        """With their certificates, a gate and the login server of one file hear each other."""
        self.both()
        self.assertEqual(len(set(self.met())), 2)

    def test_renewed(self) -> None:
        """Certificates that are renewed are shown without a restart, at either end."""
        self.both()
        before = self.met()
        renewed = []
        for name in ("login", "gate"):
            signed = self.authority.sign(name)
            (self.folder / f"{name}.pem").write_bytes(signed.certificate)
            (self.folder / f"{name}.key").write_bytes(signed.key)
            renewed.append(signed.serial)
        self.assertEqual(self.met(), before)
        self.reactor.advance(LOOK_INTERVAL)
        self.assertEqual(self.met(), renewed)


class OperatorTests(LinkTestCase):
    """The operators' end."""

    def operator(self, content: str) -> Link[Operator]:
        """Load a file of this content."""
        self.path.write_text(content, encoding="utf-8")
        return loadOperator(str(self.path), self.reactor)

    def assertRefused(self, content: str, *mistakes: str) -> None:
        """See exactly these mistakes, a line each, with the file's name left away."""
        errors = self.assertRaises(ConfigErrors, self.operator, content)
        lines = [line.removeprefix(str(self.path)) for line in str(errors).splitlines()]
        self.assertEqual(lines, list(mistakes))

    def test_section(self) -> None:
        """A section of its own says all, and may be a file's only one."""
        link = self.operator(
            f'{OPERATOR}servers = ["tcp:a:1"]\nserver_name = "b"\ntimeout = 1\n{self.tls("gate")}'
        )
        self.assertEqual((link.settings.servers, link.settings.key), (("tcp:a:1",), KEY))
        self.assertEqual((link.settings.serverName, link.settings.timeout), ("b", 1.0))
        self.assertTrue(link.hasTLS)
        link.endpoints[0][1].connect(Factory.forProtocol(Talker))
        address = IPv4Address("TCP", "10.0.0.7", 1)
        connection = self.reactor.tcpClients[0][2].buildProtocol(address)
        assert connection is not None
        connection.makeConnection(transport := StringTransport())
        self.assertEqual(transport.value()[:2], b"\x16\x03")

    def test_noHandlers(self) -> None:
        """No handler is made, nor even looked for, and no file of a server is read."""
        self.patch(LoginHandler, "__init__", lambda handler: 1 / 0)
        files = self.tls("nowhere")
        gate = '[gate]\nservername = "a"\nhandler = "nowhere:X"\n'
        self.assertEqual(
            self.operator(CONTROL + files + gate + OPERATOR).settings, Operator(key=KEY)
        )

    def test_derived(self) -> None:
        """Without one, the login server's says all."""
        link = self.operator(
            f'{CONTROL}operator_key = "{KEY}"\ninsecure = true\n'
            'listen = ["tcp:1:interface=127.0.0.1", "tcp6:2", "tcp:0", "unix:/run/x:mode=600"]\n'
        )
        servers = ("tcp:127.0.0.1:1", r"tcp:\:\:1:2", "unix:/run/x")
        self.assertEqual(link.settings, Operator(servers=servers, key=KEY))
        self.assertEqual(tuple(text for text, _ in link.endpoints), servers)
        link.endpoints[1][1].connect(Factory())
        self.assertEqual(self.reactor.tcpClients[0][:2], ("::1", 2))

    def test_noOperators(self) -> None:
        """Where the login server knows no operator, there is none; all is told at once."""
        self.assertRefused(
            CONTROL + 'listen = ["tcp:0"]\noperator_key = ""\n',
            ":4: login.control.listen: these do not tell how to connect to them: there must be a"
            " section [operator]",
            ":5: login.control.operator_key: is required: without it, nobody is an operator",
        )

    def test_tls(self) -> None:
        """Where there is TLS, operators need certificates that the login server's is not."""
        self.assertRefused(
            f'{CONTROL}operator_key = "{KEY}"\n{self.tls("login")}',
            ":5: login.control.certificate: with TLS, operators need a section [operator] with"
            " certificates of their own",
        )

    def test_neither(self) -> None:
        """A file for neither is told so."""
        for content in ("", LOGIN, GATE):
            self.assertRefused(
                content, ": there must be a section [operator], or a section [login.control]"
            )

    def test_otherMistakes(self) -> None:
        """What else is wrong with the file is told, and nothing is derived from it."""
        self.assertRefused(
            CONTROL + "maxclient = 0",
            ":4: login.control.maxclient: must be a whole number, 1 or more, not 0",
        )
        errors = self.assertRaises(ConfigErrors, loadOperator, "nowhere.toml", self.reactor)
        self.assertEqual(str(errors), "nowhere.toml: No such file or directory")
