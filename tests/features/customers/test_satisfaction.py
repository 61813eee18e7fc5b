"""Tests the measures of satisfaction on known values and on answers in the ledger."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from math import isnan, nan

import numpy as np
import pytest

from features.business.domain import Domain
from features.customers import satisfaction
from features.customers.satisfaction import Score, ces, csat, feedback, nps, rating
from features.errors import InvalidSetting
from features.ledger import tables
from features.ledger.tables import insert_new

pytestmark = pytest.mark.databases("sqlite", "postgresql")

JANUARY = datetime(2026, 1, 15, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
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


@pytest.fixture
def domain():
    """The shared vocabulary, and an event that measures two things at once."""
    survey = {
        "description": "Two questions.",
        "journey": "moving",
        "stage": "advocacy",
        "touchpoint": "internal",
        "signal": "direct",
        "properties": {
            "ease": {"type": "number", "min": 1, "max": 7, "measures": "ces"},
            "mood": {"type": "number", "min": 1, "max": 5, "measures": "csat"},
            "pages": {"type": "number"},
        },
    }
    channels = ("app", "phone")
    return Domain(
        name="x", currency="eur", channels=channels, vocabulary="all", events={"survey": survey}
    )


@pytest.fixture
def said(ledger):
    """Puts an event into the ledger."""
    number = count()

    def put(event_type="nps", at=JANUARY, who="c1", channel="app", **properties):
        row = {
            "event_id": f"e{next(number)}",
            "customer_id": who,
            "subject": who,
            "type": event_type,
            "occurred_at": at,
            "channel": channel,
            "properties": json.dumps(properties),
        }
        ledger.write_now(lambda connection: insert_new(connection, tables.events, [row]))
        return ledger

    return put


def _read(rows):
    """Measure and group to answers and value."""
    return {(row.measure, *row.group): row.score[:2] for row in rows}


def test_a_ledger_without_answers_has_no_rows(ledger, domain, said):
    assert feedback(ledger, domain) == []
    said("visit")
    said("purchase", amount_eur=5)
    assert feedback(ledger, domain, by=["journey"]) == []


def test_a_business_that_asks_nothing_has_no_rows(ledger, toy_domain, said):
    said("visit", score=9)
    assert feedback(ledger, toy_domain) == []


def test_each_measure_is_read_from_the_property_that_the_domain_names(domain, said):
    said("nps", score=9)
    said("csat", score=4)
    said("ces", score=6)
    ledger = said("review", stars=3, text="So so.")
    rows = feedback(ledger, domain)
    assert _read(rows) == {
        ("nps",): (1, 100),
        ("csat",): (1, 100),
        ("ces",): (1, 6),
        ("rating",): (1, 3),
    }
    assert [row.measure for row in rows] == ["nps", "csat", "ces", "rating"]


def test_an_event_may_answer_two_questions_or_one(domain, said):
    said("survey", ease=7, mood=2, pages=9)
    ledger = said("survey", ease=4)
    assert _read(feedback(ledger, domain)) == {("csat",): (1, 0), ("ces",): (2, 5.5)}


def test_a_score_that_is_none_on_its_scale_is_no_answer(domain, said):
    for score in (11, -1, "9", None, True):
        said("nps", score=score)
    assert _read(feedback(said("nps", score=0), domain)) == {("nps",): (1, -100)}


def test_an_event_type_that_the_domain_forgot_is_left_out(domain, said):
    said("old_survey", score=9)
    assert _read(feedback(said("nps", score=0), domain)) == {("nps",): (1, -100)}


@pytest.mark.parametrize(
    ("by", "group"),
    [
        ("customer", ("c1",)),
        ("journey", ("voice",)),
        ("stage", ("advocacy",)),
        ("channel", ("app",)),
        ("type", ("nps",)),
        ("month", ("2026-01",)),
        ("week", ("2026-W03",)),
        ("day", ("2026-01-15",)),
    ],
)
def test_each_grouping(domain, said, by, group):
    assert [row.group for row in feedback(said(score=9), domain, by=[by])] == [group]
    assert by in satisfaction.GROUPINGS and len(satisfaction.GROUPINGS) == 8


def test_groups_are_told_apart_and_counted(domain, said):
    said(score=9, who="c1", channel="app")
    said(score=0, who="c1", channel="phone")
    said(score=8, who="c1", channel="phone")
    ledger = said(score=10, who="c2", channel="phone")
    assert _read(feedback(ledger, domain, by=["customer", "channel"])) == {
        ("nps", "c1", "app"): (1, 100),
        ("nps", "c1", "phone"): (2, -50),
        ("nps", "c2", "phone"): (1, 100),
    }
    assert _read(feedback(ledger, domain, by=["channel"]))["nps", "phone"] == (3, 0)


def test_an_answer_belongs_to_the_journey_it_speaks_of(domain, said):
    said(score=0, about="refund")
    said(score=9, about="moving")
    said(score=10, about="the weather")
    ledger = said(score=10)
    assert _read(feedback(ledger, domain, by=["journey"])) == {
        ("nps", "refund"): (1, -100),
        ("nps", "moving"): (1, 100),
        ("nps", "voice"): (2, 100),
    }
    assert _read(feedback(ledger, domain, by=["stage"])) == {("nps", "advocacy"): (4, 50)}


@pytest.mark.parametrize(
    ("at", "month", "week", "day"),
    [
        (datetime(2026, 2, 1, tzinfo=UTC) - TICK, "2026-01", "2026-W05", "2026-01-31"),
        (datetime(2026, 2, 1, tzinfo=UTC), "2026-02", "2026-W05", "2026-02-01"),
        (datetime(2026, 2, 2, tzinfo=UTC) - TICK, "2026-02", "2026-W05", "2026-02-01"),
        (datetime(2026, 2, 2, tzinfo=UTC), "2026-02", "2026-W06", "2026-02-02"),
        (datetime(2027, 1, 3, tzinfo=UTC), "2027-01", "2026-W53", "2027-01-03"),
        (
            datetime(2026, 2, 1, 1, tzinfo=timezone(timedelta(hours=2))),
            *("2026-01", "2026-W05", "2026-01-31"),
        ),
    ],
)
def test_periods_are_of_the_calendar_in_utc(domain, said, at, month, week, day):
    (row,) = feedback(said(score=9, at=at), domain, by=["month", "week", "day"])
    assert row.group == (month, week, day)


def test_time_is_from_since_on_and_before_until(domain, said):
    for after in (-TICK, 0 * TICK, TICK, 2 * TICK):
        ledger = said(score=9, at=JANUARY + after)

    def answers(**times):
        return _read(feedback(ledger, domain, **times))["nps",][0]

    assert answers() == 4
    assert answers(since=JANUARY) == 3
    assert answers(until=JANUARY) == 1
    assert answers(since=JANUARY, until=JANUARY + TICK) == 1
    elsewhere = JANUARY.astimezone(timezone(timedelta(hours=-5)))
    assert answers(since=elsewhere, until=JANUARY + 2 * TICK) == 2


def test_one_customer_alone(domain, said):
    said(score=0, who="c1")
    ledger = said(score=9, who="c2")
    assert _read(feedback(ledger, domain, customer_id="c2")) == {("nps",): (1, 100)}
    assert feedback(ledger, domain, customer_id="c3") == []


def test_rows_are_in_order_and_stages_in_that_of_the_way(domain, said):
    said("ces", score=5)
    said("survey", ease=5)
    said("survey", ease=5, at=JANUARY - timedelta(days=31))
    ledger = said(score=5)
    rows = feedback(ledger, domain, by=["stage", "month"])
    assert [(row.measure, *row.group) for row in rows] == [
        ("nps", "advocacy", "2026-01"),
        ("ces", "use", "2026-01"),
        ("ces", "advocacy", "2025-12"),
        ("ces", "advocacy", "2026-01"),
    ]


def test_more_answers_than_are_read_at_a_time(domain, said, monkeypatch):
    monkeypatch.setattr(satisfaction, "ROWS", 2)
    for score in (9, 9, 9, 0, 8):
        ledger = said(score=score)
    assert feedback(ledger, domain)[0].score == nps([9, 9, 9, 0, 8])


def test_the_same_arithmetic_for_rows_and_for_lists(domain, said):
    said("ces", score=2)
    ledger = said("ces", score=7)
    assert feedback(ledger, domain)[0].score == ces([2, 7])
    assert ces([2, 7]) != Score(2, 4.5, nan, nan)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (
            {"by": ["month", "colour"]},
            "by is 'colour'. Expected some of customer, journey, stage, ",
        ),
        (
            {"since": JANUARY, "until": JANUARY},
            "until is 2026-01-15T12:00:00+00:00. Expected a time",
        ),
        ({"since": JANUARY, "until": JANUARY - TICK}, "Expected a time after since, 2026-01-15T12"),
    ],
)
def test_what_cannot_be_asked_is_said(ledger, domain, asked, sentence):
    with pytest.raises(InvalidSetting) as caught:
        feedback(ledger, domain, **asked)
    assert sentence in str(caught.value)
