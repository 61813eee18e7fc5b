"""One file describes a business: what it may say, and what it hears when it says otherwise."""

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
        ({"attributes": {"plan": {"type": "category"}}}, "`values` for type category"),
        ({"attributes": {"age": {"type": "number", "values": ["a"]}}}, "and for no other type"),
        ({"half_lives_days": []}, "half_lives_days is []"),
        ({"half_lives_days": [0]}, "half_lives_days.0 is 0"),
        ({"half_lives_days": [28, 7]}, "Expected half_lives_days to rise"),
        ({"half_lives_days": [7, 7]}, "Expected half_lives_days to rise"),
        (
            {"churn": {"event": "refund", "active_days": 1, "silent_days": 1}},
            "Expected churn.event to be one of visit, order",
        ),
        (
            {"churn": {"event": "order", "active_days": 0, "silent_days": 1}},
            "churn.active_days is 0",
        ),
        (
            {"intent": {"event": "x", "property": "kind", "active_days": 1, "within_days": 1}},
            "Expected intent.event to be one of visit, order",
        ),
        (
            {"intent": {"event": "order", "property": "no", "active_days": 1, "within_days": 1}},
            "Expected intent.property to be a category of order",
        ),
        (
            {"intent": {"event": "order", "property": "note", "active_days": 1, "within_days": 1}},
            "Expected intent.property to be a category of order",
        ),
        ({"moments": _moments("2026-03-01", "2026-05-01", "2026-03-01")}, "first < test_from"),
        ({"moments": _moments("2026-03-01", "2026-05-01", "2026-05-02")}, "test_from <= last"),
    ],
)
def test_a_rule_that_is_broken_is_named(load, keys, said):
    with pytest.raises(InvalidDomain) as caught:
        load(**keys)
    assert said in str(caught.value)
    assert "Correct that line" in str(caught.value)


def test_the_first_test_moment_may_be_the_last_of_all(load):
    assert load(moments=_moments("2026-03-01", "2026-05-01", "2026-05-01")).moments.every_days == 7
