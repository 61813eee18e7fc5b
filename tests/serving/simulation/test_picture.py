"""Tests that a tournament is drawn to a PNG file."""

from __future__ import annotations

import pytest

from serving.simulation.picture import draw_tournaments
from tests.serving.simulation.runs import tournament


@pytest.mark.parametrize("worlds", [1, 2])
def test_a_picture_is_drawn(tmp_path, worlds):
    one = tournament(worlds, served=5.0, random=1.0)
    draw_tournaments([one, one], tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes()[:4] == b"\x89PNG"
