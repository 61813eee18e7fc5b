"""Learns effects: looks at customers again after decisions, and fits effects when it is time."""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta
from functools import partial

import sqlalchemy as sa

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.value_labels.customer_rows import read_customers as read_from_ledger
from features.value_labels.later_features import look_position
from serving.effects import fitting
from serving.effects.looks import CustomerLooks, ReadCustomers
from serving.effects.published import (
    FittedEffects,
    PublishedAt,
    newest_published,
    publish_effects,
)
from training.effects.effect_model import EffectModel
from training.params import EffectParams

log = logging.getLogger(__name__)

# Since a fit customers have bought and left, were forgotten, or events were revised.
AT_LATEST = timedelta(days=7)
PAUSE = timedelta(minutes=10)  # after a fit that failed


class EffectLearner:
    """Learns the effects of actions from one ledger, where the objective is the added value.

    A look is written with the position of the looks in one transaction. So a process that is killed
    at any moment goes on without looking twice, and of two processes one does each step. A fit
    changes nothing until it is published, unless another one was published since it began.

    Parameters
    ----------
    catalog
        May be replaced by setting ``catalog``.
    read_customers
        Reads what is known of customers now; None: from the ledger.
    keep : int
        See `fit_from_ledger`.
    """

    def __init__(
        self,
        ledger: Ledger,
        domain: Domain,
        catalog: Catalog,
        params: EffectParams,
        read_customers: ReadCustomers | None = None,
        keep: int = fitting.KEPT,
    ) -> None:
        self.catalog = catalog
        self._ledger = ledger
        self._domain = domain
        self._input = ModelInput(domain)
        self._params, self._keep = params, keep
        read = read_customers or (lambda c, names: read_from_ledger(c, self._input, names))
        self._looks = CustomerLooks(ledger, self._input, read)
        self._tried = PublishedAt()  # the last fit that was not published
        self._failed_at: datetime | None = None
        self._ended = threading.Event()

    @property
    def is_wanted(self) -> bool:
        """True where the objective is the added value: without it there is nothing to learn."""
        return self.catalog.pays_effects

    def look(self, now: datetime) -> bool:
        """Look at the customers of the next decisions again; return True if many more wait."""
        return self.is_wanted and self._looks.step(now).is_full

    def look_at_all(self, now: datetime) -> None:
        """Look at the customers of all decisions that are due."""
        while self.is_wanted and self._looks.step(now).went_on:
            pass

    def wants_fit(self, now: datetime, growth: float = 0.0) -> bool:
        """True if enough decisions were looked at since the last fit, or it is a week old.

        Parameters
        ----------
        growth : float
            Decisions looked at, so many times as many; at least as many times as the settings say.
        """
        if not self.is_wanted:
            return False
        if self._failed_at is not None and now < self._failed_at + PAUSE:
            return False
        looked, last = self._ledger.read(_progress)
        if looked < self._params.at_least:
            return False
        last = max(last, self._tried, key=lambda one: (one.labels, one.at or tables.EPOCH))
        if last.at is None or looked >= max(self._params.growth, growth) * last.labels:
            return True
        return now >= last.at + AT_LATEST

    def fit(self, now: datetime, pause: float = 0.0) -> FittedEffects:
        """Fit effects to the newest labelled decisions; takes seconds.

        Changes nothing, so it may run in a thread beside the looks. `publish` then writes.

        Parameters
        ----------
        pause : float
            See `fit_from_ledger`.
        """
        looked, last = self._ledger.read(_progress)
        try:
            model = self._fitted(now, pause)
        except Exception:
            self._failed_at = now
            raise
        if model is None:
            return FittedEffects(None, {}, looked, last.number)
        return FittedEffects(model.to_bytes(), model.note, looked, last.number)

    def end(self) -> None:
        """End a fit that runs in a thread, so that its process need not wait for minutes."""
        self._ended.set()

    def _fitted(self, now: datetime, pause: float) -> EffectModel | None:
        domain, catalog = self._domain, self.catalog
        return fitting.fit_from_ledger(
            *(self._ledger, domain, catalog, self._input, self._params, now, self._keep, pause),
            self._ended,
        )

    def publish(self, fitted: FittedEffects, now: datetime) -> bool:
        """Publish fitted effects.

        Returns
        -------
        bool
            False if nothing was found in so few labels, or another learner has published since.
        """
        write = partial(publish_effects, fitted=fitted, now=now)
        number = self._ledger.write_now(write)
        self._tried = PublishedAt(0, fitted.labels, now)
        if number is not None:
            log.info("Effects %s were fitted, to %s looks", number, fitted.labels)
        return number is not None


def _progress(connection: sa.Connection) -> tuple[int, PublishedAt]:
    """Count the decisions that were looked at so far, and read when effects were last published."""
    return look_position(connection).looked, newest_published(connection)
