"""C{msgserver-client} at servers that push, that prove who they are, and that go away."""

from __future__ import annotations

import subprocess

from msgserver.handlers import Mailbox, MsgHandler
from msgserver.identity import writeIdentity
from msgserver.interfaces import MaybeLater, User
from tests.certificates import Signed
from tests.endtoend.processes import PATIENCE, ROOT
from tests.endtoend.test_commandline import CommandLineTestCase
from tests.endtoend.test_examples import onFreePorts


class Pushing(MsgHandler):
    """Pushes what it is asked to the asker, and answers polls."""

    def __init__(self) -> None:
        self._box = Mailbox()

    def requestReceived(self, user: User, content: bytes) -> MaybeLater[bytes]:
        """Answer."""
        if content.startswith(b"poll "):
            return self._box.poll(user.uid, content.removeprefix(b"poll "))
        self._box.push(user.uid, content)
        return b"pushed"


class ServerLeavesTests(CommandLineTestCase):
    """A server that goes away."""

    def test_leaves(self) -> None:
        """What has failed is told; a client that was connected goes on trying."""
        with subprocess.Popen(
            self.arguments("--timeout=3", "--script=-"),
            cwd=ROOT,
            env=self.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as client:
            assert client.stdin is not None and client.stdout is not None
            self.assertIn("connected", client.stdout.readline())
            self.server.stop()
            said, _ = client.communicate("send hello\n", timeout=PATIENCE)
        self.assertEqual(client.returncode, 1, said)
        self.assertIn("away\n", said)
        self.assertIn("no connection to the gate: ", said)
        self.assertIn("no answer within 3 seconds", said)
        self.assertNotIn("Traceback", said)


class PushTests(CommandLineTestCase):
    """A server that pushes."""

    def config(self) -> str:
        """Give the server's config."""
        return onFreePorts("msgserver.toml").replace(
            "examples.slow:SlowHandler", f"{__name__}:Pushing"
        )

    def test_messages(self) -> None:
        """Pushed messages are shown as they come, also over a connection that is cut."""
        told = self.client(
            *("-c", "messages poll ", "-c", "send one", "-c", "expect-message one", "-c", "cut"),
            *("-c", "send two", "-c", "expect-message two"),
        )
        self.assertEqual((told.returncode, told.stderr), (0, ""))
        messages = [line for line in told.stdout.splitlines() if line.startswith("message")]
        self.assertEqual(messages, ["message: one", "message: two"])


class SafeTests(CommandLineTestCase):
    """A server that speaks TLS, and proves which it is."""

    def config(self) -> str:
        """Give the server's config, and write what it needs."""
        authority = Signed("authority")
        (self.folder / "authority.crt").write_bytes(authority.certificate)
        certificates = self.folder / "certificates"
        certificates.mkdir()
        (certificates / "a.pem").write_bytes(authority.sign("localhost", "127.0.0.1").pair)
        self.identity = writeIdentity(str(self.folder / "identity.pem"))
        config = onFreePorts("msgserver.toml").replace('"tcp:0:', f'"tls:{certificates}:port=0:')
        return config.replace("[login]\n", f'[login]\nidentity = "{self.folder}/identity.pem"\n', 1)

    def test_safe(self) -> None:
        """Whoever knows the authority and the key is answered (L3)."""
        told = self.client(
            f"--ca={self.folder}/authority.crt",
            f"--identity={self.identity}",
            *("-q", "-c", "send hello"),
        )
        self.assertTold(told, 0, "hello")

    def test_unsafe(self) -> None:
        """A certificate that nobody has vouched for ends it, in words."""
        told = self.client("--tls", "-c", "send hello")
        self.assertEqual(told.returncode, 4)
        self.assertIn("its certificate is not trusted: ", told.stderr)
        self.assertEqual(len(told.stderr.splitlines()), 1)
