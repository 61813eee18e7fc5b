"""The part of one kind of thing: by hand, and held against a recomputation from all events."""

from math import exp2, isfinite, isnan, log, log1p, nan, sqrt

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.journeys.recency_frequency import (
    HEAD,
    MEMORY,
    MIN_FILLED,
    PRIOR_GAP_SD,
    PRIOR_GAPS,
    RecencyFrequency,
)
from features.journeys.state import DAY_S, WEEK_S

REPEATABLE = settings(derandomize=True, database=None, deadline=None)
START_S = 2_940 * WEEK_S  # a week begins here
LIVES = (7.0, 28.0)
KINDS = ("small", "big")
# Every step rounds once or twice (1e-16), an exponent of at most 120 bits costs 1e-14, and no
# list is longer than 25 events.
CLOSE = 1e-10

kinds = st.sampled_from([None, *KINDS])
amounts = st.integers(0, 1_000_000).map(lambda cents: cents / 100)
# Pauses of nothing and of exact days are likely enough to be met often.
pauses_s = st.one_of(
    st.just(0), st.sampled_from([DAY_S, WEEK_S]), st.integers(0, 90 * int(DAY_S)).map(float)
)


@st.composite
def pasts(draw, least=1):
    """Events (time, amount, kind) in order of time, and a moment not before the last one."""
    at_s, events = START_S, []
    for _ in range(draw(st.integers(least, 25))):
        at_s += draw(pauses_s)
        events.append((at_s, draw(amounts), draw(kinds)))
    return events, at_s + draw(pauses_s)


def _part(start=0, lives=LIVES):
    values = tuple(("kind", kind) for kind in KINDS)
    return RecencyFrequency("order", start, lives, ("amount",), values, ("kind_small", "kind_big"))


def _folded(part, events):
    state = part.empty()
    for at_s, amount, kind in events:
        part.advance(state, at_s, [amount], [float(kind == value) for value in KINDS])
    return state


def _features(part, state, at_s):
    features = []
    part.read(features, state, at_s)
    return dict(zip(part.names, features, strict=True))


def _read(events, at_s, lives=LIVES):
    part = _part(lives=lives)
    return _features(part, _folded(part, events), at_s)


def test_two_orders_a_week_apart_worked_by_hand():
    orders = [(START_S, 10.0, "small"), (START_S + WEEK_S, 40.0, "big")]
    read = _read(orders, START_S + 2 * WEEK_S, lives=(7.0, 14.0))
    assert read == pytest.approx(
        {
            "order_known_days": 14.0,
            "order_silence_days": 7.0,
            "order_gap_days": 7.0,
            "order_gap_mean": log(8),  # of 1 + 7 days
            "order_gap_sd": sqrt(3 * 0.7**2 / 4),  # one gap without deviation, three assumed
            "order_silence_z": 0.0,  # as silent as the one gap was long
            "order_silence_ratio": 0.0,
            "order_kind_small_silence_days": 14.0,
            "order_kind_small_last_share": 0.7,
            "order_kind_big_silence_days": 7.0,
            "order_kind_big_last_share": 0.3,
            # One half-life old and two: 1/2 + 1/4 events left, in a memory that is 3/4 full.
            "order_per_week_7d": log(2),
            "order_active_weeks_7d": 0.75,
            "order_wait_days_7d": 7.0,
            "order_amount_mean_7d": (40 + 10 / 2) / (1 + 1 / 2),
            "order_kind_small_share_7d": 1 / 3,
            "order_kind_big_share_7d": 2 / 3,
            # Half a half-life old and a whole one, in a memory that is half full.
            "order_per_week_14d": (sqrt(1 / 2) + 1 / 2) * log(2) / 2 / (1 / 2),
            "order_active_weeks_14d": sqrt(1 / 2) + 1 / 2,
            "order_wait_days_14d": 7.0,
            "order_amount_mean_14d": (40 + 10 * sqrt(1 / 2)) / (1 + sqrt(1 / 2)),
            "order_kind_small_share_14d": sqrt(1 / 2) / (1 + sqrt(1 / 2)),
            "order_kind_big_share_14d": 1 / (1 + sqrt(1 / 2)),
            "order_trend_7d": 1 / (sqrt(1 / 2) + 1 / 2),
        },
        rel=1e-12,
        abs=1e-12,
    )


