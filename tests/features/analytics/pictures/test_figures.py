"""Figures as people read them."""

from __future__ import annotations

import pytest

from features.analytics.pictures import figures


@pytest.mark.parametrize(
    ("share", "told"),
    [
        (0.0, "0 %"),
        (0.0004, "< 0.1 %"),
        (0.004, "0.4 %"),
        (0.0994, "9.9 %"),
        (0.0996, "10 %"),
        (0.62, "62 %"),
        (0.9999, "99 %"),
        (1.0, "100 %"),
        (None, "–"),
    ],
)
def test_a_share_is_never_rounded_to_nothing_or_to_all(share, told):
    assert figures.percent(share).replace(figures.GAP, " ") == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.0, "0 s"),
        (89.0, "89 s"),
        (90.0, "1.5 min"),
        (5399.0, "90 min"),
        (9720.0, "2.7 h"),
        (172_799.0, "48 h"),
        (172_800.0, "2 days"),
        (86_400.0 * 1234, "1,234 days"),
        (None, "–"),
    ],
)
def test_a_time_is_told_in_the_unit_that_fits(seconds, told):
    assert figures.duration(seconds).replace(figures.GAP, " ") == told


def test_counts_have_their_unit():
    assert figures.several(1, "journey") == f"1{figures.GAP}journey"
    assert figures.several(16_768, "journey") == f"16,768{figures.GAP}journeys"
    assert figures.several(2, "way of it", "ways of it") == f"2{figures.GAP}ways of it"


def test_moments_say_their_time_zone():
    assert figures.moment(1_700_000_000_000_000) == "2023-11-14 22:13 UTC"
