"""Tests the decay: old outcomes count less, in any order, and can be retracted."""

from __future__ import annotations

import numpy as np
import pytest

from features.errors import InvalidSetting
from training.bandit.decay import MAX_HALF_LIVES, Decay


def test_an_outcome_counts_half_after_one_half_life():
    decay = Decay(half_life=10.0, epoch=100.0)
    assert (decay.weights(100.0) * decay.shrink(110.0)) == pytest.approx(0.5)
    assert (decay.weights(np.array([110.0, 90.0])) * decay.shrink(110.0)) == pytest.approx(
        [1.0, 0.25]
    )


def test_without_a_half_life_nothing_decays():
    assert Decay().weights(np.array([1.0, 1e9])).tolist() == [1.0, 1.0]
    assert Decay().shrink(1e9) == 1.0
    assert Decay().moved(1e9) == (Decay(), 1.0)


def test_moving_the_epoch_changes_no_weight_as_of_now():
    old, newest = Decay(half_life=2.0), 2.0 * (MAX_HALF_LIVES + 5) + 0.7
    new, scale = old.moved(newest)
    assert new.epoch == 2.0 * (MAX_HALF_LIVES + 5)
    for at in (0.0, 3.3, newest):
        before = old.weights(at) * old.shrink(newest)
        assert new.weights(at) * new.shrink(newest) == pytest.approx(before)
    assert old.weights(4.0) * scale == new.weights(4.0)  # to the bit: only the exponent changes
    assert float(new.weights(newest)) < 2.0


@pytest.mark.parametrize("half_life", [0.0, -1.0, float("nan"), float("inf")])
def test_a_half_life_we_cannot_use_is_named_in_the_error(half_life):
    with pytest.raises(InvalidSetting, match=f"half_life is {half_life!r}. Expected a finite"):
        Decay(half_life)
