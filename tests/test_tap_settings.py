"""
Tests for L{msgserver.tap}: what a config file says gets to where it belongs.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.application.service import Service

from msgserver import processes, tap
from msgserver.config import settings
from msgserver.configvalues import Strings
from msgserver.handlers import PasswordLoginHandler
from msgserver.limits import FailureLimits
from msgserver.loginprotocol import LoginLimits
from msgserver.msgprotocol import GateLimits
from msgserver.msgservice import LifeLimits
from msgserver.readset import hasReadSets
from msgserver.remote.link import LinkTimes
from msgserver.remote.servers import GateKey, LoginServers
from msgserver.sessions import SessionLimits
from tests.test_tap import (
    CONTROL,
    GATE,
    GATE_LOGIN,
    LOGIN,
    THREE,
    AssembleTestCase,
    EchoHandler,
)


class Nothing(Service):
    """
    What is made where nothing is.

    @ivar operations: as those of a login service.
    """

    operations = "operations"


class SettingsTests(AssembleTestCase):
    """Each section's settings."""

    def record(self, *names: str) -> dict[str, tuple[Any, ...]]:
        """Let these classes of L{tap} make nothing, and give what they are called with."""
        calls: dict[str, tuple[Any, ...]] = {}

        def replace(name: str) -> None:
            def call(*arguments: object, **named: object) -> Service:
                calls[name] = (*arguments, *named.values())
                return Nothing()

            self.patch(tap, name, call)

        for name in names:
            replace(name)
        return calls

    def test_loginSettings(self) -> None:
        """Each setting of the login server gets where it belongs."""
        calls = self.record("LoginService", "LoginFactory", "ListenService")
        parts = self.load(
            f'{LOGIN}listen = ["tcp:1"]\nmaxclient = 5\nlogin_timeout = 20\n'
            "gate_timeout = 7\nmultilogin = true\nsticky = true\nmax_strangers = 4\n"
            "address_maxclient = 3\naddress_rate = 2\naddress_burst = 9\n"
            'address_table = 2000\nunlimited = ["10.0.0.0/8"]\nfree_failures = 8\n'
            "address_free_failures = 9\nfailure_delay = 0.5\nlongest_failure_delay = 6\n"
            "failure_memory = 70\nmax_authenticating = 12\n"
        )
        made = self.record("LoginFailures")
        tap.assemble(parts, self.reactor)
        handler, *others, failures, maxAuthenticating = calls["LoginService"]
        self.assertEqual(maxAuthenticating, 12)
        self.assertIsInstance(handler, PasswordLoginHandler)
        self.assertEqual(others, [self.reactor, True, 7.0, True])
        clock, failureLimits, networks = made["LoginFailures"]
        self.assertIs(clock, self.reactor)
        self.assertEqual(failureLimits, FailureLimits(8, 9, 0.5, 6.0, 70.0, 2000))
        self.assertIsNone(networks.keyOf("10.1.2.3"))
        self.assertIsNotNone(networks.keyOf("127.0.0.1"))
        _, clock, _, limits, sameFailures = calls["LoginFactory"]
        self.assertIs(clock, self.reactor)
        self.assertIs(failures, sameFailures)
        self.assertEqual(limits, LoginLimits(5, 20.0, 4, 3, 2.0, 9, 2000, ("10.0.0.0/8",)))
        section, endpoints, _, isWeak = calls["ListenService"]
        self.assertEqual((section, isWeak), ("login", False))
        self.assertEqual([text for text, _ in endpoints], ["tcp:1"])

    def test_gateSettings(self) -> None:
        """Each setting of the gate gets where it belongs."""
        calls = self.record("MsgService", "MsgFactory", "ListenService")
        parts = self.load(
            GATE.replace("sample", "sampl\N{LATIN SMALL LETTER E WITH ACUTE}")
            + 'advertise = "a.example:3"\nmaxclient = 6\nnodelay = false\nexpired_number = 7\n'
            'cache_bytes = 70000\nsessions = "increasing"\nmax_packet = 200\n'
            "handshake_timeout = 8\nmax_running = 9\nstall_timeout = 10\n"
            "away_timeout = 11\nkick_timeout = 2\ndrain_timeout = 13\nweight = 14\n"
            "direct_send = false\nbatch_reads = false\nmax_strangers = 4\n"
            "address_maxclient = 3\naddress_rate = 2\naddress_burst = 9\n"
            'address_table = 2000\nunlimited = ["10.0.0.0/8"]\nrequest_rate = 50\n'
            "request_burst = 60\n"
        )
        tap.assemble(parts, self.reactor)
        handler, *others = calls["MsgService"]
        self.assertIsInstance(handler, EchoHandler)
        self.assertEqual(
            others,
            [
                b"sampl\xc3\xa9",
                self.reactor,
                None,
                "a.example:3",
                SessionLimits(
                    expiredNumber=7,
                    cacheBytes=70000,
                    increasing=True,
                    maxPacket=200,
                    maxRunning=9,
                ),
                LifeLimits(awayTimeout=11.0, kickTimeout=2.0, drainTimeout=13.0),
                14,
            ],
        )
        _, clock, limits, isDirect, readSet = calls["MsgFactory"]
        self.assertIs(clock, self.reactor)
        self.assertIs(isDirect, False)
        self.assertIsNone(readSet)
        self.assertEqual(
            limits,
            GateLimits(
                maxclient=6,
                handshakeTimeout=8.0,
                stallTimeout=10.0,
                maxPacket=200,
                nodelay=False,
                maxStrangers=4,
                addressMaxclient=3,
                addressRate=2.0,
                addressBurst=9,
                addressTable=2000,
                unlimited=("10.0.0.0/8",),
                requestRate=50.0,
                requestBurst=60,
            ),
        )
        self.assertEqual(calls["ListenService"][0], "gate")
        self.assertEqual(calls["ListenService"][3:], ())

    def test_defaults(self) -> None:
        """A gate that says nothing advertises nothing (L5), and takes any sessions (S7)."""
        calls = self.record("MsgService", "MsgFactory")
        tap.assemble(self.load(GATE), self.reactor)
        *_, isDirect, readSet = calls["MsgFactory"]
        self.assertIs(isDirect, True)
        self.assertEqual(readSet is not None, hasReadSets(self.reactor))
        *_, address, sessionLimits, lifeLimits, weight = calls["MsgService"]
        self.assertEqual((address, weight), (None, 1))
        self.assertEqual((sessionLimits, lifeLimits), (SessionLimits(), LifeLimits()))
        self.assertEqual(calls["MsgFactory"][2], GateLimits())

    def test_together(self) -> None:
        """In one process, the gate reports to the login server that is here."""
        calls = self.record("MsgService", "MsgFactory")
        everything = tap.assemble(self.load(LOGIN + GATE), self.reactor)
        self.assertIs(calls["MsgService"][3], list(everything)[0])

    def test_controlSettings(self) -> None:
        """Each setting of the login server's end of the link gets where it belongs."""
        calls = self.record(
            "LoginService",
            "ControlRealm",
            "Keys",
            "ControlFactory",
            "ControlLinks",
            "ListenService",
        )
        parts = self.load(
            f"{LOGIN}gate_timeout = 7\n{CONTROL}"
            'gates."\N{LATIN SMALL LETTER E WITH ACUTE}" = "the key of another"\n'
            'operator_key = "the key of operators"\nlisten = ["tcp:3:interface=127.0.0.1"]\n'
            "maxclient = 5\nhandshake_timeout = 6\nping_interval = 8\nping_timeout = 9\n"
        )
        logins, links, *_ = tap.assemble(parts, self.reactor)
        times = LinkTimes(proof=6.0, pingInterval=8.0, answer=9.0)
        self.assertEqual(calls["ControlRealm"], (logins, "operations", self.reactor, times, 7.0))
        (keys,) = calls["Keys"]
        self.assertEqual(
            keys,
            {
                b"gate sample": b"the key of sample",
                b"gate \xc3\xa9": b"the key of another",
                b"operator": b"the key of operators",
            },
        )
        *_, clock, maxclient, factoryTimes = calls["ControlFactory"]
        self.assertIs(clock, self.reactor)
        self.assertEqual((maxclient, factoryTimes), (5, times))
        section, endpoints, _, hasTLS = calls["ListenService"]
        self.assertEqual((section, hasTLS), ("login.control", False))
        self.assertEqual([text for text, _ in endpoints], ["tcp:3:interface=127.0.0.1"])

    def test_controlTLS(self) -> None:
        """A port that has TLS around it, as its section says, is said to have it."""
        calls = self.record("ListenService")
        parts = self.load(LOGIN + CONTROL)
        assert parts.control is not None
        settings = evolve(parts.control.settings, certificate="of this end.pem")
        control = evolve(parts.control, settings=settings)
        tap.assemble(evolve(parts, control=control), self.reactor)
        self.assertEqual(calls["ListenService"][::3], ("login.control", True))

    def test_noOperators(self) -> None:
        """Without a key for them there are no operators: not even any with an empty key."""
        calls = self.record("Keys", "ControlFactory", "ControlLinks")
        tap.assemble(self.load(LOGIN + CONTROL), self.reactor)
        self.assertEqual(calls["Keys"], ({b"gate sample": b"the key of sample"},))

    def test_gateLoginSettings(self) -> None:
        """Each setting of the gate's end of the link gets where it belongs."""
        calls = self.record("LoginServers", "MsgService", "MsgFactory")
        parts = self.load(
            f'{GATE}{GATE_LOGIN}servers = ["tcp:a:1", "unix:/b"]\n'
            "ping_interval = 8\nping_timeout = 9\nretry_delay = 10\n"
        )
        tap.assemble(parts, self.reactor)
        key, servers, *others = calls["LoginServers"]
        self.assertEqual(key, GateKey(b"gate sample", b"the key of sample"))
        self.assertEqual([text for text, _ in servers], ["tcp:a:1", "unix:/b"])
        times = LinkTimes(proof=9.0, pingInterval=8.0, answer=9.0)
        self.assertEqual(others, [self.reactor, times, 10.0])

    def test_directories(self) -> None:
        """A gate reports to where [gate.login] says, though there is a login server here."""
        calls = self.record("MsgService", "MsgFactory")
        for content in (GATE + GATE_LOGIN, LOGIN + CONTROL + GATE + GATE_LOGIN):
            tap.assemble(self.load(content), self.reactor)
            self.assertIsInstance(calls["MsgService"][3], LoginServers)

    def test_processesSettings(self) -> None:
        """Processes that are stopped have the time for what a shutdown may take (B5)."""
        calls: list[tuple[object, ...]] = []

        def make(*arguments: object) -> Service:
            calls.append(arguments)
            return Service()

        self.patch(processes, "GateProcesses", make)
        gate = THREE.replace("[gate]", "[gate]\ndrain_timeout = 100\nkick_timeout = 3")
        parts = self.load(f"{gate}ping_timeout = 1000\n")
        tap.assemble(parts, self.reactor, "/a/file")
        ((*others, stopTime),) = calls
        self.assertEqual(others, [self.reactor, "/a/file", 3])
        self.assertEqual(stopTime, 3 * 100 + 3 + 1000 + 5)

    def suites(self, keys: str, *listen: str) -> list[list[str]]:
        """Give the names of the suites that each endpoint takes."""
        parts = self.load(f"{LOGIN}{keys}\n")
        assert parts.login is not None
        endpoints: Any = [(text, None) for text in listen]
        calls = self.record("ListenService")
        tap.assemble(evolve(parts, login=evolve(parts.login, endpoints=endpoints)), self.reactor)
        section, _, factoryOf, self.isWeak = calls["ListenService"]
        made = [factoryOf(text).buildProtocol(None) for text in listen]
        # By the sizes of their keys.
        names = {32: "modern", 8: "classic"}
        return [[names[size] for size in each._conversation._suites] for each in made]

    def test_suites(self) -> None:
        """L2: classic logins are for where nobody can overhear them, on each listener by itself."""
        exposed = ("tcp:1", "tcp6:1", "tcp:1:interface=10.0.0.7", "haproxy:tcp:1:interface=::1")
        safe = ("tcp:1:interface=127.0.0.1", "tls:path:port=1", "ssl:1", "unix:/x")
        for keys in ("", "suites = []"):
            found = self.suites(keys, *exposed, *safe)
            self.assertEqual(found, [["modern"]] * 4 + [["modern", "classic"]] * 4)
            self.assertFalse(self.isWeak)

    def test_proxied(self) -> None:
        """Each listener knows whether a proxy tells it whose connections are whose."""
        calls = self.record("MsgService", "ListenService")
        tap.assemble(self.load(GATE), self.reactor)
        _, _, factoryOf = calls["ListenService"]
        self.assertIs(factoryOf("haproxy:tcp:1").isProxied, True)
        self.assertIs(factoryOf("tcp:1").isProxied, False)
        tap.assemble(self.load(LOGIN), self.reactor)
        _, _, factoryOf, _ = calls["ListenService"]
        self.assertIs(factoryOf("haproxy:tcp:1").isProxied, True)
        self.assertIs(factoryOf("tcp:1").isProxied, False)

    def test_suitesNamed(self) -> None:
        """L2, L3: what is named holds everywhere; and classic is warned of."""
        for names, isWeak in [(["modern"], False), (["classic"], True)]:
            self.assertEqual(self.suites(f"suites = {names}", "tcp:1", "unix:/x"), [names] * 2)
            self.assertIs(self.isWeak, isWeak)
        both = self.suites('suites = ["classic", "modern"]', "tcp:1")
        self.assertEqual(both, [["classic", "modern"]])
        self.assertTrue(self.isWeak)
        for setting in settings():
            if setting.key == "suites":
                assert isinstance(setting.kind, Strings)
                self.assertEqual(setting.kind.choices, ("modern", "classic"))

    def test_identity(self) -> None:
        """L3: the server proves that it has the key that the config names."""
        parts = self.load(LOGIN)
        calls = self.record("ModernSuite", "LoginFactory")
        key = Ed25519PrivateKey.generate()
        tap.assemble(evolve(parts, identity=key), self.reactor)
        self.assertEqual(calls["ModernSuite"], (key,))
