"""Tests the progress callback that shows nothing."""

from __future__ import annotations

from features.progress import Progress, quiet


def test_quiet_takes_each_step_and_returns_nothing():
    report: Progress = quiet
    assert report("build", 1, 2) is None
