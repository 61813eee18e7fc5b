"""The policy learned from 7 days of surrogate, against the one learned from 90 days of truth.

Both learn from the same decisions of a week, one for each customer, drawn at random. The first one
reads them at the end of that week: `fit_effects` sees the features at the decisions and, where
these are three days old, at the look. How leaving follows from features it learns from other
customers, who were there before the first action, as a business knows its own past. The second one
reads the decisions when they are 90 days old, and learns from who really left, by action-centred
regression. It tries several weights of the prior, and two forms of an effect; the best policy by
the world's truth counts.

A policy shows an action, or none, by what acceptance earns at once and by what leaving costs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from features.value_labels.labelled_decisions import LabelledDecisions, labelled_decisions
from tests.bench.surrogate_worlds import ACTIONS, FEATURES, GROUPS, K, World
from training.arrays import Floats, Ints
from training.effects.effect_blocks import EffectBlocks, centred_indicators
from training.effects.effect_fit import EffectInput, fit_effects
from training.effects.effect_sums import EffectSums
from training.effects.leaving_rates import fit_leaving_rate, leaving_rate, leaving_within
from training.params import EffectParams

CUSTOMERS, BEFORE, ASKED = 10_000, 20_000, 4_000  # of the week, of the past, of the comparison
WEEK, LOOK, TRUTH = 7, 3, 90  # days
A_DAY, STRENGTH, HIDDEN = 0.003, 0.3, 0.4
REMAINING_EUR, DIRECT_EUR = 100.0, 4.0
PRIORS = (30.0, 300.0, 3_000.0)  # in decisions


class Gains(NamedTuple):
    """The gains of policies over `nobody` in a world, in EUR a customer."""

    surrogate: float
    truth: float
    acceptance: float
    best: float


class _Followed(NamedTuple):
    """Decisions, each of one customer, and what followed.

    Attributes
    ----------
    rows, later : shape (n, n_features)
        At the decision, and at the look.
    left_on : shape (n,)
        Days from the decision to leaving; nan: not within 90 days.
    """

    rows: Floats
    later: Floats
    left_on: Floats


def gains(seed: int) -> Gains:
    """Play one world."""
    random = np.random.default_rng(seed)
    world = World(random, A_DAY, STRENGTH, HIDDEN)
    direct = random.uniform(0.0, DIRECT_EUR, K)
    means = world.customers(random, CUSTOMERS)
    shown = random.integers(0, K + 1, CUSTOMERS)
    week = _follow(world, random, means, shown)
    past = _follow(world, random, world.customers(random, BEFORE), np.full(BEFORE, K))

    asked = world.customers(random, ASKED)
    added = _added_leaving(world, random, asked)
    worth = direct - REMAINING_EUR * added

    def earned(believed: Floats) -> float:
        told = np.hstack([direct - REMAINING_EUR * believed, np.zeros((ASKED, 1))])
        real = np.hstack([worth, np.zeros((ASKED, 1))])
        return float(real[np.arange(ASKED), told.argmax(axis=1)].mean())

    by_surrogate = _by_surrogate(random, week, shown, past, asked)
    by_truth = _by_truth(week, shown, past, asked)
    return Gains(
        surrogate=earned(by_surrogate),
        truth=max(map(earned, by_truth)),
        acceptance=earned(np.zeros((ASKED, K))),
        best=earned(added),
    )


def _follow(world: World, random: np.random.Generator, means: Floats, shown: Ints) -> _Followed:
    """Follow customers for 90 days after a decision."""
    n = len(means)
    plain = means + random.normal(0.0, 0.5, means.shape)
    rows, later = plain.copy(), plain
    effect = world.effects(rows)[np.arange(n), shown]
    moves, hidden = world.split(shown, effect)
    fades = np.append(world.fades, 1.0)[shown]
    left_on = np.full(n, np.nan)
    for day in range(TRUTH):
        faded = np.exp(-fades * day)
        rate = world.rate(plain + moves * faded[:, None], hidden * faded)
        leaves = np.isnan(left_on) & (random.random(n) < -np.expm1(-rate))
        left_on[leaves] = day
        if day == LOOK:
            later = plain + moves * faded[:, None]
        plain = world.wander(random, plain, means)
    return _Followed(rows, later, left_on)


def _added_leaving(world: World, random: np.random.Generator, means: Floats) -> Floats:
    """Compute what each action really adds to leaving within 90 days, shape (n, K)."""
    effects, plain = world.effects(means), means
    total = np.zeros((len(means), K + 1))
    fades = np.append(world.fades, 1.0)
    for day in range(TRUTH):
        # The log rate is linear in the features: the move of an effect adds all of it to the rate.
        total += world.rate(plain, np.zeros(len(means)))[:, None] * np.exp(
            effects * np.exp(-fades * day)
        )
        plain = world.wander(random, plain, means)
    stays = np.exp(-total)
    added: Floats = stays[:, K:] - stays[:, :K]
    return added


def _decisions(
    followed: _Followed, shown: Ints, age_days: Floats, drawn: bool, first: int
) -> LabelledDecisions:
    """Label decisions as they are known at an age; ``drawn``: by chance, not `no_action`."""
    n = len(shown)
    chances = np.full((n, K + 1), 1 / (K + 1)) if drawn else np.eye(K + 1)[np.full(n, K)]
    looked = age_days >= LOOK
    known = np.where(followed.left_on <= age_days, followed.left_on, np.nan)
    return labelled_decisions(
        ACTIONS,
        followed.rows,
        [(*ACTIONS, "no_action")[one] for one in shown],
        chances,
        later=np.where(looked[:, None], followed.later, np.nan),
        looked_after_days=np.where(looked, float(LOOK), np.nan),
        gone_at_look=looked & (known < LOOK),
        customers=first + np.arange(n),
        age_days=age_days,
        left_after_days=known,
    )


def _by_surrogate(
    random: np.random.Generator, week: _Followed, shown: Ints, past: _Followed, asked: Floats
) -> Floats:
    """Predict by the product's effect model at the end of the week, shape (n, K)."""
    ages = random.uniform(0.0, WEEK, CUSTOMERS)
    parts = [
        _decisions(past, np.full(BEFORE, K), np.full(BEFORE, float(TRUTH)), False, CUSTOMERS),
        _decisions(week, shown, ages, True, 0),
    ]
    business = EffectInput(ACTIONS, GROUPS, FEATURES, ("web",), horizon_days=28)
    every = {1: parts}

    def read(step: int) -> list[LabelledDecisions]:
        if step not in every:
            every[step] = [part.take(np.arange(0, part.n_decisions, step)) for part in parts]
        return every[step]

    model = fit_effects(lambda step: iter(read(step)), CUSTOMERS + BEFORE, business, EffectParams())
    assert model is not None
    return np.array([one.leaving for one in model.predict_each(asked, ("web",) * len(asked))])


