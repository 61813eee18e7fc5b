"""The simulated telephone company, played day by day.

Customers (`CustomerTraits`, `CustomerState`) are in several journeys at once, have changing needs,
prefer some channels, get tired of contacts, and have problems that they may not report. Actions
(`ACTIONS`) sell, help, annoy or retain them. Outcomes follow days later, and some acceptances are
returned. `TelephoneWorld.expected` is the true expected value of each action.
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
from training.simulation.telephone.actions import (
    ACTION_NEED,
    CALL_BACK,
    CAPS,
    CHANNEL_ALLOWED,
    CHANNELS,
    COST,
    FATIGUE_PER_CONTACT,
    HOW_TO,
    NAMES,
    NEEDS,
    NOTHING,
    PRICE,
    PRICE_CUT,
    PROMOTIONS,
    VALUE,
)
from training.simulation.telephone.customer_state import (
    DISCOUNT_DAYS,
    ONBOARDING_DAYS,
    PAGE_SHOWS_NEED,
    PAGES,
    STAGES,
    advance_day,
    churn_today,
    initial_state,
)
from training.simulation.telephone.customers import customer_table, draw_traits
from training.simulation.telephone.ground_truth import (
    acceptance_probability,
    expected,
    fatigue_added,
    return_probability,
    satisfaction_changes,
)
from training.simulation.telephone.observed_features import observed_features
from training.simulation.telephone.told_events import ReportedJourneys, leaving_events

FAMILY_MIN_HOME_SIZE = 2  # people at home, for the family action
MARGIN_SHARES = {  # as in the domain's `objective`
    "purchase.amount_eur": 1.0,
    "returned.amount_eur": -1.0,
    "price_reduced.amount_eur": -1.0,
}


class TelephoneWorld:
    """A simulated telephone company; see `SimulatedWorld`.

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
        rng = np.random.default_rng([seed, 0])
        self.traits = draw_traits(customers, rng)
        self.state = initial_state(self.traits, rng)
        self.arrived_at = draw_arrival_minutes(customers, seed)
        self._contacts = ShownActions(customers, days, CAPS, NAMES, CHANNELS)
        self._due = DueEvents(customers, MARGIN_SHARES)
        self._journeys = ReportedJourneys(customers)

    @property
    def lost_eur(self) -> Floats:
        """See `SimulatedWorld`: the margin of a year."""
        return self.traits.lost_eur

    @property
    def gone(self) -> Bools:
        """See `SimulatedWorld`."""
        return ~self.state.active

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
        return customer_table(self.traits)

    def begin_day(self) -> Arrivals:
        """Begin a new day and draw the arrivals."""
        self.day += 1
        self._rng = np.random.default_rng([self._seed, 1, self.day])
        advance_day(self.state, self.traits, self._rng)
        uniform = self._rng.random((4, len(self.traits.age)))
        customer = np.flatnonzero(self.state.active & (uniform[0] < self.traits.visit_probability))
        channel = sample_categorical(self.traits.channel_share[customer], uniform[1][customer])
        self._visit_pages(customer, uniform[2:, customer])
        contexts = observed_features(self.state, self.traits, customer, channel, self.day)
        self.state.last_day[customer] = self.day
        self.state.channel_counts[customer, channel] += 1
        self._arrivals = Arrivals(customer, channel, contexts, self._allowed(customer, channel))
        self._journeys.begin_day(self.state)
        return self._arrivals

    def events(self) -> list[SimulatedEvent]:
        """See `SimulatedWorld`: complaints, calls, questions, use, scores and page views."""
        arrivals = self._arrivals
        return self._journeys.events(self.state, arrivals, self.arrived_at, self.day)

    def sent(self) -> list[dict[str, Any]]:
        """See `SimulatedWorld`: the page that the customer looks at."""
        pages = self.state.page[self._arrivals.customer].tolist()
        return [{"page": PAGES[page]} if page >= 0 else {} for page in pages]

    def expected(self) -> Floats:
        """Compute the true expected value of each action for today's arrivals, in euro, (n, K).

        Value of the acceptance with returns deducted, less the cost, less the added probability of
        churn times the loss if the customer leaves.
        """
        arrivals = self._arrivals
        return expected(self.state, self.traits, arrivals.customer, arrivals.channel)

    def act(self, actions: Ints) -> ActionOutcomes:
        """Show one action to each of today's arrivals, and draw the outcomes.

        Parameters
        ----------
        actions : shape (n,)
            Indexes into `ACTIONS`, each one allowed.

        Raises
        ------
        InvalidSetting
            If an action is not allowed.
        """
        arrivals, rows = self._arrivals, np.arange(len(self._arrivals.customer))
        check_allowed(arrivals, actions)
        customer, state = arrivals.customer, self.state
        uniform = self._rng.random((4, len(self.traits.age)))[:, customer]
        probability = acceptance_probability(state, self.traits, customer, arrivals.channel)[
            rows, actions
        ]
        accepted = uniform[0] < probability
        return_rate = return_probability(state, customer)[rows, actions]
        returned = accepted & (uniform[1] < return_rate)
        delay = np.minimum(np.floor(np.log(uniform[2]) / np.log(0.6)), 6).astype(np.int64)
        outcomes = ActionOutcomes(
            accepted,
            np.where(accepted, VALUE[actions], 0.0),
            COST[actions],
            delay,
            np.where(returned, delay + 3 + np.floor(uniform[3] * 10), MAX_DAYS + 1).astype(int),
        )
        self._update_states(customer, arrivals.channel, actions, accepted)
        self._contacts.count(customer, arrivals.channel, self.day, actions)
        self._book(arrivals, actions, outcomes)
        return outcomes

    def end_day(self) -> Bools:
        """End the day and draw the customers who leave, shape (n_customers,)."""
        uniform = self._rng.random(len(self.traits.age))
        left: Bools = self.state.active & (uniform < churn_today(self.state, self.traits))
        self.state.active &= ~left
        self._left = left
        return left

    def late_events(self) -> list[SimulatedEvent]:
        """See `SimulatedWorld`: purchases, returns, price cuts, and customers who left."""
        return [*self._due.events(self.day, CHANNELS), *leaving_events(self._left)]

    def value_of_day(self) -> Floats:
        """See `SimulatedWorld`."""
        value: Floats = self._due.margin(self.day) - self._cost - self._left * self.lost_eur
        return value

    def _book(self, arrivals: Arrivals, actions: Ints, outcomes: ActionOutcomes) -> None:
        """Note today's costs, and the events that will follow."""
        self._cost = np.zeros(len(self.traits.age))
        self._cost[arrivals.customer] = outcomes.cost_eur
        bought = outcomes.accepted & PROMOTIONS[actions]
        returned = bought & (outcomes.returned_after_days <= MAX_DAYS)
        reduced = outcomes.accepted & (actions == PRICE_CUT)
        for kind, rows, after in (
            ("purchase", bought, outcomes.accepted_after_days),
            ("returned", returned, outcomes.returned_after_days),
            ("price_reduced", reduced, outcomes.accepted_after_days),
        ):
            day, amount = self.day + after[rows], np.abs(outcomes.value_eur[rows])
            customer, channel = arrivals.customer[rows], arrivals.channel[rows]
            self._due.add(kind, day, customer, channel, amount_eur=amount)

    def _visit_pages(self, customer: Ints, uniform: Floats) -> None:
        """Draw page views, mostly of the needed page, and advance open purchases."""
        state, need = self.state, self.state.need[customer]
        other = np.floor(uniform[1] * 2 * len(PAGES)).astype(np.int64)
        any_page = np.where(other < len(PAGES), other, -1)
        page = np.where((uniform[0] < PAGE_SHOWS_NEED) & (need != NOTHING), need - 1, any_page)
        state.page[customer] = page
        viewed = page >= 0
        state.topics[customer[viewed], page[viewed]] += 1
        buying = (need > NOTHING) & (need < PRICE) & (page == need - 1)
        state.stage[customer] = np.minimum(
            state.stage[customer] + (buying & (uniform[1] < 0.7)), STAGES
        )

    def _allowed(self, customer: Ints, channel: Ints) -> Bools:
        """Apply eligibility and contact policy: no promotion while a problem is reported."""
        allowed = CHANNEL_ALLOWED[channel]
        allowed &= self._contacts.allowed(customer, channel, self.day)
        allowed[np.ix_(self.state.problem_open[customer], PROMOTIONS)] = False
        family = PROMOTIONS & (NEEDS.index("family") == ACTION_NEED)
        allowed[np.ix_(self.traits.home_size[customer] < FAMILY_MIN_HOME_SIZE, family)] = False
        return allowed

    def _update_states(self, customer: Ints, channel: Ints, actions: Ints, accepted: Bools) -> None:
        """Change the customers' states by the actions shown and accepted."""
        state, rows = self.state, np.arange(len(customer))
        if_refused, if_accepted = satisfaction_changes(state, customer)
        change = np.where(accepted, if_accepted[rows, actions], if_refused[rows, actions])
        state.satisfaction[customer] += change
        state.fatigue[customer] += fatigue_added(self.traits, customer, channel)[rows, actions]
        state.contacts[customer] += FATIGUE_PER_CONTACT[actions] > 0
        state.promotions[customer] += PROMOTIONS[actions]
        bought, helped = accepted & PROMOTIONS[actions], accepted & (actions == HOW_TO)
        state.onboarding[customer[bought]] = ONBOARDING_DAYS
        state.bought[customer[bought]] += 1
        served = bought & (ACTION_NEED[actions] == state.need[customer])
        served |= helped & (state.need[customer] == ACTION_NEED[HOW_TO])
        state.need[customer[served]], state.stage[customer[served]] = NOTHING, 0
        state.support_open[customer[helped]] = False
        state.onboarding[customer[helped]] = 0
        state.discounted[customer[accepted & (actions == PRICE_CUT)]] = DISCOUNT_DAYS
        solved = customer[accepted & (actions == CALL_BACK)]
        state.problem[solved] = state.problem_open[solved] = False
