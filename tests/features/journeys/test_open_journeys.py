"""Tests the features of open journeys against cases worked out by hand."""

from math import isnan, nan

import pytest

from features.business.event_types import STAGES, EventType
from features.business.journey_rules.kinds import JourneyKind
from features.journeys.open_journeys import JourneyPart, JourneyTotals, OpenJourney
from features.journeys.state import DAY_S

AT_S = 1_780_000_000.0
NOTHING = {"open": 0.0, "age_days": nan, "stage": nan, "stage_days": nan}


def _event(step, stage="use"):
    return EventType(
        description="x",
        journey="any",
        stage=stage,
        step=step,
        touchpoint="internal",
        signal="passive",
    )


def _part(start=0, name="complaint", **kind):
    return JourneyPart(start, name, JourneyKind(**kind))


def _folded(part, *past, state=None):
    """The state after events (day, step, stage)."""
    state = part.empty() if state is None else state
    for day, *event in past:
        known = _event(*event)
        part.advance(state, AT_S + day * DAY_S, known, known.step)
    return state


def _read(part, state, day):
    features = []
    part.read(features, state, AT_S + day * DAY_S)
    names = [name.removeprefix(f"journey_{getattr(part, 'kind', '')}_") for name in part.names]
    return dict(zip(names, features, strict=True))


def _same(read, expected):
    return read == pytest.approx(expected, nan_ok=True)


def test_nothing_is_under_way_before_the_first_event():
    part = _part()
    assert _same(_read(part, part.empty(), 0), NOTHING)
    assert part.open_journey(part.empty(), AT_S) is None


def test_every_number_has_one_name():
    part = _part(name="refund")
    assert len(part.empty()) == len(part.fields) == len(set(part.fields))
    assert part.names == tuple(f"journey_refund_{name}" for name in NOTHING)


def test_it_touches_its_own_stretch_of_the_state_alone():
    alone, among = _part(), _part(start=2)
    state = _folded(among, (0, "starts"), state=[7.0, 7.0, *alone.empty(), 7.0])
    assert state == [7.0, 7.0, *_folded(alone, (0, "starts")), 7.0]
    assert _read(among, state, 1) == _read(alone, _folded(alone, (0, "starts")), 1)


@pytest.mark.parametrize("step", ["starts", "moves"])
def test_the_first_event_opens_it(step):
    part = _part()
    state = _folded(part, (0, step, "consideration"))
    expected = {"open": 1.0, "age_days": 5.0, "stage": 3.0, "stage_days": 5.0}
    assert _read(part, state, 5) == expected


def test_an_event_that_ends_it_closes_it():
    part = _part()
    assert _same(_read(part, _folded(part, (0, "starts"), (2, "ends")), 2), NOTHING)


def test_an_end_without_a_start_opens_nothing_and_is_not_held_against_the_next():
    part = _part()
    alone = _folded(part, (0, "ends"), (1, "ends"))
    assert _same(_read(part, alone, 1), NOTHING)
    state = _folded(part, (2, "starts"), state=alone)
    assert _read(part, state, 3)["open"] == 1.0


def test_of_two_complaints_one_is_closed_and_one_stays_open():
    part = _part(problem=True)
    state = _folded(part, (0, "starts"), (3, "starts"))
    assert _read(part, state, 3) == {"open": 2.0, "age_days": 3.0, "stage": 5.0, "stage_days": 3.0}
    state = _folded(part, (4, "ends"), state=state)
    assert _read(part, state, 5) == {"open": 1.0, "age_days": 5.0, "stage": 5.0, "stage_days": 5.0}
    state = _folded(part, (6, "ends"), state=state)
    assert _same(_read(part, state, 6), NOTHING)


def test_the_end_of_one_does_not_move_the_other_to_another_stage():
    part = _part()
    past = [(0, "starts", "interest"), (1, "starts", "interest"), (2, "ends", "action")]
    read = _read(part, _folded(part, *past), 2)
    assert (read["open"], read["stage"], read["stage_days"]) == (1.0, 2.0, 2.0)


