"""An event is checked against the domain at the border, so that nothing behind it has to."""

import json
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic_core import from_json

from features.business.domain import Domain, Namespace
from features.business.event_types import SCALES, Property
from features.errors import InvalidData, InvalidEvent
from features.identity.keys import KeyNormalizer
from features.journeys.events import (
    MAX_CLOCK_SKEW,
    MAX_KEYS,
    MAX_NUMBER,
    MAX_TEXT,
    Event,
    as_utc,
    check_event,
    is_amount,
    is_finite_number,
    normalize_properties,
    parse_event,
)

ORDER = {"amount_eur": 12.5, "kind": "small", "note": "ring twice"}
SENT = {
    "event_id": "e1",
    "customer_id": "c1",
    "identifiers": ["card:1", "email:a@b.it"],
    "type": "order",
    "occurred_at": "2026-11-22T11:00:00+01:00",
    "channel": "app",
    "properties": {"amount_eur": 5, "kind": "small"},
}
LEFT_OUT = object()


@pytest.fixture
def order(now):
    return Event("e1", ("c1",), "order", now, "app", ORDER)


@pytest.fixture
def read(toy_domain, now):
    """The event that a channel sends, after some of its fields changed."""

    def changed(domain=toy_domain, **fields):
        sent = {name: v for name, v in {**SENT, **fields}.items() if v is not LEFT_OUT}
        return parse_event(sent, domain, KeyNormalizer(domain), now)

    return changed


@pytest.fixture
def refused(read):
    """The field and the sentences with which it is refused."""

    def why(**fields):
        with pytest.raises(InvalidEvent) as caught:
            read(**fields)
        return caught.value.field, str(caught.value)

    return why


# --- an event as a channel sends it ---


@pytest.mark.parametrize("channel", ["app", "App", " APP ", "app\t"])
def test_a_channel_is_known_without_its_case_and_surrounding_blanks(read, channel):
    assert read(channel=channel).channel == "app"


def test_a_consent_is_read_in_its_one_spelling_or_refused_by_field(now):
    domain = Domain(name="x", currency="eur", channels=("app",), vocabulary="all")
    sent = {**SENT, "type": "consent_withdrawn", "properties": {"purpose": "Marketing "}}
    normalizer = KeyNormalizer(domain)
    event = parse_event(sent, domain, normalizer, now, ("marketing",))
    assert event.properties == {"purpose": "marketing"}
    assert parse_event(sent, domain, normalizer, now) == event  # there is no catalogue
    with pytest.raises(InvalidEvent) as caught:
        parse_event(sent, domain, normalizer, now, ("research",))
    assert caught.value.field == "properties.purpose"


def test_an_event_is_read_as_it_was_sent(read, now):
    assert read() == Event(
        "e1",
        ("c1", "card:1", "email:a@b.it"),
        "order",
        now,
        "app",
        {"amount_eur": 5.0, "kind": "small"},
    )


def test_it_is_kept_under_the_customer_id_or_else_the_first_identifier(read):
    assert read().subject == "c1"
    assert read(customer_id=LEFT_OUT).subject == read(customer_id=None).subject == "card:1"


def test_one_way_to_name_the_customer_is_enough(read):
    assert read(identifiers=LEFT_OUT).keys == ("c1",)
    assert read(customer_id=LEFT_OUT).keys == ("card:1", "email:a@b.it")


def test_what_names_the_customer_twice_is_one_key(read):
    assert read(customer_id="c1", identifiers=["card:1", "card:1"]).keys == ("c1", "card:1")


def test_identifiers_are_spelled_as_the_domain_says(read, toy_domain):
    domain = toy_domain.model_copy(update={"identifiers": {"email": Namespace(normalize="lower")}})
    event = read(domain, customer_id="email:A@B.it", identifiers=["email:a@b.IT"])
    assert event.keys == ("email:a@b.it",)


def test_an_event_that_is_sent_without_properties_has_none(read):
    assert read(type="visit", properties=LEFT_OUT).properties == {}


