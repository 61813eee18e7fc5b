"""Compares the arms of an experiment: the part of `/v1/lift` that follows from values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from math import isfinite

import numpy as np

from features.business.catalog_rules import Arms
from features.rewards.customer_values import CustomerValues
from serving.audit.lift.sentences import pair_sentence
from serving.contract.lift import ArmView, DifferenceView, LiftOfDay, PairView, SampleRatio
from training.arrays import Floats, Ints
from training.evaluation.lift_looks import Looks, look_at
from training.evaluation.lift_pairs import ArmDifference, PairEstimate, compare_pair
from training.evaluation.sample_ratio import MISMATCH_P, sample_ratio_p

ARM_NAMES = ("policy", "random", "nobody")
PAIRS = (("policy", "nobody"), ("policy", "random"), ("random", "nobody"))
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Comparison:
    """The arms with customers or a share, their pairs, and the check of their sizes.

    ``left_before``: of a period, the share of the customers of each arm who had left before it.
    """

    arms: list[ArmView]
    pairs: list[PairView]
    sample_ratio: SampleRatio
    left_before: dict[str, float]


def shares_of(arms: Arms) -> dict[str, float]:
    """The planned share of each arm, by its name."""
    shares = 1 - arms.random - arms.nobody, arms.random, arms.nobody
    return dict(zip(ARM_NAMES, shares, strict=True))


def compare_arms(
    values: CustomerValues,
    arm: Ints,
    arms: Arms,
    unit: str,
    last_day: int,
    first_day: int | None = None,
) -> Comparison:
    """Compare the arms up to a day, by intention to treat.

    Parameters
    ----------
    values
        Of the days that count.
    arm : shape (n_customers,)
        Index in `ARM_NAMES` of each customer.
    unit : str
        The currency, for sentences.
    last_day : int
        The last day that counts, in days since 1970.
    first_day : int or None
        The first day that counts; None: the first day on which a customer was met.
    """
    shares = shares_of(arms)
    views = _arms(values, arm, shares, last_day, first_day is None)
    looks = look_at(values, arm, len(ARM_NAMES), first_day, last_day)
    pairs = [
        _pair(looks, (one, other), unit)
        for one, other in PAIRS
        if looks and shares[one] and shares[other]
    ]
    ratio = _sample_ratio([view.customers for view in views], shares)
    before = {} if first_day is None else _left_before(values, arm, last_day)
    return Comparison(views, pairs, ratio, before)


def _left_before(values: CustomerValues, arm: Ints, last_day: int) -> dict[str, float]:
    met = values.met_day <= last_day
    gone = {name: values.gone_before[met & (arm == code)] for code, name in enumerate(ARM_NAMES)}
    return {name: float(some.mean()) for name, some in gone.items() if len(some)}


def _arms(
    values: CustomerValues, arm: Ints, shares: dict[str, float], last_day: int, of_all_days: bool
) -> list[ArmView]:
    days, met = values.days, values.met_day <= last_day
    arm_of_row = arm[days.customer]
    lost = days.left * values.remaining[days.customer]
    # Of a period, only who left in it counts, as in `look_at`.
    gone = values.gone_before.astype(np.int64) * of_all_days
    np.add.at(gone, days.customer, days.left)
    views = []
    for code, name in enumerate(ARM_NAMES):
        customers = int((met & (arm == code)).sum())
        rows = arm_of_row == code
        margin, cost, taken = (
            float(column[rows].sum()) / customers if customers else None
            for column in (days.margin, days.cost, lost)
        )
        left = float((gone[met & (arm == code)] > 0).mean()) if customers else None
        value = None if margin is None else margin - (cost or 0.0) - (taken or 0.0)
        views.append(
            ArmView(
                arm=name,
                share=shares[name],
                customers=customers,
                value=value,
                margin=margin,
                cost=cost,
                lost=taken,
                left=left,
            )
        )
    return views


def _pair(looks: Looks, pair: tuple[str, str], unit: str) -> PairView:
    one, other = (ARM_NAMES.index(name) for name in pair)
    found = compare_pair(looks, ARM_NAMES, (one, other))
    lift, left = (_difference(each) for each in (found.lift, found.left))
    fewest = int(looks.moments.n[-1, [one, other]].min())
    return PairView(
        arm=found.arm,
        against=found.against,
        lift=lift,
        left=left,
        relative=known(found.relative.value),
        relative_low=known(found.relative.low),
        relative_high=known(found.relative.high),
        explained=known(found.explained),
        informative=round(found.informative),
        verdict=pair_sentence(pair, lift, left, round(found.informative), fewest, unit),
        days=_days(found),
    )


def _difference(found: ArmDifference) -> DifferenceView | None:
    """The difference at the last look; None if an arm has too few customers for a mean."""

    def last(values: Floats) -> float | None:
        return known(float(values[-1]))

    value = last(found.value)
    if value is None:
        return None
    return DifferenceView(
        value=value,
        low=last(found.always.low),
        high=last(found.always.high),
        planned_low=last(found.planned.low),
        planned_high=last(found.planned.high),
        smallest=last(found.always.smallest),
        planned_smallest=last(found.planned.smallest),
    )


def _days(found: PairEstimate) -> list[LiftOfDay]:
    """The lift up to each day, once there is a bound that holds at all looks."""
    columns = zip(
        found.day.tolist(),
        *(part.tolist() for part in (found.lift.value, found.lift.always.low)),
        found.lift.always.high.tolist(),
        strict=True,
    )
    return [
        LiftOfDay(day=EPOCH + timedelta(days=day), value=value, low=low, high=high)
        for day, value, low, high in columns
        if isfinite(low) and isfinite(high)
    ]


def _sample_ratio(customers: list[int], shares: dict[str, float]) -> SampleRatio:
    total = sum(customers)
    p_value = sample_ratio_p(customers, [*shares.values()])
    return SampleRatio(
        expected=shares,
        found={
            name: count / total for name, count in zip(ARM_NAMES, customers, strict=True) if total
        },
        p_value=p_value,
        trusted=p_value is None or p_value >= MISMATCH_P,
    )


def known(value: float) -> float | None:
    """The value, or None for one that is not finite."""
    return value if isfinite(value) else None
