"""Tests the command `nba simulate`, in small worlds."""

from __future__ import annotations

import pandas as pd
import pytest
from typer.testing import CliRunner

from serving.cli.main import app

SMALL = ["simulate", "--customers", "60", "--days", "6", "--processes", "1"]


def run(*arguments: str):
    return CliRunner().invoke(app, [*SMALL, *arguments], env={"COLUMNS": "160"})


def test_policies_are_compared_in_a_table_and_a_picture(tmp_path):
    picture = tmp_path / "simulation.png"
    done = run("--seeds", "2", "--policies", "batch_bandit,random", "--picture", str(picture))
    assert done.exit_code == 0, done.output
    assert "EUR a customer" in done.output and "batch_bandit less" in done.output
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_without_the_batch_bandit_there_is_no_table_of_differences():
    done = run("--seeds", "1", "--policies", "random")
    assert done.exit_code == 0, done.output
    assert "random" in done.output and " less" not in done.output


def test_an_unknown_policy_is_refused():
    done = run("--policies", "ours")
    assert done.exit_code == 2
    assert "There is no policy 'ours'." in done.output


@pytest.mark.parametrize("folder", ["tables", "deep/tables"])
def test_the_customers_of_the_first_world_are_written_as_a_table(tmp_path, folder):
    done = run("--tables", str(tmp_path / folder))
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / folder / "customers.csv")
    assert len(table) == 60
    assert {"customer_id", "age", "plan"} <= set(table.columns)
