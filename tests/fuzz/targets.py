"""All targets, by their names."""

from __future__ import annotations

from msgserver.wire.classic import publicKey
from tests.fuzz.clients import Servers as FarServers
from tests.fuzz.door import DoorStage
from tests.fuzz.gateclient import GateClientStage
from tests.fuzz.gateport import GatePort
from tests.fuzz.loginclient import SERVER_PRIVATE, LoginClientStage
from tests.fuzz.loginport import LoginPort
from tests.fuzz.network import Network
from tests.fuzz.parsers import ParserStage
from tests.fuzz.plays import Grammar, writeData
from tests.fuzz.servers import Servers
from tests.fuzz.stages import Stage, Target
from tests.fuzz.watching import Watch

_GATE_MODULES = (
    "msgprotocol.py msgservice.py sessions.py kept.py answering.py limits.py closing.py"
    " deadlines.py wire/gate.py:GateServer wire/framing.py:PacketReader wire/naming.py"
).split()
_LOGIN_MODULES = (
    "loginprotocol.py loginservice.py gatecalls.py later.py limits.py closing.py deadlines.py"
    " wire/login.py:LoginServer wire/framing.py:LineReader wire/classic.py"
).split()


class ServerStage(Stage):
    """A login server and its gate, one of whose ports, or both, are played."""

    def __init__(self, watch: Watch, *ports: type[GatePort] | type[LoginPort]) -> None:
        super().__init__(watch)
        self._servers = Servers(watch)
        self._network = Network(self._servers)
        self._ports = [port(self._servers, self._network) for port in ports]
        self.parts = [self._network, *self._ports]

    def check(self) -> None:
        """See L{Stage.check}."""
        for port in self._ports:
            port.check()

    def finish(self) -> None:
        """See L{Stage.finish}."""
        for port in self._ports:
            port.finish()
        self._servers.stop(self._network.settle)
        for port in self._ports:
            port.checkGone()


_GATE_OPENINGS = (
    "open 0\nhello 0 0 next right\n",
    "open 0\nhello 0 0 next right\nask 0 1 hello\n",
    "open 0\nhello 0 0 next right\nask 0 1 later:a\nlose 0\n"
    "open 1\nhello 1 0 next right\nask 1 1 x\n",
    "open 0\nhold 0\nhello 0 0 next right\nask 0 1 a\nask 0 2 b\ngo 0\n",
    "secure 0\nhello 0 0 next right\n",
    "open 0\nhello 0 0 next right\nstop 0\nask 0 1 big:65530\nask 0 2 big:65530\n",
    "open 0\nhello 0 0 next right\nask 0 1 later:a\nask 0 1 later:b\n"
    "fulfil 0 raise\nfulfil 0 done\n",
    "open 0\nhello 0 0 next right\nopen 1\nhello 1 0 next right\nask 0 1 hello\nask 1 1 hello\n",
    "increasing\nopen 0\nhello 0 0 next right\nask 0 1 hello\nask 0 2 later:a\n",
    "open 0\nhello 0 0 next right\n" + "".join(f"ask 0 {n} later:a\n" for n in range(1, 7)),
    "open 0\nhold 0\nhello 0 0 next right\n" + "ask 0 1 big:65530\n" * 4 + "go 0\n",
    "open 0\nhello 0 0 next right\nhook kicked hang\nkick 0\nkick 0\n",
    "hook loginReceived nonsense\nlogin 0\nhook loginReceived answer\n",
    "open 0\n",
)
_LOGIN_OPENINGS = (
    "converse 0 hang\n",
    "converse 0 ok\\x20user\\x200\ngate kicked hang\nconverse 1 ok\\x20user\\x200\n",
    "gate loginReceived hang\nconverse 0 ok\\x20user\\x200\nconverse 1 ok\\x20user\\x200\n",
    "call 0\nkey 0 right\nproof 0 right\ntoken 0 ok\\x20user\\x200\n",
    "call 0\nhold 0\nkey 0 right\nproof 0 right\ntoken 0 ok\\x20user\\x201\ngo 0\n",
    "call 0\nkey 0 right\nproof 0 right\n",
    "gate loginReceived hang\ncall 0\nkey 0 right\nproof 0 right\ntoken 0 ok\\x20user\\x200\n",
    "callSecurely 0\nkey 0 right\nproof 0 right\n",
    "call 0\nkey 0 right\n",
    "call 0\n",
)
# It starts the servers anew, which the login port is not made for.
_BOTH_VERBS = {**Network.verbs, **GatePort.verbs, **LoginPort.verbs}
del _BOTH_VERBS["increasing"]
_BOTH_OPENINGS = (
    *(opening for opening in _GATE_OPENINGS if "increasing" not in opening),
    *_LOGIN_OPENINGS,
    _GATE_OPENINGS[2] + _LOGIN_OPENINGS[0],
)
_SERVER_KEY = writeData(publicKey(SERVER_PRIVATE))
_LOGIN_CLIENT_OPENINGS = (
    f"challenge 8\\x20bytes!\nkey {_SERVER_KEY}\nstatus 200\\x20MQ==\n",
    f"challenge 8\\x20bytes!\nkey {_SERVER_KEY}\n",
    "challenge 8\\x20bytes!\n",
    "",
)
_GATE_CLIENT_OPENINGS = (
    "login elsewhere\nwait 1\nverdict 200\\x20OK\nask a\nlose 0\naway 1\nwait 5\n",
    "login no\nask a\nwait 1\n",
    "wait 1\nverdict 200\\x20OK\nask hello\n",
    "ask hello\nwait 1\nverdict 200\\x20OK\nrespond 1 1 hi\n",
    "wait 1\nverdict 200\\x20OK\nask a\nask b\nlose 0\nwait 2\nverdict 200\\x20OK\n",
    "wait 1\n",
    "",
)
_DOOR_OPENINGS = (
    "open 0\ngreet 0 \\x02\\x82pb\ncall 0 challenge 0 1\ncall 0 enter 3 1\n",
    "open 0\ngreet 0 \\x02\\x82pb\ncall 0 challenge 0 1\nprove 0 a\n",
    "open 0\ngreet 0 \\x02\\x82pb\n",
    "open 0\n",
)

