"""Fits effects to the newest labelled decisions of a ledger."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from datetime import datetime

import sqlalchemy as sa

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.clock import monotonic_s
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.value_labels.label_rules import LabelRules
from features.value_labels.labelled_decisions import LabelledDecisions
from features.value_labels.labelled_reader import stream_labelled
from training.effects.effect_fit import EffectInput, fit_effects
from training.effects.effect_model import EffectModel
from training.params import EffectParams

KEPT = 20_000  # decisions, of 1 kB each
PAUSE = 2.0  # so many times as long as a batch took, so that a learner's steps go on at their speed


class FitEnded(Exception):
    """A fit that nobody waits for any more has ended without a result."""


def fit_from_ledger(
    ledger: Ledger,
    domain: Domain,
    catalog: Catalog,
    model_input: ModelInput,
    params: EffectParams,
    now: datetime,
    keep: int = KEPT,
    pause: float = 0.0,
    ended: threading.Event | None = None,
) -> EffectModel | None:
    """Fit the effects of the actions of a catalogue; None if too little has happened yet.

    The decisions are read some at a time, by each pass of the fit anew: they take more memory than
    a learner should. A customer who was forgotten is in no fit from then on.

    Parameters
    ----------
    keep : int
        So many decisions, at most, are read once and kept for all passes.
    pause : float
        After each batch of decisions, so many times as long as it took; see `PAUSE`.
    ended
        Is set when nobody waits for the fit any more.

    Raises
    ------
    FitEnded
        At the next batch after ``ended`` was set.
    """
    rules = LabelRules(domain, catalog, model_input)
    business = EffectInput(
        actions=rules.actions,
        groups=catalog.groups_of,
        features=model_input.names,
        channels=tuple(domain.channels),
        horizon_days=rules.horizon_days,
        tells_leaving=domain.churn is not None,
    )

    ended = ended or threading.Event()
    total = min(ledger.read(_count_served), params.newest)
    kept = list[LabelledDecisions]()

    def read(every: int) -> Iterator[LabelledDecisions]:
        if every > 1 or total > keep:
            some = stream_labelled(ledger, rules, now, params.newest, every=every)
            yield from _paced(some, pause, ended)
            return
        if not kept:
            kept.extend(_paced(stream_labelled(ledger, rules, now, params.newest), pause, ended))
        yield from _paced(kept, pause, ended)

    return fit_effects(read, total, business, params)


def _count_served(connection: sa.Connection) -> int:
    counted = sa.select(sa.func.count()).where(tables.decisions.c.served)
    count: int = connection.execute(counted).scalar_one()
    return count


def _paced(
    batches: Iterable[LabelledDecisions], pause: float, ended: threading.Event
) -> Iterator[LabelledDecisions]:
    """Yield batches, with pauses so many times as long as it took to read and to use each."""
    began_s = monotonic_s()
    for batch in batches:
        if ended.is_set():
            raise FitEnded("the learner ends; effects are fitted when it runs again")
        yield batch
        time.sleep(pause * (monotonic_s() - began_s))
        began_s = monotonic_s()
