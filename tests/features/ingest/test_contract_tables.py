"""Checks the rules for a row of a contract table, and the ledger rows that it becomes."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pandas as pd
import pytest

from features.business.catalog import Catalog
from features.business.domain import Domain, Namespace
from features.errors import InvalidData, InvalidEvent
from features.ingest.contract_tables import (
    READERS,
    Business,
    ParsedRows,
    contacts_of,
    is_retired,
)
from features.ledger import tables

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
def parse(toy_domain, toy_catalog):
    """Read the valid row of a table after some of its cells changed (None: left out)."""

    def changed(table, domain=toy_domain, **cells):
        row = {name: v for name, v in {**GOOD[table], **cells}.items() if v is not None}
        parsed = ParsedRows()
        READERS[table](row, Business(domain, toy_catalog), parsed)
        return parsed

    return changed


@pytest.fixture
def read(parse):
    """Read a row; the one ledger row, or event, that it becomes."""

    def changed(table, **cells):
        parsed = parse(table, **cells)
        [one] = parsed.events or parsed.rows[tables.metadata.tables[table]]
        return one

    return changed


def test_a_customer_becomes_attributes_and_links(parse):
    parsed = parse("customers", identifiers="card:1 email:a@b.it")
    [(table, [customer])] = parsed.rows.items()
    assert table is tables.customers
    assert (customer["customer_id"], customer["account"]) == ("c1", None)
    assert json.loads(customer["attributes"]) == {"plan": "plus", "age_years": "41.0"}
    assert parsed.links == [("c1", "card:1"), ("c1", "email:a@b.it")]
    assert parsed.events == []


def test_a_customer_needs_nothing_but_an_id(parse):
    parsed = parse("customers", plan=None, age_years=None, identifiers=None)
    bare = {"customer_id": "c1", "attributes": "{}", "account": None}
    assert parsed.rows == {tables.customers: [bare]}
    assert parsed.links == []


def test_columns_the_domain_does_not_name_are_left_out_of_a_customer(read):
    assert "shoe_size" not in read("customers", shoe_size=44)["attributes"]


@pytest.mark.parametrize(
    ("cell", "kept"), [("Acme & Sons", "Acme & Sons"), (7, "7"), (7.0, "7"), (None, None)]
)
def test_the_account_is_the_column_that_the_domain_names(read, toy_domain, cell, kept):
    domain = toy_domain.model_copy(update={"account": "company"})
    customer = read("customers", domain=domain, company=cell)
    assert customer["account"] == kept
    assert json.loads(customer["attributes"]).get("company") == kept  # so that it goes online too


@pytest.mark.parametrize(("table", "column"), [("customers", "company"), ("outcomes", "action_id")])
def test_a_text_that_not_every_database_keeps_is_refused(read, toy_domain, table, column):
    domain = toy_domain.model_copy(update={"account": "company"})
    with pytest.raises(
        InvalidData, match=rf"{column} is 'a\\x00b'. Expected a text without .* NUL"
    ):
        read(table, domain=domain, **{column: "a\0b"})


def test_without_an_account_in_the_domain_there_is_none(read):
    assert read("customers", company="Acme")["account"] is None


def test_as_of_is_a_time_unless_the_domain_has_an_attribute_of_that_name(read, toy_domain):
    assert read("customers", as_of="2026-11-22T11:00:00+01:00")["as_of"].isoformat() == (
        "2026-11-22T10:00:00+00:00"
    )
    attributes = {"as_of": toy_domain.attributes["age_years"]}
    row = read(
        "customers", domain=toy_domain.model_copy(update={"attributes": attributes}), as_of=3
    )
    assert row["attributes"] == '{"as_of": "3.0"}' and "as_of" not in row


def test_a_customer_who_is_known_by_an_identifier_is_spelled_like_one(parse, toy_domain):
    email = {"email": Namespace(normalize="lower")}
    domain = toy_domain.model_copy(update={"identifiers": email})
    cells = {"customer_id": "email:A@b.it", "identifiers": "email:A@B.it email:c@d.it"}
    parsed = parse("customers", domain=domain, **cells)
    assert parsed.rows[tables.customers][0]["customer_id"] == "email:a@b.it"
    assert ("email:a@b.it", "email:c@d.it") in parsed.links


@pytest.mark.parametrize("table", ["customers", "events", "decisions"])
@pytest.mark.parametrize("customer_id", ["undefined", "null", "nan", "0", 0.0, "[object_Object]"])
def test_a_placeholder_is_refused_as_a_customer_id(parse, table, customer_id):
    with pytest.raises(InvalidData, match="^customer_id has '.*', a placeholder that names nobody"):
        parse(table, customer_id=customer_id)


@pytest.mark.parametrize("table", ["customers", "events"])
def test_a_placeholder_is_refused_as_an_identifier(parse, table):
    with pytest.raises(InvalidData, match="^identifiers has 'cookie:undefined', a placeholder"):
        parse(table, identifiers="card:1 cookie:undefined")


@pytest.mark.parametrize("customer_id", [" Ju\u0308rgen", "Jürgen\u200b ", "Jürgen"])
def test_a_customer_id_is_kept_in_one_spelling(read, customer_id):
    assert read("customers", customer_id=customer_id)["customer_id"] == "Jürgen"
    assert read("decisions", customer_id=customer_id)["subject"] == "Jürgen"
    assert read("events", customer_id=customer_id).subject == "Jürgen"


def test_rows_are_added_to_what_was_parsed_before(toy_domain, toy_catalog):
    parsed, business = ParsedRows(), Business(toy_domain, toy_catalog)
    for customer_id in ("c1", "c2"):
        READERS["customers"]({"customer_id": customer_id}, business, parsed)
    [rows] = parsed.rows.values()
    assert [row["customer_id"] for row in rows] == ["c1", "c2"]


def test_an_event_keeps_its_properties(read, now):
    event = read("events")
    assert (event.event_id, event.keys, event.type) == ("e1", ("c1",), "order")
    assert (event.occurred_at, event.channel) == (now, "app")
    assert event.properties == {"amount_eur": 12.5, "kind": "small"}


@pytest.mark.parametrize(
    ("customer_id", "identifiers", "keys"),
    [
        ("c1", None, ("c1",)),
        ("c1", "card:1", ("c1", "card:1")),
        ("c1", "card:1  email:a@b.it card:1", ("c1", "card:1", "email:a@b.it")),
        (None, "card:1 email:a@b.it", ("card:1", "email:a@b.it")),
        (None, ["card:1", "email:a@b.it"], ("card:1", "email:a@b.it")),
    ],
)
def test_an_event_names_its_customer_by_id_by_identifiers_or_by_both(
    read, customer_id, identifiers, keys
):
    assert read("events", customer_id=customer_id, identifiers=identifiers).keys == keys


def test_an_event_that_names_nobody_is_refused(parse):
    said = "^customer_id is None. Expected a customer_id, or at least one of identifiers."
    with pytest.raises(InvalidEvent, match=said):
        parse("events", customer_id=None)


@pytest.mark.parametrize("channel", ["App", " app ", "APP"])
@pytest.mark.parametrize("table", ["events", "decisions"])
def test_a_channel_is_known_without_its_case_and_surrounding_blanks(read, table, channel):
    one = read(table, channel=channel)
    assert (one["channel"] if table == "decisions" else one.channel) == "app"


def test_a_consent_without_effect_is_refused_by_row_as_the_api_does(toy_catalog):
    domain = Domain(name="x", currency="eur", channels=("app",), vocabulary="all")
    content = toy_catalog.model_dump(by_alias=True) | {"purposes": {"marketing": {}}}
    business = Business(domain, Catalog.model_validate(content))

    def read_consent(purpose):
        row = {"event_id": "e1", "customer_id": "c1", "type": "consent_withdrawn", "channel": "app"}
        parsed = ParsedRows()
        READERS["events"](row | {"occurred_at": AT, "purpose": purpose}, business, parsed)
        return parsed.events[0].properties

    for purpose in ("marketing", "Marketing", "marketing "):
        assert read_consent(purpose) == {"purpose": "marketing"}
    with pytest.raises(InvalidEvent, match=r"properties\.purpose is 'newsletter', so the consent"):
        read_consent("newsletter")


def test_ids_and_texts_that_look_like_numbers_stay_texts(read):
    event = read("events", event_id=1, customer_id=2, note=3)
    assert (event.event_id, event.subject, event.properties["note"]) == ("1", "2", "3")


@pytest.mark.parametrize("column", ["event_id", "customer_id", "note"])
def test_a_whole_number_is_one_text_however_pandas_kept_it(read, column):
    """A column of whole numbers with a gap becomes one of floats."""
    as_float, as_int = (read("events", **{column: cell}) for cell in (7.0, 7))
    assert as_float == as_int == read("events", **{column: "7"})


def test_a_decision_is_an_imported_one_with_a_window_of_its_action(read, now):
    assert read("decisions") == {
        "decision_id": "d1",
        "subject": "c1",
        "customer_id": "c1",
        "decided_at": now,
        "activated_at": now,
        "channel": "app",
        "action_id": "discount",
        "probability": 0.25,
        "arm": None,
        "served": False,
        "window_ends_at": now + timedelta(days=14),
    }


def test_a_decision_whose_probability_nobody_logged_has_none(read):
    assert read("decisions", probability=None)["probability"] is None


def test_doing_nothing_is_a_decision_whose_window_is_closed_at_once(read, now):
    assert read("decisions", action_id="no_action")["window_ends_at"] == now


def test_a_decision_for_an_action_that_is_no_longer_offered_has_the_longest_window(read, now):
    decision = read("decisions", action_id="sing")
    assert (decision["action_id"], decision["served"]) == ("sing", False)
    assert decision["window_ends_at"] == now + timedelta(days=14)


def test_a_contact_of_an_action_that_is_no_longer_offered_is_of_no_group(read, toy_catalog):
    decision = read("decisions", action_id="sing") | {"decision_id": "d2"}
    contacts = contacts_of([read("decisions"), decision], toy_catalog)
    assert [(one["action_id"], one["action_group"]) for one in contacts] == [
        ("discount", toy_catalog.actions["discount"].group),
        ("sing", ""),
    ]


@pytest.mark.parametrize(
    ("action_id", "retired"), [("sing", True), ("discount", False), ("no_action", False)]
)
def test_an_action_that_the_catalogue_does_not_have_is_retired(toy_catalog, action_id, retired):
    assert is_retired(action_id, toy_catalog) is retired


def test_an_outcome_counts_as_learned_and_received_when_it_happened(read, now):
    outcome = read("outcomes")
    assert outcome["occurred_at"] == outcome["received_at"] == now
    assert (outcome["outcome"], outcome["value"], outcome["learned"]) == ("accepted", 3.5, True)


def test_an_outcome_without_an_id_is_one_of_its_kind_for_its_decision(read):
    assert read("outcomes")["outcome_id"] == "d1:accepted"
    assert read("outcomes", outcome_id="o7")["outcome_id"] == "o7"


@pytest.mark.parametrize(
    "at",
    [
        "2026-11-22T11:00:00+01:00",
        datetime(2026, 11, 22, 10, tzinfo=UTC),
        "2026-11-22 10:00:00.000000Z",
        pd.Timestamp("2026-11-22T10:00:00Z"),
        pd.Timestamp("2026-11-22T10:00:00.000000999Z"),
    ],
)
def test_a_time_may_be_written_in_any_zone_and_is_kept_in_utc_to_the_microsecond(read, now, at):
    event = read("events", occurred_at=at)
    assert event.occurred_at == now
    assert type(event.occurred_at) is datetime
    assert event.occurred_at.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("customers", "customer_id"),
        ("events", "event_id"),
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
def test_a_cell_that_must_be_there_is_named(parse, table, column):
    with pytest.raises(InvalidData, match=f"^{column} is None. Expected a value in every row."):
        parse(table, **{column: None})


@pytest.mark.parametrize(
    ("table", "column", "value", "expected"),
    [
        ("customers", "plan", "gold", "one of basic, plus, or empty"),
        ("customers", "identifiers", "card", "namespace:value, such as card:123"),
        ("customers", "identifiers", "Card:1", "namespace:value, such as card:123"),
        ("customers", "customer_id", "c 1", "at most 200 characters and no spaces"),
        ("customers", "customer_id", "c" * 201, "at most 200 characters and no spaces"),
        ("events", "event_id", "e\x07", "at most 200 characters and no spaces"),
        ("events", "event_id", "e1\n", "at most 200 characters and no spaces"),
        ("events", "customer_id", "c1\n", "at most 200 characters and no spaces"),
        ("events", "identifiers", "card", "namespace:value, such as card:123"),
        ("events", "type", "refund", "one of visit, order"),
        ("events", "channel", "fax", "one of app, phone"),
        ("events", "occurred_at", "soon", "a time with a time zone, such as 2026-11-22T10:00:00Z"),
        ("events", "occurred_at", "2026-11-22T10:00:00", "a time with a time zone, such as"),
        ("events", "occurred_at", 1_800_000_000, "a time with a time zone, such as"),
        ("decisions", "action_id", "sing loud", "at most 200 characters and no spaces"),
        ("decisions", "channel", "fax", "one of app, phone"),
        ("decisions", "probability", 0, "a number in (0, 1], or empty if it was not logged"),
        ("decisions", "probability", 1.01, "a number in (0, 1], or empty if it was not logged"),
        ("decisions", "decided_at", "2026-11-22", "a time with a time zone, such as"),
        ("outcomes", "outcome", "loved", "one of clicked, accepted, rejected"),
        ("outcomes", "decision_id", "d 1", "at most 200 characters and no spaces"),
        ("outcomes", "outcome_id", "o 1", "at most 200 characters and no spaces"),
        ("outcomes", "value", float("inf"), "a finite number such as 12.5, or empty"),
        ("outcomes", "value", 1e16, "a number between -1e+15 and 1e+15"),
        ("outcomes", "shared_id", "order 7", "at most 200 characters and no spaces"),
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
    assert message.startswith((f"{column} is ", f"{column} has "))
    assert f"Expected {expected}" in message
    assert "Correct " in message


def _kept(one, column):
    """A cell as the ledger keeps it, which may be inside a JSON text."""
    inside = json.loads(one["attributes"]) if "attributes" in one else {}
    return {**one, **inside}[column]


NUMBERS = [
    ("customers", "age_years", "41.0"),
    ("decisions", "probability", 0.5),
    ("outcomes", "value", 41.0),
]


@pytest.mark.parametrize(("table", "column", "kept"), NUMBERS)
def test_a_number_means_the_same_as_a_text(read, table, column, kept):
    number = float(kept)
    cells = (number, f"{number:g}", Decimal(f"{number:g}"))
    assert {_kept(read(table, **{column: cell}), column) for cell in cells} == {kept}


def test_a_number_of_an_event_means_the_same_as_a_text(read):
    cells = (41, 41.0, "41", "41.0", Decimal("41"))
    contents = {read("events", amount_eur=cell).properties_json for cell in cells}
    assert contents == {'{"amount_eur": 41.0, "kind": "small"}'}


@pytest.mark.parametrize(
    ("table", "column"), [*(row[:2] for row in NUMBERS), ("events", "amount_eur")]
)
@pytest.mark.parametrize(
    "value",
    ["abc", "1,5", "inf", "nan", float("inf"), float("nan"), True, 10**400],
    ids=lambda value: str(value)[:5],
)
def test_a_number_we_cannot_count_with_is_named(read, table, column, value):
    with pytest.raises(InvalidData) as caught:
        read(table, **{column: value})
    assert str(caught.value).startswith(f"{column} is ")
    assert "Expected a finite number such as 12.5, or empty." in str(caught.value)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"amount_eur": None}, "properties.amount_eur is None. Expected a number."),
        ({"amount_eur": -1}, "properties.amount_eur is -1.0. Expected at least 0."),
        ({"kind": "medium"}, "properties.kind is 'medium'. Expected one of small, big."),
        ({"colour": "red"}, "properties.colour is 'red'. Expected one of: amount_eur, kind, note."),
        ({"amount_eur": 1e16}, "properties.amount_eur is 1e+16. Expected a number between -1e+15"),
    ],
)
def test_a_property_the_domain_does_not_describe_is_refused(read, cells, said):
    with pytest.raises(InvalidData) as caught:
        read("events", **cells)
    assert str(caught.value).startswith(said)
