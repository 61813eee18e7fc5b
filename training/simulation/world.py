"""A simulated business whose truth is known: a policy is rehearsed here before it meets customers.

    world = World(customers=500, seed=7)
    for _ in range(30):
        moments = world.morning()                  # who is there today, and what may be done
        actions = ...                              # a policy's choice for each
        world.act(actions)
        world.evening()                            # some leave

Customers (`customers`) are in several journeys at once, need now this and now
that, like some channels, tire, complain, or are angry and say nothing. What we do sells, helps,
angers or holds them (`actions`); what follows comes days later, and some of it is
taken back. `World.expected` knows what nobody can know: the truth about each action
(`ground_truth`).

Chances are drawn in the same order whatever the policy does: two policies with one seed meet the
same customers with the same luck, so they can be compared in pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.errors import InvalidSetting
from training.arrays import Bools, Floats, Ints
from training.simulation.actions import (
    CALL_BACK,
    COST,
    HOW_TO,
    NEEDS,
    NOTHING,
    PRICE,
    PRICE_CUT,
    PROMOTIONS,
    SERVED,
    SHOWABLE,
    TIRES,
    VALUE,
    ContactCounts,
)
from training.simulation.customer_state import (
    CLEAR,
    DISCOUNT_DAYS,
    ONBOARDING_DAYS,
    PAGES,
    STAGES,
    first_state,
    leaving_today,
    overnight,
    pick,
    seen,
)
from training.simulation.customers import draw_customers
from training.simulation.ground_truth import acceptance, expected, moods, returned, tired

FAMILY_FROM = 2  # people at home
SUPPOSED_DAYS = 365  # a world does not last longer


@dataclass(frozen=True)
class Moments:
    """Who can be reached today; row i of everything is one customer.

    Attributes
    ----------
    who, channel : shape (n,)
        Index of the customer, and into `CHANNELS`.
    contexts : shape (n, n_features)
        What can be known of them, in the order of `FEATURES`.
    allowed : shape (n, K)
        What eligibility and contact policy leave; `no_action` always.
    """

    who: Ints
    channel: Ints
    contexts: Floats
    allowed: Bools


@dataclass(frozen=True)
class Followed:
    """What the actions of a day lead to; nobody is told before the days are over.

    Attributes
    ----------
    accepted : shape (n,)
    value_eur : shape (n,)
        Of the acceptance; 0 where there was none.
    cost_eur : shape (n,)
    after_days : shape (n,)
        Until the acceptance is known.
    back_after_days : shape (n,)
        Until it is taken back, counted from the decision; beyond a world's days where it is not.
    """

    accepted: Bools
    value_eur: Floats
    cost_eur: Floats
    after_days: Ints
    back_after_days: Ints

    @property
    def kept_eur(self) -> Floats:
        """What is left of the value in the end, less the cost, shape (n,)."""
        kept = self.back_after_days > SUPPOSED_DAYS
        return np.where(kept, self.value_eur, 0.0) - self.cost_eur


class World:
    """A business of some customers, day after day.

    Parameters
    ----------
    customers, seed : int
        The same numbers, the same world.
    days : int
        How long it can go on.

    Raises
    ------
    InvalidSetting
        If there are no customers, or more days than a year.
    """

    def __init__(self, customers: int, seed: int, days: int = 90) -> None:
        for name, value, most in (("customers", customers, 10**7), ("days", days, SUPPOSED_DAYS)):
            if not 1 <= value <= most:
                raise InvalidSetting(
                    f"{name} is {value!r}.",
                    expected=f"a whole number from 1 to {most:,}",
                    remedy=f"Correct {name}; 500 customers for 30 days take seconds.",
                )
        self.days, self.day, self._seed = days, -1, seed
        rng = np.random.default_rng([seed, 0])
        self.people = draw_customers(customers, rng)
        self.state = first_state(self.people, rng)
        self.contacts = ContactCounts(customers, days)

    def morning(self) -> Moments:
        """A new day begins: who is there, what is known of them, and what may be done."""
        self.day += 1
        self._rng = np.random.default_rng([self._seed, 1, self.day])
        overnight(self.state, self.people, self._rng)
        chance = self._rng.random((4, len(self.people.age)))
        who = np.flatnonzero(self.state.here & (chance[0] < self.people.visits))
        channel = pick(self.people.habit[who], chance[1][who])
        self._browse(who, chance[2:, who])
        contexts = seen(self.state, self.people, who, channel, self.day)
        self.state.seen_on[who] = self.day
        self.state.moments[who, channel] += 1
        self._moments = Moments(who, channel, contexts, self._allowed(who, channel))
        return self._moments

    def known(self, who: Ints) -> Floats:
        """What is known this evening of customers, here or not, shape (n, n_features)."""
        return seen(self.state, self.people, who, np.full(len(who), -1), self.day + 1)

    def expected(self) -> Floats:
        """The truth: what each action is worth for each moment of this morning, in euro.

        What its acceptance brings (returns counted), less the cost, less what it adds to the
        chance of leaving times what is lost with the customer. Shape (n, K).
        """
        moments = self._moments
        return expected(self.state, self.people, moments.who, moments.channel)

    def act(self, actions: Ints) -> Followed:
        """Show each customer of this morning one action.

        Parameters
        ----------
        actions : shape (n,)
            Indexes into `ACTIONS`, each allowed.

        Raises
        ------
        InvalidSetting
            If one is not allowed.
        """
        moments, rows = self._moments, np.arange(len(self._moments.who))
        if not moments.allowed[rows, actions].all():
            forbidden = int((~moments.allowed[rows, actions]).sum())
            raise InvalidSetting(
                f"{forbidden} of {len(rows)} actions are not allowed.",
                expected="actions that the moments allow",
                remedy="Give what is not allowed the probability 0.",
            )
        who, state = moments.who, self.state
        chance = self._rng.random((4, len(self.people.age)))[:, who]
        chances = acceptance(state, self.people, who, moments.channel)[rows, actions]
        accepted = chance[0] < chances
        back = returned(state, who)[rows, actions]
        matched = accepted & (chance[1] < back)
        after = np.minimum(np.floor(np.log(chance[2]) / np.log(0.6)), 6).astype(np.int64)
        found = Followed(
            accepted,
            np.where(accepted, VALUE[actions], 0.0),
            COST[actions],
            after,
            np.where(matched, after + 3 + np.floor(chance[3] * 10), SUPPOSED_DAYS + 1).astype(int),
        )
        self._feel(who, moments.channel, actions, accepted)
        self.contacts.count(who, self.day, actions)
        return found

    def evening(self) -> Bools:
        """The day ends: who leaves now, shape (n_customers,)."""
        chance = self._rng.random(len(self.people.age))
        left: Bools = self.state.here & (chance < leaving_today(self.state, self.people))
        self.state.here &= ~left
        return left

    def _browse(self, who: Ints, chance: Floats) -> None:
        """They look at pages, mostly about what they need; an open purchase goes on."""
        state, need = self.state, self.state.need[who]
        other = np.floor(chance[1] * 2 * len(PAGES)).astype(np.int64)
        anything = np.where(other < len(PAGES), other, -1)
        page = np.where((chance[0] < CLEAR) & (need != NOTHING), need - 1, anything)
        state.page[who] = page
        some = page >= 0
        state.topics[who[some], page[some]] += 1
        buying = (need > NOTHING) & (need < PRICE) & (page == need - 1)
        state.stage[who] = np.minimum(state.stage[who] + (buying & (chance[1] < 0.7)), STAGES)

    def _allowed(self, who: Ints, channel: Ints) -> Bools:
        """Eligibility, contact policy, and nothing is promoted while a problem is open."""
        free = SHOWABLE[channel] & self.contacts.allowed(who, self.day)
        free[np.ix_(self.state.problem_open[who], PROMOTIONS)] = False
        family = PROMOTIONS & (NEEDS.index("family") == SERVED)
        free[np.ix_(self.people.home_size[who] < FAMILY_FROM, family)] = False
        return free

    def _feel(self, who: Ints, channel: Ints, actions: Ints, accepted: Bools) -> None:
        """What being shown an action, and accepting it, does to a customer."""
        state, rows = self.state, np.arange(len(who))
        refused, pleased = moods(state, who)
        mood = np.where(accepted, pleased[rows, actions], refused[rows, actions])
        state.satisfaction[who] += mood
        state.fatigue[who] += tired(self.people, who, channel)[rows, actions]
        state.contacts[who] += TIRES[actions] > 0
        state.promotions[who] += PROMOTIONS[actions]
        bought, helped = accepted & PROMOTIONS[actions], accepted & (actions == HOW_TO)
        state.onboarding[who[bought]] = ONBOARDING_DAYS
        state.bought[who[bought]] += 1
        served = bought & (SERVED[actions] == state.need[who])
        served |= helped & (state.need[who] == SERVED[HOW_TO])
        state.need[who[served]], state.stage[who[served]] = NOTHING, 0
        state.support_open[who[helped]] = False
        state.onboarding[who[helped]] = 0
        state.discounted[who[accepted & (actions == PRICE_CUT)]] = DISCOUNT_DAYS
        solved = who[accepted & (actions == CALL_BACK)]
        state.problem[solved] = state.problem_open[solved] = False
