"""Tests the downloaded files of model versions: once each, whole, and not too many."""

from __future__ import annotations

import os

import pytest

from training.pipeline import version_files
from training.pipeline.version_files import VersionFiles


def downloaded(content):
    """Return a download of one file, that notes how often it was made."""
    calls = []

    def download(into):
        calls.append(into)
        (into / "model").mkdir()
        (into / "model" / "note.txt").write_text(content)
        return into / "model"

    return download, calls


def test_the_files_are_there_for_all_who_share_the_folder(tmp_path):
    download, calls = downloaded("one")
    files = VersionFiles(tmp_path)
    assert files.find("bandit", "1@run") is None
    kept = files.keep("bandit", "1@run", download)
    assert (kept / "note.txt").read_text() == "one"
    assert VersionFiles(tmp_path).find("bandit", "1@run") == kept
    assert files.find("churn", "1@run") is None and files.find("bandit", "2@run") is None
    assert len(calls) == 1 and [one.name for one in tmp_path.iterdir()] == ["bandit"]


def test_of_two_who_download_at_once_the_first_one_counts(tmp_path):
    files = VersionFiles(tmp_path)
    first, second = downloaded("first")[0], downloaded("second")[0]

    def overtaken(into):
        files.keep("bandit", "1@run", first)
        return second(into)

    kept = files.keep("bandit", "1@run", overtaken)
    assert (kept / "note.txt").read_text() == "first"
    assert [one.name for one in tmp_path.iterdir()] == ["bandit"]


def test_a_download_that_fails_leaves_nothing(tmp_path):
    def fail(into):
        (into / "model").mkdir()
        raise OSError("the store is gone")

    files = VersionFiles(tmp_path)
    with pytest.raises(OSError, match="the store is gone"):
        files.keep("bandit", "1@run", fail)
    assert files.find("bandit", "1@run") is None
    assert [*(tmp_path / "bandit").iterdir()] == []


def test_the_versions_that_were_used_last_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(version_files, "KEPT", 2)
    files = VersionFiles(tmp_path)
    for second, name in enumerate(("1", "2")):
        os.utime(files.keep("bandit", name, downloaded(name)[0]), (second, second))
    assert files.find("bandit", "1") is not None  # used now
    files.keep("bandit", "3", downloaded("3")[0])
    assert sorted(one.name for one in (tmp_path / "bandit").iterdir()) == ["1", "3"]
