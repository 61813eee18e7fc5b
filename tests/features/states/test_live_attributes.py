"""Attributes that are sent while the service runs: checked, written, and shown to decisions."""

import asyncio

import pytest

from features.customers.profiles import attributes_of
from features.errors import CustomerForgotten, InvalidData, NotVisible
from features.identity.tombstones import add_tombstones
from features.journeys.events import MAX_CLOCK_SKEW
from features.journeys.fold import Fold
from features.ledger import tables
from features.states.journey_states import JourneyStates
from features.states.live_attributes import LiveAttributes
from tests.features.live import (
    DAY,
    MINUTE,
    NOW,
    SHOP,
    add,
    event,
    folded,
    kept,
    live,
    past,
    person,
    rows,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture
def worker(ledger, online):
    return live(ledger, online)


@pytest.fixture
def change(ledger, online, worker):
    """Sends attributes of c1, or of another customer."""
    states = JourneyStates(Fold(SHOP), online.state)
    attributes = LiveAttributes(ledger, worker.publisher, SHOP, states)

    def changed(key="c1", as_of=None, **values):
        return asyncio.run(attributes.change(key, values, as_of, NOW))

    return changed


def take(worker, *sent):
    assert asyncio.run(worker.ingest(sent, NOW)).rejected == []


def test_what_is_acknowledged_is_in_the_online_store(change, online):
    done = change(plan="basic", age_years=41)
    assert done == ("c1", True, ["plan", "age_years"], {"plan": "basic", "age_years": "41.0"})
    assert online.profiles["c1"] == {"plan": "basic", "age_years": "41.0"}
    done = change(plan="plus", age_years=None)
    assert done == ("c1", False, ["plan", "age_years"], {"plan": "plus"})
    assert online.profiles["c1"] == {"plan": "plus"}


def test_the_past_of_a_customer_stays(change, online, worker, ledger):
    take(worker, event(1, "c1"), event(2, "c1"))
    change(plan="plus")
    assert online.states["c1"] == folded(ledger, "c1")
    assert online.profiles["c1"] == {"plan": "plus"}
    assert kept(ledger)["c1"].restated_at == NOW  # for training, which reads the attributes anew


def test_a_long_past_is_folded_before_the_caller_is_answered(change, online, ledger):
    past(ledger, "c1", 300)
    change(plan="plus")
    assert online.states["c1"] == folded(ledger, "c1")
    assert online.profiles["c1"] == {"plan": "plus"}


def test_a_repetition_changes_nothing(change, ledger):
    change(plan="plus")
    before = rows(ledger, tables.customers), rows(ledger, tables.attribute_changes), kept(ledger)
    assert change(plan="plus").changed == []
    after = rows(ledger, tables.customers), rows(ledger, tables.attribute_changes), kept(ledger)
    assert after == before


def test_a_late_value_is_told_as_changed_but_is_not_the_present_one(change, online):
    change(plan="basic")
    change(plan="plus", as_of=NOW - DAY)
    done = change(plan="basic", as_of=NOW - 2 * DAY)
    assert done.changed == [] and done.attributes == {"plan": "plus"}
    assert online.profiles["c1"] == {"plan": "plus"}


def test_of_a_merged_customer_the_value_is_stored_under_the_key_that_was_sent(
    change, online, worker, ledger
):
    add(ledger, tables.customers, person("c1", plan="basic"))
    asyncio.run(worker.link(("c1", "card:1"), "told an agent", NOW))
    done = change("card:1", plan="plus", age_years=41)
    assert done.customer_id == "c1" and done.new and done.changed == ["plan", "age_years"]
    assert done.attributes == {"plan": "basic", "age_years": "41.0"}  # that of c1 comes first
    assert online.profiles["c1"] == done.attributes
    asyncio.run(worker.unlink(("c1", "card:1"), "a mistake", NOW))
    assert online.profiles["c1"] == {"plan": "basic"}
    assert online.profiles["card:1"] == {"plan": "plus", "age_years": "41.0"}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"plan": "gold"}, "attributes.plan is 'gold'. Expected one of basic, plus, or null."),
        ({"plan": 7}, "attributes.plan is 7. Expected one of basic, plus, or null."),
        ({"age_years": "41"}, "attributes.age_years is '41'. Expected a number between"),
        ({"age_years": float("nan")}, "attributes.age_years is nan. Expected a number between"),
        ({"age_years": 1e16}, "attributes.age_years is 1e+16. Expected a number between"),
        ({"color": "red"}, "attributes.color is 'red'. Expected attributes among plan, age_years."),
        ({"company": "acme"}, "attributes.company is 'acme'. Expected attributes only; the acc"),
    ],
)
def test_a_value_that_breaks_a_rule_is_refused_by_name(change, ledger, values, sentence):
    with pytest.raises(InvalidData) as refused:
        change(**{"plan": "basic"} | values)
    assert str(refused.value).startswith(sentence)
    assert str(refused.value).endswith("Correct it and send it again.")
    assert rows(ledger, tables.customers) == []


def test_a_time_that_has_not_come_is_refused(change):
    change(plan="basic", as_of=NOW + MAX_CLOCK_SKEW)
    with pytest.raises(InvalidData, match=r"^as_of is '.*'\. Expected a time that has passed\."):
        change(plan="plus", as_of=NOW + MAX_CLOCK_SKEW + MINUTE)


def test_a_forgotten_customer_is_refused(change, ledger):
    ledger.write_now(lambda c: add_tombstones(c, ["c1"], NOW))
    with pytest.raises(CustomerForgotten):
        change(plan="plus")
    assert rows(ledger, tables.customers) == []


def test_while_the_store_is_down_the_value_is_kept_and_shown_when_it_is_sent_again(
    change, online, ledger
):
    online.broken = True
    with pytest.raises(NotVisible):
        change(plan="plus")
    assert ledger.read(lambda c: attributes_of(c, "c1")) == {"plan": "plus"}
    online.broken = False
    assert change(plan="plus").changed == []
    assert online.profiles["c1"] == {"plan": "plus"}


def test_attributes_of_a_device_are_those_of_its_present_holder(change, online, worker, ledger):
    at = NOW - DAY
    take(worker, event(1, "c1", "cookie:1", at=at), event(2, "c2", "cookie:1", at=at + MINUTE))
    done = change("cookie:1", plan="plus")
    assert (done.customer_id, done.attributes) == ("c2", {"plan": "plus"})
    assert online.profiles["c2"] == {"plan": "plus"} and change("c1", plan="basic").new
    assert change("cookie:1", age_years=41).changed == ["age_years"]
    assert {row.customer_id for row in rows(ledger, tables.customers)} == {"c1", "c2"}
