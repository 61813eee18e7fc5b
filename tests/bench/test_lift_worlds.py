"""The truths of the benchmark's worlds are the means of what is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from features.business.catalog_rules import Arms
from tests.bench.lift import MAIN, world_of_nothing, world_with_kinds
from tests.bench.lift_worlds import KINDS, draw, true_means

FIFTH = Arms(random=0.2, nobody=0.2)


def test_truths_are_the_means_of_many_customers():
    world = draw(KINDS, 30_000, FIFTH, seed=1)
    rows = world.values.days
    left = np.bincount(rows.customer, rows.left, len(world.arm))
    for truth, drawn in zip(true_means(KINDS), (world.values.values(), left), strict=True):
        for code in range(3):
            some = drawn[world.arm == code]
            error = some.std() / np.sqrt(len(some))
            assert some.mean() == pytest.approx(truth[code], abs=4.5 * error)


def test_a_world_is_told_with_its_sign_and_credited_rewards_say_the_opposite():
    found = world_with_kinds(seed=1)
    assert found[MAIN, "sign"] == found[MAIN, "told"] == found[MAIN, "credited says more"] == 1
    assert found[MAIN, "told wrongly"] == 0


def test_a_world_in_which_nothing_works_is_looked_at_each_day():
    found = world_of_nothing(1, 1_000, FIFTH)
    assert 10 < found[MAIN, "looks"] <= 60
