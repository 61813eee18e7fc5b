"""An event is checked against the domain at the border, so that nothing behind it has to."""

from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from features.domain import Property
from features.errors import InvalidData
from features.events import Event, as_utc, check_event, is_finite_number

ORDER = {"amount_eur": 12.5, "kind": "small", "note": "ring twice"}


@pytest.fixture
def order(now):
    return Event("e1", "c1", "order", now, "app", ORDER)


def test_an_event_as_the_domain_describes_it_passes(order, toy_domain):
    check_event(order, toy_domain)


@pytest.mark.parametrize("properties", [{"amount_eur": 0}, {"amount_eur": 7, "kind": "big"}])
def test_only_required_properties_are_required(order, toy_domain, properties):
    check_event(replace(order, properties=properties), toy_domain)


@pytest.mark.parametrize(
    ("changed", "said", "expected"),
    [
        ({"event_id": ""}, "event_id and customer_id is ''", "two texts that are not empty"),
        ({"customer_id": ""}, "event_id and customer_id is ''", "two texts that are not empty"),
        ({"type": "refund"}, "type is 'refund'", "one of visit, order"),
        ({"channel": "fax"}, "channel is 'fax'", "one of app, phone"),
    ],
)
def test_a_field_the_domain_does_not_know_is_named(order, toy_domain, changed, said, expected):
    with pytest.raises(InvalidData) as caught:
        check_event(replace(order, **changed), toy_domain)
    message = str(caught.value)
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
        pytest.param("amount_eur", 10**400, "a finite number", id="10**400"),
        ("amount_eur", None, "a finite number"),
        ("kind", "medium", "one of small, big"),
        ("kind", None, "one of small, big"),
        ("note", 7, "a text"),
        ("colour", "red", "one of: amount_eur, kind, note"),
    ],
)
def test_a_property_we_cannot_use_is_named(order, toy_domain, name, value, expected):
    with pytest.raises(InvalidData) as caught:
        check_event(replace(order, properties={**ORDER, name: value}), toy_domain)
    assert str(caught.value).startswith(f"properties.{name} is {value!r}. Expected {expected}.")


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


def test_an_event_does_not_change(order):
    with pytest.raises(FrozenInstanceError):
        order.type = "visit"


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


@pytest.mark.parametrize(
    ("moment", "sentence"),
    [
        (datetime(2026, 11, 22), "a time with a time zone"),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), "between the years"),
        (datetime(9999, 12, 31, tzinfo=UTC), "between the years"),
    ],
)
def test_a_time_that_cannot_be_meant_is_refused(moment, sentence):
    with pytest.raises(ValueError, match=sentence):
        as_utc(moment)


def test_a_time_of_another_zone_is_told_in_utc():
    noon_in_rome = datetime(2026, 11, 22, 12, tzinfo=timezone(timedelta(hours=1)))
    assert as_utc(noon_in_rome) == datetime(2026, 11, 22, 11, tzinfo=UTC)
