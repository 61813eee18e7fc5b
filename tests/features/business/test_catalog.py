"""The action catalogue: what business people may write, and what they are told otherwise."""

import re
from pathlib import Path

import pytest
import yaml

from features.business.catalog import Action, Catalog
from features.business.domain import load_domain
from features.errors import InvalidDomain
from features.settings import GROCERY, actions_beside
from serving.catalog.compiled_catalog import load_catalog

TOY = Path(__file__).parents[2] / "toy" / "actions.yaml"


@pytest.fixture
def load(tmp_path, toy_domain):
    """The toy catalogue after ``change`` was made to its content."""

    def changed(change=lambda content: None):
        content = yaml.safe_load(TOY.read_text(encoding="utf-8"))
        change(content)
        path = tmp_path / "actions.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return load_catalog(path, toy_domain)

    return changed


def _set(where, value):
    """A change of one key, named by its path."""

    def change(content):
        *parents, last = where.split(".")
        for name in parents:
            content = content[name]
        content[last] = value

    return change


def _line_named(message):
    """The line of the file that an error leads to."""
    path, number = re.match(r"(.+), line (\d+): ", message).groups()
    return Path(path).read_text(encoding="utf-8").splitlines()[int(number) - 1].strip()


def test_the_toy_catalogue_is_read_as_written(toy_catalog):
    assert list(toy_catalog.actions) == ["call_back", "discount", "talk_plus"]
    assert toy_catalog.actions["call_back"].treatments["phone"] == {"title": "We call you back"}
    assert toy_catalog.outcomes["clicked"].acceptance is None
    assert toy_catalog.outcomes["accepted"].acceptance == 1


def test_the_packaged_grocery_has_a_good_catalogue():
    catalog = load_catalog(actions_beside(GROCERY), load_domain(GROCERY))
    assert "coupons_personal" in catalog.actions


@pytest.mark.parametrize(
    ("channel", "actions"),
    [("app", ["call_back", "discount"]), ("phone", ["call_back", "talk_plus"]), ("shop", [])],
)
def test_only_actions_with_a_treatment_for_the_channel_are_offered(toy_catalog, channel, actions):
    assert list(toy_catalog.offered_on(channel)) == actions


def test_lever_and_prior_weight_have_defaults(load):
    action = load(_set("actions.discount.prior", {"acceptance": 0.5})).actions["discount"]
    assert (action.lever, action.prior.weight) == (1.0, 30.0)


def test_the_fingerprint_is_of_the_content_and_of_nothing_else(load, toy_catalog):
    assert load().fingerprint == toy_catalog.fingerprint
    assert load(_set("actions.discount.value", 5.01)).fingerprint != toy_catalog.fingerprint
    wording = _set("actions.discount.treatments.app.title", "Eleven percent off")
    assert load(wording).fingerprint != toy_catalog.fingerprint


def test_an_action_for_everybody_has_the_fingerprint_of_the_time_before_leavers(toy_catalog):
    assert "only_for" not in toy_catalog.model_dump_json()
    action = toy_catalog.actions["discount"].model_dump() | {"for": "left"}
    kept = Action.model_validate(action)
    assert Action.model_validate_json(kept.model_dump_json()) == kept
    assert kept.only_for == "left"


def test_an_action_says_which_journey_it_shall_make_better(load, toy_catalog):
    assert "addresses" not in toy_catalog.model_dump_json(), "fingerprints of former files stay"
    addressed = load(_set("actions.discount.addresses", ["purchase", "use.visit"]))
    assert addressed.actions["discount"].addresses == ("purchase", "use.visit")
    assert addressed.fingerprint != toy_catalog.fingerprint
    assert Catalog.model_validate_json(addressed.model_dump_json()) == addressed


def test_an_action_addresses_what_the_domain_has(load):
    with pytest.raises(InvalidDomain) as caught:
        load(_set("actions.discount.addresses", ["purchase", "purchas", "use.visits"]))
    said = str(caught.value)
    assert "actions.discount.addresses.1 is 'purchas'. Expected a kind of journey, one of" in said
    assert "actions.discount.addresses.2 is 'use.visits'. Expected use. and a promise or a" in said
    assert "Did you mean 'purchase'?" in said and "Did you mean 'visit'?" in said


