"""
Tests for L{msgserver.loading}: handlers and endpoints, as a config names them.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from msgserver.interfaces import Account, ILoginHandler, IMsgHandler
from msgserver.loading import (
    findHandler,
    makeClientEndpoint,
    makeEndpoint,
    makeHandler,
    verifyHandler,
)
from msgserver.proxied import ProxiedFactory
from tests.certificates import Signed


@implementer(ILoginHandler)
class Handler:
    """A login handler, and its options."""

    class Inner:
        """A class in a class."""

    def __init__(self, users: dict[str, str], limit: int = 5) -> None:
        if limit < 0:
            raise ValueError("limit: below 0")
        self.options = (users["alice"], limit)

    async def authenticate(self, token: bytes) -> Account:
        """Let everybody in."""
        return Account(b"sample", token)


class LoadingTestCase(SynchronousTestCase):
    """A directory that is the current one, for as long as a test lasts."""

    def setUp(self) -> None:
        """Make the directory; modules imported from it are forgotten afterwards."""
        self.directory = Path(tempfile.mkdtemp()).resolve()
        self.addCleanup(shutil.rmtree, self.directory)
        self.patch(os, "getcwd", lambda: str(self.directory))
        self.patch(sys, "path", list(sys.path))
        self.patch(sys, "dont_write_bytecode", True)
        self.addCleanup(self._forgetModules, dict(sys.modules))

    def _forgetModules(self, known: dict[str, ModuleType]) -> None:
        for name in set(sys.modules) - set(known):
            del sys.modules[name]
        sys.modules.update(known)

    def write(self, name: str, content: str) -> Path:
        """Write a file into the directory."""
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
        return path

    def assertFails(self, text: str, function: Callable[..., object], *args: object) -> None:
        """See a C{ValueError} with exactly this text, in a line."""
        error = self.assertRaises(ValueError, function, *args)
        self.assertEqual(str(error), text)


class FindHandlerTests(LoadingTestCase):
    """L{findHandler}"""

    def test_installed(self) -> None:
        """A class is found where Python finds it, in a class too."""
        self.assertIs(findHandler(f"{__name__}:Handler"), Handler)
        self.assertIs(findHandler(f"{__name__}:Handler.Inner"), Handler.Inner)

    def test_currentDirectory(self) -> None:
        """A module in the current directory is found, before one of that name elsewhere."""
        self.write("colorsys.py", "def here(): pass")
        sys.modules.pop("colorsys", None)
        self.assertEqual(findHandler("colorsys:here").__name__, "here")

    def test_noModule(self) -> None:
        """A module that is not there is named, and where it was looked for."""
        for path in ("nowhere:X", "nowhere.inside:X"):
            self.assertFails(
                f"there is no module nowhere, neither in {self.directory} nor installed",
                findHandler,
                path,
            )

    def test_noPackage(self) -> None:
        """A module is no package."""
        self.write("plain.py", "")
        self.assertFails(
            f"there is no module plain.inside, neither in {self.directory} nor installed",
            findHandler,
            "plain.inside:X",
        )

    def test_missingInside(self) -> None:
        """A module that a handler's module fails to import is not taken for that itself."""
        self.write("needy.py", "\nimport nowhere")
        self.assertFails(
            "needy cannot be imported: ModuleNotFoundError: No module named 'nowhere'"
            " (needy.py, line 2)",
            findHandler,
            "needy:X",
        )

    def test_missingSubmodule(self) -> None:
        """The same where what is missing is of the handler's own package."""
        self.write("game/__init__.py", "import game.rules")
        self.assertFails(
            "game cannot be imported: ModuleNotFoundError: No module named 'game.rules'"
            " (__init__.py, line 1)",
            findHandler,
            "game:X",
        )

    def test_brokenModule(self) -> None:
        """What a module raises when it is imported is told, with its place."""
        self.write("clumsy.py", "def fall():\n    return 1 / 0\nfall()")
        self.assertFails(
            "clumsy cannot be imported: ZeroDivisionError: division by zero (clumsy.py, line 2)",
            findHandler,
            "clumsy:X",
        )

    def test_importError(self) -> None:
        """So is a name that is not where a module wants it from."""
        self.write("other.py", "")
        self.write("picky.py", "from other import nothing")
        error = self.assertRaises(ValueError, findHandler, "picky:X")
        self.assertRegex(
            str(error), r"^picky cannot be imported: ImportError: .* \(picky.py, line 1\)$"
        )

    def test_syntaxError(self) -> None:
        """So is a module that is no Python."""
        self.write("typo.py", "x = (\n")
        self.assertFails(
            "typo cannot be imported: SyntaxError: '(' was never closed (typo.py, line 1)",
            findHandler,
            "typo:X",
        )

    def test_noName(self) -> None:
        """A name that is not in its module is told."""
        self.assertFails(f"there is no Nobody in {__name__}", findHandler, f"{__name__}:Nobody")
        self.assertFails(
            f"there is no Nobody in {__name__}:Handler", findHandler, f"{__name__}:Handler.Nobody"
        )

    def test_notCallable(self) -> None:
        """A handler is made here: what cannot make one will not do."""
        self.assertFails(
            f"{__name__}:__doc__ must be a class or a function that makes a handler",
            findHandler,
            f"{__name__}:__doc__",
        )


