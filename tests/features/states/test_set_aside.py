"""Tests the list of customers whose events cannot be folded."""

import pytest
import sqlalchemy as sa

from features.ledger import tables
from features.states.set_aside import (
    _ASIDE,
    read_set_aside,
    set_aside,
    set_aside_sentence,
    try_again,
)
from features.states.state_rows import drop_states, request_refold
from tests.features.live import NOW, kept

pytestmark = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture
def aside(ledger):
    names = ["ann", "bob", "cy", "dee", "eve"]
    ledger.write_now(lambda c: request_refold(c, names, NOW))
    for name in names[:4]:
        ledger.write_now(lambda c, name=name: set_aside(c, name, f"Problem of {name}."))
    return ledger


def test_customers_that_are_set_aside_are_counted_and_some_are_named(aside):
    count, some = aside.read(read_set_aside)
    assert count == 4
    assert some == [(name, f"Problem of {name}.") for name in ("ann", "bob", "cy")]
    assert set_aside_sentence(count, some) == (
        "features: 4 customers are set aside, with features of before. "
        "'ann': Problem of ann. 'bob': Problem of bob. 'cy': Problem of cy."
    )


def test_one_customer_is_named_in_the_singular():
    assert set_aside_sentence(1, [("ann", "It is odd.")]) == (
        "features: 1 customer is set aside, with features of before. 'ann': It is odd."
    )


def test_there_is_no_sentence_about_nobody(ledger):
    assert ledger.read(read_set_aside) == (0, [])
    assert set_aside_sentence(0, []) == ""


@pytest.mark.databases("sqlite")
def test_they_are_found_by_the_index_of_waiting_states(aside):
    query = sa.select(tables.journey_states.c.problem).where(_ASIDE)
    text = query.compile(aside.engine, compile_kwargs={"literal_binds": True})
    plan = aside.read(lambda c: c.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").all())
    assert "USING INDEX journey_states_waiting" in plan[0][-1]


def test_they_can_all_be_tried_again(aside):
    aside.write_now(try_again)
    assert [row.problem for row in kept(aside).values()] == [None] * 5


def test_somebody_whose_past_has_changed_is_not_set_aside_any_more(aside):
    aside.write_now(lambda c: drop_states(c, ["bob"], NOW))
    assert sorted(name for name, row in kept(aside).items() if row.problem) == ["ann", "cy", "dee"]
