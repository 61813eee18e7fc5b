"""Snapshots: what is published comes back whole, and what many share is kept once."""

from __future__ import annotations

import numpy as np
import pytest
import sqlalchemy as sa

from features.ledger import tables
from serving.models import snapshots
from tests.bandits import bandit, outcomes
from training.bandit.encoder import Encoder
from training.bandit.reward_model import RewardModel

pytestmark = pytest.mark.databases("sqlite", "postgresql")
ROWS = np.array([[20.0], [60.0]] * 40)


def model(accepted: float) -> RewardModel:
    """Of a bandit with trees; another one for each acceptance."""
    encoder = Encoder.fit(ROWS, ("age",), ("app",), 8)
    said = np.where(ROWS[:, 0] < 40, accepted, 0.0)
    told = outcomes(ROWS, ["app"] * 80, ["mail"] * 80, said)
    state = bandit(encoder, told).state
    state.fit_trees(told, 80.0)
    return state.model({"mail": (0.1, 10.0)})


def counted(ledger, table) -> int:
    query = sa.select(sa.func.count()).select_from(table)
    return ledger.read(lambda c: c.execute(query).scalar_one())


def published(ledger, now, *models) -> list[int]:
    ready = [snapshots.pack_model(one) for one in models]
    return [ledger.write_now(lambda c, r=r: snapshots.publish(c, "7", r, now)) for r in ready]


def test_what_is_published_comes_back_to_the_bit(ledger, now):
    mine = model(1.0)
    [number] = published(ledger, now, mine)
    found = ledger.read(lambda c: snapshots.snapshot_numbered(c, number))
    assert (found.sequence, found.base) == (number, "7")
    assert found.model.to_bytes() == mine.to_bytes()
    assert found.model.trees is not None


def test_what_two_snapshots_share_is_kept_once(ledger, now):
    published(ledger, now, model(1.0))
    parts = counted(ledger, tables.snapshot_parts)
    published(ledger, now, model(1.0))
    assert counted(ledger, tables.snapshot_parts) == parts
    published(ledger, now, model(0.5))  # other trees, the same encoder
    assert counted(ledger, tables.snapshot_parts) == parts + 1
    assert counted(ledger, tables.snapshots) == 3


def test_the_newest_of_a_base_is_found_and_nothing_older_than_what_one_has(ledger, now):
    first, second = published(ledger, now, model(1.0), model(0.5))
    assert ledger.read(lambda c: snapshots.newest_snapshot(c, "7", 0)).sequence == second
    assert ledger.read(lambda c: snapshots.newest_snapshot(c, None, first)).sequence == second
    assert ledger.read(lambda c: snapshots.newest_snapshot(c, "8", 0)) is None
    assert ledger.read(lambda c: snapshots.newest_snapshot(c, "7", second)) is None


def test_what_is_too_old_goes_with_the_parts_that_nobody_else_needs(ledger, now, monkeypatch):
    monkeypatch.setattr(snapshots, "KEPT", 2)
    old, *_ = published(ledger, now, model(1.0), model(0.5), model(0.5))
    assert ledger.read(lambda c: snapshots.snapshot_numbered(c, old)) is None
    left = len(snapshots.pack_model(model(0.5)).parts)
    assert counted(ledger, tables.snapshot_parts) == left, "the first one's trees went with it"
    assert counted(ledger, tables.snapshots) == 2
