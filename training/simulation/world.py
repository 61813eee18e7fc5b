"""A simulated business with known truth, on which policies are compared.

    world = World(customers=500, seed=7)
    for _ in range(30):
        arrivals = world.begin_day()     # the customers who arrive, and the allowed actions
        actions = ...                    # one action for each arrival
        world.act(actions)
        world.end_day()                  # some customers leave

Customers (`CustomerTraits`, `CustomerState`) are in several journeys at once, have changing needs,
prefer some channels, get tired of contacts, and have problems that they may not report. Actions
(`ACTIONS`) sell, help, annoy or retain them. Outcomes follow days later, and some acceptances are
returned. `World.expected` is the true expected value of each action.

Random numbers are drawn in the same order whatever the policy does. Two policies with one seed meet
the same customers and the same random numbers, so they can be compared in pairs (common random
numbers).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.errors import InvalidSetting
from training.arrays import Bools, Floats, Ints
from training.simulation.actions import (
    ACTION_NEED,
    CALL_BACK,
    CHANNEL_ALLOWED,
    COST,
    FATIGUE_PER_CONTACT,
    HOW_TO,
    NEEDS,
    NOTHING,
    PRICE,
    PRICE_CUT,
    PROMOTIONS,
    VALUE,
    ContactCounts,
)
from training.simulation.customer_state import (
    DISCOUNT_DAYS,
    ONBOARDING_DAYS,
    PAGE_SHOWS_NEED,
    PAGES,
    STAGES,
    advance_day,
    churn_today,
    initial_state,
    sample_categorical,
)
from training.simulation.customers import draw_traits
from training.simulation.ground_truth import (
    acceptance_probability,
    expected,
    fatigue_added,
    return_probability,
    satisfaction_changes,
)
from training.simulation.observed_features import observed_features

FAMILY_MIN_HOME_SIZE = 2  # people at home, for the family action
MAX_DAYS = 365  # longest duration of a world


@dataclass(frozen=True)
class Arrivals:
    """The customers who can be reached today; row i of each array is one of them.

    Attributes
    ----------
    who, channel : shape (n,)
        Index of the customer, and index into `CHANNELS`.
    contexts : shape (n, n_features)
        Observed features, in the order of `FEATURES`.
    allowed : shape (n, K)
        True for actions that eligibility and contact policy allow; `no_action` always.
    """

    customer: Ints
    channel: Ints
    contexts: Floats
    allowed: Bools


@dataclass(frozen=True)
class ActionOutcomes:
    """Outcomes of the actions of a day. A policy learns of them only after their delay.

    Attributes
    ----------
    accepted : shape (n,)
    value_eur : shape (n,)
        Value of the acceptance; 0 where there is none.
    cost_eur : shape (n,)
    after_days : shape (n,)
        Days from the decision to the acceptance.
    back_after_days : shape (n,)
        Days from the decision to the return; above `MAX_DAYS` where nothing is returned.
    """

    accepted: Bools
    value_eur: Floats
    cost_eur: Floats
    accepted_after_days: Ints
    returned_after_days: Ints

    @property
    def net_value_eur(self) -> Floats:
        """Value that was not returned, less the cost, shape (n,)."""
        kept = self.returned_after_days > MAX_DAYS
        return np.where(kept, self.value_eur, 0.0) - self.cost_eur


class World:
    """A simulated business, played day by day.

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
        for name, value, most in (("customers", customers, 10**7), ("days", days, MAX_DAYS)):
            if not 1 <= value <= most:
                raise InvalidSetting(
                    f"{name} is {value!r}.",
                    expected=f"a whole number from 1 to {most:,}",
                    remedy=f"Correct {name}; 500 customers for 30 days take seconds.",
                )
        self.days, self.day, self._seed = days, -1, seed
        rng = np.random.default_rng([seed, 0])
        self.traits = draw_traits(customers, rng)
        self.state = initial_state(self.traits, rng)
        self.contacts = ContactCounts(customers, days)

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
        return self._arrivals

    def known(self, customer: Ints) -> Floats:
        """Compute the features of customers at the end of the day, shape (n, n_features).

        They need not have arrived today, nor still be customers.
        """
        return observed_features(
            self.state, self.traits, customer, np.full(len(customer), -1), self.day + 1
        )

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
        if not arrivals.allowed[rows, actions].all():
            forbidden = int((~arrivals.allowed[rows, actions]).sum())
            raise InvalidSetting(
                f"{forbidden} of {len(rows)} actions are not allowed.",
                expected="actions that are allowed for their arrivals",
                remedy="Give actions that are not allowed the probability 0.",
            )
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
        self.contacts.count(customer, self.day, actions)
        return outcomes

    def end_day(self) -> Bools:
        """End the day and draw the customers who leave, shape (n_customers,)."""
        uniform = self._rng.random(len(self.traits.age))
        left: Bools = self.state.active & (uniform < churn_today(self.state, self.traits))
        self.state.active &= ~left
        return left

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
        allowed = CHANNEL_ALLOWED[channel] & self.contacts.allowed(customer, self.day)
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
