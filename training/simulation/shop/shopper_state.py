"""The changing state of the shop's customers, and its daily changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.arrays import Bools, Floats, Ints
from training.simulation.shop.actions import CHANNELS, LINES, K
from training.simulation.shop.shoppers import ShopTraits

HUNGER_AFTER_ORDER = 0.4  # share of the wish to buy that an order leaves
HUNGER_RECOVERY = 0.10  # share of the way back in a day
IRRITATION_KEPT = np.array([0.80, 0.75, 0.93])  # on the next day, by channel; e-mail is remembered
GOODWILL_RECOVERY = 0.03  # share of the way back to the customer's level in a day
# Of the habit to wait for discounts; an order with 10 percent off adds the second number.
WAITING_KEPT, WAITING_PER_DISCOUNT = 0.97, 0.25
PROBLEM_AFTER_ORDER, PROBLEM_END, COMPLAINT = 0.12, 0.05, 0.35  # chances; the last two a day
PROBLEM_GOODWILL = 0.13  # goodwill lost on a day with a delivery problem
RETURN_GOODWILL = 0.30  # goodwill lost by an order that does not fit
REGRET, REGRET_AFTER_DAYS = 1.5, (10, 24)  # goodwill lost by a flash sale, days after its end
PLEASURE = 0.3  # goodwill while a flash sale runs
LAPSE_GOODWILL, LAPSE_IRRITATION, MAX_LAPSE = 1.0, 0.15, 0.25
UNSUBSCRIBE, UNSUBSCRIBE_IRRITATION = 0.003, 0.5  # chance at an e-mail; by irritation
SILENT_DAYS = 21  # without a visit, after which the business says that a customer has left
CLICKS_KEPT, CONTACTS_KEPT, ORDERS_KEPT, RETURNS_KEPT = 0.9, 0.87, 0.97, 0.98


@dataclass
class ShopState:
    """State of n customers today. The attributes up to ``shocks`` are hidden, the others observed.

    Attributes
    ----------
    alive : shape (n,)
        False for customers who have lapsed: they never visit again, and tell nobody.
    hunger : shape (n,)
        Wish to buy, from 0 to 1.
    goodwill, waiting : shape (n,)
        Goodwill towards the shop; habit to wait for the next discount, from 0 to 1.
    irritation : shape (n, n_channels)
    problem : shape (n,)
        True while a delivery is late or damaged, reported or not.
    running_days, strength : shape (n, K)
        Days that the effect of each action still runs, today included, and its strength.
    shocks : shape (n, n_days)
        Goodwill that is lost on days to come.
    interest : shape (n,)
        Index into `LINES` of the line that the customer looks at.
    complained : shape (n,)
        True if the problem is reported and not solved; promotions are suspended then.
    unsubscribed : shape (n,)
        True if the customer takes no more e-mail.
    last_visit, last_order : shape (n,)
        Day; -1,000 if there was none.
    clicks, contacts, mails, orders, discounted, returned : shape (n,)
        Counts with exponential decay.
    """

    alive: Bools
    hunger: Floats
    goodwill: Floats
    waiting: Floats
    irritation: Floats
    problem: Bools
    running_days: Ints
    strength: Floats
    shocks: Floats
    interest: Ints
    complained: Bools
    unsubscribed: Bools
    last_visit: Ints
    last_order: Ints
    clicks: Floats
    contacts: Floats
    mails: Floats
    orders: Floats
    discounted: Floats
    returned: Floats

    @property
    def running(self) -> Floats:
        """Strength of each running effect, 0 for others, shape (n, K)."""
        return np.where(self.running_days > 0, self.strength, 0.0)


def initial_shop_state(traits: ShopTraits, days: int, rng: np.random.Generator) -> ShopState:
    """Draw the state of the customers before the first day."""
    n = len(traits.club)
    none, zero, never = np.zeros(n, np.bool_), np.zeros(n), np.full(n, -1_000)
    return ShopState(
        alive=~none,
        hunger=rng.uniform(0.6, 1.0, n),
        goodwill=traits.goodwill + rng.normal(0, 0.2, n),
        waiting=zero.copy(),
        irritation=np.zeros((n, len(CHANNELS))),
        problem=none.copy(),
        running_days=np.zeros((n, K), np.int64),
        strength=np.zeros((n, K)),
        shocks=np.zeros((n, days)),
        interest=rng.integers(0, len(LINES), n),
        complained=none.copy(),
        unsubscribed=none.copy(),
        last_visit=never.copy(),
        last_order=never.copy(),
        clicks=zero.copy(),
        contacts=zero.copy(),
        mails=zero.copy(),
        orders=zero.copy(),
        discounted=zero.copy(),
        returned=zero.copy(),
    )


def advance_shop_day(state: ShopState, traits: ShopTraits, day: int, uniform: Floats) -> None:
    """Change goodwill, irritation, wishes and problems from one day to the next.

    Parameters
    ----------
    uniform : shape (2, n)
    """
    state.irritation *= IRRITATION_KEPT
    state.goodwill += GOODWILL_RECOVERY * (traits.goodwill - state.goodwill)
    state.goodwill -= state.shocks[:, day] + PROBLEM_GOODWILL * state.problem
    state.hunger += HUNGER_RECOVERY * (1 - state.hunger)
    state.waiting *= WAITING_KEPT
    state.running_days = np.maximum(state.running_days - 1, 0)
    state.problem &= uniform[0] >= PROBLEM_END
    state.complained = (state.complained | (uniform[1] < COMPLAINT)) & state.problem
    for counter, kept in (
        (state.clicks, CLICKS_KEPT),
        (state.contacts, CONTACTS_KEPT),
        (state.mails, CONTACTS_KEPT),
        (state.orders, ORDERS_KEPT),
        (state.discounted, ORDERS_KEPT),
        (state.returned, RETURNS_KEPT),
    ):
        counter *= kept
