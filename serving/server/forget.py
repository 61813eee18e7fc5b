"""Erases a customer for a caller, and names the models that have learned from their data."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime

from features.customers.keys import KeyNormalizer
from features.customers.tombstones import hash_keys
from features.ingest.erasure import Erasure, ErasureResult
from serving.contract.customers import ForgetAnswer, ForgetRequest
from training.pipeline.registry import Registry

log = logging.getLogger(__name__)


def forget(
    request: ForgetRequest,
    erasure: Erasure,
    normalizer: KeyNormalizer,
    registry: Registry,
    now: datetime,
) -> ForgetAnswer:
    """Erase a customer, or readmit one who was erased.

    Raises
    ------
    InvalidData
        If an identifier cannot be used.
    CustomerForgotten
        If the customer was forgotten already.
    NotVisible
        If the feature store cannot erase now; the ledger has, and the rest is done at the next
        start.
    """
    keys = normalizer.keys(request.customer_id, request.identifiers)
    if request.readmit:
        count = erasure.readmit(keys)
        remark = "They are taken in again from now on; what was erased stays erased."
        return ForgetAnswer(
            status="readmitted", erased={"keys": count}, trained_on=[], remark=remark
        )
    erased = erasure.forget(keys, now)
    return ForgetAnswer(
        status="forgotten",
        erased={
            "keys": len(erased.keys),
            "events": erased.events,
            "decisions": len(erased.decision_ids),
            "outcomes": erased.outcomes,
        },
        trained_on=_trained_on(erased, erasure, registry),
        remark=" ".join(_remarks(erased)),
    )


def _remarks(erased: ErasureResult) -> Iterator[str]:
    yield "Models keep what they learned: retrain and promote those named in trained_on."
    if erased.learned:
        yield "The bandit counted their outcomes; 'nba train bandit --promote' starts again."
    if erased.bytes_remain:
        yield "Files are large; 'nba compact' wipes their free space at a quiet hour."


def _trained_on(erased: ErasureResult, erasure: Erasure, registry: Registry) -> list[str] | None:
    hashed = erasure.ledger.read(lambda connection: hash_keys(connection, erased.keys))
    try:
        return [f"{one.name} {one.version}" for one in registry.trained_on(hashed)]
    except Exception:  # a customer is forgotten also while MLflow is down
        log.exception("MLflow could not say which models were trained on a forgotten customer")
        return None
