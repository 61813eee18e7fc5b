"""`make bench-served` in small: a made-up set against a real server."""

from __future__ import annotations

import numpy as np
import pytest

from features.ledger.ledger import Ledger
from tests.bench.classification_sets import make_set
from tests.bench.served_home import CHANNEL, customer, make_home
from tests.bench.served_run import NEVER, play, published_first
from tests.bench.told_with_delay import told_before
from tests.commands import nba_in_process
from tests.server import Server, running

pytestmark = pytest.mark.server
ROWS, A_SECOND = 150, 40


def test_each_row_is_learned_in_a_snapshot_that_decides_later_rows_only(tmp_path):
    given = make_set(ROWS, seed=4)
    env = make_home(tmp_path, given, nba_in_process)
    ledger_url = f"sqlite:///{tmp_path / 'home' / 'ledger.db'}"
    with running(tmp_path / "home", {**env, "NBA_LEARN_EVERY_S": "0.2"}) as server:
        _wait_for_the_learner(server, ledger_url)
        played = play(server, ledger_url, given, "small", A_SECOND)
    assert (played.learned < NEVER).all(), "each row gets an action, and each action is learned"
    assert (np.diff(played.learned) >= 0).all(), "rows are learned in the order of their outcomes"
    assert (np.diff(played.used) >= 0).all(), "snapshots only become newer"
    assert (played.used < played.learned).all(), "no row is decided by what was learned of it"
    assert played.used.max() > 2, "the server goes on to newer snapshots"
    told = told_before(played.used, played.learned)
    assert (told > np.arange(ROWS)).all() and (told < ROWS).any()
    assert set(np.unique(played.rewards)) == {0.0, 1.0}


def _wait_for_the_learner(server: Server, ledger_url: str) -> None:
    """Tell one outcome, and wait for its snapshot: the learner starts beside the server."""
    body = {"customer_id": customer(0), "channel": CHANNEL, "decision_id": "first"}
    assert server.post("/v1/decide", body)[0] == 200
    assert server.post("/v1/outcomes", {"decision_id": "first", "outcome": "rejected"})[0] == 200
    ledger = Ledger(ledger_url)
    server.wait_for(lambda: ledger.read(published_first))
    ledger.close()
