"""L{msgserver.clientlogin}: which request is sent when, under which session."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from msgserver.clientlogin import ClientLogin, LoggedIn, parseAddress
from msgserver.errors import InvalidState, ProtocolError
from msgserver.wire.naming import User

ALICE = LoggedIn(User(b"alice", b"1", b"sample"), bytes.fromhex("b9388be0af1ec90a"))
ALICE_AGAIN = LoggedIn(User(b"alice", b"2", b"sample"), b"\x08\x07\x06\x05\x04\x03\x02\x01")


def loggedIn(maxUnanswered: int = 128) -> ClientLogin[str]:
    login: ClientLogin[str] = ClientLogin(maxUnanswered)
    login.begin(ALICE)
    return login


class RequestTests(SynchronousTestCase):
    """What is sent on a connection."""

    def test_sessionsCountUpFromOne(self) -> None:
        """S: a request is its content and a session of its own, 4 bytes."""
        login = loggedIn()
        login.ask(b"one", "1st")
        login.ask(b"", "2nd")
        self.assertEqual(
            login.dataToSend(),
            b"\x00\x07one\x00\x00\x00\x01\x00\x04\x00\x00\x00\x02",
        )

    def test_sentOnce(self) -> None:
        """S5: what has been sent is not sent again on the same connection."""
        login = loggedIn()
        login.ask(b"one", "1st")
        login.dataToSend()
        self.assertEqual(login.dataToSend(), b"")

    def test_answerFindsItsWaiter(self) -> None:
        """S1: responses come in any order; the session says whose each is."""
        login = loggedIn()
        login.ask(b"one", "1st")
        login.ask(b"two", "2nd")
        login.dataToSend()
        self.assertEqual(login.answered(b"\x00\x00\x00\x02"), "2nd")
        self.assertEqual(login.answered(b"\x00\x00\x00\x01"), "1st")

    def test_answerNobodyWaitsFor(self) -> None:
        """A response that comes twice, or that nobody asked for, is nobody's."""
        login = loggedIn()
        login.ask(b"one", "1st")
        login.dataToSend()
        login.answered(b"\x00\x00\x00\x01")
        self.assertIsNone(login.answered(b"\x00\x00\x00\x01"))
        self.assertIsNone(login.answered(b"\xff\xff\xff\xff"))

    def test_sessionsWrapAround(self) -> None:
        """S5: after 2^32 requests the sessions start over, past one that is unanswered."""
        login = loggedIn()
        login.ask(b"slow", "slow")
        login.dataToSend()
        login._lastSession = 0xFFFFFFFE  # as 2^32 - 3 answered requests later
        for content in (b"a", b"b", b"c"):
            login.ask(content, content.decode())
        self.assertEqual(
            login.dataToSend(),
            b"\x00\x05a\xff\xff\xff\xff\x00\x05b\x00\x00\x00\x00\x00\x05c\x00\x00\x00\x02",
        )
        self.assertEqual(login.answered(b"\x00\x00\x00\x01"), "slow")

    def test_noMoreUnansweredThanTheGateKeeps(self) -> None:
        """S7: past the limit, each request waits for an answer to an earlier one."""
        login = loggedIn(maxUnanswered=2)
        for content in (b"a", b"b", b"c"):
            login.ask(content, content.decode())
        self.assertEqual(login.dataToSend(), b"\x00\x05a\x00\x00\x00\x01\x00\x05b\x00\x00\x00\x02")
        login.answered(b"\x00\x00\x00\x02")
        self.assertEqual(login.dataToSend(), b"\x00\x05c\x00\x00\x00\x03")

    def test_longestContent(self) -> None:
        """S: 65,531 bytes are a request, and 65,532 never become one."""
        login = loggedIn()
        with self.assertRaises(ValueError):
            login.ask(bytes(65_532), "too long")
        self.assertEqual(login.dataToSend(), b"")
        login.ask(bytes(65_531), "longest")
        self.assertEqual(login.dataToSend(), b"\xff\xff" + bytes(65_531) + b"\x00\x00\x00\x01")

    def test_cancelBeforeSending(self) -> None:
        """What was never sent and is not wanted any more never is."""
        login = loggedIn()
        request = login.ask(b"one", "1st")
        login.ask(b"two", "2nd")
        login.cancel(request)
        self.assertEqual(login.dataToSend(), b"\x00\x07two\x00\x00\x00\x01")

    def test_cancelAfterSending(self) -> None:
        """S5: what was sent keeps its session until the answer, which nobody waits for."""
        login = loggedIn()
        login.cancel(login.ask(b"never sent", "0th"))
        request = login.ask(b"one", "1st")
        login.dataToSend()
        login.cancel(request)
        self.assertEqual(login.askAgain(), b"\x00\x07one\x00\x00\x00\x01")
        self.assertIsNone(login.answered(b"\x00\x00\x00\x01"))
        self.assertEqual(login.askAgain(), b"")

    def test_contentStaysOutOfRepr(self) -> None:
        """L6: what a request says may be a password."""
        self.assertNotIn("swordfish", repr(loggedIn().ask(b"swordfish", "1st")))


