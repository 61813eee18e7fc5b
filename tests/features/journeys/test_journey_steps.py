from __future__ import annotations

import pytest

from features.business.domain import Domain
from features.journeys import journey_steps
from features.journeys.journey_steps import StepEffect, StepRules, case_text

WAYS = {"stage": "use", "touchpoint": "internal", "signal": "direct"}
TICKET = {
    "ticket": {"type": "text", "remembered": False},
    "status": {"type": "category", "values": ["open", "solved"]},
    "hours": {"type": "number"},
}
ASKED = {"channel_of": {"type": "text", "remembered": False}}


def desk(**help_kind: object) -> Domain:
    return Domain.model_validate(
        {
            "name": "desk",
            "currency": "eur",
            "channels": ["phone", "mail"],
            "journeys": {"help": help_kind},
            "events": {
                "told": {"description": "Told", "journey": "help", "properties": TICKET, **WAYS},
                "asked": {
                    "description": "Asked",
                    "journey": "help",
                    "step": "starts",
                    "properties": ASKED,
                    **WAYS,
                },
                "closed": {"description": "Closed", "journey": "help", "step": "ends", **WAYS},
                "gone": {"description": "Gone", "journey": "life", **WAYS},
            },
            "churn": {"event": "gone", "when": "happens"},
        }
    )


def test_a_step_without_rules_has_the_effect_of_its_type() -> None:
    rules = StepRules(desk())

    assert rules.effect("told", "mail", {}) == StepEffect("help", "moves", None, False)
    assert rules.effect("asked", "mail", {}) == StepEffect("help", "starts", None, False)
    assert rules.effect("closed", "phone", {}) == StepEffect("help", "ends", None, False)


def test_the_leaving_event_leaves() -> None:
    assert StepRules(desk()).effect("gone", "mail", {}) == StepEffect("life", "moves", None, True)


def test_an_event_of_an_unknown_type_or_channel_has_no_effect() -> None:
    rules = StepRules(desk())

    assert rules.effect("bought", "mail", {}) is None
    assert rules.effect("told", "fax", {}) is None


@pytest.mark.parametrize(
    ("condition", "event_type", "channel", "properties", "step"),
    [
        ("status == 'solved'", "told", "mail", {"status": "solved"}, "ends"),
        ("status == 'solved'", "told", "mail", {"status": "open"}, "moves"),
        ("status == 'solved'", "told", "mail", {}, "moves"),
        ("status == 'solved'", "asked", "mail", {}, "starts"),  # it has no status
        ("status == null", "told", "mail", {}, "ends"),
        ("status != 'open'", "told", "mail", {"status": "open"}, "moves"),
        ("status != 'open'", "asked", "mail", {}, "starts"),
        ("status != 'open' or channel_of != null", "asked", "mail", {}, "ends"),
        ("hours > 2 and channel == 'mail'", "told", "mail", {"hours": 3.0}, "ends"),
        ("hours > 2 and channel == 'mail'", "told", "phone", {"hours": 3.0}, "moves"),
        ("type == 'asked'", "asked", "mail", {}, "ends"),
        ("type == 'asked'", "told", "mail", {}, "moves"),
        ("type == 'asked'", "closed", "mail", {}, "ends"),
    ],
)
def test_an_event_of_which_the_condition_is_true_ends(
    condition: str, event_type: str, channel: str, properties: dict[str, object], step: str
) -> None:
    rules = StepRules(desk(ends_when=condition))

    for _ in range(2):  # the second answer is a remembered one
        effect = rules.effect(event_type, channel, properties)
        assert effect is not None and effect.step == step


def test_more_answers_than_are_remembered_stay_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journey_steps, "REMEMBERED_ANSWERS", 3)
    rules = StepRules(desk(ends_when="hours >= 5"))

    found = [rules.effect("told", "mail", {"hours": float(hours % 10)}) for hours in range(40)]

    ends = [effect is not None and effect.step == "ends" for effect in found]
    assert ends == [hours % 10 >= 5 for hours in range(40)]


def test_the_case_of_an_event_is_the_value_of_the_property() -> None:
    rules = StepRules(desk(case="ticket"))

    cases = [
        rules.effect("told", "mail", {"ticket": "t-1"}),
        rules.effect("told", "mail", {}),
        rules.effect("asked", "mail", {}),
    ]
    assert [effect and effect.case for effect in cases] == ["t-1", None, None]


@pytest.mark.parametrize(
    ("value", "text"),
    [("t-1", "t-1"), (7.0, "7"), (7, "7"), (0.1, "0.1"), (-0.0, "0"), ("", None), (None, None)],
)
def test_equal_values_are_one_case(value: object, text: str | None) -> None:
    assert case_text(value) == text
