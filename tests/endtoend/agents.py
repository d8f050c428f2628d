"""An agent for real worker processes: what it knows is in a database."""

from __future__ import annotations

import os
import sqlite3
import sys
import time

from twisted.internet.defer import Deferred
from twisted.internet.utils import getProcessOutput

from msgserver.handlers import Agent
from msgserver.interfaces import MaybeLater


class Keeper(Agent):
    """
    Counts its user's requests, for good.

    @param database: the file.
    """

    def __init__(self, database: str) -> None:
        self._database = database
        self._count = 0

    def load(self) -> None:
        """Read the count."""
        with self._open() as database:
            row = database.execute("select n from counts where uid = ?", (self.user.uid,))
            self._count = (row.fetchone() or [0])[0]
        print("loaded", self._count)

    def request(self, content: bytes) -> MaybeLater[bytes]:
        """Count, and answer as the content says."""
        self._count += 1
        if content == b"child":
            child: Deferred[bytes] = getProcessOutput(sys.executable, ["-c", "print('a child')"])
            return child
        if content == b"pid":
            return b"%d" % os.getpid()
        if content == b"block":
            print("blocking", file=sys.stderr)
            time.sleep(60)
        if content == b"bug":
            raise ValueError("as ordered")
        return b"%d" % self._count

    def save(self) -> None:
        """Write the count."""
        with self._open() as database:
            database.execute("replace into counts values (?, ?)", (self.user.uid, self._count))

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._database, timeout=10)
        database.execute("create table if not exists counts (uid blob primary key, n int)")
        return database
