"""A whole decision with fakes around it and a real ledger under it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import pytest
import sqlalchemy as sa

from features.business.decided_actions import logged_chances
from features.customers.contacts import note_contacts
from features.errors import InvalidRequest
from features.identity.links import link
from features.ledger import tables
from serving.contract.decisions import DecideRequest, Decision
from serving.decide.inputs import draw_seed
from tests.conftest import SECRET
from tests.serving.fakes import (
    EXPECTED,
    PLUS,
    FakeModels,
    changed,
    decide,
    engine_of,
    features,
    record,
    rows,
    swap,
)
from training.bandit.exploration import draw


def test_the_decision_is_in_the_ledger_when_decide_returns(engine, ledger, now):
    decision = decide(engine, now, decision_id="d1")
    [row] = rows(ledger)
    assert (row.decision_id, row.customer_id, row.channel) == ("d1", "c1", "app")
    assert (row.decided_at, row.served) == (now, True)
    assert row.action_id == decision.actions[0].action_id
    assert row.probability == decision.actions[0].probability
    assert Decision.model_validate_json(row.answer) == decision


def test_the_same_decision_id_twice_gives_the_same_answer_and_one_row(engine, ledger, now):
    once = decide(engine, now, decision_id="d1")
    swap(engine, expected=dict.fromkeys(EXPECTED, 0.9))
    again = decide(engine, now + timedelta(hours=1), decision_id="d1")
    assert again == once
    assert len(rows(ledger)) == 1


def test_many_askers_of_one_id_at_once_get_one_answer(engine, ledger, now):
    inputs = DecideRequest(customer_id="c1", channel="app", decision_id="d1")

    async def all_at_once() -> list[Decision]:
        return await asyncio.gather(*(engine.decide(inputs, now) for _ in range(20)))

    answers = asyncio.run(all_at_once())
    assert all(answer == answers[0] for answer in answers)
    assert len(rows(ledger)) == 1


def test_decisions_without_an_id_get_one_each(engine, ledger, now):
    ids = {decide(engine, now).decision_id for _ in range(3)}
    assert ids == {row.decision_id for row in rows(ledger)}
    assert len(ids) == 3


def test_a_channel_that_does_not_exist_is_named_with_those_that_do(engine, ledger, now):
    with pytest.raises(InvalidRequest, match="channel is 'fax'. Expected one of app, phone"):
        decide(engine, now, channel="fax")
    assert rows(ledger) == []


def test_a_customer_we_know_is_answered_from_what_we_know(engine, ledger, now):
    assert decide(engine, now).known
    assert features(ledger)[-2:] == [1.0, 41.0]  # plan is the second value, plus


def test_a_stranger_is_answered_and_told_apart(engine, ledger, now):
    decision = decide(engine, now, customer_id="nobody")
    assert not decision.known
    assert decision.actions
    assert np.isnan(features(ledger)[-2:]).all()


def test_identifiers_lead_to_their_customer(engine, ledger, now):
    normalizer = engine.normalizer
    ledger.write_now(lambda c: link(c, normalizer, ("c1", "card:1"), "told", now))
    decision = decide(engine, now, customer_id=None, identifiers=("cookie:9", "card:1"))
    assert (decision.customer_id, decision.known) == ("c1", True)


def test_the_action_is_the_one_that_the_id_draws(engine, ledger, now):
    for number in range(20):
        decide(engine, now, decision_id=f"d{number}")
    for row in rows(ledger):
        kept = json.loads(row.record)
        chances = logged_chances(row, kept, engine.setup.compiled.actions)
        drawn = draw(np.array([*chances.values()]), kept["seed"])
        assert row.action_id == [*chances][drawn]
        assert kept["seed"] == draw_seed(SECRET, row.decision_id)
    assert len({row.action_id for row in rows(ledger)}) > 1  # the test can fail


def test_each_action_is_chosen_as_often_as_its_probability_says(engine, ledger, now):
    n = 400

    async def many() -> list[Decision]:
        inputs = [
            DecideRequest(customer_id="c1", channel="app", decision_id=f"d{i}") for i in range(n)
        ]
        return await asyncio.gather(*(engine.decide(one, now) for one in inputs))

    chosen = [decision.actions[0].action_id for decision in asyncio.run(many())]
    for action, chance in (("discount", 1 / 3.15), ("no_action", 1 / 3.2)):
        # 4 standard errors of a share of n draws.
        tolerance = 4 * np.sqrt(chance * (1 - chance) / n)
        assert chosen.count(action) / n == pytest.approx(chance, abs=tolerance)


def test_three_slots_are_filled_with_different_actions_best_rank_first(engine, now):
    longest = 0
    for number in range(30):
        actions = decide(engine, now, decision_id=f"d{number}", slots=3).actions
        names = [action.action_id for action in actions]
        assert len(set(names)) == len(names)
        assert [action.rank for action in actions] == list(range(1, len(actions) + 1))
        assert all(0 < action.probability <= 1 for action in actions)
        assert "no_action" not in names[1:]
        assert names[0] != "no_action" or len(names) == 1
        longest = max(longest, len(names))
    assert longest == 2  # all that the app can show


def test_the_second_slot_is_drawn_from_what_is_left(engine, now):
    swap(engine, gamma=1e9)  # as good as always the best
    first, second = decide(engine, now, decision_id="d1", slots=2).actions
    assert (first.action_id, second.action_id) == ("call_back", "discount")
    assert second.probability == pytest.approx(1)
    assert second.reasons[1] == "Promises most of the allowed actions."


@pytest.mark.parametrize("look", [1.0, 0.6, 0.05])
def test_the_second_slot_is_drawn_by_what_the_others_are_worth_when_few_look(engine, now, look):
    swap(engine, gamma=2.0, seen=(1.0, look))
    worth = {"call_back": 0.3 * 10 * look - 1, "discount": 0.2 * 5 * look - 0.5}
    lengths = set()
    for number in range(30):
        first, *more = decide(engine, now, decision_id=f"d{number}", slots=2).actions
        lengths.add(len(more))
        for second in more:
            left = worth["discount" if first.action_id == "call_back" else "call_back"]
            trailing = 1 / (2 + 2.0 * abs(left))  # `no_action` is worth 0
            chance = 1 - trailing if left > 0 else trailing
            assert second.probability == pytest.approx(chance)
            assert second.priority == pytest.approx(left)
    assert lengths == {0, 1}


def test_sentences_about_what_is_degraded_are_passed_through(engine, now):
    swap(engine, degraded=("churn: no champion",))
    engine.features.problem = "the store is gone"
    assert decide(engine, now).degraded == ["churn: no champion", "features: the store is gone"]


def test_predictions_and_versions_are_those_of_the_models(engine, now):
    decision = decide(engine, now)
    assert (decision.predictions.churn, decision.predictions.intent) == (0.25, None)
    assert decision.models == {"bandit": "3.17"}


# The transaction --------------------------------------------------------------------------------


@dataclass(frozen=True)
class WatchedModels(FakeModels):
    """Notes the thread in which probabilities are computed; something may happen meanwhile."""

    threads: list[str] = field(default_factory=list)
    meanwhile: list[Callable[[], object]] = field(default_factory=list)

    def probabilities(self, expected_reward, deviation):
        self.threads.append(threading.current_thread().name)
        if self.meanwhile:
            self.meanwhile.pop(0)()
        return super().probabilities(expected_reward, deviation)


@pytest.fixture
def watched(toy_catalog, toy_domain, ledger):
    """An engine that shows two actions a week."""
    cap = {"caps": [{"at_most": 2, "days": 7}]}
    parts = {"arms": {"random": 0, "nobody": 0}, "contact_policy": cap}
    models = WatchedModels(EXPECTED, gamma=1e9)
    return engine_of(changed(toy_catalog, **parts), toy_domain, ledger, {"c1": PLUS}, models)


def contact(ledger, name, now):
    """Show something by another decision."""
    row = {"decision_id": name, "subject": "c1", "customer_id": "c1", "channel": "app"}
    row |= {"action_id": "discount", "action_group": "offers", "shown_at": now}
    ledger.write_now(lambda connection: note_contacts(connection, [row]))


def test_probabilities_are_computed_outside_the_transaction(watched, now):
    decide(watched, now)
    assert watched.setup.models.threads == ["MainThread"]


def test_a_contact_that_comes_between_makes_it_select_again(watched, ledger, now):
    models = watched.setup.models
    models.meanwhile.append(lambda: contact(ledger, "d0", now))
    decide(watched, now, decision_id="d1")
    assert models.threads == ["MainThread", "MainThread"]
    assert len(record(ledger)["contacts"]) == 1


def test_caps_hold_whatever_comes_between(watched, ledger, now):
    models = watched.setup.models
    models.meanwhile.append(lambda: [contact(ledger, name, now) for name in ("d0", "d1")])
    decision = decide(watched, now, decision_id="d2")
    assert [one.action_id for one in decision.actions] == ["no_action"]
    assert set(record(ledger)["removed"].values()) == {"contact_policy.caps.0"}


def test_after_two_contacts_between_it_selects_inside_the_transaction(watched, ledger, now):
    models = watched.setup.models
    models.meanwhile.append(lambda: contact(ledger, "d0", now))
    models.meanwhile.append(lambda: contact(ledger, "d1", now))
    decision = decide(watched, now, decision_id="d2")
    assert models.threads == ["MainThread", "MainThread", "ledger"]
    assert [one.action_id for one in decision.actions] == ["no_action"]
    assert len(record(ledger)["contacts"]) == 2


@pytest.fixture
def paced(toy_catalog, toy_domain, ledger):
    """An engine that shows at most 1,000 discounts a day, at a price that is paced."""
    actions = toy_catalog.model_dump(by_alias=True)["actions"]
    actions = {"discount": actions["discount"] | {"volume": {"at_most": 1000}, "value": 100}}
    catalog = changed(toy_catalog, arms={"random": 0, "nobody": 0}, actions=actions)
    models = WatchedModels({"discount": 0.9}, gamma=1e9)
    return engine_of(catalog, toy_domain, ledger, {"c1": PLUS}, models)


def pace(ledger):
    """Read the state of the only volume."""
    query = sa.select(tables.paces.c.state)
    return json.loads(ledger.read(lambda c: c.execute(query).scalar_one()))


def spend(ledger, spent):
    """Let others have spent some of the only volume, which moves its price by nothing."""
    state = json.dumps(pace(ledger) | {"spent": spent})
    ledger.write_now(lambda c: c.execute(sa.update(tables.paces).values(state=state)))


def test_spending_of_others_is_kept_and_the_record_has_the_states_of_the_prices(paced, ledger, now):
    decide(paced, now, decision_id="d1")
    models = paced.setup.models
    models.threads.clear()
    models.meanwhile.append(lambda: spend(ledger, 11.0))
    decide(paced, now, decision_id="d2")
    assert models.threads == ["MainThread"]  # the selection is kept
    assert pace(ledger)["spent"] == 12
    [kept] = [json.loads(row.record) for row in rows(ledger) if row.decision_id == "d2"]
    assert kept["paces"]["actions.discount.volume"]["spent"] == 1


def test_a_volume_that_is_used_up_between_makes_it_select_again(paced, ledger, now):
    decide(paced, now, decision_id="d1")
    paced.setup.models.meanwhile.append(lambda: spend(ledger, 1000.0))
    decision = decide(paced, now, decision_id="d2")
    assert [one.action_id for one in decision.actions] == ["no_action"]
    assert pace(ledger)["spent"] == 1000


def test_a_merge_that_comes_between_gives_the_decision_to_the_survivor(watched, ledger, now):
    def merge(connection):
        return link(connection, watched.normalizer, ("c0", "c1"), "test", now)

    models = watched.setup.models
    models.meanwhile.append(lambda: ledger.write_now(merge))
    assert decide(watched, now).customer_id == "c0"
    assert [row.customer_id for row in rows(ledger)] == ["c0"]


def test_a_contact_that_comes_between_counts_for_an_id_that_we_draw_too(watched, ledger, now):
    models = watched.setup.models
    models.meanwhile.append(lambda: contact(ledger, "d0", now))
    decide(watched, now)
    assert models.threads == ["MainThread", "MainThread"]
    assert len(record(ledger)["contacts"]) == 1


def test_decisions_for_one_customer_in_one_transaction_keep_to_the_cap(watched, ledger, now):
    inputs = DecideRequest(customer_id="c1", channel="app")

    async def all_at_once() -> list[Decision]:
        return await asyncio.gather(*(watched.decide(inputs, now) for _ in range(6)))

    shown = [decision.actions[0].action_id for decision in asyncio.run(all_at_once())]
    assert len([one for one in shown if one != "no_action"]) == 2
    assert len(rows(ledger)) == 6


def test_limits_are_read_once_if_nothing_was_committed_meanwhile(watched, ledger, now):
    texts: list[str] = []
    decide(watched, now)  # the connection is open now
    with ledger._unwaiting.autocommit() as connection:
        connection.connection.driver_connection.set_trace_callback(texts.append)
    decide(watched, now)
    assert len([text for text in texts if "FROM contacts" in text]) == 1
