"""Tests the updates of the bandit's state: what is added can be taken back and counted again."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from features.journeys.model_input import ModelInput
from features.outcomes.credit_rules import Credit
from features.outcomes.delay_epochs import ResponseDelays
from features.outcomes.logged_actions import LoggedAction, read_logged_actions
from serving.learn.credits import (
    CreditChange,
    credit_rows,
    told_rewards,
    write_credits,
)
from serving.learn.updates import AsOf, BanditUpdates, FittedTrees
from tests.bandits import PLAIN, plain
from tests.decided import decided
from tests.serving.learn.test_learner import Shop
from training.arrays import ToldRewards
from training.bandit.bandit_state import BanditState
from training.bandit.encoder import Encoder
from training.bandit.trees import BoostedTrees

AGES = (20, 40, 60)


@pytest.fixture
def updates(ledger, toy_domain) -> BanditUpdates:
    return BanditUpdates(ledger, toy_domain, PLAIN)


@pytest.fixture
def actions(ledger, toy_domain, updates, now) -> list[LoggedAction]:
    """One shown discount for each age, in the ledger."""
    model_input = ModelInput(toy_domain)
    for age in AGES:
        row = model_input.read({"plan": "basic", "age_years": str(age)}, None, now.timestamp())
        decided(ledger, f"d{age}", now, {"discount": 14}, layout=updates.layout, row=row)
    ids = [f"d{age}" for age in AGES]
    return ledger.read(lambda c: read_logged_actions(c, ids, updates.layout))


@pytest.fixture
def reads_age() -> BanditState:
    encoder = Encoder(("age_years",), ("app", "phone"), np.array([40.0]), np.array([10.0]))
    return BanditState(encoder, PLAIN)


def changes(actions: list[LoggedAction]) -> list[CreditChange]:
    pairs = zip(actions, (1.0, 0.5, 0.0), strict=False)
    return [CreditChange(action, None, Credit(acceptance, 1.0)) for action, acceptance in pairs]


def learned(updates: BanditUpdates, state: BanditState, *steps: list[CreditChange]) -> BanditState:
    """Return a copy that has learned some steps."""
    found = state.copied()
    for step in steps:
        updates.learn(found, step)
    return found


def test_a_credit_moves_the_mean_acceptance_of_its_action(updates, actions, reads_age):
    updates.learn(reads_age, changes(actions))
    assert reads_age.counted == 3
    assert reads_age.first.rate("discount") == pytest.approx(0.5)


def test_a_credit_that_is_taken_back_leaves_the_state_as_it_was(updates, actions, reads_age):
    before = learned(updates, reads_age, changes(actions)[:2])
    taken_back = [CreditChange(actions[2], Credit(0.0, 1.0), None)]
    back = learned(updates, before, changes(actions)[2:], taken_back)
    assert back.counted == before.counted
    assert back.first.first("discount") == pytest.approx(before.first.first("discount"))
    assert back.first.second("discount") == pytest.approx(before.first.second("discount"))


def test_a_revised_credit_counts_once(updates, actions, reads_age):
    revision = [CreditChange(actions[2], Credit(0.0, 1.0), Credit(1.0, 1.0))]
    revised = learned(updates, reads_age, changes(actions), revision)
    assert revised.counted == 3
    assert revised.first.rate("discount") == pytest.approx(2.5 / 3)


def test_a_silence_that_grows_older_counts_once_with_its_latest_count(updates, actions, reads_age):
    young = Credit(0.0, 0.25)
    silence = [CreditChange(actions[1], None, young)]
    silent = learned(updates, reads_age, changes(actions)[:1], silence)
    assert silent.first.rate("discount") == pytest.approx(1 / 1.25)
    older = learned(updates, silent, [CreditChange(actions[1], young, Credit(0.0, 0.75))])
    assert older.first.rate("discount") == pytest.approx(1 / 1.75)
    assert older.counted == pytest.approx(1.75)


def test_another_time_of_revision_alone_is_not_learned(updates, actions, reads_age):
    same = Credit(0.0, 0.25)
    updates.learn(reads_age, [CreditChange(actions[1], same, same)])
    assert reads_age.counted == 0 and reads_age.actions == ()


def test_recounting_the_ledger_gives_what_was_added_along_the_way(
    ledger, updates, actions, reads_age, toy_catalog, monkeypatch
):
    monkeypatch.setattr("serving.learn.credits.BATCH", 2)
    ledger.write_now(lambda c: write_credits(c, credit_rows(changes(actions), 1)))
    recounted = updates.recounted(reads_age, 0, ResponseDelays(toy_catalog))
    assert reads_age.counted == 0, "what was imported was changed"
    added = learned(updates, reads_age, changes(actions))
    assert recounted.counted == added.counted
    model, other = (one.model(toy_catalog.priors) for one in (recounted, added))
    row = np.array([[20.0]])
    found = model.acceptance(row, ["app"])
    assert found == pytest.approx(other.acceptance(row, ["app"]))
    assert found[0, model.actions.index("discount")] > toy_catalog.priors["discount"][0]


def test_predictions_of_other_experts_do_not_count_towards_the_errors(updates, actions, reads_age):
    n_experts = len(reads_age.errors.products)
    fitting = [one._replace(expert_predictions=[0.5] * n_experts) for one in actions]
    other = [one._replace(expert_predictions=[0.5] * (n_experts + 1)) for one in actions]
    assert learned(updates, reads_age, changes(fitting)).errors.count > 0
    assert learned(updates, reads_age, changes(other)).errors.count == 0


def test_a_state_fits_if_the_domain_has_its_features(updates, reads_age):
    assert updates.fits(updates.blank()) and updates.fits(reads_age)
    strange = Encoder(("shoe_size",), ("app",), np.zeros(1), np.ones(1))
    assert not updates.fits(BanditState(strange, PLAIN))


def test_trees_are_fitted_to_the_newest_shown_decisions_by_their_counts(
    ledger, toy_domain, actions, reads_age, monkeypatch
):
    trees = PLAIN.trees.model_copy(update={"newest": 2})
    updates = BanditUpdates(ledger, toy_domain, PLAIN.model_copy(update={"trees": trees}))
    [accepted, _, _] = changes(actions)
    silent = CreditChange(actions[2], None, Credit(0.0, 0.25))
    ledger.write_now(lambda c: write_credits(c, credit_rows([accepted, silent], 1)))
    updates.learn(reads_age, [accepted, silent])
    fitted_on = []
    monkeypatch.setattr(BoostedTrees, "fit", lambda *asked: fitted_on.append(asked))
    fitted = updates.fit_trees(reads_age)
    assert fitted == FittedTrees(None, pytest.approx(1.25), ("age_years",))
    # The oldest decision was accepted; of the two newest one is silent, and one not counted yet.
    [(rows, _, shown, acceptance, count)] = fitted_on
    assert rows.tolist() == [[60.0]] and list(shown) == ["discount"]
    assert acceptance.tolist() == [0.0] and count.tolist() == [0.25]


@pytest.mark.parametrize(("newest", "every"), [(60, 1), (40, 1), (20, 2), (10, 4), (3, 4)])
def test_trees_leave_decisions_out_only_where_there_are_more_than_they_read(
    ledger, toy_domain, newest, every, monkeypatch
):
    # Of 40 decisions and for a memory 4 times as long, one in 4 is read where 10 are enough.
    trees = PLAIN.trees.model_copy(update={"newest": newest})
    updates = BanditUpdates(ledger, toy_domain, PLAIN.model_copy(update={"trees": trees}))
    asked = []
    monkeypatch.setattr(updates, "shown", lambda: 40)
    monkeypatch.setattr(
        "serving.learn.updates.newest_shown_decisions",
        lambda _, count, every, before: asked.append((count, every)) or [],
    )
    monkeypatch.setattr(BoostedTrees, "fit", lambda *outcomes: None)
    updates.fit_trees(BanditState(Encoder.blank(), PLAIN, memory_scale=4.0))
    assert asked == [(newest, every)]


# Encoder ----------------------------------------------------------------------------------------

READ = ("age_years", "known_days", "events_n")
N, HOUR = 40, timedelta(hours=1)


def shown_hourly(shop: Shop, layout: str) -> tuple[np.ndarray, np.ndarray]:
    """One discount an hour, all accepted by the old; the answer comes after half an hour."""
    names = ModelInput(shop.domain).names
    values = np.random.default_rng(5).normal(size=(N, len(READ)))
    for number, some in enumerate(values):
        row, at = np.full(len(names), np.nan), shop.now + number * HOUR
        row[[names.index(name) for name in READ]] = some
        decided(shop.ledger, f"d{number:02}", at, {"discount": 14}, layout=layout, row=row)
        outcome = "accepted" if some[0] > 0 else "rejected"
        shop.tell(f"d{number:02}", outcome, occurred_at=at + HOUR / 2)
    return values, (values[:, 0] > 0) * 1.0


def test_rewards_of_the_encoder_are_those_known_when_the_last_decision_was_made(
    ledger, toy_domain, toy_catalog, updates, now
):
    shop = Shop(ledger, toy_domain, toy_catalog, now)
    _, accepted = shown_hourly(shop, updates.layout)
    ids = [f"d{number:02}" for number in range(N)]
    actions = ledger.read(lambda c: read_logged_actions(c, ids, updates.layout))
    told = told_rewards(ledger, actions, ResponseDelays(toy_catalog))
    assert told.actions.tolist() == ["discount"] * N
    assert told.rewards[:-1].tolist() == accepted[:-1].tolist()
    assert told.counts[:-1].tolist() == [1.0] * (N - 1)
    assert told.counts[-1] == 0  # it was shown then, and its answer comes later


def test_an_encoder_of_many_features_does_not_depend_on_what_comes_later(
    ledger, toy_domain, toy_catalog, now
):
    shop, params = Shop(ledger, toy_domain, toy_catalog, now), plain(width=7)
    updates, delays = BanditUpdates(ledger, toy_domain, params), ResponseDelays(toy_catalog)
    values, accepted = shown_hourly(shop, updates.layout)
    found = updates.recounted(updates.blank(), 32, delays).encoder
    told = ToldRewards(np.array(["discount"] * 32), accepted[:32], np.array([1.0] * 31 + [0.0]))
    expected = Encoder.fit(
        values[:32], READ, toy_domain.channels, 7, on=["app"] * 32, told=lambda: told
    )
    order = [READ.index(name) for name in found.features]
    assert found.axes == pytest.approx(expected.axes[:, order])
    shop.tell("d07", "rejected" if accepted[7] else "accepted", occurred_at=now + 50 * HOUR)
    late = BanditUpdates(ledger, toy_domain, params, AsOf(now + 60 * HOUR, delays))
    for again in (updates, late):
        other = again.recounted(again.blank(), 32, ResponseDelays(toy_catalog)).encoder
        assert other.axes.tolist() == found.axes.tolist()
