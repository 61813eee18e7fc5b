"""Trains the bandit on imported decisions, made before the service, and evaluates that training.

The probabilities of these decisions were not logged. So they have less weight than the service's
own decisions (``bandit.warm_start_weight`` in params.yaml), and off-policy evaluation is not
possible. The predictions for later decisions by a bandit trained on earlier ones are evaluated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import sqlalchemy as sa

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.datasets.dataset import HistoricalFeatures, training_frame
from features.datasets.imported_decisions import imported_decisions
from features.errors import InvalidData
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.ledger import Ledger
from training.arrays import Bools, Floats, Indices
from training.bandit.bandit_state import BanditState, OutcomeBatch
from training.bandit.encoder import Encoder
from training.models.metrics import log_loss, roc_auc
from training.params import BanditParams

TRAINING_SHARE = 0.6  # of the decisions, the earliest; the others are held out
# Expected acceptances are means and may be 0; the log loss needs probabilities that are not.
LEAST_PROBABILITY = 0.001


@dataclass(frozen=True, slots=True)
class ImportedDecisions:
    """Imported decisions in order of time, with the features known at each.

    Attributes
    ----------
    rows : shape (n, n_features)
    features : tuple of str
        Names of the columns of ``rows``, as in `ModelInput.names`.
    acceptance : shape (n,), 0 or 1
    at : n times, aware UTC
    channels, actions, customer_ids : n texts
    """

    rows: Floats
    features: tuple[str, ...]
    acceptance: Floats
    at: Sequence[datetime]
    channels: list[str]
    actions: list[str]
    customer_ids: list[str] = field(default_factory=list)

    def columns_of(self, encoder: Encoder) -> Floats:
        """Return the columns that an encoder reads, shape (n, len(encoder.features))."""
        index = {name: column for column, name in enumerate(self.features)}
        return self.rows[:, [index[name] for name in encoder.features]]


def read_imported_decisions(
    ledger: Ledger,
    history: HistoricalFeatures,
    domain: Domain,
    catalog: Catalog,
    params: BanditParams,
    now: datetime,
) -> ImportedDecisions:
    """Read the imported decisions whose attribution window has closed; there may be none."""
    found = imported_decisions(ledger, catalog, now)
    rows = training_frame(history, found, params.service, domain).to_numpy()
    # Customers without an event before the decision have no features to learn from.
    model_input = ModelInput(domain)
    known = model_input.has_past(rows)
    found = found[known]
    return ImportedDecisions(
        rows[known],
        model_input.names,
        found["acceptance"].to_numpy(dtype=np.float64),
        [moment.to_pydatetime() for moment in found["event_timestamp"]],
        found["channel"].tolist(),
        found["action_id"].tolist(),
        found["customer_id"].tolist(),
    )


def warm_start(
    imported: ImportedDecisions,
    encoder: Encoder,
    catalog: Catalog,
    params: BanditParams,
    which: Bools | None = None,
) -> BanditState:
    """Train a bandit on all decisions, or on those that ``which`` selects, shape (n,).

    The errors of the experts, from which their weights follow, are those of experts trained on the
    earlier decisions and evaluated on the later ones. Trees are fitted on all of them, if there are
    enough.
    """
    if which is None:
        which = np.ones(len(imported.rows), dtype=np.bool_)
    indexes = np.flatnonzero(which)
    state = BanditState(encoder, params)
    earlier, later = np.split(indexes, [int(len(indexes) * TRAINING_SHARE)])
    _learn(state, imported, earlier)
    _fit_trees(state, imported, earlier)
    _learn(state, imported, later, _expert_predictions(state, imported, later, catalog))
    _fit_trees(state, imported, indexes)
    return state


def _learn(
    state: BanditState,
    imported: ImportedDecisions,
    indexes: Indices,
    expert_predictions: Floats | None = None,
) -> None:
    """Learn the selected decisions."""
    state.learn(_outcomes(state, imported, indexes, expert_predictions))


def _fit_trees(state: BanditState, imported: ImportedDecisions, indexes: Indices) -> None:
    """Fit trees on the selected decisions, if there are enough."""
    if len(indexes) >= state.params.trees.at_least:
        state.fit_trees(_outcomes(state, imported, indexes), state.counted)


def _outcomes(
    state: BanditState,
    imported: ImportedDecisions,
    indexes: Indices,
    expert_predictions: Floats | None = None,
) -> OutcomeBatch:
    n, n_experts = len(indexes), len(state.errors.products)
    if expert_predictions is None:
        expert_predictions = np.full((n, n_experts), np.nan)
    return OutcomeBatch(
        rows=imported.columns_of(state.encoder)[indexes],
        channels=[imported.channels[index] for index in indexes],
        actions=[imported.actions[index] for index in indexes],
        acceptance=imported.acceptance[indexes],
        count=np.full(n, state.params.warm_start_weight),
        at=np.zeros(n),  # before the first decision of the service
        expert_predictions=expert_predictions,
    )


def _expert_predictions(
    state: BanditState, imported: ImportedDecisions, indexes: Indices, catalog: Catalog
) -> Floats:
    """Compute each expert's predictions for the selected decisions, shape (n, n_experts)."""
    model = state.model(catalog.priors, catalog.groups_of)
    taken = [model.actions.index(imported.actions[index]) for index in indexes]
    channels = [imported.channels[index] for index in indexes]
    prediction = model.predict(imported.columns_of(state.encoder)[indexes], channels)
    found: Floats = prediction.expert_predictions[:, np.arange(len(indexes)), taken].T
    return found


