"""Locks the files of a home, and removes what an interrupted build left."""

import pytest

from features.errors import InvalidSetting
from features.store.locks import build_lock, discard_partial_build, file_lock, partial_path


def test_a_lock_that_is_held_is_refused_by_name_and_free_afterwards(tmp_path):
    path = tmp_path / "build.lock"
    second = file_lock(path, wait=False)
    refused = pytest.raises(InvalidSetting, match=r"holds build\.lock")
    with file_lock(path, wait=False), refused, second:
        pass
    with file_lock(path, wait=False):
        pass


def test_a_lock_is_free_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), file_lock(tmp_path / "a.lock", wait=False):
        raise RuntimeError
    with file_lock(tmp_path / "a.lock", wait=True):
        pass


def test_only_an_interrupted_build_is_discarded(tmp_path):
    folder = tmp_path / "customer_journey"
    partial_path(folder).mkdir()
    with build_lock(folder):
        discard_partial_build(folder)
    assert partial_path(folder).exists()
    discard_partial_build(folder)
    assert not partial_path(folder).exists()


def test_a_home_without_files_has_nothing_to_discard(tmp_path):
    discard_partial_build(tmp_path / "nowhere" / "customer_journey")
    assert not (tmp_path / "nowhere").exists()
