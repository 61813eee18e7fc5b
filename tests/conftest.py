"""What many tests share: a small business of our own, and the real grocer, built once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from features.catalog import Catalog
from features.domain import Domain, load_domain
from features.ledger import Ledger
from features.playbook import load_catalog

ROOT = Path(__file__).resolve().parents[1]
TOY, SHOP = Path(__file__).parent / "toy", Path(__file__).parent / "shop"
TELCO, HELPDESK = "telco_customer_churn.csv.gz", "helpdesk.csv.gz"
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


@pytest.fixture
def now() -> datetime:
    """The one time that tests know."""
    return NOW


@pytest.fixture(scope="session")
def toy_domain() -> Domain:
    """A little subscription business: two kinds of event, two attributes."""
    return load_domain(TOY / "domain.yaml")


@pytest.fixture(scope="session")
def toy_catalog(toy_domain: Domain) -> Catalog:
    """Three actions: one for each channel alone, one for both."""
    return load_catalog(TOY / "actions.yaml", toy_domain)


@pytest.fixture
def ledger(tmp_path: Path):
    """An empty ledger on disk."""
    opened = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield opened
    opened.close()


@dataclass(frozen=True)
class Built:
    """The grocer's home after `nba quickstart`."""

    folder: Path
    home: Path
    env: dict[str, str]
    output: str


@pytest.fixture(scope="session")
def grocer(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Real data, features and models, made once as a newcomer would: by `nba quickstart`."""
    folder = tmp_path_factory.mktemp("grocer")
    env = {
        "NBA_HOME": str(folder / "home"),
        "NBA_MLFLOW_URI": f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}",
        "NBA_MLFLOW_ARTIFACTS": str(folder / "mlruns" / "artifacts"),
    }
    done = nba(["quickstart"], env)
    assert done.returncode == 0, done.stdout + done.stderr
    return Built(folder, folder / "home", env, done.stdout)


@pytest.fixture(scope="session")
def first_day(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The grocer before anything happened: `nba build` was run, nothing is known, no models."""
    folder = tmp_path_factory.mktemp("first-day")
    env = {
        "NBA_HOME": str(folder / "home"),
        "NBA_MLFLOW_URI": f"sqlite:///{folder / 'no-models.db'}",
        "NBA_LEARNER": "false",
    }
    done = nba(["build"], env)
    assert done.returncode == 0, done.stdout + done.stderr
    return Built(folder, folder / "home", env, done.stdout)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A little business of our own, its few customers loaded; each test brings a catalogue."""
    return opened_shop(tmp_path_factory.mktemp("shop"))


def opened_shop(folder: Path) -> Built:
    """The home of the shop before its first customer calls."""
    env = {
        "NBA_HOME": str(folder / "home"),
        "NBA_DOMAIN": str(SHOP / "domain.yaml"),
        "NBA_MLFLOW_URI": f"sqlite:///{folder / 'no-models.db'}",
        "NBA_LEARNER": "false",
    }
    (folder / "tables").mkdir()
    shutil.copy(SHOP / "customers.csv", folder / "tables")
    said = ""
    for command in (["load", str(folder / "tables")], ["build"]):
        done = nba(command, env)
        assert done.returncode == 0, done.stdout + done.stderr
        said += done.stdout
    return Built(folder, folder / "home", env, said)


def nba(arguments: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the command as a person would."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("NBA_")}
    return subprocess.run(
        [str(Path(sys.executable).with_name("nba")), *arguments],
        env={**clean, **env, "COLUMNS": "200"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def published(name: str) -> Path:
    """A file that others published and that is not ours to keep; skips where it is missing."""
    path = ROOT.parent / "shared" / "data" / name
    if not path.exists():
        pytest.skip(f"{name} is not in ../shared/data beside the project")
    return path
