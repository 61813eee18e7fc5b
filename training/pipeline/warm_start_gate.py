"""Evaluates the training on imported decisions: predictions for later ones, and how sure that is.

The bandit is compared with the acceptance rate of each action, which a bandit without context would
predict. The comparison is paired, and has an interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.intervals import LEVEL
from training.arrays import Floats, Indices
from training.evaluation.intervals import RatioEstimate, skewness_interval
from training.models.metrics import roc_auc
from training.params import BanditParams
from training.pipeline.warm_start import encoder_of, warm_start
from training.pipeline.warm_start_data import IMPORTED_WEIGHT_MAX, ImportedDecisions

# Shares of the decisions, the earliest, after which the others are judged. The first one with
# enough decisions on both sides is taken: a window may be open for most of the log.
TRAINING_SHARES = (0.6, 0.75, 0.9)
# With earlier and with later decisions: of fewer, a mean is not near a normal distribution, and
# rates that a handful of decisions tell are no standard.
LEAST_CUSTOMERS = 30
# Expected acceptances are means and may be 0; the log loss needs probabilities that are not.
LEAST_PROBABILITY = 0.001
# Metrics that are only there where enough later decisions are: their gates are then not checked.
OF_LATER = (
    *("later_decisions", "roc_auc", "log_loss", "log_loss_of_rates"),
    *("log_loss_over_rates", "log_loss_over_rates_low", "log_loss_over_rates_high"),
)


class WarmStartReport(NamedTuple):
    """Metrics of the training on imported decisions, and sentences about what they do not tell."""

    metrics: Mapping[str, float]
    remarks: tuple[str, ...]


def warm_start_report(
    imported: ImportedDecisions, domain: Domain, catalog: Catalog, params: BanditParams
) -> WarmStartReport:
    """Evaluate the predictions for later decisions by a bandit trained on earlier ones.

    The window of an earlier decision had closed before the first later one was made, so nothing is
    learned from what was not known then. The metrics are:

    - ``logged_decisions``, ``mean_acceptance``: of all that are learned from;
    - ``weights_cut``, ``left_out_...``: the number of decisions with a cut weight, and of those
      left out for each reason;
    - ``log_loss``, ``log_loss_of_rates``: of the bandit and of each action's acceptance rate. An
      expected acceptance is kept between `LEAST_PROBABILITY` and 1 less that;
    - ``log_loss_over_rates``, ``..._low``, ``..._high``: the first less the second with its 95 %
      interval, paired by decision; customers are independent, the decisions of one are not.

    Without enough later decisions the last ones are missing, and a remark says so.
    """
    y, cut = imported.acceptance, imported.weights(params, np.arange(len(imported.rows))).cut
    metrics = {"logged_decisions": float(len(y))}
    metrics |= {f"left_out_{reason}": float(n) for reason, n in imported.left_out.items()}
    remarks = _left_out(imported.left_out)
    if not len(y):
        return WarmStartReport(metrics, remarks)
    metrics |= {"mean_acceptance": float(y.mean()), "weights_cut": float(cut.sum())}
    if cut.any():
        remarks += (
            f"{cut.sum():,} decisions were logged with a probability below"
            f" {1 / IMPORTED_WEIGHT_MAX:g}; their weights were cut to {IMPORTED_WEIGHT_MAX:g}.",
        )
    divided = _earlier_and_later(imported)
    if divided is None:
        remarks += (
            f"Too few of the {len(y):,} decisions were made after the window of earlier ones had"
            f" closed (expected: of {LEAST_CUSTOMERS} customers). The bandit was not compared with"
            " the acceptance rates of the actions.",
        )
        return WarmStartReport(metrics, remarks)
    return WarmStartReport(metrics | _compare(imported, domain, catalog, params, *divided), remarks)


def _left_out(left_out: Mapping[str, int]) -> tuple[str, ...]:
    """Say how many decisions are not learned from, and why; nothing if there are none."""
    why = [f"{n:,} {reason.replace('_', ' ')}" for reason, n in left_out.items() if n]
    total = sum(left_out.values())
    return (f"{total:,} imported decisions are left out: {', '.join(why)}.",) if why else ()


def _earlier_and_later(imported: ImportedDecisions) -> tuple[Indices, Indices] | None:
    """Divide the decisions by time; None where there are too few on one side."""
    everything = np.arange(len(imported.rows))
    for share in TRAINING_SHARES:
        earlier, later = imported.divided(everything, share)
        sides = earlier, later
        fewest = min(len({imported.customer_ids[index] for index in side}) for side in sides)
        if fewest >= LEAST_CUSTOMERS:
            return sides
    return None


def _compare(
    imported: ImportedDecisions,
    domain: Domain,
    catalog: Catalog,
    params: BanditParams,
    earlier: Indices,
    later: Indices,
) -> dict[str, float]:
    """Compare a bandit trained on the earlier decisions with the rates of these, on the later."""
    encoder = encoder_of(imported, earlier, domain, params)
    state = warm_start(imported, encoder, catalog, params, earlier)
    model = state.model(catalog.priors, catalog.groups_of)
    taken = [imported.actions[index] for index in later]
    channels = [imported.channels[index] for index in later]
    acceptance = model.acceptance(imported.columns_of(encoder)[later], channels)
    p = acceptance[np.arange(len(later)), [model.actions.index(action) for action in taken]]
    rates = _rates(imported, earlier)
    by_rate = np.array([rates.get(action, imported.acceptance[earlier].mean()) for action in taken])
    observed = imported.acceptance[later]
    losses, losses_of_rates = _log_losses(observed, p), _log_losses(observed, by_rate)
    customer = np.unique([imported.customer_ids[index] for index in later], return_inverse=True)[1]
    over = RatioEstimate.of(customer, losses - losses_of_rates, np.ones(len(later)))
    low, high = skewness_interval(over, None, LEVEL)
    both = len(np.unique(observed > 0.5)) == 2
    return {
        "later_decisions": float(len(later)),
        **({"roc_auc": roc_auc((observed > 0.5).astype(np.int64), p)} if both else {}),
        "log_loss": float(losses.mean()),
        "log_loss_of_rates": float(losses_of_rates.mean()),
        "log_loss_over_rates": over.value,
        "log_loss_over_rates_low": low,
        "log_loss_over_rates_high": high,
    }


def _log_losses(observed: Floats, predicted: Floats) -> Floats:
    """Log loss of each decision; an acceptance between 0 and 1 counts as so much of a yes."""
    p = np.clip(predicted, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    losses: Floats = -(observed * np.log(p) + (1 - observed) * np.log(1 - p))
    return losses


def _rates(imported: ImportedDecisions, which: Indices) -> dict[str, float]:
    """Acceptance rate of each action among some decisions."""
    actions = np.array(imported.actions, dtype=object)[which]
    acceptance = imported.acceptance[which]
    return {
        action: float(acceptance[actions == action].mean()) for action in dict.fromkeys(actions)
    }
