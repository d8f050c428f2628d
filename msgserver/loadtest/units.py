"""
How figures are written.
"""

from __future__ import annotations


def seconds(value: float) -> str:
    """Write a duration with a unit and three digits."""
    for size, unit in ((1.0, "s"), (1e-3, "ms")):
        if value >= size:
            number = value / size
            digits = 0 if number >= 99.95 else 1 if number >= 9.995 else 2
            return f"{number:,.{digits}f} {unit}"
    return f"{value * 1e6:.0f} µs" if value else "0 s"


def percent(share: float, digits: int = 0) -> str:
    """Write a share in percent."""
    return f"{share * 100:.{digits}f} %"


def span(least: str, most: str) -> str:
    """Write a range, or the one value that it is."""
    return least if least == most else f"{least} to {most}"
