"""Tests that a tournament is drawn to a PNG file."""

from __future__ import annotations

import pytest

from tests.training.simulation.runs import tournament
from training.simulation.picture import draw_tournament


@pytest.mark.parametrize("worlds", [1, 2])
def test_a_picture_is_drawn(tmp_path, worlds):
    draw_tournament(tournament(worlds, rules=5.0, random=1.0), tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes()[:4] == b"\x89PNG"
