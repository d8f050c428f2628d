"""
What is printed of an object holds no secret of it (L6): a log line, an exception or a debugger
shows what C{repr} gives.
"""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, cast

import attrs
from twisted.trial.unittest import SynchronousTestCase

import msgserver
from msgserver.clientlogin import LoggedIn, Request
from msgserver.config import Config, Control, GateLogin, Login
from msgserver.handlers import PasswordLoginHandler
from msgserver.linksections import Operator
from msgserver.passwords import UNKNOWN
from msgserver.remote.door import Keys, Proof
from msgserver.remote.servers import GateKey
from msgserver.sessions import Application, Logins, SessionLimits
from msgserver.sessions import Login as SessionLogin
from msgserver.wire.classic import ClassicKeys, ClassicSuite
from msgserver.wire.gate import GateClient
from msgserver.wire.login import Admitted, LoginClient, LoginServer, TokenReceived
from msgserver.wire.naming import Handshake, User

SECRET_WORDS = frozenset("secret token password key keys proof mac private options".split())
"""A field whose name has one of these words in it holds a secret, until it is listed below."""

NO_SECRETS = {
    "commandline.options.Options.passwordFile": "where a file is",
    "commandline.options.Options.tokenFile": "where a file is",
    "loadtest.options.Options.passwordFile": "where a file is",
    "loadtest.options.Options.tokenFile": "where a file is",
    "linksections.Control.privateKey": "where a file is",
    "linksections.GateLogin.privateKey": "where a file is",
    "linksections.LoginServers.privateKey": "where a file is",
    "linksections.Operator.privateKey": "where a file is",
    "linktls.CredentialFiles.privateKey": "where a file is",
    "linktls.Credentials.key": "an object of OpenSSL's, which shows nothing",
    "linktls._NamedServer.options": "an object of OpenSSL's, which shows nothing",
    "remote.link.LinkTimes.proof": "how long one may take",
}

SHOW_THEMSELVES = {
    "errors.LoginStatus": "an enum, whose members show their names",
    "errors.GateStatus": "an enum, whose members show their names",
    "configvalues.Kind": "what kinds of values say of themselves, not of a value",
}

MARK = "shown!!!"
"""As long as a secret of the classic suite."""

USER = User(b"alice", b"1", b"sample")


def classes() -> Iterator[tuple[str, type]]:
    """Give every class of the package, by its name without that of the package."""
    for found in pkgutil.walk_packages(msgserver.__path__, f"{msgserver.__name__}."):
        module = import_module(found.name)
        for name, each in vars(module).items():
            if inspect.isclass(each) and each.__module__ == module.__name__:
                yield f"{found.name.partition('.')[2]}.{name}", each


def wordsOf(name: str) -> set[str]:
    """Take a name in camel case apart."""
    return {word.lower() for word in re.findall("[A-Z]?[a-z]+", name)}


class FieldTests(SynchronousTestCase):
    def test_attrs(self) -> None:
        """L6: whatever is named as a secret is, is left out of what attrs prints."""
        seen = set()
        for name, each in classes():
            for field in attrs.fields(each) if attrs.has(each) else ():
                if not SECRET_WORDS & wordsOf(field.name):
                    continue
                path = f"{name}.{field.name}"
                seen.add(path)
                if path not in NO_SECRETS:
                    self.assertIs(field.repr, False, path)
        # It has looked, and the exceptions are such.
        self.assertIn("clientlogin.LoggedIn.secret", seen)
        self.assertEqual(set(NO_SECRETS) - seen, set())

    def test_others(self) -> None:
        """No other class prints its own fields."""
        for name, each in classes():
            if attrs.has(each):
                continue
            if name not in SHOW_THEMSELVES:
                self.assertNotIn("__repr__", vars(each), name)
                self.assertNotIn("__str__", vars(each), name)
            self.assertFalse(issubclass(each, tuple), name)

    def test_wordsOf(self) -> None:
        """A word is found wherever it stands in a name."""
        self.assertEqual(wordsOf("operatorKey"), {"operator", "key"})
        self.assertEqual(wordsOf("_signingKey"), {"signing", "key"})


def _loginOf(secret: bytes) -> SessionLogin:
    # Nothing is asked of it: it needs nobody who would answer.
    return Logins(SessionLimits(), cast(Application, None)).admit(USER, secret)


INSTANCES: dict[str, Callable[[bytes, str], Any]] = {
    "LoggedIn": lambda raw, text: LoggedIn(USER, raw, "127.0.0.1:1"),
    "Request": lambda raw, text: Request(raw, None),
    "TokenReceived": lambda raw, text: TokenReceived(raw, raw),
    "Admitted": lambda raw, text: Admitted(b"1", raw),
    "Handshake": lambda raw, text: Handshake(USER, 1, b"text", raw),
    "ClassicKeys": lambda raw, text: ClassicKeys(raw, raw),
    "LoginServer": lambda raw, text: LoginServer({}, lambda size: raw[:size]),
    "LoginClient": lambda raw, text: LoginClient(ClassicSuite(), raw, lambda size: raw[:size]),
    "GateClient": lambda raw, text: GateClient(USER, raw, 1),
    "a login of a gate": lambda raw, text: _loginOf(raw),
    "Keys": lambda raw, text: Keys({b"operator": raw}),
    "Proof": lambda raw, text: Proof(b"operator", (b"", b""), raw),
    "GateKey": lambda raw, text: GateKey(b"gate sample", raw),
    "Control": lambda raw, text: Control(operatorKey=text, gates={"sample": text}),
    "GateLogin": lambda raw, text: GateLogin(servers=("unix:a",), key=text),
    "Operator": lambda raw, text: Operator(servers=("unix:a",), key=text),
    "Config": lambda raw, text: Config(
        login=Login(
            handler="a:B",
            handlerOptions={"password": text},
            control=Control(operatorKey=text, gates={"sample": text}),
        )
    ),
    "PasswordLoginHandler": lambda raw, text: PasswordLoginHandler({text: UNKNOWN}, ["sample"]),
}


class InstanceTests(SynchronousTestCase):
    def test_instances(self) -> None:
        """L6: objects that hold secrets do not show them, in whatever way they are printed."""
        for name, make in INSTANCES.items():
            made = make(MARK.encode(), MARK)
            for shown in (repr(made), str(made), f"{made}", repr([made]), repr({"it": made})):
                self.assertNotIn(MARK, shown, name)

    def test_mark(self) -> None:
        """A field that is shown is found."""
        self.assertIn(MARK, repr(LoggedIn(USER, b"", MARK)))
