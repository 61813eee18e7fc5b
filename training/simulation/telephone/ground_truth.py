"""The true effects of actions: acceptance, returns, satisfaction, fatigue, churn, expected value.

`World` draws outcomes from them. Of the policies, only `OraclePolicy` reads them.
"""

from __future__ import annotations

import numpy as np

from training.arrays import Floats, Ints
from training.simulation.telephone.actions import (
    ACTION_NEED,
    BASE_LOGIT,
    CALL_BACK,
    COST,
    FATIGUE_PER_CONTACT,
    HOW_TO,
    NEED_LOGIT,
    PRICE,
    PRICE_CUT,
    PROMOTIONS,
    VALUE,
    K,
)
from training.simulation.telephone.customer_state import (
    FATIGUE_RETENTION,
    NEED_DAYS,
    PROBLEM_DISSATISFACTION,
    PROBLEM_END,
    PROBLEM_START,
    SATISFACTION_RECOVERY,
    CustomerState,
    churn_probability,
)
from training.simulation.telephone.customers import CustomerTraits

HORIZON_DAYS = 45  # the effect of a contact on churn is over by then
RETURN_IF_NEEDED, RETURN_IF_NOT_NEEDED = 0.05, 0.3  # probability that a purchase is returned


def acceptance_probability(
    state: CustomerState, traits: CustomerTraits, customer: Ints, channel: Ints
) -> Floats:
    """Compute the probability that each action is accepted, shape (n, K)."""
    need, stage = state.need[customer][:, None], state.stage[customer][:, None]
    wanted = need == ACTION_NEED
    logit = (
        BASE_LOGIT + traits.affinity[customer] + wanted * (NEED_LOGIT + 0.35 * stage * PROMOTIONS)
    )
    logit[:, CALL_BACK] += NEED_LOGIT[CALL_BACK] * state.problem[customer]
    logit[:, HOW_TO] += 0.8 * (state.onboarding[customer] > 0)
    logit += (
        traits.channel_preference[customer, channel][:, None]
        + 0.3 * state.satisfaction[customer][:, None]
    )
    logit -= (
        0.3 * state.fatigue[customer][:, None] + 1.0 * PROMOTIONS * state.problem[customer][:, None]
    )
    logit -= 1.5 * PROMOTIONS * np.minimum(state.bought[customer], 1)[:, None] * ~wanted
    logit[state.discounted[customer] > 0, PRICE_CUT] = -np.inf
    probability: Floats = 1 / (1 + np.exp(-logit))
    return probability


def return_probability(state: CustomerState, customer: Ints) -> Floats:
    """Compute the probability that an accepted action is returned, shape (n, K)."""
    wanted = state.need[customer][:, None] == ACTION_NEED
    return PROMOTIONS * np.where(wanted, RETURN_IF_NEEDED, RETURN_IF_NOT_NEEDED)


def satisfaction_changes(state: CustomerState, customer: Ints) -> tuple[Floats, Floats]:
    """Compute what each action adds to satisfaction if it is refused, and if it is accepted.

    Both of shape (n, K). A promotion lowers the satisfaction of a customer with a problem, reported
    or not. A discount lowers that of a customer who does not need a lower price, and a call lowers
    that of a customer without a problem.
    """
    need, problem = state.need[customer][:, None], state.problem[customer][:, None]
    wanted = need == ACTION_NEED
    refused = PROMOTIONS * np.where(problem, -0.5, np.where(wanted, 0.0, -0.06))
    accepted = np.maximum(refused, 0.0) + 0.15 * PROMOTIONS
    refused[:, PRICE_CUT] = np.where(wanted[:, PRICE_CUT], 0.05, -0.35)
    accepted[:, PRICE_CUT] = np.where(wanted[:, PRICE_CUT], 0.3, -0.2)
    refused[:, CALL_BACK] = np.where(problem[:, 0], 0.1, -0.1)
    accepted[:, CALL_BACK] = np.where(problem[:, 0], 0.8, 0.0)
    welcome = wanted[:, HOW_TO] | (state.onboarding[customer] > 0)
    refused[:, HOW_TO] = np.where(welcome, 0.0, -0.05)
    accepted[:, HOW_TO] = np.where(welcome, 0.45, 0.05)
    return refused, accepted


def fatigue_added(traits: CustomerTraits, customer: Ints, channel: Ints) -> Floats:
    """Compute the fatigue that each action adds, shape (n, K): more on a disliked channel."""
    each: Floats = traits.fatigue_sensitivity[customer] * np.exp(
        -0.5 * traits.channel_preference[customer, channel]
    )
    fatigue: Floats = np.multiply.outer(each, FATIGUE_PER_CONTACT)
    return fatigue


def expected(state: CustomerState, traits: CustomerTraits, customer: Ints, channel: Ints) -> Floats:
    """Compute the expected value of each action now, in euro, shape (n, K); 0 for `no_action`.

        acceptance x value x (1 - return) - cost - added churn x margin of a year

    The churn probability within `HORIZON_DAYS` follows the customer's mean path without further
    contacts. Two effects are left out: the mean path is not the mean over paths, and a contact
    changes what later contacts earn.
    """
    probability = acceptance_probability(state, traits, customer, channel)
    earned = probability * VALUE * (1 - return_probability(state, customer)) - COST
    churn = _churn_within_horizon(state, traits, customer, channel, probability)
    added = churn - churn[:, :1]
    value: Floats = earned - added * traits.lost_eur[customer][:, None]
    return value


def _churn_within_horizon(
    state: CustomerState, traits: CustomerTraits, customer: Ints, channel: Ints, probability: Floats
) -> Floats:
    """Compute the probability of churn within `HORIZON_DAYS` after each action, shape (n, K)."""
    churn_logit = traits.churn_logit[customer][:, None]
    refused, accepted = satisfaction_changes(state, customer)
    baseline = traits.baseline_satisfaction[customer][:, None]
    deviation = (
        state.satisfaction[customer][:, None]
        + refused
        + probability * (accepted - refused)
        - baseline
    )
    fatigue = state.fatigue[customer][:, None] + fatigue_added(traits, customer, channel)
    problem = np.repeat(state.problem[customer].astype(np.float64)[:, None], K, axis=1)
    problem[:, CALL_BACK] *= 1 - probability[:, CALL_BACK]
    held = np.repeat((state.discounted[customer] > 0).astype(np.float64)[:, None], K, axis=1)
    held[:, PRICE_CUT] += (1 - held[:, PRICE_CUT]) * probability[:, PRICE_CUT]
    price = np.repeat((state.need[customer] == PRICE).astype(np.float64)[:, None], K, axis=1)
    stays = np.ones_like(deviation)
    price_share = traits.need_shares[customer, PRICE][:, None]
    starts = (PROBLEM_START * (1 + traits.rural[customer]))[:, None]
    for _ in range(HORIZON_DAYS):
        stays *= 1 - churn_probability(
            churn_logit,
            baseline + deviation,
            fatigue,
            problem,
            price,
            held,
        )
        deviation = deviation * (1 - SATISFACTION_RECOVERY) - PROBLEM_DISSATISFACTION * problem
        fatigue = fatigue * FATIGUE_RETENTION
        problem = problem * (1 - PROBLEM_END) + (1 - problem) * starts
        price = price + (price_share - price) / NEED_DAYS
    churned: Floats = 1 - stays
    return churned
