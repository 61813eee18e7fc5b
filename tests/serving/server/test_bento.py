"""The bento can be built, and what was built serves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Built
from tests.server import running

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def bentoml_home(tmp_path_factory) -> dict[str, str]:
    """A BentoML home with our bento in it."""
    env = {"BENTOML_HOME": str(tmp_path_factory.mktemp("bentoml")), "BENTOML_DO_NOT_TRACK": "True"}
    built = bentoml(["build", "-o", "tag"], env)
    assert built.returncode == 0, built.stderr
    return env


def bentoml(arguments: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bentoml", *arguments]
    return subprocess.run(
        command, env={**os.environ, **env}, cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_bento_holds_every_module_yaml_file_and_page(bentoml_home):
    bentos = Path(bentoml_home["BENTOML_HOME"]) / "bentos" / "next_best_action"
    [built] = [folder for folder in bentos.iterdir() if folder.is_dir()]
    for floor in ("features", "training", "serving"):
        ours = {
            file.relative_to(ROOT)
            for file in (ROOT / floor).rglob("*")
            if file.suffix in (".py", ".yaml", ".html", ".css", ".js", ".svg")
        }
        assert [file for file in ours if not (built / "src" / file).exists()] == []


def test_the_built_bento_answers_a_decision(grocer: Built, bentoml_home, tmp_path):
    served = {**grocer.env, **bentoml_home, "NBA_LEARNER": "false"}
    bento = "next_best_action:latest"
    with running(grocer.home, served, target=bento, cwd=tmp_path) as server:
        status, answer = server.post("/v1/decide", {"customer_id": "h1", "channel": "app"})
        assert status == 200 and answer["known"] and not answer["degraded"]