def test_five_and_five_point_zero_are_one_content(read):
    assert read().properties_json == '{"amount_eur": 5.0, "kind": "small"}'
    assert read(properties={"kind": "small", "amount_eur": 5.0}).properties_json == (
        read().properties_json
    )


def test_what_the_ledger_keeps_can_be_read_again(read):
    note = "Größe \u0000 \U0001f600 \u2028"
    event = read(properties={"amount_eur": 1e-300, "note": note})
    assert from_json(event.properties_json) == event.properties


@pytest.mark.parametrize("ahead", [timedelta(0), MAX_CLOCK_SKEW])
def test_a_clock_may_be_a_little_ahead_of_ours(read, now, ahead):
    at = now + ahead
    assert read(occurred_at=at.isoformat()).occurred_at == at


def test_a_time_to_come_is_refused_with_the_time(refused, now):
    field, message = refused(
        occurred_at=(now + MAX_CLOCK_SKEW + timedelta(microseconds=1)).isoformat()
    )
    assert field == "occurred_at"
    assert message.startswith(
        "occurred_at is '2026-11-22T10:05:00.000001+00:00'. Expected a time that has passed."
    )


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("event_id", 5, "event_id is 5: input should be a valid string"),
        ("event_id", None, "event_id is None: input should be a valid string"),
        ("event_id", "", "event_id is '': string should have at least 1 character"),
        ("event_id", "a b", "event_id is 'a b': string should match pattern"),
        ("event_id", "e1\n", r"event_id is 'e1\n': string should match pattern"),
        ("event_id", "e\x00", r"event_id is 'e\x00': string should match pattern"),
        ("event_id", "e" * 201, "...: string should have at most 200 characters"),
        ("customer_id", "", "customer_id is '': string should have at least 1 character"),
        ("customer_id", "c 1", "customer_id is 'c 1': string should match pattern"),
        ("customer_id", "c" * 201, "...: string should have at most 200 characters"),
        ("type", 1, "type is 1: input should be a valid string"),
        ("type", "refund", "type is 'refund'. Expected one of visit, order."),
        ("type", "t" * 61, "': string should have at most 60 characters"),
        ("channel", None, "channel is None: input should be a valid string"),
        ("channel", "fax", "channel is 'fax'. Expected one of app, phone."),
        ("channel", "f" * 61, "': string should have at most 60 characters"),
        ("occurred_at", "soon", "occurred_at is 'soon': input should be a valid datetime"),
        ("occurred_at", None, "occurred_at is None: input should be a valid datetime"),
        ("occurred_at", "2026-11-22T10:00:00", "': input should have timezone info."),
        ("occurred_at", "1970-01-01T00:00:00Z", "': a time between the years 1970 and 2199."),
        ("occurred_at", "2199-01-01T00:00:00Z", "': a time between the years 1970 and 2199."),
        ("identifiers", "card:1", "identifiers is 'card:1': input should be a valid tuple"),
        ("identifiers", ["card"], "identifiers has 'card'. Expected namespace:value, such as"),
        ("identifiers", [":1"], "identifiers has ':1'. Expected namespace:value, such as"),
        ("properties", None, "properties is None: input should be a valid dictionary"),
        ("properties", [], "properties is []: input should be a valid dictionary"),
    ],
)
def test_a_field_we_cannot_use_is_named_with_its_value_and_a_remedy(refused, field, value, said):
    named, message = refused(**{field: value})
    assert named == field
    assert said in message
    assert message.startswith(f"{field} ")
    assert message.rpartition(". ")[2].startswith("Correct ")


@pytest.mark.parametrize("field", ["event_id", "type", "occurred_at", "channel"])
def test_a_field_that_is_missing_is_named(refused, field):
    assert refused(**{field: LEFT_OUT}) == (field, f"{field} is missing. Send it.")


def test_a_field_of_no_event_is_named(refused):
    said = "colour is not a field of an event. Leave it out."
    assert refused(colour="red") == ("colour", said)


