from __future__ import annotations

import numpy as np
import pytest

from tests.bench.delay import HOURS, LIKED, Course, missed, play
from tests.bench.delay_log import DAY_S, ArrayDelays, Log, catalog_of, silence_counts

WINDOWS = (3.0, 14.0, 30.0)
N_EXPERTS = 4


def course(a_day: int, share: float, at_once: bool = False, **fields: object) -> Course:
    """A played course whose believed levels are the true ones."""
    made = Course(WINDOWS, a_day, True, at_once, 0, share, LIKED, (20_000,) * 3)
    return made._replace(**fields)


def shown_log(ages_days: list[float], now_s: float) -> Log:
    """A log of silent showings of the first action, so many days old at ``now_s``."""
    log, n = Log(np.array(WINDOWS) * DAY_S), len(ages_days)
    at = now_s - np.array(ages_days) * DAY_S
    log.add(at, np.zeros(n, dtype=np.int64), np.full(n, np.inf), np.zeros((n, N_EXPERTS)))
    return log


def counts(log: Log, now_s: float, curve: bool) -> np.ndarray:
    rows = np.arange(len(log.action))
    return silence_counts(log, rows, now_s, ArrayDelays(catalog_of(WINDOWS), log), curve)


@pytest.fixture(scope="module")
def late() -> Course:
    return play(WINDOWS, a_day=200, seed=1, days=3)


def test_every_shown_action_is_counted_and_has_a_believed_level(late):
    assert sum(late.shown) == pytest.approx(3 * 200, abs=3 * HOURS)
    assert all(level > 0 for level in late.believed)


def test_a_course_told_at_once_differs(late):
    at_once = play(WINDOWS, a_day=200, at_once=True, seed=1, days=3)
    assert at_once.believed != late.believed


def test_a_course_depends_on_its_seed_only(late):
    again = play(WINDOWS, a_day=200, seed=1, days=3)
    assert again.shown == late.shown and again.believed == late.believed


def test_without_the_curve_each_silence_counts_fully_at_once():
    log = shown_log([0.1, 1.0, 3.5], now_s=10 * DAY_S)
    assert counts(log, 10 * DAY_S, curve=False).tolist() == [1.0, 1.0, 1.0]


def test_with_the_curve_a_silence_counts_more_as_it_ages_and_fully_after_its_window():
    log = shown_log([0.1, 1.0, 3.5], now_s=10 * DAY_S)
    young, older, ended = counts(log, 10 * DAY_S, curve=True)
    assert 0 < young < older < ended == 1.0
    assert np.isinf(log.revise_at[2])
    assert (log.revise_at[:2] > 10 * DAY_S).all()


def test_a_low_share_is_a_missed_goal():
    told = [course(10_000, 0.95, at_once=True)]
    assert missed([course(10_000, 0.9), *told]) == []
    (sentence,) = missed([course(10_000, 0.8), *told])
    assert "80.0%" in sentence


def test_with_few_decisions_the_share_is_compared_with_that_of_being_told_at_once():
    told = [course(1_000, 0.6, at_once=True)]
    assert missed([course(1_000, 0.52), *told]) == []
    assert len(missed([course(1_000, 0.5), *told])) == 1


def test_a_level_that_is_believed_wrongly_is_a_missed_goal_where_it_was_shown_often():
    told = [course(10_000, 0.95, at_once=True)]
    wrong = (0.13, *LIKED[1:])
    assert len(missed([course(10_000, 0.9, believed=wrong), *told])) == 1
    seldom = (8_000, 20_000, 20_000)
    assert missed([course(10_000, 0.9, believed=wrong, shown=seldom), *told]) == []
