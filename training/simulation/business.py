"""The parts that every simulated business has: actions, caps, rules, customers, and days.

    world = TELEPHONE.make_world(500, 7, 30)
    for _ in range(world.days):
        arrivals = world.begin_day()       # the customers who can be reached, the allowed actions
        events = world.events()            # told to a service before it decides
        outcomes = world.act(...)          # one action for each arrival
        left = world.end_day()
        events = world.late_events()       # purchases, returns, who left: told after the decisions
        value = world.value_of_day()       # of each customer

Random numbers of a world are drawn in the same order whatever the policy does. Two policies with
one seed meet the same customers and the same random numbers, so they can be compared in pairs
(common random numbers).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.arrays import Bools, Floats, Ints

MAX_DAYS = 365  # longest duration of a world
# Minutes of a day. Events that a decision reads come before all arrivals; what follows the
# decisions comes after all arrivals, and leaving last. Then a service learns.
MORNING_MINUTE, EVENING_MINUTE, LEAVING_MINUTE, LEARNING_MINUTE = 300, 1320, 1380, 1430
FIRST_ARRIVAL_MINUTE, LAST_ARRIVAL_MINUTE = 480, 1200


@dataclass(frozen=True, slots=True)
class SimulatedAction:
    """The part of an action that a business knows; the effects are the truth of its world.

    Attributes
    ----------
    kind : str
        promotion, retention, service, or none.
    value_eur, cost_eur : float
        Margin of an acceptance, and cost of each showing.
    channels : tuple of str
        Channels on which the action can be shown.
    """

    name: str
    kind: str
    value_eur: float = 0.0
    cost_eur: float = 0.0
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SimulatedCap:
    """Limits the showings of some actions to a customer in a rolling window of days.

    Attributes
    ----------
    channels : tuple of str
        Channels whose showings are counted, and on which the cap removes actions; empty: all.
    """

    at_most: int
    days: int
    actions: tuple[str, ...]
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """Names an action for customers with a feature above a threshold."""

    feature: str
    threshold: float
    action: str


@dataclass(frozen=True, slots=True)
class SimulatedEvent:
    """An event that a service is told of.

    Attributes
    ----------
    customer : int
        Index of the customer.
    type : str
        Event type of the domain file.
    minute : int
        Minute of the day.
    """

    customer: int
    type: str
    channel: str
    minute: int
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Arrivals:
    """The customers who can be reached today; row i of each array is one of them.

    Attributes
    ----------
    customer, channel : shape (n,)
        Index of the customer, ascending, and index into the channels of the business.
    contexts : shape (n, n_features)
        Observed features, in the order of the business's features.
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
        Margin of the acceptance; 0 where there is none.
    cost_eur : shape (n,)
    accepted_after_days : shape (n,)
        Days from the decision to the acceptance.
    returned_after_days : shape (n,)
        Days from the decision to the return; above `MAX_DAYS` where nothing is returned.
    """

    accepted: Bools
    value_eur: Floats
    cost_eur: Floats
    accepted_after_days: Ints
    returned_after_days: Ints


class SimulatedWorld(Protocol):
    """The customers of a business, played day by day."""

    @property
    def days(self) -> int:
        """Days that can be played."""
        ...

    @property
    def day(self) -> int:
        """The day that has begun last, from 0; -1 before the first."""
        ...

    @property
    def arrived_at(self) -> Ints:
        """Minute of the day at which each customer arrives, on all days, shape (n_customers,)."""
        ...

    @property
    def lost_eur(self) -> Floats:
        """Loss if a customer leaves, shape (n_customers,)."""
        ...

    @property
    def gone(self) -> Bools:
        """True for customers who have left by the domain's definition, shape (n_customers,)."""
        ...

    @property
    def shown(self) -> NDArray[np.int8]:
        """Index of the action shown on each day; 0: none, shape (n_customers, n_days)."""
        ...

    @property
    def shown_on(self) -> NDArray[np.int8]:
        """Index of the channel of that showing; -1: none, shape (n_customers, n_days)."""
        ...

    def customers(self) -> pd.DataFrame:
        """Return the table for `nba load`: customer_id and attributes, in the customers' order."""
        ...

    def begin_day(self) -> Arrivals:
        """Begin a new day and draw the arrivals."""
        ...

    def events(self) -> list[SimulatedEvent]:
        """List the events of today that happen before the decisions."""
        ...

    def sent(self) -> list[dict[str, Any]]:
        """List the context that the channel sends with the request of each of today's arrivals."""
        ...

    def expected(self) -> Floats:
        """Compute the true expected value of each action for today's arrivals, in euro, (n, K)."""
        ...

    def act(self, actions: Ints) -> ActionOutcomes:
        """Show one action to each of today's arrivals, shape (n,), and draw the outcomes."""
        ...

    def end_day(self) -> Bools:
        """End the day and draw the customers who leave, shape (n_customers,)."""
        ...

    def late_events(self) -> list[SimulatedEvent]:
        """List the events of today that happen after the decisions, once the day has ended."""
        ...

    def value_of_day(self) -> Floats:
        """Sum today's margin less costs less the loss of who left, shape (n_customers,).

        The same number as that which the domain's `objective` makes of the day's events.
        """
        ...


@dataclass(frozen=True)
class SimulatedBusiness:
    """A business that can be simulated.

    Attributes
    ----------
    name : str
    domain : str
        Name of its file in features/domains; the actions are beside it.
    prefix : str
        Of customer ids.
    channels, features : tuple of str
        Names of the channels and of the columns of `Arrivals.contexts`.
    actions : tuple of SimulatedAction
        The first one is `no_action`.
    rules : mapping
        Lists of rules, by name: the first rule that holds and whose action is allowed decides.
    make_world
        Makes a world of customers, seed and days. Worlds of the same numbers are equal.
    """

    name: str
    domain: str
    prefix: str
    channels: tuple[str, ...]
    features: tuple[str, ...]
    actions: tuple[SimulatedAction, ...]
    caps: tuple[SimulatedCap, ...]
    rules: Mapping[str, tuple[Rule, ...]]
    make_world: Callable[[int, int, int], SimulatedWorld]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the actions."""
        return tuple(action.name for action in self.actions)

    @property
    def costs(self) -> Floats:
        """Cost of a showing of each action, shape (K,)."""
        return np.array([action.cost_eur for action in self.actions])

    def customer_id(self, customer: int) -> str:
        """Return the id of a customer, by number."""
        return f"{self.prefix}{customer}"
