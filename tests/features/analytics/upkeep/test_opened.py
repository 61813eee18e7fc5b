"""Journeys are opened as they are kept, or as they were known on a past day."""

from __future__ import annotations

import pytest

from features.analytics.upkeep.kept_state import FOLDER
from features.analytics.upkeep.opened import opened_journeys
from features.errors import InvalidRequest, NotCounted
from features.ledger import tables
from features.ledger.tables import micros
from tests.features.live import DAY, NOW, SHOP, add, stored


@pytest.mark.process
def test_those_of_a_past_day_are_built_for_one_use(ledger, tmp_path):
    add(
        ledger,
        tables.events,
        stored("known", "c1", NOW - 3 * DAY, received_at=NOW - 3 * DAY),
        stored("late", "c1", NOW - 2 * DAY, received_at=NOW),
        stored("after", "c2", NOW, received_at=NOW),
    )
    with opened_journeys(ledger, SHOP, tmp_path, NOW - DAY, most_events=3) as data:
        assert (data.as_of_us, data.erased) == (micros(NOW - DAY), 0)
        found = data.rows("SELECT customer_id, at_us FROM steps WHERE map = 0")
        assert found == [("c1", micros(NOW - 3 * DAY))]
        files = list((tmp_path / FOLDER).glob("**/*.parquet"))  # where an erasure finds them
        assert len(files) == 2
    assert list((tmp_path / FOLDER).iterdir()) == []
    with (
        pytest.raises(InvalidRequest, match="more than 2 events"),
        opened_journeys(ledger, SHOP, tmp_path, NOW - DAY, most_events=2),
    ):
        pass


def test_without_a_count_the_error_says_what_to_do(ledger, tmp_path):
    with (
        pytest.raises(NotCounted, match="not counted yet"),
        opened_journeys(ledger, SHOP, tmp_path),
    ):
        pass
