"""A delivery service in a domain file, with rules of journeys to be changed by each test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from features.business.domain import Domain, load_domain

EVENT = {
    "description": "What happened.",
    "journey": "delivery",
    "stage": "use",
    "touchpoint": "internal",
    "signal": "passive",
}
EVENTS = {
    "ordered": {
        **EVENT,
        "step": "starts",
        "properties": {
            "order": {"type": "text", "remembered": False},
            "promised_at": {"type": "text", "remembered": False},
            "speed": {"type": "category", "values": ["normal", "fast"]},
            "weight": {"type": "number", "min": 0, "max": 30},
        },
    },
    "shipped": {**EVENT, "properties": {"weight": {"type": "text"}}},
    "delivered": {
        **EVENT,
        "properties": {"status": {"type": "category", "values": ["on_time", "late"]}},
    },
    "call": {**EVENT, "journey": "help"},
}
PROMISE = {"after": "ordered", "comes": "delivered", "within_days": 3}


@pytest.fixture
def delivery(tmp_path: Path) -> Callable[..., Domain]:
    """Read a domain whose kind ``delivery`` has these rules, and which has these other keys."""

    def read(rules: dict[str, Any] | None = None, **keys: Any) -> Domain:
        content = {
            "name": "courier",
            "currency": "eur",
            "channels": ["app", "phone"],
            "events": EVENTS,
            "journeys": {"delivery": rules or {}},
            **keys,
        }
        path = tmp_path / "domain.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return load_domain(path)

    return read
