"""Answers in words: treatments and reasons of chosen actions, and the rules that removed others."""

from __future__ import annotations

import pytest

from tests.serving.fakes import decide, record, rows, swap


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
