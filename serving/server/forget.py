"""Erases a customer for a caller, and names the models that have learned from their data."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime

from features.customers.erasure_scope import Confirmation, asked_keys
from features.errors import IdentityUnknown, NotConfirmed, quoted
from features.identity.keys import KeyNormalizer
from features.identity.tombstones import hash_keys
from features.ingest.erasure import Erasure, ErasureResult
from features.store.free_space import is_wiped_at_once
from serving.contract.customers import ForgetAnswer, ForgetRequest, UnconfirmedAnswer
from serving.models.trained_on import TrainedOnIndex
from training.pipeline.registry import Registry

log = logging.getLogger(__name__)


def forget(
    request: ForgetRequest,
    erasure: Erasure,
    normalizer: KeyNormalizer,
    registry: Registry,
    now: datetime,
) -> ForgetAnswer | UnconfirmedAnswer:
    """Erase a customer, readmit one who was erased, or tell how far an erasure is.

    Returns
    -------
    ForgetAnswer or UnconfirmedAnswer
        The latter if several customers were merged into one, and are not confirmed all.

    Raises
    ------
    InvalidData
        If an identifier cannot be used.
    IdentityUnknown
        If nothing is stored of the customer, or there is no such erasure.
    CustomerForgotten
        If the customer was forgotten already.
    """
    if request.erasure_id is not None:
        return _status(request.erasure_id, erasure)
    if request.readmit:
        count = erasure.readmit(normalizer.keys(request.customer_id, request.identifiers))
        remark = "They are taken in again from now on; what was erased stays erased."
        return ForgetAnswer(status="readmitted", erased={"keys": count}, remark=remark)
    about = request.customer_id, request.identifiers
    keys = erasure.ledger.read(lambda connection: asked_keys(connection, normalizer, *about))
    try:
        erased = erasure.forget(keys, now, Confirmation(normalizer, request.confirm))
    except NotConfirmed as error:
        return UnconfirmedAnswer(error=str(error), would_erase=error.named)
    return ForgetAnswer(
        status="forgotten",
        erasure_id=erased.erasure_id,
        files="pending",
        erased={
            "keys": len(erased.keys),
            "events": erased.rows.events,
            "decisions": erased.rows.decisions,
            "outcomes": erased.rows.outcomes,
        },
        trained_on=_trained_on(erased, erasure, registry),
        remark=" ".join(_remarks(erased, erasure)),
    )


def _status(erasure_id: str, erasure: Erasure) -> ForgetAnswer:
    for one in erasure.statuses(erasure_id):
        return ForgetAnswer(
            status="forgotten",
            erasure_id=one.erasure_id,
            files="pending" if one.finished_at is None else "done",
            finished_at=one.finished_at,
            waits_for=[f"{name} {why}" for name, why in one.problems.items()],
            remark=f"The {one}.",
        )
    raise IdentityUnknown(
        f"erasure_id {quoted(erasure_id)} is of no erasure.",
        expected="the erasure_id of an answer of /v1/forget",
        remedy="Send the id exactly as it was answered, or see 'nba erasures'.",
    )


def _remarks(erased: ErasureResult, erasure: Erasure) -> Iterator[str]:
    yield "Files are cleaned within seconds; ask with the erasure_id."
    if not erased.rows.done:
        yield "The history is long; the rest of it is deleted in the background."
    yield "Models keep what they learned: retrain and promote those named in trained_on."
    if erased.rows.learned:
        yield "The bandit counted their outcomes; 'nba train bandit --promote' starts again."
    if not erasure.ledger.read(is_wiped_at_once):
        yield "Deleted bytes may remain in free space; 'nba compact' wipes it at a quiet hour."


def _trained_on(erased: ErasureResult, erasure: Erasure, registry: Registry) -> list[str] | None:
    hashed = erasure.ledger.read(lambda connection: hash_keys(connection, erased.keys))
    try:
        index = TrainedOnIndex(registry, erasure.home / "trained_on")
        return [f"{one.name} {one.version}" for one in index.find(hashed)]
    except Exception:  # a customer is forgotten also while MLflow is down
        log.exception("MLflow could not say which models were trained on a forgotten customer")
        return None
