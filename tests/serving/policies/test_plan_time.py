"""Plan time follows the expected traffic of a day, in every time zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import InvalidSetting
from serving.policies.plan_time import TrafficProfile
from tests.serving.paced_day import PLAIN

ROME = ZoneInfo("Europe/Rome")


@pytest.mark.parametrize(
    ("day", "hours"), [((2026, 3, 28), 24), ((2026, 3, 29), 23), ((2026, 10, 25), 25)]
)
def test_a_day_is_as_long_as_it_is_in_the_zone_of_the_business(day, hours):
    profile, start = TrafficProfile(ROME), datetime(*day, tzinfo=ROME).astimezone(UTC)
    for hour in range(hours):
        moment = profile.plan_time(start + timedelta(hours=hour))
        assert moment.day == date(*day)
        assert profile.remaining(moment.day, moment.at) == pytest.approx(1 - hour / hours)
    assert profile.plan_time(start + timedelta(hours=hours)).day > date(*day)


def test_a_profile_is_read_off_the_local_clock():
    profile = TrafficProfile(ROME, (0.0,) * 9 + (3.0, 1.0) + (0.0,) * 13)
    july = date(2026, 7, 1)  # nine o'clock in Rome is seven in UTC
    for clock, remaining in (((6, 59), 1), ((7, 20), 0.75), ((8, 0), 0.25), ((9, 0), 0)):
        at = datetime(2026, 7, 1, *clock, tzinfo=UTC)
        assert profile.remaining(july, at) == pytest.approx(remaining)


def test_an_hour_that_comes_twice_counts_twice_and_one_that_is_skipped_not_at_all():
    at_two = TrafficProfile(ROME, (0.0, 0.0, 1.0, 1.0) + (0.0,) * 20)
    autumn, spring = date(2026, 10, 25), date(2026, 3, 29)
    midnight = datetime(2026, 10, 25, tzinfo=ROME).astimezone(UTC)
    assert at_two.remaining(autumn, midnight + timedelta(hours=4)) == pytest.approx(1 / 3)
    midnight = datetime(2026, 3, 29, tzinfo=ROME).astimezone(UTC)
    assert at_two.remaining(spring, midnight + timedelta(hours=2.5)) == pytest.approx(1 / 2)
    skipped = TrafficProfile(
        ROME, (0.0, 0.0, 1.0) + (0.0,) * 21
    )  # all of its traffic: taken as even
    assert skipped.remaining(spring, midnight + timedelta(hours=11.5)) == pytest.approx(1 / 2)


@given(
    st.sampled_from(
        # Half-hour shifts, midnights that are skipped and hours before midnight that come twice.
        ["Australia/Lord_Howe", "Africa/Cairo", "America/Santiago", "Asia/Kathmandu", "Asia/Beirut"]
    ),
    st.datetimes(datetime(2010, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
)
def test_the_rest_of_a_day_shrinks_from_all_to_nothing_in_every_zone(zone, at):
    profile = TrafficProfile(ZoneInfo(zone))
    moment = profile.plan_time(at)
    shares = [
        profile.remaining(moment.day, at + timedelta(minutes=minutes))
        for minutes in range(-1560, 1561, 20)
    ]
    assert shares[0] == 1 and shares[-1] == 0
    assert shares == sorted(shares, reverse=True)
    assert 0 < profile.remaining(moment.day, at) <= 1


@pytest.mark.parametrize("weights", [(1.0,) * 23, (0.0,) * 24, (-1.0,) + (1.0,) * 23])
def test_a_profile_that_makes_no_sense_is_named(weights):
    with pytest.raises(InvalidSetting, match="weights of the day are .* Expected 24 numbers"):
        TrafficProfile(ROME, weights)


def test_a_moment_without_a_zone_is_refused():
    with pytest.raises(InvalidSetting, match="has no time zone. Expected an aware time"):
        PLAIN.plan_time(datetime(2026, 3, 2, 12))
