"""Off-policy estimates: formulas against plain loops, and seeded worlds whose truth is known."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.bench.off_policy import evaluate_world
from tests.conftest import published
from training.evaluation.log import Log
from training.evaluation.off_policy import compare, evaluate
from training.evaluation.reward_regression import cross_fitted

METHODS = ("direct", "ips", "snips", "doubly_robust", "switch")


def logged(seed=1, n=2000, actions=3, customers=None):
    """Contexts, a log of an exploring policy, and probabilities of another one."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    chance = 1 / (1 + np.exp(1 - x @ rng.normal(size=(2, actions))))
    uniform = np.full((n, actions), 1 / actions)
    action = rng.integers(actions, size=n)
    reward = (rng.random(n) < chance[np.arange(n), action]).astype(float)
    subject = None if customers is None else np.array([f"c{i % customers}" for i in range(n)])
    target = 0.9 * np.eye(actions)[chance.argmax(axis=1)] + 0.1 * uniform
    log = Log(reward, action, uniform[:, 0].copy(), subject)
    return x, log, target, float((target * chance).sum(axis=1).mean())


def by_loops(log, target, expected):
    """The five textbook sums, one decision at a time."""
    n, sums = len(log.reward), Counter()
    for i in range(n):
        r, a = float(log.reward[i]), int(log.action[i])
        w = float(target[i][a]) / float(log.logged_probability[i])
        m = sum(float(p) * float(q) for p, q in zip(target[i], expected[i], strict=True))
        sums.update({"m": m, "wr": w * r, "w": w, "dr": m + w * (r - float(expected[i][a]))})
    return {
        "direct": sums["m"] / n,
        "ips": sums["wr"] / n,
        "snips": sums["wr"] / sums["w"],
        "doubly_robust": sums["dr"] / n,
    }


def thompson_and_random():
    """The Open Bandit sample: clicks logged by a random policy, and how often Thompson's chose."""
    frames = [pd.read_csv(published(f"obd_small/{name}_all.csv.gz")) for name in ("random", "bts")]
    random, thompson = frames
    shown = thompson.groupby(["position", "item_id"]).size().unstack(fill_value=0)
    shares = shown.reindex(columns=range(80), fill_value=0).to_numpy() + 1.0
    shares /= shares.sum(axis=1, keepdims=True)
    target = shares[random["position"].to_numpy() - 1]
    log = Log(
        random["click"].to_numpy(float),
        random["item_id"].to_numpy(np.int64),
        random["propensity_score"].to_numpy(float),
        random["user_feature_0"].to_numpy(str) + random.index.astype(str).to_numpy(str),
    )
    users = pd.get_dummies(random["user_feature_1"])
    contexts = pd.concat([random["position"], users], axis=1).to_numpy(float)
    return log, target, contexts


def test_the_formulas_agree_with_plain_loops_on_the_open_bandit_sample():
    log, target, contexts = thompson_and_random()
    expected = cross_fitted(contexts, log, 80)
    found = evaluate(log, target, expected)
    for method, value in by_loops(log, target, expected).items():
        assert found[method].value == pytest.approx(value, abs=1e-9, rel=1e-9)
        assert found[method].low < value < found[method].high


def test_the_random_policy_of_the_open_bandit_sample_earns_what_it_earned():
    log, target, _ = thompson_and_random()
    uniform = np.full_like(target, 1 / 80)
    assert evaluate(log, uniform)["ips"].value == pytest.approx(log.reward.mean(), abs=1e-12)


def test_the_formulas_agree_with_plain_loops():
    x, log, target, _ = logged(customers=700)
    expected = cross_fitted(x, log, 3)
    found = evaluate(log, target, expected)
    for method, value in by_loops(log, target, expected).items():
        assert found[method].value == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("interval", ["skewness", "bootstrap", "bernstein"])
def test_the_truth_lies_within_four_standard_errors_and_in_a_wide_interval(interval):
    x, log, target, truth = logged(n=5000)
    found = evaluate(log, target, cross_fitted(x, log, 3), interval=interval, level=0.999)
    assert tuple(sorted(found)) == tuple(sorted(METHODS))
    for answer in found.values():
        assert answer.low < truth < answer.high
        tolerance = 4 * 0.5 / np.sqrt(answer.effective_decisions)
        assert answer.value == pytest.approx(truth, abs=tolerance)
        assert tolerance < 0.05


def test_intervals_hold_the_truth_as_often_as_they_say():
    """A small version of `make bench-off-policy`; bounds are those of a fair binomial."""
    worlds, hits = 60, Counter()
    for seed in range(worlds):
        for method, interval, _, result in evaluate_world(seed, ("skewness",), kinds=("ridge",)):
            hits[method, interval] += result is not None and result.covered
    least = stats.binom.ppf(0.001, worlds, 0.95)
    assert {method for method, _ in hits} == set(METHODS) and len(hits) == 15
    assert {which: n for which, n in hits.items() if n < least} == {}


