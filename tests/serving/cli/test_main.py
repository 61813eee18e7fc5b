"""Tests the command `nba` as a person runs it: help, imports, quickstart, models."""

from __future__ import annotations

import pytest
from typer.main import get_command

from serving.cli.main import app
from tests.commands import nba_in_process
from tests.conftest import Built

COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command):
    text = get_command(app).commands[command].help  # type: ignore[attr-defined]
    assert f"Example: {'NBA_' if command in ('serve', 'learn') else 'nba ' + command}" in text


@pytest.mark.process
def test_help_does_not_load_the_heavy_libraries():
    import subprocess
    import sys

    code = (
        "import sys; from serving.cli.main import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('feast', 'mlflow', 'bentoml', 'lightgbm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


@pytest.mark.process
@pytest.mark.parametrize(
    ("name", "spared"),
    [
        # The process that starts the workers reads the routes only.
        (
            "serving.service",
            ("feast", "mlflow", "lightgbm", "pandas", "scipy", "duckdb", "rule_engine"),
        ),
        ("serving.cli.steps_data", ("mlflow", "lightgbm", "sklearn", "bentoml")),
    ],
)
def test_a_module_that_does_not_need_the_heavy_libraries_does_not_load_them(name, spared):
    import subprocess
    import sys

    code = f"import sys, {name}; print([one for one in {spared} if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_quickstart_prints_the_figures_and_promotes(grocer: Built):
    for expected in ("roc_auc", "expected_calibration_error", "churn: version 1 is champion."):
        assert expected in grocer.output


def test_quickstart_a_second_time_does_nothing_over_again(grocer: Built):
    done = nba_in_process(["quickstart"], grocer.env)
    assert done.returncode == 0
    assert "holds data already" in done.stdout and "champion already" in done.stdout


def test_models_lists_versions_and_aliases(grocer: Built):
    done = nba_in_process(["models"], grocer.env)
    assert all(name in done.stdout for name in ("bandit", "churn", "intent", "champion"))


WRONG = [
    (["promote", "churn", "--version", "99"], {}, "MLflow has no 'churn' with version or alias"),
    (["rollback", "intent"], {}, "alias 'previous'"),
    (["models"], {"NBA_PORT": "many"}, "NBA_PORT is 'many'"),
    (["models"], {"NBA_PROT": "3000"}, "NBA_PROT is '3000'"),
]


@pytest.mark.parametrize(("arguments", "env", "sentence"), WRONG)
def test_what_the_caller_can_correct_ends_with_code_2_and_a_sentence(
    grocer: Built, arguments, env, sentence
):
    done = nba_in_process(arguments, {**grocer.env, **env})
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
