"""Logins that an attacker is given, as everybody is."""

from __future__ import annotations

import socket
from os import urandom

from bench.loginload import OneKey
from msgserver.interfaces import User
from msgserver.wire.login import LoginClient
from tests.attacks.raids import SERVER
from tests.attacks.stage import SERVERNAME

_PATIENCE = 20.0
"""Seconds until it is given up."""


def logInFrom(source: str, port: int, uid: bytes) -> tuple[User, bytes]:
    """
    Log in from an address, where everybody's word is taken; give the login and its secret.

    @raise msgserver.errors.MsgServerError: the server says no, or nothing.
    """
    conversation = LoginClient(OneKey(), uid, urandom)
    with socket.create_connection((SERVER, port), _PATIENCE, (source, 0)) as stream:
        admitted = None
        while admitted is None:
            data = stream.recv(65536)
            if data:
                conversation.feed(data)
                admitted = conversation.nextEvent()
                stream.sendall(conversation.dataToSend())
            else:
                admitted = conversation.feedEnd()
                assert admitted is not None, "neither yes nor no"
    return User(uid, admitted.subid, SERVERNAME), admitted.secret
