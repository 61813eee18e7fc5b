"""Tests that the calibration finds the slope and bias of a known distribution."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from training.models.calibration import Scaling, fit_scaling


def test_fit_scaling_recovers_the_slope_and_bias_of_a_world_we_know():
    rng = np.random.default_rng(21)
    n, slope, bias = 40_000, 0.5, 0.7
    z = rng.normal(scale=2.0, size=n)
    chance = 1 / (1 + np.exp(-(slope * z + bias)))
    y = (rng.random(n) < chance).astype(np.int64)
    found = fit_scaling(np.column_stack([np.zeros(n), z]), y)
    # Standard errors from the Fisher information of this logistic regression.
    design = np.column_stack([z, np.ones(n)])
    information = (design * (chance * (1 - chance))[:, None]).T @ design
    error = np.sqrt(np.diag(np.linalg.inv(information)))
    shrunk = 0.01  # SHRINK pulls both a little towards 1 and 0
    assert found.bias[0] == 0.0
    assert abs(found.slope - slope) < 4 * error[0] + shrunk
    assert abs(found.bias[1] - bias) < 4 * error[1] + shrunk


def test_fit_scaling_recovers_one_bias_for_each_class():
    rng = np.random.default_rng(22)
    n, bias = 40_000, np.array([0.0, 0.8, -0.4])
    logits = rng.normal(size=(n, 3))
    chance = softmax(1.5 * logits + bias, axis=1)
    y = (chance.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    found = fit_scaling(logits, y)
    # 4 standard errors; each class has at least 15 % of the rows, so its log odds are known to
    # 1 / sqrt(0.15 x 0.85 x n) or better, and 0.01 is for SHRINK.
    tolerance = 4 / np.sqrt(0.15 * 0.85 * n) + 0.01
    assert np.bincount(y).min() > 0.15 * n
    assert found.bias == pytest.approx(bias, abs=tolerance)
    assert found.slope == pytest.approx(1.5, abs=tolerance)


def test_logits_that_are_right_already_are_left_alone():
    rng = np.random.default_rng(23)
    n = 40_000
    logits = np.column_stack([np.zeros(n), rng.normal(scale=2.0, size=n)])
    y = (rng.random(n) < softmax(logits, axis=1)[:, 1]).astype(np.int64)
    found = fit_scaling(logits, y)
    assert found.slope == pytest.approx(1.0, abs=0.05)  # the Fisher error is 0.01
    assert found.bias == pytest.approx([0.0, 0.0], abs=0.06)  # and 0.013


def test_scaling_is_a_softmax_of_slope_and_bias():
    p = Scaling(2.0, (0.0, np.log(3.0))).apply(np.array([[0.0, 0.0], [0.0, -np.log(3.0)]]))
    assert p.tolist() == [pytest.approx([0.25, 0.75]), pytest.approx([0.75, 0.25])]


@pytest.mark.parametrize("n_classes", [2, 5, 9])  # numpy adds eight numbers in another order
def test_one_row_gets_the_same_probabilities_to_the_last_digit(n_classes):
    rng = np.random.default_rng(24)
    scaling = Scaling(1.7, (0.0, *rng.normal(size=n_classes - 1).tolist()))
    logits = rng.normal(scale=5.0, size=(500, n_classes))
    rows = [scaling.apply_to_row(row) for row in logits.tolist()]
    assert rows == scaling.apply(logits).tolist()


# Splits ----------------------------------------------------------------------------------------
