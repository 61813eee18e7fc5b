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
from training.simulation.baselines import BASELINES, OraclePolicy, RandomPolicy, baseline
from training.simulation.businesses import TELEPHONE
from training.simulation.rollout import RunResult, run_policy

POLICIES = BASELINES


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
        Some of `POLICIES`; see `baselines.baseline`.
    progress
        Is called after each run.
    processes
        Number of worlds that are played in parallel. The result does not depend on it.

    Raises
    ------
    InvalidSetting
        If a policy is unknown, or there is no policy or no seed.
    """
    _check(seeds, policies)
    names = tuple(dict.fromkeys(policies))
    made = {name: baseline(name, TELEPHONE, customers, days, progress) for name in names}
    tasks = [(name, made[name], customers, days, seed) for name, seed in product(names, seeds)]
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


# Name of the policy, the policy itself, customers, days, seed.
_Task = tuple[str, RandomPolicy, int, int, int]


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
    name, policy, customers, days, seed = task
    world = TELEPHONE.make_world(customers, seed, days)
    if name == "oracle":
        policy = OraclePolicy(world=world)
    with threadpool_limits(1, "blas"):  # sums then do not depend on the number of cores
        return run_policy(TELEPHONE, policy, world, seed)
