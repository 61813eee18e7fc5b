"""Compares measured figures with the figures that are asked for, and prints them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

out = Console(width=120)


class Figure(NamedTuple):
    """A measured figure beside the one that is asked for.

    Attributes
    ----------
    asked : empty for a figure that is only reported
    speed : whether the figure depends on the speed of the machine
    """

    subject: str
    measured: str
    asked: str = ""
    holds: bool = True
    speed: bool = False


def none_of(subject: str, count: int, of: int, more: str = "") -> Figure:
    """Compare a count of violations with none; ``of`` is the number of checks, at least one."""
    measured = f"{count:,} of {of:,}" + (f"; {more}" if more else "")
    return Figure(subject, measured, "0", count == 0 < of)


def most_of(subject: str, count: int, of: int) -> Figure:
    """Compare a share with 90 %: it shows that a check can fail, where exploration decides too."""
    return Figure(subject, f"{count:,} of {of:,}", "at least 90 %", count >= 0.9 * of > 0)


def at_most(subject: str, value: float, limit: float, unit: str, of: int = 1) -> Figure:
    """Compare a figure with its upper limit; ``of`` is the number of measurements."""
    named = subject if of == 1 else f"{subject} ({of:,} measured)"
    asked = f"at most {shown(limit, unit)}"
    return Figure(named, shown(value, unit), asked, value <= limit, speed=True)


def at_least(subject: str, value: float, limit: float, unit: str) -> Figure:
    """Compare a figure with its lower limit."""
    return Figure(
        subject, shown(value, unit), f"at least {shown(limit, unit)}", value >= limit, True
    )


def told(subject: str, value: float, unit: str) -> Figure:
    """Report a figure for which nothing is asked."""
    return Figure(subject, shown(value, unit))


def shown(value: float, unit: str) -> str:
    """Write a number with three significant digits and its unit."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f} {unit}".strip()


def print_figures(title: str, figures: Sequence[Figure]) -> None:
    """Print a table of figures."""
    table = Table("", "measured", "asked", "", title=title, title_justify="left")
    for one in figures:
        verdict = "" if not one.asked else "holds" if one.holds else "SHORT"
        table.add_row(one.subject, one.measured, one.asked or "-", verdict)
    out.print(table)
