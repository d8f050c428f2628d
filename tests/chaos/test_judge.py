"""The judge, who must find every kind of case; and what it stands on."""

from __future__ import annotations

from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from twisted.trial.unittest import SynchronousTestCase

from msgserver.wire.framing import MAX_REQUEST, MAX_RESPONSE
from tests.chaos.journal import Journal, JournalFile, Run
from tests.chaos.judge import Asked, History, Outcome, Verdict, judge
from tests.chaos.orders import Answer, Order, Verb, nameOf

LOGIN, NEXT = b"dQ==@cw==#MQ==", b"dQ==@cw==#Mg=="
FIRST, SECOND = Run(b"7.1", LOGIN), Run(b"7.2", LOGIN)


class JudgeTests(SynchronousTestCase):
    """One client, which has asked once under one login: it ran once, and was answered."""

    def setUp(self) -> None:
        self.asked = Asked(
            Order(b"u.1"), [LOGIN], Outcome.ANSWERED, Answer(FIRST.serial, 10, 20), at=30
        )
        self.history = History(b"u", asked=[self.asked], taken={LOGIN: 1})
        self.journal = Journal(runs={b"u.1": [FIRST]})
        self.deaths: list[int] = []

    def judge(self) -> Verdict:
        return judge([self.history], self.journal, self.deaths)

    def assertFound(self, duplicates: str = "", lost: str = "", wrong: str = "") -> None:
        """See exactly these cases found: one of a kind, and how it begins."""
        verdict = self.judge()
        for kind, expected in (("duplicates", duplicates), ("lost", lost), ("wrong", wrong)):
            found = [case.partition(":")[0] for case in getattr(verdict, kind)]
            self.assertEqual(found, [expected] if expected else [], kind)
        self.assertEqual(verdict.isKept, not (duplicates or lost or wrong))

    def test_kept(self) -> None:
        """All is well, and counted."""
        self.assertEqual(self.judge(), Verdict(1, 1, 1, 0, 0, [], [], []))

    def test_duplicate(self) -> None:
        """S6: a request that ran twice is found, though its answer is the first."""
        self.journal.runs[b"u.1"].append(SECOND)
        self.assertFound(duplicates="ran 2 times")

    def test_duplicateUnknown(self) -> None:
        """S6: so is one whose outcome nobody knows."""
        self.journal = Journal(runs={b"u.1": [FIRST, SECOND]}, ended={LOGIN: [25]})
        self.history.disturbed = [24]
        self.asked.outcome = Outcome.UNKNOWN
        self.assertFound(duplicates="ran 2 times")

    def test_lost(self) -> None:
        """S8: a request that ran and was not answered is found, and one that did not run."""
        self.asked.outcome = Outcome.NOTHING
        self.assertFound(lost="never answered")
        self.journal.runs.clear()
        self.asked.usernames.clear()
        self.assertFound(lost="never answered")

    def test_givenUp(self) -> None:
        """U1: OutcomeUnknown is right only where the login had ended by then."""
        self.asked.outcome = Outcome.UNKNOWN
        self.assertFound(lost="given up, and its login lives")
        self.journal.ended[NEXT] = [5]
        self.journal.ended[LOGIN] = [31]
        self.history.disturbed = [28]
        self.assertFound(lost="given up, and its login lives")
        self.journal.ended[LOGIN] = [29]
        self.assertFound()

    def test_nobodyEndedIt(self) -> None:
        """U1: a login ends where somebody ends it: at a logout, or at another login."""
        self.journal.ended[LOGIN] = [29]
        self.assertFound(wrong="a login that nobody has ended")
        self.history.disturbed = [30]
        self.assertFound(wrong="a login that nobody has ended")
        self.history.disturbed = [28]
        self.assertFound()
        self.history.disturbed.clear()
        self.asked.order = Order(b"u.1", Verb.LOGOUT)
        self.assertFound()

    def test_killed(self) -> None:
        """U5: a gate that is killed ends the logins that it had, not those that came later."""
        self.asked.outcome = Outcome.UNKNOWN
        self.deaths = [29]
        self.assertFound()
        self.history.taken[LOGIN] = 30
        self.assertFound(lost="given up, and its login lives")

    def test_left(self) -> None:
        """A client that takes a new login of its own will gives up; a strict one may not."""
        self.asked.outcome = Outcome.UNKNOWN
        self.history.taken[NEXT] = 25
        self.assertFound(lost="given up, and its login lives")
        self.history.isStrict = False
        self.assertFound()
        self.history.taken[b"yet another"] = 35
        self.assertFound()
        self.history.taken[NEXT] = 31
        self.assertFound(lost="given up, and its login lives")

    def test_neverRan(self) -> None:
        """An answer that no run has made is found."""
        self.journal.runs.clear()
        self.assertFound(wrong="answered, and never ran")

    def test_notTheFirst(self) -> None:
        """S6: so is one that a later run has made."""
        self.asked.answer = Answer(SECOND.serial, 10, 20)
        self.assertFound(wrong="not the first answer that was made")

    def test_notItsOwn(self) -> None:
        """So is one to another request."""
        self.asked.answer = None
        self.assertFound(wrong="no answer to this request")

    def test_flag(self) -> None:
        """S4, S9: the flag is the one that was ordered."""
        self.asked.outcome = Outcome.FAILED
        self.assertFound(wrong="not the flag that was ordered")
        self.asked.order = Order(b"u.1", Verb.FAIL)
        self.assertFound()
        self.asked.outcome = Outcome.ANSWERED
        self.assertFound(wrong="not the flag that was ordered")

    def test_error(self) -> None:
        """An error is no answer."""
        self.asked.outcome = Outcome.ERROR
        self.assertFound(wrong="a failure that nobody ordered")

    def test_logins(self) -> None:
        """U5: a request belongs to one login, and runs under that."""
        self.asked.usernames.append(NEXT)
        self.assertFound(wrong="sent under several logins")
        self.asked.usernames[:] = [NEXT]
        self.assertFound(wrong="ran under a login that it was not sent under")
        self.asked.usernames.clear()
        self.assertFound(wrong="ran under a login that it was not sent under")

    def test_unknownAndNeverSent(self) -> None:
        """What was never sent waits for the next login, and its outcome is no question."""
        self.asked.outcome = Outcome.UNKNOWN
        self.asked.usernames.clear()
        self.journal.runs.clear()
        self.assertFound(wrong="unknown, and never sent", lost="given up, and its login lives")

    def test_nobodys(self) -> None:
        """What ran must have been asked for, as it was asked for."""
        self.journal.runs[b"u.2"] = [SECOND]
        self.assertFound(wrong="ran, and nobody asked")
        del self.journal.runs[b"u.2"]
        self.journal.garbled.append(b"00")
        self.assertFound(wrong="arrived garbled")

    def test_sameName(self) -> None:
        """Names that are used twice would hide everything."""
        self.history.asked.append(self.asked)
        self.assertFound(
            wrong="several requests have the same name, so that nothing can be told of them"
        )

    def test_endedTwice(self) -> None:
        """U2: loggedOut is called once."""
        self.history.disturbed = [39]
        self.journal.ended[LOGIN] = [40, 41]
        self.assertFound(wrong="the login dQ==@cw==#MQ== ended 2 times")


