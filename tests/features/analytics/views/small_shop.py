"""A small business with two kinds of journeys, for the tests of views."""

from __future__ import annotations

from typing import Any

from features.business.domain import Domain


def event(journey: str, stage: str, step: str = "moves", **more: Any) -> dict[str, Any]:
    """Return a type of event as the domain file has it."""
    return {
        "description": "It happened.",
        "journey": journey,
        "stage": stage,
        "step": step,
        "touchpoint": "internal",
        "signal": "direct",
        **more,
    }


def small_shop(**changes: Any) -> Domain:
    """Return a domain: journeys ``buying`` (lapse after 30 days) and ``help``, and leaving.

    A page is named by its property, if it has one; `page` is therefore not one node.
    """
    page = {"name": {"type": "category", "values": ["home", "offer"]}}
    content: dict[str, Any] = {
        "name": "small",
        "currency": "eur",
        "channels": ["app", "phone"],
        "events": {
            "page": event("buying", "interest", properties=page),
            "cart": event("buying", "consideration"),
            "coupon": event("buying", "consideration"),
            "paid": event("buying", "action"),
            "done": event("buying", "use", "ends"),
            "asked": event("help", "use"),
            "solved": event("help", "use", "ends"),
            "gone": event("leaving", "use", "ends"),
        },
        "journeys": {
            "buying": {"lapse_days": 30, "map": {"node": "name"}},
            "help": {"lapse_days": 10},
        },
        "half_lives_days": [7],
        "churn": {"event": "gone", "when": "happens"},
    }
    return Domain.model_validate(content | changes)
