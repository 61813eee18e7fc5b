"""The choice itself, from facts to an answer; pure, so that a logged decision can be repeated.

`weigh` is all that can be done before the ledger is locked; `settle` is what must be done while
it is: contact policy, pacing, probabilities, draw. The engine brings the facts and keeps the
result; replay brings the facts from the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from features.catalog import NO_ACTION
from features.contacts import Contact
from features.playbook import Playbook
from features.situation import Moment, Situation
from serving.arbitration import context_weights, priorities, worth_in_words
from serving.budgets import Pacer, Spending
from serving.contact_policy import ContactPolicy, Facts, Judgement
from serving.contract import ChosenAction, DecideRequest, Decision, Predictions, Removed
from serving.control_group import arm_of, evenly
from serving.eligibility import NO_TREATMENT, Engagement, Ruling
from training.bandit import Floats
from training.exploration import draw


class Models(Protocol):
    """What deciding asks of the models; `serving/models.py` has the real ones."""

    @property
    def versions(self) -> Mapping[str, str | None]: ...
    @property
    def degraded(self) -> Sequence[str]: ...
    @property
    def actions(self) -> tuple[str, ...]: ...
    def churn(self, row: Floats) -> float | None: ...
    def intent(self, row: Floats) -> dict[str, float] | None: ...
    def acceptance(self, row: Floats, channel: str) -> Floats: ...
    def probabilities(self, expected_reward: Floats) -> Floats: ...


class Desk:
    """What is decided with: a playbook, its policies made ready, and models that know its actions.

    Swapped as a whole, so that no decision sees half of a change.

    Parameters
    ----------
    account_at, problems_at
        Where in a row the open problems of the account and of the customer stand; None if nowhere.
    """

    def __init__(self, playbook: Playbook, models: Models, currency: str,
                 problems_at: int | None, account_at: int | None) -> None:  # fmt: skip
        self.playbook = playbook
        self.models = models
        self.currency = currency
        self.engagement = Engagement(playbook)
        self.contact_policy = ContactPolicy(playbook)
        self.pacer = Pacer(playbook)
        self.problems_at, self.account_at = problems_at, account_at

    def local(self, row: Floats, now: datetime) -> datetime:
        """A moment on the clock of the customer whose row it is."""
        clock = self.playbook.catalog.clock
        named = self.playbook.situations.category(row, clock.attribute)
        return now.astimezone(clock.of_customer(named))

    def facts(
        self,
        customer_id: str,
        channel: str,
        now: datetime,
        row: Floats,
        consents: Mapping[str, bool],
        contacts: Sequence[Contact],
    ) -> Facts:
        """What the contact policy looks at."""
        mine, account = self.problems_at, self.account_at
        return Facts(
            customer_id=customer_id,
            channel=channel,
            now=now,
            local=self.local(row, now),
            contacts=contacts,
            consents=consents,
            problems=0.0 if mine is None else float(row[mine]),
            account_problems=0.0 if account is None else float(row[account]),
        )

    def with_models(self, models: Models) -> Desk:
        """The same policies with other models, unless those speak of another catalogue: it is
        being swapped in at this moment, and brings its own."""
        if models is self.models or models.actions != self.playbook.actions:
            return self
        other = object.__new__(Desk)
        other.__dict__ = {**self.__dict__, "models": models}
        return other


@dataclass(frozen=True, slots=True)
class Asked:
    """What a decision rests on before the ledger is locked.

    Attributes
    ----------
    row : shape (n_features,)
        What the models read of the customer.
    consents : whether consent is given on this channel, by purpose
    versions, degraded
        Of the models, and what was missing.
    """

    decision_id: str
    request: DecideRequest
    customer_id: str
    decided_at: datetime
    known: bool
    row: Floats
    consents: Mapping[str, bool]
    versions: Mapping[str, str | None]
    degraded: Sequence[str]


@dataclass(frozen=True, slots=True)
class Weighed:
    """What models, engagement policy and arbitration made of it; columns are the playbook's."""

    predictions: Predictions
    situation: Situation
    ruling: Ruling
    acceptance: Floats
    weights: Floats
    priority: Floats


