"""Reports credited rewards: the policy's per customer less the random arm's, with a verdict."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from math import isfinite

import numpy as np

from features.business.catalog import Catalog
from features.ledger.ledger import Ledger
from features.rewards.kept_rows import KeptRows
from features.rewards.rewards import NotSummed, rewards
from serving.contract.credited_lift import CreditedArm, CreditedDay, CreditedLift, CreditedRatio
from serving.contract.lift import LiftRequest
from training.evaluation.credited.credited_lift import (
    FEW_INFORMATIVE_CUSTOMERS,
    MIN_CUSTOMERS,
    Arm,
    Lift,
    LiftEstimate,
    credited_lift,
)
from training.evaluation.credited.credited_sums import rows_since_three_arms
from training.evaluation.sample_ratio import MISMATCH_P

MAX_DAYS = 60  # points of the lift by day
EPOCH = date(1970, 1, 1)


def view_credited_lift(
    request: LiftRequest,
    ledger: Ledger,
    catalog: Catalog,
    currency: str,
    now: datetime,
    kept: KeptRows | None = None,
) -> CreditedLift:
    """Compare the credited rewards of a period, under the current catalogue, as known now.

    Purchases without a shown action count in neither arm. Rewards are read from rows that are kept
    up to date (`reward_steps`); a remark says what they do not hold yet.

    Parameters
    ----------
    kept
        In a server: the rows that were read for earlier requests.
    """
    earned = rewards(ledger, catalog, now, request.since, request.until, kept)
    table, old_customers = rows_since_three_arms(earned.table)
    found = credited_lift(table, catalog.arms.random / (1 - catalog.arms.nobody))
    figure = found.figure
    return CreditedLift(
        currency=currency,
        policy=_arm(found.policy),
        random=_arm(found.random),
        in_both=found.in_both,
        open=found.policy.open + found.random.open,
        lift=figure.value if figure else None,
        low=figure.low if figure else None,
        high=figure.high if figure else None,
        welch_low=figure.welch_low if figure else None,
        welch_high=figure.welch_high if figure else None,
        relative=_known(figure.relative) if figure else None,
        relative_low=_known(figure.relative_low) if figure else None,
        relative_high=_known(figure.relative_high) if figure else None,
        per_decision=_known(found.policy.per_decision - found.random.per_decision),
        sample_ratio=_sample_ratio(found),
        verdict=_verdict(found, currency.upper()),
        remarks=[
            *_remarks(found, earned.unknown_actions, old_customers),
            *_not_summed(earned.not_summed),
        ],
        days=_by_day(found),
        forgotten_actions=earned.unknown_actions,
    )


def _arm(arm: Arm) -> CreditedArm:
    return CreditedArm(
        customers=arm.customers,
        decisions=arm.decisions,
        reward_per_customer=_known(arm.per_customer),
        reward_per_decision=_known(arm.per_decision),
    )


def _sample_ratio(found: Lift) -> CreditedRatio:
    total = found.policy.customers + found.random.customers
    p_value = found.ratio_p
    return CreditedRatio(
        expected_random=found.random_share,
        found_random=found.random.customers / total if total else None,
        p_value=p_value,
        trusted=p_value is None or p_value >= MISMATCH_P,
    )


def _by_day(found: Lift) -> list[CreditedDay]:
    """The lift up to each day; a long period is thinned to `MAX_DAYS` days."""
    rows = found.by_day.dropna().to_dict("records")
    chosen = (
        np.unique(np.linspace(0, len(rows) - 1, MAX_DAYS).astype(int))
        if len(rows) > MAX_DAYS
        else None
    )
    return [
        CreditedDay(
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
        if min(found.policy.customers, found.random.customers) < MIN_CUSTOMERS:
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
        return f"The policy earns {text} more credited reward a customer than chance."
    return f"The policy earns {text} less credited reward a customer than chance."


def _mismatch_text(found: Lift) -> str:
    """The verdict when the sample ratio does not match the catalogue (SRM)."""
    total = found.policy.customers + found.random.customers
    return (
        "Do not trust the credited lift: the split is not what the catalogue says. "
        f"{found.random.customers:,} of {total:,} customers are in the random arm "
        f"({found.random.customers / total:.1%}), and the catalogue says "
        f"{found.random_share:.1%}. Was the share or the salt changed in this period, were many "
        "customers merged, or does a channel ask for some of them only?"
    )


def _remarks(found: Lift, forgotten: list[str], old_customers: int) -> Iterator[str]:
    if old_customers:
        yield (
            f"{old_customers:,} customers were in the control group of before the three arms; the "
            "days of that time are not counted."
        )
    if still := found.policy.open + found.random.open:
        yield f"{still:,} decisions may still be followed by outcomes; they count as known now."
    if found.in_both:
        yield (
            f"{found.in_both:,} customers were merged across the arms and are counted in neither."
        )
    fewest = min(found.policy.informative, found.random.informative)
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
