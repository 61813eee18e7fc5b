"""Steps are named by types of events or labels of nodes; a promised time stands in the first."""

import pytest

from features.business.journey_rules.step_checks import check_address, step_names, types_of_step
from features.business.yaml_mistakes import Mistakes
from features.errors import InvalidDomain

LABELS = {"ordered": ("fast", "ordered"), "delivered": ("late", "ordered")}


def test_types_come_before_labels(delivery):
    events = delivery().events_of("delivery")
    assert step_names(events, LABELS) == ("ordered", "shipped", "delivered", "fast", "late")


@pytest.mark.parametrize(
    ("step", "types"),
    [
        ("fast", ("ordered",)),
        ("shipped", ("shipped",)),
        ("ordered", ("ordered", "delivered")),
        ("slow", ()),
    ],
)
def test_a_step_may_be_of_several_types(delivery, step, types):
    assert types_of_step(step, delivery().events_of("delivery"), LABELS) == types


@pytest.mark.parametrize(
    ("after", "name"),
    [("ordered", "promised_at"), ("ordered", "weight"), ("shipped", "weight"), ("fast", "order")],
)
def test_a_text_or_a_number_of_the_first_step_tells_the_time(delivery, after, name):
    promise = {"after": after, "comes": "delivered", "within": {"property": name}, "else_days": 2}
    rules = {
        "map": {"node": "speed"},
        "expected": {"version": 1, "promises": {"in_time": promise}},
    }
    read = delivery(rules).journeys["delivery"].expected[0].promises["in_time"]
    assert read.within.property == name


@pytest.mark.parametrize(
    ("after", "name", "said"),
    [
        ("ordered", "speed", "a text or a number of ordered that tells the time"),
        ("shipped", "promised_at", "a text or a number of shipped that tells the time"),
        ("ordered", "promise_at", "Did you mean 'promised_at'?"),
    ],
)
def test_nothing_else_tells_the_time(delivery, after, name, said):
    promise = {"after": after, "comes": "delivered", "within": {"property": name}, "else_days": 2}
    with pytest.raises(InvalidDomain, match=r"promises\.in_time\.within\.property is") as caught:
        delivery({"expected": {"version": 1, "promises": {"in_time": promise}}})
    assert said in str(caught.value)


ADDRESSED = {
    "map": {"node": "status", "names": {"late": "too late"}},
    "expected": [
        {"version": 1, "promises": {"once": {"never": "shipped"}}},
        {"version": 2, "since": "2026-09-01", "promises": {"in_time": {"never": "too late"}}},
    ],
}


@pytest.mark.parametrize(
    "named",
    ["help", "delivery", "delivery.once", "delivery.in_time", "delivery.too late", "help.call"],
)
def test_an_action_addresses_a_kind_a_promise_or_a_step(delivery, named):
    mistakes = Mistakes()
    check_address(delivery(ADDRESSED), named, ("actions", "a", "addresses", 0), mistakes)
    assert mistakes.found == []


@pytest.mark.parametrize(
    ("named", "expected", "near"),
    [
        ("deliverie.once", "a kind of journey, one of delivery, help, with or", "delivery"),
        ("delivery.in_tim", "delivery. and a promise or a step of it: one of once, in_", "in_time"),
        ("delivery.call", "delivery. and a promise or a step", None),
        ("delivery.", "delivery. and a promise or a step", None),
        ("", "a kind of journey", None),
    ],
)
def test_an_address_that_is_not_there_is_refused(delivery, named, expected, near):
    mistakes = Mistakes()
    check_address(delivery(ADDRESSED), named, ("actions", "a", "addresses", 0), mistakes)
    (found,) = mistakes.found
    assert found.where == ("actions", "a", "addresses", 0)
    assert found.expected.startswith(expected)
    assert found.remedy == (f"Did you mean {near!r}?" if near else "")
