"""A YAML file may cost little before it is refused: aliases, nesting and size are bounded."""

from __future__ import annotations

import pytest

from features.business.domain import load_domain
from features.business.yaml_bounds import MAX_BYTES, MAX_DEPTH, MAX_VALUES, check_bounds
from features.business.yaml_nodes import YamlFile
from features.errors import InvalidDomain
from tests.effort import MOST_CALLS, calls_of

BOMB = "a: &x0 [lol]\n" + "".join(
    f"a{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]\n" for n in range(1, 40)
)
MERGES = "a: &x0 {a: 1, b: 2}\n" + "".join(
    f"a{n}: &x{n} {{<<: [{', '.join([f'*x{n - 1}'] * 10)}]}}\n" for n in range(1, 40)
)

LONG = f"a: &a '{'x' * 700_000}'\n" + "".join(f"a{n}: *a\n" for n in range(1000))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, r"line 7: that line makes the file stand for too many values\. Expected at most 25"),
        (MERGES, r"line 6: that line makes the file stand for too many values\. Expected at most"),
        (LONG, r"line 18: that line makes the file stand for too many values\. .* 50 characters"),
        ("name: 1" + ":00" * 4_000, r"line 1: name is .*\. Expected a number of at most 100 char"),
        ("name: x\nb: " + "[" * 60 + "]" * 60, r"line 2: that line nests too deep\. Expected at"),
        ("name: x\nb:\n" + "[" * 100_000, r"line 3: the text cannot be read as YAML"),
        ("name: x\nb: " + "{a: " * 5_000, r"line 2: that line nests too deep\. Expected at most"),
        ("\n".join("  " * n + "a:" for n in range(500)), rf"line {MAX_DEPTH + 1}: that line nests"),
        ("#" * (MAX_BYTES + 1), r"has 5,000,001 bytes\. Expected at most 5,000,000\. Check the p"),
    ],
    ids=[
        "aliases",
        "merges",
        "long",
        "number",
        "brackets",
        "many brackets",
        "braces",
        "indentation",
        "size",
    ],
)
def test_what_would_cost_too_much_is_refused_at_once_with_its_line(tmp_path, text, said):
    path = tmp_path / "domain.yaml"
    path.write_text(text, encoding="utf-8")

    def refused() -> None:
        with pytest.raises(InvalidDomain, match=rf"domain\.yaml.*{said}"):
            load_domain(path)

    assert calls_of(refused) < MOST_CALLS


def test_an_alias_counts_as_what_it_stands_for(tmp_path):
    path = tmp_path / "x.yaml"
    most = (MAX_VALUES - 5) // 1000  # values: 3 keys, 2 outer lists, the inner one each time
    item = "a: &a [" + ", ".join(["1"] * 998) + "]\n"
    check_bounds(path, f"{item}b: [{', '.join(['*a'] * (most - 2))}]\n")
    with pytest.raises(InvalidDomain, match=r"x\.yaml, line 2: .* an alias counting as what it s"):
        check_bounds(path, f"{item}b: [{', '.join(['*a'] * (most + 2))}]\n")


def test_anchors_aliases_and_merged_keys_may_be_used(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("low: &low {a: 1, b: 2}\nhigh: {<<: *low, b: 3}\nagain: *low\n")
    content = YamlFile(path).content
    assert content == {"low": {"a": 1, "b": 2}, "high": {"a": 1, "b": 3}, "again": {"a": 1, "b": 2}}


def test_an_anchor_that_stands_twice_is_refused_with_its_line(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: &low 1\nb: {c: &low 2}\n")
    with pytest.raises(
        InvalidDomain, match=r"x\.yaml, line 2: &low names a second value\. .* once"
    ):
        YamlFile(path)
    path.write_text("a: &low [1, &low 2]\n")
    with pytest.raises(InvalidDomain, match=r"x\.yaml, line 1: &low names a second value\."):
        YamlFile(path)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "there is no such file"),
        (lambda path: path.mkdir(), "it is a folder"),
    ],
)
def test_a_file_that_cannot_be_opened_is_named_with_the_reason(tmp_path, make, said):
    make(tmp_path / "x.yaml")
    with pytest.raises(InvalidDomain, match=rf"x\.yaml cannot be read: {said}\. .*Check the path"):
        load_domain(tmp_path / "x.yaml")
