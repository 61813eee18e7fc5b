"""One file describes a business: what it may say, and what it hears when it says otherwise."""

import re

import pytest
import yaml
from pydantic import ValidationError

from features.business.domain import Domain, load_domain
from features.business.journey_rules.kinds import JourneyKind
from features.business.vocabulary import VOCABULARY
from features.errors import InvalidDomain
from features.settings import GROCERY

VISIT = {
    "description": "Opened the app.",
    "journey": "use",
    "stage": "use",
    "touchpoint": "internal",
    "signal": "passive",
}


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


def test_a_business_without_intent_has_no_intents(toy):
    assert toy(intent=None).intents == ()


def test_a_business_may_be_nothing_but_one_kind_of_event(toy):
    domain = toy(events={"visit": VISIT}, attributes={}, churn=None, intent=None)
    assert (domain.attributes, domain.churn, domain.moments) == ({}, None, None)


def test_half_lives_have_a_default():
    domain = Domain(name="x", currency="eur", channels=("app",), events={"visit": VISIT})
    assert domain.half_lives_days == (7, 28, 112)


def test_a_domain_does_not_change_once_read(toy_domain):
    with pytest.raises(ValidationError, match="frozen"):
        toy_domain.name = "other"


AFTER_EACH = {"event": "order", "property": "kind", "ask": "after_each"}


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
        ({"attributes": {"plan": {"type": "category"}}}, "attributes.plan.values is missing"),
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
            {"churn": {"event": "order", "when": "happens", "back": ["visit", "refund"]}},
            "churn.back is ['visit', 'refund']. Expected some of visit, order; not refund.",
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
            {"intent": {**AFTER_EACH, "end": "big"}},
            "intent.end is 'big'. Expected a text that is no value of kind.",
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
def test_a_rule_that_is_broken_is_named(toy, keys, said):
    with pytest.raises(InvalidDomain) as caught:
        toy(**keys)
    assert said in str(caught.value)
    assert "Correct that line" in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"churn": {"event": "refund", "active_days": 1, "silent_days": 1}}, "event: refund"),
        ({"churn": {"event": "order", "when": "happens", "back": ["x"]}}, "back:"),
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
def test_a_rule_between_several_keys_leads_to_the_line_to_correct(toy, tmp_path, keys, line):
    with pytest.raises(InvalidDomain) as caught:
        toy(**keys)
    number = int(re.search(r"domain\.yaml, line (\d+): ", str(caught.value))[1])
    lines = (tmp_path / "domain.yaml").read_text(encoding="utf-8").splitlines()
    assert lines[number - 1].strip() == line


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["a", "b", "a"], "values.2 is 'a'. Expected each value once. Delete one of the two."),
        (["a", ""], "values.1 is ''. Expected a text; an empty cell of a table says that"),
        (["a", " "], "values.1 is ' '. Expected a text; an empty cell of a table says that"),
        ([True, "a"], "values.0 is true. Expected a text. YAML reads it as true or false; if it "),
        (["a", 1], "values.1 is 1. Expected a text. YAML reads it as a number; if it is a text, p"),
        (["a", None], "values.1 is null. Expected a text. YAML reads it as null; if it is a text,"),
    ],
)
def test_a_category_value_that_cannot_be_one_is_refused_with_its_line(toy, values, said):
    plan = {"type": "category", "values": values}
    with pytest.raises(InvalidDomain) as caught:
        toy(attributes={"plan": plan})
    assert f"attributes.plan.{said}" in str(caught.value)
    with pytest.raises(InvalidDomain) as caught:
        toy(events={"visit": {**VISIT, "properties": {"plan": plan}}}, churn=None, intent=None)
    assert f"events.visit.properties.plan.{said}" in str(caught.value)


@pytest.mark.parametrize(
    "values", [["A+", "A-", "B"], ["Да", "Нет [x]", "a, b: {c}"], ["a b", "a.b"], ["plus", "Plus"]]
)
def test_any_other_texts_may_be_category_values(toy, values):
    plan = {"type": "category", "values": values}
    assert toy(attributes={"plan": plan}).attributes["plan"].values == tuple(values)


