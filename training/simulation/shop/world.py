"""The simulated shop, played day by day.

Customers (`ShopTraits`, `ShopState`) have no contract. They visit, order, send back, are irritated
by contacts on each channel, learn to wait for discounts, and one day stop coming without a word.
The business sees that only by their silence. Customers who do not visit can be reached by e-mail on
mailing days, also those who have lapsed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.arrays import Bools, Floats, Ints
from training.simulation.business import (
    MAX_DAYS,
    ActionOutcomes,
    Arrivals,
    SimulatedEvent,
)
from training.simulation.checks import check_allowed, check_size
from training.simulation.contact_caps import ShownActions
from training.simulation.draws import draw_arrival_minutes, sample_categorical
from training.simulation.due_events import DueEvents
from training.simulation.shop.actions import (
    APOLOGY,
    CAPS,
    CHANNEL_ALLOWED,
    CHANNELS,
    COST,
    EMAIL,
    FREE_RETURNS,
    LINES,
    NAMES,
    PROMOTIONS,
)
from training.simulation.shop.days import click, order_today, stop_mailing
from training.simulation.shop.seasons import week_factor
from training.simulation.shop.shop_events import ShopMorning
from training.simulation.shop.shop_features import shop_features
from training.simulation.shop.shopper_state import (
    SILENT_DAYS,
    advance_shop_day,
    initial_shop_state,
)
from training.simulation.shop.shoppers import MARGIN_RATE, draw_shoppers, shopper_table
from training.simulation.shop.true_effects import (
    MAX_VISIT,
    click_probability,
    lapse_probability,
    pleasure,
    visit_factor,
)
from training.simulation.shop.true_values import expected_values

MAILING_DAYS = 4  # from one mailing day of a customer to the next
NEW_INTEREST = 0.15  # chance that a customer looks at another line on the next day
MARGIN_SHARES = {  # as in the domain's `objective`
    "order_placed.amount_eur": MARGIN_RATE,
    "order_placed.discount_eur": MARGIN_RATE - 1,
    "parcel_returned.amount_eur": -MARGIN_RATE,
    "parcel_returned.handling_eur": -1.0,
    "consent_withdrawn": 0.0,
}


class ShopWorld:
    """A simulated shop; see `SimulatedWorld`.

    Parameters
    ----------
    customers, seed : int
        Worlds of the same numbers are equal.
    days : int
        Days that can be played.

    Raises
    ------
    InvalidSetting
        If there are no customers, or more than `MAX_DAYS` days.
    """

    def __init__(self, customers: int, seed: int, days: int = 90) -> None:
        check_size(customers, days)
        self.days, self.day, self._seed = days, -1, seed
        rng = np.random.default_rng([seed, 10])
        self.traits = draw_shoppers(customers, rng)
        self.state = initial_shop_state(self.traits, days, rng)
        self.arrived_at = draw_arrival_minutes(customers, seed)
        self.gone = np.zeros(customers, np.bool_)
        self._contacts = ShownActions(customers, days, CAPS, NAMES, CHANNELS)
        self._due = DueEvents(customers, MARGIN_SHARES)
        self._morning = ShopMorning(customers)

    @property
    def lost_eur(self) -> Floats:
        """See `SimulatedWorld`: the margin of a year, as the business expects it."""
        return self.traits.lost_eur

    @property
    def shown(self) -> NDArray[np.int8]:
        """See `SimulatedWorld`."""
        return self._contacts.shown

    @property
    def shown_on(self) -> NDArray[np.int8]:
        """See `SimulatedWorld`."""
        return self._contacts.shown_on

    def customers(self) -> pd.DataFrame:
        """See `SimulatedWorld`."""
        return shopper_table(self.traits)

    def begin_day(self) -> Arrivals:
        """Begin a new day and draw visits and mailings."""
        self.day += 1
        state, traits, n = self.state, self.traits, len(self.gone)
        self._rng = np.random.default_rng([self._seed, 11, self.day])
        # All draws of the day are made here, so their order cannot depend on the actions.
        uniform = self._rng.random((20, n))
        self._uniform, self._noise = uniform, self._rng.normal(size=n)
        advance_shop_day(state, traits, self.day, uniform[:2])
        visits = traits.visit_rate * week_factor(self.day) * visit_factor(state.running)
        self._visiting = state.alive & (uniform[2] < np.minimum(visits, MAX_VISIT))
        changes = uniform[3] < NEW_INTEREST
        state.interest = np.where(
            changes, sample_categorical(traits.taste, uniform[4]), state.interest
        )
        mailed = (self.day + traits.mailing_phase) % MAILING_DAYS == 0
        customer = np.flatnonzero(self._visiting | (mailed & ~state.unsubscribed))
        likes_app = traits.channel_preference[:, 0] - traits.channel_preference[:, 1]
        on_app = uniform[5] < 1 / (1 + np.exp(-1.5 * likes_app))
        channel = np.where(self._visiting, np.where(on_app, 0, 1), EMAIL)[customer]
        contexts = shop_features(state, traits, customer, channel, self.day)
        self._notice_silence()
        self._arrivals = Arrivals(customer, channel, contexts, self._allowed(customer, channel))
        self._morning.begin_day(state.complained, self._visiting)
        return self._arrivals

    def events(self) -> list[SimulatedEvent]:
        """See `SimulatedWorld`: complaints and visits."""
        return self._morning.events(self._arrivals, self.state.interest, self.arrived_at)

    def sent(self) -> list[dict[str, Any]]:
        """See `SimulatedWorld`: the line that a visitor looks at."""
        lines = self.state.interest[self._arrivals.customer].tolist()
        mails = (self._arrivals.channel == EMAIL).tolist()
        return [
            {} if mail else {"line": LINES[one]} for one, mail in zip(lines, mails, strict=True)
        ]

    def expected(self) -> Floats:
        """See `SimulatedWorld`: `expected_values` has what is left out."""
        arrivals = self._arrivals
        visiting = (arrivals.channel != EMAIL).astype(np.float64)
        return expected_values(
            self.state, self.traits, arrivals.customer, arrivals.channel, visiting, self.day
        )

    def act(self, actions: Ints) -> ActionOutcomes:
        """Show one action to each of today's arrivals, shape (n,), and draw the clicks.

        Raises
        ------
        InvalidSetting
            If an action is not allowed.
        """
        arrivals, rows = self._arrivals, np.arange(len(self._arrivals.customer))
        check_allowed(arrivals, actions)
        customer, channel, state = arrivals.customer, arrivals.channel, self.state
        uniform = self._uniform[6:12, customer]
        probability = click_probability(state, self.traits, customer, channel)[rows, actions]
        clicked = uniform[0] < probability
        delay = np.minimum(np.floor(np.log(1 - uniform[1]) / np.log(0.5)), 5).astype(np.int64)
        delay = np.where(channel == EMAIL, delay, delay // 2)
        click(state, self.traits, arrivals, actions, clicked, self.day, uniform[2:4])
        stopped = stop_mailing(state, arrivals, actions, uniform[4])
        days = np.full(len(stopped), self.day)
        self._due.add("consent_withdrawn", days, stopped, np.full(len(stopped), EMAIL))
        self._contacts.count(customer, channel, self.day, actions)
        self._cost = np.zeros(len(self.gone))
        self._cost[customer] = COST[actions]
        never = np.full(len(rows), MAX_DAYS + 1)
        return ActionOutcomes(clicked, np.zeros(len(rows)), COST[actions], delay, never)

    def end_day(self) -> Bools:
        """Draw orders, returns and lapses; return who has now been silent for too long."""
        state, traits = self.state, self.traits
        visitors = np.flatnonzero(self._visiting)
        channel = self._channel_of(visitors)
        uniform, noise = self._uniform[12:18, visitors], self._noise[visitors]
        order_today(state, traits, visitors, channel, uniform, noise, self.day, self._due)
        hazard = lapse_probability(
            traits.lapse_logit,
            state.goodwill + pleasure(state.running),
            state.irritation.sum(axis=1),
        )
        state.alive &= self._uniform[18] >= hazard
        return self._left

    def late_events(self) -> list[SimulatedEvent]:
        """See `SimulatedWorld`: orders, returns, and withdrawn consents."""
        found = self._due.events(self.day, CHANNELS)
        return [self._morning.completed(event) for event in found]

    def value_of_day(self) -> Floats:
        """See `SimulatedWorld`; whoever visits again after a silence is no loss any more."""
        change = self._left.astype(np.float64) - self._back
        value: Floats = self._due.margin(self.day) - self._cost - change * self.lost_eur
        return value

    def _channel_of(self, visitors: Ints) -> Ints:
        channels = np.zeros(len(self.gone), np.int64)
        channels[self._arrivals.customer] = self._arrivals.channel
        return channels[visitors]

    def _notice_silence(self) -> None:
        """Note who has now been silent for `SILENT_DAYS`, and who is back after it."""
        visiting, state = self._visiting, self.state
        self._left: Bools = ~visiting & (self.day - state.last_visit == SILENT_DAYS)
        self._back = visiting & self.gone
        self.gone = (self.gone | self._left) & ~visiting
        state.last_visit[visiting] = self.day

    def _allowed(self, customer: Ints, channel: Ints) -> Bools:
        """Apply eligibility and contact policy: no promotion while a complaint is open."""
        allowed = CHANNEL_ALLOWED[channel] & self._contacts.allowed(customer, channel, self.day)
        complained = self.state.complained[customer]
        allowed[np.ix_(complained, PROMOTIONS)] = False
        allowed[~complained, APOLOGY] = False
        allowed[~self.traits.club[customer], FREE_RETURNS] = False
        return allowed
