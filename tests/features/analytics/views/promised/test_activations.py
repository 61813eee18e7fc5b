from __future__ import annotations

import numpy as np
import pytest

from features.analytics.views.filters import JourneyFilter
from features.analytics.views.promised.activations import activations, promises_of
from tests.features.analytics.views.promised_shop import (
    MOMENTS,
    SHOP,
    VERSIONS,
    Log,
    judged_by_hand,
    opened,
    promised_shop,
    random_log,
)
from tests.journey_logs import at_us, journeys_of

DELIVERY = JourneyFilter(map="delivery")


@pytest.mark.parametrize("as_of_days", MOMENTS)
def test_its_rows_are_the_activations_that_brute_force_finds(as_of_days: float) -> None:
    log = random_log(np.random.default_rng(16), customers=100)
    with opened(log, as_of_days) as data:
        rows = activations(data, DELIVERY).rows(data, {}, 10_000)

    expected = []
    for customer_id, name, version, one in judged_by_hand(log, as_of_days):
        due_us = one.due_us
        if name == "told":  # of a precedence: until when the other step had to come
            due_us = one.activated_us - 12 * 3_600_000_000
        late = None if one.lateness_us is None else one.lateness_us / 1e6
        times = (one.activated_us, due_us, one.resolved_us)
        expected.append((customer_id, name, version, one.state, *times, late))
    columns = ("customer_id", "promise", "version", "state", "activated_us", "due_us")
    found = [
        (*(row[name] for name in columns), row["resolved_us"], row["lateness_s"]) for row in rows
    ]
    assert sorted(found, key=str) == sorted(expected, key=str)


def test_a_row_says_how_the_step_came_and_when_an_open_one_is_due() -> None:
    log = [
        ("c1", "ordered", 2.0),
        ("c1", "delivered", 2.9),  # in less than one of two days
        ("c2", "ordered", 2.0),
        ("c2", "delivered", 3.5),
        ("c3", "ordered", 2.0),
        ("c3", "delivered", 4.25),
        ("c4", "ordered", 4.0),  # due in 36 hours
        ("c5", "ordered", 3.5),  # due in 24 hours
        ("c6", "ordered", 3.0),  # due in 12 hours
        ("c7", "ordered", 2.0),  # was due 12 hours ago
    ]
    with opened(log, 4.5) as data:  # type: ignore[arg-type]
        rows = activations(data, DELIVERY).rows(data, {"promise": "on_time"}, 100)
        told = {
            row["customer_id"]: (row["state"], row["timing"], row["due_in"], row["hours_left"])
            for row in rows
        }
        times = [row["at_us"] for row in rows]

    assert told == {
        "c1": ("kept", "exceeded", None, None),
        "c2": ("kept", "in_time", None, None),
        "c3": ("broken", "late", None, None),
        "c4": ("open", None, "later", 36.0),
        "c5": ("open", None, "day", 24.0),
        "c6": ("open", None, "day", 12.0),
        "c7": ("broken", None, None, None),
    }
    # What is decided stands at that time, and what is open at its due time.
    assert times == [at_us(day) for day in (2.9, 3.5, 4.0, 4.0, 5.0, 5.5, 6.0)]


def test_a_step_that_was_there_for_twice_the_time_exceeds_a_precedence() -> None:
    """Shipped 12 hours before is asked for: exactly 24 are twice as many, a second less is not."""
    log: Log = []
    for name, shipped in (("c1", 0.5), ("c2", 0.5 + 1 / 86_400), ("c3", 1.0 + 1 / 86_400)):
        log += [
            (name, "ordered", 0.0, "app", {}),
            (name, "message", shipped, "app", {"news": "shipped"}),
            (name, "delivered", 1.5, "app", {}),
        ]
    with opened(log, 3.0) as data:
        rows = activations(data, DELIVERY).rows(data, {"promise": "told"}, 10)
    timings = {row["customer_id"]: row["timing"] for row in rows}
    assert timings == {"c1": "exceeded", "c2": "in_time", "c3": "late"}


def test_a_precedence_without_a_time_is_not_exceeded() -> None:
    told = {"told": {"before": "delivered", "comes": "shipped"}}
    log: Log = [
        ("c1", "message", 0.0, "app", {"news": "shipped"}),
        ("c1", "delivered", 1.5, "app", {}),
    ]
    with journeys_of(promised_shop({"version": 1, "promises": told}), log, 3.0) as data:
        (row,) = activations(data, DELIVERY).rows(data, {}, 10)
    assert (row["state"], row["timing"]) == ("kept", "in_time")


def test_a_new_version_leaves_older_journeys_as_they_were() -> None:
    log: Log = [
        ("c1", "ordered", 0.0, "app", {}),
        ("c1", "delivered", 1.5, "app", {}),  # the first version promised one day
        ("c2", "ordered", 2.0, "app", {}),
        ("c2", "delivered", 3.5, "app", {}),  # the second one promises two
    ]
    with opened(log, 5.0) as data:
        rows = activations(data, DELIVERY).rows(data, {"promise": "on_time"}, 100)

    found = [(row["customer_id"], row["version"], row["state"]) for row in rows]
    assert found == [("c1", 1, "broken"), ("c2", 2, "kept")]


def test_another_version_changes_no_row_of_a_journey_that_began_before_it() -> None:
    log = random_log(np.random.default_rng(8), customers=60)
    before = JourneyFilter.model_validate({"map": "delivery", "until": "2023-11-16T00:00:00Z"})
    with opened(log, 3.0) as data, journeys_of(promised_shop(VERSIONS[:1]), log, 3.0) as older:
        rows = [activations(one, before).rows(one, {}, 1000) for one in (data, older)]

    assert rows[0] == rows[1]
    assert {row["state"] for row in rows[0]} == {"kept", "broken", "open"}


def test_journeys_from_before_the_first_version_are_not_judged() -> None:
    later = {"version": 1, "since": "2023-11-16", "promises": {"quiet": {"never": "call"}}}
    log = [("c1", "ordered", 0.0), ("c2", "ordered", 3.0)]
    with journeys_of(promised_shop(later), log) as data:
        rows = activations(data, DELIVERY).rows(data, {}, 100)

    assert [row["customer_id"] for row in rows] == ["c2"]


def test_a_map_without_promises_has_no_activations() -> None:
    with opened([("c1", "gone", 0.0, "app", {})], 1.0) as data:
        assert activations(data, JourneyFilter(map="leaving")).count(data, {}) == 0
        assert activations(data, JourneyFilter()).count(data, {}) == 0


def test_promises_are_listed_by_version() -> None:
    found = [(one.expected.version, one.name) for one in promises_of(SHOP, "delivery")]

    assert found == [
        *((1, name) for name in ("on_time", "told", "once")),
        *((2, name) for name in ("on_time", "quiet", "few", "at_once")),
    ]
