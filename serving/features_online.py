"""Reads features for a decision; a feature store that fails costs knowledge, not the answer."""

from __future__ import annotations

import logging

from features.store import FeatureStore, Known

log = logging.getLogger(__name__)


class OnlineFeatures:
    """The feature store as the engine sees it; see `serving.engine.Features`.

    Parameters
    ----------
    store
        None if it could not be opened.
    problem
        Why not, in a sentence.
    """

    def __init__(self, store: FeatureStore | None, problem: str = "") -> None:
        self._store = store
        self._problem = problem
        self.refresh()

    @property
    def degraded(self) -> tuple[str, ...]:
        """What is wrong, in sentences for people."""
        return (f"features: {self._problem}",) if self._problem else ()

    def online(self, customer_id: str) -> Known | None:
        """What is known of a customer; None if nothing is, or the store cannot say."""
        if self._store is None or self._problem:
            return None
        try:
            return self._store.online(customer_id)
        except Exception as error:  # whatever the store behind Feast raises
            log.exception("The feature store failed")
            self._problem = f"the online store failed ({type(error).__name__}); see the log"
            return None

    def refresh(self) -> None:
        """Look again whether the store can be used."""
        if self._store is None:
            return
        try:
            self._problem = self._store.why_unusable() or ""
        except Exception as error:
            log.exception("The feature store failed")
            self._problem = f"the online store failed ({type(error).__name__}); see the log"
