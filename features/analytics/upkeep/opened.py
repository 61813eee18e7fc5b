"""Opens journeys for readers: as they are kept at present, or as they were known on a past day."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from features.analytics.journey_data import JourneyData
from features.analytics.journey_files import pairs_in
from features.analytics.known_then import build_apart, build_known_then
from features.analytics.upkeep.kept_state import (
    FOLDER,
    kept_elsewhere,
    open_journeys,
    read_state,
)
from features.analytics.upkeep.scratch import scratch_of
from features.business.domain import Domain
from features.clock import monotonic_s, utc_now
from features.errors import InvalidRequest, NotCounted
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.progress import Progress, quiet


@contextmanager
def opened_journeys(
    ledger: Ledger,
    domain: Domain,
    home: Path,
    known_at: datetime | None = None,
    most_events: int | None = None,
    progress: Progress = quiet,
    ends_s: float = math.inf,
    now: datetime | None = None,
) -> Iterator[JourneyData]:
    """Open the journeys of a home, all of one version, and close them after use.

    Parameters
    ----------
    known_at
        Open those of that moment, as they were known then. They are built for this use and deleted
        after it, in the folder in which erasures look.
    most_events
        How many events may be read to build them, by a process of its own; None: any number, by
        this process.
    ends_s : float
        When that process is ended, by the monotonic clock, in seconds.
    now
        None: by the real clock.

    Raises
    ------
    NotCounted
        If they were not counted yet, or for another domain file, or by another home.
    InvalidRequest
        If the ledger has too many events to build those of ``known_at``.
    TimeoutError
        If the process was ended.
    """
    if known_at is not None:
        with scratch_of(home / FOLDER) as scratch:
            folder = scratch / "base"
            if most_events is None:
                erased = build_known_then(ledger, domain, folder, known_at, progress).erased
            else:
                _refuse_many(ledger, most_events)
                erased = build_apart(ledger, domain, folder, known_at, ends_s - monotonic_s())
            pairs, at_us = pairs_in(folder), tables.micros(known_at)
            with JourneyData.of_files(domain, pairs, [], at_us, 0, erased) as data:
                yield data
        return
    kept = open_journeys(ledger, domain, home / FOLDER)
    if kept is None:
        now_us = tables.micros(now or utc_now())
        elsewhere = kept_elsewhere(ledger.read(read_state), home / FOLDER, now_us)
        raise elsewhere or not_counted()
    with kept:
        yield kept


def not_counted() -> NotCounted:
    """Make the refusal of a question before the journeys were counted."""
    return NotCounted(
        "The journeys of this business are not counted yet.",
        expected="a server that has run for a minute",
        remedy="Ask again in a minute; 'nba journeys' counts them at once.",
    )


def _refuse_many(ledger: Ledger, most: int) -> None:
    some = sa.select(tables.events.c.event_id).limit(most + 1).subquery()
    query = sa.select(sa.func.count()).select_from(some)
    if ledger.read(lambda c: int(c.execute(query).scalar_one())) > most:
        raise InvalidRequest(
            f"known_at asks for a build from more than {most:,} events.",
            expected=f"a ledger of at most {most:,} events",
            remedy="Use 'nba journeys --known-at', which may take minutes.",
        )


def waiting_customers(ledger: Ledger) -> int:
    """Count the customers whose past has changed since the journeys were counted."""
    query = sa.select(sa.func.count()).select_from(tables.journey_marks)
    return ledger.read(lambda connection: int(connection.execute(query).scalar_one()))
