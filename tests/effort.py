"""Counts what a piece of work does, where a clock would depend on the machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

# What a text may cost before it is refused. The most costly one of the tests makes 170,000 calls,
# in less than 50 ms (`tests.fuzz_bombs` measures it).
MOST_CALLS = 300_000


def calls_of(work: Callable[[], object]) -> int:
    """The number of calls of functions, in Python and in C, that ``work`` makes."""
    count = 0

    def note(_: FrameType, event: str, __: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count
