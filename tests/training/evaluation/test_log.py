"""Logs that cannot support an evaluation are refused, and answered with a reason and no number."""

from __future__ import annotations

import numpy as np
import pytest

from features.errors import InvalidLog, InvalidSetting
from training.evaluation.log import (
    MIN_EFFECTIVE_CUSTOMERS,
    Log,
    NoSupport,
    effective_decisions,
    weights,
)
from training.evaluation.off_policy import Estimate, compare, evaluate

NAN = float("nan")


def log(n=1000, actions=2, seed=1, **changed):
    rng = np.random.default_rng(seed)
    columns = {
        "reward": rng.random(n),
        "action": rng.integers(actions, size=n),
        "logged_probability": np.full(n, 1 / actions),
    }
    return Log(**{**columns, **changed})


def always(action, n=1000, actions=2):
    return np.tile(np.eye(actions)[action], (n, 1))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"reward": np.full(1000, NAN)}, "1000 of 1000 decisions have a reward that is not a fin"),
        ({"logged_probability": np.zeros(1000)}, "a logged probability outside .0, 1."),
        ({"logged_probability": np.full(1000, NAN)}, "a logged probability outside .0, 1."),
        ({"logged_probability": np.full(1000, 1.5)}, "a logged probability outside .0, 1."),
        ({"action": np.full(1000, -1)}, "a negative action; the first is number 0"),
        ({"action": np.zeros(3, np.int64)}, r"action has shape \(3,\)"),
        ({"subject": np.array(["a"])}, r"subject has shape \(1,\)"),
        ({"allowed": np.zeros((1000, 2), bool)}, "does not fit the actions taken"),
        ({"allowed": np.ones((1000, 1), bool)}, "does not fit the actions taken"),
    ],
)
def test_what_is_wrong_with_a_log_is_named(changed, message):
    with pytest.raises(InvalidLog, match=message):
        log(**changed)


def test_a_log_of_nothing_is_refused():
    with pytest.raises(InvalidLog, match="at least one decision"):
        Log(np.empty(0), np.empty(0, np.int64), np.empty(0))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            np.full((1000, 2), 0.4),
            "1000 of 1000 decisions have probabilities of the evaluated policy",
        ),
        (np.tile([1.5, -0.5], (1000, 1)), "that are no distribution"),
        (np.full((1000, 2), NAN), "that are no distribution"),
        (np.ones((1000, 1)), r"have shape \(1000, 1\)"),
        (np.full((10, 2), 0.5), r"have shape \(10, 2\)"),
    ],
)
def test_what_is_wrong_with_a_policy_is_named(target, message):
    with pytest.raises(InvalidLog, match=message):
        weights(log(), target)


@pytest.mark.parametrize("expected", [np.zeros((1000, 3)), np.full((1000, 2), NAN)])
def test_expectations_must_fit_the_policy(expected):
    with pytest.raises(InvalidLog, match="Expected rewards have shape"):
        evaluate(log(), always(0), expected)


@pytest.mark.parametrize("level", [0.0, 1.0, 95, NAN])
def test_a_level_we_cannot_use_is_named(level):
    for report_evaluation in (evaluate, compare):
        with pytest.raises(InvalidSetting, match="level is"):
            report_evaluation(log(), always(0), level=level)


def test_effective_decisions_are_kishs():
    assert effective_decisions(np.array([1.0, 1.0, 1.0])) == pytest.approx(3)
    assert effective_decisions(np.array([3.0, 1.0, 0.0])) == pytest.approx(16 / 10)
    assert effective_decisions(np.zeros(3)) == 0


def reason(found):
    [answer] = set(found.values())
    assert isinstance(answer, NoSupport)
    return answer.reason


def test_a_policy_of_actions_that_were_never_taken_has_no_value():
    target = np.tile([0.5, 0.2, 0.3], (1000, 1))
    assert "30.0% of its choices fall on actions" in reason(evaluate(log(), target))
    assert "30.0% of its choices fall on actions" in reason(compare(log(), target))


def test_what_the_log_could_not_take_counts_even_where_others_had_it():
    allowed = np.ones((1000, 2), bool)
    chosen = log()
    allowed[chosen.action == 0, 1] = False
    found = evaluate(log(allowed=allowed), always(1))
    assert "actions that the log could not take" in reason(found)
    assert found["ips"].covered == pytest.approx((chosen.action == 1).mean())


def test_a_hole_that_nobody_told_of_shows_in_the_weights():
    """Half of the customers were never offered action 1, but the log does not say so."""
    rng = np.random.default_rng(4)
    barred = rng.random(1000) < 0.5
    action = np.where(barred, 0, rng.integers(2, size=1000))
    found = evaluate(log(action=action, logged_probability=np.where(barred, 1.0, 0.5)), always(1))
    assert "it often takes what the log would not" in reason(found)


def test_logged_probabilities_that_are_not_those_of_the_log_are_found_out():
    found = evaluate(log(logged_probability=np.full(1000, 0.3)), np.full((1000, 2), 0.5))
    assert "lower than those with which the actions were taken" in reason(found)


def test_a_log_of_which_little_speaks_for_the_policy_has_no_number():
    n = int(2 * MIN_EFFECTIVE_CUSTOMERS) - 40
    assert "have an effective sample size of" in reason(evaluate(log(n), always(1, n)))
    enough = evaluate(log(10 * n), always(1, 10 * n))
    assert all(isinstance(answer, Estimate) for answer in enough.values())


def test_many_decisions_of_few_customers_are_few():
    subject = np.array([f"c{i % 40}" for i in range(1000)])
    assert "of 40 customers" in reason(evaluate(log(subject=subject), always(1)))


def test_too_few_who_earned_anything_is_said():
    reward = np.zeros(1000)
    reward[:8] = 20.0
    found = evaluate(log(reward=reward), np.full((1000, 2), 0.5))
    assert "Only 8 customers have another reward than the most frequent one" in found["ips"].note


def test_a_sound_check_is_silent_in_nearly_all_sound_logs():
    """False alarms of 500 sound logs: at most 4 if their rate is 1 in 1,000."""
    alarms = 0
    for seed in range(500):
        rng = np.random.default_rng(seed)
        chance = np.where(rng.random(400) < 0.5, 0.9, 0.2)
        action = (rng.random(400) < chance).astype(np.int64)
        mine = Log(rng.random(400), action, np.where(action == 1, chance, 1 - chance))
        answer = evaluate(mine, np.full((400, 2), 0.5))["ips"]
        alarms += isinstance(answer, NoSupport)
    assert alarms <= 4
