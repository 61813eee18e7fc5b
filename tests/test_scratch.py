"""Temporary files are in memory where it suffices, and where they were where it does not."""

from __future__ import annotations

import os
import tempfile
from types import SimpleNamespace

import pytest

from tests import scratch


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", tempfile.tempdir)
    monkeypatch.setenv("TMPDIR", "")  # so that it is put back afterwards
    monkeypatch.delenv("TMPDIR")
    monkeypatch.setattr(scratch, "NEEDED", 1)


def test_temporary_files_are_in_the_folder_that_is_large_enough(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=0))
    monkeypatch.setattr(scratch.shutil, "disk_usage", lambda _: SimpleNamespace(free=1))
    scratch.use_memory(tmp_path)
    assert tempfile.gettempdir() == str(tmp_path) == os.environ["TMPDIR"]


@pytest.mark.parametrize(
    ("free", "flag"), [(0, 0), (1, os.ST_NOEXEC)], ids=["too small", "runs no programs"]
)
def test_a_folder_that_does_not_suffice_is_not_used(free, flag, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=flag))
    monkeypatch.setattr(scratch.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    scratch.use_memory(tmp_path)
    assert "TMPDIR" not in os.environ


def test_a_chosen_folder_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", "/chosen")
    scratch.use_memory(tmp_path)
    assert os.environ["TMPDIR"] == "/chosen"


def test_a_missing_folder_is_not_used(tmp_path):
    scratch.use_memory(tmp_path / "missing")
    assert "TMPDIR" not in os.environ
