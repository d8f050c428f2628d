"""
The tests of msgserver.

None runs on a compiled module that is older than its source: it would not test what is there.
"""

from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent / "msgserver"

# The constants of framing are compiled into what uses them.
_SOURCES = [_PACKAGE / name for name in ("current.py", "kept.py", "sessions.py", "wire/framing.py")]

for _compiled in _PACKAGE.glob(f"*{EXTENSION_SUFFIXES[0]}"):
    for _source in _SOURCES:
        if _compiled.stat().st_mtime < _source.stat().st_mtime:
            raise ImportError(
                f"msgserver/{_compiled.name} is older than {_source.name}: 'make interpreted'"
                " removes it, 'MSGSERVER_COMPILE=1 pip install -e .' makes it anew"
            )
