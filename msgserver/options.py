"""
The command line of C{twistd msgserver}.

No reactor is imported before it is needed: which one there is, twistd decides first.
"""

from __future__ import annotations

import re
from typing import NoReturn

import twisted
from twisted.python import usage

import msgserver
from msgserver.compiled import howSessionsRun
from msgserver.config import exampleConfig
from msgserver.configfile import Parts, loadConfig
from msgserver.errors import ConfigErrors
from msgserver.jsonlog import useLogFormat


def _processOf(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,8}", text):
        raise SystemExit(f"--process: must be a whole number, 1 or more, not {text!r}")
    return int(text)


class Options(usage.Options):
    """
    The command line.

    @ivar parts: what the config file makes; set once the command line is read.
    """

    synopsis = "[options]"
    longdesc = "Runs a login server, a message gate, or both, as a config file says."
    optParameters = [
        ["config", "c", None, "The config file."],
        [
            "process",
            None,
            0,
            "Be this process of the gate alone, from 1: see processes.",
            _processOf,
        ],
        ["log-format", None, None, "How the log is written: text, or json, an object a line."],
    ]
    optFlags = [
        ["supervised", None, "Stop when standard input ends: whoever started this is gone."],
        ["check", None, "Check the config file, and everything it names, and exit."],
        ["print-config", None, "Print a config file with every key at its default, and exit."],
    ]
    parts: Parts

    def opt_version(self) -> NoReturn:
        """Print the version, and how sessions run, and exit."""
        print(
            f"msgserver {msgserver.__version__}, Twisted {twisted.__version__}, {howSessionsRun()}"
        )
        raise SystemExit(0)

    def postOptions(self) -> None:
        """
        Read the config file.

        @raise SystemExit: that was all there was to do, or there are mistakes. A UsageError
            would bury them under a page on how to use twistd.
        """
        useLogFormat(self["log-format"], self.parent)
        if self["print-config"]:
            print(exampleConfig(), end="")
            raise SystemExit(0)
        file = self["config"]
        if file is None:
            raise SystemExit(
                "no config file: type 'twistd -n msgserver --config FILE',"
                " or 'twistd msgserver --print-config' to see what can be in one"
            )
        from twisted.internet import reactor

        try:
            self.parts = loadConfig(file, reactor, self["process"])
        except ConfigErrors as errors:
            raise SystemExit(str(errors)) from None
        if self["check"]:
            print(f"{file}: ok")
            raise SystemExit(0)
