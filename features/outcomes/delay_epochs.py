"""Counts silences: reads delays of acceptances, and looks at ranks, as of fixed epochs.

A curve of delays and the looks are functions of the ledger and their epoch alone. So a learner that
was killed, or comes late, gives each silence the count that one which always ran has given it. The
epochs are denser at first, when each acceptance tells more.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from features.business.catalog import Catalog
from features.ledger import tables
from features.ledger.databases import BUSY_MS
from features.outcomes.acceptance_delays import count_acceptances, read_delays
from features.outcomes.credit_rules import ShownAction
from features.outcomes.examination import (
    Looks,
    RankedShowings,
    estimate_looks,
    look_at,
    looked_at_in_silence,
)
from features.outcomes.ranked_showings import read_ranked_showings
from features.outcomes.response_delays import (
    OWN_DELAYS,
    POOLED_DELAYS,
    DelayCurve,
    Delays,
    choose_curve,
)
from features.outcomes.silence import MIDDLES, SilentInterval

FIRST_SHOWN = "first shown at"  # key of `meta`: the origin of the epochs, microseconds since 1970
MOST = 2_000  # acceptances that an action's curve is estimated from, about
POOL = 20_000  # acceptances that the pooled curve is estimated from, evenly of all actions
WINDOWS_READ = 2.0  # attribution windows of showings that a curve is estimated from
# After that an outcome is on disk, or its request has failed.
SETTLE = timedelta(milliseconds=BUSY_MS)
DAY = timedelta(days=1)
FIRST_EPOCH, GROWTH = timedelta(seconds=10), 1.2
EPOCHS_IN_MEMORY = 8
NO_DELAYS = Delays(np.empty(0), np.empty(0))
CURVES_IN_MEMORY = 50_000


def _growing_offsets() -> list[timedelta]:
    offsets = [FIRST_EPOCH]
    while (following := FIRST_EPOCH * GROWTH ** len(offsets)) - offsets[-1] < DAY:
        offsets.append(following)
    return offsets


OFFSETS = _growing_offsets()  # of the epochs until they are a day apart


class Epoch(NamedTuple):
    """A time as of which curves are estimated, and its number from 0."""

    number: int
    at: datetime


def newest_epoch(first_shown_at: datetime, at: datetime) -> Epoch | None:
    """Find the newest epoch whose outcomes are all on disk at ``at``; None if there is none yet.

    Epoch j is 10 s x 1.2^j after the first showing, but at most a day after epoch j - 1.
    """
    elapsed = at - SETTLE - first_shown_at
    number = bisect_right(OFFSETS, elapsed) - 1
    if number < 0:
        return None
    days = (elapsed - OFFSETS[-1]) // DAY if number == len(OFFSETS) - 1 else 0
    return Epoch(number + days, first_shown_at + OFFSETS[number] + days * DAY)


class ResponseDelays:
    """Curves of the delays of one ledger's acceptances, computed when they are asked for.

    Parameters
    ----------
    catalog
        Says which outcomes are acceptances, and how long the windows of the pooled actions are.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        outcomes = catalog.outcomes
        accepting = (name for name, one in outcomes.items() if (one.acceptance or 0) > 0)
        self._accepting = tuple(accepting)
        self._longest_days = max(one.attribution_days for one in catalog.actions.values())
        self._pooled_each = min(MOST, max(POOL // len(catalog.actions), 1))
        self._first_shown_at: datetime | None = None
        self._seen: tuple[sa.Transaction | None, datetime | None] = (None, None)
        self._delays: dict[int, dict[tuple[str, int], Delays]] = {}
        self._pooled_curves: dict[int, dict[float, DelayCurve]] = {}
        self._middles: dict[tuple[int, str, float], NDArray[np.float64]] = {}
        self._looks: dict[int, Looks] = {}

    def silence_count(
        self,
        connection: sa.Connection,
        shown: ShownAction,
        interval: SilentInterval,
        channel: str = "",
        believed: float = np.nan,
    ) -> float:
        """Return the part of a no, in [0, 1], that a silent action counts as in an interval.

        It is the share of acceptances that have come, times the probability that the action was
        looked at nevertheless.

        Parameters
        ----------
        channel : str
            Of the decision.
        believed : float
            The acceptance that was believed at the decision; ``nan``: unknown.
        """
        come = self._share_come(connection, shown, interval)
        if shown.rank == 1 or come == 0:
            return come
        look = look_at(self.looks(connection, interval.begin_at), channel, shown.rank)
        return come * looked_at_in_silence(look, believed)

    def looks(self, connection: sa.Connection, at: datetime) -> Looks:
        """Estimate the examination probabilities as of the newest epoch before a time.

        They are empty before the first epoch, and where no decision has shown several actions.
        """
        epoch = self._epoch(connection, at)
        if epoch is None:
            return {}
        if epoch.number not in self._looks:
            if len(self._looks) >= EPOCHS_IN_MEMORY:
                del self._looks[next(iter(self._looks))]
            self._looks[epoch.number] = estimate_looks(self._showings(connection, epoch))
        return self._looks[epoch.number]

    def _showings(self, connection: sa.Connection, epoch: Epoch) -> RankedShowings:
        def share_of(action: str, window_s: float, ages: NDArray[np.float64]) -> Any:
            return self._curve(connection, epoch, action, window_s).share(ages)

        return read_ranked_showings(connection, self.catalog, epoch.at, share_of)

    def _share_come(
        self, connection: sa.Connection, shown: ShownAction, interval: SilentInterval
    ) -> float:
        """The share of the acceptances that has come by the middle of an interval."""
        if interval.end_at is None:
            return 1.0
        epoch = self._epoch(connection, interval.begin_at)
        window_s = (shown.ends_at - shown.shown_at).total_seconds()
        if epoch is None:
            return float(shares_unseen(window_s)[interval.number])
        key = epoch.number, shown.action_id, window_s
        if key not in self._middles:
            if len(self._middles) >= CURVES_IN_MEMORY:
                self._middles.clear()
            curve = self._curve(connection, epoch, shown.action_id, window_s)
            self._middles[key] = curve.share(np.array(MIDDLES) * window_s)
        return float(self._middles[key][interval.number])

    def mean_delay_s(self, connection: sa.Connection, at: datetime) -> float | None:
        """Return the mean delay of all actions' acceptances, in seconds, as of an epoch.

        It is that of the pooled curve in the longest window of the catalogue; None while too few
        acceptances are known.

        Parameters
        ----------
        at
            A time that has passed; the newest epoch before it is taken.
        """
        window_s = self._longest_days * DAY.total_seconds()
        epoch = self._epoch(connection, at)
        pooled = None if epoch is None else self._pooled(connection, epoch).within(window_s)
        if pooled is None or len(pooled.delays) < POOLED_DELAYS:
            return None
        return DelayCurve.fit(pooled, window_s).mean_s()

    def keep_first_shown(self, connection: sa.Connection) -> None:
        """Write the origin of the epochs, so that it stays when its customer is forgotten."""
        if self._first_shown_at is not None:
            value = str(tables.micros(self._first_shown_at))
            tables.insert_new(connection, tables.meta, [{"key": FIRST_SHOWN, "value": value}])

    def _epoch(self, connection: sa.Connection, at: datetime) -> Epoch | None:
        first = self._first_shown_at or self._first_seen(connection)
        if first is None:
            return None
        epoch = newest_epoch(first, at)
        if epoch is not None:  # the first showing is on disk by now
            self._first_shown_at = first
        return epoch

    def _first_seen(self, connection: sa.Connection) -> datetime | None:
        """The first showing as a transaction sees it; read once for each transaction.

        A learner asks for every silence of a step. Before the first epoch has settled, it would
        else search all decisions each time.
        """
        transaction = connection.get_transaction()
        if transaction is None or transaction is not self._seen[0]:
            self._seen = (transaction, _first_shown(connection))
        return self._seen[1]

    def _curve(
        self, connection: sa.Connection, epoch: Epoch, action_id: str, window_s: float
    ) -> DelayCurve:
        """The curve of an action's own delays, or else of those of all actions."""
        if self._may_have_own(connection, epoch, action_id):
            own = self._of_action(connection, epoch, action_id, MOST)
            if len(own.within(window_s).delays) >= OWN_DELAYS:
                return choose_curve(own, own, window_s)
        return self._pooled_curve(connection, epoch, window_s)

    def _may_have_own(self, connection: sa.Connection, epoch: Epoch, action_id: str) -> bool:
        """False if an action has fewer acceptances than delays are needed."""
        since = self._since(epoch.at, action_id)
        within = action_id, self._accepting, since, epoch.at
        return count_acceptances(connection, *within) >= OWN_DELAYS

    def _pooled_curve(self, connection: sa.Connection, epoch: Epoch, window_s: float) -> DelayCurve:
        """The curve of all actions' delays in a window; estimated once, however many ask for it."""
        curves = self._pooled_curves.setdefault(epoch.number, {})
        if len(self._pooled_curves) > EPOCHS_IN_MEMORY:
            del self._pooled_curves[next(iter(self._pooled_curves))]
        if window_s not in curves:
            pooled = self._pooled(connection, epoch)
            curves[window_s] = choose_curve(NO_DELAYS, pooled, window_s)
        return curves[window_s]

    def _pooled(self, connection: sa.Connection, epoch: Epoch) -> Delays:
        """Delays of all actions of the catalogue, each cut at its own window."""
        delays, limits = [], []
        for action_id, action in self.catalog.actions.items():
            own, elapsed = self._of_action(connection, epoch, action_id, self._pooled_each)
            delays.append(own)
            limits.append(np.minimum(elapsed, action.attribution_days * DAY.total_seconds()))
        return Delays(np.concatenate(delays), np.concatenate(limits))

    def _of_action(
        self, connection: sa.Connection, epoch: Epoch, action_id: str, most: int
    ) -> Delays:
        """Delays of an action as of an epoch, about ``most``, and the time since the showings."""
        kept = self._delays.setdefault(epoch.number, {})
        if len(self._delays) > EPOCHS_IN_MEMORY:
            del self._delays[next(iter(self._delays))]
        if (action_id, most) not in kept:
            kept[action_id, most] = self._read(connection, epoch.at, action_id, most)
        return kept[action_id, most]

    def _read(
        self, connection: sa.Connection, as_of: datetime, action_id: str, most: int
    ) -> Delays:
        since = self._since(as_of, action_id)
        return read_delays(connection, action_id, self._accepting, since, as_of, most)

    def _since(self, as_of: datetime, action_id: str) -> datetime:
        action = self.catalog.actions.get(action_id)
        # Of an action that the catalogue does not have any more, some windows may still be open.
        days = self._longest_days if action is None else action.attribution_days
        return as_of - WINDOWS_READ * days * DAY


@lru_cache(maxsize=EPOCHS_IN_MEMORY)
def shares_unseen(window_s: float) -> NDArray[np.float64]:
    """The share of the acceptances that has come by the middle of each interval, before any has."""
    return DelayCurve.unseen(window_s).share(np.array(MIDDLES) * window_s)


def _first_shown(connection: sa.Connection) -> datetime | None:
    """The time of the first served showing; None if there is none."""
    kept = tables.get_meta(connection, FIRST_SHOWN)
    if kept is not None:
        return tables.from_micros(int(kept))
    columns = tables.decisions.c
    query = sa.select(sa.func.min(columns.activated_at)).where(columns.served)
    found: datetime | None = connection.execute(query).scalar()
    return found
