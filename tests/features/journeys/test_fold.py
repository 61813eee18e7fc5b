"""The fold as a whole: which event moves what, and what holds whatever happens."""

from math import isfinite, isnan, log, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.business.domain import Domain
from features.errors import InvalidDomain
from features.journeys.events import MAX_NUMBER
from features.journeys.fold import Fold, OpenJourney
from features.journeys.state import DAY_S

REPEATABLE = settings(derandomize=True, database=None, deadline=None)
START_S = 1_780_000_000.0
NOT_SELLING = {
    "description": "x",
    "stage": "use",
    "touchpoint": "internal",
    "signal": "passive",
}
SHOP = {
    "name": "shop",
    "currency": "eur",
    "channels": ["web", "phone"],
    "attributes": {"plan": {"type": "category", "values": ["basic", "plus"]}},
    "vocabulary": [
        *("visit", "purchase", "nps", "csat", "refund", "call"),
        *("complaint_opened", "complaint_closed"),
    ],
    "half_lives_days": [7, 28],
}


@pytest.fixture(scope="module")
def fold():
    """A shop with sessions, spend, two kinds of score and four kinds of journey."""
    return Fold(Domain.model_validate(SHOP))


@pytest.fixture(scope="module")
def toy(toy_domain):
    """Two kinds of event; nothing is measured."""
    return Fold(toy_domain)


def _event(kind, day=0.0, channel="web", **properties):
    return kind, channel, START_S + day * DAY_S, properties


def _folded(fold, events):
    state = fold.empty()
    for event in events:
        state = fold.advance(state, *event)
    return state


def _read(fold, events, day=0.0):
    features = fold.read(_folded(fold, events), START_S + day * DAY_S)
    return dict(zip(fold.feature_names, features, strict=True))


def _same(a, b):
    return a == b or (isnan(a) and isnan(b))


STORY = [
    _event("visit", 0),
    _event("purchase", 1, amount_eur=30.0),
    _event("complaint_opened", 2, channel="phone"),
    _event("complaint_opened", 5, channel="phone"),
    _event("csat", 5, score=1.0),
    _event("nps", 5, score=3.0),
    _event("complaint_closed", 6),
    _event("purchase", 8, amount_eur=10.0),
    _event("nps", 33, score=9.0),
    _event("visit", 33.01),
]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("events_n", 10.0),
        ("known_days", 34.0),
        ("silence_days", 0.99),
        ("sessions_n", 7.0),  # on day 5 three events, on day 33 two
        ("session_events", 0.0),
        ("visit_silence_days", 0.99),
        ("visit_gap_days", 33.01),
        ("purchase_silence_days", 26.0),
        ("purchase_gap_days", 7.0),
        ("purchase_amount_eur_mean_7d", (10.0 + 30.0 / 2) / 1.5),
        ("complaint_opened_known_days", 32.0),
        ("channel_phone_silence_days", 29.0),
        ("channel_web_known_days", 34.0),
        ("spend_total_eur", 40.0),
        ("spend_mean_eur", 20.0),
        ("spend_last_eur", 10.0),
        ("spend_per_week_eur_7d", (30 * 2 ** (-33 / 7) + 10 * 2 ** (-26 / 7)) * log(2)),
        ("feedback_nps_n", 2.0),
        ("feedback_nps_last", 9.0),
        ("feedback_nps_mean", (3 / 2 + 9) / (1 / 2 + 1)),  # 28 days, a half-life, between them
        ("feedback_nps_silence_days", 1.0),
        ("feedback_csat_n", 1.0),
        ("feedback_csat_mean", 1.0),
        ("open_journeys", 3.0),  # a complaint, the visit, and the answer
        ("open_problems", 1.0),
        ("problem_age_days", 32.0),
        ("journey_complaint_open", 1.0),
        ("journey_complaint_age_days", 32.0),
        ("journey_complaint_stage", 5.0),
        ("journey_purchase_open", 1.0),
        ("journey_purchase_age_days", 0.99),
        ("journey_purchase_stage", 1.0),
        ("journey_voice_open", 1.0),
        ("journey_voice_age_days", 29.0),  # since the scores of day 5
        ("journey_voice_stage", 6.0),
        ("journey_refund_open", 0.0),
        ("journey_refund_age_days", nan),
        ("call_silence_days", nan),
    ],
)
def test_a_story_worked_by_hand(fold, name, expected):
    assert _read(fold, STORY, 34)[name] == pytest.approx(expected, nan_ok=True)


