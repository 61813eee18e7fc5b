"""Tests the warm start: the columns that an encoder reads, weights, products, and overfitting."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from training.bandit.encoder import Encoder
from training.params import load_params
from training.pipeline.warm_start import encoder_of, warm_start
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


def test_outcomes_count_by_their_logged_probabilities():
    log = imported(np.random.default_rng(2).normal(size=(30, 2)), ("a", "b"))
    encoder = encoder_of(log, np.arange(30), SimpleNamespace(channels=("app",)), PARAMS)
    assert warm_start(log, encoder, CATALOG, PARAMS).counted == pytest.approx(30 * 0.3)
    known = replace(log, probability=np.full(30, 0.01))
    assert warm_start(known, encoder, CATALOG, PARAMS).counted == pytest.approx(30)
    some = warm_start(known, encoder, CATALOG, PARAMS, np.arange(7, 20))
    assert some.counted == pytest.approx(13)


def test_a_product_of_two_columns_is_learned():
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(4_000, 30))
    accepted = (rng.random(4_000) < 1 / (1 + np.exp(-2 * rows[:, 4] * rows[:, 9]))) * 1.0
    log = replace(
        imported(rows, tuple(f"x{number}" for number in range(30))),
        acceptance=accepted,
        probability=np.full(4_000, 0.5),
    )
    domain = SimpleNamespace(channels=("app",))
    encoder = encoder_of(log, np.arange(4_000), domain, PARAMS)
    assert (4, 9) in encoder.pairs
    assert encoder.width == PARAMS.width
    model = warm_start(log, encoder, CATALOG, PARAMS).model(CATALOG.priors)
    asked = np.zeros((2, 30))
    asked[:, 4], asked[:, 9] = 1.5, (1.5, -1.5)
    alike, unlike = model.acceptance(log_columns(asked, encoder), ["app", "app"])[:, 0]
    assert alike > 0.75 and unlike < 0.25


def test_many_columns_are_read_along_directions_that_the_earlier_decisions_alone_judge(monkeypatch):
    """Else the experts would be judged on decisions from which their axes follow."""
    n, fitted, fit = 400, [], Encoder.fit
    rows = np.random.default_rng(4).normal(size=(n, 100))
    log = imported(rows, tuple(f"x{number}" for number in range(100)))
    log = replace(log, acceptance=(rows[:, 3] > 0) * 1.0, probability=np.full(n, 0.5))
    days = [AT + timedelta(days=number) for number in range(n)]
    log = replace(log, at=days, ends_at=[day + timedelta(hours=1) for day in days])
    domain = SimpleNamespace(channels=("app",))
    encoder = encoder_of(log, np.arange(n), domain, PARAMS)
    assert encoder.axes.shape == (1 + 15, 100) and encoder.axes[0].argmax() == 3

    def counted(x, *given, **named):
        fitted.append(len(x))
        return fit(x, *given, **named)

    monkeypatch.setattr(Encoder, "fit", counted)
    state = warm_start(log, encoder, CATALOG, PARAMS)
    assert {*fitted} == {240}  # those before the later ones: 60 %
    assert state.encoder is encoder
    assert state.counted == pytest.approx(n)


def log_columns(rows: np.ndarray, encoder: Encoder) -> np.ndarray:
    return imported(rows, tuple(f"x{number}" for number in range(30))).columns_of(encoder)


def test_where_nothing_can_be_told_few_trees_are_fitted():
    rng = np.random.default_rng(4)
    noise = replace(
        imported(rng.normal(size=(600, 5)), tuple("abcde")),
        acceptance=rng.integers(2, size=600).astype(np.float64),
    )
    clear = replace(noise, acceptance=(noise.rows[:, 0] > 0).astype(np.float64))
    encoder = Encoder.fit(noise.rows, noise.features, ["app"])
    few, many = (warm_start(log, encoder, CATALOG, PARAMS).trees for log in (noise, clear))
    assert few.text.count("Tree=") < many.text.count("Tree=")
