"""The choice itself, from facts to an answer; pure, so that a logged decision can be repeated.

`weigh` is all that can be done before the ledger is locked; `settle` is what must be done while
it is: contact policy, pacing, probabilities, draw. The engine brings the facts and keeps the
result; replay brings the facts from the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from features.customers.contacts import Contact
from serving.catalog.decision_context import Moment
from serving.contract.decisions import Decision, Predictions
from serving.decide.answer import WhoRemoved, chosen_action, explanation, reasoning
from serving.decide.decision_setup import Desk
from serving.decide.step_results import Asked, Pick, Settled, Weighed
from serving.policies.arbitration import context_weights, doubts, priorities
from serving.policies.budgets import Spending
from serving.policies.contact_policy import Judgement
from serving.policies.control_group import arm_of, evenly
from training.arrays import Floats
from training.bandit.exploration import draw

NOTHING = np.zeros(1)  # what `no_action` brings, and how unsure that is


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
    believed = desk.models.believe(row, request.channel)
    weights = context_weights(playbook, holds)
    priority = priorities(playbook, believed.acceptance, weights, situation)
    doubt = doubts(playbook, believed, weights, situation)
    predictions = Predictions(churn=churn, intent=intent, stage=situation.texts["stage"])
    reasons = reasoning(desk, asked, ruling, priority, predictions) if request.explain else None
    return Weighed(predictions, situation, ruling, believed, weights, priority, doubt, reasons)


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
    spending = desk.pacer.open(paces, now, weighed.priority, weighed.ruling.out)
    arm = arm_of(asked.customer_id, desk.playbook.catalog.control_group)
    # Before slots are filled, which counts.
    removed = WhoRemoved(desk.playbook, weighed.ruling, judgement, spending)
    rules, in_words = removed.rules(), removed.in_words() if request.explain else None
    adjusted = np.concatenate((weighed.priority - spending.prices, NOTHING))
    first, picks = _pick(desk, asked, weighed, judgement, spending, adjusted, arm)
    candidates = first.nonzero()[0]
    probabilities = first[candidates]
    told = weighed.reasons and explanation(
        desk, weighed, weighed.reasons, spending, candidates, probabilities, adjusted
    )
    decision = Decision(
        decision_id=asked.decision_id,
        customer_id=asked.customer_id,
        known=asked.known,
        decided_at=asked.decided_at,
        arm=arm,
        actions=[
            chosen_action(desk, asked, weighed, spending, pick, rank, arm)
            for rank, pick in enumerate(picks, start=1)
        ],
        predictions=weighed.predictions,
        models=dict(asked.versions),
        removed=in_words,
        explanation=told,
        degraded=list(asked.degraded),
        activated=request.activate,
    )
    return Settled(decision, rules, candidates, probabilities, spending)


def _pick(
    desk: Desk,
    asked: Asked,
    weighed: Weighed,
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
    nothing, doubt = len(adjusted) - 1, np.concatenate((weighed.doubt, NOTHING))
    taken = np.zeros(nothing, dtype=bool)
    chances_of_slot: list[Floats] = []
    picks: list[Pick] = []
    while len(picks) < asked.request.slots:
        left = adjusted.copy()
        left[:nothing][weighed.ruling.out | judgement.out | spending.out | taken] = np.nan
        if picks and np.isnan(left[:nothing]).all():
            break
        control = arm == "control"
        chances = evenly(left) if control else desk.models.probabilities(left, doubt)
        chances_of_slot.append(chances)
        slot = f"#{len(picks) + 1}" if picks else ""
        index = draw(chances, f"{asked.decision_id}{slot}")
        if index == nothing and picks:
            break
        best = np.fmax.reduce(left)  # passes over nan, as `nanmax` does, in a tenth of the time
        picks.append(Pick(index, float(chances[index]), float(best - left[index])))
        if index == nothing:
            break
        taken[index] = True
        judgement.count(index)
        spending.spend(index)
    return chances_of_slot[0], picks
