"""Values that YAML reads otherwise than people mean are refused, and not taken silently."""

from __future__ import annotations

from datetime import date, time
from typing import Any

import pytest
from pydantic import Field

from features.business.yaml_file import Days, Frozen, load_yaml
from features.errors import InvalidDomain


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
def load(tmp_path):
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
def test_a_value_of_another_kind_than_meant_is_refused(load, text, said):
    with pytest.raises(InvalidDomain) as caught:
        load(text)
    assert said in str(caught.value)


def test_values_of_their_kind_are_read(load):
    text = "from: '21:00'\nday: 2026-03-01\ncost: 3\nopen: no\neither: yes\nnote: 'no'\n"
    read = load(f"{text}payload: {{a: no, b: [1.5, null, x]}}\n")
    assert (read.begin, read.day, read.cost) == (time(21), date(2026, 3, 1), 3.0)
    assert (read.open, read.either, read.note) == (False, True, "no")
    assert read.payload == {"a": False, "b": [1.5, None, "x"]}
