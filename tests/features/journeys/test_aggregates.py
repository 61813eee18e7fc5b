"""Tests the aggregates over all event types against values worked out by hand."""

from math import isnan, log, nan, sqrt

import pytest

from features.journeys.aggregates import MINUTE_S, ChannelPreference, Feedback, Sessions, Spend
from features.journeys.recency_frequency import RecencyFrequency
from features.journeys.state import DAY_S

AT_S = 1_780_000_000.0
HALF_HOUR_S = 30 * MINUTE_S


def _read(part, state, at_s):
    features = []
    part.read(features, state, at_s)
    return dict(zip(part.names, features, strict=True))


def _folded(part, *moves):
    state = part.empty()
    for move in moves:
        part.advance(state, *move)
    return state


def _parts(start):
    lives = (7.0, 28.0)
    return [Sessions(start, 60.0), Spend(start, "eur", lives), Feedback(start, "nps", 28.0)]


@pytest.mark.parametrize("which", range(3), ids=["sessions", "spend", "feedback"])
def test_every_number_has_one_name_and_its_own_place(which):
    part, among = _parts(0)[which], _parts(2)[which]
    move = (AT_S,) if which == 0 else (AT_S, 4.0)
    assert len(part.empty()) == len(part.fields) == len(set(part.fields))
    state = [7.0, 7.0, *part.empty(), 7.0]
    among.advance(state, *move)
    assert state == pytest.approx([7.0, 7.0, *_folded(part, move), 7.0], nan_ok=True)
    assert _read(among, state, AT_S) == pytest.approx(
        _read(part, _folded(part, move), AT_S), nan_ok=True
    )


# --- sessions ---


@pytest.fixture
def sessions():
    return Sessions(0, HALF_HOUR_S)


def test_nobody_came_yet(sessions):
    assert _read(sessions, sessions.empty(), AT_S) == pytest.approx(
        {
            "events_n": 0.0,
            "known_days": nan,
            "silence_days": nan,
            "session_events": 0.0,
            "session_minutes": nan,
            "sessions_n": 0.0,
        },
        nan_ok=True,
    )
    assert isnan(sessions.last_at(sessions.empty()))
    assert sessions.events_n(sessions.empty()) == 0


def test_two_sessions_worked_by_hand(sessions):
    minutes = [0, 20, 24 * 60, 24 * 60 + 5, 24 * 60 + 15]
    state = _folded(sessions, *((AT_S + minute * MINUTE_S,) for minute in minutes))
    read = _read(sessions, state, AT_S + DAY_S + 27 * MINUTE_S)
    assert read == pytest.approx(
        {
            "events_n": 5.0,
            "known_days": 1 + 27 / 1440,
            "silence_days": 12 / 1440,
            "session_events": 3.0,
            "session_minutes": 27.0,  # since the session began
            "sessions_n": 2.0,
        }
    )
    assert sessions.last_at(state) == AT_S + DAY_S + 15 * MINUTE_S
    assert sessions.events_n(state) == 5


@pytest.mark.parametrize(("gap_s", "n"), [(0, 1), (HALF_HOUR_S, 1), (HALF_HOUR_S + 1, 2)])
def test_a_pause_longer_than_the_gap_begins_another_session(sessions, gap_s, n):
    state = _folded(sessions, (AT_S,), (AT_S + gap_s,))
    read = _read(sessions, state, AT_S + gap_s)
    assert read["sessions_n"] == n
    assert read["session_events"] == 3 - n
    assert read["session_minutes"] == (gap_s / MINUTE_S if n == 1 else 0.0)


def test_a_session_is_over_once_nothing_has_happened_for_the_gap(sessions):
    state = _folded(sessions, (AT_S,), (AT_S + 60,))
    still, over = (_read(sessions, state, AT_S + 60 + HALF_HOUR_S + late) for late in (0, 1))
    assert (still["session_events"], still["session_minutes"]) == (2.0, 31.0)
    assert over["session_events"] == 0.0 and isnan(over["session_minutes"])
    assert still["sessions_n"] == over["sessions_n"] == 1.0


def test_a_clock_behind_the_session_reads_nothing_negative(sessions):
    read = _read(sessions, _folded(sessions, (AT_S,)), AT_S - DAY_S)
    assert read["known_days"] == read["silence_days"] == read["session_minutes"] == 0.0
    assert read["session_events"] == 1.0


# --- the preferred channel ---


@pytest.fixture
def channels():
    app = RecencyFrequency("channel_app", 0, (7.0, 28.0))
    return {"app": app, "phone": RecencyFrequency("channel_phone", len(app.fields), (7.0, 28.0))}


def _came(channels, *visits):
    state = [number for part in channels.values() for number in part.empty()]
    for channel, at_s in visits:
        channels[channel].advance(state, at_s, [], [])
    return state