class OrderTests(SynchronousTestCase):
    def test_orders(self) -> None:
        """A request carries its order, up to the largest; what was changed on the way is seen."""
        for size in (0, 100, MAX_REQUEST):
            order = Order(b"u12.345", Verb.FAIL, 17, size, 9)
            content = order.encode()
            self.assertGreaterEqual(len(content), size)
            self.assertEqual(Order.decode(content), order)
            self.assertEqual(nameOf(content[:40]), b"u12.345")
            for garbled in (content[:-1], content + b"!", content[:-1] + b"!", b"", b"answer u"):
                self.assertRaises(ValueError, Order.decode, garbled)
        self.assertEqual(len(content), MAX_REQUEST)
        self.assertRaises(ValueError, Order, b"u", requestSize=MAX_REQUEST + 1)
        self.assertRaises(ValueError, Order, b"u", answerSize=MAX_RESPONSE + 1)

    def test_answers(self) -> None:
        """An answer is one to its own order alone, to the last byte."""
        answer = Answer(b"7.1", 10, 20)
        for size in (0, 100, MAX_RESPONSE):
            order = Order(b"u.1", answerSize=size)
            content = order.answer(answer)
            self.assertEqual(order.readAnswer(content), answer)
            self.assertIsNone(Order(b"u.2", answerSize=size).readAnswer(content))
            for garbled in (content[:-1], content + b"!", content[:-1] + b"!", b"", b"u.1 x y z "):
                self.assertIsNone(order.readAnswer(garbled))
        self.assertEqual(len(content), MAX_RESPONSE)


class JournalTests(SynchronousTestCase):
    def test_writtenByTwo(self) -> None:
        """What gates write one after the other is read as one; and at once, unclosed."""
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        first, second = JournalFile(folder / "journal"), JournalFile(folder / "journal")
        for each in (first, second):
            self.addCleanup(each.close)
        serials = [first.run(b"u.1", LOGIN), second.run(b"u.2", LOGIN), first.run(b"u.1", NEXT)]
        second.ended(LOGIN)
        first.garbled(b"\xff \n")
        with (folder / "journal").open("rb") as lines:
            journal = Journal.read(lines)
        self.assertEqual(
            journal.runs,
            {
                b"u.1": [Run(serials[0], LOGIN), Run(serials[2], NEXT)],
                b"u.2": [Run(serials[1], LOGIN)],
            },
        )
        self.assertEqual([*journal.ended], [LOGIN])
        self.assertEqual(journal.garbled, [b"ff200a"])

    def test_noJournal(self) -> None:
        """What makes no sense is not read over."""
        self.assertRaises(ValueError, Journal.read, [b"ran u.1\n"])
