"""Tests the log of outcomes: the newest ones, in their order, and the times of retractions."""

from __future__ import annotations

import numpy as np
import pytest

from features.errors import InvalidSetting
from training.bandit.outcome_log import OutcomeLog, rewards_and_counts

NAN = float("nan")


def filled(n: int, memory: int, at_once: int) -> OutcomeLog:
    log = OutcomeLog(2, memory)
    every = np.arange(n, dtype=float)
    for start in range(0, n, at_once):
        part = every[start : start + at_once]
        x = np.column_stack([part, -part])
        times = log.append(x, part.astype(np.intp) % 3, part * 10, np.ones(len(part)))
        assert times.tolist() == part.tolist()
    return log


def add(log: OutcomeLog, contexts: list, actions: list, rewards: list, counts: list) -> list[float]:
    rows = np.array(contexts, dtype=float).reshape(len(actions), -1)
    numbers = np.array(rewards, dtype=float), np.array(counts, dtype=float)
    return log.append(rows, np.array(actions, dtype=np.intp), *numbers).tolist()


@pytest.mark.parametrize("at_once", [1, 7, 1500, 5000])
@pytest.mark.parametrize("n", [5, 2_000, 4_321])
def test_holds_the_newest_in_their_order(n, at_once):
    log = filled(n, memory=2_000, at_once=at_once)
    held = log.newest()
    expected = np.arange(max(0, n - 2_000), n)
    assert (len(log), log.total, log.whole) == (len(expected), n, n <= 2_000)
    assert held.at.tolist() == expected.tolist()
    assert held.contexts.tolist() == np.column_stack([expected, -expected]).tolist()
    assert held.actions.tolist() == (expected % 3).tolist()
    assert held.rewards.tolist() == (expected * 10).tolist()
    assert held.counts.tolist() == [1.0] * len(expected)
    assert log.newest(3).at.tolist() == expected[-3:].tolist()


def test_a_new_log_is_empty():
    log = filled(0, memory=10, at_once=1)
    assert log.newest().contexts.shape == (0, 2)
    assert log.append(np.empty((0, 2)), np.empty(0, np.intp), np.empty(0), np.empty(0)).size == 0


@pytest.mark.parametrize("n", [5, 1_500, 4_321])
def test_a_log_is_widened_with_a_value_for_the_rows_so_far(n):
    log = filled(n, memory=2_000, at_once=100)
    before = log.newest()
    log.widen(np.array([0.0, NAN]))
    after = log.newest()
    assert log.n_features == 4
    added = np.tile([0.0, NAN], (len(log), 1))
    assert np.array_equal(after.contexts, np.hstack([before.contexts, added]), equal_nan=True)
    for name in ("actions", "rewards", "counts", "at"):
        assert getattr(after, name).tolist() == getattr(before, name).tolist()
    add(log, [1.0, 2.0, 3.0, 4.0], [1], [7.0], [1.0])
    assert log.newest(1).contexts.tolist() == [[1.0, 2.0, 3.0, 4.0]]


# Retractions -----------------------------------------------------------------------------------


def test_a_retraction_has_the_time_of_the_newest_equal_outcome():
    log = OutcomeLog(2, 100)
    add(log, [[1, 2], [1, 2], [1, NAN], [1, NAN]], [0, 1, 0, 0], [1, 1, 1, 1], [1] * 4)
    assert add(log, [1, 2], [0], [1], [-1]) == [0.0]
    assert add(log, [1, 2], [1], [1], [-1]) == [1.0]
    assert add(log, [1, NAN], [0], [1], [-1]) == [3.0]
    assert add(log, [1, NAN], [0], [1], [-1]) == [2.0]  # the newest that is left
    assert add(log, [1, NAN], [0], [1], [-1]) == [8.0]  # none is left, so it has its own
    assert log.newest().at.tolist() == [0, 1, 2, 3, 0, 1, 3, 2, 8]


def test_an_outcome_may_be_retracted_in_parts_and_in_its_own_batch():
    log = OutcomeLog(1, 100)
    assert add(log, [5, 5, 5], [0, 0, 0], [2, 2, 2], [1, -0.5, -0.5]) == [0.0, 0.0, 0.0]
    assert add(log, [5, 5], [0, 0], [2, 2], [1, -1]) == [3.0, 3.0]


def test_an_outcome_that_was_dropped_is_retracted_at_the_time_of_the_retraction():
    log = filled(30, memory=10, at_once=1)
    assert add(log, [3, -3], [0], [30], [-1]) == [30.0]
    assert add(log, [25, -25], [1], [250], [-1]) == [25.0]


# Rewards ---------------------------------------------------------------------------------------


def test_the_range_is_that_of_all_rewards_and_priors():
    log = OutcomeLog(1, 100)
    assert log.reward_range([]) == (0.0, 1.0)
    assert log.reward_range([5.0]) == (0.0, 5.0)
    add(log, [0], [0], [3], [1])
    assert log.reward_range([]) == (3.0, 3.0)
    add(log, [0, 0, 0], [0, 1, 0], [7, -2, 4], [1, 1, 1])
    assert log.reward_range([]) == (-2.0, 7.0)
    assert log.reward_range([9.0, 0.0]) == (-2.0, 9.0)


def test_a_retracted_reward_leaves_the_range():
    log = OutcomeLog(1, 100)
    add(log, [0, 0, 0, 0], [0] * 4, [1, 2, 9, 9], [1, 1, 1, 1])
    add(log, [0], [0], [9], [-1])
    assert log.reward_range([]) == (1.0, 9.0)  # one of them is left
    add(log, [0], [0], [9], [-1])
    assert log.reward_range([]) == (1.0, 2.0)
    add(log, [0, 0], [0, 0], [1, 2], [-1, -1])
    assert log.reward_range([]) == (0.0, 1.0)


def test_a_retracted_reward_stays_in_the_range_where_outcomes_were_dropped():
    log = filled(30, memory=10, at_once=1)
    add(log, [29, -29], [2], [290], [-1])
    assert log.reward_range([]) == (0.0, 290.0)


def test_rewards_and_counts_are_numbers():
    rewards, counts = rewards_and_counts([True, False], None, 2)
    assert (rewards.tolist(), counts.tolist()) == ([1.0, 0.0], [1.0, 1.0])
    assert rewards_and_counts([[1], [2]], [-1, 1], 2)[1].tolist() == [-1.0, 1.0]


@pytest.mark.parametrize(("rewards", "counts"), [([NAN], None), ([1], [NAN]), ([np.inf], [1])])
def test_a_reward_or_count_that_is_no_finite_number_is_refused(rewards, counts):
    sentence = "Some reward or count is not a number. Expected finite numbers. Leave out what is"
    with pytest.raises(InvalidSetting, match=sentence):
        rewards_and_counts(rewards, counts, 1)