def test_an_interval_of_customers_does_not_take_copies_for_news():
    """Each decision ten times over, of the same customers, tells nothing more."""
    x, log, target, _ = logged(n=300, customers=300)
    columns = log.reward, log.action, log.logged_probability, log.subject
    often = Log(*(np.repeat(column, 10) for column in columns))
    once = evaluate(log, target, cross_fitted(x, log, 3))
    found = evaluate(
        often, np.repeat(target, 10, axis=0), np.repeat(cross_fitted(x, log, 3), 10, 0)
    )
    for method in METHODS:
        assert found[method].customers == 300
        pair = [(each[method].value, each[method].low, each[method].high) for each in (once, found)]
        assert pair[0] == pytest.approx(pair[1])


def test_the_logged_policy_judged_by_its_own_probabilities_earned_what_it_earned():
    _, log, target, _ = logged()
    itself = np.full_like(target, 1 / 3)
    found = evaluate(log, itself)
    assert found["ips"].value == pytest.approx(log.reward.mean())
    assert found["snips"].value == pytest.approx(log.reward.mean())
    assert found["ips"].effective_decisions == pytest.approx(len(log.reward))
    same = compare(log, itself)["ips"]
    assert (same.value, same.low, same.high) == pytest.approx((0, 0, 0), abs=1e-12)


@pytest.mark.parametrize("interval", ["skewness", "bootstrap"])
def test_a_comparison_is_paired(interval):
    """A reward of 10 under any action widens the interval of a value, not of a difference."""
    x, log, target, _ = logged(n=2000)
    rng = np.random.default_rng(3)
    anyway = 10.0 * rng.integers(0, 2, size=len(x))
    richer = Log(log.reward + anyway, log.action, log.logged_probability)
    expected = cross_fitted(np.column_stack([x, anyway]), richer, 3)
    uniform = np.full_like(target, 1 / 3)
    more = compare(richer, target, uniform, expected, interval=interval)["doubly_robust"]
    alone = evaluate(richer, target, expected)["doubly_robust"]
    assert more.high - more.low < (alone.high - alone.low) / 3
    assert more.low > 0  # the target is greedy
    own = compare(richer, target, None, expected, interval=interval)["doubly_robust"]
    assert own.value == pytest.approx(alone.value - richer.reward.mean())


def test_bernsteins_bound_of_a_difference_holds_both_values():
    x, log, target, _ = logged(n=2000)
    uniform = np.full_like(target, 1 / 3)
    both = [evaluate(log, each, interval="bernstein", level=0.975) for each in (target, uniform)]
    more = compare(log, target, uniform, interval="bernstein")
    for method, answer in more.items():
        assert answer.low == pytest.approx(both[0][method].low - both[1][method].high)
        assert answer.high == pytest.approx(both[0][method].high - both[1][method].low)


def test_a_comparison_of_a_policy_with_itself_is_nothing():
    x, log, target, _ = logged()
    for answer in compare(log, target, target, cross_fitted(x, log, 3)).values():
        assert (answer.value, answer.low, answer.high) == (0, 0, 0)


def test_where_only_the_action_taken_is_known_the_rewards_as_logged_are_compared():
    """Of half of the decisions; with both halves alike, by each method, as two logs by hand."""
    x, log, target, _ = logged(n=2000)
    uniform, first = np.full_like(target, 1 / 3), np.arange(2000) < 1000
    unknown = np.where(first[:, None], np.nan, uniform)  # may not be looked at
    expected = cross_fitted(x, log, 3)
    found = compare(log, target, unknown, expected, as_logged=first)
    logged_value = (log.reward[first].sum() + by_loops_of(log, uniform, expected, ~first)) / 2000
    target_value = by_loops(log, target, expected)["doubly_robust"]
    assert found["doubly_robust"].value == pytest.approx(target_value - logged_value)
    every = compare(log, target, unknown, expected, as_logged=np.ones(2000, dtype=bool))
    realised = compare(log, target, None, expected)
    for method, answer in every.items():
        assert answer.value == pytest.approx(realised[method].value), method
        assert answer.low == pytest.approx(realised[method].low), method
    none = compare(log, target, uniform, expected, as_logged=np.zeros(2000, dtype=bool))
    assert none == compare(log, target, uniform, expected)


def by_loops_of(log, target, expected, which):
    """The sum of the doubly robust terms of some decisions."""
    part = Log(log.reward[which], log.action[which], log.logged_probability[which])
    return by_loops(part, target[which], expected[which])["doubly_robust"] * which.sum()


def test_a_wrong_model_is_found_out_by_the_log():
    _, log, target, truth = logged(n=5000)
    found = evaluate(log, target, np.full(target.shape, 5.0))
    assert found["direct"].value == pytest.approx(5.0)
    assert found["direct"].low < truth < found["direct"].high < 1
    assert "contradicts" in found["direct"].note
    assert found["doubly_robust"].value == pytest.approx(truth, abs=0.3)
