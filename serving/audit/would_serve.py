"""Makes the bandit that would have served: a version, and what was told before a time.

A version is not what serves. A learner builds on what the version has learned from imported
decisions, and counts the outcomes of the service on top. So a version is judged as a learner would
have published it that built on it and stopped at the first decision judged: with the outcomes that
were received by then, and the silences as they counted then.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.errors import NotRepeatable
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.outcomes.delay_epochs import ResponseDelays
from serving.learn.updates import AsOf, BanditUpdates
from serving.models.served_models import PRIOR
from training.bandit.artifact import Bandit
from training.bandit.bandit_state import BanditState
from training.bandit.contextual_bandit import next_encoding
from training.params import BanditParams


class NamedBandit(NamedTuple):
    """A bandit of the registry and its version; the version is `PRIOR` if there is none."""

    version: str
    bandit: Bandit


@dataclass(frozen=True, slots=True)
class WouldServe:
    """A bandit as it would have served at a time.

    Attributes
    ----------
    version : str
        The version that a learner built on.
    at : datetime
        What was told before this time is counted.
    bandit : Bandit
    told : int
        Number of outcomes of the service that were received before.
    """

    version: str
    at: datetime
    bandit: Bandit
    told: int

    @property
    def name(self) -> str:
        """The name under which an archive holds this bandit; no version has one like it."""
        return f"{self.version} at {tables.micros(self.at)}"


class PastLearner:
    """Learns from the outcomes of a ledger as of times in the past; writes nothing.

    Parameters
    ----------
    catalog
        The catalogue that is evaluated: its rules of acceptance count.
    params
        The settings with which the learner learns.
    """

    def __init__(
        self, ledger: Ledger, domain: Domain, catalog: Catalog, params: BanditParams
    ) -> None:
        self._ledger = ledger
        self._domain = domain
        self._catalog = catalog
        self._params = params

    def prior(self) -> NamedBandit:
        """The bandit on which a learner builds where nothing was trained."""
        blank = BanditUpdates(self._ledger, self._domain, self._params).blank()
        return NamedBandit(PRIOR, Bandit(blank, self._params))

    def would_serve(self, named: NamedBandit, at: datetime) -> WouldServe:
        """Make the bandit that a learner on top of a version would have published at a time.

        Encoder and memory are those of the last number of shown decisions at which a learner
        chooses them. Trees are fitted as of ``at``, where enough was told for it.

        Raises
        ------
        NotRepeatable
            If the version was trained for another domain file.
        """
        imported = named.bandit.imported
        delays = ResponseDelays(self._catalog)
        updates = BanditUpdates(self._ledger, self._domain, self._params, AsOf(at, delays))
        if not updates.fits(imported):
            raise NotRepeatable(
                f"Bandit version {named.version} reads features that the domain file does not "
                "have.",
                expected="a version that was trained for this domain file",
                remedy="Train one: 'nba train bandit'.",
            )
        state = updates.recounted(imported, _encoded_at(updates.shown()), delays)
        if state.wants_trees():
            fitted = updates.fit_trees(state)
            state.use_trees(fitted.trees or state.trees, fitted.counted)
        bandit = replace(named.bandit, state=state, start=imported)
        return WouldServe(named.version, at, bandit, self._told(at))

    def _told(self, at: datetime) -> int:
        """Count the outcomes of served decisions that were received before a time."""
        told, decided = tables.outcomes.c, tables.decisions.c
        query = sa.select(sa.func.count()).select_from(tables.outcomes)
        query = query.join(tables.decisions, decided.decision_id == told.decision_id)
        query = query.where(decided.served, told.received_at < at)
        return self._ledger.read(lambda connection: connection.execute(query).scalar_one())


def newest_learned(bandit: Bandit) -> int | None:
    """The serial of the newest served decision that a version has learned from; None: of none."""
    if bandit.start is None or bandit.state.counted == bandit.start.counted:
        return None
    return int(bandit.state.newest)


def knows_imported(state: BanditState) -> bool:
    """Return whether a state has learned from imported decisions."""
    return state.counted > 0


def _encoded_at(shown: int) -> int:
    """The last threshold that a number of shown decisions has reached; 0: none."""
    reached = 0
    while (threshold := next_encoding(reached)) <= shown:
        reached = threshold
    return reached
