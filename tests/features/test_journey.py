"""The fold, held against a recomputation from the whole list of events."""

from math import inf, isfinite, isnan, log, log1p, nan, sqrt

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.journey import MEMORY, PRIOR_GAP_SD, PRIOR_GAPS, Fold

REPEATABLE = settings(derandomize=True, database=None, deadline=None)
DAY_S = 86_400
START_S = 1_780_000_000
# Every step rounds once or twice (1e-16), an exponent of at most 120 bits costs 1e-14, and no
# list is longer than 25 events.
CLOSE = 1e-10


def _order(amount_cents, kind):
    # Cents, not any float: a subnormal amount would lose its digits in the decay.
    return {"amount_eur": amount_cents / 100} | ({"kind": kind} if kind else {})


properties = st.builds(_order, st.integers(0, 1_000_000), st.sampled_from([None, "small", "big"]))
# Pauses of nothing and of exact days are likely enough to be met often.
pauses_s = st.one_of(st.just(0), st.sampled_from([DAY_S, 7 * DAY_S]), st.integers(0, 90 * DAY_S))


@st.composite
def pasts(draw):
    """Events (type, time, properties) in order of time, and a moment not before the last one."""
    at_s, events = START_S, []
    for _ in range(draw(st.integers(1, 25))):
        at_s += draw(pauses_s)
        kind = draw(st.sampled_from(["order", "visit"]))
        events.append((kind, float(at_s), draw(properties) if kind == "order" else {}))
    return events, float(at_s + draw(pauses_s))


@pytest.fixture(scope="module")
def fold(toy_domain):
    return Fold(toy_domain)


def _folded(fold, events):
    state = fold.empty()
    for event in events:
        state = fold.advance(state, *event)
    return state


def _read(fold, events, at_s):
    return dict(zip(fold.feature_names, fold.read(_folded(fold, events), at_s), strict=True))


def _same(a, b):
    return a == b or (isnan(a) and isnan(b))


@REPEATABLE
@given(pasts())
def test_advance_leaves_its_input_as_it_is(fold, past):
    events, _ = past
    before = _folded(fold, events[:-1])
    copy = before.copy()
    after = fold.advance(before, *events[-1])
    assert after is not before
    assert all(map(_same, before, copy))
    assert not all(map(_same, before, after))


@REPEATABLE
@given(pasts())
def test_reading_leaves_the_state_as_it_is(fold, past):
    events, at_s = past
    state = _folded(fold, events)
    copy = state.copy()
    fold.read(state, at_s)
    assert all(map(_same, state, copy))


def test_everybody_gets_an_empty_state_of_their_own(fold):
    fold.empty()[0] = 7.0
    assert fold.empty()[0] == 0.0


@REPEATABLE
@given(pasts())
def test_features_are_finite_or_nan(fold, past):
    events, at_s = past
    assert all(isfinite(value) or isnan(value) for value in _read(fold, events, at_s).values())


@REPEATABLE
@given(pasts())
def test_shares_of_a_category_are_shares(fold, past):
    read = _read(fold, *past)
    shares = {name: value for name, value in read.items() if "_share" in name}
    assert len(shares) == 2 * 3  # two kinds; the recent share, and one for each half-life
    assert all(0.0 <= value <= 1.0 or isnan(value) for value in shares.values())
    for which in ("last_share", "share_7d", "share_28d"):
        both = read[f"order_kind_small_{which}"] + read[f"order_kind_big_{which}"]
        assert isnan(both) or both <= 1.0 + CLOSE


def _weighted(orders, at_s, half_life_days, value):
    return sum(
        value(properties) * 2.0 ** (-(at_s - when) / DAY_S / half_life_days)
        for _, when, properties in orders
    )


@pytest.mark.parametrize("days", [7, 28])
@REPEATABLE
@given(past=pasts())
def test_decayed_counters_equal_a_recomputation_from_all_events(fold, days, past):
    events, at_s = past
    orders = [event for event in events if event[0] == "order"]
    read = _read(fold, events, at_s)
    count = _weighted(orders, at_s, days, lambda _: 1.0)
    if not orders:
        assert read[f"order_per_week_{days}d"] == 0.0
        assert isnan(read[f"order_amount_eur_mean_{days}d"])
        return
    known_days = (at_s - orders[0][1]) / DAY_S
    full = max(1.0 - 2.0 ** (-known_days / days), 0.05)
    expected = {
        f"order_per_week_{days}d": count * log(2) * 7 / days / full,
        f"order_amount_eur_mean_{days}d": _weighted(
            orders, at_s, days, lambda properties: properties["amount_eur"]
        )
        / count,
    } | {
        f"order_kind_{kind}_share_{days}d": _weighted(
            orders, at_s, days, lambda properties, kind=kind: properties.get("kind") == kind
        )
        / count
        for kind in ("small", "big")
    }
    assert {name: read[name] for name in expected} == pytest.approx(expected, rel=CLOSE, abs=0)


