"""No sentence of pydantic reaches a user, whatever its error is."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from datetime import date, time
from random import Random
from typing import Any, Literal

import pytest
import yaml
from pydantic import AwareDatetime, Field, ValidationError
from pydantic_core import PydanticCustomError, _pydantic_core

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.business.vocabulary import VOCABULARY
from features.business.yaml_file import Days, Frozen, Name, load_yaml, refused_by
from features.business.yaml_mistakes import STAND_IN
from features.business.yaml_nodes import YamlFile
from features.errors import InvalidDomain
from training.params import TrainingParams

# All kinds of error that pydantic has, with its sentence for each.
KINDS = {one["type"]: one for one in _pydantic_core.list_all_errors()}
OURS = ("value_error", "assertion_error")  # their sentences are those of our own rules


class Shelf(Frozen):
    width: int
    kind: Literal["low", "high"] = "low"
    opened: AwareDatetime | None = None
    books: Literal["all"] | tuple[Name, ...] = ()


class House(Frozen):
    name: Name
    shelves: dict[Name, Shelf] = {}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "house.yaml"
    path.write_text("name: x\nshelves: {low: {width: 3}}\n", encoding="utf-8")
    return YamlFile(path)


PLACES = ((), ("name",), ("shelves", "low", "width"), ("shelves", "low", "x"), ("books", "x"))


@pytest.mark.parametrize("kind", sorted(set(KINDS) - set(OURS)))
def test_every_kind_of_error_becomes_a_sentence_of_ours(file, kind):
    context = KINDS[kind].get("example_context") or {}
    for place in PLACES:
        detail = {"type": kind, "loc": place, "input": 3, "ctx": context}
        raised = ValidationError.from_exception_data("x", [detail])
        (refused,) = refused_by(House, file, raised)
        said = f"{refused.mistake.expected} {refused.mistake.remedy}".casefold()
        assert raised.errors()[0]["msg"].casefold() not in said
        assert "input should" not in said
        assert len(said) > 5


def test_a_kind_of_error_that_is_new_is_a_sentence_of_ours(file):
    error = PydanticCustomError("of_a_later_version", "Input is {odd}", {"odd": "not our words"})
    raised = ValidationError.from_exception_data("x", [{"type": error, "loc": ("name",)}])
    (refused,) = refused_by(House, file, raised)
    assert refused.mistake.expected == (
        "a name of small letters, digits and _, a letter first, at most 60 characters"
    )


VALUES: tuple[Any, ...] = (
    *("[]", "{}", "[[]]", "{a: {}}", "x", "A b", "''", "-1", "1e400", "0.5", "99999999999999999"),
    *("yes", "null", "2026-03-01", "2026-03-01T00:00:00", "[1, yes]", "{a: 1, b: x}", ".inf"),
)
THEIRS = ("input", "should", "valid ", "field required", "permitted", "unable", "pydantic", "yaml.")


@pytest.mark.parametrize("model", [Domain, Catalog, TrainingParams])
@pytest.mark.parametrize("value", VALUES)
def test_no_value_of_any_key_is_refused_in_the_words_of_a_library(tmp_path, model, value):
    path = tmp_path / "x.yaml"
    keys = [field.alias or name for name, field in model.model_fields.items()]
    for nested in ("{}", "{{k: {}}}", "{{k: {{{}}}}}"):
        if nested.count("{") == 4:
            inner = "value: 1, type: x, kind: 3, events: [], properties: {p: 1}, start: 3"
            text = "\n".join(f"{key}: {nested.format(inner)}" for key in keys)
        else:
            text = "\n".join(f"{key}: {nested.format(value)}" for key in keys)
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InvalidDomain) as caught:
            load_yaml(path, model)
        said = str(caught.value).replace(str(path), "x").casefold()
        assert not [words for words in THEIRS if words in said], said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "name: x\nshelfs: {}",
            "shelfs is {}. Expected one of the keys name, shelves. Did you",
        ),
        ("name: x\nshelves: {a: {widht: 3}}", "shelves.a.widht is 3. Expected one of the keys w"),
        (
            "name: x\nshelves: {A: {width: 3}}",
            "shelves.A is {'width': 3}. Expected a name of sma",
        ),
        (
            "name: x\nshelves: {a: 3}",
            "shelves.a is 3. Expected a mapping with keys of width,",
        ),
        ("name: x\nshelves: [a]", "shelves is ['a']. Expected a mapping."),
        ("name: x\nshelves: {a: {}}", "shelves.a.width is missing. Expected an integer."),
        ("name: x\nshelves: {a: {width: 3, kind: hihg}}", "Did you mean 'high'?"),
        ("name: x\nshelves: {a: {width: 3, books: al}}", "Expected 'all', or a list."),
        (
            "name: x\nshelves: {a: {width: 3, books: [B]}}",
            "shelves.a.books.0 is 'B'. Expected a n",
        ),
        (
            "name: x\nshelves: {a: {width: 3, opened: 2026-01-01}}",
            "a time with a timezone",
        ),
    ],
)
def test_a_mistake_is_told_with_what_is_allowed_and_what_is_near(tmp_path, text, said):
    path = tmp_path / "house.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidDomain) as caught:
        load_yaml(path, House)
    assert said in str(caught.value)
    assert str(caught.value).count("Expected") == 1


class Opening(Frozen):
    begin: time | None = Field(None, alias="from")
    day: date | None = None
    cost: float = 0
    often: int = 1
    days: tuple[Days, ...] = ()
    note: str = ""
    open: bool = True
    either: bool | float = 1.0
    payload: dict[str, Any] = {}


@pytest.fixture
def opening(tmp_path):
    def from_text(text):
        path = tmp_path / "x.yaml"
        path.write_text(text, encoding="utf-8")
        return load_yaml(path, Opening)

    return from_text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cost: no", "cost is no. Expected a finite number. YAML reads it as true or false."),
        ("often: on", "often is on. Expected an integer. YAML reads it as true or false."),
        ("days: [1, yes]", "days.1 is yes. Expected a finite number greater than 0 and less than"),
        ("from: 21:00", "from is 1260. Expected a time of the day in quotes, such as '21:00'."),
        (
            "day: 20260301",
            "day is 20260301. Expected a day such as 2026-03-01. YAML reads it as a ",
        ),
        ("cost: .nan", "cost is nan. Expected a finite number. YAML reads it as a number."),
        ("either: .inf", "either is inf. Expected true or false, or a finite number."),
        ("payload: {a: [.inf]}", "payload.a.0 is inf. Expected a finite number."),
        (
            "payload: {a: {until: 2026-03-01}}",
            "payload.a.until is 2026-03-01. Expected a text, a number, true, false,",
        ),
        ("note: no", 'if it is a text, put it in quotes: "no".'),
        ("note: 2026-03-01", 'it as a date; if it is a text, put it in quotes: "2026-03-01".'),
        ("note: 7", 'YAML reads it as a number; if it is a text, put it in quotes: "7".'),
        ("note:", "note is empty. Expected a text. YAML reads it as null; if it is a text, put"),
    ],
)
def test_a_value_of_another_kind_than_meant_is_refused(opening, text, said):
    with pytest.raises(InvalidDomain) as caught:
        opening(text)
    assert said in str(caught.value)


def test_values_of_their_kind_are_read(opening):
    text = "from: '21:00'\nday: 2026-03-01\ncost: 3\nopen: no\neither: yes\nnote: 'no'\n"
    read = opening(f"{text}payload: {{a: no, b: [1.5, null, x]}}\n")
    assert (read.begin, read.day, read.cost) == (time(21), date(2026, 3, 1), 3.0)
    assert (read.open, read.either, read.note) == (False, True, "no")
    assert read.payload == {"a": False, "b": [1.5, None, "x"]}


ODD: tuple[Any, ...] = (
    *(None, True, -1, float("nan"), 10**30, "", "A b", [], {}, [None], {"a": {"b": [1]}}, {1: 2}),
    *(date(2026, 1, 1), b"x", {"x"}, "{{ x", "churn >", "\U0001f642", "x" * 5000, [1, "a", None]),
)


def places_in(content: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    parts = content.items() if isinstance(content, dict) else enumerate(content)
    for part, inner in parts:
        yield (*where, part)
        if isinstance(inner, dict | list):
            yield from places_in(inner, (*where, part))


@pytest.mark.parametrize(
    ("source", "model"),
    [("grocery.yaml", Domain), ("world.yaml", Domain), ("grocery.actions.yaml", Catalog)],
)
def test_a_file_with_odd_values_anywhere_is_read_or_refused_in_our_words(tmp_path, source, model):
    draw, path = Random(7), tmp_path / "x.yaml"
    whole = yaml.safe_load((VOCABULARY.parent / source).read_text(encoding="utf-8"))
    refused = 0
    for _ in range(60):
        content = deepcopy(whole)
        for _ in range(draw.choice([1, 1, 3])):
            *above, last = draw.choice(list(places_in(content)))
            around = content
            for part in above:
                around = around[part]
            if draw.random() < 0.6:
                around[last] = deepcopy(draw.choice(ODD))
            elif isinstance(around, dict) and draw.random() < 0.5:
                around[f"{last}x"] = around.pop(last)
            else:
                del around[last]
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        try:
            load_yaml(path, model)
        except InvalidDomain as error:
            refused += 1
            said = str(error).replace(str(path), "x")
            assert not [words for words in THEIRS if words in said.casefold()], said
            assert all(line.startswith("x, line ") for line in said.splitlines()[:-1]), said
            assert STAND_IN not in said
    assert refused > 30
