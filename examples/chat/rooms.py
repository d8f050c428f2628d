"""
Who is in which room, and what was said there last.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from examples.chat.words import Mistake

MAX_ROOMS = 1000
"""How many rooms there are at once."""

MAX_MEMBERS = 500
"""How many may be in a room."""

MAX_JOINED = 20
"""How many rooms one user may be in."""


class Room:
    """
    A room.

    @ivar members: who is in it, in the order in which they came.
    @ivar history: what was said last, as it was told.
    @ivar number: of what was said last; 0 where that is nothing.
    """

    def __init__(self, name: str, history: int) -> None:
        self.name = name
        self.members: dict[bytes, None] = {}
        self.history: deque[bytes] = deque(maxlen=history)
        self.number = 0


class Rooms:
    """
    All the rooms.

    One begins when somebody joins it. It is kept when it is empty, for those who come back, as
    long as no other needs the place.

    @param history: how many of the last messages a room keeps.
    """

    def __init__(self, history: int) -> None:
        self._history = history
        self._rooms: dict[str, Room] = {}
        self._joined: dict[bytes, dict[str, Room]] = {}

    def join(self, name: str, user: bytes) -> Room | None:
        """
        Put a user into a room.

        @return: None where the user is in it already.
        @raise Mistake: it is full, or there is one room too many.
        """
        joined = self._joined.get(user, {})
        if name in joined:
            return None
        if len(joined) >= MAX_JOINED:
            raise Mistake(f"you are in {MAX_JOINED} rooms already; leave one first")
        room = self._rooms.get(name) or self._begin(name)
        if len(room.members) >= MAX_MEMBERS:
            raise Mistake(f"{name} is full")
        room.members[user] = None
        self._joined.setdefault(user, joined)[name] = room
        return room

    def leave(self, name: str, user: bytes) -> Room:
        """
        Put a user out of a room.

        @raise Mistake: the user is not in it.
        """
        room = self.of(name, user)
        del room.members[user]
        del self._joined[user][name]
        if not self._joined[user]:
            del self._joined[user]
        # Of the empty ones, the one that has been so for longest goes first.
        self._rooms[name] = self._rooms.pop(name)
        return room

    def of(self, name: str, user: bytes) -> Room:
        """
        Give a room that the user is in.

        @raise Mistake: the user is not.
        """
        try:
            return self._joined[user][name]
        except KeyError:
            raise Mistake(f"you are not in {name}; join it first") from None

    def joined(self, user: bytes) -> list[str]:
        """Give the names of the rooms that a user is in."""
        return [*self._joined.get(user, ())]

    def neighbours(self, user: bytes) -> Iterable[bytes]:
        """Give everybody who is in a room with the user, once."""
        rooms = self._joined.get(user, {}).values()
        return {member: None for room in rooms for member in room.members if member != user}

    def _begin(self, name: str) -> Room:
        if len(self._rooms) >= MAX_ROOMS:
            empty = next((room for room in self._rooms.values() if not room.members), None)
            if empty is None:
                raise Mistake(f"there are {MAX_ROOMS} rooms already; join one of those")
            del self._rooms[empty.name]
        room = self._rooms[name] = Room(name, self._history)
        return room
