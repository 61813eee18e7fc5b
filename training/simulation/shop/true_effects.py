"""The true chances of the shop: clicks, visits, orders, returns, lapses.

`ShopWorld` draws from them, and `true_values` computes the expected value of actions from them.
"""

from __future__ import annotations

import numpy as np

from training.arrays import Floats, Ints
from training.simulation.shop.actions import (
    APOLOGY,
    CLICK_LOGIT,
    DISCOUNT,
    FLASH_DAYS,
    FLASH_SALE,
    FREE_RETURNS,
    IRRITATION,
    MATCHING,
    MEAN_DAYS,
    ORDERS,
    RETURNS,
    SEEN_STRENGTH,
    TEN_PERCENT,
    VISITS,
    WIN_BACK,
    K,
)
from training.simulation.shop.shopper_state import (
    GOODWILL_RECOVERY,
    LAPSE_GOODWILL,
    LAPSE_IRRITATION,
    MAX_LAPSE,
    PLEASURE,
    PROBLEM_AFTER_ORDER,
    PROBLEM_END,
    PROBLEM_GOODWILL,
    REGRET,
    REGRET_AFTER_DAYS,
    RETURN_GOODWILL,
    ShopState,
)
from training.simulation.shop.shoppers import MARGIN_RATE, ShopTraits

HANDLING_EUR = 3.5  # cost of a return
MEAN_SHARE_RETURNED = 0.65  # of an order, if something is returned
MAX_VISIT, MAX_ORDER, MAX_RETURN = 0.95, 0.9, 0.95
APOLOGY_GOODWILL, VOUCHER_GOODWILL = 1.0, 1.2
USUAL_LAPSE = 0.004  # a day, of customers with a problem
LOW_GOODWILL = 0.2  # below it a voucher makes up for a part of what is missing


def click_probability(
    state: ShopState, traits: ShopTraits, customer: Ints, channel: Ints
) -> Floats:
    """Compute the probability that each action is clicked, shape (n, K); 0 for `no_action`."""
    logit = np.tile(CLICK_LOGIT, (len(customer), 1))
    liked = traits.taste[customer, state.interest[customer]]
    logit[:, MATCHING] += 2.5 * (liked - 0.4)
    logit[:, TEN_PERCENT] += 1.5 * (traits.price_sensitivity[customer] - 0.4)
    logit[:, FLASH_SALE] += 0.8 * (traits.price_sensitivity[customer] - 0.4)
    logit[:, FREE_RETURNS] += 1.5 * (traits.unsure[customer] - 0.3)
    logit[:, APOLOGY] -= 4.0 * ~state.problem[customer]
    logit += traits.channel_preference[customer, channel][:, None]
    logit += 0.3 * state.goodwill[customer][:, None]
    logit -= 0.25 * state.irritation[customer, channel][:, None]
    probability: Floats = 1 / (1 + np.exp(-logit))
    probability[:, 0] = 0.0
    return probability


def order_effects(state: ShopState, traits: ShopTraits, customer: Ints) -> Floats:
    """Compute by how much each running effect raises the chance of an order, shape (n, K)."""
    effects = np.tile(ORDERS, (len(customer), 1))
    effects[:, MATCHING] *= 2 * traits.taste[customer, state.interest[customer]]
    effects[:, TEN_PERCENT] *= traits.price_sensitivity[customer]
    effects[:, FREE_RETURNS] *= traits.unsure[customer]
    return effects


def effect_durations(uniform: Floats, actions: Ints) -> Ints:
    """Draw the days that an effect lasts, shape (n,): geometric, but for the flash sale."""
    decay = np.log(np.maximum(1 - 1 / MEAN_DAYS[actions], 1e-12))
    geometric = 1 + np.floor(np.log(1 - uniform) / decay)
    first, last = FLASH_DAYS
    flash = first + np.floor(uniform * (last - first + 1))
    return np.where(actions == FLASH_SALE, flash, geometric).astype(np.int64)


def effect_lasts(after: int) -> Floats:
    """Probability that the effect of each action still runs some days after it began, (K,)."""
    lasts: Floats = (1 - 1 / MEAN_DAYS) ** after
    first, last = FLASH_DAYS
    lasts[FLASH_SALE] = np.clip((last - after) / (last - first + 1), 0, 1) if after else 1.0
    return np.minimum(lasts, 1.0)


def mean_strength(click: Floats) -> Floats:
    """Mean strength of an effect that begins now, by the probability of a click."""
    strength: Floats = click + (1 - click) * SEEN_STRENGTH
    return strength


def visit_factor(running: Floats) -> Floats:
    """Multiplies the chance of a visit; ``running`` holds strengths, shape (n, K)."""
    factor: Floats = 1 + running @ VISITS
    return factor


