"""
Login servers and gates with the control link between them: all real, in memory, on one clock.
"""

from __future__ import annotations

from itertools import count

from attrs import define, field
from twisted.internet.defer import Deferred

from msgserver.cluster import LoginRecord
from msgserver.interfaces import Account, Admission, User
from msgserver.loginservice import LoginService
from msgserver.msgservice import MsgService
from msgserver.remote.door import ControlFactory, Keys, identityOf
from msgserver.remote.gates import ControlRealm
from msgserver.remote.servers import GateKey, LoginServers
from tests.gates import SECRET
from tests.gates import Handler as MsgHandler
from tests.loginserver import Handler as LoginHandler
from tests.remote.links import GATE_TIMEOUT, KEYS, TIMES, LinkCase, Place

RETRY = 3.0

WHOLE = TIMES.pingInterval + TIMES.answer + TIMES.answer + RETRY + 1
"""Seconds until everybody knows everything, once all links can be made: see L{ClusterCase}."""


class LoginServer:
    """
    A login server, which may be killed and started anew.

    @ivar service: the present one; None while there is none.
    """

    service: LoginService | None = None

    def __init__(self, case: ClusterCase, multilogin: bool) -> None:
        self._case = case
        self._multilogin = multilogin
        self.factory: ControlFactory | None = None
        self.start()

    def start(self) -> None:
        """Start one that knows nobody."""
        handler = LoginHandler()
        handler.authentication = lambda token: Account(*token.split(b" ", 1))
        clock = self._case.clock
        service = LoginService(handler, clock, self._multilogin, GATE_TIMEOUT)
        realm = ControlRealm(service, service.operations, clock, TIMES, GATE_TIMEOUT)
        self.service = service
        self.factory = ControlFactory(realm, Keys(KEYS), clock, 100, TIMES)

    def kill(self) -> None:
        """Have it die, with all its links."""
        self.service = self.factory = None
        for link in self._case.linksOf(self):
            link.place.factory = None
            link.place.cut()

    @property
    def logins(self) -> list[tuple[bytes, bytes, str]]:
        """Tell whom it knows: uid, subid and gate, in order."""
        assert self.service is not None
        return sorted((each.uid, each.subid, each.gate) for each in self.service.operations.users())


@define(eq=False)
class Gate:
    """
    A gate.

    @ivar name: as the login server calls it.
    """

    name: str
    service: MsgService
    handler: MsgHandler
    servers: LoginServers

    @property
    def logins(self) -> list[LoginRecord]:
        """Tell which logins it has."""
        return list(self.service.describe().logins)

    @property
    def users(self) -> list[User]:
        """Tell who is logged in."""
        return list(self.handler.gate.online())

    @property
    def ended(self) -> list[User]:
        """Tell which logins it had, in the order in which they ended."""
        calls = self.handler.calls
        return [user for name, user in calls if name == "loggedOut" and isinstance(user, User)]


@define(eq=False)
class GateLink:
    """
    What is between a gate and a login server.

    @ivar isWhole: a connection may be made.
    """

    server: LoginServer
    gate: str
    place: Place = field(repr=False)
    isWhole: bool = True


class ClusterCase(LinkCase):
    """
    Tests that need login servers and gates. The gates are C{sample@a:1} and C{sample@b:1}, a
    group, and C{other}.
    """

    servers: list[LoginServer]
    gates: list[Gate]
    links: list[GateLink]

    def build(self, servers: int = 1, multilogin: bool = False) -> None:
        """Make the cluster, and let it come up."""
        self.gates, self.links, self.places = [], [], []
        self.servers = [LoginServer(self, multilogin) for _ in range(servers)]
        subids = count(1)

        def makeGate(servername: bytes, address: str | None) -> Gate:
            name = servername.decode() if address is None else f"{servername.decode()}@{address}"
            links = [GateLink(server, name, self.makePlace()) for server in self.servers]
            self.links += links
            identity = identityOf(servername)
            remote = LoginServers(
                GateKey(identity, KEYS[identity]),
                [(f"server {number}", link.place) for number, link in enumerate(links)],
                self.clock,
                TIMES,
                RETRY,
            )
            handler = MsgHandler()
            service = MsgService(
                handler,
                servername,
                self.clock,
                remote,
                address,
                randomBytes=lambda size: next(subids).to_bytes(size, "big"),
            )
            return Gate(name, service, handler, remote)

        self.gates = [
            makeGate(b"sample", "a:1"),
            makeGate(b"sample", "b:1"),
            makeGate(b"other", None),
        ]
        self.mend()
        for gate in self.gates:
            gate.service.startService()
        self.turn()

    def linksOf(self, server: LoginServer) -> list[GateLink]:
        """Give the links of a login server."""
        return [link for link in self.links if link.server is server]

    def link(self, gate: str, server: int = 0) -> GateLink:
        """Give a link by its ends."""
        links = self.linksOf(self.servers[server])
        return next(link for link in links if link.gate == gate)

    def gate(self, name: str) -> Gate:
        """Give a gate by its name."""
        return next(gate for gate in self.gates if gate.name == name)

    def cut(self, link: GateLink) -> None:
        """Cut a link, for as long as it is not mended."""
        link.isWhole = False
        link.place.factory = None
        link.place.cut()

    def mend(self, *links: GateLink) -> None:
        """Let links be made again, and go on; all of them, if none is named."""
        for link in links or self.links:
            link.isWhole = True
            link.place.factory = link.server.factory
            link.place.hold(False)

    def kill(self, server: LoginServer) -> None:
        """Have a login server die."""
        server.kill()

    def restart(self, server: LoginServer) -> None:
        """Start a login server that has died."""
        server.start()
        for link in self.linksOf(server):
            link.place.factory = server.factory if link.isWhole else None

    def login(
        self, uid: bytes, servername: bytes = b"sample", server: int = 0
    ) -> Deferred[Admission]:
        """Begin a login."""
        service = self.servers[server].service
        assert service is not None
        login = service.login(servername + b" " + uid, SECRET, "192.0.2.1")
        self.turn()
        return login

    def loggedIn(self, uid: bytes, servername: bytes = b"sample", server: int = 0) -> bytes:
        """Log in, successfully and at once; tell the subid."""
        return self.successResultOf(self.login(uid, servername, server)).subid

    def logins(self) -> list[tuple[bytes, bytes, str]]:
        """Tell who is logged in at the gates: uid, subid and gate, in order."""
        return sorted(
            (login.uid, login.subid, gate.name) for gate in self.gates for login in gate.logins
        )

    def stop(self) -> None:
        """Stop the gates, and see that nothing is left."""
        for gate in self.gates:
            stopped = gate.service.stopService()
            self.wait(TIMES.answer)
            self.successResultOf(stopped)
        for server in self.servers:
            server.kill()
        self.wait(2 * GATE_TIMEOUT)
        self.assertQuiet()
