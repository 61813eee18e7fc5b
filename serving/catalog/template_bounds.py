"""Bounds of the values that a wording computes while it is filled in."""

from __future__ import annotations

from typing import Any

MAX_FILLED = 10_000  # characters of a text, filled in, and of all parts of it
MAX_LISTED = 200  # values of a list, those of lists within it included
MAX_INTEGER = 10**15  # absolute value, so that a product stays small


class CostRefused(ValueError):
    """A step of a text that costs too much; says what is expected."""


def bounded(value: Any) -> Any:
    """Return the value, or refuse a text or a whole number that is too large."""
    if isinstance(value, str):
        if len(value) > MAX_FILLED:
            raise CostRefused(f"at most {MAX_FILLED:,} characters, filled in")
    elif isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise CostRefused(f"whole numbers up to {MAX_INTEGER:,}")
    return value


def bounded_list(values: Any) -> Any:
    """Return the list, or refuse one that stands for too many values or characters."""
    count, length, lists = 0, 0, [values]
    while lists:
        for value in lists.pop():
            count += 1
            if isinstance(value, str):
                length += len(value)
            elif isinstance(value, list | tuple):
                lists.append(value)
            if count > MAX_LISTED or length > MAX_FILLED:
                raise CostRefused(
                    f"at most {MAX_LISTED} values in a list, of {MAX_FILLED:,} characters"
                )
    return values
