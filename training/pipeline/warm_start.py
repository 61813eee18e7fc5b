"""What the decisions of a time before us teach the bandit, and how much that is worth.

Nobody logged how those were chosen, so they count less than our own
(``bandit.warm_start_weight`` in params.yaml) and cannot be judged off policy; what can be judged
is whether the earlier ones foretell the later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import sqlalchemy as sa

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.datasets.dataset import HistoricalFeatures, decided_actions, training_frame
from features.errors import InvalidData
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.ledger import Ledger
from training.arrays import Bools, Floats, Indices
from training.bandit.bandit_state import BanditState, OutcomeBatch
from training.bandit.encoder import Encoder
from training.models.metrics import log_loss, roc_auc
from training.params import BanditParams

JUDGED_FROM = 0.6  # of the decisions in order of time; the later ones are judged on


@dataclass(frozen=True, slots=True)
class ImportedDecisions:
    """Imported decisions in order of time, with what was known when each was made.

    Attributes
    ----------
    rows : shape (n, n_features)
    features : tuple of str
        `ModelInput.names`: what the columns of ``rows`` are.
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

    def read_by(self, encoder: Encoder) -> Floats:
        """The columns that an encoder reads, shape (n, len(encoder.features))."""
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
    found = decided_actions(ledger, catalog, now)
    rows = training_frame(history, found, params.service, domain).to_numpy()
    # Before the first event of the log everybody looks like a stranger; that teaches nothing.
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
    decided: ImportedDecisions,
    encoder: Encoder,
    catalog: Catalog,
    params: BanditParams,
    which: Bools | None = None,
) -> BanditState:
    """What all decisions teach, or ``which`` of them (shape (n,)).

    How far each expert is believed comes from the later ones, as those foretold them who knew the
    earlier ones only.
    """
    if which is None:
        which = np.ones(len(decided.rows), dtype=np.bool_)
    chosen = np.flatnonzero(which)
    blank = BanditState.blank(encoder, params)
    if not len(chosen):
        return blank
    earlier, later = np.split(chosen, [int(len(chosen) * JUDGED_FROM)])
    known = _taught(blank, decided, earlier, params)
    expert_predictions = _expert_predictions(known, decided, later, catalog, params)
    errors = blank.learn(_outcomes(decided, later, encoder, params, expert_predictions)).errors
    return replace(_taught(blank, decided, chosen, params), errors=errors)


def _taught(
    state: BanditState, decided: ImportedDecisions, chosen: Indices, params: BanditParams
) -> BanditState:
    """With the sums of the chosen decisions and, if they are enough, trees of them."""
    n_experts = len(params.linear_experts) + 1
    no_predictions = np.full((len(chosen), n_experts), np.nan)
    outcomes = _outcomes(decided, chosen, state.encoder, params, no_predictions)
    state, enough = state.learn(outcomes), len(chosen) >= params.trees.at_least
    return state.with_trees(outcomes, state.counted) if enough else state


def _outcomes(
    decided: ImportedDecisions,
    chosen: Indices,
    encoder: Encoder,
    params: BanditParams,
    expert_predictions: Floats,
) -> OutcomeBatch:
    return OutcomeBatch(
        rows=decided.read_by(encoder)[chosen],
        channels=[decided.channels[index] for index in chosen],
        actions=[decided.actions[index] for index in chosen],
        acceptance=decided.acceptance[chosen],
        count=np.full(len(chosen), params.warm_start_weight),
        at=np.zeros(len(chosen)),  # before all that is served
        expert_predictions=expert_predictions,
    )


def _expert_predictions(
    known: BanditState,
    decided: ImportedDecisions,
    chosen: Indices,
    catalog: Catalog,
    params: BanditParams,
) -> Floats:
    """What each expert expected of the chosen decisions, shape (n, n_experts)."""
    model = known.model(catalog.priors, {}, params)
    taken = [model.actions.index(decided.actions[index]) for index in chosen]
    channels = [decided.channels[index] for index in chosen]
    prediction = model.predict(decided.read_by(known.encoder)[chosen], channels)
    found: Floats = prediction.expert_predictions[:, np.arange(len(chosen)), taken].T
    return found


def fit_encoder(
    decided: ImportedDecisions,
    ledger: Ledger,
    history: HistoricalFeatures,
    domain: Domain,
    params: BanditParams,
    now: datetime,
) -> Encoder:
    """Learn center and scale of the features, from the decisions or, without any, from everybody.

    Raises
    ------
    InvalidData
        If the ledger holds no customer either.
    """
    rows = decided.rows
    if not len(rows):
        told = sa.select(tables.customers.c.customer_id)
        heard = sa.select(tables.events.c.customer_id)  # there may be nothing but events
        everybody = ledger.read(
            lambda c: list(c.execute(sa.union(told, heard).order_by("customer_id")).scalars())
        )
        if not everybody:
            raise InvalidData(
                "The ledger holds no customers.",
                expected="a table 'customers', or events",
                remedy="Load some: 'nba load FOLDER'.",
            )
        moments = pd.DataFrame({"customer_id": everybody, "event_timestamp": pd.Timestamp(now)})
        rows = training_frame(history, moments, params.service, domain).to_numpy()
    return Encoder.fit(rows, decided.features, domain.channels, params.width)


def warm_start_metrics(
    decided: ImportedDecisions, domain: Domain, catalog: Catalog, params: BanditParams
) -> dict[str, float]:
    """How well the earlier decisions foretell the acceptance of the later ones.

    Beside the log loss stands ``log_loss_of_rates``: that of knowing only each action's own
    rate, which is what a bandit without context would reach.
    """
    y = decided.acceptance
    if not len(y):
        return {"logged_decisions": 0.0}
    metrics = {"logged_decisions": float(len(y)), "mean_acceptance": float(y.mean())}
    cut = decided.at[int(len(y) * JUDGED_FROM)]
    earlier = np.array(
        [
            at + timedelta(days=catalog.actions[action].attribution_days) <= cut
            for at, action in zip(decided.at, decided.actions, strict=True)
        ]
    )
    later = np.flatnonzero([at > cut for at in decided.at])
    if not earlier.any() or len(np.unique(y[later])) < 2:
        return metrics
    rows = decided.rows[earlier]
    encoder = Encoder.fit(rows, decided.features, domain.channels, params.width)
    state = warm_start(decided, encoder, catalog, params, earlier)
    model = state.model(catalog.priors, catalog.groups_of, params)
    taken = [decided.actions[index] for index in later]
    rows = decided.read_by(encoder)[later]
    chances = model.acceptance(rows, [decided.channels[index] for index in later])
    p = chances[np.arange(len(later)), [model.actions.index(action) for action in taken]]
    rates = _rates(decided, earlier)
    known = np.array([rates.get(action, y[earlier].mean()) for action in taken])
    accepted = y[later].astype(np.int64)
    return metrics | {
        "roc_auc": roc_auc(accepted, p),
        "log_loss": log_loss(accepted, np.column_stack([1 - p, p])),
        "log_loss_of_rates": log_loss(accepted, np.column_stack([1 - known, known])),
    }


def _rates(decided: ImportedDecisions, which: Bools) -> dict[str, float]:
    actions = np.array(decided.actions, dtype=object)
    return {
        action: float(decided.acceptance[which & (actions == action)].mean())
        for action in dict.fromkeys(actions[which])
    }
