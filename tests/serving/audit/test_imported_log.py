"""Imported decisions with probabilities are judged by what was known at their time."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.tables import EPOCH
from features.progress import quiet
from serving.audit import imported_log
from serving.audit.evaluation_report import report_evaluation
from serving.audit.imported_log import (
    NO_PROBABILITY,
    OTHER_CHANNEL,
    ImportedLog,
    ImportedSources,
    longest_window,
)
from serving.audit.logged_decisions import OPEN, Period
from serving.audit.repetition import EvaluationTarget
from serving.audit.replayed_log import GONE, replayed_log
from tests.decided import decided
from tests.serving.fakes import FakeArchive, changed

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LATER = 60 * DAY
COUNT = 600
ACCEPTS = {"call_back": 0.2, "discount": 0.6}  # what customers really do
IMPORTED = {"served": False, "arm": None, "record": None, "answer": None, "features": None}


class FakeHistory:
    """Everybody is on the plan `plus`, and has an age that the customer id tells: c41 is 41."""

    def as_of(self, moments: pd.DataFrame, service: str) -> pd.DataFrame:
        known = moments.copy()
        known["plan"] = "plus"
        known["age_years"] = [name[1:] for name in moments["customer_id"]]
        known["state"] = None
        return known


def put(
    ledger, name, at, action="discount", customer="c40", probability=0.5, days=14, channel="app"
):
    more = {"probability": probability, "window_ends_at": at + days * DAY, "channel": channel}
    shown = {} if action == "no_action" else {action: days}
    decided(ledger, name, at, shown, customer_id=customer, **IMPORTED, **more)


def accept(ledger, name, action, at):
    row = {"outcome_id": f"{name}:accepted", "decision_id": name, "action_id": action}
    row |= {"outcome": "accepted", "occurred_at": at, "received_at": at, "learned": True}
    ledger.write_now(lambda c: c.execute(tables.outcomes.insert(), row))


@pytest.fixture
def judge(ledger, toy_domain, toy_catalog):
    """Judge all imported decisions with a catalogue; the archive's bandit expects 0.1 + v / 20."""

    def run(now, catalog=None, version="1", left_out=None):
        archive = FakeArchive(toy_domain, ledger)
        sources = ImportedSources(ledger, archive, FakeHistory(), "any", toy_domain, toy_catalog)
        target = EvaluationTarget(catalog or toy_catalog, {"bandit": version})
        counted = Counter() if left_out is None else left_out
        return ImportedLog(sources, target, counted).judged(Period(EPOCH, None), now, quiet)

    return run


def test_a_decision_has_the_features_of_then_and_the_reward_that_followed(
    ledger, judge, toy_domain, now
):
    put(ledger, "i1", now, customer="c41", probability=0.25)
    put(ledger, "i2", now + DAY, "no_action", customer="c62")
    accept(ledger, "i1", "discount", now + 3 * DAY)
    no_action, discount = judge(now + LATER)
    assert (discount.action_id, discount.reward) == ("discount", 5.0 - 0.5)
    assert (no_action.action_id, no_action.reward) == ("no_action", 0.0)
    assert discount.logged == discount.decided == {"discount": 0.25}
    assert discount.imported and discount.slots == 1
    at = ModelInput(toy_domain).names.index("age_years")
    assert (discount.features[at], no_action.features[at]) == (41, 62)
    # The channel is the app: call_back and discount can be shown, talk_plus by phone only.
    assert set(discount.evaluated) == {"call_back", "discount", "no_action"}
    assert sum(discount.evaluated.values()) == pytest.approx(1)


def test_features_consents_and_leaving_are_those_of_the_time_of_the_decision(
    ledger, judge, monkeypatch, now
):
    at = {"c41": now, "c62": now + DAY}
    put(ledger, "i1", at["c41"], customer="c41")
    put(ledger, "i2", at["c62"], customer="c62")
    asked, decided_with = [], []

    def as_of(self, moments, service):
        asked.append(dict(zip(moments["customer_id"], moments["event_timestamp"], strict=True)))
        return plain(self, moments, service)

    def consents_on(connection, domain, setup, customer_id, channel, before=None):
        return {f"said before {before.isoformat()} on {channel}": True}

    def scored(setup, inputs, *more):
        decided_with.append(inputs)
        return score(setup, inputs, *more)

    plain, score = FakeHistory.as_of, imported_log.score
    monkeypatch.setattr(FakeHistory, "as_of", as_of)
    monkeypatch.setattr(imported_log, "consents_on", consents_on)
    monkeypatch.setattr(imported_log, "left_at", lambda model_input, known: now - DAY)
    monkeypatch.setattr(imported_log, "score", scored)
    judge(now + LATER)
    assert asked == [at]
    for one in decided_with:
        then = at[one.customer_id]
        assert (one.decided_at, one.left_at) == (then, now - DAY)
        assert one.consents == {f"said before {then.isoformat()} on app": True}
    assert len(decided_with) == 2


