"""Tests the ridge regression of one model per action."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from training.models.ridge import ridge_by_action


def sample(n=300):
    rng = np.random.default_rng(1)
    x = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])
    action = rng.integers(3, size=n)
    return x, action, x @ [1.0, 2.0, -1.0] + action * x[:, 1] + rng.normal(size=n)


def test_each_action_is_a_ridge_on_the_residuals_of_a_ridge_on_all_rows():
    x, action, y = sample()
    found = ridge_by_action(x, action, y, 3, np.full(3, 5.0), np.full(3, 2.0))
    shared = Ridge(2.0, fit_intercept=False).fit(x, y).coef_
    for index in range(3):
        rows = action == index
        own = Ridge(5.0, fit_intercept=False).fit(x[rows], y[rows] - x[rows] @ shared).coef_
        assert found[index] == pytest.approx(shared + own)


def test_an_action_without_rows_has_the_shared_weights():
    x, action, y = sample()
    found = ridge_by_action(x, action, y, 4, np.full(3, 5.0))
    assert found[3] == pytest.approx(Ridge(5.0, fit_intercept=False).fit(x, y).coef_)


def test_a_large_penalty_keeps_all_actions_at_the_shared_weights():
    x, action, y = sample()
    found = ridge_by_action(x, action, y, 3, np.full(3, 1e12), np.full(3, 1.0))
    assert np.ptp(found, axis=0) == pytest.approx(0, abs=1e-6)
