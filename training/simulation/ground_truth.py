"""The truth of the simulated world: how likely an action is accepted, what it does to a customer,
and so what it is worth. Only the oracle may ask.
"""

from __future__ import annotations

import numpy as np

from training.arrays import Floats, Ints
from training.simulation.actions import (
    APPEAL,
    CALL_BACK,
    COST,
    HOW_TO,
    MATCH,
    PRICE,
    PRICE_CUT,
    PROMOTIONS,
    SERVED,
    TIRES,
    VALUE,
    K,
)
from training.simulation.customer_state import (
    CONTENT_AGAIN,
    FATIGUE_KEPT,
    NEED_LASTS_DAYS,
    PROBLEM_ANGERS,
    PROBLEM_BEGINS,
    PROBLEM_ENDS,
    State,
    leaving,
)
from training.simulation.customers import Customers

AHEAD_DAYS = 45  # by then a contact is forgotten
RETURNED, RETURNED_UNNEEDED = 0.05, 0.3  # of purchases


def acceptance(state: State, people: Customers, who: Ints, channel: Ints) -> Floats:
    """Chance that each action is accepted, shape (n, K)."""
    need, stage = state.need[who][:, None], state.stage[who][:, None]
    wanted = need == SERVED
    logit = APPEAL + people.affinity[who] + wanted * (MATCH + 0.35 * stage * PROMOTIONS)
    logit[:, CALL_BACK] += MATCH[CALL_BACK] * state.problem[who]
    logit[:, HOW_TO] += 0.8 * (state.onboarding[who] > 0)
    logit += people.liking[who, channel][:, None] + 0.3 * state.satisfaction[who][:, None]
    logit -= 0.3 * state.fatigue[who][:, None] + 1.0 * PROMOTIONS * state.problem[who][:, None]
    logit -= 1.5 * PROMOTIONS * np.minimum(state.bought[who], 1)[:, None] * ~wanted
    logit[state.discounted[who] > 0, PRICE_CUT] = -np.inf
    chance: Floats = 1 / (1 + np.exp(-logit))
    return chance


def returned(state: State, who: Ints) -> Floats:
    """Chance that what was bought is brought back, shape (n, K)."""
    wanted = state.need[who][:, None] == SERVED
    return PROMOTIONS * np.where(wanted, RETURNED, RETURNED_UNNEEDED)


def moods(state: State, who: Ints) -> tuple[Floats, Floats]:
    """What each action adds to satisfaction where it is refused, and where it is accepted.

    Shapes (n, K). Whoever has a problem, said or not, is angered by promotions; who did not think
    of the price is woken by a discount; a call about nothing is a nuisance.
    """
    need, problem = state.need[who][:, None], state.problem[who][:, None]
    wanted = need == SERVED
    refused = PROMOTIONS * np.where(problem, -0.5, np.where(wanted, 0.0, -0.06))
    accepted = np.maximum(refused, 0.0) + 0.15 * PROMOTIONS
    refused[:, PRICE_CUT] = np.where(wanted[:, PRICE_CUT], 0.05, -0.35)
    accepted[:, PRICE_CUT] = np.where(wanted[:, PRICE_CUT], 0.3, -0.2)
    refused[:, CALL_BACK] = np.where(problem[:, 0], 0.1, -0.1)
    accepted[:, CALL_BACK] = np.where(problem[:, 0], 0.8, 0.0)
    welcome = wanted[:, HOW_TO] | (state.onboarding[who] > 0)
    refused[:, HOW_TO] = np.where(welcome, 0.0, -0.05)
    accepted[:, HOW_TO] = np.where(welcome, 0.45, 0.05)
    return refused, accepted


def tired(people: Customers, who: Ints, channel: Ints) -> Floats:
    """What each action adds to fatigue, shape (n, K): more where they dislike the channel."""
    each: Floats = people.temper[who] * np.exp(-0.5 * people.liking[who, channel])
    tires: Floats = np.multiply.outer(each, TIRES)
    return tires


def expected(state: State, people: Customers, who: Ints, channel: Ints) -> Floats:
    """What each action is worth now, in euro, shape (n, K); `no_action` is worth 0.

        acceptance x value x (1 - returned) - cost - (chance of leaving it adds) x a year's margin

    The chance of leaving within `AHEAD_DAYS` follows a customer's mean path, in which nothing more
    is shown. That is the truth but for curvature, and for what a contact costs later contacts.
    """
    chance = acceptance(state, people, who, channel)
    earned = chance * VALUE * (1 - returned(state, who)) - COST
    leaves = _leaving_ahead(state, people, who, channel, chance)
    added = leaves - leaves[:, :1]
    worth: Floats = earned - added * people.lost_eur[who][:, None]
    return worth


def _leaving_ahead(
    state: State, people: Customers, who: Ints, channel: Ints, chance: Floats
) -> Floats:
    """Chance that each leaves within `AHEAD_DAYS` after each action, shape (n, K)."""
    loyalty = people.loyalty[who][:, None]
    refused, accepted = moods(state, who)
    content = people.content[who][:, None]
    anger = state.satisfaction[who][:, None] + refused + chance * (accepted - refused) - content
    fatigue = state.fatigue[who][:, None] + tired(people, who, channel)
    problem = np.repeat(state.problem[who].astype(np.float64)[:, None], K, axis=1)
    problem[:, CALL_BACK] *= 1 - chance[:, CALL_BACK]
    bound = np.repeat((state.discounted[who] > 0).astype(np.float64)[:, None], K, axis=1)
    bound[:, PRICE_CUT] += (1 - bound[:, PRICE_CUT]) * chance[:, PRICE_CUT]
    dear = np.repeat((state.need[who] == PRICE).astype(np.float64)[:, None], K, axis=1)
    stays, often = np.ones_like(anger), people.needs[who, PRICE][:, None]
    begins = (PROBLEM_BEGINS * (1 + people.rural[who]))[:, None]
    for _ in range(AHEAD_DAYS):
        stays *= 1 - leaving(loyalty, content + anger, fatigue, problem, dear, bound)
        anger = anger * (1 - CONTENT_AGAIN) - PROBLEM_ANGERS * problem
        fatigue = fatigue * FATIGUE_KEPT
        problem = problem * (1 - PROBLEM_ENDS) + (1 - problem) * begins
        dear = dear + (often - dear) / NEED_LASTS_DAYS
    gone: Floats = 1 - stays
    return gone