def test_one_of_many_identifiers_is_named_by_its_place(refused):
    field, message = refused(identifiers=["card:1", 7])
    assert field == "identifiers.1"
    assert message.startswith("identifiers.1 is 7: input should be a valid string.")


def test_there_is_an_end_to_identifiers(read, refused):
    many = [f"card:{number + 1}" for number in range(MAX_KEYS + 1)]
    assert len(read(identifiers=many[:-1]).keys) == 1 + MAX_KEYS
    field, message = refused(identifiers=many)
    assert field == "identifiers"
    assert "at most 20 items after validation, not 21. Correct it" in message


@pytest.mark.parametrize("identifiers", [LEFT_OUT, []])
def test_an_event_that_names_nobody_is_refused(refused, identifiers):
    field, message = refused(customer_id=LEFT_OUT, identifiers=identifiers)
    assert field == "customer_id"
    assert message.startswith("customer_id is None. Expected a customer_id, or at least one of")


def test_a_namespace_that_the_business_does_not_have_is_named(toy_domain, refused):
    domain = toy_domain.model_copy(update={"identifiers": {"card": Namespace()}})
    field, message = refused(domain=domain, identifiers=["card:1", "pigeon:7"])
    assert field == "identifiers"
    assert message == (
        "identifiers has 'pigeon:7'. Expected one of the namespaces card, such as card:123. "
        "Correct it, or describe its namespace under 'identifiers' in the domain file."
    )


@pytest.mark.parametrize("sent", ["visit", None, 5, [], [SENT]], ids=str)
def test_what_is_no_event_at_all_is_quoted(toy_domain, now, sent):
    with pytest.raises(InvalidEvent) as caught:
        parse_event(sent, toy_domain, KeyNormalizer(toy_domain), now)
    assert caught.value.field == "the event"
    assert str(caught.value).startswith(f"the event is {sent!r:.70}")


