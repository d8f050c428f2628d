"""
What the original's C{client.lua} does, on a plain socket: log in, ask, lose the connection before
the answer is there, and get it on the next one, under the same session.

It speaks the classic suite, as clients of skynet do, and so talks to either server::

    python -m examples.migrating.client

A client of yours need not do any of this by hand: L{msgserver.client.MsgClient} does.
"""

from __future__ import annotations

import socket
from argparse import ArgumentParser
from os import urandom

from msgserver.errors import ProtocolError, Refused
from msgserver.passwords import passwordToken
from msgserver.wire.classic import ClassicSuite
from msgserver.wire.gate import Connected, GateClient, Response, requestPacket
from msgserver.wire.login import Admitted, LoginClient
from msgserver.wire.naming import User

_PATIENCE = 10.0
"""Seconds until a server is given up that says nothing."""

PARSER = ArgumentParser(description="Lose a connection, and get the answer on the next one.")
PARSER.add_argument("--host", default="127.0.0.1", help="where both servers are")
PARSER.add_argument("--login-port", dest="loginPort", type=int, default=8001)
PARSER.add_argument("--gate-port", dest="gatePort", type=int, default=8888)

USER, SERVER, PASSWORD = b"hello", b"sample", b"password"


def logIn(host: str, port: int) -> Admitted:
    """Log in: challenge, keys, proof and token, then the verdict."""
    token = passwordToken(USER, SERVER, PASSWORD)
    conversation = LoginClient(ClassicSuite(), token, urandom)
    with socket.create_connection((host, port), _PATIENCE) as connection:
        # The original never closes this connection, so the yes is all there is to wait for.
        while not conversation.isAdmitted:
            data = connection.recv(4096)
            if not data:
                break
            conversation.feed(data)
            conversation.nextEvent()
            connection.sendall(conversation.dataToSend())
    admitted = conversation.feedEnd()
    assert admitted is not None, "a yes is an admission"
    return admitted


class Connection:
    """
    One connection to the gate, and its handshake.

    @param index: which of the login's connections this is; each is greater than the last.
    """

    def __init__(self, host: str, port: int, user: User, secret: bytes, index: int) -> None:
        self._wire = GateClient(user, secret, index)
        self._socket = socket.create_connection((host, port), _PATIENCE)
        self._socket.sendall(self._wire.hello)

    def shakeHands(self) -> str:
        """Read the gate's verdict on the handshake."""
        try:
            assert isinstance(self._next(), Connected)
        except Refused as refusal:
            return str(refusal.status.value, "ascii")
        return "200 OK"

    def sendRequest(self, content: bytes, session: int) -> None:
        """Send C{send_request}'s packet: the content, then the session in 4 bytes."""
        self._socket.sendall(requestPacket(session.to_bytes(4, "big"), content))

    def readResponse(self) -> str:
        """Wait for a response; tell what C{recv_response} told: ok, content and session."""
        response = self._next()
        assert isinstance(response, Response)
        session = int.from_bytes(response.session, "big")
        isOk = "true" if response.isAnswer else "false"
        return f"{isOk} {response.content.decode()} {session}"

    def close(self) -> None:
        """Lose the connection. The login lives on."""
        self._socket.close()

    def _next(self) -> Connected | Response:
        while (event := self._wire.nextEvent()) is None:
            data = self._socket.recv(4096)
            if not data:
                raise ProtocolError("the gate has closed the connection")
            self._wire.feed(data)
        return event


def main(host: str, loginPort: int, gatePort: int) -> None:
    """Do all of it, and tell what happens."""
    admitted = logIn(host, loginPort)
    user = User(USER, admitted.subid, SERVER)
    print("login ok")

    def connect(index: int) -> Connection:
        connection = Connection(host, gatePort, user, admitted.secret, index)
        print(f"connect, index {index}: {connection.shakeHands()}")
        return connection

    connection = connect(1)
    connection.sendRequest(b"echo", 0)
    print("===> echo, session 0")
    # The answer takes 0.1 seconds, which nobody waits for.
    connection.close()
    print("disconnect")
    connect(1).close()  # An index that was there before.
    connection = connect(2)
    # The session is an old one, so this is the old request, whatever its content.
    connection.sendRequest(b"fake", 0)
    print("===> fake, session 0")
    connection.sendRequest(b"again", 1)
    print("===> again, session 1")
    for _ in range(2):
        print(f"<=== {connection.readResponse()}")
    connection.close()
    print("disconnect")


if __name__ == "__main__":
    options = PARSER.parse_args()
    try:
        main(options.host, options.loginPort, options.gatePort)
    except Refused as refusal:
        raise SystemExit(f"refused: {refusal.status.value.decode()}") from None
    except (OSError, ProtocolError) as error:
        raise SystemExit(f"no connection: {error}") from None
