"""
Tests for L{msgserver.config}: the settings, and what derives from them.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any

from attrs import fields
from twisted.trial.unittest import SynchronousTestCase

from msgserver.config import SECTIONS, Gate, Login, exampleConfig, settings


class SettingsTests(SynchronousTestCase):
    """What is said of each setting."""

    def test_defaults(self) -> None:
        """Each default is one of the values that a file may say itself."""
        for setting in settings():
            if not setting.isRequired:
                written = tomllib.loads(f"key = {setting.defaultText}")["key"]
                self.assertEqual(setting.kind.read(written), setting.default, setting.key)

    def test_examples(self) -> None:
        """What is required, and that alone, has an example; it may be said as it is."""
        for setting in settings():
            self.assertEqual(bool(setting.example), setting.isRequired, setting.key)
            self.assertEqual(setting.defaultText == "", setting.isRequired, setting.key)
            if setting.isRequired:
                self.assertEqual(setting.kind.read(setting.example), setting.example)

    def test_docs(self) -> None:
        """Each has a sentence, and each number a unit."""
        for setting in settings():
            self.assertRegex(setting.doc, r"^[A-Z].*\.$")
            isNumber = setting.range.startswith(("a whole number", "a number"))
            self.assertEqual(bool(setting.unit), isNumber, setting.key)

    def test_keys(self) -> None:
        """What is C{camelCase} here is C{snake_case} in a file."""
        keys = {setting.name: setting.key for setting in settings()}
        self.assertEqual(keys["expiredNumber"], "expired_number")
        self.assertEqual(keys["maxclient"], "maxclient")
        for key in keys.values():
            self.assertRegex(key, "^[a-z_]+$")

    def test_bounds(self) -> None:
        """B: the defaults suit a server on the open internet, and are what PROTOCOL says."""
        login, gate = Login(handler="a:B"), Gate(servername="x", handler="a:B")
        self.assertEqual(login.loginTimeout, 10)  # L1
        self.assertEqual(gate.handshakeTimeout, 10)  # H3
        self.assertEqual((gate.expiredNumber, gate.cacheBytes), (128, 1024 * 1024))  # S7
        self.assertEqual((gate.sessions, gate.maxPacket), ("any", 65535))  # S7, B4
        self.assertLess(gate.kickTimeout, login.gateTimeout)
        self.assertLess(login.gateTimeout, login.loginTimeout)
        for endpoint in login.listen + gate.listen:
            self.assertIn("interface=127.0.0.1", endpoint)

    def test_noSecrets(self) -> None:
        """L6: the options of a handler are in no repr, since passwords may be in them."""
        for section in (
            Login(handler="a:B", handlerOptions={"password": "hunter2"}),
            Gate(servername="x", handler="a:B", handlerOptions={"password": "hunter2"}),
        ):
            self.assertNotIn("hunter2", repr(section))
            self.assertIn("a:B", repr(section))


class ExampleConfigTests(SynchronousTestCase):
    """What C{--print-config} prints."""

    def test_required(self) -> None:
        """It is TOML, and says what is required and nothing else."""
        expected: dict[str, Any] = {section: {} for section in SECTIONS}
        for setting in settings():
            if setting.isRequired:
                expected[setting.section][setting.key] = setting.example
        self.assertEqual(tomllib.loads(exampleConfig()), expected)

    def test_everything(self) -> None:
        """With the # taken away, it says every key, at its default."""
        text = re.sub(r"(?m)^# (?=\w+ = )", "", exampleConfig())
        document = tomllib.loads(text)
        for section, cls in SECTIONS.items():
            self.assertEqual(len(document[section]), len(fields(cls)))
        for setting in settings():
            said = setting.kind.read(document[setting.section][setting.key])
            self.assertEqual(said, setting.example if setting.isRequired else setting.default)

    def test_width(self) -> None:
        """It fits a terminal of 100 columns."""
        self.assertLessEqual(max(map(len, exampleConfig().splitlines())), 100)
