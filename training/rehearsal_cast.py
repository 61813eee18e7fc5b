"""Who plays in a rehearsal, and the rehearsal itself: each policy in each of the same worlds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from features.errors import InvalidSetting
from training.rehearsal import Course, Policy, live
from training.rehearsal_ours import OurPolicy
from training.rehearsal_policies import (
    RULES,
    FixedPolicy,
    OraclePolicy,
    PropensityPolicy,
    RandomPolicy,
)
from training.world import World
from training.world_actions import NAMES

POLICIES = ("ours", "fixed", "rules", "random", "propensity", "oracle")
PILOT_SEED = 1_000_003  # no rehearsal is held in this world
PILOT_CUSTOMERS = 4_000

Make = Callable[[World], Policy]
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Rehearsal:
    """How each policy did in each world; worlds in the same order for all.

    Attributes
    ----------
    courses : by the policy's role in `POLICIES`
    """

    customers: int
    days: int
    seeds: tuple[int, ...]
    courses: Mapping[str, Sequence[Course]]


def rehearse(
    customers: int,
    days: int,
    seeds: Sequence[int],
    policies: Sequence[str] = POLICIES,
    report: Report = lambda what, done, of: None,
) -> Rehearsal:
    """Let policies live through the same worlds.

    Parameters
    ----------
    seeds
        One world each.
    policies
        Some of `POLICIES`. Of the single actions, and of the lists of rules, that one plays which
        did best in a pilot, in a world of its own.
    report
        Told of progress.

    Raises
    ------
    InvalidSetting
        If there is no such policy, or no world.
    """
    for name in policies:
        if name not in POLICIES:
            raise InvalidSetting(
                f"There is no policy {name!r}.",
                expected=f"some of {', '.join(POLICIES)}",
                remedy="Correct --policies.",
            )
    if not seeds or not policies:
        raise InvalidSetting(
            "There is nothing to rehearse.",
            expected="one world and one policy at least",
            remedy="Raise --seeds, or name --policies.",
        )
    cast = {name: _make(name, customers, days, report) for name in dict.fromkeys(policies)}
    courses: dict[str, list[Course]] = {name: [] for name in cast}
    for name, make in cast.items():
        for number, seed in enumerate(seeds):

            def passed(day: int, name: str = name, number: int = number) -> None:
                report(f"rehearse {name}", number * days + day, len(seeds) * days)

            courses[name].append(live(make, World(customers, seed, days), seed, passed))
    return Rehearsal(customers, days, tuple(seeds), courses)


def _make(name: str, customers: int, days: int, report: Report) -> Make:
    if name == "fixed":
        fixed = [FixedPolicy(f"always {action}", action) for action in NAMES[1:]]
        return _best_in_pilot(fixed, customers, days, report)
    if name == "rules":
        return _best_in_pilot(RULES, customers, days, report)
    makers: dict[str, Make] = {
        "ours": lambda world: OurPolicy(),
        "random": lambda world: RandomPolicy(),
        "propensity": lambda world: PropensityPolicy(),
        "oracle": lambda world: OraclePolicy(world=world),
    }
    return makers[name]


def _best_in_pilot(
    candidates: Sequence[RandomPolicy], customers: int, days: int, report: Report
) -> Make:
    """The one that brings most in a smaller world of the same kind."""

    def value(number: int, one: RandomPolicy) -> float:
        world = World(min(customers, PILOT_CUSTOMERS), PILOT_SEED, days)
        course = live(lambda world: one, world, PILOT_SEED)
        report(f"pilot {one.name.split(':')[0].split(' ')[0]}", number + 1, len(candidates))
        return float(course.value_of_customer_eur.mean())

    values = [value(number, one) for number, one in enumerate(candidates)]
    best = candidates[values.index(max(values))]
    return lambda world: best