class Pick(NamedTuple):
    """What one slot was filled with, and by how much it trails the best that was left for it."""

    action: int
    chance: float
    gap: float


@dataclass(frozen=True, slots=True)
class Settled:
    """A decision, and what is kept of how it came about.

    Attributes
    ----------
    candidates : positions of the actions that could be drawn first; `no_action` is the last one
    probabilities : shape (n_candidates,)
        Of the first slot.
    rules : by action, the first rule that removed it
        Without those that have no treatment for the channel.
    """

    decision: Decision
    rules: Mapping[str, str]
    candidates: NDArray[np.intp]
    probabilities: Floats
    spending: Spending


def weigh(desk: Desk, asked: Asked) -> Weighed:
    """All that needs no lock.

    Raises
    ------
    InvalidRequest
        If the request names an action that the catalogue does not have, or its context is of
        another type than described.
    """
    playbook, request, row = desk.playbook, asked.request, asked.row
    situations = playbook.situations
    churn, intent = desk.models.churn(row), desk.models.intent(row)
    situation = situations.read(
        row,
        Moment(
            channel=request.channel,
            placement=request.placement,
            context=situations.context(request.context),
            known=asked.known,
            churn=churn,
            intent=intent,
            consents=asked.consents,
            local=desk.local(row, asked.decided_at),
        ),
    )
    holds = playbook.conditions.holds(situation.numbers, situation.texts)
    ruling = desk.engagement.judge(request, situation, holds, asked.decided_at)
    acceptance = desk.models.acceptance(row, request.channel)
    weights = context_weights(playbook, holds)
    return Weighed(
        Predictions(churn=churn, intent=intent, stage=situation.texts["stage"]),
        situation,
        ruling,
        acceptance,
        weights,
        priorities(playbook, acceptance, weights, situation),
    )


def settle(
    desk: Desk,
    asked: Asked,
    weighed: Weighed,
    contacts: Sequence[Contact],
    paces: Mapping[str, Any],
) -> Settled:
    """What must be done while nobody else can decide for the customer.

    Parameters
    ----------
    contacts
        Of the customer (and their account), as far back as the contact policy looks.
    paces
        State of each paced volume and budget, by name.
    """
    request, now = asked.request, asked.decided_at
    facts = desk.facts(asked.customer_id, request.channel, now, asked.row, asked.consents, contacts)
    judgement = desk.contact_policy.judge(facts)
    spending = desk.pacer.open(paces, now)
    arm = arm_of(asked.customer_id, desk.playbook.catalog.control_group)
    # Before slots are filled, which counts.
    removed = _Removed(desk.playbook, weighed.ruling, judgement, spending)
    rules, in_words = removed.rules(), removed.in_words() if request.explain else None
    adjusted = np.append(weighed.priority - spending.prices, 0.0)
    first, picks = _pick(desk, asked, weighed.ruling, judgement, spending, adjusted, arm)
    candidates = np.flatnonzero(first > 0)
    decision = Decision(
        decision_id=asked.decision_id,
        customer_id=asked.customer_id,
        known=asked.known,
        decided_at=asked.decided_at,
        arm=arm,
        actions=[
            _chosen(desk, asked, weighed, spending, pick, rank, arm)
            for rank, pick in enumerate(picks, start=1)
        ],
        predictions=weighed.predictions,
        models=dict(asked.versions),
        removed=in_words,
        degraded=list(asked.degraded),
        activated=request.activate,
    )
    return Settled(decision, rules, candidates, first[candidates], spending)


