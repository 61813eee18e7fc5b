"""Two other real businesses, adopted with two YAML files and tables: `nba import`, `load`, `build`
and `train`, as the notebook shows a person how to, and the figures that come of it."""

from __future__ import annotations

import json
import os
import re
from datetime import timedelta
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from features.business.domain import load_domain
from features.datasets.labels import intent_moments
from features.journeys.model_input import ModelInput
from features.ledger.ledger import Ledger
from features.settings import load_settings
from tests.commands import nba_in_process
from tests.conftest import HELPDESK, TELCO, Built, published
from tests.test_notebooks import OTHERS, executed
from training.bandit.artifact import Bandit
from training.pipeline.registry import Registry

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def businesses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Built]:
    """Both, from the published files to trained models, as the notebook makes them."""
    for name in (TELCO, HELPDESK):
        published(name)  # or skip
    folder = tmp_path_factory.mktemp("others")
    notebook = nbformat.read(OTHERS, as_version=4)
    notebook.cells.append(new_code_cell("import json; print(json.dumps(homes))"))
    *shown, last = executed(notebook, {**os.environ, "TMPDIR": str(folder)})
    homes = json.loads(printed([last]))
    return {name: built(env, shown, name) for name, env in homes.items()}


def built(env: dict[str, str], shown: list[NotebookNode], name: str) -> Built:
    own = [cell for cell in shown if f'nba("{name}"' in cell.source]
    return Built(Path(env["NBA_HOME"]).parent, Path(env["NBA_HOME"]), env, printed(own))


def printed(cells: list[NotebookNode]) -> str:
    return "".join(out.text for cell in cells for out in cell.outputs if "text" in out)


@pytest.fixture
def telco(businesses: dict[str, Built]) -> Built:
    return businesses["telco"]


@pytest.fixture
def helpdesk(businesses: dict[str, Built]) -> Built:
    return businesses["helpdesk"]


def figure(built: Built, name: str) -> float:
    """A figure in the table that `nba train` prints."""
    [found] = re.findall(rf"{name}\W+([0-9.]+)", built.output)
    return float(found)


def test_attributes_and_one_leaving_are_enough_to_foresee_churn(telco: Built):
    assert "evaluated on 5 folds" in telco.output
    assert figure(telco, "roc_auc") >= 0.845
    assert figure(telco, "expected_calibration_error") <= 0.02
    assert figure(telco, "churn_rate") == pytest.approx(1869 / 7043, abs=1e-4)
    assert "churn: version 1 is champion." in telco.output


def test_a_model_that_is_validated_by_folds_is_not_tuned(telco: Built):
    done = nba_in_process(["tune", "churn", "--trials", "1"], telco.env)
    assert done.returncode == 2
    assert "churn is validated by folds: every customer is used for validation." in done.stderr


def test_without_campaigns_the_bandit_reads_only_what_differs_between_customers(telco: Built):
    done = nba_in_process(["train", "bandit", "--promote"], telco.env)
    assert done.returncode == 0, done.stdout + done.stderr
    settings = load_settings(telco.env)
    registry, domain = Registry(settings), load_domain(settings.domain)
    bandit = Bandit.load(registry.folder(registry.champion("bandit")))
    read = set(bandit.state.encoder.features)
    assert set(domain.attributes) <= read
    # Who left, left at the same moment: how long ago that is tells nobody apart.
    assert "cancelled_silence_days" in ModelInput(domain).names
    assert "cancelled_silence_days" not in read


def test_an_event_log_alone_is_enough_to_foresee_the_next_step(helpdesk: Built):
    assert "evaluated on other customers" in helpdesk.output
    assert figure(helpdesk, "accuracy") >= 0.72  # a Markov chain: 0.703
    assert figure(helpdesk, "log_loss_over_prior") < 0.5
    assert "intent: version 1 is champion." in helpdesk.output


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
