"""The shipped domain files speak of journeys, and the example in the README is read."""

from __future__ import annotations

import re

import pytest
import yaml

from features.business.domain import load_domain
from features.business.journey_rules.kinds import LIFECYCLE
from features.business.journey_rules.node_labels import event_label, labels_of
from features.business.journey_rules.promises import TEMPLATES
from features.journeys.personas.persona_conditions import open_domain
from features.settings import GROCERY, actions_beside
from serving.catalog.compiled_catalog import load_catalog

DOMAINS = GROCERY.parent
SHIPPED = ("grocery", "helpdesk", "shop", "telco", "world")


@pytest.mark.parametrize("name", SHIPPED)
def test_every_promise_says_in_plain_words_what_the_customer_may_expect(name):
    domain = open_domain(DOMAINS / f"{name}.yaml")
    for kind, described in domain.journey_kinds.items():
        for expected in described.expected:
            assert described.owner, kind
            for promise in expected.promises.values():
                assert promise.words[0].isupper() and not promise.words.endswith("."), promise


def test_the_life_of_a_household_has_places_for_trips_campaigns_coupons_and_silence():
    grocery = load_domain(GROCERY)
    life = grocery.lifecycle
    labels = labels_of(life.map, grocery.events_of(LIFECYCLE), grocery.channels)
    assert labels["basket"][:5] == ("fuel", "stock_up", "drug_gm", "fresh", "fill_in")
    assert labels["redemption"] == ("coupon",)
    assert (life.shown, life.silent, life.left) == ("campaign", "silent", "left")
    assert life.silent_days == 28
    purchase = grocery.journey_kinds["purchase"]
    assert purchase.lapse_days == 30, "as in the vocabulary"
    fuel = {"mission": "fuel", "amount_usd": 30.0}
    assert event_label(purchase.map, "basket", grocery.events["basket"], "shop", fuel) == "fuel"


def test_a_ticket_of_the_help_desk_ends_when_it_is_closed():
    helpdesk = load_domain(DOMAINS / "helpdesk.yaml")
    support = helpdesk.journey_kinds["support"]
    assert support.ends_when == "name == 'Closed'"
    labels = labels_of(support.map, helpdesk.events_of("support"), helpdesk.channels)["activity"]
    assert len(labels) == 16, "14 activities, another one, and none"
    (expected,) = support.expected
    assert [step.removesuffix("?") for step in expected.way] == [
        *("Insert ticket", "Assign seriousness", "Take in charge ticket", "Wait"),
        *("Resolve ticket", "Closed"),
    ]
    promises = expected.promises
    assert {name: promise.template for name, promise in promises.items()} == {
        "taken_in_charge": "response",
        "resolved": "response",
        "stays_resolved": "never_again",
    }


def test_the_telephone_company_has_one_step_and_no_promise():
    telco = load_domain(DOMAINS / "telco.yaml")
    (leaving,) = telco.journey_kinds.values()
    assert leaving.expected == ()
    assert labels_of(leaving.map, telco.events, telco.channels) == {"cancelled": ("cancelled",)}


def test_the_simulated_business_says_which_promises_its_actions_keep():
    path = DOMAINS / "world.yaml"
    domain = load_domain(path)
    assert domain.journey_kinds["complaint"].problem
    assert domain.journey_kinds["support"].lapse_days == 7
    actions = load_catalog(actions_beside(path), domain).actions
    assert actions["call_back"].addresses == ("complaint.solved",)
    assert actions["how_to"].addresses == ("support.first_call",)


@pytest.mark.parametrize("name", ["support", "purchase", "complaint"])
def test_a_kind_that_is_described_anew_keeps_what_the_vocabulary_says_of_its_end(name):
    shared = load_domain(GROCERY).journey_kinds
    own = load_domain(DOMAINS / "world.yaml").journey_kinds[name]
    assert (own.problem, own.lapse_days) == (shared[name].problem, shared[name].lapse_days)


def _event(journey="delivery", **properties):
    return {
        "description": "What happened.",
        "journey": journey,
        "stage": "using",
        "touchpoint": "internal",
        "signal": "passive",
        "properties": properties,
    }


TEXT = {"type": "text", "remembered": False}
COURIER = {
    "name": "courier",
    "currency": "eur",
    "channels": ["app", "phone"],
    "half_lives_days": [28],
    "events": {
        "ordered": _event(order_id=TEXT, promised_at=TEXT),
        "confirmed": _event(),
        "shipped": _event(),
        "rerouted": _event(),
        "asked": _event(),
        "arrived": _event(status={"type": "category", "values": ["on_time", "late", "lost"]}),
    },
}


def test_the_example_of_the_readme_is_a_domain_file(tmp_path):
    text = (DOMAINS.parent / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    path = tmp_path / "domain.yaml"
    path.write_text(yaml.safe_dump(COURIER) + example, encoding="utf-8")
    domain = open_domain(path)
    promises = domain.journeys["delivery"].expected[0].promises
    assert [promise.template for promise in promises.values()] == list(TEMPLATES)
    explained = text.partition("```yaml")[2]
    read = yaml.safe_load(example)
    for key in [*read, *read["journeys"]["delivery"], *read["goals"]["fewer_leavers"]]:
        assert f"`{key}`" in explained or key in ("measure", "words", "journeys"), key
