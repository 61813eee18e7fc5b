from __future__ import annotations

import pytest

from features.business.domain import Domain
from features.journeys.fold import Fold

AT_S = 1_790_000_000.0
WAYS = {"stage": "use", "touchpoint": "internal", "signal": "direct", "description": "x"}
ORDER = {"order_id": {"type": "text", "remembered": False}}
SOON = {"version": 1, "promises": {"soon": {"after": "call", "next": "call", "within_days": 1}}}


@pytest.fixture(scope="module")
def fold() -> Fold:
    events = {
        "order": {"journey": "sale", "step": "starts", "properties": ORDER, **WAYS},
        "call": {"journey": "help", **WAYS},
    }
    return Fold(
        Domain.model_validate(
            {
                "name": "shop",
                "currency": "eur",
                "channels": ["web"],
                "half_lives_days": [7],
                "journeys": {"sale": {"case": "order_id"}, "help": {"expected": SOON}},
                "events": events,
            }
        )
    )


def after(fold: Fold, *events: tuple[str, str]) -> list[float]:
    """A packed state after events: type, order."""
    state = fold.empty()
    for number, (event_type, order) in enumerate(events):
        properties = {"order_id": order} if event_type == "order" else {}
        state = fold.advance(state, event_type, "web", AT_S + number, properties)
    return fold.pack(state)


@pytest.mark.parametrize(
    "events",
    [
        [],
        [("call", "")],
        [("order", "o1")],
        [("order", "o1"), ("order", "o2"), ("order", "o3")],
        [("order", "o1"), ("call", ""), ("order", "o2"), ("call", "")],
    ],
)
def test_a_state_comes_back_as_it_was_packed(fold: Fold, events: list[tuple[str, str]]) -> None:
    packed = after(fold, *events)
    state = fold.unpack(packed)

    assert state is not None
    assert fold.pack(state) == pytest.approx(packed, nan_ok=True)
    assert all(isinstance(number, float) for number in packed)


def test_nothing_is_packed_into_nothing(fold: Fold) -> None:
    assert after(fold) == []
    assert fold.unpack([]) == pytest.approx(fold.empty(), nan_ok=True)


def test_what_another_fold_has_packed_is_not_unpacked(fold: Fold) -> None:
    packed = after(fold, ("order", "o1"), ("order", "o2"), ("call", ""))

    for length in range(1, len(packed)):  # unless it is cut between two parts
        state = fold.unpack(packed[:length])
        assert state is None or fold.pack(state) == pytest.approx(packed[:length], nan_ok=True)
    assert fold.unpack([*packed, 99.0]) is None
    assert fold.unpack([0.5]) is None


@pytest.mark.parametrize("length", [-1.0, 1.0, 3.0, 0.5, 1e9, float("nan"), float("inf")])
def test_a_memory_of_a_wrong_length_is_not_unpacked(fold: Fold, length: float) -> None:
    sale = after(fold, ("order", "o1"))
    place = len(sale) - 4  # its number, its length, and one journey of two numbers
    assert sale[place + 1] == 2.0

    assert fold.unpack([*sale[: place + 1], length, *sale[place + 2 :]]) is None


def test_a_memory_of_half_a_journey_is_not_unpacked(fold: Fold) -> None:
    sale = after(fold, ("order", "a"))
    assert sale[-3] == 2.0  # the case and the start of one open journey
    assert fold.unpack([*sale[:-3], 1.0, sale[-2]]) is None
