"""Plays decisions with three slots, of which the lower ones are looked at less.

    python -m tests.bench.slots
    python -m tests.bench.slots --worlds plain --seeds 0 --no-looks     # must fail
    python -m tests.bench.slots_served        # one seed with the engine, its ledger and learner

The slots are looked at with probability 1, 0.45 and 0.2. An action that is looked at is accepted by
its appeal: 0.20 of four actions and 0.24 of one, another one by seed. Only acceptances are told,
with exponential delays. 50,000 decisions are made in 10 days. The bandit, the probabilities, the
priorities at a rank, the counts of silences and the estimates of looks are those of the service; an
array stands for the ledger. Four times an hour the bandit learns what is due and is published.

In the world `contexts` the appeals depend on a column of the customer, and some customers accept
everything more often; an appeal is judged over all customers there. In `channels` half of the
decisions are on a channel whose slots are looked at with probability 1, 0.8 and 0.6.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from features.outcomes.examination import Looks, look_at
from serving.policies.arbitration import priorities_at
from serving.policies.arms import uniform_probabilities
from tests.bench.delay import learn_due, recounted
from tests.bench.delay_log import BEGAN, DAY_S, ArrayDelays, Log, catalog_of
from training.arrays import Floats, Ints
from training.bandit.bandit_state import BanditState
from training.bandit.contextual_bandit import ContextualBandit, next_encoding
from training.bandit.encoder import Encoder
from training.bandit.stacking import Prediction
from training.params import load_params

ACTIONS = ("first", "second", "third", "fourth", "fifth")
LOOKS = {"app": (1.0, 0.45, 0.2), "web": (1.0, 0.8, 0.6)}
APPEAL, BEST = 0.20, 0.24
WINDOW_DAYS, MEAN_DELAY_DAYS, DAYS, STEPS_A_DAY = 2.0, 0.5, 10, 96
CONTROL = 0.02  # share of the customers for whom slots are drawn evenly
OFF, SHARE, SEEDS_OF_TEN = 0.2, 0.9, 9  # goals
out = Console(width=120)


class World(NamedTuple):
    """The truth of a course: its channels, and the appeals by context.

    Attributes
    ----------
    appeals : function
        Returns the appeal of each action, shape (n, 5), of contexts of shape (n, n_columns).
    groups : shape (n_groups, n_columns)
        The contexts at which the beliefs are judged.
    """

    channels: tuple[str, ...]
    appeals: Callable[[Floats], Floats]
    groups: Floats


class Course(NamedTuple):
    """A played course, and what came of it.

    Attributes
    ----------
    first : float
        The share of the last quarter of decisions of the policy with the best action first.
    believed, true : shape (n_groups, n_actions)
        The appeals at the end.
    looks : mapping
        As estimated at the end.
    """

    world: str
    seed: int
    first: float
    believed: Floats
    true: Floats
    looks: Looks

    @property
    def off(self) -> float:
        """The largest relative difference of an action's believed appeal from the true one."""
        return float(np.abs(self.believed.mean(axis=0) / self.true.mean(axis=0) - 1).max())

    @property
    def is_good(self) -> bool:
        """True if both goals are reached."""
        return self.off <= OFF and self.first >= SHARE


def world_of(name: str, seed: int) -> World:
    """Return a world; which of its actions is the best depends on the seed."""
    order = np.random.default_rng([seed, 1]).permutation(len(ACTIONS))
    plain = np.array([BEST, *[APPEAL] * 4])[order]
    if name != "contexts":
        channels = ("app", "web") if name == "channels" else ("app",)
        return World(channels, lambda rows: np.tile(plain, (len(rows), 1)), np.empty((1, 0)))
    of_group = np.array([[0.28, 0.22, 0.2, 0.16, 0.14], [0.14, 0.16, 0.2, 0.22, 0.28]])[:, order]

    def appeals(rows: Floats) -> Floats:
        return of_group[rows[:, 0].astype(np.int64)] * (1 + 0.5 * rows[:, 1:2])

    groups = np.array([[group, liking] for group in (0.0, 1.0) for liking in (0.0, 1.0)])
    return World(("app",), appeals, groups)


