"""Tests weights of imported decisions by their logged probabilities, and their division by time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from training.params import load_params
from training.pipeline.warm_start_data import ImportedDecisions

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
PARAMS = load_params().bandit
ALL = np.arange(4)


def imported(
    actions: str, probability: list[float] | None = None, days: list[float] | None = None
) -> ImportedDecisions:
    """One decision for each letter of ``actions``, with a window of 2 days."""
    n = len(actions)
    at = [START + DAY * day for day in (days or [0] * n)]
    return ImportedDecisions(
        np.zeros((n, 1)),
        ("age",),
        np.zeros(n),
        at,
        ["app"] * n,
        list(actions),
        ends_at=[moment + 2 * DAY for moment in at],
        probability=np.array(probability if probability is not None else []),
    )


def test_without_logged_probabilities_each_decision_has_the_weight_of_the_settings():
    found = imported("aabb").weights(PARAMS, ALL)
    assert found.weight.tolist() == [0.3] * 4
    assert not found.cut.any()


def test_equal_probabilities_count_once_for_each_decision():
    found = imported("aabb", [0.1, 0.1, 0.5, 0.5]).weights(PARAMS, ALL)
    assert found.weight == pytest.approx([1, 1, 1, 1])


def test_weights_of_an_action_sum_to_its_effective_number():
    # 1/p is 2 and 4: (2 + 4)^2 / (4 + 16) = 1.8, of which the second has two thirds.
    found = imported("aabb", [0.5, 0.25, 0.1, 0.1]).weights(PARAMS, ALL)
    assert found.weight == pytest.approx([0.6, 1.2, 1, 1])


def test_a_weight_is_cut_at_20():
    # 1/p is 10, and 100 that is cut to 20: (10 + 20)^2 / (100 + 400) = 1.8.
    found = imported("aabb", [0.1, 0.01, 0.05, 0.05]).weights(PARAMS, ALL)
    assert found.weight == pytest.approx([0.6, 1.2, 1, 1])
    assert found.cut.tolist() == [False, True, False, False]


def test_the_smallest_probability_is_cut_like_others():
    found = imported("aabb", [0.1, 5e-324, 1.0, 1.0]).weights(PARAMS, ALL)
    assert found.weight == pytest.approx([0.6, 1.2, 1, 1])
    assert found.cut.tolist() == [False, True, False, False]


def test_a_decision_without_a_probability_keeps_the_weight_of_the_settings():
    found = imported("aaab", [0.5, 0.25, np.nan, np.nan]).weights(PARAMS, ALL)
    assert found.weight == pytest.approx([0.6, 1.2, 0.3, 0.3])


def test_only_the_selected_decisions_are_weighed():
    found = imported("aaab", [0.5, 0.25, 0.01, 0.5]).weights(PARAMS, np.array([0, 1]))
    assert found.weight == pytest.approx([0.6, 1.2])


def test_between_earlier_and_later_decisions_is_the_length_of_a_window():
    log = imported("aaaaa", days=[0, 1, 2, 3, 4])
    earlier, later = log.divided(np.arange(5), 0.6)  # the fourth is decided on day 3
    assert (earlier.tolist(), later.tolist()) == ([0, 1], [4])


def test_decisions_at_one_time_are_neither_earlier_nor_later():
    earlier, later = imported("aaaa").divided(ALL, 0.6)
    assert (len(earlier), len(later)) == (0, 0)
    assert [len(part) for part in imported("").divided(np.arange(0), 0.6)] == [0, 0]


def test_the_latest_decision_is_that_until_which_a_bandit_has_learned():
    assert imported("aaa", days=[1, 3, 2]).until == START + 3 * DAY
    assert imported("").until is None
