"""Plays the served classes and the baselines in the same simulated worlds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from typing import Any

from features.errors import InvalidSetting
from features.nearest_names import did_you_mean
from features.progress import Progress, quiet
from serving.simulation.played import (
    ACCEPTANCE,
    CHANGES,
    LEAVING_OFF,
    NOBODY_OF,
    SERVED,
    Game,
    Played,
)
from training.simulation.baselines import BASELINES, CHOSEN, RandomPolicy, baseline, pilot_seeds
from training.simulation.businesses import BUSINESSES
from training.simulation.checks import check_size
from training.simulation.informed import INFORMED, fit_informed, training_seeds

POLICIES = (SERVED, ACCEPTANCE, LEAVING_OFF, *BASELINES, INFORMED)
MOST_ARMS = 0.45  # share of each of the arms random and nobody
LOOK_EVERY_S = 0.5  # at the days that other processes have played


@dataclass(frozen=True)
class TournamentResult:
    """Results of each policy in one business; worlds in the same order for all policies.

    Attributes
    ----------
    runs
        By the policy's name in `POLICIES`. Where a lift is reported, also the runs in which
        everybody is in the arm nobody (`NOBODY_OF`) or random: the true lift is the difference.
    asked : tuple of str
        The policies that were asked for, in their order.
    """

    world: str
    customers: int
    days: int
    seeds: tuple[int, ...]
    asked: tuple[str, ...]
    runs: Mapping[str, Sequence[Played]]


def run_tournaments(
    worlds: Sequence[str],
    customers: int,
    days: int,
    seeds: Sequence[int],
    policies: Sequence[str] = POLICIES,
    arms: float | None = None,
    progress: Progress = quiet,
    processes: int = 1,
    lifts: bool = True,
) -> list[TournamentResult]:
    """Play each policy in each world of each business.

    Parameters
    ----------
    worlds
        Names of businesses.
    customers, days : int
        Size and duration of each world.
    seeds
        One world of each business for each seed.
    policies
        Some of `POLICIES`; see `baselines.baseline` and `informed` for the baselines.
    arms : float or None
        Share of each of the arms random and nobody of the served classes; None: as in the catalogue
        of the business.
    progress
        Is called as days are played.
    processes : int
        Number of runs that are played in parallel. The result does not depend on it.
    lifts : bool
        Also play the counterparts of the served classes, by which reported lifts are checked.

    Raises
    ------
    InvalidSetting
        If a world, a policy or a number is not possible.
    """
    _check(worlds, seeds, policies, arms)
    check_size(customers, days)
    asked = tuple(dict.fromkeys(policies))
    alone = [NOBODY_OF[name] for name in asked if name in NOBODY_OF] if lifts else []
    played = tuple(dict.fromkeys([*asked, *alone, *(["random"] if alone else [])]))
    games = []
    for world, name in product(dict.fromkeys(worlds), played):
        made = None if name in CHANGES else _rival(name, world, customers, days, progress)
        games += [Game(world, name, customers, days, seed, made, arms) for seed in seeds]
    results: dict[Game, Played] = dict(_play_all(games, progress, processes))
    return [
        TournamentResult(
            world,
            customers,
            days,
            tuple(seeds),
            asked,
            {
                name: [results[one] for one in games if (one.world, one.policy) == (world, name)]
                for name in played
            },
        )
        for world in dict.fromkeys(worlds)
    ]


def _rival(name: str, world: str, customers: int, days: int, progress: Progress) -> RandomPolicy:
    business = BUSINESSES[world]
    if name == INFORMED:
        return fit_informed(business, days, progress=progress)
    return baseline(name, business, customers, days, progress)


def check_worlds(worlds: Sequence[str]) -> None:
    """Refuse the name of a business that is not simulated.

    Raises
    ------
    InvalidSetting
        Names the nearest one.
    """
    _check_names("world", "--world", worlds, tuple(BUSINESSES))


def _check_names(what: str, option: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise InvalidSetting(
                f"There is no {what} {name!r}. {did_you_mean([name], known)}".rstrip(),
                expected=f"some of {', '.join(known)}",
                remedy=f"Correct {option}.",
            )


def _check(
    worlds: Sequence[str], seeds: Sequence[int], policies: Sequence[str], arms: float | None
) -> None:
    check_worlds(worlds)
    _check_names("policy", "--policies", policies, POLICIES)
    if not seeds or not policies or not worlds:
        raise InvalidSetting(
            "There is nothing to simulate.",
            expected="at least one world, one seed and one policy",
            remedy="Raise --seeds, or name --world and --policies.",
        )
    _check_seeds(seeds, policies)
    if arms is not None and not 0 <= arms <= MOST_ARMS:
        raise InvalidSetting(
            f"arms is {arms!r}.",
            expected=f"a share from 0 to {MOST_ARMS:g}",
            remedy="Correct --arms; 0.1 puts a tenth into each of the arms random and nobody.",
        )


def _check_seeds(seeds: Sequence[int], policies: Sequence[str]) -> None:
    """Refuse worlds in which a policy was made."""
    for names, taken in ((CHOSEN, pilot_seeds()), ((INFORMED,), training_seeds())):
        pilots = {*seeds} & {*taken} if {*policies} & {*names} else set[int]()
        if pilots:
            made = "are chosen" if names == CHOSEN else "is fitted"
            raise InvalidSetting(
                f"seeds has {min(pilots)}, a world in which {' and '.join(names)} {made}.",
                expected="worlds that no policy was made in",
                remedy="Choose another --first-seed.",
            )


def _play_all(
    games: Sequence[Game], progress: Progress, processes: int
) -> Iterator[tuple[Game, Played]]:
    """Yield each game with its result, in the order in which they are finished."""
    total = sum(one.days for one in games)
    if processes == 1 or len(games) == 1:
        before = 0
        for game in games:

            def report(_: str, day: int, __: int, before: int = before) -> None:
                progress("days played", before + day, total)

            yield game, game.played(report)
            before += game.days
        return
    context = get_context("spawn")
    counter = context.Value("q", 0)
    with ProcessPoolExecutor(processes, context, _share, (counter,)) as pool:
        # The longest first, so that no process waits for the last one.
        order = sorted(games, key=lambda one: one.baseline is not None)
        waiting = {pool.submit(_play_counted, game): game for game in order}
        while waiting:
            done, _ = wait(waiting, LOOK_EVERY_S, return_when="FIRST_COMPLETED")
            progress("days played", counter.value, total)
            for finished in done:
                yield waiting.pop(finished), finished.result()


_played_days: Any = None  # days that all processes have played; in a process of the pool


def _share(counter: Any) -> None:
    global _played_days
    _played_days = counter


def _play_counted(game: Game) -> Played:
    def report(*_: object) -> None:
        with _played_days.get_lock():
            _played_days.value += 1

    return game.played(report)