class Filler:
    """Fills slots as the service does, with a published bandit."""

    def __init__(self, bandit: ContextualBandit, looks: Looks) -> None:
        self._bandit, self._looks = bandit, looks
        self._chances: dict[Any, Floats] = {}

    def fill(
        self, seen: Prediction, key: object, channel: str, control: bool, rng: np.random.Generator
    ) -> list[int]:
        """Draw an action for each of three slots; a key stands for equal predictions."""
        taken: list[int] = []
        nothing = len(ACTIONS)
        while len(taken) < len(LOOKS["app"]):
            name = key, channel, control, frozenset(taken), len(taken)
            if name not in self._chances:
                self._chances[name] = self._probabilities(seen, channel, control, taken)
            action = int(np.searchsorted(np.cumsum(self._chances[name]), rng.random()))
            if action >= nothing:
                break
            taken.append(action)
        return taken

    def _probabilities(
        self, seen: Prediction, channel: str, control: bool, taken: Sequence[int]
    ) -> Floats:
        look = look_at(self._looks, channel, len(taken) + 1)
        priority, spread = priorities_at(
            seen.acceptance, seen.deviation, np.zeros(len(ACTIONS)), look
        )
        left, deviation = np.append(priority, 0.0), np.append(spread, 0.0)
        left[[*taken]] = np.nan
        if control:
            return uniform_probabilities(left)
        return self._bandit.choose(left, deviation)


def _time(at_s: float) -> datetime:
    return BEGAN + timedelta(seconds=at_s)


class _Made(NamedTuple):
    """The shown actions of a step, as columns of a log."""

    at: Floats
    action: Ints
    yes_at: Floats
    predictions: Floats
    more: dict[str, Any]
    best_first: list[bool]


