"""`nba evaluate` on what a started server decided: another catalogue, and what cannot be asked."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import yaml

from features.clock import utc_now
from serving.cli import steps
from tests.commands import nba_in_process
from tests.conftest import Built
from tests.server import running

pytestmark = pytest.mark.server
ACCEPTS = {"tea": 0.6, "coffee": 0.2}
CUSTOMERS, STILL_OPEN = 400, 40


def catalog(**levers: float) -> dict:
    """Two actions of equal value, whose windows close at once, and one with a long window."""
    actions = {
        name: {
            "issue": "serve",
            "group": "service",
            "value": 10,
            "cost": 1,
            "lever": levers.get(name, 1.0),
            "prior": {"acceptance": 0.3, "weight": 1e6},
            "attribution_days": 1e-5,
            "treatments": {"app": {"title": name}},
        }
        for name in ACCEPTS
    }
    cake = {"attribution_days": 30, "treatments": {"web": {"title": "cake"}}}
    return {
        "outcomes": {"accepted": {"acceptance": 1}},
        "actions": actions | {"cake": actions["tea"] | cake},
        "arms": {"random": 0.5, "nobody": 0},
        "contact_policy": {"activate_within_hours": 0.001},
    }


@pytest.fixture(autouse=True)
def a_minute_later(monkeypatch) -> None:
    """The command is run when all attribution windows have closed; they last 0.9 s."""
    later = lambda settings, ledger: lambda: utc_now() + timedelta(minutes=1)  # noqa: E731
    monkeypatch.setattr(steps, "clock_of", later)


@pytest.fixture(scope="module")
def lived(shop: Built, tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """A home in which two workers have decided for many, who answered."""
    folder = tmp_path_factory.mktemp("evaluate")
    shutil.copytree(shop.home, folder / "home")
    written(folder / "actions.yaml", catalog())
    env = {**shop.env, "NBA_HOME": str(folder / "home"), "NBA_WORKERS": "2"}
    env |= {"NBA_ACTIONS": str(folder / "actions.yaml")}
    rng = np.random.default_rng(20261127)
    with running(folder / "home", env) as server:
        for number in range(CUSTOMERS):
            body = {"customer_id": f"c{number}", "channel": "app", "decision_id": f"d{number}"}
            body |= {"slots": 1 + number % 2, "activate": number % 8 != 7}
            _, answer = server.post("/v1/decide", body)
            name = answer["actions"][0]["action_id"]
            if rng.random() < ACCEPTS.get(name, 0) and body["activate"]:
                told = {"decision_id": answer["decision_id"], "outcome": "accepted"}
                told |= {"action_id": name}
                assert server.post("/v1/outcomes", told)[0] == 200
        for number in range(STILL_OPEN):
            body = {"customer_id": f"c{number}", "channel": "web", "decision_id": f"open{number}"}
            assert server.post("/v1/decide", body)[0] == 200
    return folder, env


def written(path: Path, content: dict) -> Path:
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_another_catalogue_is_evaluated_on_what_the_server_decided(lived):
    folder, env = lived
    other = written(folder / "other.yaml", catalog(tea=3.0))
    done = nba_in_process(["evaluate", "--catalog", str(other), "--json"], env)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["decisions"], found["customers"]) == (CUSTOMERS, CUSTOMERS)
    share = {one["action_id"]: one for one in found["shares"]}
    assert share["tea"]["wanted"] > 0.8 > share["tea"]["decided"]
    # The tea really earns 0.6 x 10 - 1 = 5 each time that it is shown; one in eight never is.
    truth = (
        7
        / 8
        * sum(
            one["wanted"] * (ACCEPTS.get(name, 0) * 10 - (name in ACCEPTS))
            for name, one in share.items()
        )
    )
    [robust] = [one for one in found["estimates"] if one["method"] == "doubly_robust"]
    assert robust["low"] < truth < robust["high"]
    assert found["gain"]["low"] > 0, found
    assert found["verdict"].startswith("It would have earned more: +")


def test_it_says_the_same_in_words(lived):
    folder, env = lived
    other = written(folder / "other.yaml", catalog(tea=3.0))
    done = nba_in_process(["evaluate", "--catalog", str(other)], env)
    assert done.returncode == 0, done.stderr
    for said in ("as it was decided", "doubly_robust", "no_action", "It would have earned more: +"):
        assert said in done.stdout


def test_the_catalogue_that_decided_gains_exactly_0_over_itself_whatever_is_still_open(lived):
    folder, env = lived
    same = str(folder / "actions.yaml")
    done = nba_in_process(["evaluate", "--catalog", same, "--json"], env)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["decisions"] == CUSTOMERS
    assert [found["gain"][name] for name in ("value", "low", "high")] == [0.0, 0.0, 0.0]
    assert found["several_slots"] == CUSTOMERS / 2
    remarks = " ".join(found["remarks"])
    assert f"{STILL_OPEN} decisions are left out: their outcomes may still come." in remarks
    assert f"{CUSTOMERS // 2} decisions have more than one slot: only the first slot is" in remarks
    done = nba_in_process(["evaluate", "--catalog", same], env)
    words = " ".join(done.stdout.split())
    assert "It is the policy that decided: +0.000 EUR a decision (+0.000 to +0.000)." in words
    assert f"{CUSTOMERS // 2} decisions have more than one slot: only the first slot is" in words


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ([], "Neither --policy nor --catalog is given."),
        (["--policy", "9"], "MLflow has no 'bandit' with version or alias '9'."),
        (["--catalog", "nowhere.yaml"], "nowhere.yaml"),
        (["--policy", "9", "--since", "soon"], "since is 'soon'."),
    ],
)
def test_what_cannot_be_evaluated_is_refused_with_a_remedy(lived, inputs, told):
    done = nba_in_process(["evaluate", *inputs], lived[1])
    assert done.returncode == 2
    assert told in (done.stdout + done.stderr).replace("\n", " ")
