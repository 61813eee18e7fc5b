"""The command `nba`, run as a person would."""

from __future__ import annotations

import json
import re
import socket
from datetime import UTC, datetime

import pytest
from typer.main import get_command

from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.tables import insert_new
from serving.cli.main import app
from tests.commands import nba, nba_in_process
from tests.conftest import Built

COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command):
    text = get_command(app).commands[command].help  # type: ignore[attr-defined]
    assert f"Example: {'NBA_' if command in ('serve', 'learn') else 'nba ' + command}" in text


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


@pytest.mark.parametrize(
    ("name", "spared"),
    [
        # The process that starts the workers reads the routes only.
        ("serving.service", ("feast", "mlflow", "lightgbm", "pandas", "scipy")),
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
    done = nba_in_process(arguments, {**grocer.env, **env})
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
    assert f"NBA_PORT is {port}, and another process listens there already" in done.stderr


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """The home of a business that asks its customers; three have answered."""
    home = tmp_path_factory.mktemp("asked")
    lines = ("name: asked", "currency: eur", "channels: [app]", "vocabulary: [nps, ces, refund]")
    (home / "domain.yaml").write_text("\n".join(lines), encoding="utf-8")
    answers = [("c1", 1, 10, "refund"), ("c1", 2, 0, "refund"), ("[red]", 2, 9, None)]
    rows = [
        {
            "event_id": f"e{month}-{who}",
            "customer_id": who,
            "subject": who,
            "type": "nps",
            "occurred_at": datetime(2026, month, 1, tzinfo=UTC),
            "channel": "app",
            "properties": json.dumps({"score": score, "about": about}),
        }
        for who, month, score, about in answers
    ]
    effort = {**rows[0], "event_id": "e9", "type": "ces", "properties": json.dumps({"score": 6})}
    ledger = Ledger(f"sqlite:///{home / 'ledger.db'}")
    ledger.write_now(lambda connection: insert_new(connection, tables.events, [*rows, effort]))
    ledger.close()
    return {"NBA_HOME": str(home)}


def _cells(printed: str) -> list[list[str]]:
    """The rows of a table as it was printed, without its frame."""
    lines = [line for line in printed.splitlines() if line[:1] in "│┃"]
    return [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in lines]


def test_feedback_shows_each_measure_of_each_group(asked):
    done = nba(["feedback", "--by", "journey", "--by", "month"], asked)
    assert done.returncode == 0, done.stderr
    assert _cells(done.stdout) == [
        ["measure", "journey", "month", "answers", "value", "95 % interval"],
        ["nps", "refund", "2026-01", "1", "100.00", "-48.50 to 100.00"],
        ["nps", "refund", "2026-02", "1", "-100.00", "-100.00 to 48.50"],
        ["nps", "voice", "2026-02", "1", "100.00", "-48.50 to 100.00"],
        ["ces", "voice", "2026-01", "1", "6.00", ""],
    ]


@pytest.mark.parametrize(
    ("more", "groups"),
    [
        (["--since", "2026-02-01"], ["[red]", "c1"]),
        (["--since", "2026-02-01T00:00:01Z"], []),
        (["--until", "2026-02-01"], ["c1", "c1"]),
        (["--since", "2026-02-01T03:00+03:00", "--customer", "[red]"], ["[red]"]),
        (["--customer", "nobody"], []),
    ],
)
def test_feedback_of_a_time_or_of_a_customer(asked, more, groups):
    done = nba_in_process(["feedback", "--by", "customer", *more], asked)
    assert done.returncode == 0, done.stderr
    assert [cells[1] for cells in _cells(done.stdout)[1:]] == groups
    assert ("Nobody answered" in done.stdout) == (not groups)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--by", "colour"], "by is 'colour'. Expected some of customer, journey, stage"),
        (["--since", "yesterday"], "since is 'yesterday'. Expected a day or a time after 1970"),
        (["--until", "2026-02-30"], "until is '2026-02-30'."),
        (["--since", "1969-01-01"], "since is '1969-01-01'."),
        (["--since", "0001-01-01T00:00+14:00"], "Correct --since."),
        (["--since", "2026-02-01", "--until", "2026-01-01"], "until is 2026-01-01T00:00:00+00:00."),
    ],
)
def test_feedback_that_cannot_be_shown_ends_with_code_2_and_a_sentence(asked, arguments, sentence):
    done = nba_in_process(["feedback", *arguments], asked)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
