"""L{msgserver.handlers.agents}: what its options may be, in a program and in a config file."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from msgserver.configfile import Parts, loadConfig
from msgserver.errors import ConfigErrors
from msgserver.handlers import Agent, AgentHandler
from msgserver.interfaces import (
    IAgent,
    IMsgHandler,
)
from tests.agents import Echo


class OptionsTests(SynchronousTestCase):
    """What is refused when the handler is made."""

    def assertRefused(self, text: str, agentFactory: object = Echo, **options: object) -> None:
        """See one line that says what is wrong."""
        make: type = AgentHandler
        error = self.assertRaises(ValueError, make, agentFactory, **options)
        self.assertIn(text, str(error))
        self.assertNotIn("\n", str(error))

    def test_numbers(self) -> None:
        """Counts are whole numbers, and the time is one above 0."""
        for name in ("pool", "processes"):
            for wrong in (-1, 1.5, True, "3", None):
                self.assertRefused(f"{name}: must be a whole number", **{name: wrong})
        for wrong in (0, -1, float("inf"), float("nan"), True, "2", None):
            self.assertRefused("saveTimeout: must be a number of seconds", saveTimeout=wrong)
        for wrong in (-1, float("inf"), float("nan"), True, "2", None):
            self.assertRefused("hangTimeout: must be a number of seconds", hangTimeout=wrong)
        for wrong in (0, "yes", None):
            self.assertRefused("ordered: must be true or false", ordered=wrong)

    def test_options(self) -> None:
        """The agent's own options are those that it takes."""
        for wrong in ("text", ["before"], {1: "x"}):
            self.assertRefused("options: must be a table", options=wrong)
        self.assertRefused("those of an agent are: before", options={"after": "x"})

    def test_factory(self) -> None:
        """A factory is a callable or names one; a class must be an agent's."""

        class Forgetful(Agent):
            """One that answers nothing."""

        class Stranger:
            """One that is no agent at all."""

        @implementer(IAgent)
        class Wrong(Echo):
            """One whose method takes something else."""

            def request(self) -> bytes:  # type: ignore[override]  # that is the point
                """Never called."""
                return b""

        self.assertRefused("is no callable", 7)
        self.assertRefused("there is no module nosuchmodule", "nosuchmodule:Name")
        self.assertRefused("there is no Nobody in tests.agents", "tests.agents:Nobody")
        self.assertRefused("Forgetful has no request", Forgetful)
        self.assertRefused("Stranger is no IAgent", Stranger)
        self.assertRefused("Wrong is no IAgent", Wrong)

    def test_text(self) -> None:
        """In a config file a factory is named, and its options are a table."""
        handler = AgentHandler("tests.agents:Echo", options={"before": "> "})
        verifyObject(IMsgHandler, handler)


class ConfigTests(SynchronousTestCase):
    """The same, in a config file."""

    config = """
[gate]
servername = "sample"
handler = "msgserver.handlers:AgentHandler"
handler_options = {{ agentFactory = "tests.agents:{0}", {1} }}
"""

    def load(self, name: str, options: str) -> Parts:
        """Load a config with such options."""
        file = Path(self.mktemp())
        file.write_text(self.config.format(name, options))
        return loadConfig(str(file), MemoryReactorClock())

    def test_right(self) -> None:
        """All of them can be said there."""
        parts = self.load(
            "Echo",
            'options = { before = "> " }, pool = 3, ordered = false, saveTimeout = 1,'
            " processes = 256, hangTimeout = 0",
        )
        assert parts.gate is not None
        self.assertIsInstance(parts.gate.handler, AgentHandler)

    def test_wrong(self) -> None:
        """What is wrong is a line with its place, and no traceback."""
        for name, options, text in (
            ("Nobody", "pool = 0", "there is no Nobody in tests.agents"),
            ("Echo", "pool = -1", "pool: must be a whole number, 0 or more, not -1"),
            ("Echo", "processes = 257", "processes: must be at most 256, not 257"),
            ("Echo", "saveTimeout = 0", "saveTimeout: must be a number of seconds above 0, not 0"),
            ("Echo", "options = { after = 1 }", "those of an agent are: before"),
            ("Echo", "poll = 1", "its options are: agentFactory, options, pool, ordered"),
        ):
            error = self.assertRaises(ConfigErrors, self.load, name, options)
            self.assertRegex(str(error), rf":5: gate\.handler_options: .*{re.escape(text)}")
            self.assertNotIn("\n", str(error))
