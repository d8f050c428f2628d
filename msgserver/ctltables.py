"""
What C{msgserver-ctl} shows: tables for people, JSON for programs, bytes as text in both.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypeAlias

from attrs import asdict

from msgserver.cluster import GateReport, LoginReport
from msgserver.wire.naming import decode64, encode64

Cell: TypeAlias = str | int | None

_ENCODED = "base64:"
_GATE_HEAD = ("gate", "logins", "connections", "running", "weight", "state")
_LOGIN_HEAD = ("uid", "subid", "gate", "since")
_GAP = "  "


def bytesText(raw: bytes) -> str:
    """
    Write a uid or a subid: as the text that it is, or as C{base64:} with its base64.

    Text is what can be seen: printable UTF-8, not empty, and without space at its ends.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = ""
    isSeen = text.isprintable() and text == text.strip() != ""
    if isSeen and not text.startswith(_ENCODED):
        return text
    return _ENCODED + encode64(raw).decode()


def parseBytes(text: str) -> bytes:
    """
    Read what L{bytesText} writes, and any other text as its UTF-8.

    @param text: an argument as Python gives it: bytes that are no UTF-8 stand for themselves.
    @raise ValueError: it begins with C{base64:}, and what follows is none.
    """
    raw = text.encode("utf-8", "surrogateescape")
    encoded = _ENCODED.encode()
    return decode64(raw.removeprefix(encoded)) if raw.startswith(encoded) else raw


def printable(text: str) -> str:
    """Write what a terminal would obey, or a line would end at, as backslashes have it."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def showGates(reports: Sequence[GateReport], wantsJSON: bool) -> str:
    """Show gates."""
    if wantsJSON:
        return _json([_gateFields(report) for report in reports])
    return _table(_GATE_HEAD, map(_gateRow, reports)) if reports else "no gates\n"


def showGate(report: GateReport, wantsJSON: bool) -> str:
    """Show one gate; as JSON, by itself."""
    return _json(_gateFields(report)) if wantsJSON else showGates([report], wantsJSON)


def showLogins(reports: Sequence[LoginReport], wantsJSON: bool, uid: bytes | None) -> str:
    """
    Show logins.

    @param uid: whose logins they are; None where they are everybody's.
    """
    if wantsJSON:
        return _json([_loginFields(report) for report in reports])
    if reports:
        return _table(_LOGIN_HEAD, map(_loginRow, reports))
    return "nobody is logged in\n" if uid is None else f"{bytesText(uid)} is not logged in\n"


def showIdentity(file: str, identity: str, wantsJSON: bool) -> str:
    """
    Show the public part of a key.

    @param file: the key's; as text it is left out.
    """
    return _json({"file": file, "identity": identity}) if wantsJSON else f"{identity}\n"


def _json(document: object) -> str:
    # In ASCII alone, it is right on whatever it is written to.
    return json.dumps(document, indent=2) + "\n"


def _gateFields(report: GateReport) -> dict[str, object]:
    return {
        "gate": report.name,
        "server": bytesText(report.servername),
        "address": report.address,
        "weight": report.weight,
        "draining": report.isDraining,
        "logins": report.logins,
        "load": None if report.load is None else asdict(report.load),
    }


def _loginFields(report: LoginReport) -> dict[str, object]:
    return {
        "uid": bytesText(report.uid),
        "subid": bytesText(report.subid),
        "gate": report.gate,
        "since": report.since,
    }


def _gateRow(report: GateReport) -> list[Cell]:
    load = report.load
    counts = (None, None) if load is None else (load.connections, load.running)
    state = "draining" if report.isDraining else "open"
    if load is None:
        state = "no answer"
    return [report.name, report.logins, *counts, report.weight, state]


def _loginRow(report: LoginReport) -> list[Cell]:
    return [bytesText(report.uid), bytesText(report.subid), report.gate, _local(report.since)]


def _local(time: float) -> str:
    """Write a time of this machine's zone to the second; C{time} is in seconds since 1970."""
    return datetime.fromtimestamp(time).astimezone().isoformat(timespec="seconds")


def _table(head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Align columns: those of numbers to the right. None is a number that is not known."""
    columns = []
    for name, cells in zip(head, zip(*rows, strict=True), strict=True):
        isText = any(isinstance(cell, str) for cell in cells)
        texts = [name, *("-" if cell is None else printable(str(cell)) for cell in cells)]
        width = max(map(len, texts))
        columns.append([text.ljust(width) if isText else text.rjust(width) for text in texts])
    lines = (_GAP.join(line).rstrip() for line in zip(*columns, strict=True))
    return "".join(f"{line}\n" for line in lines)
