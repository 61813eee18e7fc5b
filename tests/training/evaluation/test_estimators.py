"""Tests the threshold of the switch estimator, and its effect on the interval."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.estimators import switch_threshold
from training.evaluation.log import Log, weights
from training.evaluation.off_policy import evaluate


def noisy(seed=5, n=4000, rare=0.004, shift=0.0):
    """Action 1 is logged rarely and wanted often; rewards are noise, but for ``shift`` of action 1.

    The model expects 0 of both, which is right as long as nothing is shifted.
    """
    rng = np.random.default_rng(seed)
    action = (rng.random(n) < rare).astype(np.int64)
    reward = rng.normal(size=n) + shift * action
    log = Log(reward, action, np.where(action == 1, rare, 1 - rare))
    return log, np.tile([0.7, 0.3], (n, 1)), np.zeros((n, 2))


def test_the_model_replaces_huge_weights_if_it_was_right_elsewhere():
    found = evaluate(*noisy())
    switch, robust = found["switch"], found["doubly_robust"]
    assert "The reward model replaces weights" in switch.note
    assert switch.high - switch.low < (robust.high - robust.low) / 2
    assert switch.low < 0 < switch.high


def test_the_model_is_not_used_where_the_log_contradicts_it():
    found = evaluate(*noisy(shift=3.0))
    assert found["switch"].note == ""
    assert found["switch"].value == found["doubly_robust"].value
    assert found["switch"].low < 0.3 * 3.0 < found["switch"].high


def test_the_model_is_not_used_for_most_of_the_policys_weight():
    log, _, expected = noisy(rare=0.01)
    for wanted, replaced in ((0.4, True), (0.6, False)):
        target = np.tile([1 - wanted, wanted], (4000, 1))
        assert bool(evaluate(log, target, expected)["switch"].note) == replaced


def test_the_value_and_the_interval_follow_from_the_threshold():
    log, target, expected = noisy()
    weight = weights(log, target)
    tau, bias = switch_threshold(log.customer, weight, np.zeros(4000), log.reward)
    below = np.where(weight <= tau, weight * log.reward, 0.0)
    error = below.std(ddof=1) / np.sqrt(4000)
    found = evaluate(log, target, expected)["switch"]
    assert found.value == pytest.approx(below.mean())
    assert found.high - found.low == pytest.approx(2 * (1.96 * error + bias), rel=0.01)
    wrong = below.sum() / weight[weight <= tau].sum()
    assert bias > 0.25 * abs(wrong) > 0  # action 1 has about 0.3 of the choices


def test_equal_weights_leave_nothing_to_switch():
    rng = np.random.default_rng(1)
    log = Log(rng.normal(size=500), rng.integers(2, size=500), np.full(500, 0.5))
    found = evaluate(log, np.full((500, 2), 0.5), np.zeros((500, 2)))
    assert found["switch"].value == found["doubly_robust"].value
