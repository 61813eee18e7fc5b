"""Tests the three parts of an error sentence, and the length of what it quotes."""

from __future__ import annotations

import pytest

from features import errors
from features.errors import MAX_SHOWN, InvalidEvent, InvalidSetting, NbaError, quoted, truncated


def test_an_error_says_what_happened_what_was_expected_and_what_to_do():
    error = InvalidSetting("port is 0.", expected="1 to 65535", remedy="Correct it.")
    assert str(error) == "port is 0. Expected 1 to 65535. Correct it."


def test_an_error_of_an_event_names_its_field():
    error = InvalidEvent("properties.score", "properties.score is 11.")
    assert (error.field, str(error)) == ("properties.score", "properties.score is 11.")


@pytest.mark.parametrize("length", [0, MAX_SHOWN, MAX_SHOWN + 1, 10**6])
def test_a_value_is_quoted_with_80_characters_at_most(length):
    assert len(truncated("x" * length)) == min(length, MAX_SHOWN)
    assert len(quoted("x" * length)) <= MAX_SHOWN


def test_the_tree_of_errors_in_the_module_docstring_names_every_class_under_its_parent():
    lines = [line for line in errors.__doc__.splitlines() if " x " in line or "* " in line]
    depth, parents = {0: NbaError}, {}
    for line in lines[1:]:
        level, name = line.index("x") // 2, line.split()[1]
        parents[name], depth[level] = depth[level - 1], getattr(errors, name, None)
    ours = {
        name: one
        for name, one in vars(errors).items()
        if isinstance(one, type) and issubclass(one, NbaError) and one is not NbaError
    }
    assert set(ours) == {name for name in parents if name != "RegistryDown"}
    for name, one in ours.items():
        assert one.__bases__ == (parents[name],), name
