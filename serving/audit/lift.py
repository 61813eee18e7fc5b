"""Reports the lift: the policy's reward per customer less the control group's, with a verdict."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime, timedelta
from math import isfinite

import numpy as np

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.clock import monotonic_s
from features.errors import LedgerDown
from features.ledger.ledger import Ledger
from features.rewards.kept_rows import KeptRows
from features.rewards.reward_steps import RewardRules, sum_rewards
from features.rewards.rewards import NotSummed, rewards
from serving.contract.lift import ArmView, LiftOfDay, LiftRequest, LiftView, SampleRatio
from training.evaluation.lift import (
    FEW_INFORMATIVE_CUSTOMERS,
    MIN_CUSTOMERS,
    MISMATCH_P,
    Arm,
    Lift,
    LiftEstimate,
    lift,
)

MAX_DAYS = 60  # points of the lift by day
# Before a lift is read, so many steps sum what came since the last one, for so long at most.
MAX_STEPS, STEPS_WITHIN_S = 16, 0.1
EPOCH = date(1970, 1, 1)


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
    kept: KeptRows | None = None,
) -> LiftView:
    """The lift of a period, under the current catalogue and with the outcomes known now.

    Only credited rewards count: purchases without a shown action count in neither arm. Rewards are
    read from rows that are kept up to date (`reward_steps`); a remark says what they do not hold
    yet.

    Parameters
    ----------
    lead : bool
        False in a server, in which the background of the first worker leads; see `sum_rewards`.
    kept
        In a server: the rows that were read for earlier requests.
    """
    sum_before_lift(ledger, RewardRules.of(catalog, domain), lead, MAX_STEPS, STEPS_WITHIN_S)
    earned = rewards(ledger, catalog, now, request.since, request.until, kept)
    found = lift(earned.table, catalog.arms.random / (1 - catalog.arms.nobody))
    figure, currency = found.figure, domain.currency
    return LiftView(
        currency=currency,
        policy=_arm(found.policy),
        control=_arm(found.control),
        in_both=found.in_both,
        open=found.policy.open + found.control.open,
        lift=figure.value if figure else None,
        low=figure.low if figure else None,
        high=figure.high if figure else None,
        welch_low=figure.welch_low if figure else None,
        welch_high=figure.welch_high if figure else None,
        relative=_known(figure.relative) if figure else None,
        relative_low=_known(figure.relative_low) if figure else None,
        relative_high=_known(figure.relative_high) if figure else None,
        per_decision=_known(found.policy.per_decision - found.control.per_decision),
        sample_ratio=_sample_ratio(found),
        verdict=_verdict(found, currency.upper()),
        remarks=[*_remarks(found, earned.unknown_actions), *_not_summed(earned.not_summed)],
        days=_by_day(found),
        forgotten_actions=earned.unknown_actions,
    )


def _arm(arm: Arm) -> ArmView:
    return ArmView(
        customers=arm.customers,
        decisions=arm.decisions,
        reward_per_customer=_known(arm.per_customer),
        reward_per_decision=_known(arm.per_decision),
    )


def _sample_ratio(found: Lift) -> SampleRatio:
    total = found.policy.customers + found.control.customers
    p_value = found.ratio_p
    return SampleRatio(
        expected_control=found.control_share,
        found_control=found.control.customers / total if total else None,
        p_value=p_value,
        trusted=p_value is None or p_value >= MISMATCH_P,
    )


def _by_day(found: Lift) -> list[LiftOfDay]:
    """The lift up to each day; a long period is thinned to `MAX_DAYS` days."""
    rows = found.by_day.dropna().to_dict("records")
    chosen = (
        np.unique(np.linspace(0, len(rows) - 1, MAX_DAYS).astype(int))
        if len(rows) > MAX_DAYS
        else None
    )
    return [
        LiftOfDay(
            day=EPOCH + timedelta(days=int(row["day"])),
            value=row["lift"],
            low=row["low"],
            high=row["high"],
        )
        for row in (rows if chosen is None else [rows[index] for index in chosen])
    ]


def _verdict(found: Lift, unit: str) -> str:
    if found.ratio_p is not None and found.ratio_p < MISMATCH_P:
        return _mismatch_text(found)
    figure = found.figure
    if figure is None:
        if min(found.policy.customers, found.control.customers) < MIN_CUSTOMERS:
            return f"Not enough yet: each arm needs at least {MIN_CUSTOMERS} customers."
        return "Not enough yet: in each arm, all customers have brought the same."
    return _figure_text(figure, unit)


def _figure_text(figure: LiftEstimate, unit: str) -> str:
    if figure.low <= 0 <= figure.high:
        return (
            f"Not certain yet: the difference is {figure.value:.2f} {unit} "
            f"({figure.low:.2f} to {figure.high:.2f}), but may well be 0."
        )
    low, high = sorted((abs(figure.low), abs(figure.high)))
    text = f"{abs(figure.value):.2f} {unit} ({low:.2f} to {high:.2f})"
    if figure.value > 0:
        return f"The policy earns {text} more for each customer than chance."
    return f"The policy earns {text} less for each customer than chance: look at the rules."


def _mismatch_text(found: Lift) -> str:
    """The verdict when the sample ratio does not match the catalogue (SRM)."""
    total = found.policy.customers + found.control.customers
    return (
        "Do not trust the lift: the split is not what the catalogue says. "
        f"{found.control.customers:,} of {total:,} customers are in the control group "
        f"({found.control.customers / total:.1%}), and the catalogue says "
        f"{found.control_share:.1%}. Was the share or the salt changed in this period, were many "
        "customers merged, or does a channel ask for some of them only?"
    )


def _remarks(found: Lift, forgotten: list[str]) -> Iterator[str]:
    if still := found.policy.open + found.control.open:
        yield f"{still:,} decisions may still be followed by outcomes; they count as known now."
    if found.in_both:
        yield (
            f"{found.in_both:,} customers were merged across the arms and are counted in neither."
        )
    fewest = min(found.policy.informative, found.control.informative)
    if found.figure and fewest < FEW_INFORMATIVE_CUSTOMERS:
        yield (
            f"In one arm only {fewest:,} customers have brought anything else than most did: the "
            f"interval may be too short. Wait for at least {FEW_INFORMATIVE_CUSTOMERS}."
        )
    if forgotten:
        yield f"No more in the catalogue, and counted 0: {', '.join(forgotten)}."


def _not_summed(left: NotSummed) -> Iterator[str]:
    if left.decisions:
        yield (
            f"{left.decisions:,} decisions are not counted yet; they are summed in the background."
        )
    if left.changes:
        yield (
            f"{left.changes:,} changes (outcomes, activations, customers) are not counted yet; "
            "they are summed in the background."
        )
    if left.outdated:
        yield (
            f"Values, costs or outcomes of the catalogue have changed: {left.outdated:,} decisions "
            "still count by the earlier ones, and are summed again in the background."
        )


def _known(value: float) -> float | None:
    return value if isfinite(value) else None
