"""Guardrails in words: nothing counted, no limit exceeded, one exceeded, the policy warned of."""

from __future__ import annotations

import pytest

from serving.guardrails.harm_test import HarmTest
from serving.guardrails.stored_tests import read_tests, write_tests
from serving.guardrails.views import view_guardrails
from tests.serving.guardrails.conftest import ARMS
from tests.serving.guardrails.made import harmful_test, with_harm


def seen(shop):
    view = shop.ledger.read(lambda c: view_guardrails(c, False, shop.catalog, shop.domain))
    assert view.stops == []
    return view.guardrails[0]


def test_without_harm_it_says_so(business):
    view = seen(business())
    assert (view.words, view.actions) == ("No harm was counted yet.", [])
    assert view.policy.stops_at == pytest.approx(50)


def test_evidence_below_the_threshold_is_told_as_such(business):
    shop = business()
    shop.ledger.write_now(
        lambda c: with_harm(c, shop.rules.rules[0], {"discount": harmful_test(1)})
    )
    view = seen(shop)
    # By hand: at a chance of one half, m times the harm has the likelihood ratio 2 m / (1 + m).
    ratios = (1.25, 1.5, 2, 3, 4, 6, 10)
    e_value = sum(2 * ratio / (1 + ratio) for ratio in ratios) / len(ratios)
    assert view.actions[0].e_value == pytest.approx(e_value)
    assert view.words == (
        "No action exceeds the limit: the most evidence is against discount, "
        f"{e_value:.3g} of the 150 that switch it off."
    )


def test_an_action_above_the_threshold_is_named(business):
    shop = business()
    tests = {"discount": harmful_test(30), "call_back": HarmTest()}
    shop.ledger.write_now(lambda c: with_harm(c, shop.rules.rules[0], tests))
    view = seen(shop)
    assert {one.action_id: one.exceeded for one in view.actions} == {
        "discount": True,
        "call_back": False,
    }
    assert view.words == "discount harms more than 1 times as often as the other actions."


def test_the_policy_is_named_where_its_arm_has_more_harm(business):
    shop = business(arms=ARMS)

    def harm(connection):
        rule = shop.rules.rules[0]
        tests = read_tests(connection, [rule])[rule.name]
        tests.arm = harmful_test(30)
        write_tests(connection, rule, tests, ())

    shop.ledger.write_now(harm)
    view = seen(shop)
    assert view.policy.exceeded
    assert "complaints is more frequent among customers of the policy" in view.words
