"""All mistakes of a file are found in one reading, and none that only follows from another."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.business.catalog import Action, Catalog, check_against_domain
from features.business.domain import Domain
from features.business.event_types import EventType
from features.business.yaml_file import MAX_SHOWN, load_yaml
from features.business.yaml_mistakes import MAX_FOUND, Mistake
from features.business.yaml_repair import STAND_IN, Refused, Repairs, value_at
from features.errors import InvalidDomain
from training.params import TrainingParams

DOMAIN = """\
name: shop
curency: eur
channels: [app, Web, 7]
attributes:
  plan: {type: categori, values: [yes, A+, A-]}
  age: {type: number, vals: 3}
vocabulary: [nps, complaint_open]
half_lives_days: [yes, 2]
churn: {event: ordr, silent_days: 3}
identifiers: {cookie: {kind: anonymus}, card: {}}
identity: {placeholders: ["cart:0"]}
events:
  order:
    description: An order.
    journey: purchase
    stage: acton
    touchpoint: internal
    signal: direct
  visit:
    stage: use
  visit: {}
moments: {first: 2017-03-01, last: 2017-02-30, every_days: 7, test_from: 2017-05-01}
journeys: {purchas: {problem: true}}
"""
CATALOG = """\
outcomes: {shown: {acceptance: null}, rejected: {acceptance: 0}}
groups: {offers: {kind: promotions}, other: {purpose: marketing}}
contact_policy:
  outbound: [fax]
  caps:
    - {at_most: 1, day: 7, groups: [offer]}
    - {at_most: yes, days: 7, each: [actions]}
  cool_downs:
    - {after: [rejectd], days: 3}
  quiet_hours: [{from: 21:00, until: "08:00"}]
actions:
  a:
    issue: grow
    group: offers
    value: 1
    cost: no
    prior: {acceptance: 2}
    attribution_days: 3
    budget: spring
    outcomes: {bought: {reward: 1}}
    treatments:
      app: {title: hi, until: 2026-01-01}
      fax: {title: !!binary aGVq}
  b: {issue: grow, group: offers}
