"""The bench of the arms, with few customers; and what it says of arms that are wrong."""

from __future__ import annotations

import pytest

from features.business.catalog_rules import Arms
from tests.bench import arms


@pytest.mark.parametrize("kind", arms.IDS)
def test_each_id_is_in_one_arm_and_the_shares_are_near_those_planned(kind):
    counts, digest = arms.count_arms(kind, 20_000)
    assert sum(counts.values()) == 20_000
    assert max(map(abs, arms.errors_off(counts, 20_000).values())) <= 3
    assert arms.count_arms(kind, 20_000).digest == digest


def test_the_errors_are_those_of_a_share():
    off = arms.errors_off({"policy": 9_600, "random": 242, "nobody": 158}, 10_000)
    assert off["policy"] == pytest.approx(0)
    assert [off["random"], off["nobody"]] == pytest.approx([3, -3])  # of 200, give or take 14


def test_the_arm_of_a_merged_customer_is_that_of_the_id_that_stayed(ledger):
    merged = arms.merge(ledger, 60, Arms(random=0.3, nobody=0.3))
    assert (merged.pairs, merged.astray) == (60, 0)
    assert abs(merged.across - 60 * (1 - 0.4**2 - 0.3**2 - 0.3**2)) < 4 * 60**0.5 / 2