@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        ("actions", {}, "actions is {}"),
        ("outcomes", {}, "outcomes is {}"),
        ("outcomes.clicked.acceptance", 1.1, "outcomes.clicked.acceptance is 1.1"),
        ("actions.discount.value", -2e9, "actions.discount.value is -2000000000.0"),
        ("actions.discount.cost", -1, "actions.discount.cost is -1"),
        ("actions.discount.cost", float("nan"), "actions.discount.cost is nan"),
        ("actions.discount.lever", 0, "actions.discount.lever is 0"),
        ("actions.discount.prior.acceptance", 0, "actions.discount.prior.acceptance is 0"),
        ("actions.discount.prior.acceptance", 1, "actions.discount.prior.acceptance is 1"),
        ("actions.discount.prior.weight", 0, "actions.discount.prior.weight is 0"),
        ("actions.discount.attribution_days", 0, "actions.discount.attribution_days is 0"),
        ("actions.discount.attribution_days", 367, "actions.discount.attribution_days is 367"),
        ("actions.discount.treatments", {}, "actions.discount.treatments is {}"),
        ("actions.discount.prize", 3, "actions.discount.prize is 3"),
    ],
)
def test_a_value_we_cannot_use_is_named(load, where, value, said):
    with pytest.raises(InvalidDomain) as caught:
        load(_set(where, value))
    assert f"{said}." in str(caught.value)
    assert "Correct that line" in str(caught.value)


def test_an_action_needs_a_value(load):
    with pytest.raises(
        InvalidDomain,
        match=r"actions\.discount\.value is missing. Expected a finite number greater than or eq",
    ):
        load(lambda content: content["actions"]["discount"].pop("value"))


def test_no_action_cannot_be_written_because_it_is_always_there(load):
    def call_one_no_action(content):
        content["actions"]["no_action"] = content["actions"].pop("discount")

    with pytest.raises(InvalidDomain) as caught:
        load(call_one_no_action)
    message = str(caught.value)
    assert "actions.no_action is {" in message
    assert "Expected no such line; it is always there by itself." in message
    assert _line_named(message) == "no_action:"


def test_a_channel_the_business_does_not_have_is_named_with_those_it_has(load):
    with pytest.raises(InvalidDomain) as caught:
        load(_set("actions.discount.treatments", {"fax": {"title": "Ten percent off"}}))
    message = str(caught.value)
    assert "actions.discount.treatments is {'fax'" in message
    assert "Expected some of app, phone; not fax." in message
    assert _line_named(message) == "treatments:"


def test_quiet_hours_that_would_never_apply_are_refused_by_line(load):
    def the_same_time(content):
        hours = {"from": "09:00", "until": "09:00"}
        content["contact_policy"] = {"quiet_hours": [hours]}

    with pytest.raises(InvalidDomain) as caught:
        load(the_same_time)
    message = str(caught.value)
    assert "contact_policy.quiet_hours.0.until is '09:00'. Expected another time" in message
    assert "for the whole day write two rules" in message
    assert _line_named(message) == "until: 09:00"


@pytest.mark.parametrize("purpose", ["advertising", "Marketing"])
def test_a_group_whose_purpose_is_not_declared_is_refused_by_line(load, purpose):
    def name_a_purpose(content):
        content["purposes"] = {"marketing": {}}
        content["groups"] = {"promotion": {"kind": "promotion", "purpose": purpose}}

    with pytest.raises(InvalidDomain, match=r"groups\.promotion\.purpose is") as caught:
        load(name_a_purpose)
    assert _line_named(str(caught.value)) == f"purpose: {purpose}"


@pytest.mark.parametrize("again", ["Marketing", "marketing ", "MARKETING"])
def test_a_purpose_that_is_declared_twice_with_another_case_is_refused_by_line(load, again):
    def declare_twice(content):
        content["purposes"] = {"marketing": {}, again: {"unless_said": "withdrawn"}}

    with pytest.raises(InvalidDomain, match=r"purposes\.") as caught:
        load(declare_twice)
    assert _line_named(str(caught.value)).strip("'?: ").startswith(again.strip())


