"""Plays `tests.bench.slots` with the engine, its ledger and the learner, on simulated time.

    python -m tests.bench.slots_served --seeds 0 --decisions 50000

`tests.bench.slots` keeps its shown actions in arrays, which is quicker. Both must come to the same.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from features.business.catalog import Catalog
from features.business.domain import load_domain
from features.ledger.ledger import Ledger
from features.outcomes.examination import Looks
from serving.contract.decisions import DecideRequest, Decision
from serving.contract.events import OutcomeRequest
from serving.decide.engine import Engine
from serving.decide.outcomes import record_outcome
from serving.learn.learner import Learner
from serving.models.served_models import ServedModels, blank_reward, columns_of
from serving.models.snapshots import Snapshot, newest_snapshot
from tests.bench.delay_log import BEGAN, catalog_of
from tests.bench.slots import (
    ACTIONS,
    CONTROL,
    DAYS,
    LOOKS,
    MEAN_DELAY_DAYS,
    WINDOW_DAYS,
    Course,
    missed,
    out,
    world_of,
)
from tests.conftest import TOY
from tests.serving.fakes import engine_of
from training.bandit.contextual_bandit import ContextualBandit
from training.params import load_params

STEPS_A_DAY = 24
DAY = timedelta(days=1)


@dataclass
class Business:
    """An engine, its learner, and customers who tell only their acceptances, late."""

    engine: Engine
    learner: Learner
    catalog: Catalog
    rng: np.random.Generator
    appeals: dict[str, float]
    waiting: list[tuple[datetime, str, str]] = field(default_factory=list)
    held: Snapshot | None = None
    answers: list[Decision] = field(default_factory=list)

    def live(self, begin: datetime, end: datetime, n: int) -> None:
        """Decide and hear acceptances for a while, then learn and serve what was learned."""
        times = [begin + float(part) * (end - begin) for part in np.sort(self.rng.random(n))]
        first = len(self.answers)
        for number, at in enumerate(times):
            self._hear(at)
            who = {"customer_id": f"c{first + number}", "channel": "app", "slots": 3}
            request = DecideRequest.model_validate(who | {"decision_id": f"d{first + number}"})
            answer = asyncio.run(self.engine.decide(request, at))
            self.answers.append(answer)
            self._look(answer, at)
        self._hear(end)
        while self.learner.learn(end):
            pass
        if self.learner.wants_trees():
            self.learner.adopt_trees(self.learner.fit_trees(), end)
        self.learner.publish(end)
        self.serve()

    def serve(self) -> None:
        """Serve the newest snapshot; before the first one, the priors."""
        params, held = load_params().bandit, self.held
        self.held = (
            self.engine.ledger.read(
                lambda c: newest_snapshot(c, None, held.sequence if held else 0)
            )
            or held
        )
        model = self.held.model if self.held else None
        reward = model or blank_reward(self.engine.domain, self.catalog, params)
        bandit = ContextualBandit.published(reward, params)
        columns = columns_of(reward, self.engine.model_input)
        models = ServedModels(bandit, columns, versions={"bandit": None})
        self.engine.setup = self.engine.setup.with_models(models)

    def believed(self) -> tuple[list[float], Looks]:
        """The served appeals and looks."""
        assert self.held is not None
        model = self.held.model
        found = model.acceptance(np.zeros((1, len(model.encoder.features))), ["app"])[0]
        by_action = dict(zip(model.actions, found.tolist(), strict=True))
        return [by_action[name] for name in ACTIONS], model.looks

    def _look(self, answer: Decision, at: datetime) -> None:
        for one in answer.actions:
            look = LOOKS["app"][one.rank - 1]
            if self.rng.random() < look * self.appeals.get(one.action_id, 0.0):
                days = min(float(self.rng.exponential(MEAN_DELAY_DAYS)), WINDOW_DAYS)
                told = at + days * DAY, answer.decision_id, one.action_id
                heapq.heappush(self.waiting, told)

    def _hear(self, now: datetime) -> None:
        while self.waiting and self.waiting[0][0] <= now:
            at, decision_id, action_id = heapq.heappop(self.waiting)
            told = {"decision_id": decision_id, "action_id": action_id, "occurred_at": at}
            request = OutcomeRequest.model_validate(told | {"outcome": "accepted"})
            asyncio.run(record_outcome(request, self.engine.ledger, self.catalog, at))


def play_served(seed: int, decisions: int, folder: Path, days: int = DAYS) -> Course:
    """Play one course of the world `plain`."""
    world, domain = world_of("plain", seed), load_domain(TOY / "domain.yaml")
    true = world.appeals(world.groups)
    content = catalog_of((WINDOW_DAYS,) * len(ACTIONS), ACTIONS).model_dump(mode="json")
    catalog = Catalog.model_validate(content | {"arms": {"random": CONTROL, "nobody": 0}})
    with closing(Ledger(f"sqlite:///{folder / 'ledger.db'}")) as ledger:
        engine = engine_of(catalog, domain, ledger, {})
        learner = Learner(ledger, domain, catalog, load_params(), lambda: None, folder / "learner")
        appeals = dict(zip(ACTIONS, true[0].tolist(), strict=True))
        business = Business(engine, learner, catalog, np.random.default_rng(seed), appeals)
        business.serve()
        steps = days * STEPS_A_DAY
        for step in range(steps):
            n = (step + 1) * decisions // steps - step * decisions // steps
            begin, end = (BEGAN + number * DAY / STEPS_A_DAY for number in (step, step + 1))
            business.live(begin, end, n)
        believed, looks = business.believed()
    best = ACTIONS[int(true[0].argmax())]
    return Course(
        "served", seed, _share_first(business.answers, best), np.array([believed]), true, looks
    )


def _share_first(answers: Sequence[Decision], best: str) -> float:
    last = [one for one in answers[-len(answers) // 4 :] if one.arm == "policy"]
    return float(np.mean([one.actions[0].action_id == best for one in last]))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--decisions", type=int, default=50_000)
    asked = parser.parse_args()
    courses = []
    for seed in asked.seeds:
        with TemporaryDirectory() as folder:
            courses.append(play_served(seed, asked.decisions, Path(folder)))
    mistakes = missed(courses)
    out.print("\n".join(f"MISSED: {one}" for one in mistakes) or "All goals are reached.")
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
