"""Tests the command `nba simulate`, in small worlds."""

from __future__ import annotations

import pandas as pd
import pytest
from typer.testing import CliRunner

from serving.cli.main import app
from serving.cli.simulate import _print_lifts
from serving.cli.terminal import out
from serving.simulation.played import NOBODY_OF, SERVED
from serving.simulation.tournament import TournamentResult
from tests.serving.simulation.runs import CUSTOMERS, pair, served
from tests.serving.simulation.runs import run as run_of

SMALL = ["simulate", "--world", "telephone", "--customers", "60", "--days", "6", "--processes", "1"]


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    """The console has read the width of the terminal when it was made."""
    monkeypatch.setattr(out, "width", 160)


def run(*arguments: str):
    return CliRunner().invoke(app, [*SMALL, *arguments])


def test_policies_are_compared_in_a_table_and_a_picture(tmp_path):
    picture = tmp_path / "simulation.png"
    chosen = ("--policies", "served,random", "--arms", "0.3")
    done = run("--customers", "40", "--seeds", "2", *chosen, "--picture", str(picture))
    assert done.exit_code == 0, done.output
    assert "EUR a customer" in done.output and "served less" in done.output
    assert "telephone: 40 customers, 6 days, 2 worlds from seed 1" in done.output
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_without_the_served_classes_there_is_no_table_of_differences():
    done = run("--seeds", "1", "--policies", "random")
    assert done.exit_code == 0, done.output
    assert "random" in done.output and " less" not in done.output


def test_a_lift_is_printed_beside_the_true_one(monkeypatch):
    """Made by hand: enough customers for an interval take a minute."""
    monkeypatch.setattr(out, "_width", 160)
    one, other = run_of("served", 5.0), run_of("service", 2.0, seed=1)
    runs = {
        "served": [served(one, pair(3.0, -1.0, 7.0, 1.0, 5.0))],
        NOBODY_OF[SERVED]: [served(other)],
    }
    with out.capture() as printed:
        _print_lifts(TournamentResult("hand", CUSTOMERS, 3, (0,), ("served",), runs))
    line = next(line for line in printed.get().splitlines() if "policy - nobody" in line)
    assert "3.00 [-1.00, 7.00]" in line and "[1.00, 5.00]" in line and "1 and 1 of 1" in line


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["--picture", "no-such-folder/x.png"], "picture is 'no-such-folder/x.png'. Expected a"),
        (["--picture", "."], "picture is '.'. Expected a name that ends with .png"),
        (["--picture", "x.png", "--url", "http://here"], "'x.png' together with url."),
        (["--tables", __file__], "where no file can be written (FileExistsError)"),
        (["--url", "http://127.0.0.1:99999"], "url is 'http://127.0.0.1:99999'. Expected an"),
        (["--first-seed", "1000002", "--seeds", "2"], "seeds has 1000003, a world in which fixed"),
    ],
)
def test_what_cannot_be_done_is_refused_before_a_day_is_played(given, sentence):
    done = run(*given)
    assert done.exit_code == 2, done.output
    assert sentence in " ".join(done.output.split())


def test_where_no_lift_is_reported_yet_that_is_said(monkeypatch):
    runs = {"served": [served(run_of("served", 5.0), pair(3.0, None, None, 1.0, 5.0))]}
    runs[NOBODY_OF[SERVED]] = [served(run_of("service", 2.0))]
    with out.capture() as printed:
        _print_lifts(TournamentResult("hand", CUSTOMERS, 3, (0,), ("served",), runs))
    assert "No lift is reported yet" in printed.get()


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