def test_a_channel_is_preferred_by_its_share_in_what_is_remembered(channels):
    """Under the longest half-life, 28 days: of the call half is left."""
    state = _came(channels, ("phone", AT_S), ("app", AT_S + 28 * DAY_S), ("app", AT_S + 28 * DAY_S))
    expected = {"channel_app_preference": 2 / 2.5, "channel_phone_preference": 0.5 / 2.5}
    assert _read(ChannelPreference(channels), state, AT_S + 28 * DAY_S) == pytest.approx(expected)


def test_a_preference_stays_while_the_customer_is_silent(channels):
    state = _came(channels, ("phone", AT_S), ("app", AT_S + DAY_S), ("app", AT_S + 2 * DAY_S))
    soon, late = (
        _read(ChannelPreference(channels), state, AT_S + days * DAY_S) for days in (2, 700)
    )
    assert late == pytest.approx(soon)


@pytest.mark.parametrize("past", [[], [("app", AT_S)]])
def test_there_is_no_preference_where_nothing_is_remembered(channels, past):
    """Not before the first event, and not a hundred years later."""
    read = _read(ChannelPreference(channels), _came(channels, *past), AT_S + 100 * 365 * DAY_S)
    assert all(isnan(share) for share in read.values())


def test_a_preference_keeps_nothing_of_its_own(channels):
    assert ChannelPreference(channels).empty() == []
    assert ChannelPreference(channels).fields == ()


# --- spend ---


@pytest.fixture
def spend():
    return Spend(0, "eur", (7.0, 14.0))


def test_nothing_was_spent_yet(spend):
    assert _read(spend, spend.empty(), AT_S) == pytest.approx(
        {
            "spend_total_eur": 0.0,
            "spend_mean_eur": nan,
            "spend_last_eur": nan,
            "spend_per_week_eur_7d": 0.0,
            "spend_per_week_eur_14d": 0.0,
        },
        nan_ok=True,
    )


def test_spend_worked_by_hand(spend):
    state = _folded(spend, (AT_S, 80.0), (AT_S + 7 * DAY_S, 20.0))
    assert _read(spend, state, AT_S + 14 * DAY_S) == pytest.approx(
        {
            "spend_total_eur": 100.0,
            "spend_mean_eur": 50.0,
            "spend_last_eur": 20.0,
            # What is left of it, times ln 2 weeks a half-life: 80/4 + 20/2, and 80/2 + 20/sqrt 2.
            "spend_per_week_eur_7d": 30.0 * log(2),
            "spend_per_week_eur_14d": (40.0 + 20.0 / sqrt(2)) * log(2) / 2,
        }
    )


def test_a_steady_spender_is_read_at_the_true_pace(spend):
    state = _folded(spend, *((AT_S + day * DAY_S, 10.0) for day in range(365)))
    read = _read(spend, state, AT_S + 364.5 * DAY_S)
    assert read["spend_per_week_eur_7d"] == pytest.approx(70.0, rel=0.001)


def test_a_clock_behind_the_payment_reads_it_in_full(spend):
    state = _folded(spend, (AT_S, 80.0))
    assert _read(spend, state, AT_S - 7 * DAY_S) == _read(spend, state, AT_S)


# --- feedback ---


@pytest.fixture
def feedback():
    return Feedback(0, "csat", 28.0)


def test_nothing_was_said_yet(feedback):
    read = _read(feedback, feedback.empty(), AT_S)
    assert read.pop("feedback_csat_n") == 0.0
    assert [*read] == [f"feedback_csat_{name}" for name in ("last", "mean", "silence_days")]
    assert all(isnan(value) for value in read.values())


def test_the_last_answer_and_the_mean_worked_by_hand(feedback):
    """The first answer is one half-life older than the second, so it counts half."""
    state = _folded(feedback, (AT_S, 1.0), (AT_S + 28 * DAY_S, 4.0))
    assert _read(feedback, state, AT_S + 30 * DAY_S) == pytest.approx(
        {
            "feedback_csat_n": 2.0,
            "feedback_csat_last": 4.0,
            "feedback_csat_mean": (1 / 2 + 4) / (1 / 2 + 1),
            "feedback_csat_silence_days": 2.0,
        }
    )


def test_a_mean_does_not_fade_with_silence(feedback):
    state = _folded(feedback, (AT_S, 1.0), (AT_S + DAY_S, 5.0))
    soon, late = (_read(feedback, state, AT_S + days * DAY_S) for days in (1, 36_500))
    assert late["feedback_csat_mean"] == soon["feedback_csat_mean"]


def test_an_answer_of_zero_is_an_answer():
    nps = Feedback(0, "nps", 28.0)
    read = _read(nps, _folded(nps, (AT_S, 0.0)), AT_S)
    assert (read["feedback_nps_n"], read["feedback_nps_last"], read["feedback_nps_mean"]) == (
        *(1.0, 0.0, 0.0),
    )


def test_a_clock_behind_the_answer_reads_no_silence(feedback):
    read = _read(feedback, _folded(feedback, (AT_S, 3.0)), AT_S - DAY_S)
    assert read["feedback_csat_silence_days"] == 0.0