@pytest.mark.parametrize(
    "fields",
    [
        {"event_id": "e" * 1_000_000},
        {"channel": "f" * 1_000_000},
        {"properties": {"amount_eur": 1.0, "kind": "k" * 1_000_000}},
        {"properties": {"amount_eur": 1.0, "note": "n" * 1_000_000}},
        {"properties": {"amount_eur": "9" * 1_000_000}},
        {"properties": {"amount_eur": 1.0, "colour": [["red"] * 1_000]}},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_who_sends_a_megabyte_does_not_get_one_back(refused, fields):
    _, message = refused(**fields)
    assert len(message) < 300
    assert "..." in message


# --- numbers in one form ---


def test_numbers_are_kept_as_floats_and_the_rest_as_it_came(toy_domain):
    sent = {"amount_eur": 5, "kind": "small", "note": 7, "colour": 3}
    kept = normalize_properties(sent, toy_domain.events["order"])
    assert kept == sent
    assert [type(value) for value in kept.values()] == [float, str, int, int]


@pytest.mark.parametrize(
    "value", ["5", True, None, float("inf"), 10**400], ids=lambda v: str(v)[:5]
)
def test_what_is_no_number_is_left_to_the_check(toy_domain, value):
    assert normalize_properties({"amount_eur": value}, toy_domain.events["order"]) == {
        "amount_eur": value
    }


def test_properties_of_an_unknown_type_of_event_stay_as_they_came():
    assert json.dumps(normalize_properties({"amount_eur": 5}, None)) == '{"amount_eur": 5}'


# --- an event against the domain ---


def test_an_event_as_the_domain_describes_it_passes(order, toy_domain):
    check_event(order, toy_domain)


@pytest.mark.parametrize("properties", [{"amount_eur": 0}, {"amount_eur": 7, "kind": "big"}])
def test_only_required_properties_are_required(order, toy_domain, properties):
    check_event(replace(order, properties=properties), toy_domain)


@pytest.mark.parametrize(
    ("changed", "said", "expected"),
    [
        ({"keys": ()}, "customer_id is None", "a customer_id, or at least one of identifiers"),
        ({"type": "refund"}, "type is 'refund'", "one of visit, order"),
        ({"channel": "fax"}, "channel is 'fax'", "one of app, phone"),
    ],
)
def test_a_field_the_domain_does_not_know_is_named(order, toy_domain, changed, said, expected):
    with pytest.raises(InvalidEvent) as caught:
        check_event(replace(order, **changed), toy_domain)
    message = str(caught.value)
    assert caught.value.field == said.partition(" ")[0]
    assert message.startswith(f"{said}. Expected {expected}.")
    assert message.endswith("Correct the event, or describe it in the domain file.")


@pytest.mark.parametrize("zone", [None, timezone(timedelta(hours=1))])
def test_a_time_that_is_not_utc_is_refused(order, toy_domain, zone):
    moved = replace(order, occurred_at=order.occurred_at.replace(tzinfo=zone))
    with pytest.raises(InvalidData, match="occurred_at is .* Expected a time with a time zone"):
        check_event(moved, toy_domain)


def test_another_name_for_utc_is_utc(order, toy_domain):
    zone = timezone(timedelta(0), "Z")
    check_event(replace(order, occurred_at=order.occurred_at.replace(tzinfo=zone)), toy_domain)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("amount_eur", -0.01, "at least 0"),
        ("amount_eur", float("nan"), "a finite number"),
        ("amount_eur", float("inf"), "a finite number"),
        ("amount_eur", "12", "a finite number"),
        ("amount_eur", True, "a finite number"),
        ("amount_eur", None, "a finite number"),
        ("amount_eur", [1], "a finite number"),
        ("amount_eur", 1e16, "a number between -1e+15 and 1e+15"),
        ("amount_eur", -(10**16), "a number between -1e+15 and 1e+15"),
        ("kind", "medium", "one of small, big"),
        ("kind", None, "one of small, big"),
        ("kind", ["small"], "one of small, big"),
        ("note", 7, "a text"),
        ("note", None, "a text"),
        ("note", "half a \ud83d", "a text in Unicode, without halves of characters"),
        ("colour", "red", "one of: amount_eur, kind, note"),
    ],
)
def test_a_property_we_cannot_use_is_named(order, toy_domain, name, value, expected):
    with pytest.raises(InvalidEvent) as caught:
        check_event(replace(order, properties={**ORDER, name: value}), toy_domain)
    assert caught.value.field == f"properties.{name}"
    assert str(caught.value) == (
        f"properties.{name} is {value!r}. Expected {expected}. "
        "Correct the event, or describe it in the domain file."
    )


def test_a_number_of_400_digits_is_refused_by_its_first_ones(order, toy_domain):
    with pytest.raises(InvalidEvent) as caught:
        check_event(replace(order, properties={"amount_eur": 10**400}), toy_domain)
    zeros = "0" * 76
    assert str(caught.value).startswith(
        f"properties.amount_eur is 1{zeros}.... Expected a finite number."
    )


@pytest.mark.parametrize("value", [0, MAX_NUMBER])
def test_the_largest_and_the_smallest_amount_are_taken(order, toy_domain, value):
    check_event(replace(order, properties={"amount_eur": value}), toy_domain)


def test_there_is_an_end_to_a_text(order, toy_domain):
    check_event(replace(order, properties={**ORDER, "note": "n" * MAX_TEXT}), toy_domain)
    with pytest.raises(InvalidEvent, match=r"is 'n{76}\.\.\.\. Expected at most 10,000 characters"):
        check_event(replace(order, properties={**ORDER, "note": "n" * (MAX_TEXT + 1)}), toy_domain)


def test_a_required_property_that_is_missing_is_named(order, toy_domain):
    with pytest.raises(InvalidData, match=r"properties\.amount_eur is None\. Expected a number\."):
        check_event(replace(order, properties={"kind": "small"}), toy_domain)


