"""
Tests for L{msgserver.configvalues}: what a setting may be.
"""

from __future__ import annotations

import datetime
import tomllib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from msgserver.addresses import Address, Addresses
from msgserver.configvalues import (
    YEAR,
    Choice,
    DottedPath,
    Flag,
    Key,
    Keys,
    Kind,
    Name,
    Networks,
    PemFile,
    Port,
    Rate,
    Seconds,
    Strings,
    Table,
    WholeNumber,
    tomlText,
)

KINDS: list[Kind] = [
    *(WholeNumber(1), WholeNumber(128, 65535), Seconds(), Seconds("never"), Flag(), Name()),
    *(DottedPath(), Choice(("a", "b")), Strings("things"), Strings("x", ("a", "b"))),
    *(Table(), Key(), Key("nobody"), Keys(), PemFile(), Address(), Addresses()),
    *(Rate(), Rate("never"), Port(), Networks(), Strings("things", emptyMeans="none")),
]


class KindTests(SynchronousTestCase):
    """Each kind of values."""

    def assertReads(self, kind: Kind, *values: object) -> None:
        """See these values read as they are, in their types too."""
        for value in values:
            read = kind.read(value)
            self.assertEqual((read, type(read)), (value, type(value)))

    def assertRefuses(self, kind: Kind, *values: object) -> None:
        """See these values refused, and what is allowed told."""
        for value in values:
            error = self.assertRaises(ValueError, kind.read, value)
            self.assertIn(f"must be {kind}", str(error))

    def test_wholeNumber(self) -> None:
        """Its bounds are in it; nothing but an integer is one."""
        self.assertReads(WholeNumber(128, 65535), 128, 65535)
        self.assertRefuses(WholeNumber(128, 65535), 127, 65536)
        self.assertReads(WholeNumber(1), 1, 10**20)
        self.assertRefuses(WholeNumber(1), 0, -1, 1.0, "1", True, None, [1])

    def test_seconds(self) -> None:
        """A number above 0, whole or not; never infinite, never none at all."""
        self.assertReads(Seconds(), 0.001, 2.5, float(YEAR))
        self.assertEqual((Seconds().read(3), type(Seconds().read(3))), (3.0, float))
        self.assertRefuses(Seconds(), 0, -1, YEAR + 1, 10**400, float("inf"), float("nan"))
        self.assertRefuses(Seconds(), "3", True, None)

    def test_zeroSeconds(self) -> None:
        """Where 0 means something it is allowed, and False is still not 0."""
        self.assertReads(Seconds("never"), 0.0, 1.5)
        self.assertEqual(Seconds("never").read(0), 0.0)
        self.assertRefuses(Seconds("never"), -1, False, float("nan"))
        self.assertIn("0: never", str(Seconds("never")))

    def test_rate(self) -> None:
        """A number of times a second, whole or not; 0 where that means something."""
        self.assertReads(Rate(), 0.001, 2.5, 1_000_000.0)
        self.assertEqual((Rate().read(3), type(Rate().read(3))), (3.0, float))
        self.assertRefuses(Rate(), 0, -1, 1_000_001, float("inf"), float("nan"), "3", True, None)
        self.assertReads(Rate("never"), 0.0, 1.5)
        self.assertRefuses(Rate("never"), -1, False, float("nan"))
        self.assertIn("0: never", str(Rate("never")))

    def test_port(self) -> None:
        """A port that can be listened on by its number."""
        self.assertReads(Port(), 1, 65535)
        self.assertRefuses(Port(), 0, -1, 65536, 80.0, "80", True)

    def test_networks(self) -> None:
        """Addresses and networks, of both kinds of IP, or none."""
        self.assertEqual(Networks().read([]), ())
        networks = ["10.0.0.0/8", "127.0.0.1", "fd00::/8", "::1"]
        self.assertEqual(Networks().read(networks), tuple(networks))
        self.assertRefuses(Networks(), "10.0.0.0/8", [1], ["10.0.0.1/8"], ["a.example"], None)

    def test_emptyStrings(self) -> None:
        """A list may be empty where that means something."""
        self.assertEqual(Strings("things", emptyMeans="none").read([]), ())
        self.assertRefuses(Strings("things"), [])

    def test_flag(self) -> None:
        """Only true and false."""
        self.assertReads(Flag(), True, False)
        self.assertRefuses(Flag(), 1, 0, "true")

    def test_name(self) -> None:
        """A string that is not empty."""
        self.assertReads(Name(), "sample", " ", "\N{SNOWMAN}")
        self.assertRefuses(Name(), "", 5, ["a"])

    def test_dottedPath(self) -> None:
        """A module and a name in it."""
        self.assertReads(DottedPath(), "a:B", "examples.echo:EchoHandler", "_a.b2:C.d")
        self.assertRefuses(DottedPath(), "a", "a.B", ":B", "a:", "a:B:C", "a b:C", ".a:B", "2a:B")
        self.assertRefuses(DottedPath(), "a:B\n", "a..b:C", 5)

    def test_choice(self) -> None:
        """One of the words and no other."""
        self.assertReads(Choice(("any", "increasing")), "any", "increasing")
        self.assertRefuses(Choice(("any", "increasing")), "", "Any", ["any"], {}, 1)
        self.assertEqual(str(Choice(("a", "b"))), '"a" or "b"')

    def test_strings(self) -> None:
        """A list of at least one string, each once; of the known ones, where there are such."""
        self.assertEqual(Strings("things").read(["b", "a"]), ("b", "a"))
        self.assertRefuses(Strings("things"), [], "a", [1], ["a", None], {"a": 1})
        self.assertEqual(Strings("x", ("a", "b")).read(["b"]), ("b",))
        self.assertRefuses(Strings("x", ("a", "b")), ["c"], ["a", "c"])
        error = self.assertRaises(ValueError, Strings("things").read, ["a", "a"])
        self.assertEqual(str(error), 'must name each once, not ["a", "a"]')

    def test_table(self) -> None:
        """L6: any table; what is there instead is not told, since it may be a secret."""
        self.assertReads(Table(), {}, {"a": [1]})
        for wrong in ("hunter2", ["hunter2"], 1):
            error = self.assertRaises(ValueError, Table().read, wrong)
            self.assertEqual(str(error), "must be a table")

    def test_key(self) -> None:
        """L6: a secret of some length that can be typed; a wrong one is not told."""
        self.assertReads(Key(), "hunter2hunter2!!", "~ " * 128)
        self.assertReads(Key("nobody"), "", "hunter2hunter2!!")
        self.assertIn('or "": nobody', str(Key("nobody")))
        wrongs = ("", "hunter2hunter2!", "~" * 257, "hunter2" * 5 + "\xe9", "hunter2" * 5 + "\n")
        for wrong in (*wrongs, 5, {"hunter2": 5}, ["hunter2" * 5], None):
            error = self.assertRaises(ValueError, Key().read, wrong)
            self.assertEqual(str(error), "must be a string of 16 to 256 printable ASCII characters")

    def test_keys(self) -> None:
        """L6: a key for each name; where one is wrong, the name is told and the key is not."""
        self.assertReads(Keys(), {}, {"sample": "hunter2" * 5, "\N{SNOWMAN}": "hunter2" * 5})
        error = self.assertRaises(ValueError, Keys().read, {"a": "hunter2" * 5, "b": "hunter2"})
        self.assertEqual(
            str(error),
            f'must be {Keys()}; that of "b" is none',
        )
        error = self.assertRaises(ValueError, Keys().read, {"": "hunter2" * 5})
        self.assertNotIn("hunter2", str(error))
        error = self.assertRaises(ValueError, Keys().read, ["hunter2"])
        self.assertEqual(str(error), "must be a table")

    def test_pemFile(self) -> None:
        """A path, which is not looked at yet; or none."""
        self.assertReads(PemFile(), "", "certificates/login.pem")
        self.assertRefuses(PemFile(), 5, ["a.pem"], None)

    def test_shown(self) -> None:
        """What is there instead is told as the file says it, but no table, and nothing long."""
        for value, text in [
            ("5", '"5"'),
            (True, "true"),
            (1.5, "1.5"),
            ([1, "a", {"password": "hunter2"}], '[1, "a", a table]'),
            (datetime.date(1979, 5, 27), "1979-05-27"),
            ({"password": "hunter2"}, "a table"),
            ("x" * 100, '"' + "x" * 59 + "..."),
        ]:
            error = self.assertRaises(ValueError, WholeNumber(7).read, value)
            self.assertEqual(str(error), f"must be a whole number, 7 or more, not {text}")

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        )
    )
    def test_whatever(self, value: object) -> None:
        """Whatever a file says is read, or refused with a sentence."""
        for kind in KINDS:
            try:
                kind.read(value)
            except ValueError as error:
                self.assertTrue(str(error).startswith("must "))

    def test_tomlText(self) -> None:
        """Defaults come back from TOML as they were."""
        values: list[object] = ["", 'a "b" \\ \t', 5, 1.0, True, {}, ("a", "b"), ()]
        for value in values:
            read = tomllib.loads(f"key = {tomlText(value)}")["key"]
            self.assertEqual(read, list(value) if isinstance(value, tuple) else value)
