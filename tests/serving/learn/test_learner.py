"""The learner: what counts and when, taken back as if it had never been, and never twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.ingest.erasure import Erasure
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.outcomes.delay_epochs import shares_unseen
from features.outcomes.silence import FRACTIONS
from serving.contract.events import OutcomeRequest
from serving.decide.outcomes import record_outcome
from serving.learn.learner import Learner, RevisionConflict
from serving.models.served_models import PRIOR
from serving.models.snapshots import newest_snapshot
from tests.bandits import PLAIN, bandit, outcomes
from tests.decided import decided
from training.bandit.artifact import Bandit
from training.bandit.bandit_state import BanditState
from training.bandit.encoder import Encoder
from training.bandit.reward_model import RewardModel
from training.params import ClassifierParams, TrainingParams

pytestmark = pytest.mark.databases("sqlite", "postgresql")

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CLASSIFIER = ClassifierParams(service="unused", lightgbm={"rounds": 1})
PARAMS = TrainingParams(
    seed=7,
    churn=CLASSIFIER,
    intent=CLASSIFIER,
    bandit=PLAIN,
)
# Before the encoder is fitted, n outcomes y of discount (prior 0.2, weight 10) move the expectation
# by (y - 0.2) x n / (10 + n), which is n x s / (1 + n x s) with s = 1/10.
S = 1 / 10


# Without delays to learn from: the counts of a silence in the intervals of a window of 14 days.
UNSEEN = shares_unseen(14 * DAY.total_seconds()).tolist()
FIRST = UNSEEN[0]


def on_top(n: float, y: float) -> float:
    """The same on top of a champion, which reads a channel too (ridge 100)."""
    s = 1 / 10 + 1 / 100
    return 0.2 + (y - 0.2) * n * s / (1 + n * s)


def after(n: float, y: float) -> float:
    return 0.2 + (y - 0.2) * n * S / (1 + n * S)


@dataclass
class Shop:
    """A ledger with decisions, its catalogue, and the learners that read both."""

    ledger: Ledger
    domain: Domain
    catalog: Catalog
    now: datetime
    home: TemporaryDirectory[str] = field(default_factory=TemporaryDirectory)

    @property
    def folder(self) -> Path:
        """The folder of the learner's checkpoints."""
        return Path(self.home.name) / "learner"

    def learner(self, champion: Callable[[], object] = lambda: None) -> Learner:
        return Learner(self.ledger, self.domain, self.catalog, PARAMS, champion, self.folder)

    def decide(
        self,
        decision_id: str,
        customer_id: str = "c40",
        actions: tuple[str, ...] = ("discount",),
        **changed: object,
    ) -> None:
        """Everybody is of an age that their name tells: c41 is 41."""
        model_input = ModelInput(self.domain)
        attributes = {"plan": "basic", "age_years": customer_id[1:]}
        row = model_input.read(attributes, None, self.now.timestamp())
        days = {name: self.catalog.actions[name].attribution_days for name in actions}
        about = {"customer_id": customer_id, "layout": model_input.fingerprint, "row": row}
        decided(self.ledger, decision_id, self.now, days, **about, **changed)

    def tell(self, decision_id: str, outcome: str, **fields: object) -> str:
        told = {"decision_id": decision_id, "outcome": outcome, "occurred_at": self.now + HOUR}
        request = OutcomeRequest.model_validate(told | fields)
        received_at = max(self.now + HOUR, request.occurred_at)
        answer = asyncio.run(record_outcome(request, self.ledger, self.catalog, received_at))
        return answer.outcome_id

    def snapshots(self) -> list[sa.Row]:
        query = sa.select(tables.snapshots).order_by(tables.snapshots.c.sequence)
        return self.ledger.read(lambda c: c.execute(query).all())

    def published(self) -> RewardModel:
        found = self.ledger.read(lambda connection: newest_snapshot(connection, None, 0))
        assert found is not None
        return found.model

    def expects(self, action: str = "discount", channel: str = "app", age: float = 40.0) -> float:
        """Of the newest snapshot; the row holds the age, if the snapshot reads one."""
        model = self.published()
        row = np.full((1, len(model.encoder.features)), age)
        return float(model.acceptance(row, [channel])[0, model.actions.index(action)])

    def credits(self) -> dict[tuple[str, str], float]:
        """The acceptance of each action that counts fully: it was told, or its window ended."""
        return {
            key: acceptance for key, (acceptance, count) in self.counted().items() if count == 1
        }

    def counted(self) -> dict[tuple[str, str], tuple[float, float]]:
        """The acceptance of each shown action, and its count."""
        columns = tables.credits.c
        query = sa.select(
            columns.decision_id, columns.action_id, columns.acceptance, columns["count"]
        )
        rows = self.ledger.read(lambda c: c.execute(query).all())
        return {(row[0], row[1]): (row[2], row[3]) for row in rows}


