"""Plays actions with late outcomes: windows of 3, 14 and 30 days, and only acceptances are told.

    python -m tests.bench.delay
    python -m tests.bench.delay --a-day 1000 --days 40 --seeds 0
    python -m tests.bench.delay --no-curve        # each silence counts fully at once: must fail

Three actions of equal value are accepted with probability 0.10, 0.08 and 0.06. Their windows are
given in each of the six orders. Delays are exponential with a mean of a quarter of the window, cut
at it, and once more with a mean of one day. The bandit, the ages of silences, the curves of delays
and the choice of the memory are those of the service; an array stands for the ledger. Every hour
the bandit learns what is due and is published. Beside it plays the same bandit, told at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from serving.learn.memory import scale_of
from tests.bench.delay_log import (
    ACTIONS,
    BEGAN,
    DAY_S,
    ArrayDelays,
    Log,
    catalog_of,
    silence_counts,
)
from training.bandit.bandit_state import BanditState
from training.bandit.contextual_bandit import ContextualBandit, next_encoding
from training.bandit.encoder import Encoder
from training.params import load_params

WINDOWS, LIKED = (3.0, 14.0, 30.0), (0.10, 0.08, 0.06)  # days; true acceptance
HOURS = 24
SHARE, RELATIVE, OFF, SHOWN = 0.85, 0.85, 0.15, 8_000  # goals
out = Console(width=120)


class Course(NamedTuple):
    """A played course: what was asked for, and what came of it.

    ``share`` is that of the best action in the days from 21 on, ``nan`` without any; ``believed``
    the acceptance of each action at the end, ``shown`` how often each was shown.
    """

    windows: tuple[float, ...]
    a_day: int
    quarter: bool
    at_once: bool
    seed: int
    share: float
    believed: tuple[float, ...]
    shown: tuple[int, ...]


def play(
    windows: tuple[float, ...],
    a_day: int,
    quarter: bool = True,
    at_once: bool = False,
    seed: int = 0,
    days: int = 40,
    curve: bool = True,
) -> Course:
    """Play one course, hour by hour."""
    rng, params, catalog = np.random.default_rng(seed), load_params().bandit, catalog_of(windows)
    windows_s = np.array(windows) * DAY_S
    mean_s = windows_s / 4 if quarter else np.full(len(windows), DAY_S)
    state = BanditState(Encoder.blank(), params)
    log = Log(windows_s)
    delays, threshold = ArrayDelays(catalog, log), next_encoding(0)
    best_days = []
    for hour in range(days * HOURS):
        bandit = ContextualBandit.published(state.model(catalog.priors, catalog.groups_of), params)
        seen = bandit.model.predict(np.empty((1, 0)), ("app",)).of_customer(0)
        chances = bandit.choose(seen.acceptance, seen.deviation)
        n = a_day // HOURS + (rng.random() < a_day / HOURS % 1)
        at = np.sort(rng.uniform(hour, hour + 1, n)) * DAY_S / HOURS
        action = rng.choice(len(ACTIONS), size=n, p=chances / chances.sum())
        late = np.minimum(rng.exponential(mean_s[action]), windows_s[action])
        liked = rng.random(n) < np.take(LIKED, action)
        yes_at = np.where(liked, at if at_once else at + late, np.inf)
        log.add(at, action, yes_at, seen.expert_predictions[:, action].T)
        if hour >= 20 * HOURS:
            best_days.append(float(chances[0]))
        now_s = (hour + 1) * DAY_S / HOURS
        learn_due(state, log, now_s, delays, at_once, curve)
        if len(log.action) >= threshold:
            while next_encoding(threshold) <= len(log.action):
                threshold = next_encoding(threshold)
            state = recounted(state, log, threshold, delays)
            threshold = next_encoding(threshold)
        if state.wants_trees():
            every = int(state.memory_scale)
            rows = np.arange(len(log.action))[::-every][: params.trees.newest]
            state.fit_trees(log.batch(rows, log.count[rows], log.reward[rows]), state.counted)
    final = state.model(catalog.priors, catalog.groups_of).predict(np.empty((1, 0)), ("app",))
    believed = tuple(final.acceptance[0].tolist())
    shown = tuple(np.bincount(log.action, minlength=len(ACTIONS)).tolist())
    share = float(np.mean(best_days)) if best_days else float("nan")
    return Course(windows, a_day, quarter, at_once, seed, share, believed, shown)


def learn_due(
    state: BanditState, log: Log, now_s: float, delays: ArrayDelays, at_once: bool, curve: bool
) -> None:
    """Learn what is due: acceptances that have come, and silences of an age to be revised."""
    silent = log.reward == 0
    came = np.flatnonzero(silent & (log.yes_at <= now_s))
    if at_once:
        due = np.flatnonzero(silent & (log.revise_at <= now_s) & (log.yes_at == np.inf))
        counts = np.ones(len(due))
        log.revise_at[due] = np.inf
    else:
        due = np.flatnonzero(silent & (log.revise_at <= now_s) & (log.yes_at > now_s))
        counts = silence_counts(log, due, now_s, delays, curve)
    moved = counts != log.count[due]
    due, counts = due[moved], counts[moved]
    before = np.concatenate([came, due])
    before = before[log.count[before] > 0]
    rows = np.concatenate([before, came, due])
    count = np.concatenate([-log.count[before], np.ones(len(came)), counts])
    reward = np.concatenate([log.reward[before], np.ones(len(came)), np.zeros(len(due))])
    log.count[came], log.reward[came], log.count[due] = 1.0, 1.0, counts
    if len(rows):
        state.learn(log.batch(rows, count, reward))


def recounted(state: BanditState, log: Log, shown: int, delays: ArrayDelays) -> BanditState:
    """Count everything again with the memory that follows the delays, as the learner does."""
    decided_at = log.decided_at
    last_s = float(decided_at[shown - 1])
    at = BEGAN + timedelta(seconds=last_s)
    mean_s = delays.mean_delay_s(None, at)  # type: ignore[arg-type]
    if mean_s is None:
        scale = 1.0
    else:
        within = shown - int(np.searchsorted(decided_at[:shown], last_s - mean_s))
        scale = scale_of(within, state.params)
    if scale == state.memory_scale:
        return state
    new = BanditState(state.encoder, state.params, scale)
    counted = np.flatnonzero(log.count > 0)
    new.learn(log.batch(counted, log.count[counted], log.reward[counted]))
    new.use_trees(state.trees, state.fitted_on)
    return new


def _asked(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for a_day in arguments.a_day:
        for quarter in (True, False):
            for windows in permutations(WINDOWS):
                for seed in arguments.seeds:
                    for at_once in (False, True):
                        yield {
                            "windows": windows,
                            "a_day": a_day,
                            "quarter": quarter,
                            "at_once": at_once,
                            "seed": seed,
                            "days": arguments.days,
                            "curve": arguments.curve,
                        }


def _played(what: dict[str, Any]) -> Course:
    with threadpool_limits(1):
        return play(**what)


def missed(courses: list[Course]) -> list[str]:
    """Print a table, and return the goals that were missed, in sentences."""
    table = Table(
        "delays", "a day", "windows, days", "share, day 21 on", "told at once", "believed"
    )
    found, ratios = [], {}
    key = {(one.a_day, one.quarter, one.windows, one.at_once): [] for one in courses}  # type: ignore[var-annotated]
    for one in courses:
        key[one.a_day, one.quarter, one.windows, one.at_once].append(one)
    for (a_day, quarter, windows, at_once), late in key.items():
        if at_once:
            continue
        name = f"{'a quarter' if quarter else 'one day'}, {a_day:,} a day, windows {windows}"
        share = float(np.mean([one.share for one in late]))
        reference = np.mean([one.share for one in key[a_day, quarter, windows, True]])
        believed = np.mean([one.believed for one in late], axis=0)
        table.add_row(
            *("window / 4" if quarter else "one day", f"{a_day:,}", str(windows)),
            *(f"{share:.3f}", f"{reference:.3f}", str(np.round(believed, 4).tolist())),
        )
        ratios.setdefault((a_day, quarter), []).append((share, reference))
        if a_day >= 10_000 and share < SHARE:
            found.append(f"{name}: the best action has {share:.1%} ({SHARE:.0%} asked).")
        for one in late:
            for action, level, true, n in zip(ACTIONS, one.believed, LIKED, one.shown, strict=True):
                if n > SHOWN and abs(level / true - 1) > OFF:
                    found.append(f"{name}, seed {one.seed}: {action} is believed at {level:.4f}.")
    out.print(table)
    for (a_day, quarter), each in ratios.items():
        share, reference = np.mean(each, axis=0)
        delays = "window / 4" if quarter else "one day"
        out.print(f"{delays}, {a_day:,} a day: {share:.3f}, told at once {reference:.3f}.")
        if a_day < 10_000 and share < RELATIVE * reference:
            found.append(f"{delays}, {a_day:,} a day: {share / reference:.2f} of told at once.")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--a-day", nargs="+", type=int, default=[1_000, 10_000])
    parser.add_argument("--days", type=int, default=40)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--no-curve", dest="curve", action="store_false", help="must fail")
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    every, courses = list(_asked(asked)), []
    with ProcessPoolExecutor(asked.processes) as pool:
        for number, course in enumerate(pool.map(_played, every), start=1):
            courses.append(course)
            if number % 10 == 0 or number == len(every):
                out.print(f"{number} of {len(every)} courses played", highlight=False)
    mistakes = missed(courses)
    for sentence in mistakes:
        out.print(f"MISSED: {sentence}")
    out.print("All goals are reached." if not mistakes else f"{len(mistakes)} goals are missed.")
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
