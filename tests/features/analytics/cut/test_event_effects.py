"""Properties of an event are read only if its node, its case or a promise asks for them."""

from __future__ import annotations

from features.analytics.cut.event_effects import EventReaders
from features.analytics.cut.journey_log import StepLabels
from features.analytics.nodes import MapNodes
from features.analytics.tables import EVENT
from features.business.domain import Domain
from tests.features.analytics.views.small_shop import event, small_shop


def readers(domain: Domain) -> tuple[EventReaders, StepLabels, MapNodes]:
    labels, nodes = StepLabels(), MapNodes(domain)
    return EventReaders(domain, nodes, labels), labels, nodes


def test_an_effect_that_follows_from_type_and_channel_is_computed_once():
    found, labels, nodes = readers(small_shop())
    reader = found["paid", "app"]
    assert reader is found["paid", "app"] and reader.effect is not None
    assert (reader.effect.step, reader.effect.case, reader.effect.leaves) == ("moves", None, False)
    rows = labels.columns()
    label = reader.effect.label
    assert rows["node"][label] == nodes.code("buying", "paid")
    assert rows["node"][reader.effect.life_label] == nodes.code("lifecycle", "paid")
    assert (rows["what"][label], rows["channel"][label]) == (EVENT, 0)
    assert found["gone", "app"].effect.leaves


def test_the_node_of_an_event_may_follow_from_its_properties():
    found, labels, nodes = readers(small_shop())
    reader = found["page", "phone"]
    assert reader.effect is None
    names = ['{"name": "home"}', '{"name": "unknown"}', "{}"]
    numbers = [reader.read(one).label for one in names]
    nodes_of = labels.columns()["node"][numbers].tolist()
    assert [nodes.label(one) for one in nodes_of] == ["home", "other name", "page"]


def test_types_and_channels_that_the_domain_has_not_are_ignored():
    found, _, _ = readers(small_shop())
    assert found["page", "fax"] is None and found["old", "app"] is None


def test_events_with_a_told_time_keep_their_properties():
    promised = {"after": "paid", "comes": "done", "within": {"property": "until"}, "else_days": 3}
    events = {
        "paid": event("buying", "action", properties={"until": {"type": "text"}}),
        "done": event("buying", "use", "ends"),
    }
    expected = {"version": 1, "promises": {"delivered": promised}}
    domain = small_shop(events=events, journeys={"buying": {"expected": expected}}, churn=None)
    found, _, _ = readers(domain)
    assert found["done", "app"].effect is not None
    assert found["paid", "app"].read('{"until": "x"}').told == {"until": "x"}
