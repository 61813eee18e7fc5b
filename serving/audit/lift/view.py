"""Reports the lift: what customers bring under the policy more than in the other arms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime

import numpy as np

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.clock import monotonic_s
from features.errors import LedgerDown
from features.ledger.ledger import Ledger
from features.rewards.customer_values import (
    CustomerValues,
    KeptValues,
    counted_days,
    customer_values,
)
from features.rewards.reward_steps import RewardRules, sum_rewards
from serving.audit.lift.comparison import ARM_NAMES, compare_arms
from serving.audit.lift.credited import view_credited_lift
from serving.audit.lift.sentences import left_before_sentence, objective_sentence, verdict
from serving.contract.lift import LiftRequest, LiftView
from serving.policies.arms import arm_of

# Before a lift is read, so many steps sum what came since the last one, for so long at most.
MAX_STEPS, STEPS_WITHIN_S = 16, 0.1


def sum_before_lift(
    ledger: Ledger, rules: RewardRules, lead: bool, steps: int, within_s: float
) -> None:
    """Sum rewards that came since the last step of the background; see `sum_rewards`.

    If the ledger cannot be written now, they are left to the background.
    """
    begun = monotonic_s()
    with suppress(LedgerDown):
        for _ in range(steps):
            if not sum_rewards(ledger, rules, lead=lead) or monotonic_s() - begun > within_s:
                return


def view_lift(
    request: LiftRequest,
    ledger: Ledger,
    catalog: Catalog,
    domain: Domain,
    now: datetime,
    lead: bool = True,
    kept: KeptValues | None = None,
    warnings: Sequence[str] = (),
) -> LiftView:
    """Compare the arms, under the current catalogue and with what is known now.

    Parameters
    ----------
    lead : bool
        False in a server, in which the background of the first worker leads; see `sum_rewards`.
    kept
        In a server: the rows that were read for earlier requests.
    warnings
        Sentences that stand before the remarks, such as those of guardrails.
    """
    sum_before_lift(ledger, RewardRules.of(catalog, domain), lead, MAX_STEPS, STEPS_WITHIN_S)
    shown = kept.shown if kept else None
    credited = view_credited_lift(request, ledger, catalog, domain.currency, now, shown)
    values = customer_values(ledger, domain, catalog, now, request.since, request.until, kept)
    days = counted_days(catalog.clock.of_business, now, request.since, request.until)
    first_day = days[0] if request.since else None
    arm = np.array([ARM_NAMES.index(arm_of(key, catalog.arms)) for key in values.customers], int)
    found = compare_arms(values, arm, catalog.arms, domain.currency.upper(), days[1], first_day)
    return LiftView(
        currency=domain.currency,
        objective=objective_sentence(domain),
        horizon_days=domain.objective.horizon_days,
        arms=found.arms,
        pairs=found.pairs,
        sample_ratio=found.sample_ratio,
        merged_across_arms=values.merged_across_arms,
        verdict=verdict(found.arms, found.pairs, found.sample_ratio),
        remarks=[
            *warnings,
            *left_before_sentence(found.left_before),
            *_remarks(values, domain, catalog.clock.zone),
        ],
        credited=credited,
    )


def _remarks(values: CustomerValues, domain: Domain, zone: str) -> Iterator[str]:
    if zone != "UTC":
        yield f"Values count by days of UTC, and credited rewards by days of {zone}."
    if values.merged_across_arms:
        yield (
            f"{values.merged_across_arms:,} customers have decisions of several arms: they were "
            "merged, or shares or salt were changed. Each counts in the arm of its id of now."
        )
    if values.outdated:
        yield (
            "The objective or the definition of churn is new: the events of some customers are not "
            "summed by it yet; they are summed in the background."
        )
    if domain.churn is None:
        yield "The domain does not say who has left (churn), so that nobody counts as such."
