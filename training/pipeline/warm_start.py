"""Trains the bandit on imported decisions, made before the service.

Decisions with a logged probability teach as much as the service's own ones. Where it is not known
by which probabilities the actions were chosen, they have less weight
(``bandit.warm_start_weight`` in params.yaml).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

import numpy as np
import pandas as pd
import sqlalchemy as sa

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.datasets.dataset import HistoricalFeatures, training_frame
from features.errors import InvalidData
from features.ledger import tables
from features.ledger.ledger import Ledger
from training.arrays import Floats, Indices, ToldRewards
from training.bandit.bandit_state import BanditState, OutcomeBatch
from training.bandit.encoder import Encoder
from training.bandit.stacking import ExpertErrors
from training.bandit.trees import ROUNDS, BoostedTrees
from training.params import BanditParams
from training.pipeline.interactions import find_pairs
from training.pipeline.warm_start_data import ImportedDecisions

FEWER_ROUNDS = (5, 10, 20, 40, ROUNDS)  # numbers of trees that are tried
LEAST_IN_LEAF, LEAF_SHARE = 20, 0.001  # decisions, and share of all, that a leaf holds at least
AT_ONCE = 1000  # decisions whose predictions for each action are held in memory
TRAINING_SHARE = 0.6  # of the decisions, the earliest; the errors of experts are of later ones


def warm_start(
    imported: ImportedDecisions,
    encoder: Encoder,
    catalog: Catalog,
    params: BanditParams,
    which: Indices | None = None,
) -> BanditState:
    """Train a bandit on all decisions, or on those that ``which`` selects, rising.

    The errors of the experts, from which their weights follow, are those of experts trained on the
    earlier decisions and evaluated on the later ones. If the axes of the encoder follow from
    rewards, these experts have an encoder of the earlier decisions, too. Trees are fitted on all of
    them, if there are enough.
    """
    indexes = np.arange(len(imported.rows)) if which is None else which
    weight = np.zeros(len(imported.rows))
    weight[indexes] = imported.weights(params, indexes).weight
    earlier, later = imported.divided(indexes, TRAINING_SHARE)
    if not len(earlier) or not len(later):  # all were decided at one time, say
        earlier, later = np.split(indexes, [int(len(indexes) * TRAINING_SHARE)])
    state = BanditState(encoder, params)
    _learn(state, imported, earlier, weight)
    past = state
    if len(encoder.axes) and len(earlier):
        past = BanditState(_encoder_of(imported, earlier, encoder.channels, params), params)
        _learn(past, imported, earlier, weight)
    rounds = _fit_best_trees(past, imported, earlier, later, weight)
    predictions = _expert_predictions(past, imported, later, catalog)
    _learn(state, imported, np.setdiff1d(indexes, np.union1d(earlier, later)), weight)
    _learn(state, imported, later, weight, predictions)
    _forgive_handicaps(state)
    _fit_trees(state, imported, indexes, weight, rounds)
    return state


def _forgive_handicaps(state: BanditState) -> None:
    """Take the handicaps of the experts off their errors, but at most half of these.

    A handicap is for an expert that has just begun. Those of the warm start had learned the earlier
    decisions before they predicted a later one. With the handicaps, an expert that overfits a small
    log would have more weight than one that does not.
    """
    params, products = state.params, state.errors.products
    given = [*(one.handicap for one in params.linear_experts), params.trees.handicap]
    off = np.minimum(np.array(given) * state.variance(), np.diag(products) / 2)
    state.errors = ExpertErrors(products - np.diag(off), state.errors.count)


def _learn(
    state: BanditState,
    imported: ImportedDecisions,
    indexes: Indices,
    weight: Floats,
    expert_predictions: Floats | None = None,
) -> None:
    """Learn the selected decisions."""
    state.learn(_outcomes(state, imported, indexes, weight, expert_predictions))


def _fit_trees(
    state: BanditState, imported: ImportedDecisions, indexes: Indices, weight: Floats, rounds: int
) -> None:
    """Fit trees on the selected decisions, if there are enough."""
    if len(indexes) < state.params.trees.at_least:
        return
    told = _outcomes(state, imported, indexes, weight)
    # Many outcomes are there at once, and are not fitted again soon: larger leaves, shrunk values
    # and all features at each split overfit less.
    leaf = max(LEAST_IN_LEAF, int(LEAF_SHARE * len(indexes)))
    settings = {"min_data_in_leaf": leaf, "lambda_l2": 5.0, "feature_fraction": 1.0}
    fitted = BoostedTrees.fit(
        *(told.rows, told.channels, told.actions, told.acceptance, told.count),
        rounds=rounds,
        settings=settings,
    )
    state.use_trees(fitted or state.trees, state.counted)


def _fit_best_trees(
    state: BanditState,
    imported: ImportedDecisions,
    earlier: Indices,
    later: Indices,
    weight: Floats,
) -> int:
    """Fit trees on the earlier decisions, as many as predict the later ones best; their number.

    Where nothing can be told from the features, few trees overfit less than many.
    """
    _fit_trees(state, imported, earlier, weight, ROUNDS)
    if state.trees is None or not len(later):
        return ROUNDS
    told = _outcomes(state, imported, later, weight)
    errors = state.trees.errors_after(
        FEWER_ROUNDS, told.rows, told.channels, told.actions, told.acceptance, told.count
    )
    rounds = FEWER_ROUNDS[int(errors.argmin())]
    state.use_trees(state.trees.first(rounds), state.counted)
    return rounds


def _outcomes(
    state: BanditState,
    imported: ImportedDecisions,
    indexes: Indices,
    weight: Floats,
    expert_predictions: Floats | None = None,
) -> OutcomeBatch:
    """Arrange the selected decisions as `BanditState.learn` reads them.

    Parameters
    ----------
    weight : shape (n_decisions,)
        Of all decisions, not only of the selected ones.
    """
    n, n_experts = len(indexes), len(state.errors.products)
    if expert_predictions is None:
        expert_predictions = np.full((n, n_experts), np.nan)
    return OutcomeBatch(
        rows=imported.columns_of(state.encoder)[indexes],
        channels=[imported.channels[index] for index in indexes],
        actions=[imported.actions[index] for index in indexes],
        acceptance=imported.acceptance[indexes],
        count=weight[indexes],
        at=np.zeros(n),  # before the first decision of the service
        expert_predictions=expert_predictions,
    )


def _expert_predictions(
    state: BanditState, imported: ImportedDecisions, indexes: Indices, catalog: Catalog
) -> Floats:
    """Compute each expert's predictions for the selected decisions, shape (n, n_experts)."""
    model = state.model(catalog.priors, catalog.groups_of)
    place = {action: number for number, action in enumerate(model.actions)}
    rows, found = imported.columns_of(state.encoder), []
    for start in range(0, len(indexes), AT_ONCE):
        some = indexes[start : start + AT_ONCE]
        prediction = model.predict(rows[some], [imported.channels[index] for index in some])
        taken = [place[imported.actions[index]] for index in some]
        found.append(prediction.expert_predictions[:, np.arange(len(some)), taken].T)
    return np.concatenate([*found, np.empty((0, len(state.errors.products)))])


