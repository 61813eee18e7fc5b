"""Tests how the options of `nba journeys` become a request."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from features.errors import InvalidSetting
from serving.cli.journeys.opening import asked_for

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def test_options_become_one_filter():
    where = ["persona=planners", "how=ended", "how=open", "channel=app", "age=", "age=19-24"]
    asked = asked_for("map", "purchase", (BEGIN, None), where, None, None, {"limit": 5})
    wanted = asked.filter
    assert (wanted.map, wanted.since, wanted.until) == ("purchase", BEGIN, None)
    assert wanted.persona == ("planners",)
    assert wanted.how == ("ended", "open")
    assert wanted.entry_channel == ("app",)
    assert wanted.attributes == {"age": (None, "19-24")}
    assert asked.limit == 5


def test_another_period_is_the_same_filter_in_that_period():
    period = "2026-01-01T00:00:00Z/2026-02-01T00:00:00Z"
    asked = asked_for("compare", "purchase", (BEGIN, None), ["how=ended"], period, None, {})
    assert not isinstance(asked.against, str) and asked.against is not None
    assert (asked.against.map, asked.against.how) == ("purchase", ("ended",))
    assert asked.against.until == datetime(2026, 2, 1, tzinfo=UTC)


def test_a_wrong_field_is_named_with_its_value():
    with pytest.raises(InvalidSetting, match=r"filter.how.0 is 'gone'\."):
        asked_for("map", "purchase", (None, None), ["how=gone"], None, None, {})
