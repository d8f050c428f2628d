"""
Which tests there are, and which of them are likely to catch a fault.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

FOLDER = "tests"

SLOW = ("tests.endtoend.", "tests.chaos.")
"""What runs with real processes, and is asked last."""

OURS = "tests.mutants."
"""What would catch any fault, since it looks for their old texts."""

LATE = (
    "tests.simulation.",
    "tests.fuzz.",
    "tests.test_sessions_machine",
    "tests.test_docs",
    "tests.test_tomllines",
    "tests.test_packaging",
    "tests.test_ctl",
    "tests.test_overhearing",
    "tests.test_passwords",
    "tests.wire.test_properties",
    "tests.wire.test_conversations",
    "tests.remote.test_clusters_properties",
)
"""What takes a second or more: after the rest of what is not slow."""

LIKELY = {
    "msgserver/answering.py": "test_answering test_gathering test_draining test_msg",
    "msgserver/client.py": "test_client test_client_options test_client_identity",
    "msgserver/clientcore.py": "test_client test_client_options test_client_identity",
    "msgserver/clientlogin.py": "test_clientlogin test_client test_window",
    "msgserver/clientprotocols.py": "test_clientprotocols test_responses test_client",
    "msgserver/closing.py": "test_closing test_msgprotocol",
    "msgserver/current.py": "test_sessions test_handlers",
    "msgserver/deadlines.py": "test_deadlines test_limits test_msgservice",
    "msgserver/gatecalls.py": "test_loginservice test_operations",
    "msgserver/kept.py": "test_kept test_sessions test_window",
    "msgserver/later.py": "test_later test_msgservice test_loginservice",
    "msgserver/limits.py": "test_limits test_msgprotocol test_loginprotocol",
    "msgserver/loginprotocol.py": "test_loginprotocol test_closing",
    "msgserver/msgprotocol.py": "test_msgprotocol test_msgservice test_draining test_gathering",
    "msgserver/msgservice.py": "test_msgservice test_lives test_draining test_msgprotocol",
    "msgserver/reconnecting.py": "test_reconnecting test_client remote.test_servers",
    "msgserver/remote/gates.py": "remote.test_gates remote.test_clusters",
    "msgserver/remote/link.py": "remote.test_link remote.test_strangers",
    "msgserver/remote/servers.py": "remote.test_servers remote.test_gates remote.test_clusters",
    "msgserver/sessions.py": "test_sessions test_kept test_answering test_window",
    "msgserver/wire/classic.py": "wire.test_classic wire.test_login test_original",
    "msgserver/wire/login.py": "wire.test_login wire.test_modern",
}
"""
By source file, the beginnings of the names of test modules. Where a file is not named here
those that are named after it are meant.
"""


class Suite:
    """
    The test modules of a tree.

    @ivar fast: all but those with real processes, in the order in which they are best run.
    @ivar slow: those with real processes.
    """

    def __init__(self, root: Path) -> None:
        modules = [
            ".".join(path.relative_to(root).with_suffix("").parts)
            for path in sorted((root / FOLDER).rglob("test_*.py"))
        ]
        self.fast = [each for each in modules if not each.startswith((*SLOW, OURS, *LATE))]
        self.fast += [each for each in modules if each.startswith(LATE)]
        self.slow = [each for each in modules if each.startswith(SLOW)]

    def likely(self, file: str) -> list[str]:
        """Give the fast modules that are likely to catch a fault in a file, the likeliest first."""
        path = Path(file)
        named = ".".join((*path.parent.parts[1:], f"test_{path.stem}"))
        beginnings = LIKELY.get(file, named).split()
        # What is late among all is late among these.
        return sorted(_named(self.fast, beginnings), key=lambda each: each.startswith(LATE))

    def unlikely(self, file: str) -> list[str]:
        """Give the other fast modules."""
        likely = set(self.likely(file))
        return [each for each in self.fast if each not in likely]


def _named(modules: Iterable[str], beginnings: Iterable[str]) -> Iterable[str]:
    named: dict[str, None] = {}
    for beginning in beginnings:
        for module in modules:
            if module.startswith(f"{FOLDER}.{beginning}"):
                named[module] = None
    return named
