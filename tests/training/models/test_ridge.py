"""Tests the ridge regression of one model per action, and of one from its sums."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.linear_model import Ridge

from training.models.ridge import (
    covariance_of,
    log_evidence,
    posterior_variance,
    ridge_by_action,
    ridge_from_sums,
    ridge_of_others,
)


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


def test_a_ridge_from_sums_is_that_of_the_rows_about_its_start():
    x, _, y = sample()
    start, penalty = np.array([1.0, -2.0, 0.5]), np.array([3.0, 9.0, 9.0])
    sums = np.tril(x.T @ x)  # the upper triangle is not read
    found = ridge_from_sums(sums, x.T @ y, penalty, start)
    rows = np.vstack([x, np.diag(np.sqrt(penalty))])
    brute = np.linalg.lstsq(rows, np.append(y, np.sqrt(penalty) * start), rcond=None)[0]
    assert found.weights == pytest.approx(brute, abs=1e-10)
    assert sums.tolist() == np.tril(x.T @ x).tolist()


def test_sums_of_more_retracted_than_learned_leave_start_and_prior():
    start, prior = np.array([1.0, -2.0]), np.diag([3.0, 9.0])
    found = ridge_from_sums(-10 * np.eye(2), np.ones(2), prior.diagonal(), start)
    assert found.weights.tolist() == start.tolist()
    assert covariance_of(prior - 10 * np.eye(2), prior) == pytest.approx(np.diag([1 / 3, 1 / 9]))


def test_the_evidence_is_the_density_of_the_values_at_the_likeliest_noise():
    """They are normal with covariance s2 (I + X D^-1 X'); differences are free of constants."""
    x, _, y = sample(40)
    start, differ, by_hand = np.array([1.0, -2.0, 0.5]), [], []
    for penalty in (np.array([3.0, 9.0, 9.0]), np.full(3, 400.0)):
        fit = ridge_from_sums(x.T @ x, x.T @ y, penalty, start)
        left = float(y @ y) - fit.explained
        differ.append(float(log_evidence(np.array(left), np.array(fit.log_determinant), 40)))
        shape = np.eye(40) + x @ np.diag(1 / penalty) @ x.T
        noise = (y - x @ start) @ np.linalg.solve(shape, y - x @ start) / 40
        by_hand.append(multivariate_normal(x @ start, noise * shape).logpdf(y))
    assert differ[0] - differ[1] == pytest.approx(by_hand[0] - by_hand[1])
    assert differ[0] > differ[1] + 10  # the weights are 2 and -1: not near the start


def test_a_covariance_is_the_inverse_of_a_precision():
    x, _, _ = sample()
    precision = x.T @ x + np.eye(3)
    assert covariance_of(precision, np.eye(3)) == pytest.approx(np.linalg.inv(precision))


def test_the_rows_of_all_other_members_are_those_of_a_ridge_without_ones_own():
    x, action, y = sample()
    sums = {
        n: (x[action == n].T @ x[action == n], x[action == n].T @ y[action == n]) for n in (0, 1)
    }
    found = ridge_of_others(sums, [0, 1, 2], np.full(3, 5.0))
    for member, rows in ((0, action == 1), (1, action == 0), (2, action < 2)):
        expected = Ridge(5.0, fit_intercept=False).fit(x[rows], y[rows]).coef_
        assert found[member] == pytest.approx(expected)
    assert set(ridge_of_others({0: sums[0]}, [0, 1], np.full(3, 5.0))) == {1}


def test_a_posterior_variance_is_divided_by_the_effective_number_of_parameters():
    along, constant = np.array([30.0, 10.0]), np.array([1.0, 0.0])
    variance, covariance = posterior_variance(np.diag(along), along, 10.0, 30.0, constant)
    # Half of the constant's weight is learned, and half of the other: one parameter in all.
    fitted = 1 + ((30 / 60 + 10 / 20) / 2) ** 2
    assert variance == pytest.approx([1 / 60 / fitted, 1 / 20 / fitted])
    assert covariance == pytest.approx(np.diag(variance))
