"""Tests of the request that sets the simulated clock."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from serving.contract.clock import ClockRequest


def test_a_time_is_read_in_utc_and_does_not_settle_unless_it_says_so():
    request = ClockRequest.model_validate({"now": "2026-03-01T09:00:00+01:00"})
    assert request.now == datetime(2026, 3, 1, 8, tzinfo=UTC) and not request.settle


@pytest.mark.parametrize(
    "now", ["2026-03-01T08:00:00", "1969-12-31T00:00:00Z", "2200-01-01T00:00:00Z", "soon", None]
)
def test_a_time_without_a_zone_or_of_another_age_is_refused(now):
    with pytest.raises(ValidationError):
        ClockRequest.model_validate({"now": now})
