"""Makes seeded logs of a whole service in simulated time, whose true rewards are known.

Engine, ledger, activation, outcomes, learner and snapshots are those of the service. Attribution
windows are 3 and 21 days, so when the log ends many decisions are open, and which are depends on
what was drawn. By the seed, the policy is the learning bandit or the priors of the catalogue; some
worlds have a pacing, others decisions that are shown later, if at all. A part of the requests asks
for two slots, and on one of the channels only the action with the short window is possible.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from scipy.special import expit

from features.business.catalog import NO_ACTION, Catalog
from features.business.domain import Domain
from features.journeys.model_input import ModelInput
from features.ledger.ledger import Ledger
from features.store.feast_store import CustomerFeatures
from serving.audit.archive import keep_catalog
from serving.catalog.compiled_catalog import CompiledCatalog
from serving.contract.decisions import DecideRequest
from serving.contract.events import OutcomeRequest
from serving.decide.activation import activate
from serving.decide.decision_setup import DecisionSetup
from serving.decide.engine import Engine
from serving.decide.outcomes import record_outcome
from serving.learn.learner import Learner
from serving.models.watcher import ModelWatcher
from tests.serving.fakes import FakeFeatures
from training.arrays import Floats
from training.params import TrainingParams

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
WINDOWS = {"short": 3.0, "long": 21.0, "other": 21.0}  # days
CHANNELS = ("app", "shop")  # in the shop only the first action is possible
SHOWN_LATER = 0.6  # of the actions that are not shown at once, the share that is
LEARN_EVERY = timedelta(days=1)
DOMAIN = Domain.model_validate(
    {
        "name": "seeded",
        "currency": "eur",
        "channels": CHANNELS,
        "attributes": {"x0": {"type": "number"}, "x1": {"type": "number"}},
        "vocabulary": ["visit"],
    }
)


class NoRegistry:
    """Holds no model, so that the bandit learns from the service alone."""

    def champion(self, name: str) -> None:
        return None


@dataclass(frozen=True)
class World:
    """A business whose truth is known.

    Attributes
    ----------
    attributes : shape (n_customers, 2)
    chances : shape (n_customers, n_actions)
        True acceptance of each action within its window.
    learns : bool
        Whether the bandit learns; else it stays at the priors.
    waits : shape (n_customers,), bool
        Customers whose decisions are not shown at once.
    """

    catalog: Catalog
    attributes: Floats
    chances: Floats
    learns: bool
    waits: np.ndarray[Any, np.dtype[np.bool_]]

    def worth(self, actions: tuple[str, ...], customers: tuple[str, ...]) -> Floats:
        """True mean reward of each action for each customer, shape (n, n_actions)."""
        numbers = [int(name[1:]) for name in customers]
        shown = np.where(self.waits[numbers], SHOWN_LATER, 1.0)
        worth = np.zeros((len(numbers), len(actions)))
        for index, name in enumerate(WINDOWS):
            action = self.catalog.actions[name]
            reward = self.chances[numbers, index] * action.value - action.cost
            worth[:, actions.index(name)] = shown * reward
        return worth


def draw_world(seed: int, n_customers: int = 600) -> World:
    """Draw customers, what they accept, and the catalogue."""
    rng = np.random.default_rng(seed)
    attributes = rng.normal(size=(n_customers, 2))
    level = rng.uniform(-2.2, -0.4, size=len(WINDOWS))
    slopes = rng.normal(scale=0.8, size=(2, len(WINDOWS)))
    paced = seed % 4 == 3
    return World(
        catalog=_catalog(rng, paced),
        attributes=attributes,
        chances=expit(level + attributes @ slopes),
        learns=seed % 2 == 0,
        waits=(rng.random(n_customers) < 0.3) & (not paced),
    )


def _catalog(rng: np.random.Generator, paced: bool) -> Catalog:
    actions: dict[str, Any] = {
        name: {
            "issue": "serve",
            "group": "all",
            "value": 10,
            "cost": round(float(rng.uniform(0.5, 2.5)), 2),
            "attribution_days": days,
            "prior": {"acceptance": round(float(rng.uniform(0.1, 0.3)), 2), "weight": 10},
            "treatments": {
                channel: {"title": name}
                for channel in (CHANNELS if name == "short" else CHANNELS[:1])
            },
        }
        for name, days in WINDOWS.items()
    }
    if paced:
        actions["long"]["volume"] = {"at_most": 30}
    return Catalog.model_validate(
        {
            "outcomes": {"accepted": {"acceptance": 1}},
            "arms": {"random": 0.1, "nobody": 0},
            "actions": actions,
        }
    )


def with_lever(catalog: Catalog, name: str, lever: float) -> Catalog:
    """The same catalogue with another lever of one action."""
    content = catalog.model_dump(by_alias=True)
    content["actions"][name]["lever"] = lever
    return Catalog.model_validate(content)


def with_text(catalog: Catalog) -> Catalog:
    """The same catalogue with another description, by which nothing is decided."""
    content = catalog.model_dump(by_alias=True)
    content["actions"]["short"]["description"] = "Said in other words."
    return Catalog.model_validate(content)


@dataclass
class Course:
    """A world while it is lived: the service, and what will happen."""

    world: World
    ledger: Ledger
    params: TrainingParams
    rng: np.random.Generator
    engine: Engine = field(init=False)
    _events: list[tuple[datetime, float, Mapping[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        catalog = self.world.catalog
        parts: tuple[Any, ...] = (DOMAIN, catalog, self.params)
        self._watcher = ModelWatcher(NoRegistry(), self.ledger, *parts)  # type: ignore[arg-type]
        self._learner = Learner(self.ledger, *parts, lambda: None)
        known = {
            f"c{number}": CustomerFeatures({"x0": str(x0), "x1": str(x1)}, None)
            for number, (x0, x1) in enumerate(self.world.attributes.tolist())
        }
        model_input = ModelInput(DOMAIN)
        compiled = CompiledCatalog(catalog, DOMAIN, model_input)
        setup = DecisionSetup(compiled, self._watcher.current, model_input)
        self.engine = Engine(DOMAIN, model_input, FakeFeatures(known), self.ledger, setup)
        keep_catalog(self.ledger, catalog, BEGAN)

    async def live(self, days: int, a_day: int) -> datetime:
        """Decide and learn for some days; returns the end."""
        end = BEGAN + timedelta(days=days)
        times = np.sort(self.rng.uniform(0, days, size=days * a_day))
        for number, at in enumerate(times.tolist()):
            self._later(BEGAN + timedelta(days=at), {"decide": number})
        learn = BEGAN
        while self._events and self._events[0][0] < end:
            at, _, event = heapq.heappop(self._events)
            while self.world.learns and learn <= at:
                self._learner.step(learn)
                self._watcher.refresh_snapshot()
                self.engine.setup = self.engine.setup.with_models(self._watcher.current)
                learn += LEARN_EVERY
            if "decide" in event:
                await self._decide(at, event["decide"])
            elif "activate" in event:
                answer = await activate(self.engine, event["activate"], at)
                self._answers(event["activate"], event["customer"], answer.activated, at)
            else:
                told = OutcomeRequest.model_validate(event)
                await record_outcome(told, self.ledger, self.world.catalog, at)
        return end

    async def _decide(self, at: datetime, number: int) -> None:
        customer = int(self.rng.integers(len(self.world.chances)))
        waits = bool(self.world.waits[customer])
        asked = {
            "customer_id": f"c{customer}",
            "decision_id": f"d{number}",
            "channel": CHANNELS[int(self.rng.random() < 0.25)],
            "slots": 1 + int(self.rng.random() < 0.25),
            "activate": not waits,
        }
        answer = await self.engine.decide(DecideRequest.model_validate(asked), at)
        names = [one.action_id for one in answer.actions if one.action_id != NO_ACTION]
        if not waits:
            self._answers(answer.decision_id, customer, names, at)
        elif names and self.rng.random() < SHOWN_LATER:
            shown = {"activate": answer.decision_id, "customer": customer}
            self._later(at + timedelta(hours=self.rng.uniform(0, 23)), shown)

    def _answers(self, decision_id: str, customer: int, shown: list[str], at: datetime) -> None:
        """Draw if and when a customer will accept the actions that were shown."""
        for name in shown:
            if self.rng.random() < self.world.chances[customer, list(WINDOWS).index(name)]:
                delay = timedelta(days=WINDOWS[name] * self.rng.uniform(0.01, 0.99))
                told = {"decision_id": decision_id, "action_id": name, "outcome": "accepted"}
                self._later(at + delay, told)

    def _later(self, at: datetime, event: Mapping[str, Any]) -> None:
        heapq.heappush(self._events, (at, self.rng.random(), event))
