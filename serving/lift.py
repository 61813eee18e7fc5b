"""What the policy earns more than the control group: figures, and what may be said of them."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd

from features.catalog import Catalog
from features.ledger import Ledger
from features.rewards import rewards
from serving.contract_lift import ArmView, LiftOfDay, LiftRequest, LiftView, SampleRatio
from training.bandit import Floats
from training.lift import FEWEST, SUSPICIOUS, Lift, lift, sample_ratio_p

DAYS = 60  # points of the course at most
EPOCH = date(1970, 1, 1)


def view_lift(
    request: LiftRequest, ledger: Ledger, catalog: Catalog, currency: str, now: datetime
) -> LiftView:
    """The lift of a period, under the catalogue of now, as far as outcomes are known now."""
    found = rewards(ledger, catalog, now, request.since, request.until)
    table, in_both = _one_arm_each(found.table)
    policy, control = _of_customers(table, "policy"), _of_customers(table, "control")
    measured = lift(policy, control)
    ratio = _sample_ratio(len(policy), len(control), catalog.control_group.share)
    baseline = float(control.mean()) if len(control) else 0.0
    return LiftView(
        currency=currency,
        policy=_arm(table, policy, "policy"),
        control=_arm(table, control, "control"),
        in_both=in_both,
        open=int(table["open"].sum()),
        lift=measured.value if measured else None,
        low=measured.low if measured else None,
        high=measured.high if measured else None,
        relative=measured.value / abs(baseline) if measured and baseline else None,
        sample_ratio=ratio,
        verdict=_verdict(measured, ratio, currency),
        days=_course(table),
        forgotten_actions=found.forgotten,
    )


def _one_arm_each(table: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Without those who were merged across the arms, and how many these are."""
    arms = table.groupby("customer_id")["arm"].nunique()
    both = arms.index[arms > 1]
    return table[~table["customer_id"].isin(both)], len(both)


def _of_customers(table: pd.DataFrame, arm: str) -> Floats:
    """Reward of each customer of an arm, shape (n_customers,)."""
    mine = table[table["arm"] == arm]
    return mine.groupby("customer_id")["reward"].sum().to_numpy(dtype=np.float64)


def _arm(table: pd.DataFrame, of_customer: Floats, arm: str) -> ArmView:
    decisions = int(table.loc[table["arm"] == arm, "decisions"].sum())
    total, customers = float(of_customer.sum()), len(of_customer)
    return ArmView(
        customers=customers,
        decisions=decisions,
        reward_per_customer=total / customers if customers else None,
        reward_per_decision=total / decisions if decisions else None,
    )


def _sample_ratio(policy: int, control: int, share: float) -> SampleRatio:
    p_value = sample_ratio_p(policy, control, share)
    return SampleRatio(
        expected_control=share,
        found_control=control / (policy + control) if policy + control else None,
        p_value=p_value,
        trusted=p_value is None or p_value >= SUSPICIOUS,
    )


def _course(table: pd.DataFrame) -> list[LiftOfDay]:
    """The lift up to each day; of a long time, of some days only."""
    days = np.unique(table["day"].to_numpy(dtype=np.int64))
    if len(days) > DAYS:
        days = days[np.unique(np.linspace(0, len(days) - 1, DAYS).astype(int))]
    course = []
    for day in days.tolist():
        until = table[table["day"] <= day]
        found = lift(_of_customers(until, "policy"), _of_customers(until, "control"))
        if found is not None:
            course.append(LiftOfDay(day=EPOCH + timedelta(days=day), **found._asdict()))
    return course


def _verdict(found: Lift | None, ratio: SampleRatio, currency: str) -> str:
    unit = currency.upper()
    if not ratio.trusted and ratio.found_control is not None:
        return (
            f"Do not trust the lift: {ratio.found_control:.1%} of the customers are in the control "
            f"group, and the catalogue says {ratio.expected_control:.1%}. Find out who is missing."
        )
    if found is None:
        return f"Not enough yet: each arm needs at least {FEWEST} customers."
    said = f"{abs(found.value):.2f} {unit} ({found.low:.2f} to {found.high:.2f})"
    if not found.certain:
        return f"Not certain yet: the difference is {found.value:.2f} {unit}, but may well be 0."
    if found.value > 0:
        return f"The policy earns {said} more for each customer than chance."
    return f"The policy earns {said} less for each customer than chance: look at the rules."
