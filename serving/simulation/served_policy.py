"""The served classes as a policy of the simulation: they decide, are told, and learn each day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import sqlalchemy as sa

from features.errors import InvalidSetting
from serving.contract.decisions import DecideRequest, Decision
from serving.contract.events import OutcomeRequest
from serving.decide.outcomes import write_outcome
from serving.simulation.batch import Asked, decide_batch
from serving.simulation.served_business import BEGIN, ServedBusiness
from training.arrays import Floats, Ints
from training.simulation.business import (
    EVENING_MINUTE,
    LEARNING_MINUTE,
    ActionOutcomes,
    Arrivals,
    SimulatedWorld,
)
from training.simulation.due_outcomes import due_outcomes


class ServedPolicy:
    """Plays a `ServedBusiness` in its world; see `training.simulation.rollout.Policy`.

    A decision shows one action. Its acceptance is told in the evening of the day on which it comes,
    and retracted when it is returned. Of what is ignored nothing is told: silence counts.

    Attributes
    ----------
    decisions : int
    met : shape (n_customers,)
        True for customers with at least one decision.
    """

    def __init__(self, name: str, served: ServedBusiness, world: SimulatedWorld) -> None:
        self.name = name
        self.decisions = 0
        self.met = np.zeros(len(world.arrived_at), dtype=np.bool_)
        self._served, self._world = served, world
        self._names = served.business.names
        self._index = {action: number for number, action in enumerate(self._names)}
        self._today: list[Decision] = []  # in the order of the arrivals
        self._due: dict[int, list[OutcomeRequest]] = defaultdict(list)

    def choose(self, arrivals: Arrivals, uniform: Floats) -> Ints:
        """Decide for today's arrivals, after the events that come before; the service draws.

        Raises
        ------
        InvalidSetting
            If the world does not allow what the catalogue allows.
        """
        served, world = self._served, self._world
        served.events.tell(world.day, world.events())
        order = np.argsort(world.arrived_at[arrivals.customer], kind="stable")
        sent = world.sent()
        asked = [self._asked(arrivals, sent, row) for row in order.tolist()]
        decisions = decide_batch(served.engine, asked)
        self.decisions += len(decisions)
        self.met[arrivals.customer] = True
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        self._today = [decisions[number] for number in place.tolist()]
        actions = np.array([self._index[one.actions[0].action_id] for one in self._today], np.int64)
        _check_agreement(arrivals, actions, self._names)
        return actions

    def end_day(self, actions: Ints, outcomes: ActionOutcomes) -> None:
        """Tell what happened after the decisions, and learn."""
        day, served = self._world.day, self._served
        self._schedule(actions, outcomes)
        self._tell(self._due.pop(day, ()), self._at(day, EVENING_MINUTE))
        served.events.tell(day, self._world.late_events())
        served.learn(self._at(day, LEARNING_MINUTE))

    def _asked(self, arrivals: Arrivals, sent: Sequence[dict[str, object]], row: int) -> Asked:
        customer, day = int(arrivals.customer[row]), self._world.day
        request = DecideRequest(
            customer_id=self._served.business.customer_id(customer),
            channel=self._served.business.channels[arrivals.channel[row]],
            context=sent[row],
            decision_id=f"d{day:03d}-{customer:07d}",
        )
        return Asked(request, self._at(day, int(self._world.arrived_at[customer])))

    def _schedule(self, actions: Ints, outcomes: ActionOutcomes) -> None:
        """Note on which day each acceptance of today, and each return, will be told."""
        for row, after_days, is_return in due_outcomes(actions, outcomes):
            name = self._today[row].decision_id
            about = {"decision_id": name, "action_id": self._names[actions[row]]}
            about["retracts" if is_return else "outcome_id"] = f"{name}-yes"
            told = OutcomeRequest(**about, outcome="accepted")
            self._due[self._world.day + after_days].append(told)

    def _tell(self, due: Sequence[OutcomeRequest], at: datetime) -> None:
        def write(connection: sa.Connection) -> None:
            for one in due:
                write_outcome(connection, one, at)

        if due:
            self._served.ledger.write_now(write)

    def _at(self, day: int, minute: int) -> datetime:
        return BEGIN + timedelta(days=day, minutes=minute)


def _check_agreement(arrivals: Arrivals, actions: Ints, names: Sequence[str]) -> None:
    forbidden = ~arrivals.allowed[np.arange(len(actions)), actions]
    if forbidden.any():
        first = int(forbidden.argmax())
        raise InvalidSetting(
            f"{int(forbidden.sum())} of {len(actions)} decisions show what the world does not "
            f"allow, such as {names[actions[first]]} to customer {arrivals.customer[first]}.",
            expected="a catalogue whose eligibility and contact policy are those of the world",
            remedy="Correct the catalogue in features/domains, or the world.",
        )
