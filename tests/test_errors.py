"""
Tests for L{msgserver.errors}.
"""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from msgserver import errors
from msgserver.errors import (
    BadRequest,
    ConfigError,
    ConfigErrors,
    Forbidden,
    GateStatus,
    IndexExpired,
    LoginStatus,
    MsgServerError,
    NotAcceptable,
    Refused,
    RequestFailed,
    Unauthorized,
    UserNotFound,
)


class TreeTests(SynchronousTestCase):
    """The tree of exceptions."""

    def test_drawnAsItIs(self) -> None:
        """The tree in the docstring is the tree of the classes."""
        drawn: dict[str, str] = {}
        above: list[str] = []
        for indent, name in re.findall(r"^    ((?:  )*)([A-Z]\w+)", errors.__doc__ or "", re.M):
            depth = len(indent) // 2
            above[depth:] = [name]
            drawn[name] = above[depth - 1] if depth else "Exception"
        classes = {
            name: value.__bases__[0].__name__
            for name, value in vars(errors).items()
            if isinstance(value, type) and issubclass(value, Exception)
        }
        self.assertEqual(drawn, classes)
        self.assertEqual(len(drawn), 20)

    def test_root(self) -> None:
        """Whoever catches the root catches them all."""
        for error in (Unauthorized(), RequestFailed(), ConfigError("f", 1, "k", "r")):
            self.assertIsInstance(error, MsgServerError)


class StatusTests(SynchronousTestCase):
    """What a refusal sends (L, H)."""

    def test_login(self) -> None:
        """The status lines of the login conversation are these bytes (L)."""
        self.assertEqual(
            [status.value for status in LoginStatus],
            [b"200", b"401 Unauthorized", b"403 Forbidden", b"406 Not Acceptable"],
        )

    def test_gate(self) -> None:
        """The answers to a handshake are these bytes (H)."""
        self.assertEqual(
            [status.value for status in GateStatus],
            [
                b"200 OK",
                b"400 Bad Request",
                b"401 Unauthorized",
                b"403 Index Expired",
                b"404 User Not Found",
            ],
        )

    def test_refusals(self) -> None:
        """Each refusal has its status; there is none without one (L, H)."""
        statuses: dict[type[Refused], bytes] = {
            BadRequest: b"400 Bad Request",
            Unauthorized: b"401 Unauthorized",
            Forbidden: b"403 Forbidden",
            IndexExpired: b"403 Index Expired",
            UserNotFound: b"404 User Not Found",
            NotAcceptable: b"406 Not Acceptable",
        }
        self.assertEqual(set(Refused.__subclasses__()), set(statuses))
        for refusal, status in statuses.items():
            self.assertEqual(refusal("the log's business").status.value, status)

    def test_bothWires(self) -> None:
        """Unauthorized is said alike on both wires: one exception serves them."""
        self.assertEqual(LoginStatus.UNAUTHORIZED.value, GateStatus.UNAUTHORIZED.value)


class RequestFailedTests(SynchronousTestCase):
    """The handler's way to put content into a flag-0 response (S4)."""

    def test_content(self) -> None:
        """It carries its content, none by default."""
        self.assertEqual(RequestFailed(b"no such item").content, b"no such item")
        self.assertEqual(RequestFailed().content, b"")


class ConfigErrorTests(SynchronousTestCase):
    """What is wrong with a config file."""

    def test_text(self) -> None:
        """The text says where, which key, and why; what is not known is left out."""
        for error, text in (
            (ConfigError("a.toml", 3, "gate.port", "no number"), "a.toml:3: gate.port: no number"),
            (ConfigError("a.toml", 0, "gate", "missing"), "a.toml: gate: missing"),
            (ConfigError("a.toml", 7, "", "no TOML"), "a.toml:7: no TOML"),
            (ConfigError("a.toml", 0, "", "no such file"), "a.toml: no such file"),
        ):
            self.assertEqual(str(error), text)

    def test_parts(self) -> None:
        """Each part is there by itself."""
        error = ConfigError("a.toml", 3, "gate.port", "no number")
        self.assertEqual(
            (error.file, error.line, error.key, error.reason),
            ("a.toml", 3, "gate.port", "no number"),
        )

    def test_several(self) -> None:
        """All the mistakes of a file are told together, in the order of their lines."""
        later = ConfigError("a.toml", 9, "gate.b", "wrong")
        first = ConfigError("a.toml", 2, "gate.a", "wrong")
        unplaced = ConfigError("a.toml", 0, "login", "missing")
        together = ConfigErrors([later, unplaced, first])
        self.assertEqual(together.errors, (unplaced, first, later))
        self.assertEqual(
            str(together),
            "a.toml: login: missing\na.toml:2: gate.a: wrong\na.toml:9: gate.b: wrong",
        )
