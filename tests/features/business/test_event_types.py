"""Attributes, properties and event types, as single parts of a domain file."""

import pytest
from pydantic import ValidationError

from features.business.event_types import SCALES, STAGES, Attribute, EventType, Property

EVENT = {
    "description": "Opened the app.",
    "journey": "use",
    "stage": "use",
    "touchpoint": "internal",
    "signal": "passive",
}


def test_a_journey_has_seven_stages_if_the_file_lists_no_own_ones():
    assert (
        *("awareness", "discovery", "interest", "consideration", "action", "use", "advocacy"),
    ) == STAGES
    assert EventType(**EVENT).stage in STAGES
    assert EventType(**{**EVENT, "stage": "onboarding"}).stage == "onboarding"


def test_an_event_moves_its_journey_on_unless_it_says_otherwise():
    assert EventType(**EVENT).step == "moves"
    with pytest.raises(ValidationError):
        EventType(**{**EVENT, "step": "jumps"})


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"type": "category"}, "values: some for type category"),
        ({"type": "number", "values": ["a"]}, "values: some for type category"),
        ({"type": "category", "values": ["a", " "]}, "values.1: a text; an empty cell"),
        ({"type": "category", "values": ["a", "b", "a"]}, "values.2: each value once"),
    ],
)
def test_a_category_lists_its_values_once(written, said):
    with pytest.raises(ValidationError, match=said):
        Attribute(**written)


@pytest.mark.parametrize("measure", sorted(SCALES))
def test_a_score_lies_on_the_scale_of_its_measure(measure):
    low, high = SCALES[measure]
    assert Property(type="number", min=low, max=high, measures=measure).measures == measure
    for wrong in ({"min": low - 1, "max": high}, {"min": low, "max": high + 1}, {}):
        with pytest.raises(ValidationError, match="where the scale of"):
            Property(type="number", measures=measure, **wrong)
