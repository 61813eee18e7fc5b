"""Opens journeys for readers: as they are kept at present, or as they were known on a past day."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from features.analytics.journey_data import JourneyData
from features.analytics.upkeep.kept_state import open_journeys
from features.business.domain import Domain
from features.errors import NotCounted
from features.ledger import tables
from features.ledger.ledger import Ledger

FOLDER = "journeys"  # in the home


@contextmanager
def opened_journeys(ledger: Ledger, domain: Domain, home: Path) -> Iterator[JourneyData]:
    """Open the journeys of a home, all of one version, and close them after use.

    Raises
    ------
    NotCounted
        If they were not counted yet, or for another domain file.
    """
    data = open_journeys(ledger, domain, home / FOLDER)
    if data is None:
        raise NotCounted(
            "The journeys of this business are not counted yet.",
            expected="a server that has run for a minute",
            remedy="Ask again in a minute; 'nba journeys' counts them at once.",
        )
    with data:
        yield data


def waiting_customers(ledger: Ledger) -> int:
    """Count the customers whose past has changed since the journeys were counted."""
    query = sa.select(sa.func.count()).select_from(tables.journey_marks)
    return ledger.read(lambda connection: int(connection.execute(query).scalar_one()))
