"""How long work says how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]  # what, done, of how many


def quiet(what: str, done: int, of: int) -> None:
    """A `Progress` that says nothing."""