def changed(catalog: Catalog, **fields: Any) -> Catalog:
    """The catalogue with other fields; ``prior`` is that of the discount."""
    content = catalog.model_dump(mode="json")
    if "prior" in fields:
        content["actions"]["discount"]["prior"] = fields.pop("prior")
    return Catalog.model_validate(content | fields)


class Forgetful:
    """An online store in which nobody is."""

    def erase(self, customer_ids: object, at_most: int | None = None) -> bool:
        return True


@pytest.fixture
def shop(ledger, toy_domain, toy_catalog, now) -> Shop:
    return Shop(ledger, toy_domain, toy_catalog, now)


# Steps -----------------------------------------------------------------------------------------


def test_an_accepted_outcome_raises_the_acceptance_of_its_action_alone(shop):
    shop.decide("d1")
    shop.tell("d1", "accepted")
    assert shop.learner().step(shop.now + HOUR)
    assert shop.expects("discount") == pytest.approx(after(1, 1.0))
    assert shop.expects("call_back") == pytest.approx(0.3)
    assert shop.snapshots()[0].base == PRIOR
    assert shop.snapshots()[0].published_at == shop.now + HOUR


def test_a_rejected_outcome_lowers_it(shop):
    shop.decide("d1")
    shop.tell("d1", "rejected")
    shop.learner().step(shop.now + HOUR)
    assert shop.expects() == pytest.approx(after(1, 0.0))


def test_all_channels_learn_alike_before_the_encoder_is_fitted(shop):
    shop.decide("d1")
    shop.tell("d1", "accepted")
    shop.learner().step(shop.now + HOUR)
    assert shop.expects(channel="phone") == shop.expects(channel="app") > 0.2


def test_silence_counts_as_more_of_a_no_the_older_it_gets(shop):
    """Without delays to learn from, by the curve of all orders of magnitude."""
    assert pytest.approx([0.4633, 0.5996, 0.6804, 0.7527, 0.8386, 0.9466], abs=1e-4) == UNSEEN
    shop.decide("d1")
    learner, window = shop.learner(), 14 * DAY
    for age, count in zip(FRACTIONS, [*UNSEEN, 1.0], strict=True):
        assert learner.step(shop.now + age * window)
        assert shop.counted() == {("d1", "discount"): (0.0, pytest.approx(count))}
        assert shop.expects() == pytest.approx(after(count, 0.0))
        assert not learner.step(shop.now + (age + 1 / 128) * window)
    assert not learner.step(shop.now + 100 * DAY)
    assert len(shop.snapshots()) == 7


def test_an_acceptance_takes_the_place_of_the_silence(shop):
    shop.decide("d1")
    learner = shop.learner()
    learner.step(shop.now + 4 * DAY)
    shop.tell("d1", "accepted", occurred_at=shop.now + 4 * DAY)
    assert learner.step(shop.now + 5 * DAY)
    assert shop.counted() == {("d1", "discount"): (1.0, 1.0)}
    assert shop.expects() == pytest.approx(after(1, 1.0))
    assert not learner.step(shop.now + 15 * DAY)


def test_silences_that_wait_are_worked_off_in_short_steps(shop, monkeypatch):
    monkeypatch.setattr("serving.learn.learner.AT_ONCE", 2)
    for number in range(5):
        shop.decide(f"d{number}")
    learner, steps = shop.learner(), 0
    while learner.step(shop.now + 20 * DAY):
        steps += 1
    assert steps == 3 and len(shop.credits()) == 5
    assert shop.expects() == pytest.approx(after(5, 0.0))


