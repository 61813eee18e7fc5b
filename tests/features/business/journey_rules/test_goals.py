"""Goals say a figure, from where to where, and until when."""

from datetime import date

import pytest
from pydantic import ValidationError

from features.business.journey_rules.goals import Goal, GoalScope, Persona

WRITTEN = {"measure": "churn", "from": 0.061, "to": 0.05, "by": "2027-03-31"}


def test_a_goal_is_read_as_written():
    goal = Goal(**WRITTEN, guard=["ces", "cost_per_contact"], of={"persona": "planners"})
    assert (goal.start, goal.target, goal.by) == (0.061, 0.05, date(2027, 3, 31))
    assert goal.of == GoalScope(persona="planners", journey=None)
    assert goal.guard == ("ces", "cost_per_contact")
    assert Goal(**WRITTEN).of == GoalScope(), "the figure of all customers"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"to": 0.061}, "to: another number than 'from'"),
        ({"guard": ["nps", "churn"]}, "guard: other figures than churn"),
        ({"measure": "happiness"}, "Input should be"),
        ({"to": float("nan")}, "finite number"),
        ({"by": None}, "valid date"),
        ({"til": 3}, "Extra inputs"),
    ],
)
def test_a_goal_that_cannot_be_judged_is_refused(change, said):
    with pytest.raises(ValidationError, match=said):
        Goal(**{**WRITTEN, **change})


def test_a_persona_has_a_condition():
    assert Persona(when="age > 3", words="Grown up").words == "Grown up"
    with pytest.raises(ValidationError):
        Persona(when="")
