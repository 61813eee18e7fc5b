"""The printed result of a world that was played on a server."""

from __future__ import annotations

import numpy as np
import pytest

from serving.cli import terminal
from serving.cli.simulation.play import PairResult, ServerResult
from serving.cli.simulation.tables import print_server, write_customers
from training.simulation.businesses import TELEPHONE


@pytest.fixture
def printed(monkeypatch, capsys):
    """The lines that are printed for two arms and two pairs."""
    monkeypatch.setattr(terminal.out, "_width", 160)
    figure = {"value": 1.25, "low": -0.5, "high": 3.0, "planned_low": 0.25, "planned_high": 2.25}
    early = {**figure, "low": None, "high": None}
    result = ServerResult(
        arm=np.array(["policy", "policy", "nobody", ""]),
        value_of_customer=np.array([3.0, 2.0, 1.0, 9.0]),
        left=np.array([True, False, False, False]),
        decisions=1234,
        refused=2,
        caps_broken=0,
        lift={"arms": [{"arm": "policy", "value": 2.5}]},
        pairs=[
            PairResult("policy", "nobody", figure, true=1.5),
            PairResult("policy", "random", early, true=-0.75),
            PairResult("random", "nobody", None, true=0.0),
        ],
    )
    print_server(result)
    return capsys.readouterr().out.splitlines()


def line(lines: list[str], name: str) -> list[str]:
    found = next(one for one in lines if f" {name} " in one)
    return [cell.strip() for cell in found.strip("│┃ ").split("│")]


def test_arms_are_told_by_the_world_and_by_the_server(printed):
    assert line(printed, "policy") == ["policy", "2", "2.50", "2.50", "50.0%"]
    assert line(printed, "nobody") == ["nobody", "1", "1.00", "", "0.0%"]


def test_pairs_are_told_with_both_intervals_and_the_truth(printed):
    expected = ["policy less nobody", "+1.25", "-0.50 to +3.00", "+0.25 to +2.25", "+1.50", "held"]
    assert line(printed, "policy less nobody") == expected
    assert line(printed, "policy less random")[2] == "not yet"
    assert line(printed, "random less nobody")[1] == ""
    assert "1,234 decisions; 2 that the world does not allow; 0 caps exceeded." in printed[-1]


def test_customers_are_written_as_a_table_for_nba_load(tmp_path):
    path = write_customers(TELEPHONE, tmp_path / "deep", 5, seed=1)
    assert path.read_text().splitlines()[0].startswith("customer_id,")
    assert len(path.read_text().splitlines()) == 6