"""


def refuse(path, text, into, check=None):
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidDomain) as caught:
        load_yaml(path, into, check)
    return str(caught.value)


def keys_in(message):
    lines = message.splitlines()[:-1]
    said = [line.partition(".yaml, line ")[2].partition(": ") for line in lines]
    return [(int(line), rest.split(" ")[0]) for line, _, rest in said]


def test_all_mistakes_of_a_domain_are_told_at_once(tmp_path):
    message = refuse(tmp_path / "domain.yaml", DOMAIN, Domain)
    assert keys_in(message) == [
        (2, "curency"),
        (3, "channels.1"),
        (3, "channels.2"),
        (5, "attributes.plan.type"),
        (5, "attributes.plan.values.0"),
        (6, "attributes.age.vals"),
        (7, "vocabulary"),
        (8, "half_lives_days.0"),
        (9, "churn.active_days"),
        (9, "churn.event"),
        (10, "identifiers.cookie.kind"),
        (11, "identity.placeholders.0"),
        (16, "events.order.stage"),
        (19, "events.visit.description"),
        (19, "events.visit.journey"),
        (19, "events.visit.touchpoint"),
        (19, "events.visit.signal"),
        (21, "events.visit"),
        (22, "moments.last"),
        (23, "journeys.purchas"),
    ]
    for near in ("currency", "category", "values", "complaint_opened", "order", "anonymous"):
        assert f"Did you mean '{near}'?" in message
    assert "Did you mean 'card'?" in message
    assert message.endswith(
        "The file has 20 mistakes. Expected none. Correct these lines; nothing was changed."
    )


def test_all_mistakes_of_a_catalogue_are_told_at_once(tmp_path, toy_domain):
    def check(catalog):
        check_against_domain(catalog, toy_domain)

    message = refuse(tmp_path / "actions.yaml", CATALOG, Catalog, check)
    assert keys_in(message) == [
        (2, "groups.offers.kind"),
        (2, "groups.other.purpose"),
        (4, "contact_policy.outbound"),
        (6, "contact_policy.caps.0.day"),
        (6, "contact_policy.caps.0.groups"),
        (7, "contact_policy.caps.1.at_most"),
        (7, "contact_policy.caps.1.each.0"),
        (9, "contact_policy.cool_downs.0.after"),
        (10, "contact_policy.quiet_hours.0.from"),
        (16, "actions.a.cost"),
        (17, "actions.a.prior.acceptance"),
        (19, "actions.a.budget"),
        (20, "actions.a.outcomes"),
        (21, "actions.a.treatments"),
        (22, "actions.a.treatments.app.until"),
        (23, "actions.a.treatments.fax.title"),
        (24, "actions.b.value"),
        (24, "actions.b.cost"),
        (24, "actions.b.prior"),
        (24, "actions.b.attribution_days"),
        (24, "actions.b.treatments"),
    ]
    assert STAND_IN not in message


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("  order:", "  Order:"),  # churn and intent name it
        ("currency: eur", "currency: 7"),
        ("description: ", "descripton: "),
        ("stage: action", "stage: acton"),
        ("type: category", "type: categori"),
        ("channels: [app, phone]", "channels: app"),
    ],
)
def test_what_only_follows_from_a_mistake_is_not_told(tmp_path, was, now):
    toy = (Path(__file__).parents[2] / "toy" / "domain.yaml").read_text(encoding="utf-8")
    assert was in toy
    message = refuse(tmp_path / "domain.yaml", toy.replace(was, now, 1), Domain)
    assert message.count("Expected") == 1, message


def test_at_most_some_mistakes_are_listed(tmp_path):
    text = DOMAIN + "".join(f"key{number}: 1\n" for number in range(50))
    message = refuse(tmp_path / "domain.yaml", text, Domain)
    assert message.count(".yaml, line ") == MAX_SHOWN
    assert "\nFurther mistakes that are not shown: 30.\nThe file has 70 mistakes." in message


@pytest.mark.parametrize("model", [Action, EventType, Catalog, TrainingParams])
def test_a_stand_in_of_a_type_is_accepted_by_it(model):
    class Around(model):
        pass

    repairs = Repairs(Around, {})
    for name, field in model.model_fields.items():
        if field.is_required():
            assert repairs.make((field.alias or name,))
    Around.model_validate(repairs.content)


def test_a_repair_copies_the_content_and_names_what_may_follow():
    content = {"name": "shop", "channels": ["app", "Web"]}
    repairs = Repairs(Domain, content)
    assert not repairs.explains(Refused(Mistake(("channels",), "x")))
    assert repairs.make(("channels", 1))
    assert (content["channels"], repairs.content["channels"]) == (["app", "Web"], ["app", STAND_IN])
    assert repairs.explains(Refused(Mistake(("channels",), "x")))
    assert repairs.explains(Refused(Mistake(("events", "x"), "some of app; not Web", "", ("Web",))))
    assert not repairs.explains(Refused(Mistake(("name",), "x")))
    assert not repairs.make(())


def test_a_place_that_is_not_there_has_no_value():
    assert value_at({"a": [1, {"b": 2}]}, ("a", 1, "b")) == 2
    assert value_at({"a": [1]}, ("a", 5)) is None
    assert value_at({"a": 1}, ("a", "b")) is None


def test_of_very_many_mistakes_only_the_first_are_looked_for(tmp_path):
    text = DOMAIN + "".join(f"key{number}: 1\n" for number in range(2 * MAX_FOUND))
    message = refuse(tmp_path / "domain.yaml", text, Domain)
    assert message.count(".yaml, line ") == MAX_SHOWN
    found = int(message.rpartition("The file has ")[2].partition(" mistakes or more.")[0])
    assert MAX_FOUND <= found < 2 * MAX_FOUND


@pytest.mark.parametrize(
    ("text", "near"),
    [
        (CATALOG + "clock: {zone: Europe/Roma}\n", "Did you mean 'Europe/Rome'?"),
        (CATALOG + "clock: {zone: america/new-york}\n", "Did you mean 'America/New_York'?"),
    ],
)
def test_the_nearest_time_zone_is_named(tmp_path, text, near):
    message = refuse(tmp_path / "actions.yaml", text, Catalog)
    assert f"Expected a time zone such as Europe/Rome. {near}" in message


def test_the_nearest_attribute_and_value_of_a_test_split_are_named(toy):
    for split, near in (({"plam": "plus"}, "plan"), ({"plan": "pluss"}, "plus")):
        with pytest.raises(InvalidDomain, match=rf"Did you mean '{near}'\?"):
            toy(moments={"test_where": split})