class MakeHandlerTests(LoadingTestCase):
    """L{makeHandler}"""

    def test_options(self) -> None:
        """The options are the keyword arguments."""
        handler = makeHandler(Handler, {"users": {"alice": "x"}, "limit": 3})
        assert isinstance(handler, Handler)
        self.assertEqual(handler.options, ("x", 3))

    def test_unknownOption(self) -> None:
        """An option that the handler does not have is told, and those that it has."""
        self.assertFails(
            "got an unexpected keyword argument 'usrs'; its options are: size",
            makeHandler,
            lambda size=1: None,
            {"usrs": 1},
        )

    def test_missingOption(self) -> None:
        """So is one that it needs."""
        self.assertFails(
            "missing a required argument: 'size'; its options are: size",
            makeHandler,
            lambda size: None,
            {},
        )

    def test_refusedOption(self) -> None:
        """What the handler has against the options is told in its words."""
        self.assertFails(
            "not accepted: limit: below 0", makeHandler, Handler, {"users": {}, "limit": -1}
        )

    def test_otherErrors(self) -> None:
        """Whatever else it raises is told with its place, since it may be a bug."""
        error = self.assertRaises(ValueError, makeHandler, Handler, {"users": {}})
        self.assertRegex(
            str(error),
            r"^the handler cannot be made: KeyError: 'alice' \(test_loading.py, line \d+\)$",
        )

    def test_withoutSignature(self) -> None:
        """Some callables of C do not tell their arguments; they are called all the same."""
        self.assertEqual(makeHandler(dict, {"a": 1}), {"a": 1})


class VerifyHandlerTests(LoadingTestCase):
    """L{verifyHandler}"""

    def test_fits(self) -> None:
        """A handler that has everything is fine, async methods included."""
        verifyHandler(Handler({"alice": "x"}), ILoginHandler)

    def test_notDeclared(self) -> None:
        """A handler must say that it is one."""

        class Undeclared:
            def authenticate(self, token: bytes) -> None:
                pass

        self.assertFails(
            f"{Undeclared.__qualname__} is no ILoginHandler:"
            " it is not declared as one, by @implementer(ILoginHandler) before its class",
            verifyHandler,
            Undeclared(),
            ILoginHandler,
        )

    def test_everyFault(self) -> None:
        """Every method that is missing or takes the wrong arguments is named."""

        class Faulty:
            kicked = None

            def gateOpened(self) -> None:
                pass

            def loginReceived(self, uid: bytes, secret: bytes, more: bytes) -> None:
                pass

            def disconnected(self, who: object) -> None:
                pass

            def loggedOut(self, *whatever: object) -> None:
                pass

        # Not as a decorator: the type checker sees the faults, and that is not what is tested.
        implementer(IMsgHandler)(Faulty)
        self.assertFails(
            f"{Faulty.__qualname__} is no IMsgHandler:"
            " its gateOpened must be a method that takes (gate);"
            " its loginReceived must be a method that takes (uid, secret);"
            " it has no requestReceived;"
            " its kicked must be a method that takes (user)",
            verifyHandler,
            Faulty(),
            IMsgHandler,
        )