def test_what_cannot_be_judged_is_counted_with_its_reason(ledger, judge, toy_catalog, now):
    put(ledger, "i1", now, probability=None)
    put(ledger, "i3", now, channel="fax")
    put(ledger, "i4", now, "call_back", days=7)
    decided(ledger, "own", now, {"discount": 14})
    left_out = Counter()
    # The longest window of the catalogue counts, whichever action was taken.
    assert longest_window(toy_catalog) == 14 * DAY
    assert judge(now + 13 * DAY, left_out=left_out) == []
    assert left_out == {NO_PROBABILITY: 1, OTHER_CHANNEL: 1, OPEN: 1}
    assert [one.action_id for one in judge(now + 14 * DAY)] == ["call_back"]


def test_a_window_that_was_longer_at_the_import_holds_for_all_actions(ledger, judge, now):
    """Else the decisions with the other action would be judged alone for ten days."""
    put(ledger, "i1", now, "discount", days=24)
    put(ledger, "i2", now, "call_back", days=7)
    left_out = Counter()
    assert judge(now + 24 * DAY - timedelta(seconds=1), left_out=left_out) == []
    assert left_out == {OPEN: 2}
    assert len(judge(now + 24 * DAY)) == 2


def test_an_action_that_was_withdrawn_since_earns_nothing_and_is_judged_like_others(
    ledger, judge, now
):
    """Without them, probabilities of 1 / 4 would be weights of the three actions that are left."""
    names = (*ACCEPTS, "no_action", "letter")
    for number in range(400):
        name, action = f"i{number}", names[number % 4]
        put(ledger, name, now + number * HOUR, action, f"c{20 + number % 67}", 0.25)
        if number % 8 in (0, 3):  # half of the calls and of the letters are accepted
            accept(ledger, name, action, now + number * HOUR)
    judged = judge(now + LATER + 400 * HOUR)
    assert len(judged) == 400
    gone = [one for one in judged if one.notes]
    assert {(one.action_id, one.reward, *one.notes) for one in gone} == {("letter", 0.0, GONE)}
    assert len(gone) == 100
    view = report_evaluation(replayed_log(judged, names[:3], ("app", "phone"), {}), "eur", seed=7)
    assert all(one.value is not None for one in view.estimates), "the weights average 1"
    assert any(f"Of 100 decisions, {GONE}" in one for one in view.remarks)


def test_contacts_before_the_decision_count_and_later_ones_do_not(ledger, judge, toy_catalog, now):
    cap = {"caps": [{"at_most": 1, "days": 7, "channels": ["app"]}]}
    strict = changed(toy_catalog, contact_policy=cap)
    put(ledger, "i1", now, "discount")
    put(ledger, "i2", now + DAY, "call_back", days=7)
    second, first = judge(now + LATER, strict)
    assert "discount" in first.evaluated, "its own contact and later ones do not count"
    assert set(second.evaluated) == {"no_action"}


def test_volumes_and_the_control_group_do_not_count(ledger, judge, toy_catalog, now):
    actions = toy_catalog.model_dump(mode="json", by_alias=True)["actions"]
    actions["discount"] |= {"volume": {"at_most": 0}}
    paced = changed(toy_catalog, actions=actions, arms={"random": 0.5, "nobody": 0})
    for number in range(8):
        put(ledger, f"i{number}", now, customer=f"c{20 + number}")
    plain = [one.evaluated for one in judge(now + LATER)]
    assert [one.evaluated for one in judge(now + LATER, paced)] == plain


def test_a_uniform_log_with_a_better_action_shows_the_gain(ledger, judge, toy_catalog, now):
    """The interval holds the truth: what the policy would take, times what customers really do."""
    rng, names = np.random.default_rng(17), (*ACCEPTS, "no_action")
    for number in range(COUNT):
        action = names[rng.integers(3)]
        at, name = now + number * HOUR, f"i{number}"
        put(ledger, name, at, action, f"c{20 + number % 200}", 1 / 3)
        if rng.random() < ACCEPTS.get(action, 0):
            accept(ledger, name, action, at + HOUR)
    levered = toy_catalog.model_dump(mode="json", by_alias=True)["actions"]
    levered["discount"]["lever"] = 30.0
    judged = judge(now + LATER + COUNT * HOUR, changed(toy_catalog, actions=levered))
    log = replayed_log(judged, tuple(ACCEPTS), ("app", "phone"), {})
    assert log.actions == (*ACCEPTS, "no_action")
    offered = [toy_catalog.actions[name] for name in ACCEPTS]
    earned = [p * one.value - one.cost for p, one in zip(ACCEPTS.values(), offered, strict=True)]
    worth = np.array([*earned, 0.0])
    value = float((log.evaluated @ worth).mean())
    view = report_evaluation(log, "eur", seed=7)
    [robust] = [one for one in view.estimates if one.method == "doubly_robust"]
    assert robust.low < value < robust.high
    gain = value - float(worth.mean())
    assert view.gain.low < gain < view.gain.high
    assert view.imported == view.decisions == COUNT
    assert any(f"{COUNT} of the {COUNT} decisions are imported" in one for one in view.remarks)
    assert json.loads(view.model_dump_json())["policy"] is None
