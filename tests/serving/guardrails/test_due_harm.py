"""The harm behind a mark: an event, or a silence at its end."""

from __future__ import annotations

from datetime import timedelta

from serving.guardrails.due_harm import harm_of, mark_again
from tests.serving.guardrails.conftest import COMPLAINTS, DAY, HOUR

LEAVING = {"leaving": {"counts": "leaving", "within_days": 10}}  # 20 days without an order


def due(shop, mark, now):
    return shop.ledger.read(lambda c: list(harm_of(c, mark, shop.rules, now)))


def test_an_event_is_harm_at_its_time_for_each_guardrail_that_counts_it(business):
    both = COMPLAINTS | {"more": COMPLAINTS["complaints"] | {"limit": 2.0}}
    shop = business(both)
    shop.event("complaint", "c1", at=shop.now - HOUR)
    [mark] = shop.rows("guardrail_marks")
    found = due(shop, mark, shop.now)
    assert [rule.name for rule, _ in found] == ["complaints", "more"]
    assert {(harm.at, harm.before) for _, harm in found} == {(shop.now - HOUR, shop.now - HOUR)}
    assert found[0][1].keys[0] == "c1"


def test_a_silence_is_harm_at_its_end_and_belongs_to_the_visit_before_it(business):
    shop = business(LEAVING)
    shop.event("order", "c1", amount_eur=1)
    ordered_at, [mark] = shop.now, shop.rows("guardrail_marks")
    end = ordered_at + 20 * DAY
    assert due(shop, mark, end - timedelta(microseconds=1)) == []
    [(rule, harm)] = due(shop, mark, end)
    assert (rule.name, harm.at) == ("leaving", end)
    assert harm.before == ordered_at + shop.rules.session


def test_a_customer_who_came_again_is_marked_again(business):
    shop = business(LEAVING)
    shop.event("order", "c1", amount_eur=1)
    [mark] = shop.rows("guardrail_marks")
    shop.passes(5 * DAY)
    shop.event("order", "c1", amount_eur=1)
    end = shop.now + 20 * DAY
    again = shop.ledger.read(lambda c: list(mark_again(c, mark, shop.rules, shop.now + 15 * DAY)))
    assert again == [{"kind": "silence", "key": "c1", "customer_id": "c1", "due_at": end}]
    assert shop.ledger.read(lambda c: list(mark_again(c, mark, shop.rules, end))) == []
