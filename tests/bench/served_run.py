"""Plays a classification set against a started server, and finds which snapshot learned each row.

Each answer names the snapshot of the bandit that decided, such as prior.17. The outcome is posted
at once after the answer, and the learner publishes it in a later snapshot.
"""

from __future__ import annotations

import bisect
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa

from features.business.catalog import NO_ACTION
from features.ledger import tables
from features.ledger.ledger import Ledger
from tests.bench.classification_sets import ClassificationSet
from tests.bench.served_home import CHANNEL, action, customer
from tests.server import Server
from training.arrays import Floats, Indices

NEVER = 2**62  # stands for the snapshot of a row that was not learned
SHOWN_EVERY = 500  # rows between two lines of progress
LEARNED_WITHIN_S = 30.0


class Played(NamedTuple):
    """A run over all rows.

    Attributes
    ----------
    rewards : shape (n_rows,)
        1 for the right class, else 0; no action earns 0.
    used : shape (n_rows,)
        Number of the snapshot that decided the row; 0 before the first one.
    learned : shape (n_rows,)
        Number of the first snapshot that had learned the row; `NEVER` if none has.
    a_second : float
        Decisions a second, each with its outcome.
    """

    rewards: Floats
    used: Indices
    learned: Indices
    a_second: float


def snapshot_number(version: str | None) -> int:
    """Return the snapshot's number in a bandit version such as prior.17 or 3.17, else 0."""
    return int(version.rpartition(".")[2]) if version and "." in version else 0


def play(
    server: Server,
    ledger_url: str,
    given: ClassificationSet,
    draw: str,
    rate: float,
    say: Callable[[str], None] = lambda said: None,
) -> Played:
    """Ask for a decision for each row, ``rate`` a second, and tell its outcome at once.

    ``draw`` begins the ids of the decisions: another one draws other actions.
    """
    n = len(given.right)
    rewards, used, told = np.zeros(n), np.zeros(n, dtype=np.intp), 0
    began = time.monotonic()
    for row in range(n):
        if (early := began + row / rate - time.monotonic()) > 0:
            time.sleep(early)
        answer = _decision(server, row, f"{draw}-{row}")
        used[row] = snapshot_number(answer["models"].get("bandit"))
        drawn = answer["actions"][0]["action_id"]
        if drawn != NO_ACTION:
            rewards[row] = drawn == action(int(given.right[row]))
            _tell(server, f"{draw}-{row}", bool(rewards[row]))
            told += 1
        if (row + 1) % SHOWN_EVERY == 0:
            say(f"{row + 1:,} of {n:,} rows, mean reward {rewards[: row + 1].mean():.3f}")
    a_second = n / (time.monotonic() - began)
    with_ids = {f"{draw}-{row}": row for row in range(n)}
    return Played(rewards, used, _learned(server, ledger_url, with_ids, told), a_second)


def _decision(server: Server, row: int, decision_id: str) -> Any:
    body = {"customer_id": customer(row), "channel": CHANNEL, "decision_id": decision_id}
    status, answer = server.post("/v1/decide", body)
    assert status == 200, answer
    assert answer["arm"] == "policy", f"{decision_id} is of the arm {answer['arm']}, not policy"
    return answer


def _tell(server: Server, decision_id: str, right: bool) -> None:
    body = {"decision_id": decision_id, "outcome": "accepted" if right else "rejected"}
    status, answer = server.post("/v1/outcomes", body)
    assert status == 200, answer


def _learned(server: Server, ledger_url: str, rows: Mapping[str, int], told: int) -> Indices:
    """Wait until the learner has published each told row; then read the snapshot of each."""
    ledger = Ledger(ledger_url)
    try:
        server.wait_for(
            lambda: sum(key in rows for key in ledger.read(published_first)) >= told,
            LEARNED_WITHIN_S,
        )
        found = ledger.read(published_first)
    finally:
        ledger.close()
    learned = np.full(len(rows), NEVER, dtype=np.intp)
    for decision_id, sequence in found.items():
        if decision_id in rows:
            learned[rows[decision_id]] = sequence
    return learned


def published_first(connection: sa.Connection) -> dict[str, int]:
    """Read the number of the first snapshot that had learned the outcome of each decision."""
    credits, outcomes = tables.credits.c, tables.outcomes.c
    learned = sa.select(outcomes.decision_id).where(outcomes.learned)
    if "sequence" not in credits:
        return _published_after(connection, learned)
    query = sa.select(credits.decision_id, credits.sequence).where(
        credits.sequence > 0, credits.decision_id.in_(learned)
    )
    return {decision_id: int(number) for decision_id, number in connection.execute(query)}


def _published_after(connection: sa.Connection, learned: sa.Select[tuple[str]]) -> dict[str, int]:
    """Find the first snapshot that was begun after each learned outcome was received.

    It stands in for the column ``sequence`` of the table of credits. A snapshot is dated by the
    begin of the learner's step, which then reads the outcomes, so this is right but for outcomes
    that are received within those few milliseconds.
    """
    columns, outcomes = tables.snapshots.c, tables.outcomes.c
    query = sa.select(columns.sequence, columns.published_at).order_by(columns.sequence)
    snapshots = connection.execute(query).all()
    received = sa.select(outcomes.decision_id, outcomes.received_at).where(
        outcomes.decision_id.in_(learned)
    )
    found = {}
    begun = [row.published_at for row in snapshots]
    for decision_id, received_at in connection.execute(received):
        if (first := bisect.bisect_left(begun, received_at)) < len(snapshots):
            found[decision_id] = int(snapshots[first].sequence)
    return found
