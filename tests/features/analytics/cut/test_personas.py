"""A persona is the first one whose condition holds, as of the start of each journey."""

from __future__ import annotations

import pytest

from features.analytics.cut.customer_facts import CustomerFacts
from features.analytics.cut.personas import Personas
from features.customers.attribute_history import EVER, AttributeVersion
from features.errors import InvalidCondition
from tests.features.analytics.views.small_shop import small_shop
from tests.journey_logs import at_us, journeys_of

ATTRIBUTES = {
    "plan": {"type": "category", "values": ["basic", "plus"]},
    "age_years": {"type": "number"},
}


def business(**personas):
    return small_shop(
        attributes=ATTRIBUTES, personas={name: {"when": text} for name, text in personas.items()}
    )


def test_the_first_condition_that_holds_decides():
    personas = Personas(business(young="age_years < 30", plus="plan == 'plus'"))
    asked = [{"plan": "plus", "age_years": "20"}, {"plan": "plus"}, {"age_years": "old"}, {}]
    assert [personas.persona(one, None) for one in asked] == ["young", "plus", "others", "others"]
    assert not personas.read_events


def test_the_persona_changes_with_the_attributes():
    facts = CustomerFacts(
        "acme", [AttributeVersion(EVER, {}), AttributeVersion(at_us(5), {"plan": "plus"})]
    )
    log = [("c", kind, day) for day in (1, 5, 9) for kind in ("asked", "solved")]
    with journeys_of(business(plus="plan == 'plus'"), log, facts={"c": facts}) as data:
        found = data.rows("SELECT persona, a_plan, account FROM journeys WHERE map = 1 ORDER BY 1")
    assert found == [("others", None, "acme"), *[("plus", "plus", "acme")] * 2]


def test_a_condition_may_name_features_which_count_the_first_event_of_the_journey():
    domain = business(regular="events_n >= 3")
    log = [("c", kind, day) for day in (1, 2, 3) for kind in ("asked", "solved")]
    with journeys_of(domain, log) as data:
        found = data.rows("SELECT persona FROM journeys WHERE map = 1 ORDER BY start_us")
    # The journeys begin with the events 1, 3 and 5; both events of a day are of one time.
    assert [one for (one,) in found] == ["others", "regular", "regular"]


def test_a_condition_that_names_nothing_known_is_refused():
    with pytest.raises(InvalidCondition):
        Personas(business(odd="horoscope == 'leo'"))