def test_time_in_a_stage_begins_anew_with_another_stage_and_not_with_the_same():
    part = _part(name="purchase")
    past = [(0, "moves", "discovery"), (1, "moves", "interest"), (3, "moves", "interest")]
    state = _folded(part, *past)
    assert _read(part, state, 4) == {"open": 1.0, "age_days": 4.0, "stage": 2.0, "stage_days": 3.0}
    state = _folded(part, (4, "moves", "discovery"), state=state)
    assert _read(part, state, 6) == {"open": 1.0, "age_days": 6.0, "stage": 1.0, "stage_days": 2.0}


def test_a_stage_is_told_by_its_place_in_the_order_of_stages():
    part = _part()
    for place, stage in enumerate(STAGES):
        state = _folded(part, (0, "starts", stage))
        assert _read(part, state, 0)["stage"] == place
        assert part.open_journey(state, AT_S).stage == stage


def test_the_stages_may_be_those_of_the_domain_file():
    part = JourneyPart(0, "complaint", JourneyKind(), ("heard", "solved"))
    state = _folded(part, (0, "starts", "heard"), (1, "moves", "solved"))
    assert _read(part, state, 2)["stage"] == 1.0
    assert part.open_journey(state, AT_S).stage == "solved"
    assert part.descriptions()["journey_complaint_stage"].values == ("heard", "solved")


@pytest.mark.parametrize(("day", "is_open"), [(7, 1.0), (7.001, 0.0)])
def test_it_lapses_when_nothing_has_happened_for_too_long(day, is_open):
    part = _part(lapse_days=7)
    state = _folded(part, (0, "starts"))
    assert _read(part, state, day)["open"] == is_open
    assert (part.open_journey(state, AT_S + day * DAY_S) is not None) == bool(is_open)


def test_each_event_puts_the_lapse_off():
    part = _part(lapse_days=7)
    state = _folded(part, *((6 * n, "moves") for n in range(5)))
    assert _read(part, state, 30) == {
        "open": 1.0,
        "age_days": 30.0,
        "stage": 5.0,
        "stage_days": 30.0,
    }


@pytest.mark.parametrize("step", ["starts", "moves"])
def test_after_a_lapse_another_one_begins(step):
    part = _part(lapse_days=7)
    state = _folded(part, (0, "starts"), (1, "starts"), (20, step))
    assert _read(part, state, 21) == {"open": 1.0, "age_days": 1.0, "stage": 5.0, "stage_days": 1.0}


def test_the_end_of_one_that_lapsed_ends_nothing_else():
    part = _part(lapse_days=7)
    state = _folded(part, (0, "starts"), (1, "starts"), (20, "ends"))
    assert _same(_read(part, state, 20), NOTHING)


def test_one_that_never_lapses_is_open_for_ever():
    part = _part()
    state = _folded(part, (0, "starts"))
    assert _read(part, state, 36_500)["age_days"] == 36_500.0


def test_a_clock_behind_the_event_reads_no_negative_age():
    part = _part(lapse_days=7, problem=True)
    state = _folded(part, (0, "starts"))
    assert _read(part, state, -50) == {"open": 1.0, "age_days": 0, "stage": 5.0, "stage_days": 0}
    assert _read(JourneyTotals((part,)), state, -50)["problem_age_days"] == 0.0


def test_a_journey_is_told_in_words():
    part = _part(name="refund", problem=True)
    state = _folded(part, (0, "starts", "use"), (1, "starts", "advocacy"))
    assert part.open_journey(state, AT_S + 2 * DAY_S) == OpenJourney(
        "refund", "advocacy", True, 2, AT_S, AT_S + DAY_S
    )


def test_journeys_of_somebody_who_left_are_closed():
    part = _part()
    state = _folded(part, (0, "starts"), (1, "starts"))
    part.close_all(state)
    assert _same(state, part.empty())
    assert _read(part, _folded(part, (3, "moves"), state=state), 4)["age_days"] == 1.0


