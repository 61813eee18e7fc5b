"""Tests the answers in the ledger: which are read, how they are grouped and measured."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from math import nan
from zoneinfo import ZoneInfo

import pytest

from features.business.domain import Domain
from features.customers import satisfaction
from features.customers.satisfaction import feedback
from features.customers.satisfaction_scores import Score, ces, nps
from features.errors import InvalidSetting
from features.ledger import tables
from features.ledger.tables import insert_new

pytestmark = pytest.mark.databases("sqlite", "postgresql")

JANUARY = datetime(2026, 1, 15, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)


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
def put(ledger):
    """Inserts an event into the ledger."""
    number = count()

    def insert(event_type="nps", at=JANUARY, customer="c1", channel="app", **properties):
        row = {
            "event_id": f"e{next(number)}",
            "customer_id": customer,
            "subject": customer,
            "type": event_type,
            "occurred_at": at,
            "channel": channel,
            "properties": json.dumps(properties),
        }
        ledger.write_now(lambda connection: insert_new(connection, tables.events, [row]))
        return ledger

    return insert


def _read(rows):
    """Measure and group to answers and value."""
    return {(row.measure, *row.group): row.score[:2] for row in rows}


def test_a_ledger_without_answers_has_no_rows(ledger, domain, put):
    assert feedback(ledger, domain) == []
    put("visit")
    put("purchase", amount_eur=5)
    assert feedback(ledger, domain, by=["journey"]) == []


def test_a_business_that_asks_nothing_has_no_rows(ledger, toy_domain, put):
    put("visit", score=9)
    assert feedback(ledger, toy_domain) == []


def test_each_measure_is_read_from_the_property_that_the_domain_names(domain, put):
    put("nps", score=9)
    put("csat", score=4)
    put("ces", score=6)
    ledger = put("review", stars=3, text="So so.")
    rows = feedback(ledger, domain)
    assert _read(rows) == {
        ("nps",): (1, 100),
        ("csat",): (1, 100),
        ("ces",): (1, 6),
        ("rating",): (1, 3),
    }
    assert [row.measure for row in rows] == ["nps", "csat", "ces", "rating"]


def test_an_event_may_answer_two_questions_or_one(domain, put):
    put("survey", ease=7, mood=2, pages=9)
    ledger = put("survey", ease=4)
    assert _read(feedback(ledger, domain)) == {("csat",): (1, 0), ("ces",): (2, 5.5)}


def test_a_score_that_is_none_on_its_scale_is_no_answer(domain, put):
    for score in (11, -1, "9", None, True):
        put("nps", score=score)
    assert _read(feedback(put("nps", score=0), domain)) == {("nps",): (1, -100)}


def test_an_event_type_that_the_domain_forgot_is_left_out(domain, put):
    put("old_survey", score=9)
    assert _read(feedback(put("nps", score=0), domain)) == {("nps",): (1, -100)}


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
def test_each_grouping(domain, put, by, group):
    assert [row.group for row in feedback(put(score=9), domain, by=[by])] == [group]
    assert by in satisfaction.GROUPINGS and len(satisfaction.GROUPINGS) == 8


def test_groups_are_told_apart_and_counted(domain, put):
    put(score=9, customer="c1", channel="app")
    put(score=0, customer="c1", channel="phone")
    put(score=8, customer="c1", channel="phone")
    ledger = put(score=10, customer="c2", channel="phone")
    assert _read(feedback(ledger, domain, by=["customer", "channel"])) == {
        ("nps", "c1", "app"): (1, 100),
        ("nps", "c1", "phone"): (2, -50),
        ("nps", "c2", "phone"): (1, 100),
    }
    assert _read(feedback(ledger, domain, by=["channel"]))["nps", "phone"] == (3, 0)


def test_an_answer_belongs_to_the_journey_it_speaks_of(domain, put):
    put(score=0, about="refund")
    put(score=9, about="moving")
    put(score=10, about="the weather")
    ledger = put(score=10)
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
def test_periods_are_of_the_calendar_in_utc(domain, put, at, month, week, day):
    (row,) = feedback(put(score=9, at=at), domain, by=["month", "week", "day"])
    assert row.group == (month, week, day)


@pytest.mark.parametrize(
    ("at", "month", "week", "day"),
    [
        (datetime(2026, 3, 1, 2, 30, tzinfo=UTC), "2026-02", "2026-W09", "2026-02-28"),
        (datetime(2026, 3, 1, 5, tzinfo=UTC) - TICK, "2026-02", "2026-W09", "2026-02-28"),
        (datetime(2026, 3, 1, 5, tzinfo=UTC), "2026-03", "2026-W09", "2026-03-01"),
        (datetime(2026, 7, 1, 4, tzinfo=UTC) - TICK, "2026-06", "2026-W27", "2026-06-30"),  # summer
        (datetime(2026, 7, 1, 4, tzinfo=UTC), "2026-07", "2026-W27", "2026-07-01"),
    ],
)
def test_periods_begin_at_the_midnight_of_the_business(domain, put, at, month, week, day):
    new_york = ZoneInfo("America/New_York")
    ledger = put(score=9, at=at)
    (row,) = feedback(ledger, domain, by=["month", "week", "day"], zone=new_york)
    assert row.group == (month, week, day)


def test_time_is_from_since_on_and_before_until(domain, put):
    for after in (-TICK, 0 * TICK, TICK, 2 * TICK):
        ledger = put(score=9, at=JANUARY + after)

    def answers(**times):
        return _read(feedback(ledger, domain, **times))["nps",][0]

    assert answers() == 4
    assert answers(since=JANUARY) == 3
    assert answers(until=JANUARY) == 1
    assert answers(since=JANUARY, until=JANUARY + TICK) == 1
    elsewhere = JANUARY.astimezone(timezone(timedelta(hours=-5)))
    assert answers(since=elsewhere, until=JANUARY + 2 * TICK) == 2


def test_one_customer_alone(domain, put):
    put(score=0, customer="c1")
    ledger = put(score=9, customer="c2")
    assert _read(feedback(ledger, domain, customer_id="c2")) == {("nps",): (1, 100)}
    assert feedback(ledger, domain, customer_id="c3") == []


def test_rows_are_in_order_and_stages_in_that_of_the_way(domain, put):
    put("ces", score=5)
    put("survey", ease=5)
    put("survey", ease=5, at=JANUARY - timedelta(days=31))
    ledger = put(score=5)
    rows = feedback(ledger, domain, by=["stage", "month"])
    assert [(row.measure, *row.group) for row in rows] == [
        ("nps", "advocacy", "2026-01"),
        ("ces", "use", "2026-01"),
        ("ces", "advocacy", "2025-12"),
        ("ces", "advocacy", "2026-01"),
    ]


def test_stages_are_in_the_order_of_the_domain_file(domain, put):
    put("ces", score=5)
    ledger = put("survey", ease=5)
    own = domain.model_copy(update={"stages": ("advocacy", "use")})
    for stages, known in ((["use", "advocacy"], domain), (["advocacy", "use"], own)):
        assert [row.group[0] for row in feedback(ledger, known, by=["stage"])] == stages


def test_more_answers_than_are_read_at_a_time(domain, put, monkeypatch):
    monkeypatch.setattr(satisfaction, "ROWS", 2)
    for score in (9, 9, 9, 0, 8):
        ledger = put(score=score)
    assert feedback(ledger, domain)[0].score == nps([9, 9, 9, 0, 8])


def test_the_same_arithmetic_for_rows_and_for_lists(domain, put):
    put("ces", score=2)
    ledger = put("ces", score=7)
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
