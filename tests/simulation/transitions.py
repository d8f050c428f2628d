"""
The situations that the model tells apart. Each must be reached, or nothing is known of it.
"""

from __future__ import annotations

from collections import Counter

TRANSITIONS = {
    # Connections
    "opened": "B1: a connection is taken in",
    "one too many": "B1: a connection past maxclient is closed at once",
    "no handshake": "H3: a connection is closed that has not shaken hands in time",
    "lost before handshake": "U1: a connection is lost before its handshake, and nobody is told",
    "400": "H: a handshake of no form",
    "401": "H1: a handshake with a mac that does not fit",
    "403": "H1: a handshake with an index that is not above the last",
    "404": "H1: a handshake for a login that is not there",
    "404 draining": "B5: a handshake while the gate is shutting down",
    "too long": "B4: a first packet that is longer than max_packet",
    "nothing after refusal": "H2: what follows a refused handshake is not looked at",
    "200": "H: a login's first connection",
    "200 back": "U1: a connection of a user who was away",
    "200 replaces": "H4: a connection of a user who has one",
    "200 replaces stalled": "H4: the one replaced was not being read",
    "requests behind handshake": "H2: requests in the same segment are served after 200 OK",
    # Requests
    "run": "S1: a request runs",
    "run in another's place": "S5: a session that is answered is used again on one connection",
    "run beside": "S5: a session that is running is used again on one connection",
    "run after forgotten": "S7: what is no longer kept runs as a new request (any)",
    "replay": "S6: a kept answer is sent again",
    "replay of a failure": "S9: a kept flag-0 answer is sent again as it was",
    "replay, other content": "S6: whatever its content now says",
    "replay, older generation": "S7: beyond expired_number, and still kept",
    "replay while full": "S6: a kept answer is sent while maxRunning requests run",
    "replay of own": "S7: a past session of the same connection is answered again (increasing)",
    "taken over": "S6: a running request answers to the connection that asked last",
    "taken over again": "S6: and to a third one",
    "asked twice": "S7: a past session that runs is asked for on its own connection (increasing)",
    "forgotten": "S7: a past session that is not kept ends the login (increasing)",
    "too short": "S3: a request of under 4 bytes ends the connection",
    "request too long": "B4: a request over max_packet ends the connection",
    "full": "B2: a request waits for running ones",
    "full no more": "B2: and runs when there is room",
    "ignored after end": "U2: a request behind the end of its login is not served",
    # Answers
    "answered at once": "S1: bytes",
    "answered later": "S1: a Deferred or a coroutine, its connection still there",
    "answered while away": "S8: kept like any other",
    "answered to a later connection": "S6: to the one that has asked again",
    "answered before asked again": "S8: a new connection is there and has not asked for it",
    "answer dropped": "S5: a later request of the session is the one that counts",
    "answered after the end": "U2: too late, it goes nowhere",
    "answered in the turn of the end": "U2: ready in the same turn, it leaves",
    "answered after a break of the wire": "S3: the connection is closing, it is kept",
    "failed": "S4: the handler raises",
    "failed with content": "S4: RequestFailed",
    "no answer": "S4: no bytes, or too many",
    # Ways out
    "direct: sent": "B3: the socket takes an answer at once",
    "direct: sent in part": "B3: the socket takes the beginning of an answer",
    "direct: no room": "B3: the socket takes nothing of an answer",
    # Back pressure
    "stalled": "B3: a client does not read",
    "drained": "B3: it has read everything",
    "stalled too long": "B3: it is closed",
    "replaced while unread": "B3, H4: answers unread at a connection that is replaced",
    # The life of a login
    "admitted": "L4: a login",
    "admitted again": "U5: another login of the uid",
    "disconnected": "U1: the current connection is lost",
    "late loss": "H4: a connection is lost that was replaced before",
    "loss after end": "U2: the connection of an ended login is lost",
    "logout connected": "U2: by business code, the user connected",
    "logout away": "U2: by business code, the user away",
    "logout of own": "U2: by the handler of a request, whose answer still leaves",
    "logout with running": "U2: requests run on",
    "logout unread": "U2, B3: answers unread, which still leave",
    "logout again": "U2: of a login that has ended, nothing happens",
    "kick": "U3: by a newer login",
    "kick by operator": "U3: by an operator",
    "kick too long": "U3: kicked does not come back, kick_timeout ends the login",
    "kick of an ended login": "U4: nothing happens",
    "back while kicked": "U3: a connection while kicked is under way",
    "away too long": "U2: away_timeout",
    "end by S7": "S7: the login ends",
    # Logins
    "login 200": "L: admitted",
    "login 401": "L: the handler said no, or failed",
    "login 403": "L: the gate said no, or did not answer",
    "login 406": "L4: another login of the uid is under way",
    "login lost": "L: the connection broke in the middle",
    "login too slow": "L1: the server closes a conversation at its deadline",
    "login while late": "L1: the handler answers a login that nobody waits for any more",
    # Shutdown
    "drain quiet": "B5: the running requests finish",
    "drain too long": "B5: drain_timeout cuts the waiting short",
    "drain answers": "B5: an answer is made while the gate is shutting down, and leaves",
    "drain aborted": "B5: a client does not take its answers, and is cut off",
    "end by drain": "U2: the shutdown ends a login",
    # The client
    "client answered": "a request is answered on its first connection",
    "client answered later": "S6: and after its connection was lost",
    "client failed": "S4: a request fails as its handler did",
    "client unknown": "U5: a request's login has ended, its outcome is unknown",
    "client never sent": "a request that was never sent fails with what ended the client",
    "client cancelled": "a request that nobody waits for any more",
    "client new login": "a client takes another login by itself",
    "client closed": "a client is closed with requests unanswered",
}
"""What each is called, and what it is."""


class Reached:
    """Counts the situations that have been reached."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def __call__(self, name: str) -> None:
        """Take note of one."""
        assert name in TRANSITIONS, name
        self.counts[name] += 1

    def unreached(self) -> list[str]:
        """Tell what has never been."""
        return [name for name in TRANSITIONS if not self.counts[name]]

    def table(self) -> str:
        """Write down all of them, with how often each was reached."""
        width = max(map(len, TRANSITIONS))
        return "\n".join(
            f"  {name:{width}} {self.counts[name]:>10,}  {meaning}"
            for name, meaning in TRANSITIONS.items()
        )
