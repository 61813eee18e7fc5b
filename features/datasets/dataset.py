"""From labelled moments to training frames.

A moment is a customer and a time at which we could have decided; its label is what happened
next (`labels`). `training_frame` puts beside each what was known then, and nothing
from later; `labelled_dataset` says which are for training and which for judging.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
import sqlalchemy as sa
from numpy.typing import NDArray

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.datasets.labels import midnight
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.outcomes.attribution import DECISION_COLUMNS, Attribution, read_attribution, shown_by
from features.outcomes.credit_rules import ShownAction, credit

FOLDS = 5  # where all are asked at one moment and the domain names no protocol
TEST_SHARE = 0.3  # of the moments, the latest, where the domain names no protocol


class HistoricalFeatures(Protocol):
    """All we ask of the offline store here, so that a test can hand in a fake."""

    def as_of(self, moments: pd.DataFrame, service: str) -> pd.DataFrame:
        """What was known at moments in the past.

        Parameters
        ----------
        moments : columns customer_id, event_timestamp (UTC)
        service : str
            Feast feature service, such as ``churn_v1``.

        Returns
        -------
        DataFrame
            Exactly the rows of ``moments`` in their order: attributes and ``state``, the list of
            numbers after the last event before or at the moment; ``account_state`` likewise, if
            customers belong to accounts. What was unknown is None.
        """
        ...


@dataclass(frozen=True, slots=True)
class LabelledDataset:
    """Training material for one model, in order of time.

    Attributes
    ----------
    x : shape (n_moments, len(ModelInput.names))
    y : shape (n_moments,), class index
    at_us, settled_us : shape (n_moments,)
        Moments, and from when on each label was known, microseconds since 1970.
    customer_ids : shape (n_moments,)
    train, test : shape (n_moments,), bool
        What to train on and what to judge on: later time, other customers, or, with ``folds``,
        all for both, each customer judged by a model that has not seen it.
    split_by : "later time", "other customers" or "folds"
    folds : int
        How many; 0 if there are none.
    """

    x: NDArray[np.float64]
    y: NDArray[np.int64]
    at_us: NDArray[np.int64]
    settled_us: NDArray[np.int64]
    customer_ids: NDArray[np.object_]
    train: NDArray[np.bool_]
    test: NDArray[np.bool_]
    split_by: Literal["later time", "other customers", "folds"]
    folds: int = 0

    @property
    def fingerprint(self) -> str:
        """Of the numbers, see `fingerprint`."""
        return fingerprint(self.x, self.y, self.at_us)


def fingerprint(*arrays: NDArray[Any]) -> str:
    """Hash of arrays: the same data give the same one."""
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()[:16]


def labelled_dataset(
    moments: pd.DataFrame,
    history: HistoricalFeatures,
    service: str,
    domain: Domain,
    shift: timedelta,
) -> LabelledDataset:
    """Put beside each labelled moment what was known then, and say what to judge on.

    By time, a moment is trained on only if its label was settled before the first test moment.

    Parameters
    ----------
    moments
        From `churn_moments` or `intent_moments`.
    """
    moments = moments.sort_values(["event_timestamp", "customer_id"], ignore_index=True)
    known = history.as_of(moments, service)
    at_us, settled_us = _to_us(moments["event_timestamp"]), _to_us(moments["settled_at"])
    train, test, split_by, folds = _split(domain, shift, known, at_us, settled_us)
    return LabelledDataset(
        x=_rows(known, at_us, domain).to_numpy(),
        y=moments["label"].to_numpy(dtype=np.int64),
        at_us=at_us,
        settled_us=settled_us,
        customer_ids=moments["customer_id"].to_numpy(dtype=object),
        train=train,
        test=test,
        split_by=split_by,
        folds=folds,
    )


def training_frame(
    history: HistoricalFeatures, moments: pd.DataFrame, service: str, domain: Domain
) -> pd.DataFrame:
    """What every model would have read at each moment.

    Parameters
    ----------
    moments, service
        As for `HistoricalFeatures.as_of`.

    Returns
    -------
    DataFrame
        Exactly the rows of ``moments`` in their order, columns ``ModelInput.names``; what was
        unknown is ``nan``. Customers without a past are kept: they are among those to decide for.
    """
    known = history.as_of(moments, service)
    return _rows(known, _to_us(moments["event_timestamp"]), domain)


def decided_actions(ledger: Ledger, catalog: Catalog, now: datetime) -> pd.DataFrame:
    """Imported decisions whose window has passed by ``now``, and whether they were accepted.

    Actions that the catalogue has no more are left out.

    Returns
    -------
    DataFrame
        Columns customer_id, event_timestamp (the decision, UTC), action_id, channel, acceptance.
    """
    columns = tables.decisions.c
    # Without a record: what was decided here but not shown yet is not served either.
    imported = [~columns.served, columns.record.is_(None), columns.window_ends_at <= now]
    query = sa.select(*DECISION_COLUMNS, columns.customer_id, columns.channel).where(*imported)
    query = query.order_by(columns.decided_at, columns.decision_id)

    def read(connection: sa.Connection) -> tuple[list[tuple[Any, ShownAction]], Attribution]:
        known = (row for row in connection.execute(query) if row.action_id in catalog.actions)
        decided = [(row, shown) for row in known for shown in shown_by(row)]
        return decided, read_attribution(connection, [shown for _, shown in decided], catalog)

    decided, attribution = ledger.read(read)
    rows = []
    for (row, _), action in zip(decided, attribution.actions, strict=True):
        # The window has closed: whoever said nothing did not accept.
        acceptance = credit(action, attribution.shares, now, catalog) or 0.0
        rows.append((row.customer_id, row.decided_at, row.action_id, row.channel, acceptance))
    names = ["customer_id", "event_timestamp", "action_id", "channel", "acceptance"]
    frame = pd.DataFrame(rows, columns=names)
    frame["event_timestamp"] = pd.to_datetime(frame["event_timestamp"], utc=True)
    frame["acceptance"] = frame["acceptance"].astype(np.float64)
    return frame


def _rows(known: pd.DataFrame, at_us: NDArray[np.int64], domain: Domain) -> pd.DataFrame:
    model_input = ModelInput(domain)
    attributes: list[dict[Any, Any]] = known[list(domain.attributes)].to_dict("records")
    nobody = [None] * len(known)
    of_accounts = known["account_state"] if domain.account else nobody
    rows = [
        model_input.read(row, _listed(state), at, _listed(account))
        for row, state, at, account in zip(
            attributes or [{}] * len(known), known["state"], at_us / 1e6, of_accounts, strict=True
        )
    ]
    return pd.DataFrame(rows, columns=list(model_input.names), dtype=np.float64)


def _listed(state: object) -> list[float] | None:
    return list(state) if isinstance(state, list | np.ndarray) else None


_Split = tuple[
    NDArray[np.bool_], NDArray[np.bool_], Literal["later time", "other customers", "folds"], int
]


def _split(
    domain: Domain,
    shift: timedelta,
    known: pd.DataFrame,
    at_us: NDArray[np.int64],
    settled_us: NDArray[np.int64],
) -> _Split:
    """Train, test, what they differ in, and how many folds."""
    plan = domain.moments
    if plan and plan.test_where:
        [(name, value)] = plan.test_where.items()
        test = (known[name] == value).to_numpy(dtype=np.bool_)
        return ~test, test, "other customers", 0
    once = plan is None and len(np.unique(at_us)) == 1
    folds = (plan and plan.folds) or (FOLDS if once else 0)
    if folds or not len(at_us):
        everybody = np.ones(len(at_us), dtype=np.bool_)
        return everybody, everybody, "folds", folds
    border = _test_from(domain, shift, at_us)
    test = at_us >= border
    return ~test & (settled_us <= border), test, "later time", 0


def _test_from(domain: Domain, shift: timedelta, at_us: NDArray[np.int64]) -> int:
    if domain.moments and domain.moments.test_from:
        return midnight(domain.moments.test_from, shift)
    return int(np.quantile(np.unique(at_us), 1 - TEST_SHARE, method="nearest"))


def _to_us(moments: pd.Series[Any]) -> NDArray[np.int64]:
    return np.asarray(moments.dt.as_unit("us").astype(np.int64), dtype=np.int64)