def waiting_factor(price_sensitivity: Floats, waiting: Floats) -> Floats:
    """Multiplies the chance of an order of customers who wait for a discount; shapes broadcast."""
    factor: Floats = 1 - 0.5 * price_sensitivity * waiting
    return factor


def margin_of_order(amount_eur: Floats, discount: Floats, return_rate: Floats) -> Floats:
    """Mean margin of an order of a list price, with discount and returns deducted."""
    paid = amount_eur * (1 - discount)
    back = return_rate * (MEAN_SHARE_RETURNED * MARGIN_RATE * paid + HANDLING_EUR)
    margin: Floats = MARGIN_RATE * amount_eur - discount * amount_eur - back
    return margin


def lapse_probability(
    lapse_logit: Floats, goodwill: Floats, irritation: Floats, harm: Floats | float = 1.0
) -> Floats:
    """Compute the probability that a customer lapses on a day; shapes broadcast.

    Parameters
    ----------
    irritation
        Summed over the channels.
    harm
        Multiplies the probability.
    """
    hazard = np.exp(lapse_logit - LAPSE_GOODWILL * goodwill + LAPSE_IRRITATION * irritation)
    return np.minimum(hazard * harm, MAX_LAPSE)


def goodwill_added(state: ShopState, customer: Ints, clicked: Floats) -> Floats:
    """Compute the goodwill that each action adds at once, shape (n, K).

    Parameters
    ----------
    clicked : shape (n, K)
        1 where it was clicked, or the probability of it.
    """
    added = np.zeros((len(customer), K))
    added[:, APOLOGY] = APOLOGY_GOODWILL * clicked[:, APOLOGY] * state.problem[customer]
    low = np.maximum(LOW_GOODWILL - state.goodwill[customer], 0)
    added[:, WIN_BACK] = VOUCHER_GOODWILL * clicked[:, WIN_BACK] * low
    return added


def irritation_added(traits: ShopTraits, customer: Ints, channel: Ints) -> Floats:
    """Compute the irritation that each action adds on its channel, shape (n, K)."""
    added: Floats = np.multiply.outer(traits.touchiness[customer, channel], IRRITATION)
    return added


def largest_discount(running: Floats) -> Floats:
    """Largest running discount, shape (n,); who has not clicked it does not get it."""
    discount: Floats = ((running >= 1) * DISCOUNT).max(axis=1)
    return discount


def return_factor(running: Floats) -> Floats:
    """Multiplies the chance of a return, shape (n,): an effect counts by its strength."""
    factor: Floats = np.prod(1 + running * (RETURNS - 1), axis=1)
    return factor


def pleasure(running: Floats) -> Floats:
    """Goodwill while a flash sale runs, shape (n,)."""
    added: Floats = PLEASURE * running[:, FLASH_SALE]
    return added


def problem_harm(days: int) -> Floats:
    """Compute by how much a delivery problem raises the chance to lapse, by days since, (days,).

    The mean over the problem's duration of exp(lost goodwill) - 1, among customers who have not
    lapsed by then, at `USUAL_LAPSE`: whose problem lasts long, they lapse first.
    """
    after, kept = np.arange(days), 1 - GOODWILL_RECOVERY
    harm, weight, chance = np.zeros(days), np.zeros(days), PROBLEM_END
    for lasts in range(1, 200):  # mornings on which it is still open
        # Goodwill lost so far: the sum of a geometric series, which then decays.
        lost = PROBLEM_GOODWILL * (1 - kept ** np.minimum(after, lasts)) / GOODWILL_RECOVERY
        lost *= kept ** np.maximum(after - lasts, 0)
        raised = np.exp(LAPSE_GOODWILL * lost)
        stays = chance * np.exp(-USUAL_LAPSE * (np.cumsum(raised) - raised))
        harm += stays * (raised - 1)
        weight += stays
        chance *= 1 - PROBLEM_END
    mean: Floats = harm / weight
    return mean


def order_harm(days: int) -> tuple[Floats, Floats]:
    """Compute by how much orders raise the chance to lapse, each of shape (days,).

    For one order on each day so far: by delivery problems, and by returns where each order is
    returned.
    """
    problems = PROBLEM_AFTER_ORDER * problem_harm(days)
    lost = RETURN_GOODWILL * (1 - GOODWILL_RECOVERY) ** np.arange(days)
    return np.cumsum(problems), np.cumsum(np.exp(LAPSE_GOODWILL * lost) - 1)


def regret_by_day() -> Floats:
    """Goodwill lost on each day after a flash sale that was clicked, shape (n_days,).

    The mean over its duration and over the days from its end to the regret, both uniform.
    """
    (first, last), (soonest, latest) = FLASH_DAYS, REGRET_AFTER_DAYS
    lost = np.zeros(last + latest + 1)
    for lasts in range(first, last + 1):
        lost[lasts + soonest : lasts + latest + 1] += 1
    mean: Floats = REGRET * lost / lost.sum()
    return mean