def play(
    name: str, seed: int, decisions: int = 50_000, looks: bool = True, days: int = DAYS
) -> Course:
    """Play one course, a quarter of an hour at a time."""
    world, rng, params = world_of(name, seed), np.random.default_rng(seed), load_params().bandit
    catalog = catalog_of((WINDOW_DAYS,) * len(ACTIONS), ACTIONS)
    encoder, n_columns = Encoder.blank(), world.groups.shape[1]
    if n_columns:
        sample = _contexts(world, 2_000, rng)
        columns = tuple(f"x{column}" for column in range(n_columns))
        encoder = Encoder.fit(sample, columns, world.channels, params.width, seed)
    state = BanditState(encoder, params)
    log = Log(np.full(len(ACTIONS), WINDOW_DAYS * DAY_S), ACTIONS, n_columns)
    delays = ArrayDelays(catalog, log) if looks else WithoutLooks(catalog, log)
    threshold, firsts = next_encoding(0), list[bool]()
    steps = days * STEPS_A_DAY
    for step in range(steps):
        bandit = ContextualBandit.published(state.model(catalog.priors, catalog.groups_of), params)
        begin_s, end_s = step * DAY_S / STEPS_A_DAY, (step + 1) * DAY_S / STEPS_A_DAY
        n = (step + 1) * decisions // steps - step * decisions // steps
        at = np.sort(rng.uniform(begin_s, end_s, n))
        filler = Filler(bandit, delays.looks(None, _time(begin_s)))  # type: ignore[arg-type]
        made = _decided(world, filler, bandit, at, log.decisions, rng)
        log.add(made.at, made.action, made.yes_at, made.predictions, **made.more)
        firsts += made.best_first
        learn_due(state, log, end_s, delays, at_once=False, curve=True)
        if log.decisions >= threshold:
            while next_encoding(threshold) <= log.decisions:
                threshold = next_encoding(threshold)
            state = recounted(state, log, threshold, delays)
            threshold = next_encoding(threshold)
        if state.wants_trees():
            rows = np.arange(len(log.action))[:: -int(state.memory_scale)][: params.trees.newest]
            state.fit_trees(log.batch(rows, log.count[rows], log.reward[rows]), state.counted)
    model = state.model(catalog.priors, catalog.groups_of)
    channels = (world.channels[0],) * len(world.groups)
    believed = model.acceptance(world.groups, channels)
    found = delays.looks(None, _time(days * DAY_S))  # type: ignore[arg-type]
    first = float(np.mean(firsts[-len(firsts) // 4 :]))
    return Course(name, seed, first, believed, world.appeals(world.groups), found)


class WithoutLooks(ArrayDelays):
    """Takes every slot as looked at, as if all were the first."""

    def looks(self, connection: Any, at: Any) -> Looks:
        return {}


def _contexts(world: World, n: int, rng: np.random.Generator) -> Floats:
    if not world.groups.shape[1]:
        return np.empty((n, 0))
    return world.groups[rng.integers(len(world.groups), size=n)]


def _decided(
    world: World,
    filler: Filler,
    bandit: ContextualBandit,
    at: Floats,
    number: int,
    rng: np.random.Generator,
) -> _Made:
    """Decide at some times with one published bandit."""
    n = len(at)
    contexts, channels = _contexts(world, n, rng), rng.choice(world.channels, n)
    seen = bandit.model.predict(contexts, channels.tolist())
    appeals = world.appeals(contexts)
    is_control = rng.random(n) < CONTROL
    shown = [
        filler.fill(
            seen.of_customer(one),
            contexts[one].tobytes(),
            str(channels[one]),
            bool(is_control[one]),
            rng,
        )
        for one in range(n)
    ]
    sizes = np.array([len(some) for some in shown])
    which = np.repeat(np.arange(n), sizes)
    action = np.array([action for some in shown for action in some])
    rank = np.array([rank for some in shown for rank in range(1, len(some) + 1)])
    look = np.array([LOOKS[str(channels[one])][r - 1] for one, r in zip(which, rank, strict=True)])
    yes = rng.random(len(which)) < look * appeals[which, action]
    delay_s = np.minimum(rng.exponential(MEAN_DELAY_DAYS, len(which)), WINDOW_DAYS) * DAY_S
    numbers = number + np.cumsum(sizes > 0) - 1  # one that shows nothing is not logged
    more = {"decision": numbers[which], "rank": rank, "n_shown": sizes[which]}
    more |= {"channel": channels[which], "contexts": contexts[which]}
    more |= {"believed": seen.acceptance[which, action], "is_control": is_control[which]}
    best = appeals.argmax(axis=1)
    best_first = [
        bool(some) and some[0] == best[one] for one, some in enumerate(shown) if not is_control[one]
    ]
    yes_at = np.where(yes, at[which] + delay_s, np.inf)
    return _Made(
        at[which], action, yes_at, seen.expert_predictions[:, which, action].T, more, best_first
    )


def _played(what: dict[str, Any]) -> Course:
    with threadpool_limits(1):
        return play(**what)


def missed(courses: Sequence[Course]) -> list[str]:
    """Print a table, and return the goals that were missed, in sentences."""
    table = Table("world", "seed", "best first", "off by", "believed / true", "looks")
    found = []
    for name in dict.fromkeys(one.world for one in courses):
        mine = [one for one in courses if one.world == name]
        for one in mine:
            both = one.believed.mean(axis=0), one.true.mean(axis=0)
            ratios = [f"{ratio:.2f}" for ratio in both[0] / both[1]]
            looks = [
                f"{channel or 'all'} {np.round(some, 3)}" for channel, some in one.looks.items()
            ]
            shown = " ".join(ratios), "; ".join(looks)
            table.add_row(name, str(one.seed), f"{one.first:.3f}", f"{one.off:.1%}", *shown)
        good = sum(one.is_good for one in mine)
        out.print(f"{name}: {good} of {len(mine)} seeds reach both goals.", highlight=False)
        if good * 10 < SEEDS_OF_TEN * len(mine):
            found.append(f"{name}: {good} of {len(mine)} seeds.")
    out.print(table)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--worlds", nargs="+", default=["plain", "contexts", "channels"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[*range(10)])
    parser.add_argument("--decisions", type=int, default=50_000)
    parser.add_argument("--no-looks", dest="looks", action="store_false", help="must fail")
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    every = [
        {"name": name, "seed": seed, "decisions": asked.decisions, "looks": asked.looks}
        for name in asked.worlds
        for seed in asked.seeds
    ]
    with ProcessPoolExecutor(asked.processes) as pool:
        courses = list(pool.map(_played, every))
    mistakes = missed(courses)
    for sentence in mistakes:
        out.print(f"MISSED: {sentence}")
    out.print("All goals are reached." if not mistakes else f"{len(mistakes)} goals are missed.")
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
