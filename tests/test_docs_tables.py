"""
The tables of the documentation have what the code has: names, defaults, limits.
"""

from __future__ import annotations

import inspect
import re

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone, TimeoutError
from twisted.trial.unittest import SynchronousTestCase

from msgserver import IMsgGate, IMsgHandler, clientlogin, errors
from msgserver.client import RETRY_POLICY, MsgClient
from msgserver.config import SECTIONS, Gate, settings
from msgserver.wire import framing, naming
from tests.pages import read, tables

_TABLE_HEAD = "| key | default | allowed | meaning |\n|---|---|---|---|\n"
_CONFIG_ROW = "| `{}` | {} | {} | {} |"


class NamesTests(SynchronousTestCase):
    """The names in the tables are those that the code has."""

    def test_handler(self) -> None:
        """Every method of a handler has its place in the life of a login, and in the README."""
        life = tables("docs/handlers.md", "## The life of a login")
        skynet = tables("README.md", "## Coming from skynet")
        for method in IMsgHandler.names():
            self.assertIn(f"`{method}(", str(life))
            self.assertIn(f"`{method}(", str(skynet))

    def test_gate(self) -> None:
        """The table of what a gate can do has all of it."""
        shown = [row[0] for row in tables("docs/handlers.md", "## The gate")]
        names = [re.sub(r"`gate\.(\w+).*", r"\1", cell) for cell in shown]
        self.assertEqual(sorted(names), sorted(IMsgGate.names()))

    def test_client(self) -> None:
        """The table of what a client can do has all of it."""
        rows = tables("docs/clients.md", "## The Twisted client")
        calls = {name for row in rows if len(row) == 2 for name in re.findall(r"`(\w+)", row[0])}
        public = {name for name in dir(MsgClient) if not name.startswith("_")}
        self.assertEqual(calls, public)
        options = {row[0].strip("`"): row[1] for row in rows if len(row) == 4}
        taken = {
            name: parameter.default
            for name, parameter in inspect.signature(MsgClient).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY
        }
        self.assertEqual(set(options), set(taken))
        for name, default in taken.items():
            if isinstance(default, int | float):
                self.assertEqual(float(options[name].replace(",", "")), default)

    def test_errors(self) -> None:
        """The errors of the client are in msgserver.errors, or where the page says."""
        for heading in ("## Errors of a login", "## Errors of a request"):
            for error, _ in tables("docs/clients.md", heading):
                name = error.split(",")[0].strip("`")
                if name != "other errors":
                    known = vars(errors) | _OTHER_ERRORS
                    self.assertTrue(issubclass(known[name], Exception))

    def test_skynet(self) -> None:
        """The settings that the README names for those of the original are settings."""
        known = {f"[{setting.section}] {setting.key}" for setting in settings()}
        for _, ours in tables("README.md", "## Coming from skynet"):
            for name in re.findall(r"`(\[[\w.]+\] \w+)`", ours):
                self.assertIn(name, known)


_OTHER_ERRORS = {
    "ValueError": ValueError,
    "CancelledError": CancelledError,
    "ConnectionDone": ConnectionDone,
    "twisted.internet.error.TimeoutError": TimeoutError,
}


class NumbersTests(SynchronousTestCase):
    """What is said of settings and limits is what the code has."""

    def test_config(self) -> None:
        """The tables of config keys are the settings, all of them, word for word."""
        for section in SECTIONS:
            rows = [
                _CONFIG_ROW.format(
                    setting.key,
                    "required" if setting.isRequired else f"`{setting.defaultText}`",
                    setting.range + (f"; in {setting.unit}" if setting.unit else ""),
                    setting.doc,
                )
                for setting in settings()
                if setting.section == section
            ]
            page = read("docs/running.md")
            self.assertIn("\n\n" + _TABLE_HEAD + "\n".join(rows) + "\n\n", page)
            shown = tables("docs/running.md", f"### [{section}]")
            self.assertEqual(len(shown), len(rows), section)

    def test_limits(self) -> None:
        """The limits that have a key are there with their defaults and units, all of them."""
        shown = {tuple(row[1:4]) for row in tables("README.md", "## Limits") if len(row) == 5}
        self.assertEqual(
            shown,
            {
                (f"`[{setting.section}] {setting.key}`", f"`{setting.defaultText}`", setting.unit)
                for setting in settings()
                if setting.isLimit
            },
        )

    def test_wireLimits(self) -> None:
        """The limits without a key are those of the wire."""
        shown = [row[1] for row in tables("README.md", "## Limits") if len(row) == 4]
        limits = (framing.MAX_LINE, framing.MAX_REQUEST, framing.MAX_RESPONSE, naming.MAX_INDEX)
        self.assertEqual(shown, [f"{limit:,}" for limit in limits])

    def test_shutdown(self) -> None:
        """The longest that a shutdown takes is what the page says (B5)."""
        gate = Gate(servername="sample", handler="yours:Handler")
        longest = 2 * gate.drainTimeout + gate.kickTimeout
        self.assertIn(f": {longest:g} seconds at the defaults", read("docs/running.md"))

    def test_unanswered(self) -> None:
        """How many requests a client leaves unanswered is what the pages say (S7)."""
        most = clientlogin.MAX_UNANSWERED
        self.assertIn(f"At most {most} are sent and unanswered", read("docs/clients.md"))
        self.assertIn(f"no more than {most} requests unanswered", read("docs/protocol.md"))

    def test_retries(self) -> None:
        """A client waits about a second at first, and half a minute at last."""
        self.assertIn("The first wait is at most about a second", read("docs/clients.md"))
        self.assertLess(RETRY_POLICY(1), 1.5)
        self.assertTrue(30 <= RETRY_POLICY(50) < 32)
