"""The bench of off-policy intervals judges each estimator by how often it holds the truth."""

from __future__ import annotations

import pytest

from tests.bench.off_policy import JUDGED, IntervalResult, coverage_verdicts, world_results

HELD, MISSED = (IntervalResult(0.0, held, False, 1.0, 1.0, False) for held in (True, False))


@pytest.mark.parametrize(
    ("held", "passes"), [(92, False), (93, True), (97, True), (98, False)], ids=str
)
def test_an_interval_of_95_percent_must_hold_the_truth_in_93_to_97_of_100_worlds(held, passes):
    worlds = [("money", HELD)] * held + [("money", MISSED)] * (100 - held)
    unsupported = [("money", None)] * 50
    [(sentence, passed)] = coverage_verdicts({("ips", JUDGED[0]): worlds + unsupported})
    assert passed == passes
    assert f"ips, skewness: {held}.0% covered" in sentence


def test_an_interval_that_is_not_the_default_is_not_judged():
    assert not list(coverage_verdicts({("ips", "bernstein"): [("money", HELD)]}))


def test_every_estimator_of_a_world_is_judged_for_its_value_and_its_gain():
    found = world_results(0, intervals=("skewness",), refits=0)
    judged = {(method, interval) for method, interval, _, _ in found if interval in JUDGED}
    assert len(judged) == 15  # five estimators, of a value and of two differences
