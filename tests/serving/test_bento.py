"""The bento can be built, and what was built serves."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT, Built
from tests.server import running

pytestmark = pytest.mark.server


def test_the_built_bento_answers_a_decision(grocer: Built, tmp_path):
    env = {"BENTOML_HOME": str(tmp_path / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}
    command = [sys.executable, "-m", "bentoml", "build", "-o", "tag"]
    built = subprocess.run(
        command, env={**os.environ, **env}, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    # From an empty folder, with the sources out of reach: only what is in the bento can serve.
    served = {**grocer.env, **env, "PYTHONSAFEPATH": "1", "NBA_LEARNER": "false"}
    cwd = tmp_path / "elsewhere"
    cwd.mkdir()
    with running(grocer.home, served, target="next_best_action:latest", cwd=cwd) as server:
        status, answer = server.post("/v1/decide", {"customer_id": "h1", "channel": "app"})
        assert status == 200 and answer["known"] and not answer["degraded"]
