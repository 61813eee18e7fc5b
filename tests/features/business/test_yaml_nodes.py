"""Keys and values that JSON does not have are collected with their lines."""

from __future__ import annotations

import re

import pytest

from features.business.yaml_mistakes import Mistake
from features.business.yaml_nodes import YamlFile


@pytest.fixture
def read(tmp_path):
    def from_text(text):
        path = tmp_path / "x.yaml"
        path.write_text(text, encoding="utf-8")
        return YamlFile(path)

    return from_text


def test_values_are_read_with_their_lines(read):
    file = read("a: 1\nb:\n- x\n- {c: 2026-03-01,\n   d: no}\n")
    assert file.mistakes == []
    assert file.line(("b", 1, "d")) == 5
    assert file.line(("b", 1, "missing")) == 4
    assert file.written(("b", 1, "d")) == "no"
    assert file.read_as(("b", 1, "d")) == "true or false"
    assert (file.read_as(("b", 1, "c")), file.read_as(("a",))) == ("a date", "a number")
    assert file.written(("b", 0)) is None  # a text
    assert file.written(("b", 1, "missing")) is None


@pytest.mark.parametrize(
    ("text", "where", "expected"),
    [
        ("a: {x: !!binary aGVq}", ("a", "x"), "a text, a number, .*, not !!binary"),
        ("a: !!set {b, c}", ("a",), "a text, a number, .*, not !!set"),
        ("a: !!omap [b: 1]", ("a",), "a text, a number, .*, not !!omap"),
        ("a: !!pairs [b: 1]", ("a",), "a text, a number, .*, not !!pairs"),
        ("a: !!python/name:os.system x", ("a",), "a text, .*, not !!python/name:os.system"),
        ("a: !ours [b]", ("a",), "a text, a number, .*, not !ours"),
        ("a: 2017-02-30", ("a",), "a day of the calendar, such as 2026-03-01, .*"),
        ("a: !!int x", ("a",), "an integer"),
        (f"a: 1{':00' * 40}", ("a",), "a number of at most 100 characters"),
        (f"a: [0x{'f' * 400}]", ("a", 0), "a number of at most 100 characters"),
        ("a: {<<: 5}", ("a", "<<"), r"a mapping behind it, or a list of them, as in <<: \*usual"),
        ("<<: [{b: 1}, 2]", ("<<",), "a mapping behind it, .*"),
        ("1: x", ("1",), "a text as the key, not a number"),
        ("yes: x", ("yes",), "a text as the key, not true or false"),
        ("a: {null: x}", ("a", "null"), "a text as the key, not null"),
        ("2026-03-01: x", ("2026-03-01",), "a text as the key, not a date"),
        ('a: "x\\0y"', ("a",), "a text without it, not the character 0"),
    ],
)
def test_what_json_does_not_have_is_collected(read, text, where, expected):
    file = read(text)
    assert [one.where for one in file.mistakes] == [where]
    assert re.fullmatch(expected, file.mistakes[0].expected)


def test_two_less_than_signs_as_a_value_are_a_text(read):
    file = read("a: <<\nb: [<<]\n")
    assert (file.mistakes, file.content) == ([], {"a": "<<", "b": ["<<"]})


def test_a_key_that_stands_twice_is_collected_with_both_lines(read):
    file = read("a: {x: 1}\nb: 2\na: 3\n")
    assert file.mistakes == [
        Mistake(
            ("a",),
            "each key once",
            "Rename or delete one of the two.",
            happened="stands already in line 1",
            line=3,
        )
    ]
    assert file.content == {"a": {"x": 1}, "b": 2}


def test_a_merged_key_is_no_repetition(read):
    file = read("a: &a {x: 1}\nb: {<<: *a, x: 2}\n")
    assert (file.mistakes, file.content["b"]) == ([], {"x": 2})
    assert file.line(("b", "x")) == 2


def test_a_mistake_in_a_value_with_an_alias_is_collected_once(read):
    assert len(read("a: &a {x: !!binary aGVq}\nb: *a\nc: [*a, *a]\n").mistakes) == 1
