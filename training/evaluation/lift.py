"""What the policy earns more than chance: customers it decides for against the control group.

Customers are the units, as they were drawn into an arm as a whole; what their decisions earned is
added up. All of it follows from sums of powers of what each customer earned, so every day's figure
comes from the same pass as the last one.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, nan, sqrt

import numpy as np
import pandas as pd
from scipy.stats import binomtest, chisquare

from features.intervals import welch_interval
from training.arrays import Floats

FEWEST = 2  # customers in an arm, to tell how much they differ
FEW = 20  # customers of an arm who earned something else than most; below, intervals are too short
EXPECTED = 5  # customers in an arm from which on chi-square is close enough (Cochran, 1954)
SUSPICIOUS = 0.001  # p value below which the split is not what it should be


@dataclass(frozen=True, slots=True)
class Arm:
    """Customers of one arm. ``open``: decisions whose window is open; the rewards may still move.

    Attributes
    ----------
    reward : float
        Of all customers together, in the domain's currency, after costs.
    telling : int
        Customers whose reward is not the commonest one, such as 0: those who make the difference.
    """

    customers: int
    decisions: int
    open: int
    reward: float
    telling: int

    @property
    def per_customer(self) -> float:
        """Mean reward; ``nan`` of nobody."""
        return self.reward / self.customers if self.customers else nan

    @property
    def per_decision(self) -> float:
        """Mean reward; ``nan`` of nothing."""
        return self.reward / self.decisions if self.decisions else nan


@dataclass(frozen=True, slots=True)
class Figure:
    """Mean reward of a customer of the policy less that of a control customer.

    Attributes
    ----------
    low, high : float
        95 % interval, corrected for skewness (see `welch_interval`).
    welch_low, welch_high : float
        Without that correction.
    relative, relative_low, relative_high : float
        The same in parts of the control customers' mean; ``nan`` where that is not clearly above 0.
    """

    value: float
    low: float
    high: float
    welch_low: float
    welch_high: float
    relative: float
    relative_low: float
    relative_high: float


@dataclass(frozen=True)
class Lift:
    """What a table of rewards says.

    Attributes
    ----------
    figure : Figure or None
        None if there are too few customers to say anything.
    in_both : int
        Customers who were seen in both arms, after a merge; counted in neither.
    ratio_p : float or None
        See `sample_ratio_p`; of ``control_share``, which the catalogue says.
    by_day : DataFrame
        Columns day, policy, control (mean reward a customer so far), lift, low, high; ``nan`` as
        long as there are too few.
    """

    policy: Arm
    control: Arm
    figure: Figure | None
    in_both: int
    control_share: float
    ratio_p: float | None
    by_day: pd.DataFrame


def lift(table: pd.DataFrame, control_share: float) -> Lift:
    """Compare the arms.

    Parameters
    ----------
    table : columns customer_id, arm, day, decisions, open, reward
        From `rewards.rewards`: one row for each customer, arm and day.
    control_share : float
        Which share of the customers the catalogue puts into the control group.
    """
    arms = table.groupby("customer_id")["arm"].nunique()
    mixed = arms.index[arms > 1]
    table = table[~table["customer_id"].isin(mixed)]
    policy, control = (_arm(table[table["arm"] == name]) for name in ("policy", "control"))
    sums = {name: _sums(table[table["arm"] == name]) for name in ("policy", "control")}
    by_day = _by_day(sums["policy"], sums["control"])
    figure = None
    if min(policy.customers, control.customers) >= FEWEST:
        figure = _figure(*(_moments(sums[name].iloc[[-1]]) for name in ("policy", "control")))
        figure = figure if isfinite(figure.low) else None
    ratio_p = sample_ratio_p(policy.customers, control.customers, control_share)
    return Lift(policy, control, figure, len(mixed), control_share, ratio_p, by_day)


def ratio_interval(
    mean: tuple[float, float], error: tuple[float, float], t: float
) -> tuple[float, float]:
    """Interval of the first mean divided by the second, by Fieller (1954); ``nan`` if the second
    is not clearly above 0.

    Parameters
    ----------
    error
        Standard error of each mean.
    t : float
        Quantile for the wanted confidence.
    """
    top, bottom = mean
    g = (t * error[1] / bottom) ** 2 if bottom > 0 else 1.0
    if not g < 1:  # written so that nan fails too
        return nan, nan
    spread = sqrt((1 - g) * error[0] ** 2 + (top / bottom * error[1]) ** 2)
    middle, half = top / bottom / (1 - g), t * spread / bottom / (1 - g)
    return middle - half, middle + half


def sample_ratio_p(policy: int, control: int, share: float) -> float | None:
    """How likely a split at least as uneven is, if customers were drawn with this share.

    Chi-square, or the exact binomial test where few are expected.

    Parameters
    ----------
    policy, control : int
        Customers in each arm.
    share : float, in [0, 1]
        Of the control group.

    Returns
    -------
    float or None
        None where there is nobody.

    References
    ----------
    Fabijan et al. (2019), "Diagnosing Sample Ratio Mismatch in Online Controlled Experiments".
    """
    total = policy + control
    if not total:
        return None
    expected = total * (1 - share), total * share
    if min(expected) >= EXPECTED:
        return float(chisquare([policy, control], expected).pvalue)
    return float(binomtest(control, total, share).pvalue)


def _arm(mine: pd.DataFrame) -> Arm:
    whole = mine.groupby("customer_id")["reward"].sum().round(9)
    commonest = int(whole.value_counts().iloc[0]) if len(whole) else 0
    return Arm(
        customers=len(whole),
        decisions=int(mine["decisions"].sum()),
        open=int(mine["open"].sum()),
        reward=float(mine["reward"].sum()),
        telling=len(whole) - commonest,
    )


def _sums(mine: pd.DataFrame) -> pd.DataFrame:
    """Sums of powers of what customers earned so far, by day: columns n, s1, s2, s3."""
    mine = mine.sort_values(["customer_id", "day"])
    after = mine.groupby("customer_id")["reward"].cumsum().to_numpy()
    first = ~mine["customer_id"].duplicated().to_numpy()
    before = np.where(first, 0.0, after - mine["reward"].to_numpy())
    moved = {f"s{power}": after**power - before**power for power in (1, 2, 3)}
    moved["n"] = first.astype(np.float64)
    daily = pd.DataFrame(moved).groupby(mine["day"].to_numpy()).sum()
    return daily.sort_index().cumsum()


def _moments(sums: pd.DataFrame) -> tuple[Floats, Floats, Floats, Floats]:
    """Number, mean, sample variance and third central moment, one for each row of sums."""
    n, s1, s2, s3 = (sums[name].to_numpy(dtype=np.float64) for name in ("n", "s1", "s2", "s3"))
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = s1 / n
        variance = np.maximum(s2 - n * mean**2, 0.0) / (n - 1)  # rounding may fall below 0
        third = s3 / n - 3 * mean * s2 / n + 2 * mean**3
    return n, mean, variance, third


def _figure(policy: tuple[Floats, ...], control: tuple[Floats, ...]) -> Figure:
    (n, mean, variance, third) = zip(policy, control, strict=True)
    low, high = (float(bound[0]) for bound in welch_interval(mean, variance, n, third))
    welch_low, welch_high = (float(bound[0]) for bound in welch_interval(mean, variance, n))
    value = float(mean[0][0] - mean[1][0])
    error = [sqrt(float(v[0] / size[0])) for v, size in zip(variance, n, strict=True)]
    spread = sqrt(error[0] ** 2 + error[1] ** 2)
    t = (welch_high - value) / spread if spread else nan
    means = float(mean[0][0]), float(mean[1][0])
    relative_low, relative_high = ratio_interval(means, (error[0], error[1]), t)
    relative = value / means[1] if isfinite(relative_low) else nan
    return Figure(
        value, low, high, welch_low, welch_high, relative, relative_low - 1, relative_high - 1
    )


def _by_day(policy: pd.DataFrame, control: pd.DataFrame) -> pd.DataFrame:
    days = sorted({*policy.index, *control.index})
    known = [sums.reindex(days).ffill().fillna(0.0) for sums in (policy, control)]
    (n, mean, variance, third) = zip(*map(_moments, known), strict=True)
    low, high = welch_interval(mean, variance, n, third)
    return pd.DataFrame(
        {
            "day": np.array(days, dtype=np.int64),
            "policy": mean[0],
            "control": mean[1],
            "lift": mean[0] - mean[1],
            "low": low,
            "high": high,
        }
    )
