"""Folders for one use are deleted after it; so are those that a killed process has left."""

from __future__ import annotations

from features.analytics.upkeep.scratch import PREFIX, discard_scratch, scratch_of


def test_a_folder_is_there_while_it_is_used_and_gone_after_it(tmp_path):
    place = tmp_path / "journeys"  # not there yet
    with scratch_of(place) as mine:
        (mine / "file").write_text("rows")
        discard_scratch(place)
        with scratch_of(place) as other:
            assert other != mine
        assert [*place.iterdir()] == [mine]
        assert (mine / "file").exists()
    assert [*place.iterdir()] == []


def test_what_a_killed_process_has_left_is_deleted(tmp_path):
    left, kept = tmp_path / f"{PREFIX}left", tmp_path / "build-000001"
    for folder in (left, kept):
        folder.mkdir()
        (folder / "c1.parquet").write_text("half of a file")
    discard_scratch(tmp_path)
    assert [*tmp_path.iterdir()] == [kept]
    discard_scratch(tmp_path / "not there")
