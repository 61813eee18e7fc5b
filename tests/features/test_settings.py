"""The environment is read once, strictly, and with defaults that work on a laptop."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from features.errors import InvalidSetting
from features.settings import GROCERY, actions_beside, load_settings


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_without_variables_the_grocer_runs_from_the_working_directory(tmp_path):
    settings = load_settings({})
    assert settings.home == tmp_path / ".nba"
    assert settings.domain == GROCERY
    assert settings.actions == GROCERY.with_name("grocery.actions.yaml")
    assert settings.ledger_url == f"sqlite:///{tmp_path / '.nba' / 'ledger.db'}"
    assert settings.mlflow_uri == f"sqlite:///{tmp_path / 'mlruns' / 'mlflow.db'}"
    assert settings.mlflow_artifacts == tmp_path / "mlruns" / "artifacts"
    assert (settings.port, settings.workers, settings.learner) == (3000, 1, True)


def test_a_domain_in_the_home_is_taken_before_the_grocery(tmp_path):
    (tmp_path / "domain.yaml").touch()
    settings = load_settings({"NBA_HOME": str(tmp_path)})
    assert settings.domain == tmp_path / "domain.yaml"
    assert settings.actions == tmp_path / "actions.yaml"


def test_a_domain_that_is_named_is_taken_before_the_one_in_the_home(tmp_path):
    (tmp_path / "domain.yaml").touch()
    settings = load_settings({"NBA_HOME": str(tmp_path), "NBA_DOMAIN": "bank.yaml"})
    assert settings.domain == tmp_path / "bank.yaml"


def test_the_catalogue_of_the_same_name_is_taken_before_actions_yaml(tmp_path):
    domain = tmp_path / "bank.yaml"
    assert actions_beside(domain) == tmp_path / "actions.yaml"
    (tmp_path / "bank.actions.yaml").touch()
    assert actions_beside(domain) == tmp_path / "bank.actions.yaml"


def test_a_catalogue_that_is_named_need_not_stand_beside_its_domain():
    assert load_settings({"NBA_ACTIONS": "/else/where.yaml"}).actions == Path("/else/where.yaml")


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("NBA_PORT", "8080", "port", 8080),
        ("NBA_WORKERS", "2", "workers", 2),
        ("NBA_REQUESTS_PER_S", "250", "requests_per_s", 250.0),
        ("NBA_LEARNER", "0", "learner", False),
        ("NBA_LEARN_EVERY_S", "0.25", "learn_every_s", 0.25),
        ("NBA_MODELS_EVERY_S", "60", "models_every_s", 60.0),
        ("NBA_RETENTION_RECORDS_DAYS", "90", "retention_records_days", 90.0),
        ("NBA_RETENTION_EVENTS_DAYS", "730", "retention_events_days", 730.0),
        ("NBA_NOOP", "true", "noop", True),
        ("NBA_LEDGER_URL", "postgresql+psycopg://db/nba", "ledger_url", None),
        ("NBA_MLFLOW_URI", "http://mlflow:5000", "mlflow_uri", None),
        ("NBA_MLFLOW_ARTIFACTS", "/big/disk", "mlflow_artifacts", Path("/big/disk")),
    ],
)
def test_a_variable_sets_its_field(name, text, field, value):
    expected = text if value is None else value
    assert getattr(load_settings({name: text}), field) == expected


def test_an_empty_variable_counts_as_not_set():
    assert load_settings({"NBA_PORT": "", "NBA_HOME": ""}) == load_settings({})


def test_variables_of_other_programs_are_none_of_our_business():
    assert load_settings({"PORT": "no", "XNBA_PORT": "no"}) == load_settings({})


def test_the_environment_of_the_process_is_read_if_none_is_given(monkeypatch):
    monkeypatch.setenv("NBA_PORT", "4321")
    assert load_settings().port == 4321


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NBA_PORT", "0"),
        ("NBA_PORT", "65536"),
        ("NBA_PORT", "web"),
        ("NBA_WORKERS", "0"),
        ("NBA_REQUESTS_PER_S", "0.5"),
        ("NBA_REQUESTS_PER_S", "inf"),
        ("NBA_WORKERS", "65"),
        ("NBA_WORKERS", "1.5"),
        ("NBA_LEARNER", "perhaps"),
        ("NBA_LEARN_EVERY_S", "0"),
        ("NBA_LEARN_EVERY_S", "inf"),
        ("NBA_MODELS_EVERY_S", "-1"),
        ("NBA_MODELS_EVERY_S", "nan"),
        ("NBA_LEARN_EVERY_S", "1e300"),
        ("NBA_RETENTION_RECORDS_DAYS", "1e12"),
        ("NBA_RETENTION_EVENTS_DAYS", "nan"),
        ("NBA_RETENTION_EVENTS_DAYS", "²"),
        ("NBA_HOEM", "typo"),
    ],
)
def test_a_value_we_cannot_use_is_named_with_its_remedy(name, value):
    with pytest.raises(InvalidSetting) as caught:
        load_settings({name: value})
    message = str(caught.value)
    assert message.startswith(f"{name} is {value!r}: ")
    assert "Correct or unset it. Known variables: NBA_HOME, NBA_DOMAIN," in message


@pytest.mark.parametrize("name", ["NBA_PASSWORD", "NBA_KEYS", "NBA_TOKEN"])
def test_a_variable_that_is_named_like_a_secret_is_told_without_its_value(name):
    with pytest.raises(InvalidSetting, match=rf"{name} is '\*\*\*': extra"):
        load_settings({name: "hunter2"})


def test_the_password_in_a_misspelled_variable_is_not_told():
    with pytest.raises(
        InvalidSetting, match=r"NBA_LEDGR_URL is 'postgresql://nba:\*\*\*@db"
    ) as caught:
        load_settings({"NBA_LEDGR_URL": "postgresql://nba:p@ss/w0rd@db:5432/nba"})
    assert "w0rd" not in str(caught.value) and "db:5432/nba" in str(caught.value)


def test_settings_do_not_change_once_read():
    with pytest.raises(ValidationError, match="frozen"):
        load_settings({}).port = 1


def test_what_is_relative_is_told_in_full_because_the_server_runs_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {
        "NBA_LEDGER_URL": "sqlite:///l.db",
        "NBA_MLFLOW_URI": "sqlite:///m.db",
        "NBA_ACTIONS": "a.yaml",
        "NBA_MLFLOW_ARTIFACTS": "art",
    }
    settings = load_settings(given)
    assert settings.ledger_url == f"sqlite:///{tmp_path / 'l.db'}"
    assert settings.mlflow_uri == f"sqlite:///{tmp_path / 'm.db'}"
    assert (settings.actions, settings.mlflow_artifacts) == (tmp_path / "a.yaml", tmp_path / "art")


def test_records_are_kept_for_400_days_and_events_for_ever_unless_said_otherwise():
    settings = load_settings({})
    assert (settings.retention_records_days, settings.retention_events_days) == (400.0, None)
    assert load_settings({"NBA_RETENTION_RECORDS_DAYS": "never"}).retention_records_days is None
    for text in ("0", "-1", "ever", "inf"):
        with pytest.raises(InvalidSetting, match="NBA_RETENTION_EVENTS_DAYS is "):
            load_settings({"NBA_RETENTION_EVENTS_DAYS": text})