class ReconnectionTests(SynchronousTestCase):
    """What is sent on the next connection."""

    def test_indexGrows(self) -> None:
        """H: each handshake of a login has a greater index than the last, from 1."""
        login = loggedIn()
        self.assertEqual(login.newConnection().hello[2:].split(b":")[1], b"1")
        self.assertEqual(login.newConnection().hello[2:].split(b":")[1], b"2")

    def test_handshakeProvesTheLogin(self) -> None:
        """H: the handshake is the one that the original was recorded to accept."""
        self.assertEqual(
            loggedIn().newConnection().hello,
            b"\x00\x25YWxpY2U=@c2FtcGxl#MQ==:1:ZluYSPmBkzY=",
        )

    def test_askAgain(self) -> None:
        """S6: what is unanswered is asked again as it was, in the order first asked."""
        login = loggedIn()
        for content in (b"a", b"b", b"c"):
            login.ask(content, content.decode())
        login.dataToSend()
        login.answered(b"\x00\x00\x00\x02")
        login.ask(b"d", "d")
        again = b"\x00\x05a\x00\x00\x00\x01\x00\x05c\x00\x00\x00\x03"
        self.assertEqual(login.askAgain(), again)
        self.assertEqual(login.dataToSend(), b"\x00\x05d\x00\x00\x00\x04")
        self.assertEqual(login.answered(b"\x00\x00\x00\x03"), "c")

    def test_askAgainAndAgain(self) -> None:
        """S6: a request is asked on every connection until it is answered."""
        login = loggedIn()
        login.ask(b"a", "a")
        login.dataToSend()
        login.askAgain()
        self.assertEqual(login.askAgain(), b"\x00\x05a\x00\x00\x00\x01")


class LoginTests(SynchronousTestCase):
    """What goes from one login to the next."""

    def test_endTellsWhoseOutcomeIsUnknown(self) -> None:
        """U5: what was sent and is wanted still is given up, in the order asked."""
        login = loggedIn()
        requests = {name: login.ask(b"", name) for name in ("1st", "2nd", "3rd")}
        login.dataToSend()
        login.ask(b"", "never sent")
        login.cancel(requests["2nd"])
        self.assertEqual(login.end(), ["1st", "3rd"])
        self.assertIsNone(login.loggedIn)
        self.assertEqual(login.end(), [])

    def test_neverSentGoesToTheNextLogin(self) -> None:
        """U5: the new login starts over with index and sessions, and has what waited."""
        login = loggedIn()
        login.newConnection()
        login.ask(b"sent", "sent")
        login.dataToSend()
        login.ask(b"waits", "waits")
        login.end()
        login.begin(ALICE_AGAIN)
        self.assertEqual(
            login.newConnection().hello[2:].split(b":")[:2], [b"YWxpY2U=@c2FtcGxl#Mg==", b"1"]
        )
        self.assertEqual(login.askAgain(), b"")
        self.assertEqual(login.dataToSend(), b"\x00\x09waits\x00\x00\x00\x01")

    def test_abandonGivesUpWhatWaits(self) -> None:
        """Requests that were never sent are given up apart from those that were."""
        login = loggedIn()
        login.ask(b"sent", "sent")
        login.dataToSend()
        login.ask(b"waits", "waits")
        login.cancel(login.ask(b"cancelled", "cancelled"))
        self.assertEqual(login.abandon(), ["waits"])
        self.assertEqual(login.dataToSend(), b"")
        self.assertEqual(login.answered(b"\x00\x00\x00\x01"), "sent")

    def test_oneLoginAtATime(self) -> None:
        """A login does not take the place of another, and none has no connections."""
        login: ClientLogin[str] = ClientLogin()
        self.assertRaises(InvalidState, login.newConnection)
        login.begin(ALICE)
        self.assertRaises(InvalidState, login.begin, ALICE_AGAIN)
        self.assertEqual(login.loggedIn, ALICE)

    def test_secretStaysOutOfRepr(self) -> None:
        """L6: what proves the handshake is not shown."""
        secret = LoggedIn(ALICE.user, b"swordfish")
        self.assertNotIn("swordfish", repr(secret))


class AddressTests(SynchronousTestCase):
    """Where a login says that its gate is (L5)."""

    def test_hostAndPort(self) -> None:
        """L5: C{host:port}, with an IPv6 address in brackets."""
        self.assertEqual(parseAddress("gate.example:8888"), ("gate.example", 8888))
        self.assertEqual(parseAddress("127.0.0.1:1"), ("127.0.0.1", 1))
        self.assertEqual(parseAddress("[::1]:65535"), ("::1", 65535))

    def test_noAddress(self) -> None:
        """L5: anything else is no address."""
        for text in (
            "", "host", ":1", "host:", "host:0", "host:65536", "host:-1", "host:1x", "host:²",
            "::1", "::1:80", "[]:80", "[host]:80", "[::1:80", "[::1]",
        ):  # fmt: skip
            with self.assertRaises(ProtocolError, msg=text):
                parseAddress(text)