TARGETS = {
    target.name: target
    for target in (
        Target(
            "gate",
            Grammar({**Network.verbs, **GatePort.verbs}, _GATE_OPENINGS),
            lambda watch: ServerStage(watch, GatePort),
            _GATE_MODULES,
        ),
        Target(
            "login",
            Grammar({**Network.verbs, **LoginPort.verbs}, _LOGIN_OPENINGS),
            lambda watch: ServerStage(watch, LoginPort),
            _LOGIN_MODULES,
        ),
        Target(
            "both",
            Grammar(_BOTH_VERBS, _BOTH_OPENINGS),
            lambda watch: ServerStage(watch, GatePort, LoginPort),
            sorted({*_GATE_MODULES, *_LOGIN_MODULES}),
            ("gate", "login"),
        ),
        Target(
            "loginclient",
            Grammar({**FarServers.verbs, **LoginClientStage.verbs}, _LOGIN_CLIENT_OPENINGS),
            LoginClientStage,
            (
                "client.py:login clientprotocols.py:LoginClient clientlogin.py:parseAddress"
                " wire/login.py:LoginClient wire/framing.py:LineReader"
            ).split(),
        ),
        Target(
            "gateclient",
            Grammar({**FarServers.verbs, **GateClientStage.verbs}, _GATE_CLIENT_OPENINGS),
            GateClientStage,
            (
                "client.py:MsgClient clientprotocols.py:GateClient clientlogin.py:ClientLogin"
                " reconnecting.py wire/gate.py:GateClient wire/framing.py:PacketReader"
            ).split(),
        ),
        Target(
            "parsers",
            Grammar(ParserStage.verbs),
            ParserStage,
            (
                "wire/framing.py:LineReader wire/framing.py:PacketReader wire/naming.py"
                " clientlogin.py:parseAddress wire/classic.py:encrypt wire/classic.py:decrypt"
            ).split(),
        ),
        Target(
            "door",
            Grammar(DoorStage.verbs, _DOOR_OPENINGS),
            DoorStage,
            "remote/door.py:Door remote/door.py:Keys remote/door.py:ControlFactory"
            " remote/link.py:LinkBroker remote/link.py:Served limits.py deadlines.py".split(),
        ),
    )
}
