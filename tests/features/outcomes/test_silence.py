"""Tests the ages of silences, and that what is shown waits to be counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from features.ledger import tables
from features.outcomes.credit_rules import ShownAction
from features.outcomes.silence import FRACTIONS, MIDDLES, queue_silences, silent_interval

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
SHOWN = ShownAction("d1", "discount", NOW, NOW + 64 * HOUR)


@pytest.mark.parametrize(
    ("hours", "number", "begin", "end"),
    [
        (0, 0, 0, 1),
        (0.99, 0, 0, 1),
        (1, 1, 1, 4),
        (4, 2, 4, 8),
        (15.9, 3, 8, 16),
        (31, 4, 16, 32),
        (32, 5, 32, 64),
        (63.99, 5, 32, 64),
        (64, 6, 64, None),
        (1_000, 6, 64, None),
        (-1, 0, 0, 1),  # the clock of another machine
    ],
)
def test_a_silence_is_in_the_interval_of_its_age(hours, number, begin, end):
    found = silent_interval(SHOWN, NOW + hours * HOUR)
    end_at = None if end is None else NOW + end * HOUR
    assert found == (number, NOW + begin * HOUR, end_at)


def test_a_silence_counts_as_of_the_middle_of_its_interval():
    assert len(MIDDLES) == len(FRACTIONS) - 1
    assert MIDDLES[0] == 1 / 128 and MIDDLES[-1] == 0.75


@pytest.mark.databases("sqlite", "postgresql")
def test_each_shown_action_waits_from_its_showing_on(ledger):
    ledger.write_now(lambda c: queue_silences(c, "d1", ["discount", "call_back"], NOW))
    columns = tables.credits.c
    query = sa.select(tables.credits).order_by(columns.action_id)
    rows = ledger.read(lambda c: [tuple(row) for row in c.execute(query)])
    assert rows == [
        ("d1", "call_back", 0.0, 0.0, NOW, None),
        ("d1", "discount", 0.0, 0.0, NOW, None),
    ]