def test_a_placeholder_of_a_namespace_that_is_not_declared_is_refused(toy):
    declared = {"cookie": {"kind": "anonymous"}, "card": {}}
    kept = {"placeholders": ["cookie:undefined", "n/a: none", "no-card"]}
    assert toy(identifiers=declared, identity=kept).identity.placeholders[0] == "cookie:undefined"
    assert toy(identity={"placeholders": ["cokie:undefined"]})  # any namespace is taken
    with pytest.raises(InvalidDomain) as caught:
        toy(identifiers=declared, identity={"placeholders": ["no-card", "cokie:undefined"]})
    said = "identity.placeholders.1 is 'cokie:undefined'. Expected one of cookie, card. Did you"
    assert f"{said} mean 'cookie'?" in str(caught.value)


def test_category_values_may_hold_other_signs_as_long_as_they_differ(toy):
    plan = {"type": "category", "values": ["a-b", "a_c", "a1", "a2"]}
    assert toy(attributes={"plan": plan}).attributes["plan"].values == ("a-b", "a_c", "a1", "a2")


@pytest.mark.parametrize("name", ["customer_id", "event_timestamp", "state"])
def test_an_attribute_may_not_have_the_name_of_a_column_of_ours(toy, name):
    with pytest.raises(
        InvalidDomain, match=rf"attributes\.{name} is .* Expected another name; this"
    ):
        toy(attributes={name: {"type": "number"}})


def _with(**properties):
    """A domain's events: the visit, with these properties."""
    return {"events": {"visit": {**VISIT, "properties": properties}}, "churn": None, "intent": None}


@pytest.mark.parametrize("measure", ["nps", "csat", "ces", "rating"])
def test_a_score_has_the_scale_that_the_field_has_agreed_on(toy, measure):
    ends = {"nps": (0, 10), "csat": (1, 5), "ces": (1, 7), "rating": (1, 5)}[measure]
    score = {"type": "number", "min": ends[0], "max": ends[1], "measures": measure}
    assert toy(**_with(score=score)).events["visit"].properties["score"].measures == measure
    for end, value in (("min", ends[0] - 1), ("max", ends[1] + 1), ("min", None), ("max", None)):
        with pytest.raises(
            InvalidDomain,
            match=rf"score\.{end} is {'null' if value is None else value}\. .* of {measure} ",
        ):
            toy(**_with(score={**score, end: value}))


def test_money_has_no_scale_but_is_a_number(toy):
    spent = {"type": "number", "measures": "spend"}
    assert toy(**_with(spent=spent)).events["visit"].properties["spent"].measures == "spend"
    with pytest.raises(
        InvalidDomain, match=r"spent\.measures is 'spend'\. Expected nothing, unless"
    ):
        toy(**_with(spent={"type": "text", "measures": "spend"}))


def test_an_event_measures_a_thing_once(toy):
    score = {"type": "number", "min": 0, "max": 10, "measures": "nps"}
    stars = {"type": "number", "min": 1, "max": 5, "measures": "rating"}
    assert toy(**_with(one=score, two=stars))
    with pytest.raises(InvalidDomain, match=r"visit\.properties is .* each thing measured once"):
        toy(**_with(one=score, two=score))


def test_a_number_does_not_end_before_it_begins(toy):
    assert toy(**_with(n={"type": "number", "min": 1, "max": 1}))
    with pytest.raises(
        InvalidDomain, match=r"n\.max is 1\. Expected a number that is not below min"
    ):
        toy(**_with(n={"type": "number", "min": 2, "max": 1}))


def test_consent_is_for_a_purpose(toy):
    yes = {**VISIT, "consent": "given", "properties": {"purpose": {"type": "text"}}}
    assert toy(events={"visit": yes}, churn=None, intent=None).events["visit"].consent == "given"
    with pytest.raises(InvalidDomain, match=r"visit\.consent is 'given'\. .*'purpose' beside it"):
        toy(events={"visit": {**yes, "properties": {}}}, churn=None, intent=None)


