"""The labels of nodes: worked out by hand, and complete whatever an event says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.business.event_types import EventType
from features.business.journey_rules.kinds import MapRules
from features.business.journey_rules.node_labels import (
    count_labels,
    event_label,
    labels_of,
    node_properties,
)

BASKET = EventType(
    description="A trip.",
    journey="shopping",
    stage="action",
    touchpoint="internal",
    signal="passive",
    properties={
        "mission": {"type": "category", "values": ["fuel", "big"]},
        "paid": {"type": "category", "values": ["cash"]},
        "amount": {"type": "number"},
    },
)
COUPON = EventType(
    description="A coupon.",
    journey="shopping",
    stage="interest",
    touchpoint="external",
    signal="passive",
)
EVENTS = {"basket": BASKET, "redemption": COUPON}
CHANNELS = ("store", "web")


@pytest.mark.parametrize(
    ("node", "properties", "label"),
    [
        ("type", {}, "basket"),
        ("mission", {"mission": "fuel", "amount": 3}, "fuel"),
        ("mission", {"mission": "long ago"}, "other mission"),
        ("mission", {"mission": None}, "basket"),
        ("mission", {}, "basket"),
        (["mission", "channel"], {"mission": "big"}, "big: web"),
        (["mission", "channel"], {}, "basket"),
        (["paid", "type", "mission"], {"mission": "big"}, "basket: big"),
        (["stage", "touchpoint", "channel"], {}, "action: internal: web"),
        ("amount", {"amount": 3}, "basket"),
    ],
)
def test_an_event_is_labelled_by_the_parts_that_it_has(node, properties, label):
    assert event_label(MapRules(node=node), "basket", BASKET, "web", properties) == label


def test_a_type_without_the_property_is_labelled_by_its_name():
    rules = MapRules(node=["mission", "channel"], names={"redemption": "coupon"})
    assert event_label(rules, "redemption", COUPON, "web", {"mission": "fuel"}) == "coupon"


def test_the_labels_are_listed_in_the_order_of_the_domain_file():
    rules = MapRules(node="mission", names={"redemption": "coupon", "big": "stock up"})
    assert labels_of(rules, EVENTS, CHANNELS) == {
        "basket": ("fuel", "stock up", "other mission", "basket"),
        "redemption": ("coupon",),
    }


def test_the_values_of_the_first_name_change_last():
    found = labels_of(MapRules(node=["channel", "paid"]), EVENTS, CHANNELS)
    assert found["basket"] == (
        *("store: cash", "store: other paid", "basket"),
        *("web: cash", "web: other paid"),
    )


def test_labels_that_are_given_one_name_are_one_label():
    rules = MapRules(names={"basket": "trip", "redemption": "trip"})
    assert labels_of(rules, EVENTS, CHANNELS) == {"basket": ("trip",), "redemption": ("trip",)}


def test_only_categories_of_the_type_name_its_nodes():
    rules = MapRules(node=["type", "amount", "paid", "mission"])
    assert node_properties(rules, BASKET) == ("paid", "mission")
    assert node_properties(rules, COUPON) == ()


NODES = ["type", "channel", "stage", "touchpoint", "mission", "paid", "amount"]


@given(
    node=st.lists(st.sampled_from(NODES), min_size=1, max_size=4, unique=True),
    type_name=st.sampled_from(sorted(EVENTS)),
    channel=st.sampled_from(CHANNELS),
    properties=st.fixed_dictionaries(
        {},
        optional={
            "mission": st.sampled_from(["fuel", "big", "long ago", None]),
            "paid": st.sampled_from(["cash", "", None]),
        },
    ),
    renamed=st.booleans(),
)
def test_every_event_has_one_of_the_listed_labels(node, type_name, channel, properties, renamed):
    rules = MapRules(node=node, names={"basket": "fuel", "fuel": "basket"} if renamed else {})
    label = event_label(rules, type_name, EVENTS[type_name], channel, properties)
    listed = labels_of(rules, EVENTS, CHANNELS)
    assert label in listed[type_name]
    assert sum(map(len, listed.values())) <= count_labels(rules, EVENTS, CHANNELS)