def _pick(
    desk: Desk,
    asked: Asked,
    ruling: Ruling,
    judgement: Judgement,
    spending: Spending,
    adjusted: Floats,
    arm: str,
) -> tuple[Floats, list[Pick]]:
    """Fill the slots one after the other, each from what is left; stop at `no_action`.

    Returns
    -------
    probabilities : shape (n_actions + 1,)
        Of the first slot.
    picks : list of Pick
        Best rank first; at least one.
    """
    nothing = len(adjusted) - 1
    taken = np.zeros(nothing, dtype=bool)
    chances_of_slot: list[Floats] = []
    picks: list[Pick] = []
    while len(picks) < asked.request.slots:
        left = adjusted.copy()
        left[:nothing][ruling.out | judgement.out | spending.out | taken] = np.nan
        if picks and np.isnan(left[:nothing]).all():
            break
        chances = evenly(left) if arm == "control" else desk.models.probabilities(left)
        chances_of_slot.append(chances)
        slot = f"#{len(picks) + 1}" if picks else ""
        index = draw(chances, f"{asked.decision_id}{slot}")
        if index == nothing and picks:
            break
        picks.append(Pick(index, float(chances[index]), float(np.nanmax(left) - left[index])))
        if index == nothing:
            break
        taken[index] = True
        judgement.count(index)
        spending.spend(index)
    return chances_of_slot[0], picks


def _chosen(
    desk: Desk,
    asked: Asked,
    weighed: Weighed,
    spending: Spending,
    pick: Pick,
    rank: int,
    arm: str,
) -> ChosenAction:
    playbook, index = desk.playbook, pick.action
    if index == len(playbook.actions):
        return ChosenAction(
            action_id=NO_ACTION,
            rank=rank,
            treatment={},
            probability=pick.chance,
            acceptance=0.0,
            priority=0.0,
            reasons=["Nothing is shown; that costs nothing and may be worth most."],
        )
    name, channel = playbook.actions[index], asked.request.channel
    acceptance, weight = float(weighed.acceptance[index]), float(weighed.weights[index])
    priority = float(weighed.priority[index])
    names = playbook.situations.names
    wanted = playbook.names_in_treatment(name, channel)
    values = {used: weighed.situation.value(used, names) for used in wanted}
    why = worth_in_words(playbook, index, acceptance, weight, priority, desk.currency)
    return ChosenAction(
        action_id=name,
        rank=rank,
        treatment=playbook.treatment(name, channel, values),
        probability=pick.chance,
        acceptance=acceptance,
        priority=priority,
        reasons=[why, *_why_this(desk.currency, spending, pick, arm)],
    )


def _why_this(currency: str, spending: Spending, pick: Pick, arm: str) -> list[str]:
    unit = currency.upper()
    price = float(spending.prices[pick.action])
    paced = []
    if price > 0:
        paced = [f"Held back by {price:.2f} {unit}, so that its volume or budget lasts all day."]
    elif price < 0:
        paced = [f"Pushed by {-price:.2f} {unit}, so that it reaches its volume of the day."]
    if arm == "control":
        return [*paced, "Control group: drawn evenly from all allowed actions."]
    if pick.gap > 0:
        gap = f"Tried to learn: the best action promises {pick.gap:.2f} {unit} more."
        return [*paced, gap]
    return [*paced, "Promises most of the allowed actions."]


class _Removed(NamedTuple):
    """Who says of an action that it is out, in the order in which they are asked."""

    playbook: Playbook
    ruling: Ruling
    judgement: Judgement
    spending: Spending

    def rules(self) -> dict[str, str]:
        """The first rule that removed each action that the channel could show."""
        found = {}
        for index in np.flatnonzero(self._out()).tolist():
            rule = self._who(index).rule(index)
            if rule != NO_TREATMENT:
                found[self.playbook.actions[index]] = rule
        return found

    def in_words(self) -> list[Removed]:
        """Every action that is out, with the first rule that removed it and the value found."""
        found = []
        for index in np.flatnonzero(self._out()).tolist():
            said = self._who(index).why(index)
            if not isinstance(said, Removed):
                said = Removed(action_id=self.playbook.actions[index], **said._asdict())
            found.append(said)
        return found

    def _out(self) -> NDArray[np.bool_]:
        return self.ruling.out | self.judgement.out | self.spending.out

    def _who(self, index: int) -> Ruling | Judgement | Spending:
        if self.ruling.out[index]:
            return self.ruling
        return self.judgement if self.judgement.out[index] else self.spending
