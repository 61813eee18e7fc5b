from __future__ import annotations

from math import inf, nan

import pytest

from features.business.journey_rules.promises import Promise
from features.journeys.promises.due_times import due_us, told_us

AT_US = 1_790_000_000_000_000
DAY_US = 86_400_000_000


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-22T10:00Z", 1_795_341_600_000_000),
        ("2026-11-22T11:00:00.000001+01:00", 1_795_341_600_000_001),
        (" 2026-11-22T10:00:00Z ", 1_795_341_600_000_000),
        (1_795_341_600, 1_795_341_600_000_000),
        (1_795_341_600.5, 1_795_341_600_500_000),
        (0, 0),
        ("2026-11-22T10:00", None),  # no zone
        ("2026-11-22", None),
        ("tomorrow", None),
        ("", None),
        (None, None),
        (True, None),
        (nan, None),
        (inf, None),
        (-1, None),
        (1e15, None),
        ("1969-12-31T23:59:59Z", None),
        ("2200-01-01T00:00:00Z", None),
    ],
)
def test_a_property_tells_a_time_or_none(value: object, expected: int | None) -> None:
    assert told_us(value) == expected


def test_the_told_time_is_due_and_else_some_days() -> None:
    promise = Promise.model_validate(
        {"after": "a", "comes": "b", "within": {"property": "promised_at"}, "else_days": 3}
    )

    assert due_us(promise, AT_US, {"promised_at": 1_795_341_600}) == 1_795_341_600_000_000
    assert due_us(promise, AT_US, {"promised_at": "soon"}) == AT_US + 3 * DAY_US
    assert due_us(promise, AT_US, {}) == AT_US + 3 * DAY_US


def test_a_time_begins_with_the_step() -> None:
    promise = Promise.model_validate({"after": "a", "comes": "b", "within_hours": 1.5})

    assert due_us(promise, AT_US, {}) == AT_US + 5_400_000_000


def test_without_a_time_nothing_is_due() -> None:
    assert due_us(Promise.model_validate({"never": "a"}), AT_US, {}) is None
