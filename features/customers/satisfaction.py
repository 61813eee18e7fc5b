"""What customers say when asked, in the field's own measures: NPS, CSAT, CES, and mean stars.

Each measure is the mean of what one answer counts, so that three sums for each group (`Tally`)
are all that is kept, however many answers there are. Which property of an event holds an answer
is said by `measures` in the domain file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import nan, sqrt
from typing import NamedTuple

import sqlalchemy as sa
from pydantic_core import from_json
from scipy.special import ndtri, stdtrit

from features.business.domain import SCALES, STAGES, Domain, EventType
from features.errors import InvalidSetting
from features.journeys.events import is_finite_number
from features.ledger import tables
from features.ledger.ledger import Ledger

ROWS = 20_000  # read at a time; bounds the memory
UPPER = 0.975  # an interval of 95 % leaves 2.5 % on either side
Z = float(ndtri(UPPER))


@dataclass(slots=True)
class Tally:
    """Sums over answers: how many, of what each counts, and of the squares of that."""

    answers: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, counts: float) -> None:
        """One more answer."""
        self.answers += 1
        self.total += counts
        self.squares += counts * counts


class Score(NamedTuple):
    """A measure of some answers, with its interval of 95 %; ``nan`` where too few answered."""

    answers: int
    value: float
    low: float
    high: float


def nps(scores: Iterable[float]) -> Score:
    """Net promoter score: % promoters (9 and 10) - % detractors (0 to 6), in [-100, 100].

    The interval is the adjusted Wald: the normal approximation after adding three answers, 3/4 of
    a promoter and 3/4 of a detractor among them. Unlike the plain one it does not shrink to a
    point when all answer alike, and it covered best in Rocks's comparison.

    References
    ----------
    Reichheld (2003), "The One Number You Need to Grow", Harvard Business Review 81(12).
    Rocks (2016), "Interval Estimation for the 'Net Promoter Score'", American Statistician 70(4).
    """
    return _score("nps", scores)


def csat(scores: Iterable[float]) -> Score:
    """Customer satisfaction: % of answers that are 4 or 5 on 1 to 5 (the top two boxes).

    References
    ----------
    Farris et al. (2010), "Marketing Metrics", 2nd ed., on customer satisfaction.
    Wilson (1927), "Probable Inference, the Law of Succession, and Statistical Inference", Journal
    of the American Statistical Association 22(158): the interval.
    """
    return _score("csat", scores)


def ces(scores: Iterable[float]) -> Score:
    """Customer effort score, version 2.0: the mean of 1 to 7 ("made it easy"); 7 is best.

    The interval is Student's: standard error of the mean, t with answers - 1 degrees of freedom.

    References
    ----------
    Dixon, Freeman & Toman (2010), "Stop Trying to Delight Your Customers", Harvard Business
    Review 88(7/8), asked for effort on 1 to 5; Dixon, Toman & DeLisi (2013), "The Effortless
    Experience", for agreement on 1 to 7 (2.0).
    """
    return _score("ces", scores)


def rating(scores: Iterable[float]) -> Score:
    """Mean stars of reviews, 1 to 5; the interval is that of `ces`."""
    return _score("rating", scores)


def _score(measure: str, scores: Iterable[float]) -> Score:
    tally = Tally()
    for score in scores:
        tally.add(COUNTS[measure](score))
    return _read(measure, tally)


def _read(measure: str, tally: Tally) -> Score:
    if tally.answers == 0:
        return Score(0, nan, nan, nan)
    value = tally.total / tally.answers
    low, high = INTERVALS[measure](tally)
    # By rounding, or in the NPS of one answer, the value may lie just outside. The order matters:
    # min(nan, value) is nan.
    return Score(tally.answers, value, min(low, value), max(high, value))


def _promoter(score: float) -> float:
    return 100.0 if score >= 9 else -100.0 if score <= 6 else 0.0


def _satisfied(score: float) -> float:
    return 100.0 if score >= 4 else 0.0


def _adjusted_wald(tally: Tally) -> tuple[float, float]:
    answers = tally.answers + 3
    mean = tally.total / answers  # 3/4 of a promoter and 3/4 of a detractor cancel out here,
    squares = (tally.squares + 1.5 * 100.0**2) / answers  # but not here
    half = Z * sqrt((squares - mean * mean) / answers)
    return max(mean - half, -100.0), min(mean + half, 100.0)


def _wilson(tally: Tally) -> tuple[float, float]:
    n, share = tally.answers, tally.total / tally.answers / 100
    middle = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z * sqrt(share * (1 - share) / n + Z * Z / (4 * n * n)) / (1 + Z * Z / n)
    return max(100 * (middle - half), 0.0), min(100 * (middle + half), 100.0)


def _student(lowest: float, highest: float) -> Callable[[Tally], tuple[float, float]]:
    def interval(tally: Tally) -> tuple[float, float]:
        n, mean = tally.answers, tally.total / tally.answers
        if n == 1:
            return nan, nan
        spread = max(tally.squares - n * mean * mean, 0.0) / (n - 1)  # rounding may fall below 0
        half = float(stdtrit(n - 1, UPPER)) * sqrt(spread / n)
        return max(mean - half, lowest), min(mean + half, highest)

    return interval


# What an answer counts, and the interval of the mean of that.
COUNTS: dict[str, Callable[[float], float]] = {
    "nps": _promoter,
    "csat": _satisfied,
    "ces": float,
    "rating": float,
}
INTERVALS: dict[str, Callable[[Tally], tuple[float, float]]] = {
    "nps": _adjusted_wald,
    "csat": _wilson,
    "ces": _student(*SCALES["ces"]),
    "rating": _student(*SCALES["rating"]),
}


class Answer(NamedTuple):
    """One score that a customer gave. ``journey`` is what it speaks of."""

    measure: str
    score: float
    customer_id: str
    type: str
    journey: str
    stage: str
    channel: str
    occurred_at: datetime


# What answers can be grouped by. Periods are of the calendar in UTC, weeks as ISO 8601 has them.
GROUPINGS: dict[str, Callable[[Answer], str]] = {
    "customer": lambda answer: answer.customer_id,
    "journey": lambda answer: answer.journey,
    "stage": lambda answer: answer.stage,
    "channel": lambda answer: answer.channel,
    "type": lambda answer: answer.type,
    "month": lambda answer: f"{answer.occurred_at:%Y-%m}",
    "week": lambda answer: f"{answer.occurred_at:%G-W%V}",
    "day": lambda answer: f"{answer.occurred_at:%Y-%m-%d}",
}


class Row(NamedTuple):
    """One measure of one group; ``group`` holds a text for each name in ``by``."""

    measure: str
    group: tuple[str, ...]
    score: Score


def feedback(
    ledger: Ledger,
    domain: Domain,
    by: Sequence[str] = (),
    since: datetime | None = None,
    until: datetime | None = None,
    customer_id: str | None = None,
) -> list[Row]:
    """The measures of all groups that have answers.

    An answer belongs to the journey that its event names in the property ``about``; if that is
    none of the domain's, to the journey of the event's type. Its stage is that of the type.

    Parameters
    ----------
    by
        Some of `GROUPINGS`; if empty, all answers are one group.
    since, until : aware
        Answers from ``since`` on and before ``until``; None leaves that side open.
    customer_id
        Only of this customer.

    Returns
    -------
    list of Row
        By measure, then by group; stages in the order of the way, all else as texts.

    Raises
    ------
    InvalidSetting
        If a grouping is unknown, or ``until`` is not after ``since``.
    """
    _check(by, since, until)
    tallies: dict[tuple[str, tuple[str, ...]], Tally] = {}
    for answer in answers(ledger, domain, since, until, customer_id):
        key = answer.measure, tuple(GROUPINGS[name](answer) for name in by)
        tallies.setdefault(key, Tally()).add(COUNTS[answer.measure](answer.score))
    rows = [
        Row(measure, group, _read(measure, tally)) for (measure, group), tally in tallies.items()
    ]
    return sorted(rows, key=lambda row: _order(row, by))


def _check(by: Sequence[str], since: datetime | None, until: datetime | None) -> None:
    for name in by:
        if name not in GROUPINGS:
            known = ", ".join(GROUPINGS)
            raise InvalidSetting(
                f"by is {name!r}.", expected=f"some of {known}", remedy="Name one of these."
            )
    if since and until and until <= since:
        raise InvalidSetting(
            f"until is {until.isoformat()}.",
            expected=f"a time after since, {since.isoformat()}",
            remedy="Swap them, or leave one out.",
        )


def _order(row: Row, by: Sequence[str]) -> tuple[int | str, ...]:
    placed = (
        STAGES.index(value) if name == "stage" else value
        for name, value in zip(by, row.group, strict=True)
    )
    return list(COUNTS).index(row.measure), *placed


def answers(
    ledger: Ledger,
    domain: Domain,
    since: datetime | None = None,
    until: datetime | None = None,
    customer_id: str | None = None,
) -> Iterator[Answer]:
    """Each score that a customer gave; the arguments are those of `feedback`."""
    asked = {name: _scores(event) for name, event in domain.events.items() if _scores(event)}
    columns = tables.events.c
    query = sa.select(
        columns.customer_id, columns.type, columns.occurred_at, columns.channel, columns.properties
    ).where(columns.type.in_(list(asked)))
    if since is not None:
        query = query.where(columns.occurred_at >= since)
    if until is not None:
        query = query.where(columns.occurred_at < until)
    if customer_id is not None:
        query = query.where(columns.customer_id == customer_id)
    journeys = domain.journey_kinds
    for who, name, at, channel, text in ledger.stream(query, ROWS):
        properties, event = from_json(text), domain.events[name]
        about = properties.get("about")
        journey = about if about in journeys else event.journey
        for prop, measure in asked[name].items():
            score = properties.get(prop)
            if _on_scale(measure, score):
                yield Answer(measure, score, who, name, journey, event.stage, channel, at)


def _scores(event: EventType) -> dict[str, str]:
    """The properties that hold a score, and what each measures; money spent is none."""
    known = event.properties.items()
    return {
        name: prop.measures for name, prop in known if prop.measures and prop.measures in SCALES
    }


def _on_scale(measure: str, score: object) -> bool:
    """Whether a score can be counted: the domain may have been another when it was written."""
    low, high = SCALES[measure]
    return is_finite_number(score) and low <= score <= high  # type: ignore[operator]
