"""
Tests for L{msgserver.config}: the settings, and what derives from them.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any, get_args

from attrs import fields, resolve_types
from twisted.trial.unittest import SynchronousTestCase

from msgserver.config import (
    SECTIONS,
    SERVERS,
    Control,
    Gate,
    GateLogin,
    Login,
    Operator,
    Ops,
    exampleConfig,
    settings,
)


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

    def test_limits(self) -> None:
        """A number is a limit, unless nothing happens past it."""
        numbers = {f"{setting.section}.{setting.key}": setting for setting in settings()}
        others = {key for key, setting in numbers.items() if setting.unit and not setting.isLimit}
        self.assertEqual(
            others,
            {
                *("gate.weight", "gate.processes", "gate.login.retry_delay"),
                *("login.control.ping_interval", "gate.login.ping_interval"),
            },
        )
        for setting in settings():
            self.assertTrue(setting.unit or not setting.isLimit, setting.key)

    def test_nesting(self) -> None:
        """A section that is inside of another has its place in the class of that."""
        # Reading a file has resolved them, where that was before.
        self.assertIs(get_args(fields(resolve_types(Login)).control.type)[0], Control)
        self.assertIs(get_args(fields(resolve_types(Gate)).login.type)[0], GateLogin)
        self.assertIsNone(Login(handler="a:B").control)
        self.assertIsNone(Gate(servername="x", handler="a:B").login)
        for name in ("control", "login"):
            self.assertNotIn(name, {setting.name for setting in settings()})

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
        self.assertLess(login.maxStrangers, login.maxclient)
        self.assertLess(gate.maxStrangers, gate.maxclient)
        self.assertEqual(gate.requestRate, 0)
        self.assertLess(gate.kickTimeout, login.gateTimeout)
        self.assertLess(login.gateTimeout, login.loginTimeout)
        for endpoint in login.listen + gate.listen + Control().listen + Ops().listen:
            self.assertIn("interface=127.0.0.1", endpoint)

    def test_noSecrets(self) -> None:
        """L6: the options of a handler are in no repr, since passwords may be in them."""
        for section in (
            Login(handler="a:B", handlerOptions={"password": "hunter2"}),
            Gate(servername="x", handler="a:B", handlerOptions={"password": "hunter2"}),
        ):
            self.assertNotIn("hunter2", repr(section))
            self.assertIn("a:B", repr(section))

    def test_noKeys(self) -> None:
        """L6: nor are keys."""
        for section in (
            Control(gates={"sample": "hunter2" * 3}, operatorKey="hunter2" * 3),
            GateLogin(key="hunter2" * 3),
            Operator(key="hunter2" * 3),
        ):
            self.assertNotIn("hunter2", repr(section))


class ExampleConfigTests(SynchronousTestCase):
    """What C{--print-config} prints."""

    def test_required(self) -> None:
        """It is TOML, and says what is required of a server and nothing else."""
        expected: dict[str, Any] = {section: {} for section in SERVERS}
        for setting in settings():
            if setting.isRequired and setting.section in SERVERS:
                expected[setting.section][setting.key] = setting.example
        self.assertEqual(tomllib.loads(exampleConfig()), expected)

    def test_optionalSections(self) -> None:
        """With one # taken away from each line of theirs, they say what is required, too."""
        document = tomllib.loads(_uncommented(exampleConfig()))
        for section in SECTIONS:
            required = {
                setting.key: setting.example
                for setting in settings()
                if setting.section == section and setting.isRequired
            }
            said = _sectionOf(document, section)
            keys = {key: value for key, value in said.items() if not isinstance(value, dict)}
            self.assertEqual(keys, required, section)

    def test_everything(self) -> None:
        """With the other # taken away, it says every key, at its default."""
        text = re.sub(r"(?m)^# (?=\w+ = )", "", _uncommented(exampleConfig()))
        document = tomllib.loads(text)
        for section, cls in SECTIONS.items():
            self.assertEqual(len(_sectionOf(document, section)), len(fields(cls)))
        for setting in settings():
            said = setting.kind.read(_sectionOf(document, setting.section)[setting.key])
            self.assertEqual(said, setting.example if setting.isRequired else setting.default)

    def test_width(self) -> None:
        """It fits a terminal of 100 columns."""
        self.assertLessEqual(max(map(len, exampleConfig().splitlines())), 100)


def _uncommented(text: str) -> str:
    """Take the first # from each line of the sections that are optional."""
    lines, isOptional = [], False
    for line in text.splitlines():
        isOptional = line.startswith("# [") or (isOptional and line.startswith("#"))
        lines.append(re.sub("^# ?", "", line) if isOptional else line)
    return "\n".join(lines)


def _sectionOf(document: dict[str, Any], section: str) -> dict[str, Any]:
    for name in section.split("."):
        document = document[name]
    return document