def test_what_never_happened_reads_as_nothing():
    part = _part()
    read = _features(part, part.empty(), START_S)
    zeros = {name for name, value in read.items() if value == 0.0}
    assert zeros == {
        *(f"order_{read}_{days}d" for read in ("per_week", "active_weeks") for days in (7, 28)),
        *(f"order_kind_{kind}_last_share" for kind in KINDS),
    }
    assert all(isnan(read[name]) for name in read.keys() - zeros)


@pytest.mark.parametrize("lives", [(7.0,), (7.0, 28.0), (0.5, 7.0, 112.0)])
def test_every_number_has_one_name(lives):
    for part in (_part(3, lives), RecencyFrequency("visit", 3, lives)):
        assert len(part.empty()) == len(part.fields) == len(set(part.fields))
        state = [nan] * 3 + part.empty()
        for _ in range(2):
            features = []
            part.read(features, state, START_S)
            assert len(features) == len(part.names) == len(set(part.names))
            part.advance(state, START_S, [1.0] * len(part.numbers), [1.0] * len(part.values))


def test_the_fields_are_named_in_the_order_in_which_they_are_kept():
    part = _part()
    events = [(START_S, 3.0, "small"), (START_S + WEEK_S, 5.0, "big")]
    kept = dict(zip(part.fields, _folded(part, events), strict=True))
    assert kept["order_n"] == 2.0
    assert kept["order_first_at"] == kept["order_kind_small_last_at"] == START_S
    assert kept["order_last_at"] == kept["order_kind_big_last_at"] == START_S + WEEK_S
    assert kept["order_gap_days"] == kept["order_gap_7d"] == 7.0
    assert kept["order_gap_mean"] == log1p(7)
    assert kept["order_gap_m2"] == 0.0
    assert kept["order_kind_big_share"] == pytest.approx(0.3)
    assert kept["order_n_7d"] == kept["order_weeks_7d"] == 1.5
    assert kept["order_gap_sq_7d"] == 49.0
    assert kept["order_amount_7d"] == 5 + 3 / 2
    assert kept["order_kind_small_7d"] == 0.5


@REPEATABLE
@given(pasts())
def test_it_touches_its_own_stretch_of_the_state_alone(past):
    [*events, last], at_s = past
    alone, among = _part(), _part(start=4)
    state = [7.0] * 4 + _folded(alone, events) + [7.0] * 3
    among.advance(state, last[0], [last[1]], [float(last[2] == value) for value in KINDS])
    assert state[:4] + state[-3:] == [7.0] * 7
    assert str(state[4:-3]) == str(_folded(alone, [*events, last]))
    assert str(_features(among, state, at_s)) == str(_read([*events, last], at_s))


@REPEATABLE
@given(pasts())
def test_shares_of_a_category_are_shares(past):
    read = _read(*past)
    for which in ("last_share", "share_7d", "share_28d"):
        both = [read[f"order_kind_{kind}_{which}"] for kind in KINDS]
        assert all(0.0 <= share <= 1.0 for share in both)
        assert sum(both) <= 1.0 + CLOSE


def _weighted(events, at_s, half_life_days, value):
    return sum(
        value(amount, kind) * exp2(-(at_s - when) / DAY_S / half_life_days)
        for when, amount, kind in events
    )


@pytest.mark.parametrize("days", [7, 28])
@REPEATABLE
@given(past=pasts())
def test_decayed_counters_equal_a_recomputation_from_all_events(days, past):
    events, at_s = past
    count = _weighted(events, at_s, days, lambda amount, kind: 1.0)
    known_days = (at_s - events[0][0]) / DAY_S
    full = max(1.0 - exp2(-known_days / days), MIN_FILLED)
    total = _weighted(events, at_s, days, lambda amount, kind: amount)
    expected = {
        f"order_per_week_{days}d": count * log(2) * 7 / days / full,
        f"order_amount_mean_{days}d": total / count,
    } | {
        f"order_kind_{kind}_share_{days}d": _weighted(
            events, at_s, days, lambda amount, its, kind=kind: its == kind
        )
        / count
        for kind in KINDS
    }
    read = _read(events, at_s)
    assert {name: read[name] for name in expected} == pytest.approx(expected, rel=CLOSE, abs=0)