class MakeEndpointTests(LoadingTestCase):
    """L{makeEndpoint}"""

    def assertNoEndpoint(self, text: str, reason: str) -> None:
        """See an endpoint string refused for this reason."""
        self.assertFails(
            f'"{text}" is no endpoint: {reason}; one would be "tcp:8001:interface=127.0.0.1"',
            makeEndpoint,
            MemoryReactorClock(),
            text,
        )

    def test_listens(self) -> None:
        """An endpoint listens with the reactor that it was made with, and not before."""
        reactor = MemoryReactorClock()
        endpoint = makeEndpoint(reactor, "tcp:8001:interface=127.0.0.1")
        verifyObject(IStreamServerEndpoint, endpoint)
        self.assertEqual(reactor.tcpServers, [])
        factory = Factory()
        self.successResultOf(endpoint.listen(factory))
        self.assertEqual(reactor.tcpServers, [(8001, factory, 50, "127.0.0.1")])

    def test_kinds(self) -> None:
        """Every kind of endpoint that Twisted knows will do."""
        for text in ("tcp6:1", "unix:/run/x:mode=660", "haproxy:tcp:1", "tcp:interface=::1:port=1"):
            makeEndpoint(MemoryReactorClock(), text.replace("::1", r"\:\:1"))

    def test_noEndpoint(self) -> None:
        """What is wrong with a string is told, as far as its parser tells it."""
        self.assertNoEndpoint("", "Unknown endpoint type: ''")
        self.assertNoEndpoint("8001", "Unknown endpoint type: '8001'")
        self.assertNoEndpoint("tcp:x", "invalid literal for int() with base 10: 'x'")
        self.assertNoEndpoint("tcp", "missing 1 required positional argument: 'port'")
        self.assertNoEndpoint("tcp:1:host=x", "got an unexpected keyword argument 'host'")

    def test_noFile(self) -> None:
        """A certificate that is not there is told by its name."""
        missing = str(self.directory / "server.pem")
        self.assertNoEndpoint(
            f"ssl:1:privateKey={missing}", f"No such file or directory: {missing}"
        )

    def test_noCertificate(self) -> None:
        """A file that holds no certificate is a mistake, and no traceback."""
        path = self.write("server.pem", "nothing")
        error = self.assertRaises(
            ValueError, makeEndpoint, MemoryReactorClock(), f"ssl:1:privateKey={path}"
        )
        self.assertIn("is no endpoint", str(error))

    def test_noDirectoryOfCertificates(self) -> None:
        """Nor does tls: listen where it would have no certificate for anybody."""
        for text in ("tls:{}", "tls:{}:8001", "tls:path={}", "haproxy:tls:{}:1"):
            self.assertNoEndpoint(
                text.format(self.directory), f"there is no .pem file in {self.directory}"
            )
            missing = self.directory / "missing"
            self.assertNoEndpoint(text.format(missing), f"No such file or directory: {missing}")

    def writePair(self, name: str) -> Signed:
        """Write a certificate and its key into one file."""
        signed = Signed("a.example")
        self.write(name, (signed.key + signed.certificate).decode())
        return signed

    def test_directoryOfCertificates(self) -> None:
        """A directory below will do, as for Twisted; a colon in its name is quoted."""
        self.writePair("a:b/pair.pem")
        directory = str(self.directory).replace(":", r"\:")
        reactor = MemoryReactorClock()
        for text in (f"tls:{directory}:1", rf"tls:{directory}/a\:b:2", f"TLS:port=3:{directory}"):
            makeEndpoint(reactor, text).listen(Factory())
        self.assertEqual([server[0] for server in reactor.tcpServers], [1, 2, 3])

    def test_nothingInDirectory(self) -> None:
        """What stands there must be of use."""
        path = self.write("empty.pem", "")
        self.assertNoEndpoint(
            f"tls:{self.directory}", f"{path} has nothing in PEM form, or is cut off"
        )

    def test_tlsArguments(self) -> None:
        """The arguments of tls: and their defaults are Twisted's."""
        self.writePair("pair.pem")
        quoted = str(self.directory).replace(":", r"\:")
        for arguments in (
            *("", ":8001", ":port=8001", r":8001:7:127.0.0.1", r":interface=\:\:1:backlog=3"),
        ):
            ours, theirs = MemoryReactorClock(), MemoryReactorClock()
            makeEndpoint(ours, f"tls:{quoted}{arguments}").listen(Factory())
            serverFromString(theirs, f"tls:{quoted}{arguments}").listen(Factory())
            (port, factory, *rest), (theirPort, _, *theirRest) = (
                ours.tcpServers[0],
                theirs.tcpServers[0],
            )
            self.assertEqual((port, rest), (theirPort, theirRest))
            self.assertIsInstance(factory, TLSMemoryBIOFactory)
        self.assertNoEndpoint("tls", "missing 1 required positional argument: 'path'")
        self.assertNoEndpoint(f"tls:{quoted}:x", "invalid literal for int() with base 10: 'x'")
        self.assertNoEndpoint(f"tls:{quoted}:1:host=x", "got an unexpected keyword argument 'host'")

    def test_sslArguments(self) -> None:
        """So are those of ssl:, whose files may be several."""
        signed = self.writePair("pair.pem")
        self.write("key.pem", signed.key.decode())
        self.write("certificate.pem", signed.certificate.decode())
        key, certificate = (
            str(self.directory / name).replace(":", r"\:")
            for name in ("key.pem", "certificate.pem")
        )
        pair = str(self.directory / "pair.pem").replace(":", r"\:")
        for text in (
            *(f"ssl:1:privateKey={pair}", f"ssl:1:{key}:{certificate}:interface=127.0.0.1"),
            f"ssl:port=2:privateKey={key}:certKey={certificate}:extraCertChain={pair}:backlog=3",
        ):
            ours, theirs = MemoryReactorClock(), MemoryReactorClock()
            makeEndpoint(ours, text).listen(Factory())
            serverFromString(theirs, text).listen(Factory())
            port, factory, *rest = ours.tcpServers[0]
            self.assertIsInstance(factory, TLSMemoryBIOFactory)
            self.assertEqual((port, *rest), (theirs.sslServers[0][0], *theirs.sslServers[0][3:]))
        self.assertNoEndpoint("ssl:1:foo=x", "got an unexpected keyword argument 'foo'")

    def test_sslOfTwisted(self) -> None:
        """What only Twisted's own ssl: can do, it does."""
        self.writePair("pair.pem")
        pair = str(self.directory / "pair.pem").replace(":", r"\:")
        reactor = MemoryReactorClock()
        text = f"ssl:1:privateKey={pair}:dhParameters={pair}"
        makeEndpoint(reactor, text).listen(Factory())
        self.assertEqual(reactor.sslServers[0][0], 1)
        # It would look for the PROXY header inside TLS.
        self.assertNoEndpoint(
            f"haproxy:{text}", "there is no sslmethod nor dhParameters behind haproxy:"
        )

    def test_proxied(self) -> None:
        """The PROXY header comes before all else, TLS included."""
        self.writePair("pair.pem")
        quoted = str(self.directory).replace(":", r"\:")
        for text in ("haproxy:tcp:1", f"haproxy:tls:{quoted}:1", r"haproxy:interface=\:\:1:tcp:1"):
            reactor = MemoryReactorClock()
            makeEndpoint(reactor, text).listen(factory := Factory())
            factories: list[Any] = [reactor.tcpServers[0][1]]
            while factories[-1] is not factory:
                factories.append(factories[-1].wrappedFactory)
            kinds = [ProxiedFactory, *([TLSMemoryBIOFactory] if "tls" in text else []), Factory]
            self.assertEqual([type(each) for each in factories], kinds)
        self.assertNoEndpoint("haproxy:", "Unknown endpoint type: ''")
        self.assertNoEndpoint("haproxy:tcp:x", "invalid literal for int() with base 10: 'x'")


