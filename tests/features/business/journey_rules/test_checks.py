"""Rules of journeys that name what the domain does not have are refused, each with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.business.domain import load_domain
from features.business.event_types import STAGES
from features.business.journey_rules import checks
from features.errors import InvalidDomain
from tests.features.business.journey_rules.conftest import EVENT, EVENTS, PROMISE

FILE = """\
name: courier
currency: eur
channels: [app, phone]
stages: [begin, use]
events:
  ordered: &any
    description: An order.
    journey: delivery
    stage: use
    touchpoint: internal
    signal: passive
    properties:
      speed: {type: category, values: [normal, fast]}
  delivered: {<<: *any, stage: usage, properties: {}}
  call: {<<: *any, journey: lifecycle}
journeys:
  delivery:
    case: order_id
    ends_when: "sped == 'fast'"
    map:
      node: speeed
      names:
        fats: quick
    expected:
      version: 1
      way: [orderd, "delivered?"]
      promises:
        told: {after: ordered, comes: delivred, within_days: 3}
        soon: {after: ordered, comes: delivered, within: {property: speed}, else_days: 1}
lifecycle:
  map: {node: [type, colour]}
personas:
  others: {when: "age > 3"}
  quick: {when: "age < 3"}
goals:
  less: {measure: churn, of: {persona: qick, journey: delivary}, from: 0.2, to: 0.1, by: 2027-01-01}
