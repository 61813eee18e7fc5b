"""Tests that an encoder reads its own features, whatever other columns the rows have."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np

from training.bandit.encoder import Encoder
from training.params import load_params
from training.pipeline.warm_start import warm_start
from training.pipeline.warm_start_data import ImportedDecisions

AT = datetime(2026, 1, 1, tzinfo=UTC)
PARAMS = load_params().bandit
CATALOG = SimpleNamespace(priors={"call": (0.5, 10.0)}, groups_of={})


def imported(rows: np.ndarray, features: tuple[str, ...]) -> ImportedDecisions:
    n = len(rows)
    return ImportedDecisions(
        rows,
        features,
        acceptance=np.arange(n) % 2.0,
        at=[AT] * n,
        channels=["app"] * n,
        actions=["call"] * n,
        ends_at=[AT] * n,
    )


def test_features_that_do_not_vary_change_nothing():
    rows = np.random.default_rng(2).normal(size=(30, 2))
    padded = np.column_stack([np.full(30, np.nan), rows[:, 0], np.full(30, 7.0), rows[:, 1]])
    lean = imported(rows, ("a", "b"))
    wide = imported(padded, ("never", "a", "same", "b"))
    encoder = Encoder.fit(wide.rows, wide.features, ["app"])
    assert encoder.features == ("a", "b")
    one = warm_start(lean, encoder, CATALOG, PARAMS)
    other = warm_start(wide, encoder, CATALOG, PARAMS)
    assert one.actions == ("call",) and one.first.second("call").shape == (4, 4)
    assert one.to_bytes() == other.to_bytes()


def test_an_encoder_finds_its_features_by_name_in_any_order():
    encoder = Encoder(("b", "a"), ("app",), np.zeros(2), np.ones(2))
    some = imported(np.array([[1.0, 2.0, 3.0]]), ("a", "x", "b"))
    assert some.columns_of(encoder).tolist() == [[3.0, 1.0]]