def test_the_channel_of_each_event_counts_in_the_preference(fold):
    weight = {0.0: [], 1.0: []}
    for _, channel, at_s, _ in STORY:
        weight[float(channel == "phone")].append(2 ** (-(START_S + 34 * DAY_S - at_s) / DAY_S / 28))
    web, phone = map(sum, weight.values())
    read = _read(fold, STORY, 34)
    assert read["channel_web_preference"] == pytest.approx(web / (web + phone))
    assert read["channel_phone_preference"] == pytest.approx(phone / (web + phone))


def test_open_journeys_are_told_the_oldest_first(fold):
    at = {day: START_S + day * DAY_S for day in (2, 5, 33, 33.01)}
    assert fold.open_journeys(_folded(fold, STORY), START_S + 34 * DAY_S) == [
        OpenJourney("complaint", "use", True, 1, at[2], at[2]),
        OpenJourney("voice", "advocacy", False, 1, at[5], at[5]),
        OpenJourney("purchase", "discovery", False, 1, at[33.01], at[33.01]),
    ]


def test_a_stranger_is_in_the_middle_of_nothing(fold):
    assert fold.open_journeys(fold.empty(), START_S) == []


@REPEATABLE
@given(st.integers(0, len(STORY)), st.floats(34, 400))
def test_what_is_told_is_what_is_read(fold, length, day):
    state = _folded(fold, STORY[:length])
    told = fold.open_journeys(state, START_S + day * DAY_S)
    read = _read(fold, STORY[:length], day)
    assert sum(one.count for one in told) == read["open_journeys"]
    assert sum(one.count for one in told if one.problem) == read["open_problems"]
    names = ("purchase", "complaint", "refund", "voice", "support")
    assert {one.kind for one in told} == {name for name in names if read[f"journey_{name}_open"]}


def test_the_last_event_and_their_number_are_told(fold):
    assert isnan(fold.last_at(fold.empty())) and fold.events_n(fold.empty()) == 0
    state = _folded(fold, STORY)
    assert fold.last_at(state) == START_S + 33.01 * DAY_S
    assert fold.events_n(state) == 10


@pytest.mark.parametrize("minutes", [5, 60])
def test_the_domain_says_how_long_a_session_goes_on(minutes):
    fold = Fold(Domain.model_validate(SHOP | {"session_minutes": minutes}))
    read = _read(fold, [_event("visit", 0), _event("visit", 20 / 1440)], 20 / 1440)
    assert read["sessions_n"] == (2.0 if minutes == 5 else 1.0)


def test_the_domain_says_when_a_journey_lapses(fold):
    """A purchase after 30 days without an event, a call for help after 7."""
    past = [_event("visit"), _event("call")]
    assert [one.kind for one in fold.open_journeys(_folded(fold, past), START_S + 8 * DAY_S)] == [
        "purchase"
    ]


def test_money_that_comes_back_is_not_spent(fold):
    past = [_event("purchase", amount_eur=30.0), _event("refund", amount_eur=30.0)]
    assert _read(fold, past)["spend_total_eur"] == 30.0


def test_a_missing_number_counts_as_nothing(toy):
    past = [_event("order", channel="app", amount_eur=3.0), _event("order", channel="app")]
    assert _read(toy, past)["order_amount_eur_mean_7d"] == pytest.approx(1.5)


def test_a_missing_score_is_no_answer(fold):
    assert _read(fold, [_event("nps", score=0.0), _event("nps")])["feedback_nps_n"] == 1.0


def test_where_nothing_is_measured_no_feature_says_so(toy):
    names = [*toy.feature_names, *toy.state_fields]
    assert [name for name in names if name.startswith(("spend", "feedback"))] == []


def test_what_is_not_remembered_leaves_no_trace(toy):
    order = _event("order", channel="app", amount_eur=1.0)
    with_note = _event("order", channel="app", amount_eur=1.0, note="hello")
    assert all(map(_same, _folded(toy, [with_note]), _folded(toy, [order])))
    assert not any("note" in name for name in toy.state_fields + toy.feature_names)


