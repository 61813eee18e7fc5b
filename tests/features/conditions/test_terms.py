"""A term knows its depth and size, and the first one beyond the bounds is refused."""

from __future__ import annotations

import pytest

from features.conditions.terms import (
    MAX_DEPTH,
    MAX_SIZE,
    NO,
    YES,
    InvalidExpression,
    Term,
    balanced,
    operation,
)

A = Term("name", "truth", (), "a")


def test_depth_and_size_are_those_of_the_tree():
    both = operation("and", "truth", A, operation("not", "truth", A))
    assert (both.depth, both.size) == (2, 4)
    assert [part.op for part in both.parts()] == ["name", "name", "not", "and"]


def test_one_level_more_than_allowed_is_refused():
    deep = A
    for _ in range(MAX_DEPTH):
        deep = operation("not", "truth", deep)
    with pytest.raises(InvalidExpression, match="nests too deep"):
        operation("not", "truth", deep)


def test_a_tree_that_doubles_is_refused_before_it_is_large():
    doubled = A
    with pytest.raises(InvalidExpression, match="needs more than 1,000 operations"):
        for _ in range(MAX_DEPTH):
            doubled = operation("or", "truth", doubled, doubled)
    assert MAX_SIZE / 2 < doubled.size <= MAX_SIZE


def test_many_terms_are_joined_in_a_flat_tree():
    assert balanced("or", [A]) == A
    assert balanced("or", [A, NO, YES, A, NO]).depth == 3
