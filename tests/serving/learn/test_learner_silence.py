"""Tests silence over days: the belief meets the truth, and a learner may come late."""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import pytest

from features.business.catalog import Catalog
from features.ledger.ledger import Ledger
from serving.contract.events import OutcomeRequest
from serving.decide.engine import Engine
from serving.decide.outcomes import record_outcome
from serving.learn.learner import Learner
from serving.models.served_models import ServedModels, blank_reward, columns_of
from serving.models.snapshots import newest_snapshot
from tests.serving.fakes import changed, decide, engine_of
from tests.serving.learn.test_learner import PARAMS, UNSEEN, Shop
from training.bandit.contextual_bandit import ContextualBandit

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TRUTH = {"call_back": 0.10, "discount": 0.05}
WINDOW_DAYS = {"call_back": 3.0, "discount": 14.0}
A_DAY = 80  # decisions


@dataclass
class Business:
    """An engine, the learner that it follows, and customers who tell only their acceptances.

    Of the showings of an action exactly the true share is accepted, evenly among them. The delays
    are exponential with a mean of a quarter of the window, cut at the window.
    """

    engine: Engine
    learner: Learner
    catalog: Catalog
    rng: np.random.Generator
    shown: Counter[str] = field(default_factory=Counter)
    told: list[tuple[datetime, str]] = field(default_factory=list)

    def live(self, begin: datetime, days: int) -> None:
        """Decide evenly over some days, and learn four times a day."""
        for number in range(days * A_DAY):
            at = begin + number * DAY / A_DAY
            self._hear(at)
            decision = decide(self.engine, at, customer_id=f"c{number}", decision_id=f"d{number}")
            self._answer(decision.actions[0].action_id, decision.decision_id, at)
            if number % (A_DAY // 4) == 0 and self.learner.step(at):
                self.engine.setup = self.engine.setup.with_models(self.models())

    def models(self) -> ServedModels:
        reward = self.published()
        columns = columns_of(reward, self.engine.model_input)
        bandit = ContextualBandit.published(reward, PARAMS.bandit)
        return ServedModels(bandit, columns, versions={"bandit": None})

    def published(self):
        found = self.engine.ledger.read(lambda connection: newest_snapshot(connection, None, 0))
        if found is None:
            return blank_reward(self.engine.domain, self.catalog, PARAMS.bandit)
        return found.model

    def believes(self) -> dict[str, float]:
        model = self.published()
        found = model.acceptance(np.zeros((1, len(model.encoder.features))), ["app"])[0]
        return dict(zip(model.actions, found.tolist(), strict=True))

    def _answer(self, action: str, decision_id: str, at: datetime) -> None:
        if action not in TRUTH:
            return
        self.shown[action] += 1
        accepted = int(self.shown[action] * TRUTH[action])
        if accepted > int((self.shown[action] - 1) * TRUTH[action]):
            window_days = WINDOW_DAYS[action]
            waits = -np.log1p(self.rng.uniform() * np.expm1(-4.0)) / 4.0
            heapq.heappush(self.told, (at + float(waits) * window_days * DAY, decision_id))

    def _hear(self, now: datetime) -> None:
        while self.told and self.told[0][0] <= now:
            at, decision_id = heapq.heappop(self.told)
            asked = {"decision_id": decision_id, "outcome": "accepted", "occurred_at": at}
            request = OutcomeRequest.model_validate(asked)
            asyncio.run(record_outcome(request, self.engine.ledger, self.catalog, at))


@pytest.fixture
def business(ledger, toy_domain, toy_catalog) -> Business:
    """Two actions of equal value; four customers in ten get a random one."""
    actions = toy_catalog.model_dump(mode="json")["actions"]
    alike = {"value": 10.0, "cost": 0.0, "prior": {"acceptance": 0.1, "weight": 10}}
    kept = {name: actions[name] | alike | {"attribution_days": WINDOW_DAYS[name]} for name in TRUTH}
    catalog = changed(toy_catalog, actions=kept, arms={"random": 0.4, "nobody": 0})
    engine = engine_of(catalog, toy_domain, ledger, {})
    learner = Learner(ledger, toy_domain, catalog, PARAMS, lambda: None)
    made = Business(engine, learner, catalog, np.random.default_rng(20261128))
    engine.setup = engine.setup.with_models(made.models())
    return made


@pytest.mark.slow
def test_where_only_acceptances_are_told_the_belief_meets_the_truth_all_the_same(business, now):
    """If silence counted at the end of the window only, the discount would be believed at 0.23 and
    shown more than twice as often as the better action."""
    business.live(now, days=20)
    assert business.shown["discount"] > 150
    assert business.shown["call_back"] > 2 * business.shown["discount"]
    for action, truth in TRUTH.items():
        assert business.believes()[action] == pytest.approx(truth, rel=0.25), action


class Twin(Shop):
    """A ledger with the same story as another one, and a learner of its own."""

    def sums(self) -> dict[str, np.ndarray]:
        version = self.learner().version()
        assert version is not None
        state = version.state
        [statistics] = state.statistics.values()
        actions = sorted(statistics.actions)
        return {
            "first": np.array([statistics.first(one) for one in actions]),
            "second": np.array([np.tril(statistics.second(one)) for one in actions]),
        }


@pytest.mark.parametrize("until_days", [9, 18])
def test_a_learner_that_is_killed_and_late_ends_where_one_that_always_ran_does(
    toy_domain, toy_catalog, tmp_path, now, until_days
):
    rng = np.random.default_rng(until_days)
    ledgers = [Ledger(f"sqlite:///{tmp_path / name}.db") for name in ("always", "late")]
    always, late = (Twin(ledger, toy_domain, toy_catalog, now) for ledger in ledgers)
    running = always.learner()
    accepted: list[tuple[timedelta, str]] = []
    for number in range(until_days * 8):
        at = now + number * 3 * HOUR
        due = [one for one in accepted if one[0] <= at - now]
        accepted = [one for one in accepted if one not in due]
        for shop in (always, late):
            shop.now = at
            shop.decide(f"d{number}", f"c{20 + number % 50}")
            for after, name in due:
                shop.tell(name, "accepted", occurred_at=now + after, outcome_id=f"o-{name}")
                if name.endswith("7"):
                    shop.tell(name, "accepted", occurred_at=now + after, retracts=f"o-{name}")
        if rng.random() < 0.5:
            accepted.append((at - now + float(rng.exponential(3.0)) * DAY, f"d{number}"))
        running.step(at)
        if rng.random() < 0.02:
            late.learner().step(at)
    end = now + until_days * DAY
    for shop in (always, late):
        learner = shop.learner()
        while learner.step(end):
            pass
    counts = always.counted()
    assert counts == late.counted()
    assert len({count for _, count in counts.values()}) > 3  # silences of several ages
    for name, sums in always.sums().items():
        assert late.sums()[name] == pytest.approx(sums, abs=1e-9)
    for ledger in ledgers:
        ledger.close()


def test_a_silence_goes_on_counting_when_its_action_leaves_the_catalogue(
    ledger, toy_domain, toy_catalog, now
):
    """Without delays to learn from, it counts by the middle of the interval of its window."""
    shop = Shop(ledger, toy_domain, toy_catalog, now)
    shop.decide("d1")
    learner = shop.learner()
    learner.step(now + HOUR)
    actions = toy_catalog.model_dump(mode="json")["actions"]
    learner.catalog = changed(toy_catalog, actions={"call_back": actions["call_back"]})
    for days, count in ((1, UNSEEN[2]), (4, UNSEEN[4]), (14, 1.0)):
        while learner.step(now + days * DAY):
            pass
        assert shop.counted() == {("d1", "discount"): (0.0, pytest.approx(count))}