def test_the_features_of_a_small_business_are_these(toy):
    kinds = {name.partition("_")[0] for name in toy.feature_names}
    assert kinds == {
        *("visit", "order", "channel", "journey", "open", "problem"),
        *("events", "known", "silence", "session", "sessions"),
    }
    assert toy.feature_names[0] == "visit_known_days"
    assert toy.feature_names[-1] == "problem_age_days"


def test_every_number_has_one_name(fold, toy):
    for one in (fold, toy):
        assert len(one.empty()) == len(one.state_fields) == len(set(one.state_fields))
        assert len(one.read(one.empty(), 0.0)) == len(one.feature_names)
        assert len(set(one.feature_names)) == len(one.feature_names)


def test_a_state_is_named_by_its_fields(fold):
    kept = dict(zip(fold.state_fields, _folded(fold, STORY), strict=True))
    assert kept["purchase_n"] == kept["spend_n"] == kept["feedback_nps_n"] == 2.0
    assert kept["channel_phone_n"] == 2.0
    assert kept["last_at"] == kept["journey_purchase_opened_at"] == START_S + 33.01 * DAY_S
    assert kept["feedback_nps_last"] == 9.0
    assert kept["spend_total_eur"] == 40.0


def test_a_stranger_has_no_past_to_read(fold):
    read = _read(fold, [])
    assert isnan(read["visit_silence_days"]) and isnan(read["purchase_trend_7d"])
    assert isnan(read["channel_web_preference"]) and isnan(read["feedback_nps_last"])
    assert read["visit_per_week_7d"] == read["events_n"] == read["open_journeys"] == 0.0


def test_everybody_gets_an_empty_state_of_their_own(fold):
    fold.empty()[0] = 7.0
    assert fold.empty()[0] == 0.0


@pytest.mark.parametrize(("kind", "channel"), [("siege", "web"), ("visit", "fax")])
def test_an_event_that_the_domain_file_no_longer_has_is_passed_over(fold, kind, channel):
    state = fold.advance(fold.empty(), kind, channel, START_S, {})
    assert state == pytest.approx(fold.empty(), nan_ok=True)


# --- rules of journeys ---

WITH_RULES = SHOP | {
    "journeys": {"voice": {"ends_when": "score >= 4"}},
    "events": {"left": {**NOT_SELLING, "journey": "life"}},
    "churn": {"event": "left", "when": "happens"},
}


@pytest.fixture(scope="module")
def ruled():
    """The shop, where good scores end a journey and customers can leave."""
    return Fold(Domain.model_validate(WITH_RULES))


@pytest.mark.parametrize(("score", "is_open"), [(3.0, 1.0), (5.0, 0.0)])
def test_an_event_of_which_the_condition_is_true_ends_a_journey(ruled, score, is_open):
    events = [_event("csat", 0, score=1.0), _event("csat", 1, score=score)]
    assert _read(ruled, events, 2)["journey_voice_open"] == is_open


def test_who_leaves_has_no_open_journey_and_may_open_another(ruled):
    events = [_event("visit"), _event("complaint_opened", 1), _event("left", 2)]
    left = _read(ruled, events, 2)
    assert (left["open_journeys"], left["open_problems"], left["events_n"]) == (0.0, 0.0, 3.0)
    assert ruled.open_journeys(_folded(ruled, events), START_S + 2 * DAY_S) == []
    back = _read(ruled, [*events, _event("visit", 3)], 4)
    assert (back["open_journeys"], back["journey_purchase_age_days"]) == (1.0, 1.0)


def test_a_member_of_an_account_who_leaves_closes_no_journey_of_the_others(ruled):
    events = [_event("complaint_opened"), _event("left", 1)]
    assert _read(ruled.of("ann"), events, 2)["open_problems"] == 0.0
    assert _read(ruled.of("account acme"), events, 2)["open_problems"] == 1.0


def test_without_such_rules_a_state_has_no_memory(ruled, fold):
    for one in (ruled, fold):
        assert not any(name.endswith("_memory") for name in one.state_fields)


# --- two things of one name ---


