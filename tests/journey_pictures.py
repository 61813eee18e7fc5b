"""Reads pictures of journeys, for their tests: the numbers, links and places that they show."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

from features.analytics.pictures.svg import SVG, XHTML
from features.analytics.views.lists import ListQuery, Number
from features.business.domain import Domain

HOSTILE = '<script>alert("x")</script>\u202e & ]]>'
# Three steps of a stage, another stage, and promises over them.
DOMAIN: dict[str, Any] = {
    "name": "desk",
    "currency": "eur",
    "channels": ["phone", "web"],
    "journeys": {
        "support": {
            "map": {"node": "name", "lanes": "none"},
            "lapse_days": 30,
            "expected": {
                "version": 1,
                "way": ["taken", "solved", "thanked"],
                "promises": {"quick": {"after": "taken", "comes": "solved", "within_days": 2}},
            },
        }
    },
    "events": {
        "activity": {
            "description": "A step of a ticket.",
            "journey": "support",
            "stage": "use",
            "touchpoint": "internal",
            "signal": "passive",
            "properties": {
                "name": {"type": "category", "values": ["waits", "taken", "solved", HOSTILE]}
            },
        },
        "thanked": {
            "description": "The customer says thanks.",
            "journey": "support",
            "stage": "advocacy",
            "step": "ends",
            "touchpoint": "internal",
            "signal": "direct",
        },
    },
}


def desk() -> Domain:
    """The domain of a small help desk."""
    return Domain.model_validate(DOMAIN)


def desk_log(customers: int = 6) -> list[tuple[Any, ...]]:
    """A log in which one in two waits twice, and one in three never thanks."""
    log: list[tuple[Any, ...]] = []
    for at in range(customers):
        names = ["taken", *(["waits", "waits"] if at % 2 else []), "solved"]
        names += [HOSTILE] if at == 2 else []
        for day, name in enumerate(names):
            log.append((f"c{at}", "activity", float(at + day), "web", {"name": name}))
        if at % 3:
            log.append((f"c{at}", "thanked", float(at + len(names)), "phone"))
    return log


def links_of(drawn: str) -> list[tuple[ListQuery, str]]:
    """Return the query and the accessible name of each link of a picture or a table."""
    found = []
    for one in ElementTree.fromstring(drawn).iter():
        if one.tag in (f"{{{SVG}}}a", f"{{{XHTML}}}a", "a"):
            query = ListQuery.model_validate(
                json.loads(unquote(one.attrib["href"].removeprefix("?list=")))
            )
            title = one.findtext(f"{{{SVG}}}title")
            found.append((query, title or one.attrib.get("aria-label", "")))
    return found


def numbers_of(value: Any) -> Iterator[Number]:
    """Yield all numbers of a view."""
    if isinstance(value, Number):
        yield value
    elif isinstance(value, tuple | list):
        for one in value:
            yield from numbers_of(one)
    elif isinstance(value, dict):
        yield from numbers_of(list(value.values()))
    elif hasattr(value, "__dataclass_fields__"):
        yield from numbers_of([getattr(value, name) for name in value.__dataclass_fields__])


def says(told: str, number: int) -> bool:
    """Tell whether a text has a number, written as in 16,768."""
    return f"{number:,}" in re.findall(r"\d[\d,]*", told)
