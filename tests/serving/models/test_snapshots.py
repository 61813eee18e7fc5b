"""Snapshots: what is published comes back whole, and what many share is kept once."""

from __future__ import annotations

import numpy as np
import pytest
import sqlalchemy as sa

from features.ledger import tables
from serving.models import snapshots
from serving.models.model_arrays import model_bytes
from serving.models.snapshot_publisher import SnapshotPublisher
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
    publisher = SnapshotPublisher(ledger)
    return [published_by(publisher, ledger, now, one) for one in models]


def published_by(publisher, ledger, now, model) -> int:
    packed = publisher.pack_model(model, "7")
    return ledger.write_now(lambda c: publisher.publish(c, "7", packed, now))


def test_what_is_published_comes_back_to_the_bit(ledger, now):
    mine = model(1.0)
    [number] = published(ledger, now, mine)
    found = ledger.read(lambda c: snapshots.snapshot_numbered(c, number))
    assert (found.sequence, found.base) == (number, "7")
    assert model_bytes(found.model) == model_bytes(mine)
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
