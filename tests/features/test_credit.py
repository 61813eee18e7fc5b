"""What a decided action teaches, by what was said of it and when."""

from __future__ import annotations

from datetime import timedelta

import pytest

from features.credit import Said, Shown, credit, touch

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
INSIDE, OUTSIDE = 3 * DAY, 15 * DAY  # after the decision; its window is 14 days


@pytest.mark.parametrize(
    ("outcomes", "asked", "taught"),
    [
        ([], INSIDE, None),
        ([], 14 * DAY, None),
        ([], OUTSIDE, 0.0),
        ([("o1", "accepted", HOUR, None)], INSIDE, 1.0),
        ([("o1", "rejected", HOUR, None)], INSIDE, 0.0),
        ([("o1", "clicked", HOUR, None)], INSIDE, None),
        ([("o1", "clicked", HOUR, None)], OUTSIDE, 0.0),
        ([("o1", "accepted", 14 * DAY, None)], OUTSIDE, 1.0),
        ([("o1", "accepted", 14 * DAY + HOUR, None)], OUTSIDE, 0.0),
        ([("o1", "rejected", HOUR, None), ("o2", "accepted", DAY, None)], INSIDE, 1.0),
        ([("o2", "accepted", DAY, None), ("o1", "rejected", HOUR, None)], INSIDE, 1.0),
        ([("o1", "accepted", HOUR, None), ("o2", "accepted", DAY, "o1")], INSIDE, None),
        ([("o2", "accepted", DAY, "o1"), ("o1", "accepted", HOUR, None)], INSIDE, None),
        ([("o1", "accepted", HOUR, None), ("o2", "accepted", DAY, "o1")], OUTSIDE, 0.0),
        ([("o1", "accepted", HOUR, None), ("o2", "accepted", OUTSIDE, "o1")], OUTSIDE, 0.0),
        (
            [
                ("o1", "accepted", HOUR, None),
                ("o2", "rejected", HOUR, None),
                ("o3", "accepted", DAY, "o1"),
            ],
            INSIDE,
            0.0,
        ),
        ([("o1", "of_an_older_catalogue", HOUR, None)], INSIDE, None),
    ],
    ids=[
        "nothing while the window is open",
        "nothing at its last moment",
        "0 after a window closed in silence",
        "accepted",
        "rejected",
        "a click says nothing",
        "a click alone is silence in the end",
        "accepted at the last moment",
        "accepted too late is silence",
        "the best counts",
        "in any order",
        "taken back",
        "taken back before it came",
        "taken back, then silence",
        "taken back after the window",
        "taken back, another still stands",
        "an outcome the catalogue forgot",
    ],
)
def test_the_credit_of_a_decided_action(outcomes, asked, taught, toy_catalog, now):
    happened = [Said(name, outcome, now + when, gone) for name, outcome, when, gone in outcomes]
    heard = touch(Shown("d1", "discount", now, now + 14 * DAY), happened, toy_catalog)
    assert credit(heard, {}, now + asked, toy_catalog) == taught


def test_what_was_said_before_the_decision_is_not_put_down_to_it(toy_catalog, now):
    early = [Said("o1", "accepted", now - HOUR)]
    heard = touch(Shown("d1", "discount", now, now + DAY), early, toy_catalog)
    assert credit(heard, {}, now + HOUR, toy_catalog) is None
