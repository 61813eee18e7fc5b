"""Journeys and steps get their numbers in the order in which they come."""

from __future__ import annotations

from features.analytics.cut.journey_log import GONE, NEVER, OPEN, JourneyLog, StepLabel, StepLabels
from features.analytics.tables import HOWS


def test_equal_labels_have_one_number_and_the_columns_their_parts():
    labels, one, other = StepLabels(), StepLabel(0, 5, 1, 0, 2), StepLabel(0, 6, 1, 0, 2)
    assert [labels.number(label) for label in (one, other, one)] == [0, 1, 0]
    assert labels.columns()["node"].tolist() == [5, 6]
    assert StepLabels().columns()["map"].tolist() == []


def test_a_log_tells_where_each_customer_begins():
    log = JourneyLog()
    log.begin_customer("a", "acme")
    first = log.open(2, 10, "case")
    log.add_step(first, 10, 0)
    log.events += 1
    log.begin_customer("b")
    second = log.open(1, 20)
    log.close(second, GONE, 25)
    assert (first, second) == (0, 1)
    assert (log.customers, log.accounts) == (["a", "b"], ["acme", None])
    assert (log.first_journey.tolist(), log.first_event.tolist()) == ([0, 1], [0, 1])
    assert (log.customer.tolist(), log.events_before.tolist()) == ([0, 1], [0, 1])
    assert (log.how.tolist(), log.end_us.tolist()) == ([OPEN, GONE], [NEVER, 25])
    assert [HOWS[how] for how in log.how] == ["open", "left"]
