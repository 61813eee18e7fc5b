"""Makes datasets: labelled moments with the features as of each moment.

A moment is a customer and a time at which we could have decided. Its label is what happened next.
`training_frame` reads the features as of each moment, nothing later. `labelled_dataset` also
divides the moments into training and validation.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.business.domain import Domain
from features.datasets.labels import midnight
from features.journeys.model_input import ModelInput

# Where the domain file has no protocol of validation:
FOLDS = 5  # if all moments have one time
TEST_SHARE = 0.3  # of the moments, the latest


class HistoricalFeatures(Protocol):
    """Reads features as of moments in the past; `PointInTimeFeatures` does, or a fake in a test."""

    def as_of(self, moments: pd.DataFrame, service: str) -> pd.DataFrame:
        """Read the attributes and states as of moments in the past.

        Parameters
        ----------
        moments : columns customer_id, event_timestamp (UTC)
        service : str
            Feast feature service, such as ``churn_v1``.

        Returns
        -------
        DataFrame
            Exactly the rows of ``moments`` in their order: attributes and ``state``, the list of
            numbers after the last event before or at the moment. ``account_state`` likewise, if
            customers belong to accounts. An unknown value is None.
        """
        ...


@dataclass(frozen=True, slots=True)
class LabelledDataset:
    """Features and labels for one model, in order of time.

    Attributes
    ----------
    x : shape (n_moments, len(ModelInput.names))
    y : shape (n_moments,), class index
    at_us, settled_us : shape (n_moments,)
        The moment, and the time from which its label was known, microseconds since 1970.
    customer_ids : shape (n_moments,)
    train, test : shape (n_moments,), bool
        The moments to train on, and those to validate on: later ones or other customers. With
        folds all are for both, and each customer is predicted by a model not trained on it.
    split_by : "later time", "other customers" or "folds"
    folds : int
        Number of folds; 0 if there are none.
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
        """Hash of features, labels and moments; see `fingerprint`."""
        return fingerprint(self.x, self.y, self.at_us)


def fingerprint(*arrays: NDArray[Any]) -> str:
    """Hash of arrays: equal data have an equal hash."""
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()[:16]


def labelled_dataset(
    moments: pd.DataFrame,
    history: HistoricalFeatures,
    service: str,
    domain: Domain,
    shift: timedelta,
) -> LabelledDataset:
    """Read the features as of each labelled moment, and divide training from validation.

    If divided by time, a moment is trained on only if its label was known before the first moment
    of validation.

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
    """Read the features of every model as of each moment.

    Parameters
    ----------
    moments, service
        As for `HistoricalFeatures.as_of`.

    Returns
    -------
    DataFrame
        Exactly the rows of ``moments`` in their order, columns ``ModelInput.names``; an unknown
        value is ``nan``. Customers without a past are kept: decisions are made for them, too.
    """
    known = history.as_of(moments, service)
    return _rows(known, _to_us(moments["event_timestamp"]), domain)


def _rows(known: pd.DataFrame, at_us: NDArray[np.int64], domain: Domain) -> pd.DataFrame:
    model_input = ModelInput(domain)
    attributes: list[dict[Any, Any]] = known[list(domain.attributes)].to_dict("records")
    none = [None] * len(known)
    of_accounts = known["account_state"] if domain.account else none
    rows = [
        model_input.read(row, _listed(state), at, _listed(account))
        for row, state, at, account in zip(
            attributes or [{}] * len(known), known["state"], at_us / 1e6, of_accounts, strict=True
        )
    ]
    # pandas would convert lists column by column, which takes half as long as reading the rows.
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(model_input.names))
    return pd.DataFrame(table, columns=list(model_input.names))


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
    """Masks of training and validation, the way of the split, and the number of folds."""
    plan = domain.moments
    if plan and plan.test_where:
        [(name, value)] = plan.test_where.items()
        test = (known[name] == value).to_numpy(dtype=np.bool_)
        return ~test, test, "other customers", 0
    once = plan is None and len(np.unique(at_us)) == 1
    folds = (plan and plan.folds) or (FOLDS if once else 0)
    if folds or not len(at_us):
        every = np.ones(len(at_us), dtype=np.bool_)
        return every, every, "folds", folds
    first_test = _test_from(domain, shift, at_us)
    test = at_us >= first_test
    return ~test & (settled_us <= first_test), test, "later time", 0


def _test_from(domain: Domain, shift: timedelta, at_us: NDArray[np.int64]) -> int:
    if domain.moments and domain.moments.test_from:
        return midnight(domain.moments.test_from, shift)
    return int(np.quantile(np.unique(at_us), 1 - TEST_SHARE, method="nearest"))


def _to_us(moments: pd.Series[Any]) -> NDArray[np.int64]:
    return np.asarray(moments.dt.as_unit("us").astype(np.int64), dtype=np.int64)
