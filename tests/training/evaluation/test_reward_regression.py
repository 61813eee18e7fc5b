"""No decision is foreseen by a model that saw its customer, and models find what there is."""

from __future__ import annotations

import numpy as np
import pytest

from features.errors import InvalidLog
from training.evaluation.log import Log
from training.evaluation.reward_regression import FOLDS, cross_fitted, folds_of


def linear(n=3000, seed=1, noise=0.3, customers=None):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    truth = x @ rng.normal(size=(3, 4)) + rng.normal(size=4)
    action = rng.integers(4, size=n)
    reward = truth[np.arange(n), action] + noise * rng.normal(size=n)
    subject = None if customers is None else np.array([f"c{i % customers}" for i in range(n)])
    return x, Log(reward, action, np.full(n, 0.25), subject), truth


def test_all_decisions_of_a_customer_are_in_one_fold_and_folds_are_alike():
    _, log, _ = linear(customers=1000)
    fold = folds_of(log, seed=3)
    by_customer = {}
    for customer, mine in zip(log.subject, fold, strict=True):
        assert by_customer.setdefault(customer, mine) == mine
    sizes = np.bincount(list(by_customer.values()), minlength=FOLDS)
    assert sizes == pytest.approx(200, abs=4 * np.sqrt(1000 * 0.2 * 0.8))
    assert (folds_of(log, seed=4) != fold).any()


@pytest.mark.parametrize("kind", ["ridge", "trees"])
def test_a_customers_own_rewards_do_not_move_what_is_foreseen_of_them(kind):
    x, log, _ = linear(n=600, customers=200)
    reward = log.reward.copy()
    mine = log.subject == "c7"
    reward[mine] += 1000.0
    changed = Log(reward, log.action, log.logged_probability, log.subject)
    before, after = (cross_fitted(x, each, 4, kind=kind) for each in (log, changed))
    assert (before[mine] == after[mine]).all()
    assert (before[~mine] != after[~mine]).any()


@pytest.mark.parametrize(("kind", "share"), [("ridge", 0.01), ("trees", 0.4)])
def test_a_model_explains_what_there_is(kind, share):
    x, log, truth = linear()
    off = cross_fitted(x, log, 4, kind=kind) - truth
    assert off.var() < share * truth.var()


@pytest.mark.parametrize("kind", ["ridge", "trees"])
def test_it_is_repeatable_and_copes_with_what_is_unknown_or_the_same_for_all(kind):
    x, log, _ = linear(n=500)
    x[::7, 0] = np.nan
    x[:, 1], x[:, 2] = np.nan, 5.0
    first, again = (cross_fitted(x, log, 5, kind=kind, seed=2) for _ in range(2))
    assert (first == again).all() and np.isfinite(first).all()
    assert first.shape == (500, 5)  # the fifth action was never taken


@pytest.mark.parametrize(("rows", "folds"), [(10, 1), (9, 5)])
def test_too_few_folds_or_contexts_are_refused(rows, folds):
    _, log, _ = linear(n=10)
    with pytest.raises(InvalidLog, match="There are .* contexts, and customers in"):
        cross_fitted(np.zeros((rows, 3)), log, 4, folds=folds)


def test_a_log_of_one_customer_is_refused():
    x, log, _ = linear(n=10, customers=1)
    with pytest.raises(InvalidLog, match="customers in 1 of 5 folds"):
        cross_fitted(x, log, 4)
