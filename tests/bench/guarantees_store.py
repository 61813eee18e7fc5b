"""Checks that customers with an open complaint get no promotion while the feature store is down.

The online store fails in three ways: its tables vanish while the server runs, as after a wrong
`feast apply`, and come back; its file is damaged; its file is missing.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from tests.bench.guarantees_home import Home, event, found, promotions_for, send
from tests.bench.guarantees_report import Figure, most_of, none_of
from tests.server import Server, running

LIVE = [f"complains-live-{number}" for number in range(25)]
LOADED = [f"complains-loaded-{number}" for number in range(25)]
COMPLAIN = [*LIVE, *LOADED]
CONTENT = [f"content-{number}" for number in range(25)]
PEOPLE: dict[str, str | None] = dict.fromkeys([*COMPLAIN, *CONTENT])
HICCUP = 20  # decisions while the store is down, before it comes back for as many


class StoreSize(NamedTuple):
    """The number of decisions for customers with an open complaint in each way to fail."""

    decisions: int


FULL, SMALL = StoreSize(1000), StoreSize(60)


def events() -> pa.Table:
    """Complaints of `LOADED`, and visits of the others, as a contract table."""
    at = datetime.now(UTC) - timedelta(days=1)
    kinds = {name: "complaint_opened" if name in LOADED else "visit" for name in PEOPLE}
    columns = {"event_id": [f"loaded-{name}" for name in kinds], "customer_id": [*kinds]}
    columns |= {"type": [*kinds.values()], "channel": ["app"] * len(kinds)}
    return pa.table({**columns, "occurred_at": [at] * len(kinds)})


def run(size: StoreSize = FULL) -> list[Figure]:
    """Let the store fail in the three ways."""
    with tempfile.TemporaryDirectory() as scratch:
        home = found(Path(scratch), PEOPLE, events())
        with running(home.path, home.env) as server:
            figures = vanishing(server, home, size)
        online = _file(home)
        kept = online.read_bytes()
        for name, content in (("damaged", b"\0" * len(kept)), ("missing", None)):
            for rest in online.parent.glob("online.db*"):
                rest.unlink()
            if content is not None:
                online.write_bytes(content)
            with running(home.path, home.env) as server:
                given = sum(_given(server, COMPLAIN, size.decisions))
            figures.append(none_of(f"file {name}: {ASKED}", given, size.decisions))
        return figures


ASKED = "decisions with a promotion despite an open complaint"


def vanishing(server: Server, home: Home, size: StoreSize) -> list[Figure]:
    """Let the store fail and come back again and again while the server decides."""
    send(server, *(event(f"opened-{name}", name, "complaint_opened") for name in LIVE))
    before = sum(_given(server, COMPLAIN, len(COMPLAIN)))
    content = sum(_given(server, CONTENT, len(CONTENT)))
    given, unknown = list[bool](), list[bool]()
    while len(given) < size.decisions:
        with _without_tables(home):
            given += _given(server, COMPLAIN, HICCUP)
            unknown += _given(server, CONTENT, 1)
        given += _given(server, COMPLAIN, HICCUP)  # not yet looked at again, or back
    again = _back_within_s(server)
    return [
        none_of(f"store in order: {ASKED}", before, len(COMPLAIN)),
        most_of("store in order: promotions without a complaint", content, len(CONTENT)),
        none_of(f"tables vanish and come back: {ASKED}", sum(given), len(given)),
        none_of("tables vanished: promotions without a complaint", sum(unknown), len(unknown)),
        Figure(
            "promotions without a complaint after the store is back",
            "none in 30 s" if again is None else f"after {again:.1f} s",
            "within 30 s",
            again is not None,
        ),
    ]


def _given(server: Server, customers: Sequence[str], decisions: int) -> list[bool]:
    return [
        bool(promotions_for(server, customers[number % len(customers)]))
        for number in range(decisions)
    ]


def _back_within_s(server: Server, within_s: float = 30.0) -> float | None:
    began = time.monotonic()
    while time.monotonic() - began < within_s:
        if promotions_for(server, CONTENT[0]) and not _given(server, COMPLAIN, 1)[0]:
            return time.monotonic() - began
        time.sleep(0.1)
    return None


def _file(home: Home) -> Path:
    return home.path / "feast" / "online.db"


@contextmanager
def _without_tables(home: Home) -> Iterator[None]:
    """Rename the tables of the online store for the length of the block."""
    with closing(sqlite3.connect(_file(home), timeout=30, isolation_level=None)) as opened:
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '%customer%'"
        names = [name for (name,) in opened.execute(query)]
        assert names
        for name in names:
            opened.execute(f'ALTER TABLE "{name}" RENAME TO "gone_{name}"')
        try:
            yield
        finally:
            for name in names:
                opened.execute(f'ALTER TABLE "gone_{name}" RENAME TO "{name}"')
