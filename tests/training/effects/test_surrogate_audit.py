"""The audit of the surrogate: sums by hand, and how often it accuses one that is right."""

from __future__ import annotations

import numpy as np
import pytest

from training.effects.surrogate_audit import AuditRow, AuditSums, audit_note, audit_rows


def even(n: int, left, told, repeat: int = 1) -> AuditSums:
    """Every other decision of n shows the family, drawn with one half."""
    drawn = np.where(np.arange(n) % 2 == 0, 0.5, -0.5)[:, None]
    sums = AuditSums(("mail",))
    parts = np.array(left, dtype=np.float64), np.array(told, dtype=np.float64)
    sums.add(drawn, *parts, parts[0] > 0, np.arange(n) // repeat)
    return sums


def test_effects_and_their_interval_are_those_of_the_hand():
    # 40 of 100 leave after a showing, 20 of 100 without one; the features tell 0.25 and 0.25.
    left = np.zeros(200)
    left[0:80:2], left[1:41:2] = 1.0, 1.0
    [row] = even(200, left, np.full(200, 0.25)).rows()
    assert row[:3] == ("mail", 100, 40)
    assert row.by_truth == pytest.approx(0.4 - 0.2)
    assert row.by_surrogate == pytest.approx(0.0)
    # 60 leavers: (60 x 0.75^2 + 140 x 0.25^2) / 4 is the variance of the sum; its weight is 50.
    spread = np.sqrt((60 * 0.75**2 + 140 * 0.25**2) / 4) / 50
    clock = 60 / 50
    bound = np.sqrt((1 + 1 / clock) * np.log((clock + 1) / 0.02**2))
    assert row.high - row.low == pytest.approx(2 * bound * spread)
    assert (row.low + row.high) / 2 == pytest.approx(0.2)
    assert not row.disagrees


def test_a_surrogate_that_tells_all_differs_by_nothing():
    told = np.where(np.arange(400) % 2 == 0, 0.4, 0.2)
    left = np.zeros(400)
    left[0:160:2], left[1:81:2] = 1.0, 1.0
    [row] = even(400, left, told).rows()
    assert row.by_truth == row.by_surrogate == pytest.approx(0.2)


def test_harm_that_the_features_do_not_tell_is_found():
    left = np.zeros(2000)
    left[0:800:2], left[1:201:2] = 1.0, 1.0
    [row] = even(2000, left, np.full(2000, 0.25)).rows()
    assert row.by_truth == pytest.approx(0.3) and row.low > 0 and row.disagrees


@pytest.mark.parametrize(
    ("told", "low", "high", "wrong"),
    [
        (0.0, 0.01, 0.2, True),
        (0.0, -0.01, 0.2, False),
        (0.1, 0.09, 0.2, False),  # the truth may be 0.19: less than twice as much
        (0.1, 0.11, 0.2, True),
        (0.1, -0.2, -0.04, False),
        (0.1, -0.2, -0.06, True),  # the truth is at most 0.04: less than half of it
        (-0.1, 0.04, 0.2, False),
        (-0.1, 0.06, 0.2, True),
        (-0.1, -0.2, -0.11, True),
        (0.1, -np.inf, np.inf, False),
    ],
)
def test_a_surrogate_is_wrong_that_is_surely_off_by_more_than_twice(told, low, high, wrong):
    assert AuditRow("mail", 9, 9, told, 0.0, low, high).disagrees is wrong


def test_few_customers_who_left_accuse_nobody():
    left = np.zeros(200)
    left[0:76:2] = 1.0  # 38 after a showing, none without one
    [row] = even(200, left, np.zeros(200)).rows()
    assert (row.low, row.high, row.disagrees) == (-np.inf, np.inf, False)
    assert even(200, np.ones(200), np.zeros(200), repeat=20).rows()[0].left == 10


def test_what_was_certain_tells_nothing():
    sums = AuditSums(("mail", "call"))
    drawn = np.array([[0.5, 0.0], [-0.5, 0.0]])
    sums.add(drawn, np.zeros(2), np.zeros(2), np.zeros(2, dtype=bool), np.arange(2))
    assert [row.family for row in sums.rows()] == ["mail"]


def test_the_level_is_split_among_the_families():
    left = np.ones(100)
    one, two = AuditSums(("mail",)), AuditSums(("mail", "call"))
    drawn = np.where(np.arange(100) % 2 == 0, 0.5, -0.5)
    one.add(drawn[:, None], left, np.zeros(100), left > 0, np.arange(100))
    both = np.column_stack([drawn, np.zeros(100)])
    two.add(both, left, np.zeros(100), left > 0, np.arange(100))
    ratio = (two.rows()[0].high - two.rows()[0].low) / (one.rows()[0].high - one.rows()[0].low)
    assert ratio == pytest.approx(np.sqrt(np.log(3 / 0.01**2) / np.log(3 / 0.02**2)))


def test_a_right_surrogate_is_accused_in_2_of_100_at_most():
    """100 businesses, 12 looks, 4 families with effects, and 4 decisions of each customer."""
    random, accused = np.random.default_rng(7), 0
    chances = np.array([0.4, 0.2, 0.2, 0.1, 0.1])
    for _ in range(100):
        risk = random.uniform(0.02, 0.2, 1000)
        sums, wrong = AuditSums(("a", "b", "c", "d")), False
        for _ in range(12):
            customers = random.permutation(1000)[:333]
            shown = np.searchsorted(chances.cumsum(), random.random(333))
            told = risk[customers] * np.array([1.5, 0.7, 1.0, 1.2, 1.0])[np.minimum(shown, 4)]
            left = random.random(333) < told
            drawn = (shown[:, None] == np.arange(4)) - chances[:4]
            expected = risk[customers]
            sums.add(drawn, left - expected, told - expected, left, customers)
            wrong |= any(row.low > 0 or row.high < 0 for row in sums.rows())
        accused += wrong
    assert accused <= 2


def test_rows_are_read_as_they_were_noted():
    rows = [AuditRow("mail", 9, 2, 0.1, 0.2, -np.inf, np.inf), AuditRow("b", 1, 1, 0, 1, 0.5, 1.5)]
    note = audit_note(rows)
    assert (note[0]["low"], note[0]["disagrees"], note[1]["disagrees"]) == (None, False, True)
    assert audit_rows(note) == rows
