"""A small run of forty simulated days: decisions are explained and replayed, and stay small."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from features.business.decided_actions import FORMAT, WITH_EFFECTS
from features.ledger import tables
from features.ledger.ledger import Ledger
from tests.bench.forty_days import FortyDays, audit, columns_of


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    found = FortyDays.opened(tmp_path_factory.mktemp("forty_days"), "telco", 8, seed=17)
    found.live(40)
    return found


def test_every_decision_of_forty_days_is_explained_and_replayed(lived):
    assert audit(lived) == (40, 40, 40)
    assert lived.published >= 40
    with closing(sqlite3.connect(lived.path)) as connection:
        packed = [row[0][0] for row in connection.execute("SELECT believed FROM decisions")]
    assert lived.effect_models == 6 and set(packed) == {FORMAT, WITH_EFFECTS}


def test_every_decision_is_so_too_when_no_snapshot_is_kept(lived):
    ledger = Ledger(f"sqlite:///{lived.path}")
    for table in (tables.snapshots, tables.snapshot_parts, tables.snapshot_actions):
        ledger.write_now(lambda connection, table=table: connection.execute(table.delete()))
    ledger.close()
    assert audit(lived) == (40, 40, 40)


def test_what_is_kept_of_a_decision_takes_less_than_half_a_page(lived):
    """SQLite then keeps two decisions, of some 200 bytes beside these columns, in a page."""
    assert sum(columns_of(lived.path).values()) < 1_800
