"""The callback by which long work reports its progress."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]  # step, done, total


def quiet(step: str, done: int, total: int) -> None:
    """Report nothing; a `Progress` for callers that show none."""