def test_a_credit_tells_the_first_snapshot_that_was_published_with_it(shop):
    def sequences() -> dict[str, int | None]:
        columns = tables.credits.c
        query = sa.select(columns.decision_id, columns.sequence)
        return {row[0]: row[1] for row in shop.ledger.read(lambda c: c.execute(query).all())}

    learner = shop.learner()
    shop.decide("d1")
    assert sequences() == {"d1": None}
    learner.step(shop.now + HOUR)
    shop.decide("d2")
    shop.tell("d2", "accepted")
    learner.step(shop.now + HOUR)
    assert sequences() == {"d1": 1, "d2": 2}
    learner.step(shop.now + DAY)
    assert sequences() == {"d1": 3, "d2": 2}


def test_a_time_of_revision_alone_is_written_without_a_snapshot(shop, monkeypatch):
    shop.decide("d1")
    learner = shop.learner()
    learner.step(shop.now + HOUR)

    def same(*asked: object) -> float:
        return FIRST

    monkeypatch.setattr("serving.learn.credits.ResponseDelays.silence_count", same)
    assert not learner.step(shop.now + DAY)
    query = sa.select(tables.credits.c.revise_at, tables.credits.c.sequence)
    [row] = shop.ledger.read(lambda c: c.execute(query).all())
    assert tuple(row) == (shop.now + 14 * DAY / 8, 1)


def test_a_step_without_news_publishes_nothing(shop):
    learner = shop.learner()
    assert not learner.step(shop.now)
    shop.decide("d1")
    shop.tell("d1", "accepted")
    assert learner.step(shop.now + HOUR)
    assert not learner.step(shop.now + HOUR)
    assert len(shop.snapshots()) == 1


def test_an_outcome_told_twice_is_counted_once(shop):
    shop.decide("d1")
    learner = shop.learner()
    for _ in range(2):
        shop.tell("d1", "accepted")
        learner.step(shop.now + HOUR)
    assert shop.expects() == pytest.approx(after(1, 1.0))


def test_a_retraction_brings_the_posterior_back(shop):
    learner = shop.learner()
    shop.decide("d0")
    shop.tell("d0", "rejected")
    learner.step(shop.now + HOUR)
    shop.decide("d1")
    learner.step(shop.now + HOUR)
    before = shop.published().weights
    told = shop.tell("d1", "accepted")
    learner.step(shop.now + HOUR)
    assert not np.allclose(shop.published().weights, before)  # the test can fail
    shop.tell("d1", "accepted", retracts=told)
    assert learner.step(shop.now + HOUR)
    assert np.allclose(shop.published().weights, before)
    assert shop.credits() == {("d0", "discount"): 0.0}


def test_a_better_outcome_revises_the_worse_one(shop):
    learner = shop.learner()
    shop.decide("d1")
    shop.tell("d1", "rejected")
    learner.step(shop.now + HOUR)
    shop.tell("d1", "accepted")
    learner.step(shop.now + HOUR)
    assert shop.expects() == pytest.approx(after(1, 1.0))
    assert shop.credits() == {("d1", "discount"): 1.0}


def test_an_outcome_within_its_window_that_arrives_late_revises_the_silence(shop):
    learner = shop.learner()
    shop.decide("d1")
    learner.step(shop.now + 15 * DAY)
    shop.tell("d1", "accepted", occurred_at=shop.now + 13 * DAY)
    learner.step(shop.now + 16 * DAY)
    assert shop.expects() == pytest.approx(after(1, 1.0))


def test_each_slot_of_a_decision_learns_from_its_own_outcomes(shop):
    shop.decide("d1", actions=("call_back", "discount"))
    shop.tell("d1", "accepted", action_id="call_back")
    shop.tell("d1", "rejected", action_id="discount")
    shop.learner().step(shop.now + HOUR)
    assert shop.credits() == {("d1", "call_back"): 1.0, ("d1", "discount"): 0.0}


def test_each_action_has_its_own_window(shop):
    """The call may be answered for 7 days, the discount for 14."""
    shop.decide("d1", actions=("call_back", "discount"))
    for action in ("call_back", "discount"):
        shop.tell("d1", "accepted", action_id=action, occurred_at=shop.now + 10 * DAY)
    shop.learner().step(shop.now + 11 * DAY)
    assert shop.credits() == {("d1", "call_back"): 0.0, ("d1", "discount"): 1.0}