def test_an_event_type_without_properties_takes_none(order, toy_domain):
    with pytest.raises(InvalidData, match=r"properties\.amount_eur is 12\.5\. .* one of: none\."):
        check_event(replace(order, type="visit"), toy_domain)


def test_a_number_above_its_maximum_is_refused(order, toy_domain):
    amount = Property(type="number", max=10)
    event_type = toy_domain.events["order"].model_copy(update={"properties": {"a": amount}})
    domain = toy_domain.model_copy(update={"events": {"order": event_type}})
    check_event(replace(order, properties={"a": 10}), domain)
    with pytest.raises(InvalidData, match=r"properties\.a is 10\.5\. Expected at most 10\."):
        check_event(replace(order, properties={"a": 10.5}), domain)


@pytest.mark.parametrize(
    ("measure", "score", "whole"),
    [
        *[("nps", 6.5, "0 to 10"), ("nps", 10.5, "0 to 10"), ("csat", 3.5, "1 to 5")],
        *[("ces", 6.5, "1 to 7"), ("nps", 0, None), ("nps", 10.0, None), ("csat", 1, None)],
        *[("ces", 7.0, None), ("rating", 4.5, None)],  # half stars are usual
    ],
)
def test_a_score_between_the_boxes_is_refused_and_0_is_a_score(
    order, toy_domain, measure, score, whole
):
    low, high = SCALES[measure]
    known = Property(type="number", measures=measure, min=low, max=high)
    event_type = toy_domain.events["order"].model_copy(update={"properties": {"a": known}})
    domain = toy_domain.model_copy(update={"events": {"order": event_type}})
    if whole is None:
        check_event(replace(order, properties={"a": score}), domain)
        return
    said = rf"properties\.a is {score}\. Expected a whole number from {whole}\."
    with pytest.raises(InvalidData, match=said):
        check_event(replace(order, properties={"a": score}), domain)


def test_an_event_does_not_change(order):
    with pytest.raises(FrozenInstanceError):
        order.type = "visit"


def test_events_are_ordered_by_time_and_then_by_id(order, now):
    later = replace(order, event_id="e0", occurred_at=now + timedelta(microseconds=1))
    other = replace(order, event_id="e2")
    assert sorted([later, other, order], key=lambda event: event.order) == [order, other, later]


@pytest.mark.parametrize("value", [0, -1, 12.5, 1e300])
def test_a_number_can_be_counted_with(value):
    assert is_finite_number(value)


@pytest.mark.parametrize(
    "value",
    [10**400, -(10**400), True, False, float("nan"), float("inf"), float("-inf"), "1", None],
    ids=lambda value: str(value)[:5],
)
def test_what_has_no_finite_value_cannot_be_counted_with(value):
    assert not is_finite_number(value)


def test_an_amount_is_a_number_that_a_property_may_have():
    values = [-1e15, 0, 1e15, 1.1e15, -(10**400), float("nan"), "1", True]
    assert [is_amount(value) for value in values] == [True] * 3 + [False] * 5


@pytest.mark.parametrize(
    ("moment", "sentence"),
    [
        (datetime(2026, 11, 22), "a time with a time zone"),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), "between the years"),
        (datetime(1970, 12, 31, tzinfo=UTC), "between the years"),
        (datetime(2199, 1, 1, tzinfo=UTC), "between the years"),
        (datetime(9999, 12, 31, tzinfo=UTC), "between the years"),
    ],
)
def test_a_time_that_cannot_be_meant_is_refused(moment, sentence):
    with pytest.raises(ValueError, match=sentence):
        as_utc(moment)


def test_a_time_of_another_zone_is_told_in_utc():
    noon_in_rome = datetime(2026, 11, 22, 12, tzinfo=timezone(timedelta(hours=1)))
    assert as_utc(noon_in_rome) == datetime(2026, 11, 22, 11, tzinfo=UTC)
    assert as_utc(noon_in_rome).tzinfo is UTC
