"""Tests the files of the learner's sums, and the packed outcomes of its steps."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from features.ledger import tables
from serving.learn.checkpoints import (
    CheckpointFolder,
    drop_steps,
    pack_outcomes,
    read_checkpoint,
    read_outcomes,
    read_step_tokens,
    unpack_outcomes,
    write_step,
)
from training.bandit.bandit_state import OutcomeBatch


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_last_two_checkpoints_are_kept_for_their_owner_only(tmp_path):
    folder = CheckpointFolder(tmp_path / "home" / "learner")
    for revision in (5, 9, 12):
        folder.write(revision, f"token {revision}", "4@run", bytes([revision]))
    newest, before = folder.newest_first()
    assert (newest.revision, newest.token, newest.base) == (12, "token 12", "4@run")
    assert (before.revision, read_checkpoint(before)) == (9, b"\x09")
    files = list((tmp_path / "home" / "learner").iterdir())
    assert len(files) == 2 and {mode(path) for path in files} == {0o600}
    assert mode(tmp_path / "home" / "learner") == 0o700


def test_a_ledger_that_was_put_back_does_not_bring_old_files_before_new_ones(tmp_path):
    folder = CheckpointFolder(tmp_path)
    for revision in (100, 101, 40):
        folder.write(revision, "token", "prior", b"")
    assert [one.revision for one in folder.newest_first()] == [40, 101]


@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "head"])
def test_a_damaged_checkpoint_is_not_read(tmp_path, damage):
    folder = CheckpointFolder(tmp_path)
    folder.write(7, "token", "prior", b"the sums" * 100)
    [checkpoint] = folder.newest_first()
    content = checkpoint.path.read_bytes()
    if damage == "gone":
        checkpoint.path.unlink()
    else:
        cut = {"cut": content[:-1], "changed": content[:-1] + b"?", "head": content[:9]}
        checkpoint.path.write_bytes(cut[damage])
    assert read_checkpoint(checkpoint) is None
    assert len(list(folder.newest_first())) == (damage in ("cut", "changed"))


def test_a_file_that_was_not_finished_is_no_checkpoint_and_is_removed(tmp_path, monkeypatch):
    folder = CheckpointFolder(tmp_path)
    folder.write(7, "token", "prior", b"the sums")
    (tmp_path / "checkpoint-000000000002.unfinished").write_bytes(b"{")  # killed while it wrote

    def disk_full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("os.fsync", disk_full)
        with pytest.raises(OSError, match="No space left"):
            folder.write(8, "token", "prior", b"more sums")
    assert [one.revision for one in folder.newest_first()] == [7]
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-000000000001"]
    folder.write(9, "token", "prior", b"more sums")
    assert [one.revision for one in folder.newest_first()] == [9, 7]


def test_without_a_folder_none_are_kept():
    folder = CheckpointFolder(None)
    folder.write(7, "token", "prior", b"the sums")
    assert not folder.exists and list(folder.newest_first()) == []


# Outcomes of steps --------------------------------------------------------------------------------


def batch_of(rows: np.ndarray, experts: np.ndarray, texts: list[str]) -> OutcomeBatch:
    n = len(rows)
    numbers = np.random.default_rng(0).normal(size=(3, n))
    return OutcomeBatch(rows, texts, texts[::-1], *numbers, experts)


FLOATS = st.floats(width=64)


@settings(max_examples=30, deadline=None)
@given(st.data(), st.integers(0, 5), st.integers(0, 3))
def test_packed_outcomes_are_exactly_the_same(data, n, n_features):
    shapes = (n, n_features), (n, 4)
    rows, experts = (data.draw(arrays.arrays(np.float64, one, elements=FLOATS)) for one in shapes)
    texts = data.draw(st.lists(st.text(max_size=3), min_size=n, max_size=n))
    given_ = batch_of(rows, experts, texts)
    found = unpack_outcomes(pack_outcomes(given_))
    assert (found.channels, found.actions) == (given_.channels, given_.actions)
    for name in ("rows", "acceptance", "count", "at", "expert_predictions"):
        ours, theirs = getattr(found, name), getattr(given_, name)
        assert ours.shape == theirs.shape and ours.tobytes() == theirs.tobytes()


def test_a_hundred_outcomes_take_less_than_40_kb():
    """Of 80 features of the usual kinds: counts, shares, amounts with cents, and ages in days."""
    rng = np.random.default_rng(1)
    kinds = (
        rng.integers(0, 50, (100, 20)),
        rng.integers(0, 9, (100, 20)) / 8,
        rng.integers(0, 100_000, (100, 20)) / 100,
        rng.integers(0, 86_400 * 365, (100, 20)) / 86_400,
    )
    rows = np.concatenate(kinds, axis=1).astype(np.float64)
    packed = pack_outcomes(
        batch_of(rows, rng.random((100, 4)), [f"action {n}" for n in range(100)])
    )
    assert len(packed) < 40_000


@pytest.mark.databases("sqlite", "postgresql")
def test_steps_are_dropped_before_one_that_keeps_its_token(ledger):
    for revision in range(1, 13):
        payload = bytes([revision]) if revision != 11 else None
        token = f"t{revision}"
        ledger.write_now(lambda c, what=(revision, token, payload): write_step(c, *what))
    drop_steps(ledger, 10)
    assert ledger.read(read_step_tokens) == {
        10: ("t10", False),
        11: ("t11", False),
        12: ("t12", True),
    }
    assert ledger.read(lambda c: read_outcomes(c, 12)) == b"\x0c"
    assert ledger.read(lambda c: read_outcomes(c, 10)) is None


@pytest.mark.databases("sqlite", "postgresql")
def test_a_step_of_a_ledger_that_was_put_back_takes_the_place_of_another(ledger):
    for token in ("theirs", "ours"):
        ledger.write_now(lambda c, token=token: write_step(c, 4, token, token.encode()))
    rows = ledger.read(lambda c: c.execute(sa.select(tables.learned_steps)).all())
    assert [tuple(row) for row in rows] == [(4, "ours", b"ours")]