@pytest.mark.parametrize(
    ("change", "twin"),
    [
        ({"events": {"channel_web": {**NOT_SELLING, "journey": "use"}}}, "channel_web_"),
        ({"events": {"session": {**NOT_SELLING, "journey": "use"}}}, "session_n"),
        ({"events": {"journey_use": {**NOT_SELLING, "journey": "use"}}}, "journey_use_last_at"),
        ({"events": {"feedback_nps": {**NOT_SELLING, "journey": "use"}}}, "feedback_nps_"),
        ({"attributes": {"open_problems": {"type": "number"}}}, "open_problems"),
        (
            {
                "events": {
                    "order": {
                        **NOT_SELLING,
                        "journey": "use",
                        "properties": {
                            "kind": {"type": "category", "values": ["of_a"]},
                            "kind_of": {"type": "category", "values": ["a"]},
                        },
                    }
                }
            },
            "order_kind_of_a",
        ),
    ],
    ids=["channel", "session", "journey", "feedback", "attribute", "property"],
)
def test_two_things_of_one_name_are_refused_with_the_name(change, twin):
    with pytest.raises(InvalidDomain) as caught:
        Fold(Domain.model_validate(SHOP | change))
    message = str(caught.value)
    assert message.startswith(f"Two features of the domain 'shop' would be called '{twin}")
    assert message.endswith("Rename the event type, the property or the attribute behind it.")


# --- whatever happens ---

pauses_s = st.one_of(st.sampled_from([0.0, 60.0, DAY_S, 40 * DAY_S]), st.floats(0, 5000 * DAY_S))
numbers = st.one_of(st.sampled_from([0.0, MAX_NUMBER]), st.floats(0, MAX_NUMBER))
kinds = st.sampled_from(SHOP["vocabulary"])
sent = st.fixed_dictionaries(
    {}, optional={"amount_eur": numbers, "score": st.integers(0, 10).map(float), "minutes": numbers}
)


@st.composite
def pasts(draw):
    """Events in order of time, and a moment not before the last one."""
    at_s, events = START_S, []
    for kind, channel, properties in draw(
        st.lists(st.tuples(kinds, st.sampled_from(SHOP["channels"]), sent), max_size=15)
    ):
        at_s += draw(pauses_s)
        events.append((kind, channel, at_s, properties))
    return events, at_s + draw(pauses_s)


@REPEATABLE
@given(pasts())
def test_features_are_finite_or_nan_and_as_many_as_their_names(fold, past):
    events, at_s = past
    state = _folded(fold, events)
    features = fold.read(state, at_s)
    assert len(state) == len(fold.state_fields)
    assert len(features) == len(fold.feature_names)
    assert all(isfinite(value) or isnan(value) for value in (*state, *features))


MAY_BE_NEGATIVE = ("silence_z", "silence_ratio")


@REPEATABLE
@given(pasts(), st.floats(-1e9, 1e9))
def test_nothing_but_a_comparison_is_negative_whatever_the_clock_says(fold, past, off_s):
    events, at_s = past
    read = dict(
        zip(fold.feature_names, fold.read(_folded(fold, events), at_s + off_s), strict=True)
    )
    assert {
        name: value
        for name, value in read.items()
        if value < 0.0 and not name.endswith(MAY_BE_NEGATIVE)
    } == {}


@REPEATABLE
@given(pasts())
def test_what_decays_only_fades_while_nothing_happens(fold, past):
    events, at_s = past
    state = _folded(fold, events)
    fading = [
        index
        for index, name in enumerate(fold.feature_names)
        if "active_weeks" in name or "spend_per_week" in name
    ]
    soon, late = fold.read(state, at_s), fold.read(state, at_s + 40 * DAY_S)
    assert all(0.0 <= late[index] <= soon[index] for index in fading)


@REPEATABLE
@given(pasts().filter(lambda past: past[0]))
def test_advance_leaves_the_state_it_got_as_it_is(fold, past):
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
    fold.open_journeys(state, at_s)
    assert all(map(_same, state, copy))


@REPEATABLE
@given(pasts())
def test_events_of_one_type_do_not_touch_the_features_of_another(fold, past):
    events, at_s = past
    alone = [event for event in events if event[0] == "purchase"]
    day = (at_s - START_S) / DAY_S
    both, purchases = _read(fold, events, day), _read(fold, alone, day)
    own = [name for name in both if name.startswith(("purchase_", "spend_"))]
    assert all(_same(both[name], purchases[name]) for name in own)
