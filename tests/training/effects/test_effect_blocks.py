"""Actions share effects in blocks; indicators are less their chances."""

from __future__ import annotations

import numpy as np
import pytest

from training.effects.effect_blocks import MAX_WIDTH, EffectBlocks, centred_indicators


def test_indicators_are_less_their_chances():
    found = centred_indicators(np.array([0, 2]), np.array([[0.5, 0.3, 0.2], [0.1, 0.0, 0.9]]))
    assert found == pytest.approx(np.array([[0.5, -0.3], [-0.1, 0.0]]))


def test_of_many_groups_the_largest_have_a_block():
    sizes = [2] * 400 + [100, 100]
    groups = [f"group {number}" for number, size in enumerate(sizes) for _ in range(size)]
    names = tuple(f"action {number}" for number in range(1000))
    blocks = EffectBlocks(names, dict(zip(names, groups, strict=True)), 30)
    assert blocks.total <= MAX_WIDTH + 1000
    assert blocks.shared[-1].sum() == blocks.shared[-101].sum() == 2  # of any, and of the group
    assert blocks.shared[799].sum() == 1
    assert [len(blocks.places(action)) for action in (999, 799)] == [2, 1]
    assert blocks.level(999) == blocks.total - 1
