"""Tests the memory of open journeys against cases worked out by hand."""

from __future__ import annotations

from math import isnan
from typing import Any

import pytest

from features.business.domain import Domain
from features.journeys.fold import Fold, State
from features.journeys.promises import journey_memory
from features.journeys.promises.journey_memory import case_hash, memory_at, set_memory
from features.journeys.state import DAY_S

AT_S = 1_790_000_000.0
WAYS = {"stage": "use", "touchpoint": "internal", "signal": "direct", "description": "x"}
ORDER = {"order_id": {"type": "text", "remembered": False}}


def shop(**delivery: Any) -> Fold:
    kind = {"case": "order_id", "lapse_days": 30} | delivery
    told = {"journey": "delivery", "properties": ORDER, **WAYS}
    return Fold(
        Domain.model_validate(
            {
                "name": "shop",
                "currency": "eur",
                "channels": ["web"],
                "half_lives_days": [7],
                "journeys": {"delivery": kind},
                "events": {
                    "ordered": {"step": "starts", **told},
                    "shipped": {"step": "moves", **told},
                    "delivered": {"step": "ends", **told},
                    "gone": {"journey": "life", **WAYS},
                },
                "churn": {"event": "gone", "when": "happens"},
            }
        )
    )


def promised(**promises: Any) -> dict[str, Any]:
    return {"expected": {"version": 1, "promises": promises}}


ON_TIME = promised(on_time={"after": "ordered", "comes": "delivered", "within_days": 3})


def folded(fold: Fold, *events: tuple[float, str, str | None]) -> State:
    """The state after events: day, type, order."""
    state = fold.empty()
    for day, event_type, order in events:
        properties = {} if order is None else {"order_id": order}
        state = fold.advance(state, event_type, "web", AT_S + day * DAY_S, properties)
    return state


def read(fold: Fold, state: State, day: float) -> dict[str, float]:
    return dict(zip(fold.feature_names, fold.read(state, AT_S + day * DAY_S), strict=True))


def test_journeys_of_two_cases_end_apart() -> None:
    fold = shop()
    events = [(0.0, "ordered", "o1"), (2.0, "ordered", "o2"), (3.0, "delivered", "o1")]

    before = read(fold, folded(fold, *events[:2]), 3)
    after = read(fold, folded(fold, *events), 4)

    assert (before["journey_delivery_open"], before["journey_delivery_age_days"]) == (2.0, 3.0)
    # Without a case, the end would have closed o2, the newest one.
    assert (after["journey_delivery_open"], after["journey_delivery_age_days"]) == (1.0, 2.0)


def test_an_event_without_its_case_belongs_to_the_newest_open_journey() -> None:
    fold = shop()
    state = folded(fold, (0, "ordered", "o1"), (2, "ordered", "o2"), (3, "delivered", None))

    features = read(fold, state, 4)
    assert (features["journey_delivery_open"], features["journey_delivery_age_days"]) == (1.0, 4.0)


def test_a_second_start_of_a_case_is_a_step_of_it_and_one_without_a_case_opens_another() -> None:
    fold = shop()
    once = folded(fold, (0, "ordered", "o1"), (1, "ordered", "o1"))
    twice = folded(fold, (0, "ordered", "o1"), (1, "ordered", None))

    assert read(fold, once, 2)["journey_delivery_open"] == 1.0
    assert read(fold, twice, 2)["journey_delivery_open"] == 2.0


def test_an_end_of_a_case_that_is_not_open_closes_no_other() -> None:
    fold = shop()
    state = folded(fold, (0, "ordered", "o1"), (1, "delivered", "o9"))

    assert read(fold, state, 2)["journey_delivery_open"] == 1.0


def test_the_due_time_of_an_open_promise_counts_down_and_then_it_is_broken() -> None:
    fold = shop(**ON_TIME)
    state = folded(fold, (0, "ordered", "o1"), (1, "ordered", "o2"))

    early, late, later = (read(fold, state, day) for day in (1.5, 3.5, 4.5))

    names = [f"promise_on_time_{name}" for name in ("open", "hours_left", "broken_n")]
    assert [early[name] for name in names] == [2.0, 36.0, 0.0]
    assert [late[name] for name in names] == [1.0, 12.0, 1.0]
    assert (later[names[0]], later[names[2]]) == (0.0, 2.0)
    assert isnan(later[names[1]])


def test_what_was_broken_stays_counted_after_the_journey() -> None:
    fold = shop(**ON_TIME)
    state = folded(fold, (0, "ordered", "o1"), (5, "delivered", "o1"))

    assert read(fold, state, 5)["journey_delivery_open"] == 0.0
    assert read(fold, state, 900)["promise_on_time_broken_n"] == 1.0
    stored = fold.unpack(fold.pack(state))
    assert stored is not None and read(fold, stored, 900)["promise_on_time_broken_n"] == 1.0


def test_the_state_of_a_customer_without_open_journeys_is_small_again() -> None:
    fold = shop(**ON_TIME)
    place = fold.state_fields.index("journey_delivery_memory")
    open_one = folded(fold, (0, "ordered", "o1"))
    ended = folded(fold, (0, "ordered", "o1"), (1, "delivered", "o1"))

    due_us = (AT_S + 3 * DAY_S) * 1e6
    assert memory_at(open_one, place) == (0.0, case_hash("o1"), AT_S * 1e6, due_us)
    assert memory_at(ended, place) == ()
    assert ended[place] == 0.0


