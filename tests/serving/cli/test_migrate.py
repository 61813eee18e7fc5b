"""`nba migrate` as a person runs it, and the commands that migrate before they begin."""

from __future__ import annotations

import gzip

import pytest
from typer.testing import CliRunner

from features.errors import InvalidSetting
from features.ledger import migrations, tables
from features.ledger.ledger import Ledger
from features.settings import load_settings
from serving.cli import serve
from serving.cli.main import app
from serving.server.components import Components
from tests.behaviour.kept import FIXTURE
from tests.conftest import ROOT
from tests.parity import environment
from tests.server import free_port

RENAMES = "step 6: contacts.said is renamed outcomes_at, learner_state.knowledge is renamed"


@pytest.fixture
def old(tmp_path):
    """The settings of a home whose ledger is of schema 5."""
    packed = ROOT / "tests" / "features" / "ledger" / "schema_5" / "shop.db.gz"
    path = tmp_path / "shop.db"
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    return {
        "NBA_HOME": str(tmp_path / "home"),
        "NBA_LEDGER_URL": f"sqlite:///{path}",
        "NBA_DOMAIN": str(FIXTURE / "shop" / "domain.yaml"),
        "NBA_ACTIONS": str(FIXTURE.parent / "shop.actions.yaml"),
    }


def nba(arguments, env):
    with environment(env):
        return CliRunner().invoke(app, arguments)


def test_it_says_from_which_schema_to_which_and_then_that_nothing_is_to_do(old):
    done = nba(["migrate"], old)
    assert done.exit_code == 0, done.stderr
    assert f"The ledger was brought from schema 5 to {tables.SCHEMA}:" in done.stdout
    assert RENAMES in done.stdout
    Ledger(old["NBA_LEDGER_URL"]).close()
    again = nba(["migrate"], old)
    assert again.exit_code == 0
    assert again.stdout == "Nothing is to do: the ledger has the schema of this version.\n"


def test_a_home_that_others_may_open_is_named_and_left_as_it_is(old, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o755)
    done = nba(["migrate"], old)
    assert done.exit_code == 0, done.stderr
    assert f"may open {home} (mode 0755)" in done.stderr
    assert f"chmod -R go-rwx {home}" in done.stderr
    assert home.stat().st_mode & 0o777 == 0o755


def test_a_dry_run_names_the_steps_and_leaves_the_ledger(old):
    for _ in range(2):
        done = nba(["migrate", "--dry-run"], old)
        assert done.exit_code == 0, done.stderr
        assert "The ledger would be brought from schema 5 to" in done.stdout
        assert RENAMES in done.stdout


def test_without_a_ledger_nothing_is_to_do(tmp_path):
    done = nba(["migrate"], {"NBA_HOME": str(tmp_path / "new")})
    assert done.exit_code == 0
    assert done.stdout.startswith("Nothing is to do")


def test_other_commands_name_the_one_that_helps(old):
    done = nba(["feedback"], old)
    assert done.exit_code == 2
    assert "its schema is 5." in done.stderr and "Run 'nba migrate'" in done.stderr


def test_a_newer_ledger_is_refused(old):
    nba(["migrate"], old)
    ledger = Ledger(old["NBA_LEDGER_URL"])
    ledger.write_now(lambda connection: tables.set_meta(connection, "schema", "99"))
    ledger.close()
    done = nba(["migrate"], old)
    assert done.exit_code == 2
    assert "its schema is 99." in done.stderr and "Name another ledger" in done.stderr


def test_serve_migrates_before_it_starts_the_server(old, monkeypatch):
    started = []

    class Server:
        def __init__(self, command, env):
            Ledger(env["NBA_LEDGER_URL"]).close()  # a worker opens it
            started.append(command)

        def wait(self):
            return 0

    monkeypatch.setattr(serve.subprocess, "Popen", Server)
    monkeypatch.setattr(serve.signal, "signal", lambda *_: None)
    monkeypatch.setattr(serve, "_announce", lambda *_: None)
    done = nba(["serve"], {**old, "NBA_PORT": str(free_port())})
    assert done.exit_code == 0, done.output
    assert f"The ledger was brought from schema 5 to {tables.SCHEMA}:" in done.stdout
    assert len(started) == 1


def test_a_worker_that_bentoml_starts_refuses_the_old_ledger_and_leaves_it(old):
    with environment(old), pytest.raises(InvalidSetting, match="its schema is 5.*'nba migrate'"):
        Components(load_settings())
    assert migrations.migrate(old["NBA_LEDGER_URL"], dry_run=True).found == "5"
