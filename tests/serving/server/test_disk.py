"""Free space of the disks: measured, judged, and said in a sentence without paths."""

from __future__ import annotations

import pytest

from features.settings import load_settings
from serving.server import disk
from serving.server.disk import DiskSpace, DiskWatch, measure

GB = 10**9


@pytest.mark.parametrize(
    ("total", "free", "low", "full"),
    [
        (100 * GB, 60 * GB, False, False),
        (100 * GB, 4 * GB, True, False),
        (4_000 * GB, 20 * GB, False, False),
        (4_000 * GB, 9 * GB, True, False),
        (10 * GB, 2 * GB, False, False),
        (10 * GB, GB // 2, True, False),
        (10 * GB, GB // 30, True, True),
    ],
)
def test_space_is_low_below_five_percent_or_one_gigabyte(total, free, low, full):
    space = DiskSpace(total, free)
    assert (space.is_low, space.is_full) == (low, full)


def test_a_disk_is_measured_once_and_its_problem_names_no_path(tmp_path):
    watch = DiskWatch(load_settings({"NBA_HOME": str(tmp_path / "home")}))
    watch.measure = lambda folder: DiskSpace(100 * GB, GB // 4)
    assert [*watch.look()][0] == "home" and "ledger" not in watch.spaces
    [sentence, *_] = watch.problems
    assert sentence.startswith("disk: 250 MB are free for the ledger and features; make room")
    assert str(tmp_path) not in sentence and not watch.is_full
    watch.measure = lambda folder: DiskSpace(100 * GB, 1_000_000)
    watch.look()
    assert watch.is_full


def test_a_disk_of_models_that_is_full_does_not_stop_decisions(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "_device", str)  # each folder is on a disk of its own
    env = {"NBA_HOME": str(tmp_path / "home"), "NBA_LEDGER_URL": f"sqlite:///{tmp_path}/own/l.db"}
    watch = DiskWatch(load_settings(env))
    full = watch.settings.mlflow_artifacts
    watch.measure = lambda folder: DiskSpace(100 * GB, 0 if folder == full else 60 * GB)
    assert [*watch.look()] == ["home", "ledger", "mlruns"]
    assert len(watch.problems) == 1 and not watch.is_full
    full = tmp_path / "own"
    watch.look()
    assert watch.is_full


def test_a_folder_that_is_not_there_yet_is_on_the_disk_of_its_parent(tmp_path):
    assert measure(tmp_path / "not" / "yet").total == measure(tmp_path).total > 0
