"""Differences of shares between two maps, where the visits of one customer are not independent.

The share of an edge is a ratio: transitions from a node to another, by the visits of the first. Its
variance is that of a ratio estimator over customers (Cochran, Sampling Techniques, 3rd edition,
section 6.3): a customer who visits a node ten times counts as one customer, and one who is on both
maps is taken into account in the difference. The p-value takes one share for both maps, as the
score test does, and Student's distribution. False discoveries are controlled over all edges
(Benjamini and Yekutieli 2001), because the shares of a node depend on each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.intervals import student_quantile

FALSE_DISCOVERIES = 0.05  # at most this part of the flagged edges is expected to be false
# Below these an interval of a normal distribution is too narrow.
FEWEST_CUSTOMERS, FEWEST_TRANSITIONS = 30, 10.0


@dataclass(frozen=True)
class EdgeSums:
    """Sums over customers, for each edge; arrays of one shape.

    With x transitions of a customer along the edge, m visits of its source, and b and a for the
    maps before and after: ``xb`` is the sum of x before, ``xa_mb`` that of x after times m before,
    and so on.

    Attributes
    ----------
    customers_b, customers_a
        Customers with a visit of the source.
    customers
        Customers with a visit of it on one map or both.
    """

    customers_b: NDArray[np.float64]
    customers_a: NDArray[np.float64]
    customers: NDArray[np.float64]
    xb: NDArray[np.float64]
    xa: NDArray[np.float64]
    xb_xb: NDArray[np.float64]
    xa_xa: NDArray[np.float64]
    xa_xb: NDArray[np.float64]
    xb_mb: NDArray[np.float64]
    xa_ma: NDArray[np.float64]
    xa_mb: NDArray[np.float64]
    xb_ma: NDArray[np.float64]
    mb: NDArray[np.float64]
    ma: NDArray[np.float64]
    mb_mb: NDArray[np.float64]
    ma_ma: NDArray[np.float64]
    ma_mb: NDArray[np.float64]

    @classmethod
    def of_customers(
        cls,
        xb: NDArray[np.float64],
        xa: NDArray[np.float64],
        mb: NDArray[np.float64],
        ma: NDArray[np.float64],
    ) -> EdgeSums:
        """Add up transitions and visits of each customer, shape (..., n_customers, n_edges)."""
        x, m = {"b": xb, "a": xa}, {"b": mb, "a": ma}
        sums = {f"x{k}": one.sum(-2) for k, one in x.items()}
        sums |= {f"m{k}": one.sum(-2) for k, one in m.items()}
        sums |= {f"x{k}_m{j}": (x[k] * m[j]).sum(-2) for k in "ab" for j in "ab"}
        for j, k in ("bb", "aa", "ab"):
            sums[f"x{j}_x{k}"] = (x[j] * x[k]).sum(-2)
            sums[f"m{j}_m{k}"] = (m[j] * m[k]).sum(-2)
        seen = [(mb > 0).sum(-2), (ma > 0).sum(-2), ((mb > 0) | (ma > 0)).sum(-2)]
        return cls(*(one.astype(float) for one in seen), **sums)


@dataclass(frozen=True)
class ShareDifferences:
    """Shares of edges and their differences; ``nan`` where they cannot be told.

    Attributes
    ----------
    share_b, share_a : shape of the sums
        Before and after.
    difference, low, high
        ``share_a - share_b``, with its interval of 95 %.
    p_value
        Of no difference; ``nan`` of edges with too few customers or transitions.
    """

    share_b: NDArray[np.float64]
    share_a: NDArray[np.float64]
    difference: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    p_value: NDArray[np.float64]


def share_differences(sums: EdgeSums) -> ShareDifferences:
    """Compare the shares of edges on two maps."""
    from scipy.special import stdtr  # the process that starts the workers does without

    with np.errstate(divide="ignore", invalid="ignore"):
        before, after = sums.xb / sums.mb, sums.xa / sums.ma
        pooled = (sums.xb + sums.xa) / (sums.mb + sums.ma)
        freedom = np.maximum(sums.customers - 1, 1)
        difference = after - before
        score = difference / np.sqrt(_variance(sums, pooled, pooled))
        rarest = np.minimum(pooled, 1 - pooled) * np.minimum(sums.mb, sums.ma)
        half = student_quantile(freedom) * np.sqrt(_variance(sums, before, after))
    fewest = np.minimum(sums.customers_b, sums.customers_a)
    is_tested = (fewest >= FEWEST_CUSTOMERS) & (rarest >= FEWEST_TRANSITIONS)
    p_value = np.where(is_tested, 2 * stdtr(freedom, -np.abs(score)), np.nan)
    return ShareDifferences(
        before, after, difference, difference - half, difference + half, p_value
    )


def share_intervals(
    sums: EdgeSums,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the shares on the map after, and their bounds of 95 %, within 0 and 1."""
    share = sums.xa / sums.ma
    freedom = np.maximum(sums.customers_a - 1, 1)
    total = sums.xa_xa - 2 * share * sums.xa_ma + share**2 * sums.ma_ma
    variance = np.maximum(total, 0) / sums.ma**2 * sums.customers_a / freedom
    half = student_quantile(freedom) * np.sqrt(variance)
    return share, np.maximum(share - half, 0), np.minimum(share + half, 1)


def adjusted_p_values(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjust p-values for the number of tests; ``nan`` stays, and is no test.

    Parameters
    ----------
    p_values : shape (n_edges,)
    """
    adjusted = np.full(p_values.shape, np.nan)
    tested = ~np.isnan(p_values)
    if tested.any():
        adjusted[tested] = _adjusted(p_values[tested])
    return adjusted


def _adjusted(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    # The import takes half a second, which only a process that compares maps needs to spend.
    from scipy.stats import false_discovery_control

    adjusted: NDArray[np.float64] = false_discovery_control(p_values, method="by")
    return adjusted


def _variance(
    sums: EdgeSums, before: NDArray[np.float64], after: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the variance of the difference, for given shares.

    A customer adds (xa - after ma) / sum of ma - (xb - before mb) / sum of mb; the variance is the
    sum of the squares, times n / (n - 1).
    """
    of_b = sums.xb_xb - 2 * before * sums.xb_mb + before**2 * sums.mb_mb
    of_a = sums.xa_xa - 2 * after * sums.xa_ma + after**2 * sums.ma_ma
    both = sums.xa_xb - before * sums.xa_mb - after * sums.xb_ma + before * after * sums.ma_mb
    total = of_b / sums.mb**2 + of_a / sums.ma**2 - 2 * both / (sums.ma * sums.mb)
    return np.maximum(total, 0) * sums.customers / np.maximum(sums.customers - 1, 1)
