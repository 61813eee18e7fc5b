"""The fast mode of the suite starts no process and imports no file whose tests it leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import fast_mode
from tests.commands import nba
from tests.fast_mode import StartedInFastMode, all_left_out
from tests.postgres import postgresql
from tests.server import start

TESTS = Path(__file__).parent


def command(_: Path) -> None:
    nba(["models"], {})


def server(folder: Path) -> None:
    start(folder, {})


def database(folder: Path) -> None:
    with postgresql(folder):
        pass


@pytest.mark.parametrize("starting", [command, server, database])
def test_a_process_is_refused_in_the_fast_mode_with_the_remedy(starting, monkeypatch, tmp_path):
    monkeypatch.setattr(fast_mode, "_on", True)
    with pytest.raises(StartedInFastMode, match="Mark the test with @pytest.mark.server or"):
        starting(tmp_path)


@pytest.mark.parametrize(
    ("file", "out"),
    [
        ("serving/test_service.py", True),  # server
        ("training/pipeline/test_train.py", True),  # process
        ("serving/policies/test_paced_days.py", True),  # slow
        ("serving/server/test_openapi.py", False),  # some of its tests only
        ("features/ledger/test_ledger.py", False),  # marked with something else
        ("server.py", False),
    ],
)
def test_a_file_is_left_out_where_it_marks_all_of_its_tests(file, out):
    assert all_left_out(TESTS / file) is out
