"""A learner that is killed, and killed again, ends where one that was left alone does.

Two kills here; `python -m tests.bench.learner_kill --kills 20` does many, with silence among them.
"""

from __future__ import annotations

import pytest

from tests.bench.learner_kill import killed

pytestmark = pytest.mark.server


def test_after_kill_9_everything_is_counted_once(tmp_path):
    ended = killed(tmp_path, kills=2, seed=20261127, silence=False)
    assert ended.mistakes == []
    assert ended.in_the_middle > 0, "nothing was waiting at any kill: that proves nothing"
    assert ended.credits > 50