def test_an_outcome_of_a_lower_rank_is_taken_back_without_naming_its_action(shop):
    shop.decide("d1", actions=("call_back", "discount"))
    told = shop.tell("d1", "accepted", action_id="discount")
    learner = shop.learner()
    learner.step(shop.now + HOUR)
    shop.tell("d1", "accepted", retracts=told)
    learner.step(shop.now + HOUR)
    assert shop.credits() == {}


def test_a_closed_window_of_no_action_publishes_nothing(shop):
    shop.decide("d1", actions=())
    assert not shop.learner().step(shop.now + DAY)
    assert shop.snapshots() == []


def test_a_champion_of_another_domain_is_not_built_on_and_learning_goes_on(shop):
    strange = Encoder(("shoe_size",), ("app",), np.zeros(1), np.ones(1))
    champion = ("9", Bandit(BanditState(strange, PLAIN), PLAIN))
    learner = shop.learner(lambda: champion)
    assert not learner.rebase(shop.now)
    shop.decide("d1")
    shop.tell("d1", "accepted")
    assert learner.step(shop.now + HOUR)
    assert shop.snapshots()[-1].base == PRIOR


def test_a_click_alone_is_marked_as_learned_and_publishes_nothing(shop):
    shop.decide("d1")
    learner = shop.learner()
    learner.step(shop.now + HOUR)
    shop.tell("d1", "clicked")
    assert not learner.step(shop.now + HOUR)
    unlearned = sa.select(tables.outcomes).where(~tables.outcomes.c.learned)
    assert shop.ledger.read(lambda c: c.execute(unlearned).all()) == []
    assert len(shop.snapshots()) == 1  # of the silence


def test_a_ledger_that_goes_away_altogether_is_not_counted_twice_when_it_is_back(shop, monkeypatch):
    learner = shop.learner()
    shop.decide("d1")
    shop.tell("d1", "accepted")

    def gone(work: object) -> None:
        raise OSError("no such device")

    for _ in range(3):
        with monkeypatch.context() as broken:
            broken.setattr(shop.ledger, "write_now", gone)
            with pytest.raises(OSError, match="no such device"):
                learner.step(shop.now + HOUR)
    assert learner.step(shop.now + HOUR)
    assert shop.expects() == pytest.approx(after(1, 1.0))


def test_a_second_learner_on_one_ledger_is_noticed_and_gives_way_to_what_is_written(shop):
    first, second = shop.learner(), shop.learner()
    shop.decide("d1")
    shop.tell("d1", "accepted")
    assert first.step(shop.now + HOUR)
    shop.decide("d2")
    shop.tell("d2", "accepted")
    with pytest.raises(RevisionConflict):
        second.step(shop.now + HOUR)
    assert second.step(shop.now + HOUR)
    assert shop.expects() == pytest.approx(after(2, 1.0))


def test_a_posterior_that_was_lost_is_counted_again_from_the_credits(shop):
    shop.decide("d1")
    shop.tell("d1", "accepted")
    shop.learner().step(shop.now + HOUR)
    shop.ledger.write_now(lambda c: c.execute(tables.learner_state.delete()))
    shop.decide("d2")
    shop.tell("d2", "accepted")
    shop.learner().step(shop.now + HOUR)
    assert shop.expects() == pytest.approx(after(2, 1.0))


def test_nothing_is_learned_from_showing_nothing(shop):
    shop.decide("d1", actions=())
    shop.tell("d1", "accepted")
    assert not shop.learner().step(shop.now + HOUR)
    assert shop.credits() == {} and shop.snapshots() == []


def test_a_decision_under_another_layout_of_features_is_left_out(shop):
    shop.decide("d1")
    shop.tell("d1", "accepted")
    record = shop.ledger.read(lambda c: c.execute(sa.select(tables.decisions.c.record)).scalar())
    record = record.replace(ModelInput(shop.domain).fingerprint, "another")
    shop.ledger.write_now(lambda c: c.execute(tables.decisions.update().values(record=record)))
    learner = shop.learner()
    learner.step(shop.now + HOUR)
    assert shop.credits() == {}
    assert not learner.step(shop.now + HOUR)  # and does not come up again


# Activated later, shared, revised ---------------------------------------------------------------


