"""Attributes are written with the time from which each value holds."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_core import from_json

from features.customers.attribute_history import attribute_history
from features.customers.attribute_writer import SentAttributes, write_attributes
from features.ledger import tables
from tests.features.live import DAY, NOW, add, person, rows

pytestmark = pytest.mark.databases("sqlite", "postgresql")

SPRING, SUMMER = NOW - 200 * DAY, NOW - 100 * DAY


@pytest.fixture
def write(ledger):
    """Writes attributes of c1, or of another customer."""

    def written(as_of=None, now=NOW, key="c1", **values):
        sent = [SentAttributes(key, values, as_of)]
        return ledger.write_now(lambda c: write_attributes(c, sent, now, "company"))

    return written


@pytest.fixture
def history(ledger):
    def of(key="c1"):
        return [tuple(one) for one in ledger.read(lambda c: attribute_history(c, key))]

    return of


def present(ledger, key="c1"):
    [row] = [row for row in rows(ledger, tables.customers) if row.customer_id == key]
    return from_json(row.attributes)


def test_what_comes_first_and_without_a_time_holds_from_ever(ledger, write, history):
    done = write(plan="basic", age_years="41.0")
    assert done.new == {"c1"} and done.changed == {"c1": ["plan", "age_years"]}
    assert history() == [("age_years", "41.0", None), ("plan", "basic", None)]
    assert rows(ledger, tables.attribute_changes) == []  # the row of customers says it all


def test_what_comes_first_with_a_time_holds_from_then(ledger, write, history):
    write(as_of=SUMMER, plan="basic")
    assert history() == [("plan", "basic", SUMMER)]
    assert present(ledger) == {"plan": "basic"}


def test_a_change_without_a_time_holds_from_now(ledger, write, history):
    write(plan="basic", age_years="41.0")
    assert write(plan="plus").changed == {"c1": ["plan"]}
    assert history() == [
        ("plan", "plus", NOW),
        ("age_years", "41.0", None),
        ("plan", "basic", None),
    ]
    assert present(ledger) == {"plan": "plus", "age_years": "41.0"}


def test_an_attribute_that_was_unknown_so_far_is_known_from_now(write, history):
    write(plan="basic")
    write(age_years="41.0")
    assert history() == [("age_years", "41.0", NOW), ("plan", "basic", None)]


def test_the_same_value_again_changes_nothing(ledger, write, history):
    write(plan="basic")
    write(plan="plus", as_of=SUMMER)
    before = history(), rows(ledger, tables.attribute_changes)
    assert write(plan="plus").changed == {}
    assert write(plan="plus", as_of=SUMMER).changed == {}
    assert (history(), rows(ledger, tables.attribute_changes)) == before
    assert write(plan="plus", as_of=NOW - DAY).changed == {}
    assert history() == before[0]


def test_a_late_change_takes_its_place_and_the_present_stays(ledger, write, history):
    write(plan="basic")
    write(plan="plus", as_of=SUMMER)
    assert write(plan=None, as_of=SPRING).changed == {"c1": ["plan"]}
    assert history() == [("plan", "plus", SUMMER), ("plan", None, SPRING), ("plan", "basic", None)]
    assert present(ledger) == {"plan": "plus"}


def test_a_late_value_is_a_change_if_another_one_held_at_its_instant(write):
    tick = timedelta(microseconds=1)
    for at, value in ((NOW, "plus"), (SUMMER, None), (SPRING, "basic")):
        write(plan=value, as_of=at)
    told = [(SPRING - tick, None), (SPRING + tick, "basic"), (SUMMER + tick, None)]
    assert [write(plan=value, as_of=at).changed for at, value in told] == [{}, {}, {}]
    assert write(plan="plus", as_of=NOW - tick).changed == {"c1": ["plan"]}


def test_a_null_is_unknown_from_then_on(ledger, write, history):
    write(plan="basic")
    write(plan=None)
    assert present(ledger) == {}
    assert history() == [("plan", None, NOW), ("plan", "basic", None)]
    assert write(plan=None).changed == {} and write(age_years=None).changed == {}


def test_at_one_instant_the_last_word_wins(ledger, write, history):
    write(plan="basic")
    write(plan="plus", as_of=SUMMER)
    assert write(plan=None, as_of=SUMMER).changed == {"c1": ["plan"]}
    assert history() == [("plan", None, SUMMER), ("plan", "basic", None)]
    assert present(ledger) == {}


def test_a_change_without_a_time_is_never_behind_the_latest_one(ledger, write, history):
    """The clock of another process may be ahead of ours."""
    write(plan="basic")
    write(plan="plus", now=NOW + timedelta(seconds=1))
    write(plan="basic")
    assert present(ledger) == {"plan": "basic"} and history() == [("plan", "basic", None)]


def test_a_time_that_has_not_come_counts_as_now(write, history):
    write(plan="basic", as_of=NOW + DAY)
    assert history() == [("plan", "basic", NOW)]


def test_the_account_has_no_history(ledger, write):
    add(ledger, tables.customers, person("c1", "acme", plan="basic"))
    done = write(company="beta")
    assert done.changed == {"c1": ["company"]} and done.left_accounts == {"acme"}
    [row] = rows(ledger, tables.customers)
    assert row.account == "beta" and rows(ledger, tables.attribute_changes) == []


def test_a_change_leaves_the_account_as_it_is(ledger, write):
    add(ledger, tables.customers, person("c1", "acme", plan="basic"))
    write(plan="plus")
    [row] = rows(ledger, tables.customers)
    assert row.account == "acme" and from_json(row.attributes)["company"] == "acme"


def test_one_call_may_tell_a_whole_history(ledger, history):
    told = [(SUMMER, "plus"), (None, "basic"), (SPRING, None)]
    sent = [SentAttributes("c1", {"plan": value}, at) for at, value in told]
    ledger.write_now(lambda c: write_attributes(c, sent, NOW))
    assert history() == [("plan", "plus", SUMMER), ("plan", None, SPRING), ("plan", "basic", None)]


TIMES = st.sampled_from([SPRING, SUMMER, SUMMER + DAY, NOW - DAY])
VALUES = st.sampled_from(["basic", "plus", None])


@pytest.mark.databases("sqlite")
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(told=st.dictionaries(TIMES, VALUES, min_size=1), order=st.randoms())
def test_values_with_times_may_come_in_any_order(ledger, told, order):
    shuffled = list(told.items())
    order.shuffle(shuffled)
    keys = [f"{len(rows(ledger, tables.customers))}-{name}" for name in ("sorted", "shuffled")]

    def write(connection):
        for key, values in zip(keys, (sorted(told.items()), shuffled), strict=True):
            write_attributes(connection, [SentAttributes(key, {"age_years": "1.0"})], NOW)
            for at, value in values:
                write_attributes(connection, [SentAttributes(key, {"plan": value}, at)], NOW)
        return [attribute_history(connection, key) for key in keys]

    one, other = ledger.write_now(write)
    assert one == other
    assert present(ledger, keys[0]) == present(ledger, keys[1])
    last = told[max(told)]
    assert present(ledger, keys[0]).get("plan") == last
