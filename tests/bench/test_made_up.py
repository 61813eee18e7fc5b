from __future__ import annotations

import numpy as np
import pytest

from tests.bench.made_up import RARE_ROWS, SETS, classes, rare_group, scaled
from training.params import load_params


@pytest.mark.parametrize("name", SETS)
def test_a_set_of_classes_has_the_asked_shape_and_every_class(name):
    what = SETS[name]
    made = classes(what, shuffle=0)
    assert made.contexts.shape == (what.rows, what.columns)
    assert made.uniforms.shape == made.rare.shape == (what.rows,)
    assert set(made.right.tolist()) == set(range(what.actions))
    assert not made.rare.any()
    assert made.uniforms.min() >= 0 and made.uniforms.max() < 1


def test_a_shuffle_changes_the_order_and_the_uniforms_but_not_the_rows():
    one, other = (classes(SETS["clear, 3 actions"], shuffle) for shuffle in (0, 1))
    assert not np.array_equal(one.contexts, other.contexts)
    assert not np.array_equal(one.uniforms, other.uniforms)
    first, second = (sorted(made.contexts.sum(axis=1).tolist()) for made in (one, other))
    assert first == pytest.approx(second)


def test_the_rare_group_is_one_row_in_a_hundred_and_has_another_class_than_its_neighbours():
    made = rare_group(shuffle=3)
    assert made.contexts.shape == (RARE_ROWS, 6)
    assert 0.005 < made.rare.mean() < 0.015
    assert set(made.right[made.rare].tolist()) == {1}
    assert set(made.right[~made.rare].tolist()) == {0, 1, 2}
    # Along the first column, class 1 of the other rows lies at the other end.
    column = made.contexts[:, 0]
    others = ~made.rare & (made.right == 1)
    assert column[others].max() < 0 < column[made.rare].min()


def test_the_same_shuffle_is_the_same_set():
    one, other = rare_group(5), rare_group(5)
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


def test_scaled_settings_have_another_exploration_scale_and_nothing_else():
    served, doubled = load_params().bandit, scaled(2.0)
    for one, other in zip(served.linear_experts, doubled.linear_experts, strict=True):
        assert other.exploration_scale == 2 * one.exploration_scale
        assert other.model_copy(update={"exploration_scale": one.exploration_scale}) == one
    assert doubled.model_copy(update={"linear_experts": served.linear_experts}) == served
