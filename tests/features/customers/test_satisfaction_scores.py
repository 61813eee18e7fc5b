"""Tests the scores of satisfaction on values worked out by hand, and the cover of intervals."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest

from features.customers.satisfaction_scores import ces, csat, nps, rating

MEASURES = [nps, csat, ces, rating]


@pytest.mark.parametrize(
    ("score", "counts"),
    [(0, -100), (6, -100), (6.5, 0), (7, 0), (8, 0), (8.9, 0), (9, 100), (10, 100)],
)
def test_promoters_begin_at_9_and_detractors_end_at_6(score, counts):
    assert nps([score]).value == counts


@pytest.mark.parametrize(("score", "counts"), [(1, 0), (3, 0), (4, 100), (5, 100)])
def test_the_satisfied_say_4_or_5(score, counts):
    assert csat([score]).value == counts


@pytest.mark.parametrize(
    ("measure", "scores", "value"),
    [
        (nps, [10] * 50 + [8] * 30 + [3] * 20, 30),
        (nps, [0, 6, 7, 8, 9, 10], 0),
        (nps, [0, 3, 6], -100),
        (nps, [9, 10], 100),
        (nps, [7, 8], 0),
        (csat, [5, 4, 3, 2, 1], 40),
        (csat, [1, 1], 0),
        (ces, [7, 6, 5], 6),
        (ces, [1, 7], 4),
        (rating, [5, 4, 4, 2], 3.75),
    ],
)
def test_worked_examples(measure, scores, value):
    assert measure(scores)[:2] == (len(scores), value)


@pytest.mark.parametrize("measure", MEASURES)
def test_without_answers_nothing_is_known(measure):
    nothing = measure([])
    assert nothing.answers == 0
    assert all(isnan(number) for number in nothing[1:])


@pytest.mark.parametrize(
    ("measure", "scores", "low", "high"),
    [
        # Adjusted Wald: p 50.75 / 103, d 20.75 / 103, variance (p + d - (p - d)^2) / 103.
        (nps, [10] * 50 + [8] * 30 + [3] * 20, 14.051, 44.201),
        # Wilson of 8 in 10, as in tables: 0.490 to 0.943.
        (csat, [5] * 8 + [1] * 2, 49.016, 94.332),
        (csat, [1] * 10, 0.0, 27.753),
        (csat, [5] * 10, 72.247, 100.0),
        # Student of 4, 5, 6: mean 5, standard error 1 / sqrt(3), t 4.3027; cut off at 7.
        (ces, [4, 5, 6], 2.516, 7.0),
        (rating, [3, 3, 4, 4, 3, 3, 4, 4], 3.053, 3.947),
        (rating, [2, 2, 2], 2.0, 2.0),
    ],
)
def test_intervals_by_hand(measure, scores, low, high):
    assert measure(scores)[2:] == pytest.approx((low, high), abs=0.001)


@pytest.mark.parametrize("measure", [ces, rating])
def test_one_answer_alone_does_not_say_how_sure_a_mean_is(measure):
    one = measure([5])
    assert (one.answers, one.value) == (1, 5)
    assert isnan(one.low) and isnan(one.high)


@pytest.mark.parametrize(
    ("measure", "scores", "lowest", "highest"),
    [(nps, [0, 8, 10], -100, 100), (csat, [1, 5], 0, 100)],
)
def test_an_interval_holds_its_value_and_stays_on_the_scale(measure, scores, lowest, highest):
    for score in scores:
        for answers in range(1, 60):
            measured = measure([score] * answers)
            assert lowest <= measured.low <= measured.value <= measured.high <= highest


@pytest.mark.parametrize(("scores", "end"), [([0] * 5, "low"), ([10] * 5, "high")])
def test_customers_of_one_mind_do_not_make_an_nps_certain(scores, end):
    measured = nps(scores)
    assert getattr(measured, end) == measured.value, "cut off at the end of the scale"
    assert 20 < measured.high - measured.low < 100


@pytest.mark.parametrize(
    ("measure", "scores", "chances"),
    [
        (nps, [3, 8, 10], [0.2, 0.3, 0.5]),
        (csat, [2, 5], [0.3, 0.7]),
        (ces, [2, 4, 5, 7], [0.1, 0.3, 0.4, 0.2]),
    ],
)
def test_intervals_cover_the_truth_in_95_of_100_worlds(measure, scores, chances):
    truth = sum(
        chance * measure([score]).value for score, chance in zip(scores, chances, strict=True)
    )
    rng, worlds = np.random.default_rng(7), 2000
    drawn = rng.choice(scores, p=chances, size=(worlds, 40)).tolist()
    covered = sum(one.low <= truth <= one.high for one in map(measure, drawn)) / worlds
    assert covered == pytest.approx(0.95, abs=0.02)  # 4 standard errors


def test_equal_scores_have_no_spread_however_they_are_rounded():
    assert rating([4.1] * 7).low == pytest.approx(4.1)
