"""Texts, numbers and lists of a wording stay small while it is filled in."""

from __future__ import annotations

import pytest

from serving.catalog.template_bounds import (
    MAX_FILLED,
    MAX_LISTED,
    CostRefused,
    bounded,
    bounded_list,
)


def test_a_text_and_a_number_pass_up_to_their_bounds():
    assert bounded("x" * MAX_FILLED) and bounded(-(10**15)) and bounded(1e300)
    for large in ("x" * (MAX_FILLED + 1), 10**15 + 1):
        with pytest.raises(CostRefused, match="up to|at most"):
            bounded(large)


def test_a_list_counts_the_values_of_the_lists_within_it():
    half = [1] * (MAX_LISTED // 2 - 1)
    assert bounded_list([half, tuple(half)]) == [half, tuple(half)]
    for large in ([half, half, 1], [[half], [half, 1]], ["x" * MAX_FILLED, ["y"]]):
        with pytest.raises(CostRefused, match="at most 200 values in a list, of 10,000 characters"):
            bounded_list(large)
