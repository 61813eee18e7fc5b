"""Answers of /v1/lift and /v1/guardrails with made-up numbers, in the form of the contract."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from serving.contract.guardrails import GuardrailsView
from serving.contract.lift import LiftView

DAYS = [
    {
        "day": (date(2026, 3, 1) + timedelta(days=number)).isoformat(),
        "value": -1.5 - 0.02 * number,
        "low": -1.5 - 40 / (number + 5),
        "high": -1.5 + 40 / (number + 5),
    }
    for number in range(40)
]


def difference(value: float, half: float, planned: float) -> dict[str, float]:
    return {
        "value": value,
        "low": value - half,
        "high": value + half,
        "planned_low": value - planned,
        "planned_high": value + planned,
        "smallest": 1.6 * half,
        "planned_smallest": 1.4 * planned,
    }


def pair(arm: str, against: str, value: float, days: list[Any]) -> dict[str, Any]:
    return {
        "arm": arm,
        "against": against,
        "lift": difference(value, 1.25, 0.75),
        "left": difference(0.031, 0.0225, 0.0125),
        "relative": value / 20,
        "relative_low": (value - 1.25) / 20,
        "relative_high": (value + 1.25) / 20,
        "explained": 0.2,
        "informative": 120,
        "verdict": f"Of {arm} and {against} this is said.",
        "days": days,
    }


def arm(name: str, share: float, customers: int, value: float) -> dict[str, Any]:
    about = {"arm": name, "share": share, "customers": customers, "value": value}
    return about | {"margin": value + 3, "cost": 1.0, "lost": 2.0, "left": 0.041}


def credited() -> dict[str, Any]:
    of_arm = {"customers": 900, "decisions": 8000}
    of_arm |= {"reward_per_customer": 12.5, "reward_per_decision": 1.4}
    return {
        "currency": "eur",
        "policy": of_arm,
        "random": {**of_arm, "customers": 20},
        "in_both": 0,
        "open": 3,
        "lift": 7.47,
        "low": 5.92,
        "high": 8.9,
        "welch_low": 5.9,
        "welch_high": 8.8,
        "relative": 0.4,
        "relative_low": 0.3,
        "relative_high": 0.5,
        "per_decision": 0.2,
        "sample_ratio": {
            "expected_random": 0.02,
            "found_random": 0.02,
            "p_value": 0.7,
            "trusted": True,
        },
        "verdict": "Credited outcomes are more.",
        "remarks": ["3 decisions are open."],
        "days": [],
        "forgotten_actions": [],
    }


def lift_view(**other: Any) -> dict[str, Any]:
    """An answer in which the policy loses against nobody; ``other`` replaces fields."""
    found = {
        "currency": "eur",
        "objective": "Margin of all events that measure spend, less costs.",
        "horizon_days": 28,
        "arms": [
            *(arm("policy", 0.5, 1000, 18.5), arm("random", 0.25, 500, 17.9)),
            arm("nobody", 0.25, 500, 20.25),
        ],
        "pairs": [
            *(pair("policy", "nobody", -1.75, DAYS), pair("policy", "random", 0.5, DAYS)),
            {**pair("random", "nobody", 0.0, []), "lift": None, "verdict": "Not enough yet here."},
        ],
        "sample_ratio": {
            "expected": {"policy": 0.5, "random": 0.25, "nobody": 0.25},
            "found": {"policy": 0.5, "random": 0.25, "nobody": 0.25},
            "p_value": 0.83,
            "trusted": True,
        },
        "merged_across_arms": 2,
        "verdict": "The policy loses 1.75 EUR for each customer.",
        "remarks": ["2 customers have keys of several arms."],
        "credited": credited(),
    }
    return LiftView.model_validate(found | other).model_dump(mode="json")


HARM = {
    "action_id": "loud_mail",
    "harmed": 61,
    "after": 40,
    "expected": 20.5,
    "rate_ratio": 3.1,
    "e_value": 512.0,
    "stops_at": 400.0,
    "exceeded": True,
}
FINE = {**HARM, "action_id": "quiet_mail", "e_value": 0.3, "rate_ratio": None, "exceeded": False}


def guardrails_view(stopped: bool) -> dict[str, Any]:
    """An answer with one guardrail, which has switched off an action or not."""
    stop = {"guardrail": "unsubscribes", "action_id": "loud_mail", "test": HARM}
    stop |= {"stopped_at": "2026-03-20T10:00:00Z", "lifted_at": None, "lifted_by": None}
    guardrail = {
        "name": "unsubscribes",
        "description": "Who wants no more mail.",
        "counts": "unsubscribed",
        "at_most": None,
        "within_days": 7,
        "limit": 1,
        "against": "nobody",
        "level": 0.02,
        "since": "2026-03-01T00:00:00Z",
        "policy": None,
        "actions": [HARM, FINE],
        "words": "loud_mail does too much harm.",
    }
    found = {"guardrails": [guardrail], "stops": [stop] if stopped else []}
    return GuardrailsView.model_validate(found).model_dump(mode="json")
