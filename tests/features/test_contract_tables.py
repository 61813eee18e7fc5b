"""What a row of a contract table must hold, and which ledger rows it becomes."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from features import tables
from features.contract_tables import READERS
from features.errors import InvalidData

AT = "2026-11-22T10:00:00Z"
GOOD = {
    "customers": {"customer_id": "c1", "plan": "plus", "age_years": 41, "identifiers": "card:1"},
    "events": {
        "event_id": "e1",
        "customer_id": "c1",
        "type": "order",
        "occurred_at": AT,
        "channel": "app",
        "amount_eur": 12.5,
        "kind": "small",
    },
    "decisions": {
        "decision_id": "d1",
        "customer_id": "c1",
        "decided_at": AT,
        "channel": "app",
        "action_id": "discount",
        "probability": 0.25,
    },
    "outcomes": {"decision_id": "d1", "outcome": "accepted", "value": 3.5, "occurred_at": AT},
}


@pytest.fixture
def read(toy_domain, toy_catalog):
    """What the good row of a table becomes after some of its cells changed (None: left out)."""

    def changed(table, **cells):
        row = {name: v for name, v in {**GOOD[table], **cells}.items() if v is not None}
        return list(READERS[table](row, toy_domain, toy_catalog))

    return changed


def test_a_customer_becomes_attributes_and_identifiers(read):
    [(first, customer), *rest] = read("customers", identifiers="card:1 email:a@b.it")
    assert first is tables.customers
    assert customer["customer_id"] == "c1"
    assert json.loads(customer["attributes"]) == {"plan": "plus", "age_years": "41.0"}
    assert rest == [
        (tables.identifiers, {"identifier": name, "customer_id": "c1"})
        for name in ("card:1", "email:a@b.it")
    ]


def test_a_customer_needs_nothing_but_an_id(read):
    [(_, customer)] = read("customers", plan=None, age_years=None, identifiers=None)
    assert customer == {"customer_id": "c1", "attributes": "{}"}


def test_columns_the_domain_does_not_name_are_left_out_of_a_customer(read):
    [(_, customer), _] = read("customers", shoe_size=44)
    assert "shoe_size" not in customer["attributes"]


def test_an_event_keeps_its_properties(read, now):
    [(table, event)] = read("events")
    assert table is tables.events
    assert json.loads(event.pop("properties")) == {"amount_eur": 12.5, "kind": "small"}
    assert event == {
        "event_id": "e1",
        "customer_id": "c1",
        "type": "order",
        "occurred_at": now,
        "channel": "app",
    }


def test_ids_and_texts_that_look_like_numbers_stay_texts(read):
    [(_, event)] = read("events", event_id=1, customer_id=2, note=3)
    assert (event["event_id"], event["customer_id"]) == ("1", "2")
    assert json.loads(event["properties"])["note"] == "3"


def test_a_decision_is_an_imported_one_with_a_window_of_its_action(read, now):
    [(table, decision)] = read("decisions")
    assert table is tables.decisions
    assert decision == {
        "decision_id": "d1",
        "customer_id": "c1",
        "decided_at": now,
        "channel": "app",
        "action_id": "discount",
        "probability": 0.25,
        "served": False,
        "window_ends_at": now + timedelta(days=14),
    }


def test_a_decision_whose_probability_nobody_logged_has_none(read):
    [(_, decision)] = read("decisions", probability=None)
    assert decision["probability"] is None


def test_doing_nothing_is_a_decision_whose_window_is_closed_at_once(read, now):
    [(_, decision)] = read("decisions", action_id="no_action")
    assert decision["window_ends_at"] == now


def test_an_outcome_counts_as_learned_and_received_when_it_happened(read, now):
    [(table, outcome)] = read("outcomes")
    assert table is tables.outcomes
    assert outcome["occurred_at"] == outcome["received_at"] == now
    assert (outcome["outcome"], outcome["value"], outcome["learned"]) == ("accepted", 3.5, True)


def test_an_outcome_without_an_id_is_one_of_its_kind_for_its_decision(read):
    [(_, outcome)], [(_, named)] = read("outcomes"), read("outcomes", outcome_id="o7")
    assert (outcome["outcome_id"], named["outcome_id"]) == ("d1:accepted", "o7")


@pytest.mark.parametrize(
    "at",
    [
        "2026-11-22T11:00:00+01:00",
        datetime(2026, 11, 22, 10, tzinfo=UTC),
        "2026-11-22 10:00:00.000000Z",
    ],
)
def test_a_time_may_be_written_in_any_zone_and_is_kept_in_utc(read, now, at):
    [(_, event)] = read("events", occurred_at=at)
    assert event["occurred_at"] == now
    assert event["occurred_at"].utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("customers", "customer_id"),
        ("events", "event_id"),
        ("events", "customer_id"),
        ("events", "type"),
        ("events", "occurred_at"),
        ("events", "channel"),
        ("decisions", "decision_id"),
        ("decisions", "customer_id"),
        ("decisions", "decided_at"),
        ("decisions", "channel"),
        ("decisions", "action_id"),
        ("outcomes", "decision_id"),
        ("outcomes", "outcome"),
        ("outcomes", "occurred_at"),
    ],
)
def test_a_cell_that_must_be_there_is_named(read, table, column):
    with pytest.raises(InvalidData, match=f"^{column} is None. Expected a value in every row."):
        read(table, **{column: None})


@pytest.mark.parametrize(
    ("table", "column", "value", "expected"),
    [
        ("customers", "plan", "gold", "one of basic, plus, or empty"),
        ("customers", "identifiers", "card", "namespace:value, such as card:123"),
        ("customers", "identifiers", "Card:1", "namespace:value, such as card:123"),
        ("events", "type", "refund", "one of visit, order"),
        ("events", "channel", "fax", "one of app, phone"),
        ("events", "occurred_at", "soon", "a time with a time zone, such as 2026-11-22T10:00:00Z"),
        ("events", "occurred_at", "2026-11-22T10:00:00", "a time with a time zone, such as"),
        ("events", "occurred_at", 1_800_000_000, "a time with a time zone, such as"),
        ("decisions", "action_id", "sing", "one of call_back, discount, talk_plus, no_action"),
        ("decisions", "channel", "fax", "one of app, phone"),
        ("decisions", "probability", 0, "a number in (0, 1], or empty if nobody logged it"),
        ("decisions", "probability", 1.01, "a number in (0, 1], or empty if nobody logged it"),
        ("decisions", "decided_at", "2026-11-22", "a time with a time zone, such as"),
        ("outcomes", "outcome", "loved", "one of clicked, accepted, rejected"),
        ("outcomes", "value", float("inf"), "a finite number, or empty"),
        (
            "outcomes",
            "occurred_at",
            "yesterday",
            "a time with a time zone, such as 2026-11-22T10:00:00Z",
        ),
    ],
)
def test_a_cell_we_cannot_use_is_named_with_its_remedy(read, table, column, value, expected):
    with pytest.raises(InvalidData) as caught:
        read(table, **{column: value})
    message = str(caught.value)
    assert message.startswith(f"{column} is ")
    assert f"Expected {expected}" in message
    assert "Correct the " in message


def _kept(row, column):
    """A cell as the ledger row keeps it, which may be inside a JSON text."""
    inside = json.loads(row.get("attributes") or row.get("properties") or "{}")
    return {**row, **inside}[column]


NUMBERS = [
    ("customers", "age_years", "41.0"),
    ("events", "amount_eur", 41.0),
    ("decisions", "probability", 0.5),
    ("outcomes", "value", 41.0),
]


@pytest.mark.parametrize(("table", "column", "kept"), NUMBERS)
def test_a_number_means_the_same_as_a_text(read, table, column, kept):
    [(_, as_number), *_], [(_, as_text), *_] = (
        read(table, **{column: cell}) for cell in (float(kept), f"{float(kept):g}")
    )
    assert _kept(as_number, column) == _kept(as_text, column) == kept


@pytest.mark.parametrize(("table", "column"), [row[:2] for row in NUMBERS])
@pytest.mark.parametrize(
    "value",
    ["abc", "1,5", "inf", "nan", float("inf"), float("nan"), True, 10**400],
    ids=lambda value: str(value)[:5],
)
def test_a_number_we_cannot_count_with_is_named(read, table, column, value):
    with pytest.raises(InvalidData) as caught:
        read(table, **{column: value})
    assert str(caught.value).startswith(f"{column} is ")
    assert "Expected a finite number, or empty." in str(caught.value)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"amount_eur": None}, "properties.amount_eur is None. Expected a number."),
        ({"amount_eur": -1}, "properties.amount_eur is -1.0. Expected at least 0."),
        ({"kind": "medium"}, "properties.kind is 'medium'. Expected one of small, big."),
        ({"colour": "red"}, "properties.colour is 'red'. Expected one of: amount_eur, kind, note."),
    ],
)
def test_a_property_the_domain_does_not_describe_is_refused(read, cells, said):
    with pytest.raises(InvalidData) as caught:
        read("events", **cells)
    assert str(caught.value).startswith(said)
