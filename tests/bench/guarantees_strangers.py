"""Measures what is predicted for customers without a past, beside the labels of training.

The labels are counted anew from the ledger, not read from the model.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
import pandas as pd

from features.business.domain import Domain, load_domain
from features.datasets.labels import churn_moments, intent_moments, midnight
from features.ingest.load_tables import shift_of
from features.ledger.ledger import Ledger
from features.ledger.tables import from_micros
from features.settings import Settings
from tests.bench.guarantees_home import CHANNEL, event, grocer, send
from tests.bench.guarantees_report import Figure, at_most, none_of, told
from tests.server import Server, running

STRANGERS = 200
WITHIN = 0.02
ONE_EVENT = 20  # customers with one event each
NO_PAST = "no_past: "


class BaseRatesOfTraining(NamedTuple):
    """The mean label of the training moments of churn, and the share of each intent in its own."""

    churn: float
    moments: int
    intents: Mapping[str, float]


def run() -> list[Figure]:
    """Measure one worker in a copy of the grocery's home."""
    with tempfile.TemporaryDirectory() as scratch:
        home = grocer(Path(scratch))
        base = base_rates(home.settings)
        with running(home.path, {**home.env, "NBA_WORKERS": "1"}) as server:
            return measure(server, base)


def base_rates(settings: Settings) -> BaseRatesOfTraining:
    """Count the labels of the moments before the validation of the domain file begins."""
    domain = load_domain(settings.domain)
    ledger = Ledger(settings.ledger_url)
    try:
        shift = shift_of(ledger)
        churn = _trained(churn_moments(ledger, domain, shift), domain, ledger)
        intent = _trained(intent_moments(ledger, domain, shift), domain, ledger)
    finally:
        ledger.close()
    counts = np.bincount(intent, minlength=len(domain.intents))
    shares = dict(zip(domain.intents, (counts / len(intent)).tolist(), strict=True))
    return BaseRatesOfTraining(float(churn.mean()), len(churn), shares)


def _trained(moments: pd.DataFrame, domain: Domain, ledger: Ledger) -> pd.Series[int]:
    """The labels that were known before the first moment of validation."""
    assert domain.moments is not None and domain.moments.test_from is not None
    first_test = from_micros(midnight(domain.moments.test_from, shift_of(ledger)))
    before = (moments["event_timestamp"] < first_test) & (moments["settled_at"] <= first_test)
    labels: pd.Series[int] = moments.loc[before, "label"]
    return labels


def measure(server: Server, base: BaseRatesOfTraining) -> list[Figure]:
    """Decide twice for each stranger, and once for customers with one event."""
    names = [f"stranger-{uuid4().hex}" for _ in range(STRANGERS)]
    first, again = ([_decided(server, name) for name in names] for _ in range(2))
    churn = _mean([answer["predictions"]["churn"] for answer in first])
    found = {
        name: _mean([answer["predictions"]["intent"][name] for answer in first])
        for name in base.intents
    }
    farthest = max(abs(found[name] - share) for name, share in base.intents.items())
    both = [*first, *again]
    unsaid = sum(not any(one.startswith(NO_PAST) for one in made["degraded"]) for made in both)
    known = sum(answer["known"] for answer in both)
    viewed = sum(_viewed(server, name)["known"] for name in names)
    once = _mean([_after_one_event(server) for _ in range(ONE_EVENT)])
    many = f"{STRANGERS} strangers"
    return [
        told(f"base rate of churn, {base.moments:,} training moments", base.churn, ""),
        told(f"{many}: mean predicted churn", churn, ""),
        _close(f"{many}: difference from the base rate", abs(churn - base.churn)),
        _close(f"{many}: largest difference of an intent from its share", farthest),
        none_of(f"{many}, two decisions each: 'degraded' does not say no_past", unsaid, len(both)),
        none_of(f"{many}, two decisions each: told as known", known, len(both)),
        none_of(f"{many}, after two decisions: told as known by /v1/customer", viewed, len(names)),
        told(f"{ONE_EVENT} customers with one event just now: mean predicted churn", once, ""),
    ]


def _close(subject: str, difference: float) -> Figure:
    return at_most(subject, difference, WITHIN, "")._replace(speed=False)


def _mean(values: list[float]) -> float:
    return float(np.mean(values))


def _decided(server: Server, customer_id: str) -> dict[str, Any]:
    return _asked(server, "/v1/decide", {"customer_id": customer_id, "channel": CHANNEL})


def _viewed(server: Server, customer_id: str) -> dict[str, Any]:
    return _asked(server, "/v1/customer", {"customer_id": customer_id})


def _asked(server: Server, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    status, answer = server.post(path, body)
    assert status == 200, answer
    found: dict[str, Any] = answer
    return found


def _after_one_event(server: Server) -> float:
    """Send the first event of a customer, and predict churn."""
    name = f"newcomer-{uuid4().hex}"
    bought = {"amount_usd": 20.0, "mission": "fresh"}
    send(server, event(uuid4().hex, name, "basket", properties=bought))
    answer = _decided(server, name)
    assert answer["known"] and not answer["degraded"], answer
    return float(answer["predictions"]["churn"])
