"""
Tests for L{msgserver.addresses}: where a gate is, and where each of its processes is.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from msgserver.addresses import (
    Address,
    Addresses,
    expandAddresses,
    fillAddress,
    fillEndpoint,
    placeholderIn,
)
from msgserver.configvalues import Kind


class AddressTestCase(SynchronousTestCase):
    """Values that are allowed, and others."""

    def assertRefuses(self, kind: Kind, *values: object) -> None:
        """See these values refused, and what is allowed told."""
        for value in values:
            error = self.assertRaises(ValueError, kind.read, value)
            self.assertIn(f"must be {kind}", str(error))


class KindTests(AddressTestCase):
    """L{Address} and L{Addresses}"""

    def test_address(self) -> None:
        """L5: a host and a port, as the wire can carry them; or nothing."""
        for value in ("", "a.example:1", "10.0.0.1:65535", "[::1]:8888"):
            self.assertEqual(Address().read(value), value)
        self.assertRefuses(Address(), "a", ":1", "a:", "a:0", "a:65536", "::1:5", "a b:1", "\xe9:1")
        self.assertRefuses(Address(), "a:1\n", "a:\N{ARABIC-INDIC DIGIT ONE}", 8888, None)

    def test_placeholders(self) -> None:
        """What an address will be filled in with does not matter yet."""
        for value in ("{host}:{port}", "a.example:{port}", "gate{port}.example:443", "{host}:1"):
            self.assertEqual(Address().read(value), value)
        self.assertRefuses(Address(), "{host}", "{port}", "{name}:1", "{host}:", "{}:1")

    def test_addresses(self) -> None:
        """A list of the three forms; it may be empty."""
        for value in ([], ["8888"], ["8001-8016", "a.example:1"], ["[::1]:5", "65535"]):
            self.assertEqual(Addresses().read(value), tuple(value))
        self.assertRefuses(Addresses(), "8888", [8888], ["0"], ["65536"], ["5-4"], ["1-65536"])
        self.assertRefuses(Addresses(), ["a"], [":1"], ["a:0"], [""], ["::1:5"], ["1-2-3"], None)
        self.assertRefuses(Addresses(), ["a:{port}"], ["1\n"], ["a:1-2"])

    def test_addressesTwice(self) -> None:
        """Each process has an address that no other has."""
        for value, place in [
            (["8888", "8880-8890"], "8888"),
            (["a:1", "b:1", "a:1"], "a:1"),
            (["1-65535", "65535"], "65535"),
        ]:
            error = self.assertRaises(ValueError, Addresses().read, value)
            self.assertEqual(str(error), f"must name each once, not {place} 2 times")


class FillingTests(AddressTestCase):
    """What becomes of the addresses."""

    def test_expand(self) -> None:
        """Ranges are inclusive, and the brackets of IPv6 are not of the host."""
        self.assertEqual(
            expandAddresses(["8001-8003", "5", "a.example:6", "[::1]:7"]),
            (("", 8001), ("", 8002), ("", 8003), ("", 5), ("a.example", 6), ("::1", 7)),
        )
        self.assertEqual(expandAddresses([]), ())

    def test_placeholderIn(self) -> None:
        """The first that is there is told."""
        for text, placeholder in [
            ("tcp:{port}:interface={host}", "{host}"),
            ("tcp:{port}", "{port}"),
            ("tcp:{ports}", ""),
            ("tcp:8888", ""),
        ]:
            self.assertEqual(placeholderIn(text), placeholder)

    def test_endpoint(self) -> None:
        """In an endpoint string, a host has no brackets and its colons are quoted."""
        text = "tcp:{port}:interface={host}"
        self.assertEqual(fillEndpoint(text, ("10.0.0.1", 5)), "tcp:5:interface=10.0.0.1")
        self.assertEqual(fillEndpoint(text, ("::1", 5)), r"tcp:5:interface=\:\:1")
        self.assertEqual(fillEndpoint("unix:/run/{port}", ("", 5)), "unix:/run/5")
        self.assertEqual(fillEndpoint("tcp:1", ("", 5)), "tcp:1")

    def test_address(self) -> None:
        """In an address, a host of IPv6 has its brackets."""
        self.assertEqual(fillAddress("{host}:{port}", ("::1", 5)), "[::1]:5")
        self.assertEqual(fillAddress("{host}:{port}", ("a.example", 5)), "a.example:5")
        self.assertEqual(fillAddress("gate{port}.example:443", ("", 5)), "gate5.example:443")
        self.assertEqual(fillAddress("", ("", 5)), "")

    def test_noHost(self) -> None:
        """A host that is not said stands for nothing."""
        for fill in (fillEndpoint, fillAddress):
            error = self.assertRaises(ValueError, fill, "{host}:{port}", ("", 5))
            self.assertEqual(
                str(error), '"{host}:{port}" has a {host}, but the address "5" has none'
            )

    def test_noAddress(self) -> None:
        """What is filled in must make an address."""
        for text, address in [("1{port}.x:1{port}", ("", 60000)), ("[{host}]:1", ("::1", 1))]:
            self.assertIn(
                f"must be {Address()}",
                str(self.assertRaises(ValueError, fillAddress, text, address)),
            )
