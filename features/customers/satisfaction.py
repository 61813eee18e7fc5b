"""Answers of customers to surveys, grouped and measured as NPS, CSAT, CES and mean stars.

The domain file says with ``measures`` which property of an event holds a score.
`satisfaction_scores` computes the measures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from math import isfinite
from typing import NamedTuple

import sqlalchemy as sa
from pydantic_core import from_json

from features.business.domain import Domain
from features.business.event_types import SCALES, EventType
from features.customers.satisfaction_scores import POINTS, AnswerSums, Score, score_of
from features.errors import InvalidSetting
from features.ledger import tables
from features.ledger.ledger import Ledger

ROWS = 20_000  # read at a time; bounds the memory


class Answer(NamedTuple):
    """One score that a customer gave. ``journey`` is the journey that the score is about."""

    measure: str
    score: float
    customer_id: str
    type: str
    journey: str
    stage: str
    channel: str
    occurred_at: datetime


PERIODS = ("month", "week", "day")
# The keys by which answers can be grouped. Weeks are those of ISO 8601.
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


class GroupScore(NamedTuple):
    """The score of one measure in one group; ``group`` has a text for each name in ``by``."""

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
    zone: tzinfo = UTC,
) -> list[GroupScore]:
    """Measure all groups that have answers.

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
    zone
        The clock of the business: months, weeks and days begin at midnight there.

    Returns
    -------
    list of GroupScore
        Sorted by measure, then by group: stages in the order of the domain, all else as texts.

    Raises
    ------
    InvalidSetting
        If a grouping is unknown, or ``until`` is not after ``since``.
    """
    _check(by, since, until)
    groups: dict[tuple[str, tuple[str, ...]], AnswerSums] = {}
    periods = any(name in PERIODS for name in by)
    for answer in answers(ledger, domain, since, until, customer_id):
        if periods:
            answer = answer._replace(occurred_at=answer.occurred_at.astimezone(zone))
        key = answer.measure, tuple(GROUPINGS[name](answer) for name in by)
        groups.setdefault(key, AnswerSums()).add(POINTS[answer.measure](answer.score))
    rows = [
        GroupScore(measure, group, score_of(measure, sums))
        for (measure, group), sums in groups.items()
    ]
    return sorted(rows, key=lambda row: _order(row, by, domain.stages))


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


def _order(row: GroupScore, by: Sequence[str], stages: Sequence[str]) -> tuple[int | str, ...]:
    group = (
        stages.index(value) if name == "stage" else value
        for name, value in zip(by, row.group, strict=True)
    )
    return list(POINTS).index(row.measure), *group


def answers(
    ledger: Ledger,
    domain: Domain,
    since: datetime | None = None,
    until: datetime | None = None,
    customer_id: str | None = None,
) -> Iterator[Answer]:
    """Read each score that a customer gave; the arguments are those of `feedback`."""
    measures = {name: kept for name, event in domain.events.items() if (kept := _measures(event))}
    columns = tables.events.c
    query = sa.select(
        columns.customer_id, columns.type, columns.occurred_at, columns.channel, columns.properties
    ).where(columns.type.in_(list(measures)))
    if since is not None:
        query = query.where(columns.occurred_at >= since)
    if until is not None:
        query = query.where(columns.occurred_at < until)
    if customer_id is not None:
        query = query.where(columns.customer_id == customer_id)
    journeys = domain.journey_kinds
    for customer, name, at, channel, text in ledger.stream(query, ROWS):
        properties, event = from_json(text), domain.events[name]
        about = properties.get("about")
        journey = about if about in journeys else event.journey
        for prop, measure in measures[name].items():
            score = properties.get(prop)
            if _on_scale(measure, score):
                yield Answer(measure, score, customer, name, journey, event.stage, channel, at)


def _measures(event: EventType) -> dict[str, str]:
    """Name the properties that hold a score, and the measure of each; spend is not a score."""
    known = event.properties.items()
    return {
        name: prop.measures for name, prop in known if prop.measures and prop.measures in SCALES
    }


def _on_scale(measure: str, score: object) -> bool:
    """Return False for values that an earlier domain file allowed and this one does not."""
    if isinstance(score, bool) or not isinstance(score, int | float):
        return False
    low, high = SCALES[measure]
    return low <= score <= high and isfinite(score)
