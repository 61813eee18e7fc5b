"""A simulated business as a server and its learner serve it, in one process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy as sa

from features.business.catalog import Catalog
from features.business.domain import Domain, load_domain
from features.business.experiment.objective import RemainingValue
from features.customers.profiles import attributes_of_each
from features.errors import ModelMissing
from features.ingest.load_tables import load_folder
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.rewards.reward_steps import RewardRules, sum_rewards
from features.settings import GROCERY
from serving.audit.archive import keep_catalog
from serving.audit.lift.view import view_lift
from serving.catalog.compiled_catalog import CompiledCatalog, load_catalog
from serving.contract.lift import LiftRequest, LiftView
from serving.decide.decision_setup import DecisionSetup
from serving.decide.engine import Engine
from serving.effects.effect_learner import EffectLearner
from serving.learn.credits import StepSettings
from serving.learn.learner import ALWAYS_AT_ONCE, Learner
from serving.models.watcher import ModelWatcher
from serving.simulation.remembered_actions import RememberedActions
from serving.simulation.told_events import EventTeller, KnownCustomers
from training.params import load_params
from training.simulation.business import SimulatedBusiness, SimulatedWorld

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)  # midnight before the first day, a Monday
DOMAINS = GROCERY.parent
EVERYBODY = 1 - 2.0**-53  # the largest number below 1: nothing is left for the other arms
KEPT = 150_000  # labelled decisions that are held in memory, of 1 kB each
LEARNED_AT_ONCE = SUMMED_AT_ONCE = 5_000  # decisions: nobody waits for the lock


class NoRegistry:
    """A registry without models: the bandit builds on the priors of the catalogue."""

    def champion(self, name: str) -> None:
        """Return no champion."""

    def version(self, name: str, version: str) -> None:
        """Raise `ModelMissing`."""
        raise ModelMissing(
            f"{name} {version} is not in the simulation.",
            expected="the priors of the catalogue",
            remedy="None is needed.",
        )


@dataclass
class ServedBusiness:
    """The classes that serve a business, with the customers of a world loaded.

    Nothing survives a crash of the machine: the ledger is not written to the disk at each commit.
    """

    business: SimulatedBusiness
    domain: Domain
    catalog: Catalog
    ledger: Ledger
    engine: Engine
    learner: Learner
    effects: EffectLearner
    watcher: ModelWatcher
    events: EventTeller

    def learn(self, now: datetime) -> None:
        """Learn all that is due, publish it, and decide by it from now on.

        Trees and effects are fitted where the maintenance of a learner would fit them.
        """
        while self.learner.learn(now):
            pass
        self.learner.publish(now)
        if self.learner.wants_trees():
            self.learner.adopt_trees(self.learner.fit_trees(), now)
        self._learn_effects(now)
        if self.watcher.refresh_snapshot():
            self.engine.setup = self.engine.setup.with_models(self.watcher.current)

    def lift(self, now: datetime) -> LiftView:
        """Sum all that is new, and report the lift as `/v1/lift` does."""
        self._sum()
        return view_lift(LiftRequest(), self.ledger, self.catalog, self.domain, now)

    def _learn_effects(self, now: datetime) -> None:
        self.effects.look_at_all(now)
        if self.effects.wants_fit(now):
            self._sum()  # effects are those on the margin of days
            self.effects.publish(self.effects.fit(now), now)

    def _sum(self) -> None:
        rules = RewardRules.of(self.catalog, self.domain)
        while sum_rewards(self.ledger, rules, SUMMED_AT_ONCE):
            pass


@contextmanager
def served_business(
    business: SimulatedBusiness,
    world: SimulatedWorld,
    seed: int,
    nobody: bool = False,
    pays_leaving: bool = True,
    **change: object,
) -> Iterator[ServedBusiness]:
    """Open a business in a temporary folder, which is deleted afterwards.

    Parameters
    ----------
    seed : int
        Of the draws: with the same one, the same decisions are made.
    nobody : bool
        Put everybody into the arm nobody, which no catalogue can.
    pays_leaving : bool
        Decide by the remaining values of customers. If not, to drive a customer away costs nothing
        in a priority; the lift counts it all the same.
    change
        Keys of the catalogue in place of those of its file, such as ``arms``.
    """
    domain = load_domain(DOMAINS / f"{business.domain}.yaml")
    catalog = load_catalog(DOMAINS / f"{business.domain}.actions.yaml", domain)
    catalog = catalog.with_parts(**change) if change else catalog
    if nobody:
        arms = catalog.arms.model_copy(update={"random": 0.0, "nobody": EVERYBODY})
        catalog = catalog.model_copy(update={"arms": arms})
    with TemporaryDirectory(prefix="nba-simulation-") as scratch:
        ledger = _ledger(Path(scratch), seed)
        try:
            attributes = _load(Path(scratch), world, ledger, domain, catalog)
            decides_by = domain if pays_leaving else _without_remaining_value(domain)
            known = KnownCustomers(attributes)
            yield _opened(business, domain, decides_by, catalog, ledger, known)
        finally:
            ledger.close()


def _ledger(folder: Path, seed: int) -> Ledger:
    ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}")
    sa.event.listen(ledger.engine, "connect", _not_durable)
    ledger.engine.dispose()  # of the connection that has created the tables
    ledger.write_now(lambda c: tables.set_meta(c, tables.DRAW_SECRET, f"simulation {seed}"))
    return ledger


def _not_durable(connection: Any, _: object) -> None:
    connection.execute("PRAGMA synchronous = OFF")


def _load(
    folder: Path, world: SimulatedWorld, ledger: Ledger, domain: Domain, catalog: Catalog
) -> Mapping[str, Mapping[str, str]]:
    """Load the customers as `nba load` does, and return their attributes."""
    keep_catalog(ledger, catalog, BEGIN)
    customers = world.customers()
    (folder / "tables").mkdir()
    customers.to_csv(folder / "tables" / "customers.csv", index=False)
    reports = load_folder(folder / "tables", ledger, domain, catalog, BEGIN)
    assert all(report.passed for report in reports), reports
    names = customers["customer_id"].tolist()
    return ledger.read(lambda connection: attributes_of_each(connection, names))


def _step_settings() -> StepSettings:
    """Return those with which a learner is fastest that nobody waits for or starts again."""
    return StepSettings(RememberedActions(), LEARNED_AT_ONCE, resumes=False)


def _without_remaining_value(domain: Domain) -> Domain:
    objective = domain.objective.model_copy(update={"remaining_value": RemainingValue()})
    return domain.model_copy(update={"objective": objective})


def _opened(
    business: SimulatedBusiness,
    domain: Domain,
    decides_by: Domain,
    catalog: Catalog,
    ledger: Ledger,
    known: KnownCustomers,
) -> ServedBusiness:
    model_input, params, registry = ModelInput(domain), load_params(), NoRegistry()
    watcher = ModelWatcher(registry, ledger, decides_by, catalog, params)  # type: ignore[arg-type]
    watcher.refresh()
    setup = DecisionSetup(
        CompiledCatalog(catalog, decides_by, model_input), watcher.current, model_input
    )
    return ServedBusiness(
        business,
        domain,
        catalog,
        ledger,
        Engine(decides_by, model_input, known, ledger, setup),
        Learner(
            *(ledger, domain, catalog, params, lambda: None),
            at_once=ALWAYS_AT_ONCE,
            steps=_step_settings(),
        ),
        EffectLearner(
            *(ledger, domain, catalog, params.effects, lambda _, names: known.of_each(names)),
            keep=KEPT,
        ),
        watcher,
        EventTeller(business, ledger, domain, model_input, known, BEGIN),
    )