def test_what_waits_to_be_activated_teaches_nothing(shop):
    shop.decide("d1", activated_at=None, served=False)
    assert not shop.learner().step(shop.now + 15 * DAY)
    assert shop.credits() == {}


def test_the_window_of_what_was_activated_later_begins_then(shop):
    late = shop.now + 5 * DAY
    shop.decide("d1", activated_at=late, activation=json.dumps({"activated": ["discount"]}))
    shop.tell("d1", "accepted", occurred_at=late + 14 * DAY)
    shop.learner().step(late + 15 * DAY)
    assert shop.credits() == {("d1", "discount"): 1.0}


def test_an_action_that_was_withdrawn_when_it_was_activated_is_not_learned(shop):
    activation = json.dumps({"activated": ["discount"]})
    shop.decide("d1", actions=("call_back", "discount"), activation=activation)
    shop.learner().step(shop.now + 15 * DAY)
    assert shop.credits() == {("d1", "discount"): 0.0}


def test_the_credit_of_an_order_moves_to_the_last_who_is_told_of_it_and_back(shop):
    learner = shop.learner()
    one_of_two = after(1 + FIRST, 1 / (1 + FIRST))  # the other one is silent
    shop.decide("d1")
    shop.decide("d2", activated_at=shop.now + HOUR, customer_id="c60")
    shop.tell("d1", "accepted", occurred_at=shop.now + 2 * HOUR, shared_id="order-7")
    learner.step(shop.now + 2 * HOUR)
    assert shop.credits() == {("d1", "discount"): 1.0}
    told = shop.tell("d2", "accepted", occurred_at=shop.now + 2 * HOUR, shared_id="order-7")
    learner.step(shop.now + 2 * HOUR)
    assert shop.credits() == {("d2", "discount"): 1.0}
    assert shop.expects() == pytest.approx(one_of_two)
    shop.tell("d2", "accepted", occurred_at=shop.now + 3 * HOUR, retracts=told)
    learner.step(shop.now + 3 * HOUR)
    assert shop.credits() == {("d1", "discount"): 1.0}
    assert shop.expects() == pytest.approx(one_of_two)


def test_the_credit_of_an_order_is_divided_evenly_if_the_catalogue_says_so(shop):
    shop.catalog = changed(shop.catalog, attribution="even")
    learner = shop.learner()
    for number in (1, 2):
        shop.decide(f"d{number}")
        shop.tell(f"d{number}", "accepted", shared_id="order-7")
        learner.step(shop.now + HOUR)
    assert shop.credits() == {("d1", "discount"): 0.5, ("d2", "discount"): 0.5}


def test_who_loses_an_order_after_their_window_falls_silent(shop):
    learner = shop.learner()
    shop.decide("d1")
    shop.decide("d2", activated_at=shop.now + HOUR)
    shop.tell("d1", "accepted", occurred_at=shop.now + 2 * HOUR, shared_id="order-7")
    learner.step(shop.now + 15 * DAY)
    assert shop.credits() == {("d1", "discount"): 1.0, ("d2", "discount"): 0.0}
    shop.tell("d2", "accepted", occurred_at=shop.now + 2 * HOUR, shared_id="order-7")
    learner.step(shop.now + 16 * DAY)
    assert shop.credits() == {("d1", "discount"): 0.0, ("d2", "discount"): 1.0}


def test_an_imported_decision_may_have_the_credit_of_an_order(shop):
    late = shop.now + HOUR
    shop.decide("old", activated_at=late, served=False, record=None, answer=None, features=None)
    shop.decide("d1")
    for decision_id in ("d1", "old"):
        at = shop.now + 2 * HOUR
        shop.tell(decision_id, "accepted", occurred_at=at, shared_id="order-7")
    shop.learner().step(shop.now + 2 * HOUR)
    assert shop.credits() == {}


def test_a_revision_takes_the_place_of_what_was_learned(shop):
    learner = shop.learner()
    shop.decide("d1")
    told = shop.tell("d1", "accepted")
    learner.step(shop.now + HOUR)
    revision = shop.tell("d1", "rejected", revises=told)
    learner.step(shop.now + HOUR)
    assert shop.credits() == {("d1", "discount"): 0.0}
    shop.tell("d1", "rejected", retracts=revision)
    learner.step(shop.now + HOUR)
    assert shop.credits() == {}