@pytest.mark.parametrize(("us", "is_open"), [(0, 1.0), (1, 0.0)])
def test_a_lapse_is_exact_to_the_microsecond(us, is_open):
    part = JourneyPart(0, "any", JourneyKind(lapse_days=1e-5))  # 864,000 microseconds
    for n in range(50):
        first_us = 1_780_000_000_000_000 + 1_234_567 * n
        state, then_s = part.empty(), (first_us + 864_000 + us) / 1e6
        known = _event("starts")
        part.advance(state, first_us / 1e6, known, known.step)
        assert part.is_open(state, then_s) == bool(is_open)
        lapsed_us = None if is_open else first_us + 864_000
        assert part.lapsed_us(state, then_s) == lapsed_us


def test_stages_of_the_domain_file_are_told_by_its_order():
    part = JourneyPart(0, "any", JourneyKind(), ["new", "use", "old"])
    state = _folded(part, (0, "starts", "old"))
    features = []
    part.read(features, state, AT_S)
    assert features[2] == 2.0
    assert part.open_journey(state, AT_S).stage == "old"
    assert part.descriptions()["journey_any_stage"].values == ("new", "use", "old")


def test_what_is_open_may_be_told():
    part, known = _part(), _event("moves", "use")
    state = _folded(part, (0, "starts", "interest"))
    part.tell(state, AT_S + 2 * DAY_S, known, "moves", (3, AT_S - DAY_S))
    expected = {"open": 3.0, "age_days": 4.0, "stage": 5.0, "stage_days": 1.0}
    assert _read(part, state, 3) == expected
    part.tell(state, AT_S + 4 * DAY_S, known, "ends", (0, nan))
    assert _same(state, part.empty())


def test_the_end_of_one_that_is_told_does_not_move_the_others_to_another_stage():
    part, state = _part(), _part().empty()
    for day, step, stage, count in ((0, "starts", "use", 2), (3, "ends", "advocacy", 1)):
        now_open = count, AT_S
        part.tell(state, AT_S + day * DAY_S, _event(step, stage), step, now_open)
    assert _same(
        _read(part, state, 4),
        {"open": 1.0, "age_days": 4.0, "stage": STAGES.index("use"), "stage_days": 4.0},
    )


# --- totals ---


@pytest.fixture
def three():
    """A complaint and a refund, which are problems, and a purchase, one after the other."""
    return (
        _part(0, "complaint", problem=True),
        _part(5, "refund", problem=True, lapse_days=10),
        _part(10, "purchase", lapse_days=30),
    )


def _nothing(parts):
    return [number for part in parts for number in part.empty()]


def test_totals_count_what_is_open_and_how_much_of_it_is_a_problem(three):
    complaint, refund, purchase = three
    state = _folded(complaint, (4, "starts"), (5, "starts"), state=_nothing(three))
    state = _folded(refund, (1, "starts"), state=state)
    state = _folded(purchase, (0, "moves"), state=state)
    read = _read(JourneyTotals(three), state, 6)
    assert read == {"open_journeys": 4.0, "open_problems": 3.0, "problem_age_days": 5.0}


def test_a_problem_that_lapsed_or_ended_is_none(three):
    complaint, refund, _ = three
    state = _folded(complaint, (12, "starts"), state=_nothing(three))
    state = _folded(refund, (1, "starts"), state=state)
    read = _read(JourneyTotals(three), state, 13)
    assert read == {"open_journeys": 1.0, "open_problems": 1.0, "problem_age_days": 1.0}
    state = _folded(complaint, (13, "ends"), state=state)
    read = _read(JourneyTotals(three), state, 13)
    assert (read["open_journeys"], read["open_problems"]) == (0.0, 0.0)
    assert isnan(read["problem_age_days"])


def test_a_journey_that_is_no_problem_has_no_age_as_one(three):
    state = _folded(three[2], (0, "moves"), state=_nothing(three))
    read = _read(JourneyTotals(three), state, 1)
    assert (read["open_journeys"], read["open_problems"]) == (1.0, 0.0)
    assert isnan(read["problem_age_days"])


def test_totals_keep_nothing_of_their_own(three):
    assert JourneyTotals(three).empty() == []
    assert JourneyTotals(three).fields == ()
