"""The names of a condition on an event: their kinds, values and bounds."""

from math import inf

from features.business.domain import Domain
from features.business.journey_rules.event_names import event_names, mixed_properties


def test_the_names_of_a_kind_are_those_of_its_events(delivery):
    domain: Domain = delivery()
    names = event_names(domain.events_of("delivery"), domain.channels)
    assert names.kinds == {
        "type": "text",
        "channel": "text",
        "order": "text",
        "promised_at": "text",
        "speed": "text",
        "status": "text",
    }, "weight is a number in one type and a text in another"
    assert names.values == {
        "type": ("ordered", "shipped", "delivered"),
        "channel": ("app", "phone"),
        "speed": ("normal", "fast"),
        "status": ("on_time", "late"),
    }
    assert mixed_properties(domain.events_of("delivery")) == ("weight",)


def test_a_number_has_the_widest_bounds_of_its_events(delivery):
    domain: Domain = delivery()
    ordered = domain.events["ordered"]
    weight = ordered.properties["weight"]
    wider = weight.model_copy(update={"min": -1.0, "max": None})
    other = ordered.model_copy(update={"properties": {"weight": wider}})
    assert event_names({"a": ordered}, ("app",)).ranges == {"weight": (0.0, 30.0)}
    assert event_names({"a": ordered, "b": other}, ("app",)).ranges == {"weight": (-1.0, inf)}


def test_a_category_has_the_values_of_all_its_events(delivery):
    ordered = delivery().events["ordered"]
    speed = ordered.properties["speed"]
    more = speed.model_copy(update={"values": ("fast", "slow")})
    other = ordered.model_copy(update={"properties": {"speed": more}})
    both = event_names({"a": ordered, "b": other}, ("app",))
    assert both.values["speed"] == ("normal", "fast", "slow")
    text = speed.model_copy(update={"type": "text", "values": ()})
    any_text = ordered.model_copy(update={"properties": {"speed": text}})
    assert "speed" not in event_names({"a": ordered, "b": any_text}, ("app",)).values
