"""Of real households only digests and predictions are kept.

The importer moves the grocer's year by whole weeks into the present, so the moment of reading is
counted from the last event there is; nothing that a model reads hangs on the calendar.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa

from features.business.domain import load_domain
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.settings import load_settings
from features.store.feast_store import FeatureStore
from training.models.classifier import Classifier
from training.pipeline.registry import CHAMPION, Registry

HOUSEHOLDS, EVERY = 200, 12  # so many, one of twelve in the order of their ids
READ_AFTER = timedelta(days=1)  # the last event of the ledger


def households(env: Mapping[str, str]) -> dict[str, Any]:
    """This reads the households of a built home.

    Returns
    -------
    dict
        ``rows``: sha256 of each household's float64 row; ``features``: of each feature's column,
        to name what has changed; ``churn``: a chance by household; ``intent``: one for each class.
    """
    settings = load_settings(env)
    domain, ledger = load_domain(settings.domain), Ledger(settings.ledger_url)
    store, model_input = FeatureStore(settings, domain), ModelInput(domain)
    happened, person = tables.events.c.occurred_at, tables.customers.c.customer_id
    last = ledger.read(lambda c: c.execute(sa.select(sa.func.max(happened))).scalar_one())
    everybody = ledger.read(lambda c: list(c.execute(sa.select(person).order_by(person)).scalars()))
    ledger.close()
    ids = everybody[::EVERY][:HOUSEHOLDS]
    at_s = (last + READ_AFTER).timestamp()
    known = [store.online(one) for one in ids]
    rows = np.array(
        [
            model_input.read(one.attributes, one.state, at_s, one.account_state)
            for one in known
            if one
        ]
    )
    assert len(rows) == len(ids), "a household is unknown"
    registry = Registry(settings)
    churn, intent = (
        Classifier.load(registry.folder(registry.version(name, CHAMPION)))
        for name in ("churn", "intent")
    )
    intents = (intent.probabilities(row[None, :])[0].tolist() for row in rows)
    return {
        "rows": {one: digest(row) for one, row in zip(ids, rows, strict=True)},
        "features": {
            name: digest(rows[:, number]) for number, name in enumerate(model_input.names)
        },
        "churn": {
            one: float(churn.probabilities(row[None, :])[0, 1])
            for one, row in zip(ids, rows, strict=True)
        },
        "intent": {
            one: dict(zip(intent.classes, chances, strict=True))
            for one, chances in zip(ids, intents, strict=True)
        },
    }


def digest(numbers: np.ndarray) -> str:
    """This hashes float64 numbers to the last bit; all that are not known are alike."""
    known = np.ascontiguousarray(numbers, dtype="<f8").copy()
    known[np.isnan(known)] = np.nan
    known[known == 0.0] = 0.0  # whatever its sign
    return hashlib.sha256(known.tobytes()).hexdigest()
