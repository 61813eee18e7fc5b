"""Tests the results of ingesting events."""

from features.errors import InvalidEvent
from features.ingest.ingest_result import AppendedEvents, Rejection, not_visible


def test_the_results_of_two_parts_of_a_call_add_up():
    error = InvalidEvent("event_id", "It is there with another content.")
    total = AppendedEvents(accepted={0: "ann"}, duplicates={1: "bob"}, touched={"ann", "bob"})
    total.add(AppendedEvents({2: "ann"}, {3: "cy"}, {4: error}, {"ann", "cy"}))
    assert total == AppendedEvents(
        accepted={0: "ann", 2: "ann"},
        duplicates={1: "bob", 3: "cy"},
        refused={4: error},
        touched={"ann", "bob", "cy"},
    )


def test_rejections_are_sorted_by_their_place_in_the_call():
    one, other = Rejection(3, "type", "unknown"), not_visible(1, "ann", "It is odd.")
    assert sorted([one, other]) == [other, one]
    assert other.error.startswith(
        "The event is kept, but the past of customer 'ann' cannot be folded. It is odd. Expected"
    )
