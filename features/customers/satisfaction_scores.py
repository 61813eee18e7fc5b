"""Scores of satisfaction with 95 % intervals: NPS, CSAT, CES and mean stars.

Each score is the mean of a number per answer. So three sums (`AnswerSums`) are all that is kept
of a group, however many answers it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import nan, sqrt
from typing import NamedTuple

from features.business.event_types import SCALES
from features.intervals import normal_quantile, student_interval, wilson_interval

Bounds = tuple[float, float]


@dataclass(slots=True)
class AnswerSums:
    """The number of answers, the sum of their points, and the sum of the squares of these."""

    answers: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, points: float) -> None:
        """Count one more answer."""
        self.answers += 1
        self.total += points
        self.squares += points * points


class Score(NamedTuple):
    """A measure of some answers and its 95 % interval; ``nan`` where there are too few answers."""

    answers: int
    value: float
    low: float
    high: float


def nps(scores: Iterable[float]) -> Score:
    """Compute the net promoter score, in [-100, 100].

    It is the percentage of promoters (9 and 10) minus the percentage of detractors (0 to 6). The
    interval is the adjusted Wald interval: the normal approximation after adding three answers,
    3/4 of a promoter and 3/4 of a detractor among them. It does not shrink to a point when all
    answers are alike, as the plain interval does, and covered best in Rocks's comparison.

    References
    ----------
    Reichheld (2003), "The One Number You Need to Grow", Harvard Business Review 81(12).
    Rocks (2016), "Interval Estimation for the 'Net Promoter Score'", American Statistician 70(4).
    """
    return _score("nps", scores)


def csat(scores: Iterable[float]) -> Score:
    """Compute customer satisfaction: the percentage of answers that are 4 or 5 on 1 to 5.

    The interval is `wilson_interval`.

    References
    ----------
    Farris et al. (2010), "Marketing Metrics", 2nd ed., on customer satisfaction.
    """
    return _score("csat", scores)


def ces(scores: Iterable[float]) -> Score:
    """Compute the customer effort score 2.0: the mean of 1 to 7 ("made it easy"); 7 is best.

    The interval is `student_interval`, cut off at the ends of the scale.

    References
    ----------
    Dixon, Freeman & Toman (2010), "Stop Trying to Delight Your Customers", Harvard Business
    Review 88(7/8), asked for effort on 1 to 5; Dixon, Toman & DeLisi (2013), "The Effortless
    Experience", for agreement on 1 to 7 (2.0).
    """
    return _score("ces", scores)


def rating(scores: Iterable[float]) -> Score:
    """Compute the mean stars of reviews, 1 to 5; the interval is that of `ces`."""
    return _score("rating", scores)


def score_of(measure: str, sums: AnswerSums) -> Score:
    """Compute the score and the interval of a measure from the sums over its answers."""
    if sums.answers == 0:
        return Score(0, nan, nan, nan)
    value = sums.total / sums.answers
    low, high = _INTERVALS[measure](sums)
    # By rounding, or in the NPS of one answer, the value may lie just outside. The order matters:
    # min(nan, value) is nan.
    return Score(sums.answers, value, min(low, value), max(high, value))


def _score(measure: str, scores: Iterable[float]) -> Score:
    sums = AnswerSums()
    for score in scores:
        sums.add(POINTS[measure](score))
    return score_of(measure, sums)


def _promoter_points(score: float) -> float:
    return 100.0 if score >= 9 else -100.0 if score <= 6 else 0.0


def _adjusted_wald(sums: AnswerSums) -> Bounds:
    answers = sums.answers + 3
    mean = sums.total / answers  # 3/4 of a promoter and 3/4 of a detractor cancel out here,
    squares = (sums.squares + 1.5 * 100.0**2) / answers  # but not here
    half = normal_quantile() * sqrt((squares - mean * mean) / answers)
    return max(mean - half, -100.0), min(mean + half, 100.0)


def _wilson(sums: AnswerSums) -> Bounds:
    found = wilson_interval(sums.total / sums.answers / 100, sums.answers)
    return max(100 * found.low, 0.0), min(100 * found.high, 100.0)


def _student(lowest: float, highest: float) -> Callable[[AnswerSums], Bounds]:
    def interval(sums: AnswerSums) -> Bounds:
        n, mean = sums.answers, sums.total / sums.answers
        if n == 1:
            return nan, nan
        variance = max(sums.squares - n * mean * mean, 0.0) / (n - 1)  # rounding may fall below 0
        found = student_interval(mean, sqrt(variance / n), n)
        return max(found.low, lowest), min(found.high, highest)

    return interval


# Of each measure: the points of an answer, and the interval of their mean.
POINTS: dict[str, Callable[[float], float]] = {
    "nps": _promoter_points,
    "csat": lambda score: 100.0 if score >= 4 else 0.0,
    "ces": float,
    "rating": float,
}
_INTERVALS: dict[str, Callable[[AnswerSums], Bounds]] = {
    "nps": _adjusted_wald,
    "csat": _wilson,
    "ces": _student(*SCALES["ces"]),
    "rating": _student(*SCALES["rating"]),
}