def test_a_customer_who_leaves_has_no_open_journey_or_promise() -> None:
    fold = shop(**ON_TIME)
    state = folded(fold, (0, "ordered", "o1"), (1, "ordered", "o2"), (2, "gone", None))

    features = read(fold, state, 2)
    assert features["open_journeys"] == features["promise_on_time_open"] == 0.0
    assert features["promise_on_time_broken_n"] == 0.0  # not due yet, so void


def test_after_a_lapse_promises_that_were_due_are_broken_and_others_void() -> None:
    fold = shop(
        lapse_days=2,
        **promised(
            soon={"after": "ordered", "comes": "delivered", "within_days": 1},
            later={"after": "ordered", "comes": "delivered", "within_days": 3},
        ),
    )
    state = folded(fold, (0, "ordered", "o1"))
    again = folded(fold, (0, "ordered", "o1"), (10, "ordered", "o2"))

    for features, waiting in ((read(fold, state, 4), 0.0), (read(fold, again, 10), 1.0)):
        assert features["promise_soon_broken_n"] == 1.0
        assert features["promise_later_broken_n"] == 0.0
        assert features["promise_later_open"] == waiting


def test_after_a_lapse_the_time_in_a_stage_begins_anew() -> None:
    fold = shop(lapse_days=2)
    state = folded(fold, (0, "ordered", "o1"), (10, "ordered", "o2"))

    assert read(fold, state, 11)["journey_delivery_stage_days"] == 1.0


def test_who_leaves_after_a_lapse_has_no_promise_that_was_due_after_it() -> None:
    fold = shop(lapse_days=2, **ON_TIME)
    state = folded(fold, (0, "ordered", "o1"), (9, "gone", None))

    assert read(fold, state, 9)["promise_on_time_broken_n"] == 0.0


def test_a_journey_is_judged_by_the_version_in_force_at_its_start() -> None:
    fast = {"after": "ordered", "comes": "delivered", "within_days": 1}
    versions = [
        {"version": 1, "promises": {"on_time": fast | {"within_days": 9}}},
        {"version": 2, "since": "2026-09-23", "promises": {"on_time": fast}},
    ]
    fold = shop(expected=versions)  # AT_S is 2026-09-21, 14:13 in UTC
    state = folded(fold, (0, "ordered", "o1"), (4, "ordered", "o2"))

    features = read(fold, state, 6)
    assert features["promise_on_time_broken_n"] == 1.0
    assert features["promise_on_time_hours_left"] == 3 * 24.0


def test_a_version_is_in_force_from_the_first_instant_of_its_day() -> None:
    promise = {"after": "ordered", "comes": "delivered", "within_days": 1}
    versions = [
        {"version": 1, "promises": {"on_time": promise}},
        {
            "version": 2,
            "since": "2026-09-22",
            "promises": {"on_time": promise | {"within_days": 3}},
        },
    ]
    fold = shop(expected=versions)
    midnight = 35_200 / DAY_S  # in days from AT_S, which is 2026-09-21, 14:13:20 in UTC
    events = [(midnight - 1e-6 / DAY_S, "ordered", "o1"), (midnight, "ordered", "o2")]
    left = [read(fold, folded(fold, one), midnight)["promise_on_time_hours_left"] for one in events]

    assert left == [pytest.approx(24.0), 72.0]


def test_the_oldest_of_too_many_open_journeys_has_lapsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journey_memory, "MAX_OPEN", 3)
    fold = shop(**promised(on_time={"after": "ordered", "comes": "delivered", "within_hours": 36}))
    state = folded(fold, *((float(day), "ordered", f"o{day}") for day in range(5)))

    features = read(fold, state, 4)
    assert (features["journey_delivery_open"], features["journey_delivery_age_days"]) == (3.0, 2.0)
    # o0 and o1 were due 36 hours after days 0 and 1, before they gave way on days 3 and 4.
    assert features["promise_on_time_broken_n"] == 2.0 + 1.0


def test_a_promise_is_described_in_words() -> None:
    fold = shop(**ON_TIME)
    found = fold.descriptions()
    features = read(fold, folded(fold, (0, "ordered", "o1")), 2.5)
    texts = {
        name: found[name].text(features[name]) for name in features if name.startswith("promise")
    }

    assert texts == {
        "promise_on_time_open": "promise 'on time' open 1 time",
        "promise_on_time_hours_left": "promise 'on time' due in 12 hours",
        "promise_on_time_broken_n": "promise 'on time' broken 0 times",
    }


def test_a_memory_stands_at_one_place_and_nothing_is_no_memory() -> None:
    state = [1.0, 0.0]

    set_memory(state, 1, (2.0, 3.0))
    assert memory_at(state, 1) == (2.0, 3.0)
    set_memory(state, 1, ())
    assert (state, memory_at(state, 1)) == ([1.0, 0.0], ())


def test_a_case_has_a_hash_that_a_float_holds() -> None:
    assert case_hash("o1") != case_hash("o2")
    assert 0 <= case_hash("o1") < 2**48
    assert case_hash("o1").is_integer()