def fit_encoder(
    imported: ImportedDecisions,
    ledger: Ledger,
    history: HistoricalFeatures,
    domain: Domain,
    params: BanditParams,
    now: datetime,
) -> Encoder:
    """Fit the encoder on the decisions or, without any, on all customers.

    Raises
    ------
    InvalidData
        If the ledger has neither decisions nor customers.
    """
    if len(imported.rows):
        return encoder_of(imported, np.arange(len(imported.rows)), domain, params)
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
    return Encoder.fit(rows, imported.features, domain.channels, params.width)


def encoder_of(
    imported: ImportedDecisions, indexes: Indices, domain: Domain, params: BanditParams
) -> Encoder:
    """Fit the encoder on the selected decisions, with the products that tell who accepts."""
    return _encoder_of(imported, indexes, domain.channels, params)


def _encoder_of(
    imported: ImportedDecisions, indexes: Indices, channels: Sequence[str], params: BanditParams
) -> Encoder:
    rows, on = imported.rows[indexes], [imported.channels[index] for index in indexes]
    linear = Encoder.fit(rows, imported.features, channels, on=on)
    columns = linear.encode(imported.columns_of(linear)[indexes], on)[:, 1:] + linear.offset[1:]
    actions, acceptance = (
        [imported.actions[index] for index in indexes],
        imported.acceptance[indexes],
    )
    weight = imported.weights(params, indexes).weight
    names = linear.effect_names
    found = find_pairs(columns, actions, acceptance, weight)
    pairs = [(names[first], names[second]) for first, second in found]
    told = partial(ToldRewards, np.array(actions), acceptance, weight)
    return Encoder.fit(
        *(rows, imported.features, channels, params.width), on=on, pairs=pairs, told=told
    )