class MakeClientEndpointTests(LoadingTestCase):
    """L{makeClientEndpoint}"""

    def assertNoEndpoint(self, text: str, reason: str) -> None:
        """See an endpoint string refused for this reason."""
        self.assertFails(
            f'"{text}" is no endpoint of a client: {reason}; one would be "tcp:127.0.0.1:8002"',
            makeClientEndpoint,
            MemoryReactorClock(),
            text,
        )

    def test_connects(self) -> None:
        """An endpoint connects with the reactor that it was made with, and not before."""
        reactor = MemoryReactorClock()
        endpoint = makeClientEndpoint(reactor, "tcp:127.0.0.1:8002")
        verifyObject(IStreamClientEndpoint, endpoint)
        self.assertEqual(reactor.tcpClients, [])
        endpoint.connect(Factory())
        self.assertEqual(reactor.tcpClients[0][:2], ("127.0.0.1", 8002))

    def test_kinds(self) -> None:
        """Every kind of endpoint that Twisted knows will do."""
        for text in ("unix:/run/x", "tls:a.example:1", "tcp:host=a.example:port=1"):
            makeClientEndpoint(MemoryReactorClock(), text)

    def test_noEndpoint(self) -> None:
        """What is wrong with a string is told, as far as its parser tells it."""
        self.assertNoEndpoint("", "Unknown endpoint type: ''")
        self.assertNoEndpoint("8002", "Unknown endpoint type: '8002'")
        self.assertNoEndpoint("tcp:a:x", "invalid literal for int() with base 10: 'x'")
        self.assertNoEndpoint("tcp:a", "missing 1 required positional argument: 'port'")

    def test_noFile(self) -> None:
        """A certificate that is not there is told by its name."""
        missing = self.directory / "gate.pem"
        self.assertNoEndpoint(
            f"tls:a.example:1:certificate={missing}", f"No such file or directory: {missing}"
        )