def fit_encoder(
    imported: ImportedDecisions,
    ledger: Ledger,
    history: HistoricalFeatures,
    domain: Domain,
    params: BanditParams,
    now: datetime,
) -> Encoder:
    """Fit center and scale of the features on the decisions or, without any, on all customers.

    Raises
    ------
    InvalidData
        If the ledger has neither decisions nor customers.
    """
    rows = imported.rows
    if not len(rows):
        loaded = sa.select(tables.customers.c.customer_id)
        # Customers may be known from events only.
        with_events = sa.select(tables.events.c.customer_id)
        query = sa.union(loaded, with_events).order_by("customer_id")
        customers = ledger.read(lambda connection: list(connection.execute(query).scalars()))
        if not customers:
            raise InvalidData(
                "The ledger holds no customers.",
                expected="a table 'customers', or events",
                remedy="Load some: 'nba load FOLDER'.",
            )
        moments = pd.DataFrame({"customer_id": customers, "event_timestamp": pd.Timestamp(now)})
        rows = training_frame(history, moments, params.service, domain).to_numpy()
    on = imported.channels if len(imported.rows) else None
    return Encoder.fit(rows, imported.features, domain.channels, params.width, on=on)


def warm_start_metrics(
    imported: ImportedDecisions, domain: Domain, catalog: Catalog, params: BanditParams
) -> dict[str, float]:
    """Evaluate the predictions for later decisions by a bandit trained on earlier ones.

    For the log loss, an expected acceptance is kept between `LEAST_PROBABILITY` and 1 less that.
    ``log_loss_of_rates`` is the log loss of predicting each action's acceptance rate, which a
    bandit without context would reach.
    """
    y = imported.acceptance
    if not len(y):
        return {"logged_decisions": 0.0}
    metrics = {"logged_decisions": float(len(y)), "mean_acceptance": float(y.mean())}
    cut = imported.at[int(len(y) * TRAINING_SHARE)]
    earlier = np.array(
        [
            at + timedelta(days=catalog.actions[action].attribution_days) <= cut
            for at, action in zip(imported.at, imported.actions, strict=True)
        ]
    )
    later = np.flatnonzero([at > cut for at in imported.at])
    if not earlier.any() or len(np.unique(y[later])) < 2:
        return metrics
    rows = imported.rows[earlier]
    on = [imported.channels[index] for index in np.flatnonzero(earlier)]
    encoder = Encoder.fit(rows, imported.features, domain.channels, params.width, on=on)
    state = warm_start(imported, encoder, catalog, params, earlier)
    model = state.model(catalog.priors, catalog.groups_of)
    taken = [imported.actions[index] for index in later]
    rows = imported.columns_of(encoder)[later]
    acceptance = model.acceptance(rows, [imported.channels[index] for index in later])
    p = acceptance[np.arange(len(later)), [model.actions.index(action) for action in taken]]
    probability = np.clip(p, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    rates = _rates(imported, earlier)
    by_rate = np.array([rates.get(action, y[earlier].mean()) for action in taken])
    observed = y[later].astype(np.int64)
    return metrics | {
        "roc_auc": roc_auc(observed, p),
        "log_loss": log_loss(observed, np.column_stack([1 - probability, probability])),
        "log_loss_of_rates": log_loss(observed, np.column_stack([1 - by_rate, by_rate])),
    }


def _rates(imported: ImportedDecisions, which: Bools) -> dict[str, float]:
    actions = np.array(imported.actions, dtype=object)
    return {
        action: float(imported.acceptance[which & (actions == action)].mean())
        for action in dict.fromkeys(actions[which])
    }