def test_a_journey_that_nobody_describes_is_no_problem_and_never_lapses(toy):
    kinds = toy(journeys={"purchase": {"problem": True, "lapse_days": 3}}).journey_kinds
    assert kinds == {"use": JourneyKind(), "purchase": JourneyKind(problem=True, lapse_days=3)}
    assert list(kinds) == ["use", "purchase"], "in the order of the events"


def test_a_journey_is_named_by_an_event(toy):
    with pytest.raises(InvalidDomain, match=r"journeys\.refund is .* Expected a journey that some"):
        toy(journeys={"refund": {"problem": True}})


def test_a_customer_may_belong_to_an_account(toy):
    assert toy(account="company").account == "company"


@pytest.mark.parametrize("name", ["customer_id", "identifiers", "event_timestamp", "state"])
def test_the_account_is_no_column_of_ours(toy, name):
    with pytest.raises(InvalidDomain, match=rf"account is '{name}'\. Expected another name"):
        toy(account=name)


def test_the_account_is_no_attribute(toy):
    with pytest.raises(InvalidDomain, match=r"attributes\.plan is .* Expected another name; this"):
        toy(account="plan")


@pytest.mark.parametrize("name", ["event_id", "customer_id", "type", "occurred_at", "channel"])
def test_a_property_may_not_have_the_name_of_a_column_of_ours(toy, name):
    with pytest.raises(InvalidDomain, match=rf"properties\.{name} is .* Expected another name"):
        toy(**_with(**{name: {"type": "text"}}))


def test_namespaces_of_identifiers_say_how_spellings_become_one(toy):
    email = {"normalize": "lower", "kind": "personal"}
    known = toy(identifiers={"email": email, "cookie": {"kind": "anonymous"}}).identifiers
    assert (known["email"].normalize, known["email"].kind) == ("lower", "personal")
    assert (known["cookie"].normalize, known["cookie"].kind) == ("as_is", "anonymous")
    with pytest.raises(InvalidDomain, match=r"identifiers\.email\.normalize is 'upper'"):
        toy(identifiers={"email": {"normalize": "upper"}})


@pytest.mark.parametrize(
    ("former", "kind"), [({"anonymous": True}, "anonymous"), ({"anonymous": False}, "strong")]
)
def test_a_former_file_says_anonymous_without_a_kind(toy, former, kind):
    assert toy(identifiers={"card": former}).identifiers["card"].kind == kind


@pytest.mark.parametrize("wrong", [{"anonymous": "yes"}, {"anonymous": True, "kind": "strong"}])
def test_a_key_of_two_kinds_is_refused(toy, wrong):
    with pytest.raises(InvalidDomain, match=r"identifiers\.card"):
        toy(identifiers={"card": wrong})


# What touches most businesses, by the names that the vocabulary gives it.
SHARED = {
    *("nps", "csat", "ces", "review", "complaint_opened", "complaint_closed"),
    *("outage_began", "outage_ended", "cancellation_asked", "cancellation_withdrawn"),
    *("consent_given", "consent_withdrawn", "call", "chat", "visit", "page_view", "purchase"),
    *("refund", "delivery", "social_post", "advert", "referral"),
}


def _shared(wanted="all", currency="eur", **more):
    return Domain(name="x", currency=currency, channels=("app",), vocabulary=wanted, **more)


def test_the_whole_vocabulary_can_be_had_in_one_word():
    assert set(_shared().events) == SHARED


def test_every_shared_event_says_how_we_know_of_it_and_where_it_touched():
    events = yaml.safe_load(VOCABULARY.read_text(encoding="utf-8"))["events"]
    for name, event in events.items():
        assert event["signal"] in ("direct", "passive"), name
        assert event["touchpoint"] in ("internal", "external", "peripheral"), name
    direct = {name for name, event in events.items() if event["signal"] == "direct"}
    assert {"nps", "csat", "ces", "review", "complaint_opened"} <= direct
    assert {"call", "visit", "purchase", "social_post"} <= set(events) - direct
    elsewhere = {name: event["touchpoint"] for name, event in events.items()}
    assert (elsewhere["review"], elsewhere["social_post"]) == ("external", "external")
    assert (elsewhere["advert"], elsewhere["referral"]) == ("peripheral", "peripheral")


