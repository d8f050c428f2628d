"""The server that is attacked: one process, a login port and a gate port, limits as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from msgserver.wire.naming import encode64
from tests.certificates import Signed
from tests.endtoend.clusters import KEY, freePort, until
from tests.endtoend.processes import PATIENCE, Server

Settings = Mapping[str, Any]
"""Keys of a section of the config, and their values."""

SERVERNAME = b"sample"

USERS = (b"alice", b"bob", b"carol")
"""The users who mean well."""

PASSWORD = b"password"

_HASH = "scrypt$16384$8$1$Fz7j4CMCI+v6ju1d4OT4og==$HAgIpZEp0Wj8XRmdCg9uuADYKpdB27by4L9kTK9KSd4="
"""Of L{PASSWORD}, at what C{msgserver.passwords} has a check cost by default."""

_LOGIN = {
    "handler": "tests.endtoend.workload:Welcome",
    # Attackers and user are of one network here, and the user is to have no privilege.
    "unlimited": [],
}

_PASSWORDS = {
    "handler": "msgserver.handlers:PasswordLoginHandler",
    "handler_options": {
        "servers": [SERVERNAME.decode()],
        "users": {user.decode(): _HASH for user in USERS},
    },
}

_GATE = {
    "servername": SERVERNAME.decode(),
    "handler": "tests.attacks.handler:Attacked",
    "unlimited": [],
}


@frozen
class Setting:
    """
    How the server is configured, where that is not by default.

    @ivar hasPasswords: logins are checked against passwords, which takes long on purpose;
        otherwise everybody is taken at their word.
    @ivar hasTLS: it also listens with TLS.
    @ivar hasOffice: it also listens for gates and operators, and for those who watch it.
    """

    login: Settings = field(factory=dict)
    gate: Settings = field(factory=dict)
    hasPasswords: bool = False
    hasTLS: bool = False
    hasOffice: bool = False

    def tokenOf(self, user: bytes) -> bytes:
        """Write what a user logs in with."""
        if not self.hasPasswords:
            return user
        return b"%b@%b:%b" % tuple(map(encode64, (user, SERVERNAME, PASSWORD)))

    @property
    def portNames(self) -> list[str]:
        """What the ports are called where the server listens."""
        names = ["login", "gate"]
        names += ["login with TLS", "gate with TLS"] if self.hasTLS else []
        names += ["control", "ops"] if self.hasOffice else []
        return names

    def config(self, ports: Mapping[str, int], folder: Path) -> str:
        """
        Write the config file.

        @param ports: free ones, by L{portNames}.
        @param folder: where certificates are made, if any.
        """
        sections: dict[str, dict[str, Any]] = {
            "login": {**_LOGIN, **(_PASSWORDS if self.hasPasswords else {}), **self.login},
            "gate": {**_GATE, **self.gate},
        }
        for name in ("login", "gate"):
            sections[name]["listen"] = [f"tcp:{ports[name]}:interface=127.0.0.1"]
            if self.hasTLS:
                place = f"{_certificatesIn(folder)}:port={ports[f'{name} with TLS']}"
                sections[name]["listen"].append(f"tls:{place}:interface=127.0.0.1")
        if self.hasOffice:
            listen = [f"tcp:{ports['control']}:interface=127.0.0.1"]
            sections["login.control"] = {"listen": listen, "operator_key": KEY}
            sections["ops"] = {"port": ports["ops"]}
        return "\n".join(f"[{name}]\n{_tomlOf(each)}" for name, each in sections.items())


def _certificatesIn(folder: Path) -> Path:
    """Make a certificate where the endpoint string looks for one; give that place."""
    place = folder / "live"
    (place / "server").mkdir(parents=True, exist_ok=True)
    signed = Signed("server.example")
    (place / "server" / "privkey.pem").write_bytes(signed.key)
    (place / "server" / "fullchain.pem").write_bytes(signed.certificate)
    return place


def _tomlOf(section: Settings) -> str:
    return "".join(f"{key} = {_valueOf(value)}\n" for key, value in section.items())


def _valueOf(value: Any) -> str:
    if isinstance(value, dict):
        pairs = ", ".join(f"{key} = {_valueOf(each)}" for key, each in value.items())
        return f"{{ {pairs} }}"
    # What is no table, JSON writes as TOML does.
    return json.dumps(value)


@frozen
class Stage:
    """
    A server that listens.

    @ivar ports: where, by their L{Setting.portNames}.
    """

    server: Server
    setting: Setting
    ports: dict[str, int]


async def startServer(folder: Path, setting: Setting) -> Stage:
    """Start it, and wait until it listens; C{folder} is an empty one."""
    ports = {name: freePort() for name in setting.portNames}
    server = Server(folder, setting.config(ports, folder))
    try:
        # Without blocking, as others may be under attack meanwhile.
        await until(lambda: _listens(server, len(ports)), PATIENCE, "it listens")
    except BaseException as error:
        server.__exit__(type(error), error, None)
        raise
    return Stage(server, setting, ports)


def _listens(server: Server, count: int) -> bool:
    if server.process.poll() is not None:
        raise AssertionError(f"the server has ended:\n{server.log}")
    return server.log.count(": listening on") == count
