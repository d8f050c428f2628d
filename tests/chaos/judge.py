"""
Whether the promise was kept: what clients heard, against what the gate has run. Pure.

Three words, each with a list of cases, and each list must be empty:

- I{duplicate}: a request that ran more than once.
- I{lost}: a request without an answer, though its login lives; whether it has run or not.
- I{wrong}: an answer that is not the first one made for that very request, or was made by no run;
  a failure that nobody ordered; a request that ran under another login than it was sent, or that
  nobody sent; a login that ended more than once (U2), or that nobody has ended (U1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum

from attrs import define, field, frozen

from tests.chaos.journal import Journal, Run
from tests.chaos.orders import Answer, Order, Verb


class Outcome(Enum):
    """What a client has heard of one request."""

    NOTHING = "no answer"
    ANSWERED = "an answer"
    FAILED = "a flag-0 answer"
    UNKNOWN = "OutcomeUnknown"
    ERROR = "an error"


@define(eq=False)
class Asked:
    """
    One request, as its client knows it.

    @ivar usernames: the logins under which it was first sent: one, or none where it never was.
    @ivar answer: what the answer says of itself; None where it was none to this order.
    @ivar at: when it ended, in nanoseconds of the machine's monotonic clock.
    @ivar said: the error, or the beginning of an answer that was none to this order.
    """

    order: Order
    usernames: list[bytes] = field(factory=list)
    outcome: Outcome = Outcome.NOTHING
    answer: Answer | None = None
    at: int = 0
    said: str = ""


@define(eq=False)
class History:
    """
    All that one client has to tell.

    @ivar isStrict: it takes a new login only where the last has ended. Others do so too when the
        gate is out of reach, and give up what was under way then.
    @ivar taken: its logins, by username: when each was asked for, by the same clock.
    @ivar disturbed: when somebody else began to log in as that user, or it did itself in vain:
        such an attempt may end the login that there is, at once or later.
    """

    uid: bytes
    isStrict: bool = True
    asked: list[Asked] = field(factory=list)
    taken: dict[bytes, int] = field(factory=dict)
    disturbed: list[int] = field(factory=list)

    def hasLeft(self, username: bytes, at: int) -> bool:
        """Tell whether it had taken another login after that one, of its own will."""
        if self.isStrict or username not in self.taken:
            return False
        taken = list(self.taken)
        return any(self.taken[each] <= at for each in taken[taken.index(username) + 1 :])


@frozen
class Verdict:
    """
    What has become of all requests.

    @ivar sent: how many were sent at all; C{executed} to C{unknown} are how many, too.
    @ivar failed: were answered with flag 0, as ordered.
    @ivar duplicates: a text for each case; so are C{lost} and C{wrong}.
    """

    sent: int
    executed: int
    answered: int
    failed: int
    unknown: int
    duplicates: list[str]
    lost: list[str]
    wrong: list[str]

    @property
    def isKept(self) -> bool:
        """The promise was."""
        return not (self.duplicates or self.lost or self.wrong)


def judge(histories: Iterable[History], journal: Journal, deaths: Sequence[int] = ()) -> Verdict:
    """
    Compare.

    @param deaths: when the gate was killed, by the clock of all of it.
    """
    histories = list(histories)
    allAsked = [asked for history in histories for asked in history.asked]
    names = {asked.order.name for asked in allAsked}
    ends = {username: whens[0] for username, whens in journal.ended.items()}
    lost: list[str] = []
    wrong = [f"arrived garbled: {each.decode()}" for each in journal.garbled]
    wrong += [
        f"the login {username.decode()} ended {len(whens)} times"
        for username, whens in journal.ended.items()
        if len(whens) > 1
    ]
    wrong += [f"ran, and nobody asked: {name.decode()}" for name in journal.runs.keys() - names]
    if len(names) < len(allAsked):
        wrong.append("several requests have the same name, so that nothing can be told of them")
    for history in histories:
        wrong += [f"a login that nobody has ended: {each}" for each in _endless(history, ends)]
        for username, when in history.taken.items():
            died = next((death for death in deaths if death >= when), None)
            if died is not None:
                ends[username] = min(died, ends.get(username, died))
        for asked in history.asked:
            runs = journal.runs.get(asked.order.name, [])
            about = f"{history.uid.decode()}: {_write(asked, runs)}"
            lost += [f"{each}: {about}" for each in _losses(history, asked, ends)]
            wrong += [f"{each}: {about}" for each in _mistakes(asked, runs)]
    return Verdict(
        sum(bool(asked.usernames) for asked in allAsked),
        sum(map(len, journal.runs.values())),
        _count(allAsked, Outcome.ANSWERED),
        _count(allAsked, Outcome.FAILED),
        _count(allAsked, Outcome.UNKNOWN),
        [
            f"ran {len(runs)} times: {name.decode()}: {runs}"
            for name, runs in journal.runs.items()
            if len(runs) > 1
        ],
        lost,
        wrong,
    )


def _endless(history: History, ends: dict[bytes, int]) -> Iterator[str]:
    loggedOut = {
        username
        for asked in history.asked
        if asked.order.verb is Verb.LOGOUT
        for username in asked.usernames
    }
    for username in (history.taken.keys() & ends.keys()) - loggedOut:
        end = ends[username]
        if not history.hasLeft(username, end) and all(when > end for when in history.disturbed):
            yield username.decode()


def _losses(history: History, asked: Asked, ends: dict[bytes, int]) -> Iterator[str]:
    if asked.outcome is Outcome.NOTHING:
        yield "never answered"
    if asked.outcome is Outcome.UNKNOWN and not any(
        ends.get(username, asked.at + 1) <= asked.at or history.hasLeft(username, asked.at)
        for username in asked.usernames
    ):
        yield "given up, and its login lives"


def _mistakes(asked: Asked, runs: Sequence[Run]) -> Iterator[str]:
    if len(asked.usernames) > 1:
        yield "sent under several logins"
    if any(run.username not in asked.usernames for run in runs):
        yield "ran under a login that it was not sent under"
    match asked.outcome:
        case Outcome.ERROR:
            yield "a failure that nobody ordered"
        case Outcome.ANSWERED | Outcome.FAILED:
            if (asked.order.verb is Verb.FAIL) is not (asked.outcome is Outcome.FAILED):
                yield "not the flag that was ordered"
            if asked.answer is None:
                yield "no answer to this request"
            elif not runs:
                yield "answered, and never ran"
            elif asked.answer.serial != runs[0].serial:
                yield "not the first answer that was made"
        case Outcome.UNKNOWN if not asked.usernames:
            yield "unknown, and never sent"


def _count(allAsked: Iterable[Asked], outcome: Outcome) -> int:
    return sum(asked.outcome is outcome for asked in allAsked)


def _write(asked: Asked, runs: Sequence[Run]) -> str:
    heard = f"{asked.outcome.value} {asked.answer or asked.said}"
    return f"{asked.order}, sent under {asked.usernames}, heard {heard}, ran {list(runs)}"