def _by_truth(week: _Followed, shown: Ints, past: _Followed, asked: Floats) -> list[Floats]:
    """Predict by regressions on who left within 90 days, each of shape (n, K).

    Effects are linear in the features, in some regressions as a multiple of expected leaving.
    """
    of_past = _with_1(past.rows)
    stayed = np.isnan(past.left_on)
    days = np.where(stayed, TRUTH, past.left_on + 0.5)
    level = fit_leaving_rate(of_past, days, 1.0 - stayed, 1.0)
    chances = np.full((len(shown), K + 1), 1 / (K + 1))
    centred = centred_indicators(shown, chances)
    rows, left = _with_1(week.rows), 1.0 - np.isnan(week.left_on)
    expected = leaving_within(leaving_rate(rows, level), TRUTH)
    sums = [EffectSums(EffectBlocks(ACTIONS, GROUPS, rows.shape[1])) for _ in range(2)]
    relative = rows * (expected / expected.mean())[:, None]
    for one, vectors in zip(sums, (rows, relative), strict=True):
        one.add(vectors, centred, left - expected, np.ones(len(shown)))
    plain = _with_1(asked)
    of_asked = leaving_within(leaving_rate(plain, level), TRUTH) / expected.mean()
    return [
        vectors @ one.solve(prior).weights.T
        for one, vectors in zip(sums, (plain, plain * of_asked[:, None]), strict=True)
        for prior in PRIORS
    ]


def _with_1(rows: Floats) -> Floats:
    return np.hstack([np.ones((len(rows), 1)), rows])
