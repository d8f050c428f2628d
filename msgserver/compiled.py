"""
Whether the hot path is compiled (C{MSGSERVER_COMPILE=1 pip install .}) or interpreted.
"""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from typing import Final

from msgserver import sessions

isCompiled: Final = str(sessions.__file__).endswith(tuple(EXTENSION_SUFFIXES))
"""Whether L{msgserver.sessions} is, with L{msgserver.kept} and L{msgserver.current}."""


def howSessionsRun() -> str:
    """Tell that in words: C{sessions: compiled} or C{sessions: interpreted}."""
    return f"sessions: {'compiled' if isCompiled else 'interpreted'}"
