"""Two other real businesses, adopted with two YAML files and tables: `nba import`, `load`, `build`
and `train`, as a person would, and the figures that come of it."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.domain import load_domain
from features.ledger import Ledger
from features.model_input import ModelInput
from features.moments import intent_moments
from features.settings import GROCERY, load_settings
from tests.conftest import HELPDESK, TELCO, Built, nba, published
from training.bandit import Bandit
from training.registry import Registry


def adopt(business: str, file: Path, folder: Path, model: str) -> Built:
    """From the published file to a trained model."""
    env = {
        "NBA_HOME": str(folder / "home"),
        "NBA_DOMAIN": str(GROCERY.with_name(f"{business}.yaml")),
        "NBA_MLFLOW_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "NBA_MLFLOW_ARTIFACTS": str(folder / "artifacts"),
    }
    said, tables = "", str(folder / "tables")
    for command in (
        ["import", business, "--file", str(file), "--to", tables],
        ["load", tables],
        ["build"],
        ["train", model, "--promote"],
    ):
        done = nba(command, env)
        assert done.returncode == 0, done.stdout + done.stderr
        said += done.stdout
    return Built(folder, folder / "home", env, said)


@pytest.fixture(scope="module")
def telco(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return adopt("telco", published(TELCO), tmp_path_factory.mktemp("telco"), "churn")


@pytest.fixture(scope="module")
def helpdesk(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return adopt("helpdesk", published(HELPDESK), tmp_path_factory.mktemp("helpdesk"), "intent")


def figure(built: Built, name: str) -> float:
    """A figure in the table that `nba train` prints."""
    [found] = re.findall(rf"{name}\W+([0-9.]+)", built.output)
    return float(found)


def test_attributes_and_one_leaving_are_enough_to_foresee_churn(telco: Built):
    assert "judged on 5 folds" in telco.output
    assert figure(telco, "roc_auc") >= 0.845
    assert figure(telco, "expected_calibration_error") <= 0.02
    assert figure(telco, "churn_rate") == pytest.approx(1869 / 7043, abs=1e-4)
    assert "churn: version 1 is champion." in telco.output


def test_what_is_judged_by_folds_is_not_tuned(telco: Built):
    done = nba(["tune", "churn", "--trials", "1"], telco.env)
    assert done.returncode == 2
    assert "churn is judged by folds: every customer is one to judge on." in done.stderr


def test_without_campaigns_the_bandit_reads_only_what_differs_between_customers(telco: Built):
    done = nba(["train", "bandit", "--promote"], telco.env)
    assert done.returncode == 0, done.stdout + done.stderr
    settings = load_settings(telco.env)
    registry, domain = Registry(settings), load_domain(settings.domain)
    bandit = Bandit.load(registry.folder(registry.champion("bandit")))
    read = set(bandit.posterior.encoder.features)
    assert set(domain.attributes) <= read
    # Who left, left at the same moment: how long ago that is tells nobody apart.
    assert "cancelled_silence_days" in ModelInput(domain).names
    assert "cancelled_silence_days" not in read


def test_an_event_log_alone_is_enough_to_foresee_the_next_step(helpdesk: Built):
    assert "judged on other customers" in helpdesk.output
    assert figure(helpdesk, "accuracy") >= 0.72  # a Markov chain: 0.703
    assert figure(helpdesk, "log_loss_over_prior") < 0.5


def test_the_answers_are_the_next_steps_of_the_published_file(helpdesk: Built):
    steps = pd.read_csv(published(HELPDESK)).sort_values(["case_id", "pos"])
    after = steps.groupby("case_id")["activity"].shift(-1).fillna("end")
    settings = load_settings(helpdesk.env)
    domain = load_domain(settings.domain)
    moments = intent_moments(Ledger(settings.ledger_url), domain, timedelta())
    moments = moments.sort_values(["customer_id", "event_timestamp"])
    steps = steps.assign(customer_id=steps["case_id"].str.lower().str.replace(" ", "-"))
    steps = steps.assign(after=after).sort_values(["customer_id", "pos"])
    assert moments["customer_id"].tolist() == steps["customer_id"].tolist()
    answers = np.array(domain.intents)[moments["label"]]
    assert answers.tolist() == steps["after"].tolist()
