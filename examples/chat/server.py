"""
The chat's handler: what is asked is answered, and what happens in a room is pushed to its members.
"""

from __future__ import annotations

from collections.abc import Iterable
from os import urandom

from twisted.internet.interfaces import IReactorTime

from examples.chat.rooms import Room, Rooms
from examples.chat.words import (
    POLL,
    Entered,
    Event,
    Exited,
    Here,
    Join,
    Joined,
    Leave,
    Left,
    Mistake,
    Presence,
    Request,
    Said,
    Say,
    Who,
    parseRequest,
    writeAnswer,
    writeEvent,
)
from msgserver import MsgHandler, RequestFailed, User
from msgserver.handlers import Mailbox
from msgserver.interfaces import MaybeLater

MAX_HISTORY = 200
"""How many of the last messages a room may keep: a box has room for them."""


class ChatHandler(MsgHandler):
    """
    Rooms, and who is in them.

    @param history: how many of the last messages of a room are told to whoever joins it; 0 to
        L{MAX_HISTORY}.
    @param clock: where the time comes from; by default the global reactor.
    @raise ValueError: there is no such history.
    """

    def __init__(self, history: int = 20, clock: IReactorTime | None = None) -> None:
        if type(history) is not int or not 0 <= history <= MAX_HISTORY:
            raise ValueError(
                f"history: must be a whole number, 0 to {MAX_HISTORY}, not {history!r}"
            )
        # By uid, so that the box outlives a login: who comes back has missed nothing.
        self.mailbox = Mailbox(clock)
        self._rooms = Rooms(history)
        self._run = urandom(8).hex()
        # Those who have asked something, and whether they have a connection.
        self._isHere: dict[bytes, bool] = {}

    def requestReceived(self, user: User, content: bytes) -> MaybeLater[bytes]:
        """Answer a request, once (S6): what was said is said once, however often it is asked."""
        self._seen(user.uid)
        if content.startswith(POLL):
            return self.mailbox.poll(user.uid, content[len(POLL) :])
        try:
            return writeAnswer(self._do(user.uid, parseRequest(content)))
        except Mistake as mistake:
            raise RequestFailed(str(mistake).encode()) from None

    def disconnected(self, user: User) -> None:
        """Tell the others; the messages for the user are kept meanwhile."""
        if self._isHere.get(user.uid):
            self._isHere[user.uid] = False
            self._tell(user.uid, "away")

    def loggedOut(self, user: User) -> None:
        """Have the user leave everywhere."""
        self.mailbox.release(user.uid)
        if self._isHere.pop(user.uid, None) is None:
            return
        self._tell(user.uid, "gone")
        for name in self._rooms.joined(user.uid):
            self._rooms.leave(name, user.uid)

    def _seen(self, uid: bytes) -> None:
        if self._isHere.get(uid) is False:
            self._tell(uid, "back")
        self._isHere[uid] = True

    def _do(self, uid: bytes, request: Request) -> object:
        match request:
            case Join(name):
                return self._join(uid, name)
            case Leave(name):
                room = self._rooms.leave(name, uid)
                self._push([uid], Exited(name))
                self._push(room.members, Left(name, _text(uid)))
                return {"left": name}
            case Say(name, text):
                return {"number": self._say(uid, self._rooms.of(name, uid), text)}
            case Who(name):
                return {"members": self._who(self._rooms.of(name, uid))}
            case Here():
                return {"rooms": self._rooms.joined(uid)}

    def _join(self, uid: bytes, name: str) -> object:
        room = self._rooms.join(name, uid)
        if room is None:
            return {"joined": name}
        others = [member for member in room.members if member != uid]
        self._push(others, Joined(name, _text(uid)))
        # By the box as all else, so that what is old and what is new come in one order.
        self._push([uid], Entered(name, self._run))
        for told in room.history:
            self.mailbox.push(uid, told)
        return {"joined": name}

    def _say(self, uid: bytes, room: Room, text: str) -> int:
        room.number += 1
        told = writeEvent(Said(room.name, room.number, _text(uid), text))
        room.history.append(told)
        self.mailbox.broadcast(room.members, told)
        return room.number

    def _who(self, room: Room) -> list[dict[str, str]]:
        states = {True: "online", False: "away"}
        return [
            {"user": _text(member), "state": states[self._isHere[member]]}
            for member in room.members
        ]

    def _tell(self, uid: bytes, state: str) -> None:
        self._push(self._rooms.neighbours(uid), Presence(_text(uid), state))

    def _push(self, members: Iterable[bytes], event: Event) -> None:
        self.mailbox.broadcast(members, writeEvent(event))


def _text(uid: bytes) -> str:
    """Give a user's name for people; it may be any bytes."""
    return uid.decode(errors="replace")
