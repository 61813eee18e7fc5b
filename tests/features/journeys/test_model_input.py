"""The one row of numbers that training and serving both read."""

from datetime import date
from math import isnan

import numpy as np
import pytest

from features.business.event_types import Property
from features.business.journey_rules.kinds import Expected, JourneyKind, MapRules
from features.business.label_definitions import Churn
from features.journeys.model_input import ModelInput

AT_S = 1_800_000_000.0


@pytest.fixture
def model_input(toy_domain):
    return ModelInput(toy_domain)


@pytest.fixture
def visited(model_input):
    """The state of a customer who came once, an hour before ``AT_S``."""
    fold = model_input.fold
    return fold.advance(fold.empty(), "visit", "app", AT_S - 3600, {})


def test_journey_features_come_first_and_attributes_last(model_input):
    assert model_input.names == (*model_input.fold.feature_names, "plan", "age_years")


def test_a_row_has_one_number_for_each_name(model_input, visited):
    row = model_input.read({"plan": "plus", "age_years": "41.5"}, visited, AT_S)
    assert len(row) == len(model_input.names)
    assert row[:-2] == pytest.approx(model_input.fold.read(visited, AT_S), abs=0, nan_ok=True)
    assert row[-2:] == [1.0, 41.5]


@pytest.mark.parametrize(
    ("attributes", "plan", "age"),
    [
        ({"plan": "basic", "age_years": "0"}, 0.0, 0.0),
        ({}, None, None),
        ({"plan": None, "age_years": None}, None, None),
        ({"plan": "gold", "age_years": "old"}, None, None),
        ({"shoe_size": "44", "plan": "plus"}, 1.0, None),
    ],
)
def test_what_is_missing_or_unheard_of_becomes_nan(model_input, attributes, plan, age):
    *_, read_plan, read_age = model_input.read(attributes, None, AT_S)
    assert isnan(read_plan) if plan is None else read_plan == plan
    assert isnan(read_age) if age is None else read_age == age


def test_a_stranger_looks_the_same_at_any_moment(model_input):
    early, late = model_input.read({}, None, 0.0), model_input.read({}, None, AT_S)
    np.testing.assert_array_equal(early, late)
    np.testing.assert_array_equal(model_input.stranger, late)


def test_no_state_and_the_empty_state_are_the_same(model_input):
    without = model_input.read({}, None, AT_S)
    np.testing.assert_array_equal(without, model_input.read({}, model_input.fold.empty(), AT_S))


def test_only_customers_with_an_event_have_a_past(model_input, visited):
    rows = [
        model_input.read({}, None, AT_S),
        model_input.read({"plan": "plus", "age_years": "30"}, None, AT_S),
        model_input.read({}, visited, AT_S),
        model_input.read({}, visited, AT_S + 50 * 365 * 86_400),
    ]
    assert model_input.has_past(np.array(rows)).tolist() == [False, False, True, True]


def test_one_business_has_one_fingerprint(model_input, toy_domain):
    assert ModelInput(toy_domain).fingerprint == model_input.fingerprint
    assert ModelInput(toy_domain).layout == model_input.layout


def test_other_half_lives_are_another_layout(model_input, toy_domain):
    other = ModelInput(toy_domain.model_copy(update={"half_lives_days": (7.0, 56.0)}))
    assert other.layout != model_input.layout
    assert other.fingerprint != model_input.fingerprint


def _with_event(domain, name, **changes):
    event = domain.events[name].model_copy(update=changes)
    return domain.model_copy(update={"events": {**domain.events, name: event}})


def _with_journey(domain, **described):
    return domain.model_copy(update={"journeys": {"use": JourneyKind(**described)}})


@pytest.mark.parametrize(
    "changed",
    [
        lambda domain: domain.model_copy(update={"session_minutes": 60.0}),
        lambda domain: domain.model_copy(update={"stages": ("use", "action", "advocacy")}),
        lambda domain: _with_event(domain, "visit", step="ends"),
        lambda domain: _with_event(domain, "visit", stage="advocacy"),
        lambda domain: _with_event(
            _with_event(domain, "visit", journey="purchase"), "order", journey="use"
        ),
        lambda domain: _with_journey(domain, lapse_days=7),
        lambda domain: _with_journey(domain, problem=True),
    ],
    ids=["session", "stages", "step", "stage", "journey", "lapse", "problem"],
)
def test_a_rule_that_gives_the_same_names_another_meaning_is_another_layout(
    model_input, toy_domain, changed
):
    other = ModelInput(changed(toy_domain))
    assert {*other.names} == {*model_input.names}
    assert other.layout != model_input.layout
    assert other.fingerprint != model_input.fingerprint


LEFT = Churn(event="visit", when="happens")
SOON = {"after": "visit", "next": "visit", "within_days": 1}


def _promised(promise, **of_version):
    version = {"version": 1, "promises": {"soon": promise}, **of_version}
    return JourneyKind.model_validate({"expected": version}).expected


