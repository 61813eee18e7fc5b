"""Finds the policy that an evaluation judges, and refuses one that has learned from what it judges.

A policy looks better than it is on decisions from whose outcomes it has learned. So an evaluation
begins at one time, its first decision, and the policy knows what was told before it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa

from features.errors import InvalidSetting
from features.ledger import tables
from features.ledger.ledger import Ledger
from serving.audit.would_serve import knows_imported, newest_learned
from training.bandit.artifact import Bandit

_COLUMNS = tables.decisions.c
OWN = _COLUMNS.answer.is_not(None)
# Own decisions have an arm, also those whose record and answer retention has removed.
IMPORTED = sa.and_(~_COLUMNS.served, _COLUMNS.record.is_(None), _COLUMNS.arm.is_(None))
JUDGED = sa.or_(OWN, sa.and_(IMPORTED, _COLUMNS.probability.is_not(None)))


class LearnedDecisions(NamedTuple):
    """Decisions of a period from whose outcomes a version has learned.

    Attributes
    ----------
    number : int
    first_id, first_at, last_at
        Id and time of the first one, and the time of the last one.
    imported : bool
        True if they are imported ones, false if the service made them.
    """

    number: int
    first_id: str
    first_at: datetime
    last_at: datetime
    imported: bool


class JudgedSpan(NamedTuple):
    """The decisions that are judged.

    Attributes
    ----------
    first_at
        None of the decisions that are judged was made before this time.
    since
        Decisions from this time on are read; those before ``first_at`` are only counted.
    until
        Decisions before this time are read; None: all.
    """

    first_at: datetime
    since: datetime
    until: datetime | None


def judged_span(
    ledger: Ledger,
    since: datetime,
    until: datetime | None,
    limit: int | None,
    closed_before: datetime,
) -> JudgedSpan:
    """Find the span of the newest decisions of a period.

    Parameters
    ----------
    closed_before
        Of decisions before this time, all windows of the catalogue have closed.
    """
    query = sa.select(_COLUMNS.decided_at).where(JUDGED, *_period(since, until))
    newest = query.where(_COLUMNS.decided_at < closed_before)
    newest = newest.order_by(_COLUMNS.decided_at.desc()).offset((limit or 1) - 1).limit(1)
    oldest = query.order_by(_COLUMNS.decided_at).limit(1)

    def read(connection: sa.Connection) -> JudgedSpan:
        found = None if limit is None else connection.execute(newest).scalar()
        if found is not None:
            return JudgedSpan(found, found, until)
        return JudgedSpan(connection.execute(oldest).scalar() or since, since, until)

    return ledger.read(read)


def served_among(
    ledger: Ledger, bandit: Bandit, since: datetime, until: datetime | None
) -> LearnedDecisions | None:
    """Find the service's decisions of a period from which a version has learned; None: none."""
    newest = newest_learned(bandit)
    if newest is None:
        return None
    return _among(ledger, [OWN, _COLUMNS.serial <= newest], since, until, imported=False)


def imported_among(
    ledger: Ledger, bandit: Bandit, since: datetime, until: datetime | None
) -> LearnedDecisions | None:
    """Find the imported decisions of a period from which a version has learned; None: none.

    Only those with a logged probability are judged. Where a version does not note up to when it has
    learned from imported decisions, all of the period count as learned.
    """
    if not knows_imported(bandit.imported):
        return None
    learned = [IMPORTED, _COLUMNS.probability.is_not(None)]
    learned_until = bandit.imported_until
    if learned_until is not None:
        learned.append(_COLUMNS.decided_at <= learned_until)
    return _among(ledger, learned, since, until, imported=True)


def count_imported(ledger: Ledger, since: datetime, until: datetime | None) -> tuple[int, int]:
    """Count the imported decisions of a period with a logged probability, and those without."""
    known = _COLUMNS.probability.is_not(None)
    within = [IMPORTED, *_period(since, until)]
    return _count(ledger, [*within, known]), _count(ledger, [*within, ~known])


def count_own(ledger: Ledger, since: datetime, until: datetime | None) -> int:
    """Count the decisions of a period that the service made and that can be repeated."""
    return _count(ledger, [OWN, *_period(since, until)])


def refusal(policy: str, version: str, learned: LearnedDecisions) -> InvalidSetting:
    """Make the error for a policy that has learned from decisions that it is to be judged by.

    Parameters
    ----------
    policy
        The policy as it was asked for, such as ``challenger``.
    """
    kind = "imported decisions" if learned.imported else "decisions"
    after = learned.last_at.replace(microsecond=0) + timedelta(seconds=1)
    train = (
        f"or train one without them: 'nba train bandit --until {learned.first_at.isoformat()}'."
        if learned.imported
        else "or name a version that was trained before them: what was told before the first "
        "decision judged is added to it."
    )
    return InvalidSetting(
        f"policy is {policy!r}: bandit version {version} has learned from {learned.number:,} of "
        f"the {kind} to be judged. The first is {learned.first_id!r} of "
        f"{learned.first_at.isoformat()}.",
        expected="a policy that has learned from none of them, or it looks better than it is",
        remedy=f"Judge it on later ones: --since {after.isoformat()}; {train}",
    )


def _count(ledger: Ledger, conditions: list[Any]) -> int:
    query = sa.select(sa.func.count()).where(*conditions)
    return ledger.read(lambda connection: connection.execute(query).scalar_one())


def _among(
    ledger: Ledger,
    conditions: list[Any],
    since: datetime,
    until: datetime | None,
    imported: bool,
) -> LearnedDecisions | None:
    at = _COLUMNS.decided_at
    within = [*conditions, *_period(since, until)]
    counted = sa.select(sa.func.count(), sa.func.max(at)).where(*within)
    first = sa.select(_COLUMNS.decision_id, at).where(*within)
    first = first.order_by(at, _COLUMNS.decision_id).limit(1)

    def read(connection: sa.Connection) -> LearnedDecisions | None:
        count, last_at = connection.execute(counted).one()
        if not count:
            return None
        first_id, first_at = connection.execute(first).one()
        return LearnedDecisions(count, first_id, first_at, last_at, imported)

    return ledger.read(read)


def _period(since: datetime, until: datetime | None) -> list[Any]:
    at = _COLUMNS.decided_at
    return [at >= since] if until is None else [at >= since, at < until]
