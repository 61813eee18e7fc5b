"""Tests the options of relations: what is read, what is told, and what is refused."""

from __future__ import annotations

import pytest

from features.analytics.views.drawn import DrawnAs
from features.analytics.views.options import read_options, told_options
from features.errors import InvalidRequest


def test_options_are_told_without_the_default_and_read_again() -> None:
    assert told_options(DrawnAs()) == {}
    told = told_options(DrawnAs(at_most=3, hidden=("cart",)))
    assert told == {"at_most": 3, "hidden": ["cart"]}
    assert read_options(DrawnAs, told) == DrawnAs(at_most=3, hidden=("cart",))


def test_an_unknown_option_is_refused() -> None:
    says = r"options.most is 3: .* Expected the options at_most, hidden, at_least. Send the query"
    with pytest.raises(InvalidRequest, match=says):
        read_options(DrawnAs, {"most": 3})
