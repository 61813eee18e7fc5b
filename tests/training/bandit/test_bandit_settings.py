"""Tests the bounds of a bandit's settings."""

from __future__ import annotations

import pytest

from features.errors import InvalidSetting
from training.bandit.bandit_settings import BanditSettings

NAN = float("nan")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 1}, "width is 1. Expected a whole number >= 2"),
        ({"ridges": ()}, "ridges is \\(\\). Expected one finite number"),
        ({"ridges": (0.0, 1.0)}, "ridges is \\(0.0, 1.0\\)"),
        (
            {"exploration_scales": (1.0,)},
            "exploration_scales is \\(1.0,\\). Expected a finite number >= 0 for each",
        ),
        ({"handicaps": (0.0, NAN)}, "handicaps is"),
        ({"refit_growth": 1.0}, "refit_growth is 1.0. Expected a finite number > 1"),
        ({"solve_growth": NAN}, "solve_growth is nan"),
        ({"memory": 10}, "memory is 10. Expected a number >= 2048"),
        ({"half_life": 0.0}, "half_life is 0.0"),
        ({"min_probability": 0.5}, "min_probability is 0.5"),
    ],
)
def test_settings_we_cannot_use_are_named_in_the_error(settings, message):
    with pytest.raises(InvalidSetting, match=message):
        BanditSettings(**settings)
