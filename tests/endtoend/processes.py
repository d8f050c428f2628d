"""Servers as processes of their own, and clients on plain blocking sockets."""

from __future__ import annotations

import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from os import urandom
from pathlib import Path
from types import TracebackType

from msgserver.interfaces import User
from msgserver.wire.classic import ClassicSuite
from msgserver.wire.framing import PACKET_LENGTH
from msgserver.wire.gate import GateClient, requestPacket
from msgserver.wire.login import Admitted, LoginClient
from msgserver.wire.naming import encode64

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0
"""Seconds until a test gives up on something that should have happened long ago."""

_LISTENING = re.compile(r"(login|gate): listening on (\S+?):?(\d*)(?: with TLS)?$")


class Server:
    """
    C{twistd msgserver} with a config of the test's, by the plugin that is installed.

    @param folder: an empty one, for the config and the log.
    @param options: what else is said on the command line.
    @param ownGroup: it is in a process group of its own, as what a shell starts is.
    @param reactor: what twistd calls the reactor that is to run it; empty: its own choice.
    @ivar ports: the first port of each section, by the section's name.
    """

    def __init__(
        self,
        folder: Path,
        config: str,
        *options: str,
        ownGroup: bool = False,
        reactor: str = "",
    ) -> None:
        self.folder = folder
        self.ports: dict[str, int] = {}
        file = folder / "msgserver.toml"
        file.write_text(config)
        self._log = folder / "log"
        twistd: list[str | Path] = [Path(sys.executable).parent / "twistd", "-n", "--pidfile="]
        if reactor:
            twistd.append(f"--reactor={reactor}")
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*twistd, "msgserver", "--config", file, *options],
                cwd=ROOT,
                process_group=0 if ownGroup else None,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def __enter__(self) -> Server:
        sections = re.findall(r"^\[(\w+)\]$", (self.folder / "msgserver.toml").read_text(), re.M)
        waitUntil(lambda: self._hasOpened(len(sections)), "the server listens")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if error is not None:
            error.add_note(self.log)

    def _hasOpened(self, count: int) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the server has ended:\n{self.log}")
        for line in self.log.splitlines():
            if match := _LISTENING.search(line):
                self.ports.setdefault(match[1], int(match[3] or 0))
        return len(self.ports) == count

    @property
    def log(self) -> str:
        """Everything that the server has said so far."""
        return self._log.read_text(errors="replace")

    @property
    def memory(self) -> int:
        """The bytes of memory that the process holds at this moment."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        match = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.M)
        assert match is not None
        return int(match[1]) * 1024

    @property
    def descriptors(self) -> int:
        """How many descriptors the process has open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def stop(self) -> int:
        """Stop it as an operator does, and give its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


def waitUntil(happened: Callable[[], bool], what: str) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > deadline:
            raise AssertionError(f"never: {what}")
        time.sleep(0.01)


def connect(port: int) -> socket.socket:
    """Open a plain connection to this machine."""
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def readAll(stream: socket.socket) -> bytes:
    """Read until the other end closes."""
    data = b""
    while piece := stream.recv(65536):
        data += piece
    return data


def awaitEnd(stream: socket.socket) -> None:
    """Read until the other end closes, in good order or not."""
    try:
        readAll(stream)
    except ConnectionResetError:
        pass


def token(user: str, password: str, server: str = "sample") -> bytes:
    """Write the token of the original's examples."""
    return b"%b@%b:%b" % tuple(encode64(part.encode()) for part in (user, server, password))


def login(place: int | socket.socket, credentials: bytes) -> Admitted:
    """
    Log in.

    @param place: the login server's port on this machine, or a connection to it.
    @raise Refused: as the server says.
    """
    conversation = LoginClient(ClassicSuite(), credentials, urandom)
    with connect(place) if isinstance(place, int) else place as stream:
        while data := stream.recv(65536):
            conversation.feed(data)
            admitted = conversation.nextEvent()
            if admitted is not None:
                return admitted
            stream.sendall(conversation.dataToSend())
    admitted = conversation.feedEnd()
    assert admitted is not None
    return admitted


class Gate:
    """
    One connection to a gate.

    @param place: the gate's port on this machine, or a connection to it.
    @ivar verdict: what the gate said to the handshake.
    """

    def __init__(self, place: int | socket.socket, user: User, secret: bytes, index: int) -> None:
        self._stream = connect(place) if isinstance(place, int) else place
        self._stream.sendall(GateClient(user, secret, index).hello)
        self.verdict = self.receive()

    def send(self, session: int, content: bytes) -> None:
        """Ask."""
        self._stream.sendall(requestPacket(session.to_bytes(4, "big"), content))

    def receive(self) -> bytes | None:
        """Give the next packet, or None when the gate has closed."""
        header = self._exactly(PACKET_LENGTH.size)
        return header and self._exactly(*PACKET_LENGTH.unpack(header))

    def answer(self) -> tuple[int, int, bytes]:
        """Give the next response: its session, flag and content."""
        packet = self.receive()
        assert packet is not None, "closed"
        return int.from_bytes(packet[-4:], "big"), packet[-5], packet[:-5]

    def ask(self, session: int, content: bytes) -> bytes:
        """Ask, and give the answer, which must be the next and a success."""
        self.send(session, content)
        answered, flag, answer = self.answer()
        assert (answered, flag) == (session, 1), (answered, flag, answer)
        return answer

    def cut(self) -> None:
        """Break the connection, as a network does."""
        self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._stream.close()

    def close(self) -> None:
        """Close the connection in good order."""
        self._stream.close()

    def _exactly(self, size: int) -> bytes | None:
        data = b""
        while len(data) < size:
            try:
                piece = self._stream.recv(size - len(data))
            except ConnectionResetError:
                return None
            if not piece:
                return None
            data += piece
        return data
