"""The fast mode of the suite, `make test-fast`: no server, no database process, no notebook, no
command `nba` in a process, and no test that is marked slow.

`left_out` recognises the other tests by their markers, fixtures and parameters. A test that it does
not recognise fails where it starts a process, with a sentence that says which marker it needs.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

MARKERS = ("server", "process", "slow")
# The fixtures of `tests/conftest.py` that start a process.
FIXTURES = {"grocer", "first_day", "first_day_server", "shop", "postgres", "postgres_url"}
# A line that marks all tests of a file, which is then not even imported.
MARKED = re.compile(rf"^pytestmark = pytest\.mark\.({'|'.join(MARKERS)})\b", re.MULTILINE)
_on = False


class StartedInFastMode(Exception):
    """A test that `make test-fast` runs has started a process."""


def switch_on() -> None:
    """From now on no test may start a process."""
    global _on
    _on = True


def refuse_in_fast_mode(what: str) -> None:
    """Raise `StartedInFastMode` in the fast mode; do nothing elsewhere."""
    if _on:
        raise StartedInFastMode(
            f"The test starts {what}. Expected no process in the fast mode. "
            "Mark the test with @pytest.mark.server or @pytest.mark.process."
        )


def left_out(item: pytest.Item) -> bool:
    """Tell whether the fast mode leaves a test out."""
    if any(item.get_closest_marker(name) for name in MARKERS):
        return True
    if FIXTURES & set(getattr(item, "fixturenames", ())):
        return True
    callspec = getattr(item, "callspec", None)
    parameters = [] if callspec is None else callspec.params.values()
    return any(isinstance(one, str) and one == "postgresql" for one in parameters)


def all_left_out(path: Path) -> bool:
    """Tell whether the fast mode leaves out all tests of a file, because the file says so."""
    return path.name.startswith("test_") and bool(MARKED.search(path.read_text(encoding="utf-8")))
