"""A slow poison: an action that doubles leaving after a week, while features look fine.

From a week on and for three weeks, each showing of it adds to a customer's rate of leaving as much
as this is without it. At one showing in three weeks, as under the policy here, twice as many leave.

Customers come every ten days or so. Arms as in a catalogue: policy 60 %, random 20 %, nobody 20 %.
The policy likes the poison, as it is accepted most. Every two weeks the effect model is fitted to
all decisions so far, and its audit is read, as the learner of a server does. Each customer who
leaves is counted in the guardrail of leaving between the arms policy and nobody, the two that the
product compares. The world ends when one of the two has found the poison, or 600 have left.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from features.business.catalog_rules import Arms
from features.value_labels.labelled_decisions import LabelledDecisions, labelled_decisions
from serving.guardrails.harm_test import HarmTest
from tests.bench.surrogate_worlds import ACTIONS, FEATURES, GROUPS, K, World
from training.arrays import Bools, Floats, Ints
from training.effects.effect_fit import EffectInput, fit_effects
from training.params import EffectParams

CUSTOMERS, COMES, MOST_LEFT, MOST_DAYS = 4_000, 0.1, 600, 300
A_DAY, STRENGTH, HIDDEN = 0.001, 0.1, 0.0
POISON, AFTER_DAYS, LASTS_DAYS = 0, 7, 21
ARMS = Arms(random=0.2, nobody=0.2)
POLICY, RANDOM, NOBODY = 0, 1, 2
FIT_DAYS, LOOK, HORIZON, LEVEL = 14, 3, 28, 0.02
FLOOR = 0.03  # chance of no action under the policy
LIKED = 2.0


class Found(NamedTuple):
    """The end of a world.

    Attributes
    ----------
    left, day : int
        Customers who had left when it ended, and its last day.
    by_audit : tuple of str
        The families that the audit distrusts.
    by_guardrail : bool
        Whether the guardrail warned of the policy.
    """

    left: int
    day: int
    by_audit: tuple[str, ...]
    by_guardrail: bool

    @property
    def alarms(self) -> bool:
        """Return whether one of the two has found something."""
        return bool(self.by_audit) or self.by_guardrail


class _Log:
    """Decisions, as columns by day, and when customers left."""

    def __init__(self) -> None:
        self.columns: list[tuple[Ints, Floats, Ints, Floats, int]] = []
        self.later: list[Floats | None] = []

    def decisions(self, today: int, left_on: Floats) -> LabelledDecisions:
        """Label all decisions as they are known at the end of a day."""
        who, rows, shown, chances = (
            np.concatenate([one[part] for one in self.columns]) for part in range(4)
        )
        day = np.concatenate([np.full(len(one[0]), one[4]) for one in self.columns])
        age = (today - day).astype(np.float64)
        after = left_on[who] - day
        known = np.where(after <= np.minimum(age, HORIZON), after, np.nan)
        looked = age >= LOOK
        later = np.concatenate(
            [
                np.full(one[1].shape, np.nan) if look is None else look
                for one, look in zip(self.columns, self.later, strict=True)
            ]
        )
        return labelled_decisions(
            ACTIONS,
            rows,
            [(*ACTIONS, "no_action")[one] for one in shown],
            chances,
            later=later,
            looked_after_days=np.where(looked, float(LOOK), np.nan),
            gone_at_look=looked & (after <= LOOK),
            customers=who,
            age_days=age,
            left_after_days=known,
        )


def play(seed: int, poison: bool) -> Found:
    """Play one world."""
    random = np.random.default_rng((seed, int(poison)))
    world = World(random, A_DAY, STRENGTH, HIDDEN)
    means = world.customers(random, CUSTOMERS)
    arms = random.choice(3, CUSTOMERS, p=[1 - ARMS.random - ARMS.nobody, ARMS.random, ARMS.nobody])
    chances = _chances(random, means, arms)
    _balance(world, means[arms == POLICY], chances[arms == POLICY])
    plain, moves, hidden = means, np.zeros(means.shape), np.zeros(CUSTOMERS)
    left_on, met = np.full(CUSTOMERS, np.nan), np.zeros(CUSTOMERS, dtype=bool)
    showings = np.zeros((MOST_DAYS, CUSTOMERS), dtype=bool)
    log, test, wrong = _Log(), HarmTest(), tuple[str, ...]()
    fade = np.exp(-world.fades.mean())
    for day in range(MOST_DAYS):
        features = plain + moves
        _look(log, day, features)
        stays = np.isnan(left_on)
        come = (stays & (random.random(CUSTOMERS) < COMES)).nonzero()[0]
        shown = _drawn(random, chances[come])
        log.columns.append((come, features[come], shown, chances[come], day))
        log.later.append(None)
        met[come] = True
        effect = world.effects(means[come])[np.arange(len(come)), shown]
        effect[shown == POISON] = 0.0
        moved, not_seen = world.split(shown, effect)
        moves[come] += moved
        hidden[come] += not_seen
        showings[day, come[shown == POISON]] = poison
        acting = showings[max(0, day - AFTER_DAYS - LASTS_DAYS + 1) : max(0, day - AFTER_DAYS + 1)]
        rate = world.rate(plain + moves, hidden) * (1 + acting.sum(axis=0))
        leaves = stays & (random.random(CUSTOMERS) < -np.expm1(-rate))
        left_on[leaves] = day
        test = _counted(test, arms, leaves & met)
        plain, moves, hidden = world.wander(random, plain, means), moves * fade, hidden * fade
        left = int((~np.isnan(left_on)).sum())
        if day % FIT_DAYS == FIT_DAYS - 1:
            wrong = _audited(log, day, left_on)
        if wrong or test.exceeds(1 / LEVEL) or left >= MOST_LEFT:
            break
    return Found(left, day, wrong, test.exceeds(1 / LEVEL))


def _balance(world: World, means: Floats, chances: Floats) -> None:
    """Let the policy's actions, but for the poison, change leaving by nothing on average.

    Else the policy as a whole would do harm, and the guardrail would be right to warn of it.
    """
    shown = chances[:, 1:K]
    world.levels[1:] -= (world.effects(means)[:, 1:K] * shown).sum() / shown.sum()


def _chances(random: np.random.Generator, means: Floats, arms: Ints) -> Floats:
    """The chance of each action and of none for each customer, shape (n, K + 1)."""
    liking = random.normal(0.0, 0.5, (K, means.shape[1]))
    told = means @ liking.T
    told[:, POISON] += LIKED
    weight = np.exp(told)
    of_policy = np.maximum(weight / weight.sum(axis=1, keepdims=True), 0.01)
    of_policy *= (1 - FLOOR) / of_policy.sum(axis=1, keepdims=True)
    found = np.zeros((len(means), K + 1))
    found[:, :K], found[:, K] = of_policy, FLOOR
    found[arms == RANDOM] = np.append(np.full(K, 1 / K), 0.0)
    found[arms == NOBODY] = np.append(np.zeros(K), 1.0)
    return found


def _drawn(random: np.random.Generator, chances: Floats) -> Ints:
    below = random.random((len(chances), 1)) < chances.cumsum(axis=1)
    found: Ints = np.where(below.any(axis=1), below.argmax(axis=1), K)
    return found


def _look(log: _Log, day: int, features: Floats) -> None:
    """Read the features again of the customers whose decisions are three days old."""
    if day >= LOOK:
        log.later[day - LOOK] = features[log.columns[day - LOOK][0]]


def _counted(test: HarmTest, arms: Ints, leaves: Bools) -> HarmTest:
    """Count customers who leave in the test of the policy's arm against `nobody`."""
    compared = arms[leaves & (arms != RANDOM)]
    if not len(compared):
        return test
    policy = 1 - ARMS.random - ARMS.nobody
    share = np.full(len(compared), policy / (policy + ARMS.nobody))
    return test.add(share, compared == POLICY, 1.0)


def _audited(log: _Log, day: int, left_on: Floats) -> tuple[str, ...]:
    """Fit the effect model to all decisions, and return the families that it distrusts."""
    decisions = log.decisions(day, left_on)
    business = EffectInput(ACTIONS, GROUPS, FEATURES, ("web",), horizon_days=HORIZON)
    count = decisions.n_decisions

    def read(step: int) -> list[LabelledDecisions]:
        return [decisions if step == 1 else decisions.take(np.arange(0, count, step))]

    model = fit_effects(lambda step: iter(read(step)), count, business, EffectParams())
    return () if model is None else model.distrusted
