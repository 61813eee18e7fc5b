"""Category values of any text: from tables through Feast and training to explained decisions."""

from __future__ import annotations

import asyncio
import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import yaml

from features.business.domain import load_domain
from features.journeys.model_input import ModelInput
from features.settings import load_settings
from serving.contract.decisions import DecideRequest
from serving.server.components import Components
from tests.commands import nba_in_process
from training.models.classifier import Classifier
from training.pipeline.registry import Registry

pytestmark = pytest.mark.process

GRADES = ("A+", "A-", "Да", "Нет [x]", "a, b: {c}", '"q" $x$', "yes", " a\tb ")
SELDOM = GRADES[:3]
ACTION = {
    "issue": "keep",
    "group": "offers",
    "value": 10,
    "cost": 0,
    "prior": {"acceptance": 0.5},
    "attribution_days": 7,
    "treatments": {"app": {"title": "For {{ grade }}"}},
}
CATALOG = {
    "outcomes": {"accepted": {"acceptance": 1}},
    "arms": {"random": 0, "nobody": 0},
    "actions": {
        f"a{number}": ACTION | {"eligibility": [f"grade == '{grade}'"]}
        for number, grade in enumerate(GRADES)
    },
}
BEGIN, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)
DOMAIN = {
    "name": "odd",
    "currency": "eur",
    "channels": ["app"],
    "attributes": {"grade": {"type": "category", "values": list(GRADES)}},
    "events": {
        "order": {
            "description": "An order.",
            "journey": "purchase",
            "stage": "action",
            "step": "ends",
            "touchpoint": "internal",
            "signal": "passive",
            "properties": {"size": {"type": "category", "values": list(GRADES)}},
        }
    },
    "half_lives_days": [14],
    "churn": {"event": "order", "active_days": 30, "silent_days": 20},
    "moments": {
        "first": "2026-02-01",
        "last": "2026-04-01",
        "every_days": 3,
        "test_from": "2026-03-15",
    },
}


def tables(folder: Path) -> None:
    """Customers of each grade; those of three grades order seldom, so the grade tells churn."""
    folder.mkdir()
    draw = np.random.default_rng(7)
    with (folder / "customers.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["customer_id", "grade"])
        rows.writerows([f"c{number}", grade_of(number)] for number in range(64))
    with (folder / "events.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["event_id", "customer_id", "type", "occurred_at", "channel", "size"])
        for number in range(64):
            at = BEGIN
            while at < END:
                mean_days = 15 if grade_of(number) in SELDOM else 3
                at += timedelta(days=draw.exponential(mean_days))
                name, size = f"{number}-{at:%d%H%M%S%m}", grade_of(number)
                rows.writerow([name, f"c{number}", "order", at.isoformat(), "app", size])


def grade_of(number: int) -> str:
    return GRADES[number % len(GRADES)]


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("odd")
    for name, content in (("domain", DOMAIN), ("actions", CATALOG)):
        text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    tables(folder / "tables")
    env = {
        "NBA_HOME": str(folder / "home"),
        "NBA_DOMAIN": str(folder / "domain.yaml"),
        "NBA_ACTIONS": str(folder / "actions.yaml"),
        "NBA_MLFLOW_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "NBA_MLFLOW_ARTIFACTS": str(folder / "artifacts"),
        "NBA_LEARNER": "false",
    }
    commands = (["load", str(folder / "tables")], ["build"], ["train", "churn"])
    for command in (*commands, ["promote", "churn", "--force"]):
        done = nba_in_process(command, env)
        missed = "Gates missed" in done.stderr  # there are few customers
        assert done.returncode == 0 or missed, done.stdout + done.stderr
    return env


def test_a_model_of_any_category_texts_is_trained_and_read_again(env):
    settings = load_settings(env)
    registry, domain = Registry(settings), load_domain(settings.domain)
    model = Classifier.load(registry.folder(registry.version("churn", "1")))
    names = ModelInput(domain).names
    assert model.features == names
    shares = [name for name in names if name.startswith("order_size") and "last_share" in name]
    assert shares[:3] == [
        "order_size_a__41_2b_last_share",
        "order_size_a__41_2d_last_share",
        "order_size_да_last_share",
    ]
    assert len(shares) == len(set(shares)) == len(GRADES)


def test_a_decision_knows_each_value_and_explains_it(env):
    told: dict[str, str] = {}
    components = Components(load_settings(env))
    try:
        for number, grade in enumerate(GRADES):
            request = DecideRequest(
                customer_id=f"c{number}", channel="app", explain=True, decision_id=f"odd-{number}"
            )
            decision = asyncio.run(components.engine.decide(request, datetime.now(UTC)))
            [action] = decision.actions
            assert (action.action_id, action.treatment) == (f"a{number}", {"title": f"For {grade}"})
            by_grade = {one.action_id: one.reason for one in decision.removed or ()}
            assert len(by_grade) == len(GRADES) - 1
            assert by_grade[f"a{(number + 1) % len(GRADES)}"].endswith(f"; grade is {grade!r}")
            strongest = decision.model_dump()["explanation"]["churn"]["strongest"]
            told |= {one["value"]: one["text"] for one in strongest if one["feature"] == "grade"}
    finally:
        components.close()
    assert told["A+"].startswith("grade is A+: makes churn ")
    assert told["Нет [x]"].startswith("grade is Нет [x]: makes churn ")
    assert set(told) <= set(GRADES)
