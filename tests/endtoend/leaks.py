"""Secrets, and all that they may look like where somebody has written them down."""

from __future__ import annotations

import json
import os
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PART = 16
"""A secret of so many bytes is looked for in halves, too: a line may have been cut short."""

_TOO_SHORT = 6
"""What is so short, or shorter, is found anywhere, and tells nothing."""


def formsOf(secret: bytes) -> Iterator[bytes]:
    """Give what a secret may look like: as it is, escaped, as hex, base64 and numbers."""
    yield secret
    text = secret.decode("latin-1")
    yield repr(secret)[2:-1].encode()
    yield repr(text)[1:-1].encode()
    yield json.dumps(text)[1:-1].encode()
    yield secret.decode("utf-8", "backslashreplace").encode()
    yield secret.decode("utf-8", "replace").encode() if secret.isascii() else secret
    hexes = secret.hex()
    yield hexes.encode()
    yield hexes.upper().encode()
    yield secret.hex(" ").encode()
    yield secret.hex(":").encode()
    for order in ("little", "big"):
        number = int.from_bytes(secret, order)
        yield b"%d" % number
        yield b"%x" % number
    yield str(list(secret)).encode()
    # Within a longer text it may begin at any of three places of a group.
    for before in range(3):
        for encode in (b64encode, urlsafe_b64encode):
            encoded = encode(bytes(before) + secret)
            yield encoded[(before * 8 + 5) // 6 : (before + len(secret)) * 8 // 6]


class Secrets:
    """All that must not be written down anywhere, each by the name that a test reports."""

    def __init__(self) -> None:
        self._forms: dict[bytes, str] = {}
        self.count = 0

    def add(self, name: str, secret: bytes) -> None:
        """Take note of one; where it is long, of its halves as well."""
        self.count += 1
        parts = [secret]
        if len(secret) >= _PART:
            middle = len(secret) // 2
            parts += [secret[:middle], secret[middle:]]
        for part in parts:
            for form in formsOf(part):
                if len(form) > _TOO_SHORT:
                    self._forms.setdefault(form, name)

    def foundIn(self, written: bytes) -> list[str]:
        """Tell which secrets, by their names, something that was written has in it."""
        return sorted({name for form, name in self._forms.items() if form in written})


def descendants(pid: int) -> list[int]:
    """Give the processes that a process has started, and those that these have."""
    parents: dict[int, list[int]] = {}
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (place / "stat").read_text().rpartition(")")[2].split()
            parents.setdefault(int(fields[1]), []).append(int(place.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


def shownOf(pid: int) -> bytes:
    """Read what everybody on a machine may see of a process, and its environment as well."""
    place = Path(f"/proc/{pid}")
    shown = []
    with suppress(OSError):
        names = ("cmdline", "environ", "status")
        files = [place / name for name in names]
        files += [place / "task" / task / "comm" for task in os.listdir(place / "task")]
        for file in files:
            shown.append(file.read_bytes())
    return b"\n".join(shown)
