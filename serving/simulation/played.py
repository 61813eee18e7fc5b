"""Plays one policy in one world: the served classes, or a baseline."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from threadpoolctl import threadpool_limits

from features.business.experiment.priority_objective import ASSUMPTION_WEIGHT
from features.progress import Progress, quiet
from serving.contract.lift import LiftView
from serving.policies.arms import arm_of
from serving.simulation.served_business import BEGIN, served_business
from serving.simulation.served_policy import ServedPolicy
from training.arrays import Bools, Ints
from training.simulation.baselines import OraclePolicy, RandomPolicy
from training.simulation.business import LEARNING_MINUTE, SimulatedBusiness, SimulatedWorld
from training.simulation.businesses import BUSINESSES
from training.simulation.rollout import RunResult, run_policy

SERVED, ACCEPTANCE, LEAVING_OFF = "served", "acceptance", "leaving_off"
# The same with everybody in the arm nobody. Its service actions are chosen as the policy chooses
# them, so each policy has a counterpart of its own, from which its true lift is measured.
NOBODY_OF: Mapping[str, str] = {SERVED: "service only", ACCEPTANCE: "service only, by acceptance"}
# As a business plays that counts acceptances alone: no effects are learned, and none are tried out.
_BY_ACCEPTANCE: Mapping[str, object] = {
    "arbitration": {"formula": "acceptance"},
    "objective": "acceptance",
    "no_action_share": None,
    "experiment_at_first": 0.0,
    "contact_cost_at_first": 0.0,
    "assumption_weight": ASSUMPTION_WEIGHT,
    "exploration_scale": None,
}
# Keys of the catalogue that are replaced: none for the served classes as they are.
CHANGES: Mapping[str, Mapping[str, object]] = {
    SERVED: {},
    NOBODY_OF[SERVED]: {},
    ACCEPTANCE: _BY_ACCEPTANCE,
    NOBODY_OF[ACCEPTANCE]: _BY_ACCEPTANCE,
    LEAVING_OFF: {},
}
ARM_NAMES = ("policy", "random", "nobody")


@dataclass(frozen=True)
class ServedFigures:
    """The lift that the ledger of a run of the served classes reports, and who was in which arm.

    Attributes
    ----------
    arm : shape (n_customers,)
        Index into `ARM_NAMES`.
    met : shape (n_customers,)
        True for customers with at least one decision.
    decisions : int
    lift : LiftView
        As it is reported at the end of the run.
    """

    arm: Ints
    met: Bools
    decisions: int
    lift: LiftView


@dataclass(frozen=True)
class Played:
    """The result of one policy in one world.

    Attributes
    ----------
    run : RunResult
    served : ServedFigures or None
        None for a baseline.
    """

    run: RunResult
    served: ServedFigures | None = None

    @property
    def members(self) -> Bools:
        """Customers for whom the policy chose, shape (n_customers,): those of the arm policy."""
        if self.served is None:
            return np.ones(len(self.run.left), dtype=np.bool_)
        found: Bools = self.served.arm == ARM_NAMES.index("policy")
        return found


@dataclass(frozen=True)
class Game:
    """A policy and the world in which it is played.

    Attributes
    ----------
    world : str
        Name of the business.
    policy : str
        One of `CHANGES`, or the name of a baseline.
    baseline : RandomPolicy or None
        None for the served classes.
    arms : float or None
        Share of each of the arms random and nobody; None: those of the catalogue.
    """

    world: str
    policy: str
    customers: int
    days: int
    seed: int
    baseline: RandomPolicy | None = None
    arms: float | None = None

    def played(self, progress: Progress = quiet) -> Played:
        """Play it; ``progress`` is called after each day."""
        business = BUSINESSES[self.world]
        world = business.make_world(self.customers, self.seed, self.days)
        # With one thread, sums do not depend on the number of cores.
        with threadpool_limits(1, "blas"), _without_collector():
            if self.policy in CHANGES:
                return _play_served(self, business, world, progress)
            policy = self.baseline or RandomPolicy()
            if isinstance(policy, OraclePolicy):
                policy = OraclePolicy(world=world)
            return Played(run_policy(business, policy, world, self.seed, progress))


@contextmanager
def _without_collector() -> Iterator[None]:
    """Do not look for circles among the millions of objects of a game: a fifth of its time.

    Without it a game needs 5 % more memory, so there are hardly any.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _play_served(
    game: Game, business: SimulatedBusiness, world: SimulatedWorld, progress: Progress
) -> Played:
    change = dict(CHANGES[game.policy])
    if game.arms is not None:
        change["arms"] = {"random": game.arms, "nobody": game.arms}
    everybody = game.policy in NOBODY_OF.values()
    pays_leaving = game.policy != LEAVING_OFF
    with served_business(business, world, game.seed, everybody, pays_leaving, **change) as served:
        policy = ServedPolicy(game.policy, served, world)
        run = run_policy(business, policy, world, game.seed, progress)
        end = BEGIN + timedelta(days=world.days - 1, minutes=LEARNING_MINUTE)
        names = [business.customer_id(number) for number in range(game.customers)]
        arms = served.catalog.arms
        arm = np.array([ARM_NAMES.index(arm_of(name, arms)) for name in names], dtype=np.int64)
        figures = ServedFigures(arm, policy.met, policy.decisions, served.lift(end))
        return Played(run, figures)
