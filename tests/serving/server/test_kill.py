"""Kill -9 while events come in: nothing that was acknowledged is lost, and nothing is half shown.

Two rounds here, one for each kind of kill; `make bench-kill` does 20.
"""

from __future__ import annotations

import pytest

from tests.bench.kill import rounds
from tests.conftest import Built, copied

pytestmark = pytest.mark.server


def test_after_kill_9_every_acknowledged_event_is_there_once_and_shown(first_day: Built, tmp_path):
    home, env = copied(first_day, tmp_path)
    done = list(rounds(home, env, 2, seed=20261122))
    assert [one.mistakes for one in done] == [[], []]
    assert all(one.acknowledged >= 100 for one in done)
    assert sum(one.unanswered for one in done) > 0, "nobody was cut off: that proves nothing"
    assert {one.killed for one in done} == {"workers", "everything"}
