"""Changes the state of the shop's customers by what they are shown, click, order and return."""

from __future__ import annotations

import numpy as np

from training.arrays import Bools, Floats, Ints
from training.simulation.business import Arrivals
from training.simulation.due_events import DueEvents
from training.simulation.shop.actions import (
    APOLOGY,
    EMAIL,
    FLASH_SALE,
    IRRITATION,
    SEEN_STRENGTH,
)
from training.simulation.shop.seasons import season_of
from training.simulation.shop.shopper_state import (
    HUNGER_AFTER_ORDER,
    PROBLEM_AFTER_ORDER,
    REGRET,
    REGRET_AFTER_DAYS,
    RETURN_GOODWILL,
    UNSUBSCRIBE,
    UNSUBSCRIBE_IRRITATION,
    WAITING_PER_DISCOUNT,
    ShopState,
)
from training.simulation.shop.shoppers import ShopTraits
from training.simulation.shop.true_effects import (
    HANDLING_EUR,
    MAX_ORDER,
    MAX_RETURN,
    effect_durations,
    goodwill_added,
    largest_discount,
    order_effects,
    return_factor,
    waiting_factor,
)

AMOUNT_SPREAD = 0.5  # standard deviation of the logarithm of an order's amount
RETURNED_SHARES = (0.3, 1.0)  # of an order
RETURN_AFTER_DAYS = (4, 14)


def click(
    state: ShopState,
    traits: ShopTraits,
    arrivals: Arrivals,
    actions: Ints,
    clicked: Bools,
    day: int,
    uniform: Floats,
) -> None:
    """Begin the effects of the actions shown, stronger where they were clicked.

    Parameters
    ----------
    actions, clicked : shape (n,)
    uniform : shape (2, n)
        For the duration of the effect, and for the days from its end to the regret.
    """
    rows = np.flatnonzero(actions > 0)
    customer, channel, action = arrivals.customer[rows], arrivals.channel[rows], actions[rows]
    clicked, uniform = clicked[rows], uniform[:, rows]
    each = np.repeat(clicked.astype(np.float64)[:, None], state.strength.shape[1], axis=1)
    added = goodwill_added(state, customer, each)
    state.goodwill[customer] += added[np.arange(len(rows)), action]
    lasts, strength = effect_durations(uniform[0], action), np.where(clicked, 1.0, SEEN_STRENGTH)
    running = np.where(
        state.running_days[customer, action] > 0, state.strength[customer, action], 0.0
    )
    state.strength[customer, action] = np.maximum(running, strength)
    state.running_days[customer, action] = np.maximum(state.running_days[customer, action], lasts)
    first, last = REGRET_AFTER_DAYS
    regret_day = day + lasts + first + np.floor(uniform[1] * (last - first + 1)).astype(np.int64)
    regrets = (action == FLASH_SALE) & (regret_day < state.shocks.shape[1])
    state.shocks[customer[regrets], regret_day[regrets]] += REGRET * strength[regrets]
    irritation = traits.touchiness[customer, channel] * IRRITATION[action]
    state.irritation[customer, channel] += irritation
    solved = customer[clicked & (action == APOLOGY)]
    state.problem[solved] = state.complained[solved] = False
    state.contacts[customer] += 1
    state.mails[customer] += channel == EMAIL
    state.clicks[customer] += clicked


def stop_mailing(state: ShopState, arrivals: Arrivals, actions: Ints, uniform: Floats) -> Ints:
    """Draw the customers who unsubscribe from e-mail, and return them."""
    customer = arrivals.customer
    chance = UNSUBSCRIBE * np.exp(UNSUBSCRIBE_IRRITATION * state.irritation[customer, EMAIL])
    mailed = (arrivals.channel == EMAIL) & (actions > 0) & state.alive[customer]
    stopped: Ints = customer[mailed & (uniform < chance)]
    state.unsubscribed[stopped] = True
    return stopped


def order_today(
    state: ShopState,
    traits: ShopTraits,
    visitors: Ints,
    channel: Ints,
    uniform: Floats,
    noise: Floats,
    day: int,
    due: DueEvents,
) -> None:
    """Draw the orders of today's visitors, and what they will send back.

    Parameters
    ----------
    visitors, channel : shape (n,)
    uniform : shape (6, n)
    noise : shape (n,)
        Of the standard normal distribution.
    """
    running = state.running[visitors]
    chance = traits.order_rate[visitors] * season_of(traits.taste[visitors], day)
    chance *= state.hunger[visitors]
    chance *= 1 + (running * order_effects(state, traits, visitors)).sum(axis=1)
    chance *= waiting_factor(traits.price_sensitivity[visitors], state.waiting[visitors])
    ordered = uniform[0] < np.minimum(chance, MAX_ORDER)
    factor = return_factor(running)
    rows = np.flatnonzero(ordered)
    customer, uniform, on = visitors[rows], uniform[:, rows], channel[rows]
    listed = traits.amount_eur[customer] * np.exp(
        AMOUNT_SPREAD * noise[rows] - AMOUNT_SPREAD**2 / 2
    )
    discount = largest_discount(running[rows])
    paid, given = np.round(listed * (1 - discount), 2), np.round(listed * discount, 2)
    today = np.full(len(rows), day)
    due.add("order_placed", today, customer, on, amount_eur=paid, discount_eur=given)
    rate = np.minimum(traits.return_rate[customer] * factor[rows], MAX_RETURN)
    back = uniform[1] < rate
    low, high = RETURNED_SHARES
    share = (low + (high - low) * uniform[2])[back]
    first, last = RETURN_AFTER_DAYS
    after = first + np.floor(uniform[3] * (last - first + 1)).astype(np.int64)
    refund, handling = np.round(share * paid[back], 2), np.full(len(share), HANDLING_EUR)
    amounts = {"amount_eur": refund, "handling_eur": handling}
    due.add("parcel_returned", (day + after)[back], customer[back], on[back], **amounts)
    state.goodwill[customer] -= RETURN_GOODWILL * back
    state.hunger[customer] *= HUNGER_AFTER_ORDER
    state.problem[customer] |= uniform[4] < PROBLEM_AFTER_ORDER
    habit = WAITING_PER_DISCOUNT * discount / 0.1
    state.waiting[customer] += (1 - state.waiting[customer]) * habit
    state.last_order[customer] = day
    state.orders[customer] += 1
    state.discounted[customer] += discount > 0
    state.returned[customer] += back
