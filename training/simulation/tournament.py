"""Plays several policies in the same simulated worlds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context

from threadpoolctl import threadpool_limits

from features.errors import InvalidSetting
from features.progress import Progress, quiet
from training.simulation.actions import NAMES
from training.simulation.bandit_policy import BatchBanditPolicy
from training.simulation.baselines import (
    RULES,
    FixedPolicy,
    OraclePolicy,
    PropensityPolicy,
    RandomPolicy,
)
from training.simulation.rollout import Policy, RunResult, run_policy
from training.simulation.world import World

POLICIES = ("batch_bandit", "fixed", "rules", "random", "propensity", "oracle")
PILOT_SEED = 1_000_003  # of the pilot world, in which no tournament is played
PILOT_CUSTOMERS = 4_000


@dataclass(frozen=True)
class TournamentResult:
    """Results of each policy in each world; worlds in the same order for all policies.

    Attributes
    ----------
    runs : by the policy's name in `POLICIES`
    """

    customers: int
    days: int
    seeds: tuple[int, ...]
    runs: Mapping[str, Sequence[RunResult]]


def run_tournament(
    customers: int,
    days: int,
    seeds: Sequence[int],
    policies: Sequence[str] = POLICIES,
    progress: Progress = quiet,
    processes: int = 1,
) -> TournamentResult:
    """Play each policy in each world.

    Parameters
    ----------
    customers, days : int
        Size and duration of each world.
    seeds
        One world for each seed.
    policies
        Some of `POLICIES`. ``fixed`` and ``rules`` are played by the fixed action and by the list
        of rules that earn most in a pilot world of another seed.
    progress
        Is called after each run.
    processes
        Number of worlds that are played in parallel. The result does not depend on it. The batch
        bandit takes 1.6 GB in a world of 20,000 customers for 90 days.

    Raises
    ------
    InvalidSetting
        If a policy is unknown, or there is no policy or no seed.
    """
    _check(seeds, policies)
    names = tuple(dict.fromkeys(policies))
    fixed = {name: _non_learning(name, customers, days, progress) for name in names}
    tasks = [(name, fixed[name], customers, days, seed) for name, seed in product(names, seeds)]
    results: dict[tuple[str, int], RunResult] = {}
    for done, (key, run) in enumerate(_run_all(tasks, processes), 1):
        results[key] = run
        progress("simulate", done, len(tasks))
    runs = {name: [results[name, seed] for seed in seeds] for name in names}
    return TournamentResult(customers, days, tuple(seeds), runs)


def _check(seeds: Sequence[int], policies: Sequence[str]) -> None:
    for name in policies:
        if name not in POLICIES:
            raise InvalidSetting(
                f"There is no policy {name!r}.",
                expected=f"some of {', '.join(POLICIES)}",
                remedy="Correct --policies.",
            )
    if not seeds or not policies:
        raise InvalidSetting(
            "There is nothing to simulate.",
            expected="at least one world and one policy",
            remedy="Raise --seeds, or name --policies.",
        )


# Name of the policy, the policy itself if it does not learn, customers, days, seed.
_Task = tuple[str, RandomPolicy | None, int, int, int]


def _run_all(tasks: Sequence[_Task], processes: int) -> Iterator[tuple[tuple[str, int], RunResult]]:
    """Yield name, seed and result of each task, in the order in which they are finished."""
    if processes == 1:
        yield from (((task[0], task[-1]), _run(task)) for task in tasks)
        return
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        started = {pool.submit(_run, task): (task[0], task[-1]) for task in tasks}
        for finished in as_completed(started):
            yield started[finished], finished.result()


def _run(task: _Task) -> RunResult:
    name, fixed, customers, days, seed = task
    world = World(customers, seed, days)
    with threadpool_limits(1, "blas"):  # sums then do not depend on the number of cores
        return run_policy(lambda world: fixed or _new_policy(name, world), world, seed)


def _new_policy(name: str, world: World) -> Policy:
    """Make a policy that has learned nothing yet, or the oracle of the world."""
    if name == "batch_bandit":
        return BatchBanditPolicy()
    return PropensityPolicy() if name == "propensity" else OraclePolicy(world=world)


def _non_learning(name: str, customers: int, days: int, progress: Progress) -> RandomPolicy | None:
    """Return a policy that does not learn, the best of its kind in the pilot; None for others."""
    if name == "fixed":
        fixed = [FixedPolicy(f"always {action}", action) for action in NAMES[1:]]
        return _best_in_pilot(fixed, customers, days, progress)
    if name == "rules":
        return _best_in_pilot(RULES, customers, days, progress)
    return RandomPolicy() if name == "random" else None


def _best_in_pilot(
    candidates: Sequence[RandomPolicy], customers: int, days: int, progress: Progress
) -> RandomPolicy:
    """Return the candidate with the highest value in the pilot world."""

    def value(number: int, policy: RandomPolicy) -> float:
        world = World(min(customers, PILOT_CUSTOMERS), PILOT_SEED, days)
        run = run_policy(lambda world: policy, world, PILOT_SEED)
        kind = policy.name.split(":")[0].split(" ")[0]
        progress(f"pilot {kind}", number + 1, len(candidates))
        return float(run.value_of_customer_eur.mean())

    values = [value(number, policy) for number, policy in enumerate(candidates)]
    return candidates[values.index(max(values))]
