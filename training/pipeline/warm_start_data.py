"""Imported decisions as the bandit learns them: rows of features, acceptances, and weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple, TypeVar

import numpy as np

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.datasets.dataset import HistoricalFeatures, training_frame
from features.datasets.imported_decisions import imported_decisions
from features.journeys.model_input import ModelInput
from features.ledger.ledger import Ledger
from training.arrays import Bools, Floats, Indices
from training.bandit.encoder import Encoder
from training.params import BanditParams

_T = TypeVar("_T")
TINY = 1e-300  # 1 over a smaller number may not be finite
IMPORTED_WEIGHT_MAX = 20.0  # a decision logged with a smaller probability than 1 / 20 is cut


class ImportedWeights(NamedTuple):
    """Weights of imported decisions.

    Attributes
    ----------
    weight : shape (n,)
    cut : shape (n,)
        True where the inverse of the logged probability was above `IMPORTED_WEIGHT_MAX`.
    """

    weight: Floats
    cut: Bools


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
    ends_at : n times, aware UTC
        End of the attribution window of each.
    probability : shape (n,) or (0,)
        Probability with which the action was chosen; ``nan`` where it was not logged. (0,): it was
        logged nowhere.
    left_out : mapping
        For each reason, the number of imported decisions that are not among these.
    """

    rows: Floats
    features: tuple[str, ...]
    acceptance: Floats
    at: Sequence[datetime]
    channels: list[str]
    actions: list[str]
    customer_ids: list[str] = field(default_factory=list)
    ends_at: Sequence[datetime] = ()
    probability: Floats = field(default_factory=lambda: np.empty(0))
    left_out: Mapping[str, int] = field(default_factory=dict)

    def columns_of(self, encoder: Encoder) -> Floats:
        """Return the columns that an encoder reads, shape (n, len(encoder.features))."""
        index = {name: column for column, name in enumerate(self.features)}
        return self.rows[:, [index[name] for name in encoder.features]]

    def selected(self, indexes: Indices) -> ImportedDecisions:
        """Return some of the decisions; ``left_out`` stays as it is."""

        def of(texts: Sequence[_T]) -> list[_T]:
            return [texts[index] for index in indexes] if texts else []

        return replace(
            self,
            rows=self.rows[indexes],
            acceptance=self.acceptance[indexes],
            probability=self.probability[indexes] if len(self.probability) else self.probability,
            at=of(self.at),
            ends_at=of(self.ends_at),
            channels=of(self.channels),
            actions=of(self.actions),
            customer_ids=of(self.customer_ids),
        )

    @property
    def until(self) -> datetime | None:
        """The time of the latest decision; None if there are none."""
        return max(self.at, default=None)

    def divided(self, indexes: Indices, share: float) -> tuple[Indices, Indices]:
        """Divide the selected decisions by time, with a gap for windows.

        Returns
        -------
        earlier
            Those whose window had closed when a ``share`` of the selected ones was decided.
        later
            Those decided after that time.
        """
        if not len(indexes):
            return indexes, indexes
        cut = self.at[int(indexes[int(len(indexes) * share)])]
        closed = [self.ends_at[index] <= cut for index in indexes]
        after = [self.at[index] > cut for index in indexes]
        return indexes[np.array(closed)], indexes[np.array(after)]

    def weights(self, params: BanditParams, indexes: Indices) -> ImportedWeights:
        """Compute the weights with which the selected decisions teach.

        A decision that was logged with a probability p has 1 / p, at most `IMPORTED_WEIGHT_MAX`:
        so weighted, the customers of an action are as all customers are. The weights of an action
        are then scaled to the effective number of its decisions, (sum w)^2 / (sum w^2): unequal
        weights tell less. A decision without a probability has ``params.warm_start_weight``.

        References
        ----------
        Kish (1965), "Survey Sampling", section 11.7, for the effective number; Ionides (2008),
        "Truncated importance sampling", for the cut.
        """
        weight = np.full(len(indexes), params.warm_start_weight)
        cut = np.zeros(len(indexes), dtype=np.bool_)
        if not len(self.probability):
            return ImportedWeights(weight, cut)
        probability = self.probability[indexes]
        known = ~np.isnan(probability)
        inverse = 1 / np.maximum(probability, TINY)
        cut[known] = inverse[known] > IMPORTED_WEIGHT_MAX
        chosen = np.array([self.actions[index] for index in indexes], dtype=object)
        for action in dict.fromkeys(chosen[known]):
            mine = known & (chosen == action)
            w = np.minimum(inverse[mine], IMPORTED_WEIGHT_MAX)
            weight[mine] = w * w.sum() / (w**2).sum()
        return ImportedWeights(weight, cut)


def read_imported_decisions(
    ledger: Ledger,
    history: HistoricalFeatures,
    domain: Domain,
    catalog: Catalog,
    params: BanditParams,
    now: datetime,
    until: datetime | None = None,
) -> ImportedDecisions:
    """Read the imported decisions whose attribution window has closed; there may be none.

    The row of a customer without events is the one that the server would read: attributes, and the
    features of an empty journey.

    Parameters
    ----------
    until : aware UTC, or None
        Only decisions before it are read; None: all.
    """
    found, left_out = imported_decisions(ledger, catalog, now, until)
    return ImportedDecisions(
        training_frame(history, found, params.service, domain).to_numpy(),
        ModelInput(domain).names,
        found["acceptance"].to_numpy(dtype=np.float64),
        [moment.to_pydatetime() for moment in found["event_timestamp"]],
        found["channel"].tolist(),
        found["action_id"].tolist(),
        found["customer_id"].tolist(),
        [moment.to_pydatetime() for moment in found["window_ends_at"]],
        found["probability"].to_numpy(dtype=np.float64),
        left_out,
    )
