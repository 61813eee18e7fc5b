"""One file describes a business: what it may say, and what it hears when it says otherwise."""

import re
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from features.domain import Domain, load_domain
from features.errors import InvalidDomain
from features.settings import GROCERY

TOY = Path(__file__).parents[1] / "toy" / "domain.yaml"
VISIT = {
    "description": "Opened the app.",
    "journey": "use",
    "stage": "use",
    "touchpoint": "internal",
    "signal": "passive",
}


@pytest.fixture
def load(tmp_path):
    """The toy business with some of its keys changed, as a person would change the file."""

    def changed(**keys):
        content = {**yaml.safe_load(TOY.read_text(encoding="utf-8")), **keys}
        path = tmp_path / "domain.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return load_domain(path)

    return changed


def test_the_toy_business_is_read_as_written(toy_domain):
    assert toy_domain.channels == ("app", "phone")
    assert toy_domain.half_lives_days == (7, 28)
    assert toy_domain.attributes["plan"].values == ("basic", "plus")
    assert toy_domain.events["order"].properties["amount_eur"].required
    assert not toy_domain.events["order"].properties["note"].remembered
    assert toy_domain.churn.silent_days == 20


def test_the_packaged_grocery_is_a_good_domain():
    grocery = load_domain(GROCERY)
    assert grocery.name == "grocery"
    assert grocery.churn and grocery.intents and grocery.moments


def test_the_intents_are_the_values_of_the_property_in_their_order(toy_domain):
    assert toy_domain.intents == ("small", "big")


def test_a_business_without_intent_has_no_intents(load):
    assert load(intent=None).intents == ()


def test_a_business_may_be_nothing_but_one_kind_of_event(load):
    domain = load(events={"visit": VISIT}, attributes={}, churn=None, intent=None)
    assert (domain.attributes, domain.churn, domain.moments) == ({}, None, None)


def test_half_lives_have_a_default():
    domain = Domain(name="x", currency="eur", channels=("app",), events={"visit": VISIT})
    assert domain.half_lives_days == (7, 28, 112)


def test_a_domain_does_not_change_once_read(toy_domain):
    with pytest.raises(ValidationError, match="frozen"):
        toy_domain.name = "other"


