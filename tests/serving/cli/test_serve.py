"""Tests the start of the server; `tests.serving.test_service` tests a started one."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.simulated_clock import SimulatedClock
from features.settings import load_settings
from features.states.set_aside import set_aside_sentence
from serving.cli import serve
from tests.commands import nba_in_process
from tests.conftest import SHOP
from tests.server import free_port


class Child:
    """A server process that runs, or has ended."""

    def __init__(self, code: int | None = None) -> None:
        self._code = code

    def poll(self) -> int | None:
        return self._code


@pytest.fixture
def settings(tmp_path):
    return load_settings({"NBA_HOME": str(tmp_path), "NBA_DOMAIN": str(SHOP / "domain.yaml")})


def test_a_port_that_is_taken_is_named(tmp_path):
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        port = other.getsockname()[1]
        done = nba_in_process(["serve"], {"NBA_HOME": str(tmp_path), "NBA_PORT": str(port)})
    assert done.returncode == 2
    assert f"NBA_PORT is {port}, and another process listens there already" in done.stderr


def test_the_child_reads_the_same_settings_in_another_folder(settings):
    with_key = settings.model_copy(update={"key": "nba_of_an_operator"})
    env = serve._child_environment(with_key)
    assert load_settings(env) == settings and "nba_of_an_operator" not in env.values()
    assert env["NBA_KEY"] == ""  # else the child inherits it
    assert Path(env["NBA_HOME"]).is_absolute() and Path(env["NBA_DOMAIN"]).is_absolute()


def test_when_the_server_is_ready_a_request_to_try_is_printed_and_no_customer_in_a_log(
    settings, monkeypatch
):
    aside = set_aside_sentence(1, [("c7", "Its event 'e1' cannot be folded.")])
    answers = iter([None, *2 * [{"degraded": ["churn: no champion", aside]}]])
    monkeypatch.setattr(serve, "_readiness", lambda settings: next(answers))
    ledger = Ledger(settings.ledger_url)
    row = {"customer_id": "c7", "attributes": "{}"}
    ledger.write_now(lambda c: c.execute(tables.customers.insert(), row))
    ledger.close()
    said: list[str] = []
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    serve._announce(settings, Child(), said.append)
    assert said[:2] == ["Missing: churn: no champion", f"Missing: {aside}"]
    assert '"customer_id": "c7", "channel": "app"' in said[-2]
    assert said[-1].startswith("Only this machine can call it. To open it safely: nba keys add")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    logged: list[str] = []
    serve._announce(settings, Child(), logged.append)
    assert logged[0] == "Missing: churn: no champion"
    assert logged[1].endswith(
        "1 customer is set aside, with features of before. /readyz names them."
    )
    assert '"customer_id": "somebody"' in logged[-2] and "c7" not in "".join(logged)


def test_with_keys_the_request_to_try_has_one(settings, monkeypatch):
    monkeypatch.setattr(serve, "_readiness", lambda settings: {"status": "ready"})
    said: list[str] = []
    serve._announce(settings, Child(), said.append, has_keys=True)
    assert "-H 'authorization: Bearer KEY'" in said[-1] and len(said) == 2


@pytest.mark.parametrize(
    ("host", "called"),
    [("::", "localhost"), ("::1", "[::1]"), ("10.1.2.3", "10.1.2.3"), ("127.0.0.1", "localhost")],
)
def test_the_request_to_try_goes_to_an_address_that_curl_reads(settings, monkeypatch, host, called):
    said: list[str] = []
    monkeypatch.setattr(serve, "_readiness", lambda _: {})
    serve._announce(settings.model_copy(update={"host": host}), Child(), said.append)
    assert f"curl -s {called}:{settings.port}/v1/decide " in said[-2]


@pytest.mark.parametrize("given", [["--host", "0.0.0.0"], []])
def test_others_cannot_be_served_without_keys(tmp_path, given):
    env = {"NBA_HOME": str(tmp_path), "NBA_PORT": str(free_port())}
    more = {} if given else {"NBA_HOST": "0.0.0.0"}
    done = nba_in_process(["serve", *given], {**env, **more})
    assert done.returncode == 2
    assert "NBA_HOST is '0.0.0.0', where others could call without a key" in done.stderr
    assert "Run 'nba keys add NAME --scope decide,write' first" in " ".join(done.stderr.split())


@pytest.mark.parametrize("given", [["--host", "0.0.0.0"], []])
def test_a_simulated_clock_is_served_to_this_machine_only(tmp_path, given):
    """Nothing was written by then, and nobody is sent for a key that would not help."""
    env = {"NBA_HOME": str(tmp_path), "NBA_PORT": str(free_port()), "NBA_CLOCK": "simulated"}
    more = {} if given else {"NBA_HOST": "0.0.0.0"}
    done = nba_in_process(["serve", *given], {**env, **more})
    assert done.returncode == 2
    said = " ".join(done.stderr.split())
    assert "NBA_CLOCK is simulated, and NBA_HOST is '0.0.0.0'" in said
    assert "Expected a loopback address such as 127.0.0.1" in said
    assert "Leave --host and NBA_HOST out, or NBA_CLOCK." in said
    assert not [*tmp_path.iterdir()]


def test_an_unknown_clock_is_named(tmp_path):
    done = nba_in_process(["serve"], {"NBA_HOME": str(tmp_path), "NBA_CLOCK": "fake"})
    assert done.returncode == 2
    said = " ".join(done.stderr.split())
    assert "NBA_CLOCK is 'fake': input should be 'real' or 'simulated'." in said
    assert "Correct or unset it." in said


def test_a_ledger_of_simulated_times_is_not_served_by_the_real_clock(tmp_path):
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    SimulatedClock(ledger).begin()
    ledger.close()
    env = {"NBA_HOME": str(tmp_path), "NBA_PORT": str(free_port())}
    done = nba_in_process(["serve"], env)
    said = " ".join(done.stderr.split())
    assert done.returncode == 2
    assert "NBA_CLOCK is real, and the clock of this ledger is simulated" in said


def test_the_help_names_the_simulated_clock(tmp_path):
    said = nba_in_process(["serve", "--help"], {"NBA_HOME": str(tmp_path)}).stdout
    assert "With NBA_CLOCK=simulated, POST /v1/clock sets its time" in said
    assert "Example: NBA_CLOCK=simulated NBA_HOME=/tmp/simulated nba serve" in said


def test_a_server_that_ended_is_not_announced(settings):
    said: list[str] = []
    serve._announce(settings, Child(code=1), said.append)
    assert said == []


def test_a_server_that_is_not_ready_in_time_is_told_of(settings, monkeypatch):
    monkeypatch.setattr(serve, "READY_WITHIN_S", 0.0)
    said: list[str] = []
    serve._announce(settings, Child(), said.append)
    assert said == [f"Not ready after 0 s; /readyz on port {settings.port} says why."]