def test_a_decision_that_shares_with_somebody_who_is_forgotten_gets_the_credit_back(shop, tmp_path):
    learner = shop.learner()
    shop.decide("d1", customer_id="c40")
    shop.decide("d2", customer_id="c60", activated_at=shop.now + HOUR)
    for decision_id in ("d1", "d2"):
        at = shop.now + 2 * HOUR
        shop.tell(decision_id, "accepted", occurred_at=at, shared_id="order-7")
    learner.step(shop.now + 2 * HOUR)
    assert shop.credits() == {("d2", "discount"): 1.0}
    Erasure(shop.ledger, Forgetful(), tmp_path).forget(["c60"], shop.now + 3 * HOUR)
    learner.step(shop.now + 3 * HOUR)
    assert shop.credits() == {("d1", "discount"): 1.0}


EVERY = ("d1", "d2", "d3")


@st.composite
def stories(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Outcomes of three decisions with changes of what was told before; between them, steps."""
    story: list[dict[str, Any]] = []
    for number in range(draw(st.integers(2, 8))):
        if draw(st.booleans()):
            story.append({"step": draw(st.integers(1, 20))})
        open_to_change = [one for one in story if "step" not in one and not one["changed"]]
        change = draw(st.sampled_from(["told", "told", "retracts", "revises"]))
        told = {
            "decision_id": draw(st.sampled_from(EVERY)),
            "outcome": draw(st.sampled_from(["accepted", "rejected", "clicked"])),
            "outcome_id": f"o{number}",
            "hours": draw(st.integers(3, 400)),
            "shared_id": draw(st.sampled_from([None, "order-7", "order-8"])),
            "changed": False,
        }
        if change != "told" and open_to_change:
            earlier = draw(st.sampled_from(open_to_change))
            earlier["changed"] = True
            told |= {"decision_id": earlier["decision_id"], change: earlier["outcome_id"]}
            told["changed"] = change == "retracts"
        story.append(told)
    return story


@pytest.mark.slow
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(stories(), st.sampled_from(["last_touch", "first_touch", "even"]))
def test_learning_along_the_way_ends_where_learning_at_the_end_does(
    toy_domain, toy_catalog, tmp_path_factory, now, story, rule
):
    catalog = changed(toy_catalog, attribution=rule)
    found = []
    for along_the_way in (True, False):
        ledger = Ledger(f"sqlite:///{tmp_path_factory.mktemp('story') / 'ledger.db'}")
        shop = Shop(ledger, toy_domain, catalog, now)
        for number, decision_id in enumerate(EVERY):
            shop.decide(decision_id, f"c{40 + number}", activated_at=now + number * HOUR)
        learner = shop.learner()
        for one in story:
            if "step" in one and along_the_way:
                learner = shop.learner() if one["step"] % 2 else learner  # killed, and started
                learner.step(now + one["step"] * DAY)
            elif "step" not in one:
                fields = {k: v for k, v in one.items() if k not in ("hours", "changed")}
                shop.tell(**fields, occurred_at=now + one["hours"] * HOUR)
        learner.step(now + 40 * DAY)
        found.append((shop.credits(), shop.published()))
        ledger.close()
    (credits, model), (others, other) = found
    assert credits == others
    weights = [dict(zip(one.actions, one.weights[0], strict=True)) for one in (model, other)]
    for action in toy_catalog.actions:
        assert weights[0][action] == pytest.approx(weights[1][action], abs=1e-9)


# The catalogue changes --------------------------------------------------------------------------


def test_a_changed_catalogue_is_published_with_its_priors_and_only_once(shop):
    learner = shop.learner()
    shop.decide("d1")
    shop.tell("d1", "accepted")
    learner.step(shop.now + HOUR)
    shop.catalog = learner.catalog = changed(shop.catalog, prior={"acceptance": 0.6, "weight": 10})
    assert learner.step(shop.now + HOUR)
    s = 1 / 10
    assert shop.expects() == pytest.approx(0.6 + 0.4 * s / (1 + s))
    assert not learner.step(shop.now + HOUR)


def test_a_catalogue_that_changed_while_nobody_learned_is_published_after_the_restart(shop):
    shop.decide("d1")
    shop.tell("d1", "accepted")
    shop.learner().step(shop.now + HOUR)
    shop.catalog = changed(shop.catalog, prior={"acceptance": 0.6, "weight": 10})
    assert shop.learner().step(shop.now + HOUR)
    assert not shop.learner().step(shop.now + HOUR)
    assert len(shop.snapshots()) == 2


def test_what_was_credited_under_another_catalogue_stays_until_it_is_asked_for_again(shop):
    learner = shop.learner()
    shop.decide("d1")
    shop.tell("d1", "rejected")
    learner.step(shop.now + HOUR)
    outcomes = shop.catalog.model_dump()["outcomes"] | {"rejected": {"acceptance": 0.25}}
    shop.catalog = learner.catalog = changed(shop.catalog, outcomes=outcomes)
    learner.step(shop.now + HOUR)
    assert shop.credits() == {("d1", "discount"): 0.0}
    shop.tell("d1", "clicked")
    learner.step(shop.now + HOUR)
    assert shop.credits() == {("d1", "discount"): 0.25}


# Restarts and failures -------------------------------------------------------------------------


def test_a_second_learner_on_the_same_ledger_goes_on_where_the_first_one_was(shop):
    shop.decide("d1")
    shop.tell("d1", "accepted")
    shop.learner().step(shop.now + HOUR)
    second = shop.learner()
    assert not second.step(shop.now + HOUR)
    assert len(shop.snapshots()) == 1
    shop.decide("d2")
    shop.tell("d2", "accepted")
    assert second.step(shop.now + HOUR)
    assert shop.expects() == pytest.approx(after(2, 1.0))


def test_a_restart_does_not_count_a_closed_window_twice(shop):
    shop.decide("d1")
    shop.learner().step(shop.now + 15 * DAY)
    assert not shop.learner().step(shop.now + 16 * DAY)
    assert shop.expects() == pytest.approx(after(1, 0.0))


def test_a_publish_that_fails_leaves_memory_as_the_disk_is(shop, monkeypatch):
    learner = shop.learner()
    shop.decide("d0")
    shop.tell("d0", "rejected")
    learner.step(shop.now + HOUR)
    shop.decide("d1")
    shop.tell("d1", "accepted")

    def disk_full(work: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(shop.ledger, "write_now", disk_full)
        for _ in range(3):
            with pytest.raises(OSError, match="no space left"):
                learner.step(shop.now + HOUR)
    assert shop.credits() == {("d0", "discount"): 0.0}
    assert len(shop.snapshots()) == 1
    learner.step(shop.now + HOUR)
    # One no and one yes, each counted once: their mean, with the weight of two.
    assert shop.expects() == pytest.approx(after(2, 0.5))


def test_a_failure_in_the_middle_of_publishing_keeps_what_was_learned_for_the_next_time(
    shop, monkeypatch
):
    learner = shop.learner()
    shop.decide("d1")
    shop.tell("d1", "accepted")

    def broken(self: BanditState, *asked: object, **how: object) -> RewardModel:
        raise ArithmeticError("singular")

    with monkeypatch.context() as patched:
        patched.setattr(BanditState, "model", broken)
        with pytest.raises(ArithmeticError):
            learner.step(shop.now + HOUR)
    assert shop.snapshots() == [] and shop.credits() == {("d1", "discount"): 1.0}
    assert learner.step(shop.now + HOUR)  # what was learned still waits to be published
    assert shop.expects() == pytest.approx(after(1, 1.0))


# Champions -------------------------------------------------------------------------------------


def a_champion(version: str, accepted: float, n: int = 10) -> Callable[[], tuple[str, Bandit]]:
    """A bandit that reads the age, and saw n imported discounts in the app at age 40."""

    def read() -> tuple[str, Bandit]:
        center, scale = np.array([40.0]), np.array([10.0])
        encoder = Encoder(("age_years",), ("app", "phone"), center, scale)
        told = outcomes(np.full((n, 1), 40.0), ["app"] * n, ["discount"] * n, [accepted] * n)
        return version, bandit(encoder, told)

    return read


def test_rebasing_counts_the_existing_credits_on_top_of_the_champion(shop):
    shop.decide("d1")
    shop.tell("d1", "accepted")
    shop.learner().step(shop.now + HOUR)
    learner = shop.learner(a_champion("4", accepted=0.5, n=10))
    assert learner.rebase(shop.now + HOUR)
    assert shop.snapshots()[-1].base == "4"
    # Ten times 0.5 and once 1, all at the encoder's center.
    assert shop.expects() == pytest.approx(on_top(11, 6 / 11))


def test_a_champion_without_imported_decisions_is_built_on_before_the_first_outcome(shop):
    learner = shop.learner(a_champion("4", accepted=0.5, n=0))
    assert learner.rebase(shop.now)
    assert shop.snapshots()[-1].base == "4"
    assert shop.expects() == pytest.approx(on_top(0, 0.0))


def test_counting_again_does_not_wait_for_a_champion_that_was_read(shop):
    answers = [a_champion("4", accepted=0.5, n=0)()]  # then MLflow does not answer
    learner = shop.learner(lambda: answers.pop() if answers else None)
    learner.rebase(shop.now)
    for number in range(8):
        shop.decide(f"d{number}", customer_id="c60" if number % 2 else "c20")
    learner.step(shop.now + HOUR)
    assert learner.version().state.encoded_at == 8


def test_after_rebasing_what_differs_by_age_is_learned(shop):
    learner = shop.learner(a_champion("4", accepted=0.2))
    learner.rebase(shop.now)
    for number in range(20):
        shop.decide(f"old{number}", customer_id="c60")
        shop.tell(f"old{number}", "accepted")
        shop.decide(f"young{number}", customer_id="c20")
        shop.tell(f"young{number}", "rejected")
    learner.step(shop.now + HOUR)
    assert shop.expects(age=60.0) > shop.expects(age=40.0) > shop.expects(age=20.0)


def test_the_same_champion_again_changes_nothing(shop):
    learner = shop.learner(a_champion("4", accepted=0.5))
    assert learner.rebase(shop.now)
    assert not learner.rebase(shop.now)
    assert not shop.learner(a_champion("4", accepted=0.5)).rebase(shop.now)
    assert len(shop.snapshots()) == 1


def test_without_a_champion_the_learner_goes_on_with_what_it_has(shop):
    shop.learner(a_champion("4", accepted=0.5)).rebase(shop.now)
    learner = shop.learner(lambda: None)
    assert not learner.rebase(shop.now)
    shop.decide("d1")
    shop.tell("d1", "accepted")
    learner.step(shop.now + HOUR)
    assert shop.snapshots()[-1].base == "4"
    assert shop.expects() == pytest.approx(on_top(11, 6 / 11))


def test_credits_stay_revisable_after_rebasing(shop):
    learner = shop.learner()
    shop.decide("d1")
    told = shop.tell("d1", "accepted")
    learner.step(shop.now + HOUR)
    learner = shop.learner(a_champion("4", accepted=0.5, n=10))
    learner.rebase(shop.now + HOUR)
    shop.tell("d1", "accepted", retracts=told)
    learner.step(shop.now + HOUR)
    assert shop.expects() == pytest.approx(on_top(10 + FIRST, 5 / (10 + FIRST)))


def test_a_rebase_that_cannot_be_published_leaves_the_base_as_it_was(shop, monkeypatch):
    learner = shop.learner(a_champion("4", accepted=0.5))

    def disk_full(work: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(shop.ledger, "write_now", disk_full)
        with pytest.raises(OSError, match="no space left"):
            learner.rebase(shop.now)
    assert shop.snapshots() == []
    assert learner.rebase(shop.now)  # tried again, not taken for done
    assert shop.expects() == pytest.approx(on_top(10, 0.5))


def test_a_snapshot_carries_how_often_each_rank_is_looked_at(shop):
    """Of 120 decisions in either order, a third accepts the first slot, a tenth the second."""
    both = ("discount", "call_back")
    for number in range(120):
        shop.decide(f"d{number}", actions=both if number % 2 else both[::-1])
        for rank, every in enumerate((3, 10)):
            if number // 2 % every == 0:
                name = (both if number % 2 else both[::-1])[rank]
                shop.tell(f"d{number}", "accepted", action_id=name)
    later = shop.now + 20 * DAY
    assert shop.learner().step(later)
    look = (1 + 12) / (1 + 40)  # 1 acceptance is the weight of the prior
    found = shop.ledger.read(lambda c: newest_snapshot(c, None, 0)).model.looks
    assert found["app"] == found[""] == (1.0, pytest.approx(look, rel=0.1))
