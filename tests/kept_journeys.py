"""Refreshes journeys as the server does, and rebuilds them beside it, for tests."""

from __future__ import annotations

import shutil
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from features.analytics.build import build_journeys
from features.analytics.journey_data import JourneyData
from features.analytics.upkeep.kept_state import KeptState, read_state
from features.analytics.upkeep.refresh import RefreshResult, refresh
from features.business.domain import Domain
from features.ledger import tables
from features.ledger.ledger import Ledger

Content = dict[str, Any]
DAY_US = 86_400_000_000


class Kept:
    """The journeys of a ledger in a folder."""

    def __init__(self, ledger: Ledger, domain: Domain, folder: Path) -> None:
        self.ledger, self.domain, self.folder = ledger, domain, folder

    def refresh(self, now: datetime, rebuild: bool = False) -> RefreshResult:
        return refresh(self.ledger, self.domain, self.folder, now, rebuild)

    @property
    def state(self) -> KeptState:
        state = self.ledger.read(read_state)
        assert state is not None
        return state

    def content(self) -> Content:
        """All rows of the files, and the counts."""
        with self.state.opened(self.domain, self.folder) as data:
            return {**rows_of(data), "cube": cube_of(self.ledger, self.state.build)}

    def rebuilt(self) -> Content:
        """The same from a build of everything at the same moment, counted in Python."""
        place, as_of = self.folder / "aside", tables.from_micros(self.state.as_of_us)
        built = build_journeys(self.ledger, self.domain, place, as_of)
        with JourneyData.of_files(self.domain, built.pairs, [], self.state.as_of_us, 0) as data:
            rows = rows_of(data)
            counts = counted(data)
        shutil.rmtree(place)
        return {**rows, "cube": counts}

    def marks(self) -> list[str]:
        query = sa.select(tables.journey_marks.c.customer_id)
        return sorted(self.ledger.read(lambda c: c.execute(query).scalars().all()))


def rows_of(data: JourneyData) -> Content:
    return {
        name: sorted(data.rows(f"SELECT * FROM {name}"), key=repr) for name in ("journeys", "steps")
    }


def cube_of(ledger: Ledger, build: int) -> dict[tuple[Any, ...], int]:
    """The counts as they are stored, by cell; no cell is stored with 0."""
    columns = tables.journey_cube.c
    query = sa.select(tables.journey_cube).where(columns.build == build)
    found = {tuple(row)[1:-1]: row.n for row in ledger.read(lambda c: c.execute(query).all())}
    assert 0 not in found.values()
    return found


def counted(data: JourneyData) -> dict[tuple[Any, ...], int]:
    """The counts of the cells, in plain Python."""
    found: Counter[tuple[Any, ...]] = Counter()
    journeys = (
        "SELECT journey, customer_id, map, start_us, entry_channel, persona, path, how, entry"
    )
    days = {}
    for number, who, name, start_us, channel, persona, path, how, entry in data.rows(
        f"{journeys} FROM journeys"
    ):
        day = days[number, who] = start_us // DAY_US
        found[1, name, -1, -1, "", path - (1 << 63), 0, how] += 1
        found[2, name, day, channel, persona or "", 0, 0, how] += 1
        found[0, name, day, -1, "", 65_534, entry, -1] += 1
    steps = "SELECT journey, customer_id, map, node, next_node, gap_bucket FROM steps"
    for number, who, name, node, following, bucket in data.rows(steps):
        found[0, name, days[number, who], -1, "", node, following, -1] += 1
        if following != 65_535:
            found[3, name, -1, -1, "", node, following, bucket] += 1
    return dict(found)