def test_shared_events_measure_what_they_are_named_for():
    measured = {
        name: prop.measures
        for name, event in _shared().events.items()
        for prop in event.properties.values()
        if prop.measures
    }
    for name in ("nps", "csat", "ces", "review"):
        assert _shared().events[name].properties["about"].type == "text"
    scores = {name: name for name in ("nps", "csat", "ces")}
    assert measured == {**scores, "review": "rating", "purchase": "spend"}


def test_a_problem_lasts_from_its_opening_to_its_closing():
    domain = _shared()
    problems = [name for name, kind in domain.journey_kinds.items() if kind.problem]
    assert problems == ["complaint", "outage", "cancellation"]
    for begins, ends in (
        ("complaint_opened", "complaint_closed"),
        ("outage_began", "outage_ended"),
        ("cancellation_asked", "cancellation_withdrawn"),
    ):
        assert (domain.events[begins].step, domain.events[ends].step) == ("starts", "ends")


def test_a_part_of_the_vocabulary_brings_its_journeys_along():
    domain = _shared(["call", "nps"])
    assert list(domain.events) == ["call", "nps"]
    assert set(domain.journeys) == {"support", "voice"}
    assert domain.journeys["support"].lapse_days == 7


def test_an_own_event_may_join_a_shared_journey():
    letter = {**VISIT, "journey": "complaint"}
    assert _shared(["call"], events={"letter": letter}).journeys["complaint"].problem


def test_no_vocabulary_brings_nothing(toy):
    assert set(toy().events) == {"visit", "order"}
    assert toy().journeys == {}


def test_an_own_definition_wins():
    mine = {**VISIT, "description": "Mine."}
    domain = _shared(events={"call": mine}, journeys={"support": {"lapse_days": 99}, "use": {}})
    assert domain.events["call"].description == "Mine."
    assert domain.events["call"].journey == "use"
    assert domain.journeys["support"].lapse_days == 99
    assert set(domain.events) == SHARED


def test_amounts_are_in_the_currency_of_the_domain():
    for currency in ("eur", "usd"):
        events = _shared(currency=currency).events
        assert list(events["purchase"].properties) == [f"amount_{currency}"]
        assert list(events["refund"].properties) == [f"amount_{currency}"]


def test_churn_and_intent_may_speak_of_shared_events(toy):
    domain = toy(
        vocabulary=["delivery"],
        churn={"event": "delivery", "when": "happens"},
        intent={"event": "delivery", "property": "status", "ask": "after_each"},
    )
    assert domain.intents == ("on_time", "late", "failed")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"vocabulary": ["call", "seance"]}, "vocabulary is ['call', 'seance']. Expected some of"),
        ({"vocabulary": ["seance"]}, "; not seance."),
        ({"vocabulary": [["call"]]}, "; not ['call']."),
        ({"vocabulary": "call"}, "vocabulary is 'call'. Expected all, or a list of names."),
        ({"vocabulary": {"call": 1}}, "Expected all, or a list of names."),
        ({"vocabulary": "all", "events": ["visit"]}, "events is ['visit']"),
        ({"vocabulary": "all", "journeys": ["visit"]}, "journeys is ['visit']"),
        ({"vocabulary": "all", "events": {"call": 5}}, "events.call is 5"),
        ({"vocabulary": "all", "events": {"call": None}}, "events.call is null"),
        (
            {"vocabulary": "all", "events": {"call": {**VISIT, "journey": ["a"]}}},
            "events.call.jour",
        ),
        ({"vocabulary": "all", "currency": "EUR"}, "currency is 'EUR'"),
        ({"vocabulary": "all", "currency": None}, "currency is null"),
    ],
)
def test_what_the_vocabulary_cannot_give_is_named(toy, keys, said):
    with pytest.raises(InvalidDomain) as caught:
        toy(**{"churn": None, "intent": None, **keys})
    assert said in str(caught.value)