"""


def test_all_mistakes_are_told_at_once_with_their_lines(tmp_path: Path):
    path = tmp_path / "domain.yaml"
    path.write_text(FILE, encoding="utf-8")
    with pytest.raises(InvalidDomain) as caught:
        load_domain(path)
    lines = str(caught.value).splitlines()[:-1]
    said = [line.partition(".yaml, line ")[2].partition(" is ")[0] for line in lines]
    assert said == [
        "14: events.delivered.stage",
        "15: events.call.journey",
        "18: journeys.delivery.case",
        "19: journeys.delivery.ends_when",
        "21: journeys.delivery.map.node",
        "23: journeys.delivery.map.names.fats",
        "26: journeys.delivery.expected.way.0",
        "28: journeys.delivery.expected.promises.told.comes",
        "29: journeys.delivery.expected.promises.soon.within.property",
        "31: lifecycle.map.node",
        "33: personas.others",
        "36: goals.less.of.persona",
        "36: goals.less.of.journey",
    ]
    for near in ("use", "speed", "ordered", "delivered", "quick", "delivery"):
        assert f"Did you mean '{near}'?" in str(caught.value)
    assert "Did you mean speed?" in str(caught.value), "in the condition"


def test_a_single_version_without_a_list_has_lines_of_its_own(tmp_path: Path):
    text = FILE.replace("version: 1", "version: one").replace("delivred", "delivered")
    path = tmp_path / "domain.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidDomain, match=r"line 25: journeys\.delivery\.expected\.version is"):
        load_domain(path)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"case": "ordr"}, "case is 'ordr'. Expected one of order, promised_at, speed, weight"),
        ({"map": {"node": "weight"}}, "map.node is 'weight'. Expected some of type, channel,"),
        ({"map": {"node": ["type", "type"]}}, "Expected each name once; type stands there twice"),
        ({"map": {"names": {"call": "rang"}}}, "Expected the present name of a node, one of ord"),
        ({"ends_when": "speed == 'slow'"}, "Expected one of 'normal', 'fast'; the present one"),
        ({"ends_when": "type == 'call'"}, "Expected one of 'ordered', 'shipped', 'delivered'"),
        ({"ends_when": "channel == 'fax'"}, "Expected one of 'app', 'phone'"),
        ({"ends_when": "churn > 0.5"}, "Expected a property of an event of this kind of journey"),
        ({"ends_when": "speed"}, "Expected true or false in its place"),
        ({"ends_when": "weight > 3"}, "Expected other names than weight, a number in one event"),
        ({"expected": {"version": 1, "way": ["call"]}}, "way.0 is 'call'. Expected one of ordered"),
        ({"expected": {"version": 1, "way": ["call?"]}}, "way.0 is 'call?'."),
        (
            {"expected": {"version": 1, "promises": {"a": {"never": "fast"}}}},
            "promises.a.never is 'fast'. Expected one of ordered, shipped, delivered.",
        ),
    ],
)
def test_rules_of_a_kind_name_what_its_events_have(delivery, rules, said):
    with pytest.raises(InvalidDomain) as caught:
        delivery(rules)
    assert said in str(caught.value)
    assert "journeys.delivery." in str(caught.value)


@pytest.mark.parametrize(
    "rules",
    [
        {"case": "order"},
        {"case": "weight"},
        {"ends_when": "status != 'late' and type == 'delivered' and channel != 'phone'"},
        {"ends_when": "order == 'weight'"},  # a text, and no mixed property
        {"ends_when": "status == null"},
        {"map": {"node": ["type", "status", "stage"], "names": {"delivered: late: use": "late"}}},
        {"map": {"node": "status"}, "expected": {"version": 1, "way": ["ordered?", "late"]}},
        {
            "expected": [
                {"version": 1, "promises": {"a": PROMISE}},
                {"version": 2, "since": "2026-09-01", "promises": {"a": PROMISE}},
            ]
        },
    ],
)
def test_rules_of_a_kind_that_its_events_bear(delivery, rules):
    assert delivery(rules).journeys["delivery"].map


def test_a_name_of_a_node_may_be_that_of_a_promise(delivery):
    rules = {
        "map": {"node": "status", "names": {"late": "too late"}},
        "expected": {"version": 1, "promises": {"in_time": {"never": "too late"}}},
    }
    assert delivery(rules).journeys["delivery"].expected[0].promises["in_time"].never == "too late"
    rules["expected"]["promises"]["in_time"]["never"] = "late"
    with pytest.raises(InvalidDomain, match=r"never is 'late'.*Did you mean 'too late'"):
        delivery(rules)


def test_two_kinds_have_no_promise_of_one_name(delivery):
    one = {"expected": {"version": 1, "promises": {"soon": PROMISE}}}
    other = {"expected": {"version": 1, "promises": {"soon": {"never": "call"}}}}
    with pytest.raises(InvalidDomain, match=r"journeys\.help\.expected\.promises\.soon is .*only"):
        delivery(journeys={"delivery": one, "help": other})


def test_a_map_has_at_most_a_thousand_labels(delivery):
    """40 values, `other` and none, on each of two properties: 42 x 42 labels of one type."""
    many = {"type": "category", "values": [f"v{number}" for number in range(40)]}
    events = {**EVENTS, "ordered": {**EVENT, "properties": {"one": many, "two": many}}}
    both = {"map": {"node": ["one", "two"]}}
    with pytest.raises(InvalidDomain, match=r"at most 1,000 nodes; these make up to 1,766\."):
        delivery(both, events=events)
    assert delivery({"map": {"node": "one"}}, events=events)


def test_the_number_of_a_node_has_two_bytes(delivery, monkeypatch):
    """The labels are ordered, shipped and delivered of one kind, and call of the other."""
    assert checks.MAX_OF_ALL_MAPS < 2**16
    monkeypatch.setattr(checks, "MAX_OF_ALL_MAPS", 4)
    assert delivery()
    monkeypatch.setattr(checks, "MAX_OF_ALL_MAPS", 3)
    with pytest.raises(
        InvalidDomain, match=r"journeys is .* 3 nodes together; these make 4\. Leave"
    ):
        delivery()


@pytest.mark.parametrize("label", ["START", "END", "other steps"])
def test_the_ends_of_a_map_have_names_of_their_own(delivery, label):
    status = {"type": "category", "values": [label, "late"]}
    events = {**EVENTS, "delivered": {**EVENT, "properties": {"status": status}}}
    with pytest.raises(InvalidDomain, match=rf"map\.names is .*another name for the node {label};"):
        delivery({"map": {"node": "status"}}, events=events)
    assert delivery({"map": {"node": "status", "names": {label: "first"}}}, events=events)
    assert delivery(events=events)


@pytest.mark.parametrize("key", ["shown", "silent", "left"])
def test_the_steps_of_the_lifecycle_have_names_of_their_own(delivery, key):
    for label in ("START", "END", "other steps"):
        with pytest.raises(InvalidDomain, match=rf"lifecycle\.{key} is .*Expected another name"):
            delivery(lifecycle={key: label})
    assert delivery(lifecycle={key: "start"})


def test_the_stages_are_those_of_the_domain_file(delivery):
    events = {name: {**event, "stage": "using"} for name, event in EVENTS.items()}
    assert delivery(events=events, stages=["finding", "using"]).stages == ("finding", "using")
    assert delivery().stages == STAGES
    with pytest.raises(InvalidDomain, match=r"stages is .* Expected each stage once\."):
        delivery(events=events, stages=["using", "using"])


def test_shared_events_need_their_stages(delivery):
    events = {name: {**event, "stage": "using"} for name, event in EVENTS.items() if name != "call"}
    with pytest.raises(InvalidDomain, match=r"stages is .* Expected use among them, the stage of"):
        delivery(events=events, stages=["using"], vocabulary=["call"])
    domain = delivery(events=events, stages=["using", "use"], vocabulary=["call"])
    assert domain.events["call"].stage == "use"


def test_no_kind_is_called_lifecycle(delivery):
    events = {**EVENTS, "call": {**EVENT, "journey": "lifecycle"}}
    with pytest.raises(InvalidDomain, match=r"events\.call\.journey is 'lifecycle'\. .*another"):
        delivery(events=events)
    with pytest.raises(InvalidDomain, match=r"journeys\.lifecycle is .* Expected another name"):
        delivery(events=events, journeys={"lifecycle": {}})


def test_goals_are_of_personas_and_journeys_that_exist(delivery):
    goal = {"measure": "churn", "from": 0.2, "to": 0.1, "by": "2027-01-01"}
    personas = {"quick": {"when": "events_n > 3"}}
    for scope in ({"persona": "quick", "journey": "help"}, {"persona": "others"}, {}):
        domain = delivery(personas=personas, goals={"less": {**goal, "of": scope}})
        assert domain.goals["less"].target == 0.1
    with pytest.raises(InvalidDomain, match=r"of\.persona is 'slow'\. Expected one of quick"):
        delivery(personas=personas, goals={"less": {**goal, "of": {"persona": "slow"}}})


@pytest.mark.parametrize("key", ["shown", "silent", "left"])
def test_no_step_of_the_lifecycle_has_the_name_of_a_node_of_an_event(delivery, key):
    with pytest.raises(InvalidDomain, match=rf"{key} is 'call'\. Expected another .* event call"):
        delivery(lifecycle={key: "call"})


def test_the_leaving_event_has_the_name_of_leaving_and_old_files_may_have_such_events(delivery):
    events = {**EVENTS, "left": EVENT, "silent": EVENT}
    assert delivery(events=events).lifecycle.silent == "silent"
    leaving = {"event": "left", "when": "happens"}
    assert delivery(churn=leaving, events=events, lifecycle={"silent": "quiet"}).lifecycle
    with pytest.raises(InvalidDomain, match=r"lifecycle\.left .* of the event left"):
        delivery(events=events, lifecycle={"silent": "quiet"})


def test_there_are_as_many_channels_and_kinds_as_bytes_number(delivery):
    channels = [f"c{number}" for number in range(256)]
    assert len(delivery(channels=channels[:255]).channels) == 255
    with pytest.raises(InvalidDomain, match="at most 255 channels; these are 256"):
        delivery(channels=channels)
    events = {f"e{number}": {**EVENT, "journey": f"k{number}"} for number in range(254)}
    events |= {"ordered": EVENT}
    assert len(delivery(events=events).journey_kinds) == 255
    with pytest.raises(InvalidDomain, match="at most 255 kinds of journey; these name 256"):
        delivery(events={**events, "call": {**EVENT, "journey": "help"}})
