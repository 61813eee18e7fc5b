"""Tests funnels: what users of other tools complain about, and that all counts agree."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.analytics.views.filters import JourneyFilter
from features.analytics.views.funnels.funnel_definition import FunnelDefinition
from features.analytics.views.funnels.funnels import Funnel, funnel
from features.analytics.views.list_rows import list_count, list_rows
from features.analytics.views.lists import ListQuery, Number
from features.analytics.views.maps.journey_map import journey_map
from tests.features.analytics.views.funnel_by_hand import walked_by_hand
from tests.features.analytics.views.small_shop import small_shop
from tests.journey_logs import at_us, journeys_of

BUYING = JourneyFilter(map="buying")
SECOND = 1 / 86_400


def defined(*steps: Any, exclude: Iterable[str] = ()) -> FunnelDefinition:
    """Define a funnel; a step is a name, or a name and its rules."""
    rules = [{"step": one} if isinstance(one, str) else {"step": one[0]} | one[1] for one in steps]
    return FunnelDefinition.model_validate({"steps": rules, "exclude": [*exclude]})


def of_log(log: list[tuple[Any, ...]], *steps: Any, as_of: float = 100.0, **more: Any) -> Funnel:
    with journeys_of(small_shop(), log, as_of) as data:
        return funnel(data, BUYING, defined(*steps, **more))


def reached(found: Funnel) -> list[int]:
    return [found.journeys.n, *(step.reached.n for step in found.steps)]


def stops(found: Funnel, place: int) -> dict[str, int]:
    """Counts of journeys by what stopped them after a step (0: before the first); no zeros."""
    stopped = found.steps[place - 1].stopped if place else found.stopped
    return {name: number.n for name, number in stopped.items() if number.n}


def day(days: float) -> datetime:
    return datetime.fromtimestamp(at_us(days) / 1e6, UTC)


def test_each_step_has_its_own_window() -> None:
    """PostHog issue 37418: one window for the whole funnel only."""
    log = [
        ("quick", "page", 0.0),
        ("quick", "cart", 0.5),
        ("quick", "paid", 20.0),
        ("slow_cart", "page", 0.0),
        ("slow_cart", "cart", 2.0),
        ("slow_cart", "paid", 2.5),
        ("slow_pay", "page", 0.0),
        ("slow_pay", "cart", 1.0),
        ("slow_pay", "paid", 21.5),
    ]
    steps = "page", ("cart", {"within_hours": 24}), ("paid", {"within_days": 20})
    found = of_log(log, *steps)
    assert reached(found) == [3, 3, 2, 1]
    assert stops(found, 1) == {"too_late": 1}
    assert stops(found, 2) == {"too_late": 1}


def test_journeys_that_finish_after_the_period_count_if_they_began_in_it() -> None:
    """PostHog issue 44204: a user must enter and finish within the dates."""
    log = [
        ("in_july", "page", 1.0),
        ("in_july", "paid", 5.0),
        ("ends_in_august", "page", 30.0),
        ("ends_in_august", "paid", 40.0),
        ("in_august", "page", 32.0),
        ("in_august", "paid", 33.0),
    ]
    july = BUYING.model_copy(update={"since": day(0), "until": day(31)})
    with journeys_of(small_shop(), log) as data:
        found = funnel(data, july, defined("page", ("paid", {"within_days": 14})))
    assert reached(found) == [2, 2, 2]


def test_journeys_within_their_window_are_open_and_not_dropped() -> None:
    """PostHog issue 33605: trials of less than 31 days ago are shown as dropped."""
    log = [
        ("new", "page", 80.0),
        ("old", "page", 75.0),
        ("paid", "page", 80.0),
        ("paid", "paid", 81.0),
    ]
    found = of_log(log, "page", ("paid", {"within_days": 21}), as_of=100.0)
    assert reached(found) == [3, 3, 1]
    assert stops(found, 1) == {"open": 1, "too_late": 1}


def test_without_a_window_a_journey_is_open_until_it_ends() -> None:
    log = [
        ("open", "page", 80.0),
        ("lapsed", "page", 10.0),
        ("ended", "page", 80.0),
        ("ended", "done", 81.0),
    ]
    log += [("left", "page", 80.0), ("left", "gone", 90.0)]
    found = of_log(log, "page", "paid", as_of=100.0)
    assert stops(found, 1) == {"open": 1, "lapsed": 1, "ended": 1, "left": 1}


def test_the_same_step_twice_needs_two_events() -> None:
    """PostHog issue 4813: one page view counts for both steps."""
    log = [("once", "page", 0.0), ("twice", "page", 0.0), ("twice", "page", 1.0)]
    found = of_log(log, "page", "page")
    assert reached(found) == [2, 2, 1]


def test_a_repeated_event_of_the_same_second_does_not_hide_a_later_one() -> None:
    """PostHog issue 25048: [1, 1, 0] instead of [1, 1, 1]."""
    log = [("u", "coupon", 0.0), ("u", "page", 1.0), ("u", "page", 1.0), ("u", "page", 1.1)]
    assert reached(of_log(log, "coupon", "page", "page")) == [1, 1, 1, 1]
    assert reached(of_log(log, "coupon", "page", "page", "page", "page")) == [1, 1, 1, 1, 1, 0]


def test_steps_of_the_same_second_convert_in_the_order_of_the_ledger() -> None:
    """Rybbit issue 1133: steps within one second never convert."""
    log = [("u", "page", 1.0), ("u", "cart", 1.0), ("u", "paid", 1.0)]
    found = of_log(log, "page", ("cart", {"within_hours": 1}), "paid")
    assert reached(found) == [1, 1, 1, 1]
    assert [step.median_s for step in found.steps] == [0.0, 0.0, 0.0]
    assert reached(of_log(log, "cart", "page")) == [1, 1, 0]


def test_each_step_has_its_time_and_the_funnel_has_one() -> None:
    """PostHog issue 7267: the time shown is that of the last step only."""
    log = []
    for place, hours in enumerate((1.0, 2.0, 3.0)):
        name, cart = f"c{place}", hours / 24
        log += [(name, "page", 0.0), (name, "cart", cart), (name, "paid", cart + 10 * hours / 24)]
    found = of_log(log, "page", "cart", "paid")
    expected = [0, 2 * 3600, 20 * 3600]
    assert [step.median_s for step in found.steps] == pytest.approx(expected, rel=0.0221)
    assert [step.p90_s for step in found.steps] == pytest.approx([0, 10_800, 108_000], rel=0.0221)
    assert found.median_s == pytest.approx(22 * 3600, rel=0.0221)
    assert found.p90_s == pytest.approx(33 * 3600, rel=0.0221)


def test_times_are_those_within_the_window() -> None:
    """PostHog issue 5677: an average of 38 minutes with a window of one minute."""
    log = [
        ("quick", "page", 0.0),
        ("quick", "paid", 30 * SECOND),
        ("slow", "page", 0.0),
        ("slow", "paid", 76 * 60 * SECOND),
    ]
    found = of_log(log, "page", ("paid", {"within_hours": 1 / 60}))
    assert reached(found) == [2, 2, 1]
    assert found.steps[1].median_s == pytest.approx(30, rel=0.0221)
    assert found.steps[1].p90_s == found.steps[1].median_s == found.median_s


def test_a_window_runs_from_the_last_required_step() -> None:
    log = [
        ("a", "page", 0.0),
        ("a", "coupon", 0.9),
        ("a", "paid", 1.5),
        ("b", "page", 0.0),
        ("b", "coupon", 0.5),
        ("b", "paid", 1.0),
        ("c", "page", 0.0),
        ("c", "paid", 0.5),
        ("c", "coupon", 0.6),
    ]
    coupon = ("coupon", {"optional": True})
    found = of_log(log, "page", coupon, ("paid", {"within_days": 1}))
    assert reached(found) == [3, 3, 2, 2]  # the coupon of c came after the payment
    assert found.steps[1].optional and not found.steps[1].stopped
    assert stops(found, 1) == {"too_late": 1}


def test_an_excluded_step_stops_a_journey_unless_it_comes_elsewhere() -> None:
    log = [
        ("before", "coupon", 0.0),
        ("before", "page", 1.0),
        ("before", "paid", 2.0),
        ("between", "page", 1.0),
        ("between", "coupon", 1.5),
        ("between", "paid", 2.0),
        ("after", "page", 1.0),
        ("after", "paid", 2.0),
        ("after", "coupon", 2.5),
        ("too_late", "page", 1.0),
        ("too_late", "coupon", 9.0),
        ("too_late", "paid", 9.5),
    ]
    found = of_log(log, "page", ("paid", {"within_days": 2}), exclude=["coupon"])
    assert reached(found) == [4, 4, 2]
    assert stops(found, 1) == {"excluded": 1, "too_late": 1}
    assert {label: n.n for label, n in found.steps[0].next_instead} == {"coupon": 2}


def test_an_excluded_step_counts_until_the_end_of_the_window() -> None:
    """All at the last instant of the window: the first in the order of the ledger decides."""
    log = [
        ("first", "page", 0.0),
        ("first", "coupon", 1.0),
        ("first", "paid", 1.0),
        ("second", "page", 0.0),
        ("second", "paid", 1.0),
        ("second", "coupon", 1.0),
        ("late", "page", 0.0),
        ("late", "coupon", 1.0 + SECOND),
    ]
    found = of_log(log, "page", ("paid", {"within_days": 1}), as_of=3.0, exclude=["coupon"])
    assert reached(found) == [3, 3, 1]
    assert stops(found, 1) == {"excluded": 1, "too_late": 1}


def test_the_time_of_a_transition_is_that_of_the_map() -> None:
    log = [
        (name, kind, days)
        for name, paid in (("a", 1.3), ("b", 2.1), ("c", 7.7), ("d", 40.0))
        for kind, days in (("cart", 0.25), ("paid", paid))
    ]
    with journeys_of(small_shop(), log, 100.0) as data:
        steps = funnel(data, BUYING, defined("cart", "paid")).steps
        edges = journey_map(data, BUYING).edges
    (edge,) = [one for one in edges if (one.source, one.target) == ("cart", "paid")]
    assert edge.n.n == steps[1].reached.n == 3
    assert (edge.median_s, edge.p90_s) == (steps[1].median_s, steps[1].p90_s)
    assert edge.median_s == pytest.approx((2.1 - 0.25) * 86_400, rel=0.0221)


def test_where_they_went_instead_sums_to_those_who_stopped() -> None:
    log = [
        ("a", "cart", 0.0),
        ("a", "coupon", 1.0),
        ("b", "cart", 0.0),
        ("b", "coupon", 1.0),
        ("c", "cart", 0.0),
        ("d", "cart", 0.0),
        ("d", "paid", 0.5),
        ("e", "coupon", 0.0),
    ]
    found = of_log(log, "cart", "paid", as_of=10.0)
    assert [(label, n.n) for label, n in found.steps[0].next_instead] == [("coupon", 2), ("END", 1)]
    assert [(label, n.n) for label, n in found.next_instead] == [("coupon", 1)]
    assert found.steps[1].next_instead == ()


def test_a_funnel_of_lifecycles_has_silences_and_leaving() -> None:
    log = [
        ("quiet", "paid", 0.0),
        ("quiet", "page", 50.0),
        ("busy", "paid", 0.0),
        ("busy", "page", 10.0),
        ("busy", "page", 30.0),
        ("gone", "paid", 0.0),
        ("gone", "gone", 1.0),
    ]
    with journeys_of(small_shop(), log, 40.0) as data:
        found = funnel(data, JourneyFilter(), defined("paid", "silent"))
        assert reached(found) == [3, 3, 1]
        assert stops(found, 1) == {"open": 1, "left": 1}
        assert found.steps[1].median_s == pytest.approx(28 * 86_400, rel=0.0221)


def numbers_of(found: Funnel) -> list[Number]:
    numbers = [found.journeys, *found.stopped.values(), *(one for _, one in found.next_instead)]
    for step in found.steps:
        numbers += [step.reached, *step.stopped.values(), *(one for _, one in step.next_instead)]
    return numbers


def check_sums(found: Funnel) -> None:
    """Check identity A: who reached a step reached the next one or was stopped."""
    required = [
        (step.reached.n, step.stopped, step.next_instead)
        for step in found.steps
        if not step.optional
    ]
    rows = [(found.journeys.n, found.stopped, found.next_instead), *required]
    for (before, stopped, nexts), (after, _, _) in zip(rows, rows[1:], strict=False):
        assert before == after + sum(number.n for number in stopped.values())
        assert before - after == sum(number.n for _, number in nexts)


names = st.sampled_from(["page", "cart", "coupon", "paid", "home"])
windows = st.sampled_from([{}, {"within_days": 1}, {"within_days": 3}, {"within_hours": 0.001}])


@st.composite
def definitions(draw: st.DrawFn) -> FunnelDefinition:
    steps = draw(st.lists(st.tuples(names, windows, st.booleans()), min_size=1, max_size=4))
    exclude = draw(st.lists(names, max_size=1))
    try:
        rules = [(name, window | {"optional": optional}) for name, window, optional in steps]
        return defined(*rules, exclude=exclude)
    except ValueError:  # all optional, or an optional step named as the required one after it
        return defined(*((name, window) for name, window, _ in steps), exclude=exclude)


kinds = st.sampled_from(["page", "page", "cart", "coupon", "paid", "done", "gone"])
# Few times, so that many events share one.
logs = st.lists(
    st.tuples(st.sampled_from("abcdef"), kinds, st.sampled_from([0.0, 0.5, 1.0, 3.0, 40.0])),
    max_size=40,
)


filters = st.builds(
    JourneyFilter,
    map=st.just("buying"),
    how=st.sampled_from([(), (), ("open", "ended")]),
    through=st.sampled_from([None, None, "cart"]),
    since=st.sampled_from([None, None, day(0.5)]),
    until=st.sampled_from([None, None, day(3.0)]),
)


@settings(max_examples=40, deadline=None)
@given(logs, definitions(), filters, st.sampled_from([3.0, 41.0, 80.0]), st.integers(0, 100))
def test_funnels_equal_those_walked_by_hand(
    log: list[tuple[Any, ...]],
    definition: FunnelDefinition,
    wanted: JourneyFilter,
    as_of: float,
    which: int,
) -> None:
    name = {"name": "home"} if which % 2 else {}
    events = [(*row, "app", name if row[1] == "page" else {}) for row in log]
    with journeys_of(small_shop(), events, as_of) as data:
        found = funnel(data, wanted, definition)
        check_sums(found)
        shown = list_rows(data, found.journeys.rows)
        times = [f"step_{place}" for place in range(1, len(definition.steps) + 1)]
        columns = ["furthest", "stopped", "next", *times]
        chosen = list_rows(data, ListQuery(relation="journeys", filter=wanted))
        by_hand = walked_by_hand(data, definition)
        assert {row["journey"]: tuple(row[one] for one in columns) for row in shown} == {
            row["journey"]: by_hand[row["journey"]] for row in chosen
        }
        numbers = numbers_of(found)
        number = numbers[which % len(numbers)]
        assert number.n == list_count(data, number.rows) == len(list_rows(data, number.rows))


def test_every_number_of_a_funnel_is_as_long_as_its_list() -> None:
    log = [
        (f"c{place}", kind, day)
        for place in range(30)
        for kind, day in (("page", 0.0), ("cart", place / 10), ("paid", place / 3), ("done", 9.0))
        if place % 7 or kind != "done"
    ]
    steps = (
        "page",
        ("coupon", {"optional": True}),
        ("cart", {"within_days": 2}),
        ("paid", {"within_days": 4}),
    )
    with journeys_of(small_shop(), log, 12.0) as data:
        found = funnel(data, BUYING, defined(*steps, exclude=["done"]))
        check_sums(found)
        # c29 pays after it was done, so it has a second journey. A cart comes within 2 days up to
        # c20, and a payment 4 days after it (7/30 of a day for each place) up to c17.
        assert reached(found) == [31, 30, 0, 21, 18]
        for number in numbers_of(found):
            assert number.n == list_count(data, number.rows)
