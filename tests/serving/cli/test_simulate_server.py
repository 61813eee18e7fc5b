"""The customers of a simulated world use a started server over HTTP."""

from __future__ import annotations

import pytest

from features.errors import InvalidSetting
from serving.cli.simulate_server import ServerClient, simulate_server, write_customers
from tests.commands import ROOT, nba_in_process
from tests.server import free_port, running

DOMAIN = ROOT / "features" / "domains" / "world.yaml"
CUSTOMERS, DAYS = 120, 12


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    env = {
        "NBA_HOME": str(folder / "home"),
        "NBA_DOMAIN": str(DOMAIN),
        "NBA_MLFLOW_URI": f"sqlite:///{folder / 'no-models.db'}",
        "NBA_LEARNER": "false",
    }
    write_customers(folder / "tables", CUSTOMERS, seed=1)
    for command in (["load", str(folder / "tables")], ["build"]):
        done = nba_in_process(command, env)
        assert done.returncode == 0, done.stdout + done.stderr
    with running(folder / "home", env) as server:
        url = f"http://127.0.0.1:{server.port}"
        found = simulate_server(url, CUSTOMERS, DAYS, seed=1)
        status, lift = server.post("/v1/lift", {})
        assert status == 200
        yield found, lift


@pytest.mark.server
def test_customers_of_the_world_call_the_server_and_its_arms_are_compared(result):
    found, _ = result
    assert found.decisions > 200 and found.decided.sum() > CUSTOMERS / 2
    assert 0 < found.control.sum() < CUSTOMERS / 2
    assert found.lift is not None and found.lift.low < found.lift.value < found.lift.high


@pytest.mark.server
def test_the_world_would_have_allowed_nearly_all_that_the_server_decides(result):
    found, _ = result  # what the world refuses, it refuses for what the server is not told of
    assert found.refused <= 0.02 * found.decisions


@pytest.mark.server
def test_the_server_has_heard_of_outcomes(result):
    _, lift = result
    assert lift["policy"]["customers"] + lift["control"]["customers"] > CUSTOMERS / 2
    assert lift["policy"]["reward_per_customer"] != 0


def test_an_address_where_nobody_answers_says_what_to_do():
    with pytest.raises(InvalidSetting, match="does not answer .* Expected a started server"):
        simulate_server(f"http://127.0.0.1:{free_port()}", 50, 1, seed=1)


def test_what_is_no_address_is_refused():
    with pytest.raises(InvalidSetting, match="url is 'localhost'. Expected an address such as"):
        ServerClient("localhost")