def _moments(first, last, test_from):
    return {"first": first, "last": last, "every_days": 7, "test_from": test_from}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"name": "Toy Shop"}, "name is 'Toy Shop'"),
        ({"currency": "EUR"}, "currency is 'EUR'"),
        ({"channels": []}, "channels is []"),
        ({"events": {}}, "events is {}"),
        ({"events": {"visit": {**VISIT, "stage": "sleep"}}}, "events.visit.stage is 'sleep'"),
        ({"events": {"visit": {**VISIT, "signal": "smoke"}}}, "events.visit.signal is 'smoke'"),
        ({"events": {"visit": {**VISIT, "touchpoint": "moon"}}}, "touchpoint is 'moon'"),
        ({"colour": "red"}, "colour is 'red'"),
        ({"attributes": {"plan": {"type": "text"}}}, "attributes.plan.type is 'text'"),
        ({"attributes": {"plan": {"type": "category"}}}, "attributes.plan.values is None"),
        (
            {"attributes": {"age": {"type": "number", "values": ["a"]}}},
            "attributes.age.values is ['a']. Expected some for type category, none for another",
        ),
        ({"half_lives_days": []}, "half_lives_days is []"),
        ({"half_lives_days": [0]}, "half_lives_days.0 is 0"),
        ({"half_lives_days": [28, 7]}, "half_lives_days is [28, 7]. Expected numbers that rise."),
        ({"half_lives_days": [7, 7]}, "half_lives_days is [7, 7]. Expected numbers that rise."),
        (
            {"churn": {"event": "refund", "active_days": 1, "silent_days": 1}},
            "churn.event is 'refund'. Expected one of visit, order.",
        ),
        (
            {"churn": {"event": "order", "active_days": 0, "silent_days": 1}},
            "churn.active_days is 0",
        ),
        (
            {"intent": {"event": "x", "property": "kind", "active_days": 1, "within_days": 1}},
            "intent.event is 'x'. Expected one of visit, order.",
        ),
        (
            {"intent": {"event": "order", "property": "no", "active_days": 1, "within_days": 1}},
            "intent.property is 'no'. Expected a category of order.",
        ),
        (
            {"intent": {"event": "order", "property": "note", "active_days": 1, "within_days": 1}},
            "intent.property is 'note'. Expected a category of order.",
        ),
        (
            {"moments": _moments("2026-03-01", "2026-05-01", "2026-03-01")},
            "moments.test_from is '2026-03-01'. Expected a day after first and not after last.",
        ),
        (
            {"moments": _moments("2026-03-01", "2026-05-01", "2026-05-02")},
            "moments.test_from is '2026-05-02'. Expected a day after first and not after last.",
        ),
    ],
)
def test_a_rule_that_is_broken_is_named(load, keys, said):
    with pytest.raises(InvalidDomain) as caught:
        load(**keys)
    assert said in str(caught.value)
    assert "Correct that line" in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"churn": {"event": "refund", "active_days": 1, "silent_days": 1}}, "event: refund"),
        (
            {"intent": {"event": "x", "property": "kind", "active_days": 1, "within_days": 1}},
            "event: x",
        ),
        (
            {"intent": {"event": "order", "property": "note", "active_days": 1, "within_days": 1}},
            "property: note",
        ),
        (
            {"moments": _moments("2026-03-01", "2026-05-01", "2026-05-02")},
            "test_from: '2026-05-02'",
        ),
        ({"half_lives_days": [28, 7]}, "half_lives_days:"),
        ({"attributes": {"age": {"type": "number", "values": ["a"]}}}, "values:"),
        ({"attributes": {"state": {"type": "number"}}}, "state:"),
    ],
)
def test_a_rule_between_several_keys_leads_to_the_line_to_correct(load, tmp_path, keys, line):
    with pytest.raises(InvalidDomain) as caught:
        load(**keys)
    number = int(re.search(r"domain\.yaml, line (\d+): ", str(caught.value))[1])
    lines = (tmp_path / "domain.yaml").read_text(encoding="utf-8").splitlines()
    assert lines[number - 1].strip() == line


@pytest.mark.parametrize("values", [["a-b", "a_b"], ["a b", "a.b"], ["plus", "Plus"], ["a", "a"]])
def test_category_values_differ_in_a_letter_or_a_digit(load, values):
    plan = {"type": "category", "values": values}
    with pytest.raises(
        InvalidDomain, match=r"attributes\.plan\.values .* differ in letters or dig"
    ):
        load(attributes={"plan": plan})
    with pytest.raises(InvalidDomain, match=r"events\.visit\.properties\.plan\.values is "):
        load(events={"visit": {**VISIT, "properties": {"plan": plan}}}, churn=None, intent=None)


def test_category_values_may_hold_other_signs_as_long_as_they_differ(load):
    plan = {"type": "category", "values": ["a-b", "a_c", "a1", "a2"]}
    assert load(attributes={"plan": plan}).attributes["plan"].values == ("a-b", "a_c", "a1", "a2")


@pytest.mark.parametrize("name", ["customer_id", "event_timestamp", "state"])
def test_an_attribute_may_not_have_the_name_of_a_column_of_ours(load, name):
    with pytest.raises(
        InvalidDomain, match=rf"attributes\.{name} is .* Expected another name; this"
    ):
        load(attributes={name: {"type": "number"}})


def test_the_first_test_moment_may_be_the_last_of_all(load):
    assert load(moments=_moments("2026-03-01", "2026-05-01", "2026-05-01")).moments.every_days == 7
