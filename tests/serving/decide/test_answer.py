"""Answers in words: treatments and reasons of chosen actions, and the rules that removed others."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from serving.decide import choice
from tests.serving.fakes import (
    EXPECTED,
    FakeModels,
    changed,
    decide,
    engine_of,
    record,
    rows,
    swap,
)


def test_an_answer_shows_the_treatment_of_the_channel_and_says_why(engine, now):
    swap(engine, gamma=1e9)
    [app] = decide(engine, now, channel="app").actions
    [phone] = decide(engine, now, channel="phone").actions
    assert (app.action_id, app.treatment) == ("call_back", {"title": "Shall we call?"})
    assert (phone.action_id, phone.treatment) == ("call_back", {"title": "We call you back"})
    assert (app.acceptance, app.priority) == (0.3, pytest.approx(2.0))
    assert app.reasons == [
        "30.0% chance of acceptance x 10.00 EUR - 1.00 EUR cost = 2.00 EUR",
        "Promises most of the allowed actions.",
    ]


def test_at_a_lower_rank_an_action_promises_what_is_left_of_it(engine, now):
    swap(engine, gamma=1e9, seen=(1.0, 0.6))
    first, second = decide(engine, now, slots=2).actions
    assert (first.acceptance, first.priority) == (0.3, pytest.approx(2.0))
    assert second.action_id == "discount"  # 20 % accept it, for 5 EUR less 0.50 EUR
    assert (second.acceptance, second.priority) == pytest.approx((0.12, 0.1))
    assert second.reasons == [
        "12.0% chance of acceptance x 5.00 EUR - 0.50 EUR cost = 0.10 EUR",
        "Seen by 60.0% at rank 2, of whom 20.0% accept.",
        "Promises most of the allowed actions.",
    ]


def test_a_rank_at_which_an_action_is_not_worth_its_cost_stays_empty(engine, now):
    swap(engine, gamma=1e9, seen=(1.0, 0.4))
    [only] = decide(engine, now, slots=2).actions
    assert only.action_id == "call_back"


def test_the_priority_of_a_formula_at_a_lower_rank_is_told_as_a_sum(
    toy_domain, toy_catalog, ledger, now
):
    catalog = changed(toy_catalog, arbitration={"formula": "acceptance * value - cost"})
    models = FakeModels(EXPECTED, gamma=1e9, seen=(1.0, 0.6))
    engine = engine_of(catalog, toy_domain, ledger, {}, models)
    _, second = decide(engine, now, slots=2, exclude=()).actions
    assert second.reasons[:2] == [
        "20.0% chance of acceptance; acceptance * value - cost = 0.50 EUR",
        "Seen by 60.0% at rank 2: 60.0% x (0.50 + 0.50 cost) - 0.50 = 0.10 EUR.",
    ]
    assert (second.acceptance, second.priority) == pytest.approx((0.12, 0.1))


def test_where_nothing_is_left_nothing_is_shown_for_certain(engine, ledger, now):
    [nothing] = decide(engine, now, actions=(), slots=3).actions
    assert (nothing.action_id, nothing.probability, nothing.treatment) == ("no_action", 1.0, {})
    assert rows(ledger)[0].window_ends_at == now  # nothing to wait for


def test_explain_lists_what_was_removed_with_the_rules(engine, ledger, now):
    removed = decide(engine, now, explain=True, exclude=("discount",)).removed
    rules = {"discount": "request.exclude", "talk_plus": "treatments"}
    assert {r.action_id: r.rule for r in removed} == rules


def test_without_explain_the_removed_are_in_the_record_only(engine, ledger, now):
    assert decide(engine, now, exclude=("discount",)).removed is None
    assert record(ledger)["removed"] == {"discount": "request.exclude"}


def test_what_a_lower_rank_spends_of_a_volume_costs_as_much_as_at_the_first():
    """0.4 x (1.0 + 0.5) - 0.5 - 0.3, and 0.4 x 0.5: a showing is spent, seen or not."""
    scored = SimpleNamespace(priority=np.array([1.0, 0.5]), priority_deviation=np.array([0.2, 0.1]))
    limits = SimpleNamespace(
        pacing_result=SimpleNamespace(prices=np.array([0.3, 0.0])),
        adjusted=np.array([0.7, 0.5, 0.0]),
    )
    setup = SimpleNamespace(compiled=SimpleNamespace(cost=np.array([0.5, 0.0])))
    inputs = SimpleNamespace(looks=(1.0, 0.4))
    at_rank = [choice._at_rank(setup, inputs, scored, limits, rank) for rank in (1, 2)]
    assert at_rank[0][0].tolist() == [0.7, 0.5, 0.0]
    assert at_rank[0][1].tolist() == [0.2, 0.1, 0.0]
    assert at_rank[1][0] == pytest.approx([-0.2, 0.2, 0.0])
    assert at_rank[1][1] == pytest.approx([0.08, 0.04, 0.0])
