"""Makes the home of a business whose customers are the rows of a classification set.

Each column is an attribute of the customers. Each class is an action that is worth 1 and costs
nothing. Nobody is in a control group, and nothing is capped.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import yaml

from features.journeys.category_names import slug
from tests.bench.classification_sets import ClassificationSet
from tests.commands import Completed, nba

CHANNEL = "app"
Env = dict[str, str]
RunNba = Callable[[list[str], Mapping[str, str]], Completed]


def customer(row: int) -> str:
    """Name the customer of a row."""
    return f"row{row}"


def action(number: int) -> str:
    """Name the action of a class."""
    return f"class_{number}"


def make_home(folder: Path, given: ClassificationSet, run: RunNba = nba) -> Env:
    """Load the rows as customers and build their features; return the settings of the home.

    Nothing is trained, so the server starts from the priors of the catalogue.
    """
    tables = folder / "tables"
    tables.mkdir(parents=True)
    rows = pd.DataFrame(given.contexts, columns=_attributes(given))
    rows.insert(0, "customer_id", [customer(row) for row in range(len(rows))])
    rows.to_csv(tables / "customers.csv", index=False)
    env = _settings(folder)
    Path(env["NBA_DOMAIN"]).write_text(yaml.safe_dump(domain(given)), encoding="utf-8")
    Path(env["NBA_ACTIONS"]).write_text(yaml.safe_dump(catalog(given)), encoding="utf-8")
    for command in (["load", str(tables)], ["build"]):
        _checked(run(command, env))
    return env


def copy_home(folder: Path, env: Env) -> Env:
    """Copy a home; MLflow stays the one of the original, which knows where its files are."""
    shutil.copytree(env["NBA_HOME"], folder)
    return {**env, "NBA_HOME": str(folder)}


def train(folder: Path, env: Env, run: RunNba = nba) -> Env:
    """Copy a home, and train and promote the models of the copy."""
    trained = copy_home(folder / "home", env) | {
        "NBA_MLFLOW_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "NBA_MLFLOW_ARTIFACTS": str(folder / "artifacts"),
    }
    _checked(run(["train", "--promote"], trained))
    return trained


def domain(given: ClassificationSet) -> dict[str, object]:
    """Describe the business as a domain file does."""
    return {
        "name": "rows",
        "currency": "eur",
        "channels": [CHANNEL],
        "attributes": {name: {"type": "number"} for name in _attributes(given)},
        "vocabulary": ["visit"],
    }


def catalog(given: ClassificationSet) -> dict[str, object]:
    """Describe the actions as a user would write them: one group, the prior is chance."""
    actions = {
        action(number): {
            "issue": "serve",
            "group": "classes",
            "value": 1,
            "cost": 0,
            "attribution_days": 1,
            "prior": {"acceptance": 1 / given.n_actions},
            "treatments": {CHANNEL: {"title": f"Class {number}"}},
        }
        for number in range(given.n_actions)
    }
    return {
        "outcomes": {"accepted": {"acceptance": 1}, "rejected": {"acceptance": 0}},
        "arms": {"random": 0, "nobody": 0},
        "actions": actions,
    }


def _attributes(given: ClassificationSet) -> list[str]:
    # Numbered, as two columns of vehicle differ in upper and lower case alone.
    return [f"x{number}_{slug(name)}" for number, name in enumerate(given.columns)]


def _settings(folder: Path) -> Env:
    return {
        "NBA_HOME": str(folder / "home"),
        "NBA_DOMAIN": str(folder / "domain.yaml"),
        "NBA_ACTIONS": str(folder / "actions.yaml"),
        "NBA_MLFLOW_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "NBA_MLFLOW_ARTIFACTS": str(folder / "artifacts"),
    }


def _checked(done: Completed) -> None:
    assert done.returncode == 0, f"{done.args}:\n{done.stdout}{done.stderr}"
