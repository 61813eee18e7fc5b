"""Training on the real grocer: the figures, what MLflow keeps, and that it can be repeated."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from features.business.domain import load_domain
from features.datasets.dataset import training_frame
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.settings import Settings, load_settings
from features.store.feast_store import FeatureStore
from serving.catalog.compiled_catalog import load_catalog
from tests.commands import nba_in_process
from tests.conftest import Built
from training.models.classifier import Classifier
from training.params import load_params
from training.pipeline.registry import Registry
from training.pipeline.train import Sources
from training.pipeline.warm_start import fit_encoder, warm_start
from training.pipeline.warm_start_data import read_imported_decisions
from training.pipeline.warm_start_gate import warm_start_report

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def settings(grocer: Built) -> Settings:
    return load_settings(grocer.env)


@pytest.fixture(scope="module")
def sources(settings: Settings) -> Sources:
    domain = load_domain(settings.domain)
    return Sources(
        Ledger(settings.ledger_url),
        FeatureStore(settings, domain),
        domain,
        load_catalog(settings.actions, domain),
        load_params(),
        datetime.now(UTC),
    )


@pytest.fixture(scope="module")
def runs(settings: Settings) -> dict[str, Any]:
    registry = Registry(settings)
    champions = {name: registry.champion(name) for name in ("churn", "intent", "bandit")}
    client = mlflow.MlflowClient()
    return {name: client.get_run(version.run_id) for name, version in champions.items()}


def test_churn_is_told_apart_and_its_chances_hold(runs):
    metrics = runs["churn"].data.metrics
    assert metrics["roc_auc"] >= 0.86
    assert metrics["expected_calibration_error"] <= 0.02


def test_intent_beats_the_prior_by_far(runs):
    metrics = runs["intent"].data.metrics
    assert metrics["log_loss"] <= 1.17
    assert metrics["prior_log_loss"] == pytest.approx(1.330, abs=0.003)


def test_the_warm_start_knows_more_than_each_actions_rate(runs):
    metrics = runs["bandit"].data.metrics
    assert metrics["log_loss"] < metrics["log_loss_of_rates"]


def test_the_protocol_is_the_published_one(runs):
    params = runs["churn"].data.params
    assert (params["train_moments"], params["test_moments"]) == ("26330", "13302")


@pytest.mark.parametrize("name", ["churn", "intent"])
def test_a_run_keeps_all_that_is_needed_to_repeat_and_judge_it(runs, name):
    run = runs[name]
    files = {file.path for file in mlflow.MlflowClient().list_artifacts(run.info.run_id)}
    assert {"features.json", "reliability.png", "importance.png"} <= files
    assert run.data.tags["data_fingerprint"] and run.data.params["num_leaves"]
    model = mlflow.pyfunc.load_model(f"models:/{name}@champion")
    assert model.metadata.signature is not None
    assert model.metadata.saved_input_example_info is not None


def test_a_business_without_past_decisions_gets_a_bandit_that_can_learn(sources, now):
    """A moment before the first campaign: nothing is decided yet, everybody is known."""
    long_ago = now - timedelta(days=4000)
    params = sources.params.bandit
    found = read_imported_decisions(
        sources.ledger, sources.history, sources.domain, sources.catalog, params, long_ago
    )
    assert len(found.rows) == 0
    encoder = fit_encoder(found, sources.ledger, sources.history, sources.domain, params, now)
    assert encoder.width == params.width
    assert warm_start(found, encoder, sources.catalog, params).actions == ()
    report = warm_start_report(found, sources.domain, sources.catalog, params)
    assert report.metrics["logged_decisions"] == 0.0
    assert report.metrics["left_out_window_open"] > 0.0
    assert "imported decisions are left out" in report.remarks[0]


def test_mlflow_and_the_server_read_the_same_model(settings, sources):
    registry = Registry(settings)
    version = registry.champion("churn")
    ours = Classifier.load(registry.folder(version))
    theirs = mlflow.pyfunc.load_model("models:/churn@champion")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, len(ours.features)))
    frame = theirs.metadata.signature.inputs
    assert frame is not None
    predicted = theirs.predict(pd.DataFrame(x, columns=list(ours.features)))
    assert np.allclose(predicted.to_numpy(), ours.probabilities(x))


def test_training_again_on_the_same_data_gives_the_same_figures(grocer, runs, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(grocer.home, home)
    env = {**grocer.env, "NBA_HOME": str(home), "NBA_MLFLOW_URI": f"sqlite:///{tmp_path}/m.db"}
    env["NBA_MLFLOW_ARTIFACTS"] = str(tmp_path / "artifacts")
    done = nba_in_process(["train", "churn"], env)  # the grocer's were trained in another process
    assert done.returncode == 0, done.stderr
    first = runs["churn"].data.metrics
    for name in ("roc_auc", "expected_calibration_error", "log_loss"):
        assert f"{first[name]:.4f}" in done.stdout


def test_training_and_serving_read_the_same_numbers(sources):
    """At one moment after the last event: point-in-time join against the online store."""
    customers = [f"h{number}" for number in range(1, 301)]
    # After the last event, whichever week the importer has moved it to.
    last = sa.select(sa.func.max(tables.events.c.occurred_at))
    newest = sources.ledger.read(lambda connection: connection.execute(last).scalar_one())
    at = pd.Timestamp(newest) + pd.Timedelta(hours=1)
    moments = pd.DataFrame({"customer_id": customers, "event_timestamp": at})
    offline = training_frame(sources.history, moments, "churn_v1", sources.domain).to_numpy()
    model_input = ModelInput(sources.domain)
    online = [sources.store.online(customer) for customer in customers]
    nobody = model_input.read({}, None, at.timestamp())
    rows = [
        model_input.read(known.attributes, known.state, at.timestamp()) if known else nobody
        for known in online
    ]
    assert np.array_equal(offline, np.array(rows), equal_nan=True)