GUARDRAIL = {"counts": "leaving", "within_days": 3}


def test_a_guardrail_counts_leaving_an_event_or_a_low_score(load):
    catalog = load(_set("guardrails", {"leavers": GUARDRAIL}))
    found = catalog.guardrails["leavers"]
    assert (found.against, found.limit, found.level) == ("random", 1.0, 0.02)
    grocery = load_catalog(actions_beside(GROCERY), load_domain(GROCERY))
    assert grocery.guardrails["unhappy"].at_most == 6


def test_a_catalogue_without_guardrails_keeps_its_fingerprint(load):
    bare, named = load(), load(_set("guardrails", {"leavers": GUARDRAIL}))
    assert "guardrails" not in bare.model_dump_json()
    assert bare.fingerprint == load(_set("guardrails", {})).fingerprint != named.fingerprint
    assert Catalog.model_validate_json(named.model_dump_json()).fingerprint == named.fingerprint


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"counts": "purchas"}, "guardrails.g.counts"),
        ({"at_most": 3}, "guardrails.g.at_most"),
        ({"against": "control"}, "guardrails.g.against"),
        ({"level": 0.5}, "guardrails.g.level"),
        ({"limit": 0}, "guardrails.g.limit"),
        ({"within_days": 0}, "guardrails.g.within_days"),
    ],
)
def test_mistakes_of_guardrails_are_told_with_their_line(load, change, text):
    with pytest.raises(InvalidDomain) as error:
        load(_set("guardrails", {"g": GUARDRAIL | change}))
    assert text in str(error.value)


# Arms -------------------------------------------------------------------------------------------


def test_arms_that_are_not_described_are_those_of_the_control_group(load):
    nothing = load(lambda content: content.pop("arms"))
    assert (nothing.arms.random, nothing.arms.nobody, nothing.arms.salt) == (0.02, 0.02, "control")

    def former(content):
        content.pop("arms")
        content["control_group"] = {"share": 0.3, "salt": "kept"}

    arms = load(former).arms
    assert (arms.random, arms.nobody, arms.salt) == (0.3, 0.02, "kept")


def test_catalogues_of_before_the_arms_keep_their_fingerprint(load):
    """Their JSON in the ledger has a control group and no arms; so it is written again."""
    catalog = load(lambda content: content.pop("arms"))
    content = catalog.model_dump(mode="json")
    assert content["control_group"] == {"share": 0.02, "salt": "control"}
    assert "arms" not in content
    assert Catalog.model_validate(content).fingerprint == catalog.fingerprint
    described = catalog.with_parts(arms={"random": 0.02, "nobody": 0.02})
    written = described.model_dump(mode="json")
    assert written["arms"]["random"] == 0.02 and "control_group" not in written
    again = Catalog.model_validate_json(described.model_dump_json())
    assert again.fingerprint == described.fingerprint != catalog.fingerprint
    assert described.with_parts(control_group={}).fingerprint == catalog.fingerprint


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        ({"random": 0.6}, "arms.random is 0.6"),
        ({"nobody": -0.1}, "arms.nobody is -0.1"),
        ({"random": 0.5, "nobody": 0.45}, "with random together at most 0.9"),
        ({"control": 0.1}, "control"),
        ({"random": "much"}, "arms.random is 'much'"),
    ],
)
def test_arms_that_cannot_be_are_refused_with_their_line(load, arms, said):
    with pytest.raises(InvalidDomain, match=re.escape(said)) as refused:
        load(_set("arms", arms))
    name = said.removeprefix("arms.").split()[0]
    assert _line_named(str(refused.value)).startswith({"with": "nobody"}.get(name, name))


def test_both_keys_at_once_are_a_mistake(load):
    with pytest.raises(InvalidDomain) as refused:
        load(_set("control_group", {"share": 0.1}))
    assert "beside 'arms', whose 'random' is its share" in str(refused.value)
    assert _line_named(str(refused.value)) == "control_group:"