@pytest.mark.parametrize("days", [7, 28])
@REPEATABLE
@given(past=pasts())
def test_weeks_and_waits_equal_a_recomputation_from_all_events(days, past):
    events, at_s = past
    times = [when for when, _, _ in events]
    weight = {when: exp2(-(at_s - when) / DAY_S / days) for when in times}
    first_of_week = {when // WEEK_S: when for when in reversed(times)}
    gaps = [
        ((late - early) / DAY_S, weight[late])
        for early, late in zip(times[:-1], times[1:], strict=True)
    ]
    total = sum(gap * w for gap, w in gaps)
    read = _read(events, at_s)
    weeks = sum(weight[when] for when in first_of_week.values())
    wait = sum(gap * gap * w for gap, w in gaps) / total if total else nan
    assert read[f"order_active_weeks_{days}d"] == pytest.approx(weeks, rel=CLOSE, abs=0)
    assert read[f"order_wait_days_{days}d"] == pytest.approx(wait, rel=CLOSE, abs=0, nan_ok=True)


@REPEATABLE
@given(pasts(least=2))
def test_rhythm_and_silence_equal_a_recomputation_from_all_events(past):
    events, at_s = past
    times = [when for when, _, _ in events]
    gaps = [
        log1p((late - early) / DAY_S) for early, late in zip(times[:-1], times[1:], strict=True)
    ]
    mean = sum(gaps) / len(gaps)
    squares = sum((gap - mean) ** 2 for gap in gaps)
    sd = sqrt((squares + PRIOR_GAPS * PRIOR_GAP_SD**2) / (len(gaps) + PRIOR_GAPS))
    silence = log1p((at_s - times[-1]) / DAY_S)
    expected = {
        "order_known_days": (at_s - times[0]) / DAY_S,
        "order_silence_days": (at_s - times[-1]) / DAY_S,
        "order_gap_days": (times[-1] - times[-2]) / DAY_S,
        "order_gap_mean": mean,
        "order_gap_sd": sd,
        "order_silence_z": (silence - mean) / sd,
        "order_silence_ratio": silence - mean,
    }
    read = _read(events, at_s)
    # Differences of logs of at most 5 may cancel, so the error is absolute as well.
    assert {name: read[name] for name in expected} == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_one_event_makes_no_gap():
    read = _read([(START_S, 1.0, None)], START_S + DAY_S)
    unknown = {name for name, value in read.items() if isnan(value)}
    assert unknown == {
        *(f"order_{name}" for name in ("gap_days", "gap_mean", "gap_sd")),
        *(f"order_{name}" for name in ("silence_z", "silence_ratio", "wait_days_7d")),
        *("order_wait_days_28d", "order_kind_small_silence_days", "order_kind_big_silence_days"),
    }


@REPEATABLE
@given(pasts())
@example(([(START_S, 1.0, None)], START_S))
def test_the_recent_share_gives_the_past_its_weight(past):
    share = 0.0
    for number, (_, _, kind) in enumerate(past[0]):
        seen = float(kind == "big")
        share = seen if number == 0 else MEMORY * share + (1 - MEMORY) * seen
    assert _read(*past)["order_kind_big_last_share"] == pytest.approx(share, abs=1e-12)


def test_a_silent_customer_goes_on_changing_although_nothing_is_written():
    past = [(START_S + week * WEEK_S, 1.0, None) for week in range(5)]
    soon, later = (_read(past, past[-1][0] + days * DAY_S) for days in (1, 30))
    assert later["order_silence_days"] == 30.0
    assert later["order_silence_z"] > soon["order_silence_z"]
    assert later["order_per_week_7d"] < soon["order_per_week_7d"]
    assert later["order_trend_7d"] < soon["order_trend_7d"]


@pytest.mark.parametrize("weeks", [8, 60])
def test_a_steady_customer_is_read_at_the_true_pace_from_early_on(weeks):
    past = [(START_S + day * DAY_S, 1.0, None) for day in range(7 * weeks)]
    read = _read(past, past[-1][0] + DAY_S / 2)
    # A sum over days stands in for an integral: off by (ln 2 / 7)^2 / 24 and less, and the
    # half day at the young end by another 1 % at most.
    assert read["order_per_week_7d"] == pytest.approx(7.0, rel=0.02)
    assert read["order_per_week_28d"] == pytest.approx(7.0, rel=0.02)


def test_a_single_event_is_not_read_as_a_storm():
    read = _read([(START_S, 1.0, None)], START_S)
    assert read["order_per_week_7d"] == pytest.approx(log(2) / 0.05)


@pytest.mark.parametrize(("pause_s", "weeks"), [(WEEK_S - 1, 1.0), (WEEK_S, 2.0)])
def test_a_week_counts_once_however_much_happens_in_it(pause_s, weeks):
    read = _read([(START_S, 1.0, None), (START_S + pause_s, 1.0, None)], START_S + pause_s)
    first_left = exp2(-pause_s / WEEK_S)
    assert read["order_active_weeks_7d"] == pytest.approx(first_left + weeks - 1.0)


def test_a_category_is_remembered_by_when_it_was_last_seen():
    past = [(START_S, 1.0, "small"), (START_S + DAY_S, 1.0, "big")]
    read = _read(past, START_S + 3 * DAY_S)
    assert read["order_kind_small_silence_days"] == 3.0
    assert read["order_kind_big_silence_days"] == 2.0


def test_a_category_never_seen_has_no_silence_and_no_share():
    read = _read([(START_S, 1.0, "small")], START_S)
    assert isnan(read["order_kind_big_silence_days"])
    assert read["order_kind_big_last_share"] == read["order_kind_big_share_7d"] == 0.0


@pytest.mark.parametrize("before_s", [1, 3 * DAY_S, 100 * DAY_S])
def test_a_clock_behind_the_last_event_reads_no_silence_and_nothing_negative(before_s):
    past = [(START_S + day * DAY_S, 1.0, "big") for day in (0, 5, 10)]
    last = past[-1][0]
    read, at_last = _read(past, last - before_s), _read(past, last)
    assert read["order_silence_days"] == read["order_kind_big_silence_days"] == 0.0
    assert read["order_silence_z"] == at_last["order_silence_z"]
    assert read["order_known_days"] == max(10.0 - before_s / DAY_S, 0.0)
    assert isnan(read["order_kind_small_silence_days"])


def test_there_is_no_trend_once_the_longest_memory_has_forgotten():
    read = _read([(START_S, 1.0, None)], START_S + 12 * DAY_S, lives=(0.005, 0.01))
    assert read["order_per_week_0.01d"] == 0.0
    assert isnan(read["order_trend_0.005d"])


def test_numbers_stay_finite_after_a_life_of_silence():
    read = _read([(START_S, 1.0, "small")] * 2, START_S + 80 * 365 * DAY_S)
    assert all(isnan(value) or isfinite(value) for value in read.values())
    assert read["order_amount_mean_7d"] == pytest.approx(1.0)


@REPEATABLE
@given(pasts())
def test_what_is_recent_is_the_count_under_the_longest_half_life(past):
    events, at_s = past
    part = _part()
    counted = _weighted(events, at_s, LIVES[-1], lambda amount, kind: 1.0)
    state = _folded(part, events)
    assert part.decayed_count(state, at_s) == pytest.approx(counted, rel=CLOSE, abs=0)
    assert part.decayed_count(state, events[-1][0] - DAY_S) == part.decayed_count(
        state, events[-1][0]
    )


def test_nothing_is_recent_before_the_first_event():
    part = _part()
    assert part.decayed_count(part.empty(), START_S) == 0.0


@REPEATABLE
@given(pasts())
def test_no_kept_sum_is_ever_negative(past):
    part = _part()
    events, _ = past
    assert all(kept >= 0.0 for kept in _folded(part, events)[HEAD + 2 * len(KINDS) :])
