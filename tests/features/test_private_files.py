"""Tests of `features.private_files`."""

import os
import stat
import subprocess
import sys

import pytest

from features.private_files import open_to_others
from features.settings import load_settings


@pytest.fixture
def settings(tmp_path):
    """The settings of a home, and of MLflow's files beside it, that only their owner may open."""
    (tmp_path / "artifacts").mkdir(mode=0o700)
    (tmp_path / "home").mkdir(mode=0o700)
    (tmp_path / "mlflow.db").touch(mode=0o600)
    return load_settings(
        {
            "NBA_HOME": str(tmp_path / "home"),
            "NBA_MLFLOW_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
            "NBA_MLFLOW_ARTIFACTS": str(tmp_path / "artifacts"),
        }
    )


def test_a_home_of_its_owner_is_not_named(settings):
    (settings.home / "domain.yaml").touch(mode=0o644)  # a file that a user brought
    assert open_to_others(settings) == ""


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o711, 0o702])
def test_a_home_that_others_may_open_is_named_with_the_remedy(settings, mode):
    settings.home.chmod(mode)
    assert open_to_others(settings) == (
        f"Other users of this machine may open {settings.home} (mode {mode:04o}). Expected files "
        "and folders that only their owner may open. "
        f"Run: chmod -R go-rwx {settings.home}"
    )


def test_files_outside_of_the_home_are_named_too(settings, tmp_path):
    ledger = tmp_path / "my ledger.db"
    ledger.with_name("my ledger.db-wal").touch(mode=0o600)
    os.chmod(tmp_path / "artifacts", 0o755)
    os.chmod(ledger.with_name("my ledger.db-wal"), 0o640)
    moved = settings.model_copy(update={"ledger_url": f"sqlite:///{ledger}"})
    found = open_to_others(moved)
    assert f"{tmp_path}/artifacts (mode 0755), {ledger}-wal (mode 0640). " in found
    assert found.endswith(f"chmod -R go-rwx {tmp_path}/artifacts '{ledger}-wal'")


def test_a_ledger_of_postgresql_and_a_registry_elsewhere_are_no_files(settings):
    elsewhere = settings.model_copy(
        update={"ledger_url": "postgresql://db/nba", "mlflow_uri": "http://mlflow:5000"}
    )
    assert open_to_others(elsewhere) == ""


def test_what_a_process_creates_is_its_owners_only(tmp_path):
    code = (
        "from features.private_files import keep_files_private\n"
        "from features.ledger.ledger import Ledger\n"
        "keep_files_private()\n"
        f"ledger = Ledger('sqlite:///{tmp_path}/home/a/ledger.db')\n"
        "ledger.write_now(lambda connection: None)\n"
        "print(*sorted(one.name for one in __import__('pathlib').Path("
        f"'{tmp_path}/home/a').iterdir()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], umask=0o022, check=True, capture_output=True, text=True
    )
    assert {"ledger.db", "ledger.db-wal", "ledger.db-shm"} <= set(done.stdout.split())
    modes = {
        stat.S_IMODE(one.stat().st_mode) for one in (tmp_path / "home").rglob("*") if one.is_file()
    }
    assert modes == {0o600}
    folders = (tmp_path / "home", tmp_path / "home" / "a")
    assert {stat.S_IMODE(one.stat().st_mode) for one in folders} == {0o700}


def test_a_process_of_ours_keeps_files_private_and_its_output_masked():
    """In a process of its own, because both are for good."""
    code = (
        "import os, sys\n"
        "from features.private_files import protect_process\n"
        "protect_process()\n"
        "print(oct(os.umask(0)))\n"
        "raise ValueError('http://user:' + sys.argv[1] + '@host')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "hunter2"], check=False, capture_output=True, text=True
    )
    assert done.stdout == "0o77\n"
    assert done.stderr.endswith("\nValueError: http://user:***@host\n")
    assert "hunter2" not in done.stderr