@pytest.mark.parametrize(
    "changed",
    [
        lambda domain: _with_journey(domain, ends_when="channel == 'app'"),
        lambda domain: domain.model_copy(update={"stages": (*domain.stages, "more")}),
    ],
    ids=["ends_when", "stages"],
)
def test_a_rule_of_cutting_journeys_is_part_of_the_layout(model_input, toy_domain, changed):
    other = ModelInput(changed(toy_domain))
    assert other.names == model_input.names
    assert other.layout != model_input.layout
    assert other.fingerprint != model_input.fingerprint


def test_leaving_is_another_layout_of_states_and_the_same_one_of_rows(model_input, toy_domain):
    other = ModelInput(toy_domain.model_copy(update={"churn": LEFT}))
    assert other.layout != model_input.layout
    assert other.fingerprint == model_input.fingerprint


def test_a_case_changes_the_layout_and_adds_no_feature(model_input, toy_domain):
    properties = {"ticket": Property(type="text", remembered=False)}
    visits = _with_event(toy_domain, "visit", properties=properties)
    other = ModelInput(_with_journey(visits, case="ticket"))
    assert other.names == model_input.names
    assert other.layout != model_input.layout
    # The same property of another type of event tells journeys apart, too.
    of_order = _with_journey(_with_event(toy_domain, "order", properties=properties), case="ticket")
    assert ModelInput(of_order).layout != other.layout


def test_what_a_promise_says_is_part_of_the_layout_and_its_words_are_not(toy_domain):
    def layout(expected, **described):
        return ModelInput(_with_journey(toy_domain, expected=expected, **described)).layout

    first = layout(_promised(SOON))
    assert first != layout(_promised(SOON | {"within_days": 2}))
    assert first != layout(_promised(SOON, since="2026-01-01"))
    assert first != layout(_promised(SOON), map=MapRules(names={"visit": "come by"}))
    assert first != layout((*_promised(SOON), Expected(version=2, since=date(2026, 1, 1))))
    assert first == layout(_promised(SOON | {"words": "Soon", "owner": "us"}))
    assert first == layout(_promised(SOON, way=["visit"]))


def test_the_features_of_promises_are_described(toy_domain):
    promised = ModelInput(_with_journey(toy_domain, expected=_promised(SOON)))
    assert [name for name in promised.names if name.startswith("promise_")] == [
        *("promise_soon_open", "promise_soon_hours_left", "promise_soon_broken_n")
    ]
    assert [*promised.descriptions] == [*promised.names]


def test_which_number_is_money_is_part_of_the_layout(toy_domain):
    spend, plain = Property(type="number", measures="spend"), Property(type="number")
    one, other = (
        ModelInput(_with_event(toy_domain, "order", properties=properties))
        for properties in ({"paid": spend, "saved": plain}, {"paid": plain, "saved": spend})
    )
    assert one.names == other.names
    assert one.layout != other.layout


def test_what_is_only_said_about_the_business_is_no_other_layout(model_input, toy_domain):
    for changed in (
        _with_event(toy_domain, "visit", description="Came by."),
        _with_journey(toy_domain, description="At ease."),
        _with_event(
            toy_domain, "visit", properties={"page": Property(type="text", remembered=False)}
        ),
        toy_domain.model_copy(update={"churn": None, "intent": None}),
    ):
        assert ModelInput(changed).layout == model_input.layout
        assert ModelInput(changed).fingerprint == model_input.fingerprint


def test_another_attribute_changes_the_row_and_what_is_kept_online(model_input, toy_domain):
    other = ModelInput(toy_domain.model_copy(update={"attributes": {}}))
    assert other.layout != model_input.layout
    assert other.fingerprint != model_input.fingerprint


def test_another_order_of_values_gives_a_row_another_meaning(model_input, toy_domain):
    plan = toy_domain.attributes["plan"].model_copy(update={"values": ("plus", "basic")})
    attributes = {**toy_domain.attributes, "plan": plan}
    other = ModelInput(toy_domain.model_copy(update={"attributes": attributes}))
    assert other.names == model_input.names
    assert other.fingerprint != model_input.fingerprint


def test_an_attribute_that_is_only_kept_is_in_no_row_but_in_the_store(model_input, toy_domain):
    age = toy_domain.attributes["age_years"].model_copy(update={"read": False})
    attributes = {"age_years": age, "plan": toy_domain.attributes["plan"]}
    other = ModelInput(toy_domain.model_copy(update={"attributes": attributes}))
    assert other.names == (*model_input.fold.feature_names, "plan")
    row = other.read({"plan": "plus", "age_years": "41"}, None, AT_S)
    assert len(row) == len(other.names) and row[-1] == 1.0
    assert other.fingerprint != model_input.fingerprint
    without = ModelInput(toy_domain.model_copy(update={"attributes": {"plan": attributes["plan"]}}))
    assert other.fingerprint == without.fingerprint and other.layout != without.layout
