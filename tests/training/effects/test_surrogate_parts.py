"""Parts of the surrogate, of features that are moved by known actions."""

from __future__ import annotations

import numpy as np
import pytest

from training.effects.effect_blocks import centred_indicators
from training.effects.surrogate_parts import MAX_CHANGE, SurrogatePart, surrogate_parts

WEIGHTS = np.array([-0.5, 0.2, 0.3, 1.0])


def drawn(n: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Draw one of two actions or none, evenly; the actions, and their centred indicators."""
    shown = np.random.default_rng(seed).integers(0, 3, n)
    return shown, centred_indicators(shown, np.full((n, 3), 1 / 3))


def moved(n: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Move four features: by both actions, by the first one, by none, and by the second one."""
    shown, centred = drawn(n, seed)
    noise = np.random.default_rng(seed + 1).normal(size=(n, 4))
    by_first, by_second = (shown == 0).astype(float), (shown == 1).astype(float)
    noise[:, 0] += 0.5 * by_first - 0.3 * by_second
    noise[:, 1] += 0.4 * by_first
    noise[:, 3] += 0.4 * by_second
    return noise, centred


def test_each_part_has_the_features_that_its_actions_move():
    parts = surrogate_parts(*moved(6000), WEIGHTS)
    assert [part.actions.tolist() for part in parts] == [[0, 1], [0], [1]]
    expected = [[-0.5, 0, 0, 0], [0, 0.2, 0, 0], [0, 0, 0, 1.0]]
    assert [part.weights.tolist() for part in parts] == expected


def test_where_each_feature_is_moved_by_one_action_no_part_is_shared():
    noise, centred = moved(6000)
    parts = surrogate_parts(noise[:, 1:], centred, WEIGHTS[1:])
    assert [part.actions.tolist() for part in parts] == [[0], [1]]


def test_what_no_action_moves_is_left_out_in_nearly_all_samples():
    found = 0
    for seed in range(40):
        _, centred = drawn(800, 100 + seed)
        noise = np.random.default_rng(seed).normal(size=(800, 4))
        found += bool(surrogate_parts(noise, centred, WEIGHTS))
    assert found <= 6  # 5 % of 40 are 2; more than 6 come in 0.4 % of all runs


def test_as_long_as_nothing_is_found_no_action_changes_leaving():
    assert surrogate_parts(*moved(12), WEIGHTS) == []


def test_the_deviations_allow_for_noise_that_depends_on_the_action():
    # A rare action makes a feature wild, but does not move it: plain deviations would be too small.
    rng, found = np.random.default_rng(5), 0
    for _ in range(40):
        shown = (rng.uniform(size=1000) > 0.03).astype(int)
        centred = centred_indicators(shown, np.tile([0.03, 0.97], (1000, 1)))
        noise = rng.normal(size=(1000, 1)) * np.where(shown == 0, 6.0, 1.0)[:, None]
        two = np.hstack([noise, rng.normal(size=(1000, 1))])
        found += bool(surrogate_parts(two, centred, np.array([1.0, 2.0])))
    assert found <= 6  # by plain deviations some 20


def test_one_action_has_one_part():
    noise, centred = moved(6000)
    (part,) = surrogate_parts(noise, centred[:, :1], WEIGHTS)
    assert part.actions.tolist() == [0]
    assert part.weights[1] == 0.2 and part.weights[2] == 0.0


def test_of_many_actions_none_has_a_part_of_its_own():
    shown = np.random.default_rng(1).integers(0, 31, 9000)
    centred = centred_indicators(shown, np.full((9000, 31), 1 / 31))
    noise = np.random.default_rng(2).normal(size=(9000, 2))
    noise[:, 0] += 3.0 * (shown == 7)
    (part,) = surrogate_parts(noise, centred, np.array([0.5, 0.6]))
    assert len(part.actions) == 30
    assert part.weights.tolist() == [0.5, 0.0]


def test_a_change_is_the_weighted_sum_within_bounds():
    part = SurrogatePart(np.array([0]), np.array([0.5, -1.0]))
    change = part.change(np.array([[1.0, 0.2], [9.0, 0.0], [0.0, 9.0]]))
    assert change == pytest.approx([0.3, MAX_CHANGE, -MAX_CHANGE])
