"""The one histogram of times: 16 buckets an octave, so every percentile is within 2.2 %.

Medians and 90th percentiles of the cube, of a query and of the report come from counts by bucket.
So they are the same number, however the counts were added up.
"""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import NDArray

BUCKETS_AN_OCTAVE = 16
OCTAVES = 53  # up to 285 years, in microseconds
NO_BUCKET = 65_535  # of a step that no other one follows
# Bucket 0 holds 0; bucket b > 0 begins at the b-th edge. Times are whole numbers of microseconds,
# so the edges are, too. In the first octaves several edges are equal, and some buckets are empty.
EDGES: NDArray[np.int64] = np.ceil(
    2.0 ** (np.arange(BUCKETS_AN_OCTAVE * OCTAVES) / BUCKETS_AN_OCTAVE)
).astype(np.int64)


def buckets(times_us: NDArray[np.int64]) -> NDArray[np.uint16]:
    """Return the bucket of each time, shape (n,).

    Parameters
    ----------
    times_us : shape (n,)
        In microseconds, none below 0.
    """
    found: NDArray[np.uint16] = np.searchsorted(EDGES, times_us, side="right").astype(np.uint16)
    return found


def middle_us(bucket: int) -> float:
    """Return the geometric middle of a bucket, in microseconds."""
    return 0.0 if bucket == 0 else float(2.0 ** ((bucket - 0.5) / BUCKETS_AN_OCTAVE))


def percentile_us(
    found: NDArray[np.integer], counts: NDArray[np.integer], share: float
) -> float | None:
    """Return the percentile of times that were counted by bucket, in microseconds.

    It is the middle of the bucket in which the time of that rank lies (the nearest rank, so with
    two times the median is the shorter one).

    Parameters
    ----------
    found : shape (n_buckets,)
        Buckets in any order.
    counts : shape (n_buckets,)
        The number of times in each.
    share : float
        0.5 for the median.

    Returns
    -------
    float or None
        None if there are no times.
    """
    total = int(counts.sum())
    if total == 0:
        return None
    order = np.argsort(found, kind="stable")
    rank = max(1, ceil(share * total))
    place = int(np.searchsorted(np.cumsum(counts[order]), rank))
    return middle_us(int(found[order][place]))


def median_p90_s(
    found: NDArray[np.integer], counts: NDArray[np.integer]
) -> tuple[float | None, float | None]:
    """Return the median and the 90th percentile of times by bucket, in seconds; None: no times.

    Parameters
    ----------
    found, counts : shape (n_buckets,)
        As of `percentile_us`.
    """
    median, p90 = (percentile_us(found, counts, share) for share in (0.5, 0.9))
    return None if median is None else median / 1e6, None if p90 is None else p90 / 1e6


def bucket_sql(time_us: str) -> str:
    """Return the bucket of a time in SQL; the same as `buckets` to the microsecond.

    Parameters
    ----------
    time_us
        A column or an expression, in microseconds; nothing below 0. Null has the bucket null.
    """
    # The logarithm may be wrong in its last bit, so both edges of its bucket are asked, too.
    below = f"floor({BUCKETS_AN_OCTAVE} * log2({time_us}))"
    edge = f"ceil(pow(2.0, {below} / {BUCKETS_AN_OCTAVE}.0))"
    upper = f"ceil(pow(2.0, ({below} + 1) / {BUCKETS_AN_OCTAVE}.0))"
    found = f"{below} + 1 + ({time_us} >= {upper})::INT - ({time_us} < {edge})::INT"
    return f"(CASE WHEN {time_us} > 0 THEN {found} WHEN {time_us} = 0 THEN 0 END)::USMALLINT"
