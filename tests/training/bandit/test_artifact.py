"""Tests a saved version of the bandit: it is read back as it was, also under former names."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from tests.bandits import PLAIN, bandit, outcomes
from training.bandit.artifact import Bandit
from training.bandit.bandit_state import BanditState
from training.bandit.encoder import Encoder

ENCODER = Encoder(("age",), ("app",), np.zeros(1), np.ones(1))


@pytest.fixture
def learned() -> Bandit:
    rows = np.array([[30.0], [50.0]])
    return bandit(ENCODER, outcomes(rows, ["app", "app"], ["mail", "call"], [1.0, 0.0]))


def test_a_saved_bandit_is_read_back_as_it_was(learned, tmp_path):
    learned.save(tmp_path)
    back = Bandit.load(tmp_path)
    assert back.state.to_bytes() == learned.state.to_bytes()
    assert back.params == PLAIN
    assert back.start is None
    assert back.imported is back.state


def test_the_time_until_which_it_learned_from_imported_decisions_is_kept(learned, tmp_path):
    until = datetime(2026, 1, 31, 10, 0, 0, 7, tzinfo=UTC)
    Bandit(learned.state, PLAIN, imported_until=until).save(tmp_path)
    assert Bandit.load(tmp_path).imported_until == until


def test_the_state_of_imported_decisions_is_kept_beside_that_of_all(learned, tmp_path):
    imported = BanditState(ENCODER, PLAIN)
    Bandit(learned.state, PLAIN, imported).save(tmp_path)
    back = Bandit.load(tmp_path)
    assert back.imported.to_bytes() == imported.to_bytes()
    assert back.state.to_bytes() == learned.state.to_bytes()


def test_a_bandit_whose_settings_have_former_names_is_read(learned, tmp_path):
    learned.save(tmp_path)
    former = """
        {"service": "unused", "width": 8, "heads": [{"ridge": 100.0, "caution": 1.0, "debt": 0.0,
         "memory": null}], "trees": {"at_least": 1000000, "growth": 2.0, "newest": 1, "debt": 0.0},
         "least": 0.001, "warm_start_weight": 0.3, "gates": {}}
    """
    (tmp_path / "bandit.json").write_text(former, encoding="utf-8")
    back = Bandit.load(tmp_path)
    assert back.params == PLAIN
    assert back.imported_until is None
