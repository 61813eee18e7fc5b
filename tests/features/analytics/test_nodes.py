from __future__ import annotations

import pytest

from features.analytics.nodes import END_LABEL, START_LABEL, MapNodes
from features.analytics.tables import END, NO_TYPE, START
from tests.features.analytics.views.promised_shop import promised_shop
from tests.features.analytics.views.small_shop import small_shop

NODES = MapNodes(small_shop())


def test_each_kind_of_journey_has_a_map_and_so_has_the_lifecycle() -> None:
    assert NODES.maps == ("buying", "help", "leaving", "lifecycle")
    assert [NODES.map_code(name) for name in NODES.maps] == [0, 1, 2, 3]


def test_the_nodes_of_a_map_are_in_the_order_of_the_file() -> None:
    labels = [one.label for one in NODES.of_map("buying")]

    # A page is named by its property; one without it, by its type.
    assert labels == ["home", "offer", "other name", "page", "cart", "coupon", "paid", "done"]
    assert [one.stage for one in NODES.of_map("help")] == ["use", "use"]


def test_the_lifecycle_has_shown_actions_silence_and_leaving_beside_all_events() -> None:
    labels = [one.label for one in NODES.of_map("lifecycle")]

    assert labels[-3:] == ["shown", "silent", "left"]
    assert NODES.node(NODES.code("lifecycle", "silent")).types == ()
    assert {"page", "cart", "asked", "gone"} <= {*labels}


def test_numbers_and_labels_belong_together() -> None:
    for name in NODES.maps:
        for one in NODES.of_map(name):
            assert NODES.code(name, one.label) == one.code
            assert (NODES.label(one.code), NODES.node(one.code)) == (one.label, one)
            assert NODES.codes_named(name, one.label) == {one.code}
    codes = [one.code for name in NODES.maps for one in NODES.of_map(name)]
    assert codes == list(range(len(codes)))


def test_start_and_end_are_on_every_map() -> None:
    assert NODES.code("help", START_LABEL) == START
    assert NODES.code("help", END_LABEL) == END
    assert (NODES.label(START), NODES.label(END)) == (START_LABEL, END_LABEL)


def test_a_map_lacks_the_nodes_of_others() -> None:
    with pytest.raises(KeyError):
        NODES.code("help", "cart")
    assert NODES.codes_named("help", "cart") == frozenset()


def test_an_event_has_the_node_of_its_label() -> None:
    assert NODES.event_code("buying", "page", "app", {"name": "offer"}) == NODES.code(
        "buying", "offer"
    )
    assert NODES.event_code("buying", "page", "app", {}) == NODES.code("buying", "page")
    assert NODES.event_code("lifecycle", "asked", "app", {}) == NODES.code("lifecycle", "asked")


def test_types_have_numbers_and_unknown_ones_have_none() -> None:
    assert NODES.types[NODES.type_code("coupon")] == "coupon"
    assert NODES.type_code("home") == NO_TYPE


def test_the_fingerprint_follows_from_maps_types_channels_and_nodes() -> None:
    same = MapNodes(small_shop(currency="usd"))
    other = MapNodes(small_shop(channels=["phone", "app"]))

    assert same.fingerprint == NODES.fingerprint
    assert other.fingerprint != NODES.fingerprint
    assert MapNodes(promised_shop()).fingerprint != NODES.fingerprint


def test_a_node_of_two_types_of_event_has_both() -> None:
    one = {"map": {"names": {"asked": "contact", "solved": "contact"}}}
    nodes = MapNodes(small_shop(journeys={"help": one}))

    assert [(node.label, node.types) for node in nodes.of_map("help")] == [
        ("contact", ("asked", "solved"))
    ]
