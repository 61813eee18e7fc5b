"""The command `nba`, run as a person would."""

from __future__ import annotations

import socket

import pytest
from typer.main import get_command

from serving.cli import app
from tests.conftest import Built, nba

COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command):
    text = get_command(app).commands[command].help  # type: ignore[attr-defined]
    assert f"Example: {'NBA_' if command in ('serve', 'learn') else 'nba ' + command}" in text


def test_help_does_not_load_the_heavy_libraries():
    import subprocess
    import sys

    code = (
        "import sys; from serving.cli import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('feast', 'mlflow', 'bentoml', 'lightgbm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


def test_quickstart_prints_the_figures_and_promotes(grocer: Built):
    for expected in ("roc_auc", "expected_calibration_error", "churn: version 1 is champion."):
        assert expected in grocer.output


def test_quickstart_a_second_time_does_nothing_over_again(grocer: Built):
    done = nba(["quickstart"], grocer.env)
    assert done.returncode == 0
    assert "holds data already" in done.stdout and "champion already" in done.stdout


def test_models_lists_versions_and_aliases(grocer: Built):
    done = nba(["models"], grocer.env)
    assert all(name in done.stdout for name in ("bandit", "churn", "intent", "champion"))


WRONG = [
    (["train", "weather"], {}, "model is 'weather'. Expected one of churn, intent, bandit."),
    (["promote", "churn", "--version", "99"], {}, "MLflow has no 'churn' with version or alias"),
    (["rollback", "intent"], {}, "alias 'previous'"),
    (["import", "atlantis"], {}, "Expected completejourney or telco or helpdesk."),
    (["import", "completejourney", "--file", "a.csv"], {}, "Expected none: completejourney comes"),
    (["import", "telco"], {}, "--file is not given. Expected the published table of telco."),
    (["import", "helpdesk", "--file", "no.csv"], {}, "no.csv does not exist. Expected the publ"),
    (["import", "telco", "--file", "requirements.txt"], {}, "has no column 'customerID'."),
    (["load", "."], {}, "holds none of the contract tables"),
    (["models"], {"NBA_PORT": "many"}, "NBA_PORT is 'many'"),
    (["models"], {"NBA_PROT": "3000"}, "NBA_PROT is '3000'"),
    (["build"], {"NBA_DOMAIN": "nowhere.yaml"}, "nowhere.yaml cannot be read"),
]


@pytest.mark.parametrize(("arguments", "env", "sentence"), WRONG)
def test_what_the_caller_can_correct_ends_with_code_2_and_a_sentence(
    grocer: Built, arguments, env, sentence
):
    done = nba(arguments, {**grocer.env, **env})
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_named(grocer: Built):
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        port = other.getsockname()[1]
        done = nba(["serve"], {**grocer.env, "NBA_PORT": str(port)})
    assert done.returncode == 2
    assert f"NBA_PORT is {port}, and somebody listens there already" in done.stderr
