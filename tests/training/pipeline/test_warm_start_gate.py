"""Tests the gate of the warm start: a bandit that is certainly worse than rates is not promoted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from training.params import load_params
from training.pipeline.warm_start_data import ImportedDecisions
from training.pipeline.warm_start_gate import OF_LATER, warm_start_report

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
PARAMS = load_params().bandit
ACTIONS = ("call", "mail")
CATALOG = SimpleNamespace(priors=dict.fromkeys(ACTIONS, (0.5, 10.0)), groups_of={})
DOMAIN = SimpleNamespace(channels=("app",))
N = 1200


def log(truth: str, seed: int = 0, n: int = N) -> ImportedDecisions:
    """Six decisions of each customer on six days, all windows a day long.

    ``truth``: "clear" (accepted where a feature is positive), "noise", or "flipped" (clear, but the
    other way round from the fourth day on).
    """
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 3))
    day = np.sort(np.arange(n) % 6)
    chance = np.where(rows[:, 0] > 0, 0.9, 0.1) if truth != "noise" else np.full(n, 0.5)
    if truth == "flipped":
        chance = np.where(day > 3, 1 - chance, chance)
    return ImportedDecisions(
        rows,
        ("a", "b", "c"),
        (rng.random(n) < chance).astype(np.float64),
        [START + DAY * int(one) for one in day],
        ["app"] * n,
        [ACTIONS[index] for index in rng.integers(2, size=n)],
        [f"c{index % (n // 6)}" for index in range(n)],
        [START + DAY * (int(one) + 1) for one in day],
        np.full(n, 0.5),
        {"window_open": 2, "no_action": 0},
    )


def missed(metrics) -> list[str]:
    return [name for name, gate in PARAMS.gates.items() if gate.broken_by(metrics[name])]


def test_what_the_customers_tell_makes_the_log_loss_smaller():
    metrics, remarks = warm_start_report(log("clear"), DOMAIN, CATALOG, PARAMS)
    assert metrics["log_loss_of_rates"] == pytest.approx(np.log(2), abs=0.01)
    assert metrics["log_loss_over_rates_high"] < -0.1
    assert metrics["roc_auc"] > 0.85
    assert not missed(metrics)
    assert remarks == ("2 imported decisions are left out: 2 window open.",)


def test_a_bandit_that_later_decisions_contradict_is_not_promoted():
    metrics, _ = warm_start_report(log("flipped"), DOMAIN, CATALOG, PARAMS)
    assert metrics["log_loss_over_rates_low"] > 0
    assert missed(metrics) == ["log_loss_over_rates_low"]


def test_noise_is_predicted_nearly_as_well_as_by_rates():
    metrics, _ = warm_start_report(log("noise"), DOMAIN, CATALOG, PARAMS)
    assert metrics["log_loss_over_rates"] == pytest.approx(0, abs=0.05)


def test_the_metrics_are_those_of_predictions_by_what_was_known_then():
    """Later acceptances change the loss, but not the bandit that is judged, nor the rates."""
    first = log("clear")
    later = np.array([at > START + 3 * DAY for at in first.at])
    other = replace(first, acceptance=np.where(later, 1 - first.acceptance, first.acceptance))
    metrics, _ = warm_start_report(first, DOMAIN, CATALOG, PARAMS)
    turned, _ = warm_start_report(other, DOMAIN, CATALOG, PARAMS)
    assert turned["roc_auc"] == pytest.approx(1 - metrics["roc_auc"], abs=1e-12)
    # Days 0 to 2 had closed at 60 % of the log, in day 3; days 4 and 5 are judged.
    taken, y = np.array(other.actions), other.acceptance
    rates = {name: y[:600][taken[:600] == name].mean() for name in ACTIONS}
    p = np.array([rates[name] for name in taken[800:]])
    by_hand = -np.mean(np.log(np.where(y[800:] == 1, p, 1 - p)))
    assert turned["log_loss_of_rates"] == pytest.approx(by_hand, abs=1e-12)


def test_decisions_at_one_time_are_not_compared_and_a_sentence_says_so():
    found = log("clear")
    at_once = replace(found, at=[START] * N, ends_at=[START + DAY] * N, left_out={})
    metrics, remarks = warm_start_report(at_once, DOMAIN, CATALOG, PARAMS)
    assert not {*OF_LATER} & {*metrics}
    assert len(remarks) == 1 and "was not compared with the acceptance rates" in remarks[0]


def test_a_window_that_is_open_for_most_of_the_log_leaves_the_last_decisions_to_judge():
    found = log("clear")
    # At 60 % of the log no window has closed; at 75 % the first day's has.
    longer = replace(found, ends_at=[at + 4 * DAY for at in found.at])
    metrics, _ = warm_start_report(longer, DOMAIN, CATALOG, PARAMS)
    assert metrics["later_decisions"] == N / 6


@pytest.mark.parametrize(("few", "judged"), [(29, False), (30, True)])
def test_rates_of_a_few_earlier_decisions_are_no_standard(few, judged):
    """Windows of ``few`` customers' decisions have closed before the last 300 are made."""
    days = np.repeat([0.0, 3.0, 3.5], [few, N - 300 - few, 300])
    at = [START + DAY * day for day in days.tolist()]
    late = replace(
        log("clear"),
        at=at,
        ends_at=[one + DAY for one in at],
        customer_ids=[f"c{index}" for index in range(N)],
        left_out={},
    )
    metrics, remarks = warm_start_report(late, DOMAIN, CATALOG, PARAMS)
    assert (metrics.get("later_decisions") == 300) is (not remarks) is judged


def test_cut_weights_are_counted_and_told():
    probability = np.full(N, 0.5)
    probability[:7] = 0.01
    metrics, remarks = warm_start_report(
        replace(log("noise"), probability=probability, left_out={}), DOMAIN, CATALOG, PARAMS
    )
    assert metrics["weights_cut"] == 7
    assert remarks == (
        "7 decisions were logged with a probability below 0.05; their weights were cut to 20.",
    )


def test_the_interval_is_of_customers_not_of_decisions():
    """Repeated decisions of the same customers do not make the comparison surer."""
    found = log("noise")
    twice = replace(
        found,
        **{
            name: np.repeat(getattr(found, name), 2, axis=0)
            for name in ("rows", "acceptance", "probability")
        },
        **{
            name: [one for one in getattr(found, name) for _ in range(2)]
            for name in ("at", "channels", "actions", "customer_ids", "ends_at")
        },
    )
    metrics, _ = warm_start_report(twice, DOMAIN, CATALOG, PARAMS)
    width = metrics["log_loss_over_rates_high"] - metrics["log_loss_over_rates_low"]
    alone = replace(twice, customer_ids=[f"c{index}" for index in range(2 * N)])
    apart, _ = warm_start_report(alone, DOMAIN, CATALOG, PARAMS)
    assert apart["log_loss_over_rates"] == pytest.approx(metrics["log_loss_over_rates"])
    width_apart = apart["log_loss_over_rates_high"] - apart["log_loss_over_rates_low"]
    assert width > 1.2 * width_apart