@pytest.mark.parametrize("days", [7, 28])
@REPEATABLE
@given(past=pasts())
def test_weeks_and_waits_equal_a_recomputation_from_all_events(fold, days, past):
    events, at_s = past
    visits = [when for kind, when, _ in events if kind == "visit"]
    weight = {when: 2.0 ** (-(at_s - when) / DAY_S / days) for when in visits}
    first_of_week = {when // (7 * DAY_S): when for when in reversed(visits)}
    gaps = [
        ((late - early) / DAY_S, weight[late])
        for early, late in zip(visits[:-1], visits[1:], strict=True)
    ]
    total = sum(gap * w for gap, w in gaps)
    read = _read(fold, events, at_s)
    weeks = sum(weight[when] for when in first_of_week.values())
    wait = sum(gap * gap * w for gap, w in gaps) / total if total else nan
    assert read[f"visit_active_weeks_{days}d"] == pytest.approx(weeks, rel=CLOSE, abs=0)
    assert read[f"visit_wait_days_{days}d"] == pytest.approx(wait, rel=CLOSE, abs=0, nan_ok=True)


@REPEATABLE
@given(pasts())
def test_rhythm_and_silence_equal_a_recomputation_from_all_events(fold, past):
    events, at_s = past
    visits = [when for kind, when, _ in events if kind == "visit"]
    read = _read(fold, events, at_s)
    if len(visits) < 2:
        assert isnan(read["visit_gap_mean"]) and isnan(read["visit_silence_z"])
        return
    gaps = [
        log1p((late - early) / DAY_S) for early, late in zip(visits[:-1], visits[1:], strict=True)
    ]
    mean = sum(gaps) / len(gaps)
    squares = sum((gap - mean) ** 2 for gap in gaps)
    sd = sqrt((squares + PRIOR_GAPS * PRIOR_GAP_SD**2) / (len(gaps) + PRIOR_GAPS))
    silence = log1p((at_s - visits[-1]) / DAY_S)
    expected = {
        "visit_known_days": (at_s - visits[0]) / DAY_S,
        "visit_silence_days": (at_s - visits[-1]) / DAY_S,
        "visit_gap_days": (visits[-1] - visits[-2]) / DAY_S,
        "visit_gap_mean": mean,
        "visit_gap_sd": sd,
        "visit_silence_z": (silence - mean) / sd,
        "visit_silence_ratio": silence - mean,
    }
    # Differences of logs of at most 5 may cancel, so the error is absolute as well.
    assert {name: read[name] for name in expected} == pytest.approx(expected, rel=1e-9, abs=1e-9)


@REPEATABLE
@given(pasts())
@example(([("order", float(START_S), {"amount_eur": 1.0})], float(START_S)))
def test_the_recent_share_gives_the_past_its_weight(fold, past):
    kinds = [properties.get("kind") for kind, _, properties in past[0] if kind == "order"]
    share = 0.0
    for number, kind in enumerate(kinds):
        seen = float(kind == "big")
        share = seen if number == 0 else MEMORY * share + (1 - MEMORY) * seen
    assert _read(fold, *past)["order_kind_big_last_share"] == pytest.approx(share, abs=1e-12)


@REPEATABLE
@given(pasts())
def test_events_of_one_type_do_not_touch_the_features_of_another(fold, past):
    events, at_s = past
    both = _read(fold, events, at_s)
    alone = _read(fold, [event for event in events if event[0] == "order"], at_s)
    assert all(_same(both[name], alone[name]) for name in both if name.startswith("order_"))


def test_a_silent_customer_goes_on_changing_although_nothing_is_written(fold):
    past = [("visit", float(START_S + week * 7 * DAY_S), {}) for week in range(5)]
    last = past[-1][1]
    soon, later = (_read(fold, past, last + days * DAY_S) for days in (1, 30))
    assert later["visit_silence_days"] == 30.0
    assert later["visit_silence_z"] > soon["visit_silence_z"]
    assert later["visit_per_week_7d"] < soon["visit_per_week_7d"]
    assert later["visit_trend_7d"] < soon["visit_trend_7d"]


def test_a_steady_customer_is_read_at_the_true_pace_from_early_on(fold):
    for weeks in (8, 60):
        past = [("visit", float(START_S + day * DAY_S), {}) for day in range(7 * weeks)]
        read = _read(fold, past, past[-1][1] + DAY_S / 2)
        # A sum over days stands in for an integral: off by (ln 2 / 7)^2 / 24 and less, and the
        # half day at the young end by another 1 % at most.
        assert read["visit_per_week_7d"] == pytest.approx(7.0, rel=0.02)
        assert read["visit_per_week_28d"] == pytest.approx(7.0, rel=0.02)


def test_a_single_event_is_not_read_as_a_storm(fold):
    read = _read(fold, [("visit", float(START_S), {})], float(START_S))
    assert read["visit_per_week_7d"] == pytest.approx(log(2) / 0.05)


def test_a_category_is_remembered_by_when_it_was_last_seen(fold):
    past = [
        ("order", float(START_S), _order(100, "small")),
        ("order", float(START_S + DAY_S), _order(100, "big")),
    ]
    read = _read(fold, past, float(START_S + 3 * DAY_S))
    assert read["order_kind_small_silence_days"] == 3.0
    assert read["order_kind_big_silence_days"] == 2.0


def test_a_category_never_seen_has_no_silence_and_no_share(fold):
    read = _read(fold, [("order", float(START_S), _order(100, "small"))], float(START_S))
    assert isnan(read["order_kind_big_silence_days"])
    assert read["order_kind_big_last_share"] == read["order_kind_big_share_7d"] == 0.0


def test_a_missing_number_counts_as_nothing(fold):
    past = [("order", float(START_S), _order(300, None)), ("order", float(START_S), {})]
    assert _read(fold, past, float(START_S))["order_amount_eur_mean_7d"] == pytest.approx(1.5)


def test_what_is_not_remembered_leaves_no_trace(fold):
    with_note = fold.advance(fold.empty(), "order", 1e9, {"amount_eur": 1.0, "note": "hello"})
    without = fold.advance(fold.empty(), "order", 1e9, {"amount_eur": 1.0})
    assert all(map(_same, with_note, without))
    assert not any("note" in name for name in fold.state_fields + fold.feature_names)


def test_a_stranger_has_no_past_to_read(fold):
    read = dict(zip(fold.feature_names, fold.read(fold.empty(), 1e9), strict=True))
    assert isnan(read["visit_silence_days"]) and isnan(read["order_trend_7d"])
    assert read["visit_per_week_7d"] == read["order_active_weeks_28d"] == 0.0


def test_every_number_has_one_name(fold):
    assert len(fold.empty()) == len(fold.state_fields) == len(set(fold.state_fields))
    assert len(fold.read(fold.empty(), 0.0)) == len(fold.feature_names)
    assert len(set(fold.feature_names)) == len(fold.feature_names)


def test_an_event_type_of_another_business_is_refused(fold):
    with pytest.raises(KeyError, match="refund"):
        fold.advance(fold.empty(), "refund", 1e9, {})


def test_numbers_stay_finite_after_a_life_of_silence(fold):
    past = [("order", float(START_S), _order(100, "small"))] * 2
    read = _read(fold, past, float(START_S + 80 * 365 * DAY_S))
    assert all(isnan(value) or abs(value) < inf for value in read.values())
    assert read["order_amount_eur_mean_7d"] == pytest.approx(1.0)


@pytest.mark.parametrize("before_s", [1, 3 * DAY_S, 100 * DAY_S])
def test_a_clock_behind_the_last_event_reads_no_silence(fold, before_s):
    past = [("visit", float(START_S + day * DAY_S), {}) for day in (0, 5, 10)]
    read = _read(fold, past, past[-1][1] - before_s)
    at_last = _read(fold, past, past[-1][1])
    assert read["visit_silence_days"] == 0.0
    assert read["visit_silence_z"] == at_last["visit_silence_z"]
    assert read["visit_known_days"] == max(10.0 - before_s / DAY_S, 0.0)


def test_there_is_no_trend_once_the_longest_memory_has_forgotten(toy_domain):
    short = Fold(toy_domain.model_copy(update={"half_lives_days": (0.005, 0.01)}))
    read = _read(short, [("visit", float(START_S), {})], float(START_S + 12 * DAY_S))
    assert read["visit_per_week_0.01d"] == 0.0
    assert isnan(read["visit_trend_0.005d"])


def test_a_clock_that_runs_behind_turns_no_silence_negative(toy_domain):
    fold = Fold(toy_domain)
    state = fold.advance(fold.empty(), "order", 10 * DAY_S, {"amount_eur": 1.0, "kind": "big"})
    read = dict(zip(fold.feature_names, fold.read(state, 7 * DAY_S), strict=True))
    assert read["order_silence_days"] == read["order_kind_big_silence_days"] == 0.0
    assert isnan(read["order_kind_small_silence_days"])
