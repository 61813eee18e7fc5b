"""Reads the logged decisions that an off-policy evaluation may judge, newest first.

Which decisions are judged must not depend on the action that was drawn: else the rewards of the
judged ones are those of a selection. So a decision is judged when the longest window of all its
*candidates* has closed, whichever of them was drawn, and whether or not it was shown in the end.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, NamedTuple

import sqlalchemy as sa
from pydantic_core import from_json

from features.business.catalog import NO_ACTION, Catalog
from features.business.decided_actions import logged_chances
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.outcomes.attribution import DECISION_COLUMNS, read_attribution, shown_by
from features.outcomes.credit_rules import ShownAction, reward
from serving.audit.archive import Archive

BATCH = 500  # decisions read at once
PAGE = 20_000  # ids of decisions read at once
OPEN = "their outcomes may still come"
OTHER_LAYOUT = "the domain file has changed since"
NOT_LOGGED = "their models or catalogue are gone"
LEFT_ALONE = "their customers are in the arm nobody, for which no policy decides"
NOT_ANSWERED = "the evaluated catalogue refuses what they were asked for"

_READ = (
    *DECISION_COLUMNS,
    *(
        tables.decisions.c[name]
        for name in ("subject", "features", "answer", "customer_id", "channel", "arm", "believed")
    ),
)


# When a pacing state was first read; and each state with the last time at which it was read.
_Readings = tuple[datetime, list[tuple[datetime, Any]]]


class Period(NamedTuple):
    """The time of the decisions that are asked for: from ``since``, before ``until``."""

    since: datetime
    until: datetime | None


class LoggedDecision(NamedTuple):
    """A decision of the ledger whose outcomes, if any, can come no more.

    Attributes
    ----------
    row
        Its row in the ledger.
    record, answer : mapping
        Its record and its answer, as JSON.
    catalog : Catalog
        The catalogue with which it was made.
    """

    row: Any
    record: Mapping[str, Any]
    answer: Mapping[str, Any]
    catalog: Catalog

    @property
    def logged(self) -> dict[str, float]:
        """By candidate, the probability with which it was drawn for the first slot; may be 0."""
        return logged_chances(self.row, self.record, tuple(self.catalog.actions))


class LoggedDecisions:
    """Reads decisions and their rewards from the ledger.

    Parameters
    ----------
    catalog
        The catalogue that serves now; rewards are counted under it.
    left_out
        Counts the decisions that cannot be judged, by reason.
    """

    def __init__(
        self, ledger: Ledger, archive: Archive, catalog: Catalog, left_out: Counter[str]
    ) -> None:
        self._ledger = ledger
        self._archive = archive
        self._catalog = catalog
        self._left_out = left_out
        self._catalogs: dict[str, Catalog | None] = {}
        self._hours: float | None = None

    def read(self, period: Period, now: datetime) -> Iterator[list[LoggedDecision]]:
        """Yield the decisions of a period in batches, newest first.

        The longest window of the logged candidates of each has closed.
        """
        for names in self._batches(period):
            found = [one for row in self._rows(names) if (one := self._usable(row)) is not None]
            closed = [one for one in found if self.ends_at(one, logged_windows(one)) <= now]
            self._left_out[OPEN] += len(found) - len(closed)
            yield closed

    def count(self, period: Period) -> int:
        """Number of decisions of a period, open ones among them."""
        query = sa.select(sa.func.count()).select_from(tables.decisions)
        query = query.where(*_conditions(period))
        return self._ledger.read(lambda connection: connection.execute(query).scalar_one())

    def ends_at(self, decision: LoggedDecision, days: Iterable[float]) -> datetime:
        """The time from which an outcome cannot count any more, whatever was drawn.

        Parameters
        ----------
        days
            The attribution windows of the actions that could be drawn.
        """
        decided_at: datetime = decision.row.decided_at
        end = decided_at + timedelta(days=max(days, default=0.0))
        if decision.record["request"].get("activate", True):
            return end
        # A window begins when the action is shown, which may be as late as this.
        return end + timedelta(hours=self._activation_hours())

    def rewards(self, decisions: Sequence[LoggedDecision]) -> dict[str, float]:
        """Compute the reward of the first action less its cost, by decision id.

        A decision is missing if its first action was not shown: it earned nothing, at no cost.
        """
        shown = [first for one in decisions if (first := _first(one.row)) is not None]
        found = self._ledger.read(lambda c: read_attribution(c, shown, self._catalog))
        return {
            one.shown.decision_id: reward(one, found.shares, self._catalog) for one in found.actions
        }

    def _batches(self, period: Period) -> Iterator[list[str]]:
        """Ids of the decisions of a period, newest first, whatever was drawn."""
        columns = tables.decisions.c
        query = sa.select(columns.decided_at, columns.decision_id).where(*_conditions(period))
        query = query.order_by(columns.decided_at.desc(), columns.decision_id).limit(PAGE)
        page = query
        while rows := self._all(page):
            names = [row.decision_id for row in rows]
            yield from (names[start : start + BATCH] for start in range(0, len(names), BATCH))
            at, last = rows[-1]
            same_time = (columns.decided_at == at) & (columns.decision_id > last)
            page = query.where((columns.decided_at < at) | same_time)

    def _rows(self, names: Sequence[str]) -> list[Any]:
        columns = tables.decisions.c
        query = sa.select(*_READ).where(columns.decision_id.in_(names), columns.answer.is_not(None))
        found = {row.decision_id: row for row in self._all(query)}
        return [found[name] for name in names if name in found]

    def _all(self, query: sa.Select[Any]) -> list[Any]:
        return self._ledger.read(lambda connection: list(connection.execute(query)))

    def _usable(self, row: Any) -> LoggedDecision | None:
        if row.arm == "nobody":  # left out by customer, so what is left is no selection
            self._left_out[LEFT_ALONE] += 1
            return None
        record: Mapping[str, Any] = from_json(row.record)
        if record["features_layout"] != self._archive.fingerprint:
            self._left_out[OTHER_LAYOUT] += 1
            return None
        catalog = self._catalog_of(record["catalog"])
        if catalog is None:
            self._left_out[NOT_LOGGED] += 1
            return None
        return LoggedDecision(row, record, from_json(row.answer), catalog)

    def _catalog_of(self, fingerprint: str) -> Catalog | None:
        if fingerprint not in self._catalogs:
            self._catalogs[fingerprint] = self._archive.catalog(fingerprint)
        return self._catalogs[fingerprint]

    def _activation_hours(self) -> float:
        """The longest time after which a catalogue that has served lets actions be shown.

        The catalogue that serves at the activation counts, which may be a later one.
        """
        if self._hours is None:
            rows = self._all(sa.select(tables.catalogs.c.content))
            served = [Catalog.model_validate_json(row.content) for row in rows]
            catalogs = [self._catalog, *served]
            self._hours = max(one.contact_policy.activate_within_hours for one in catalogs)
        return self._hours


class RecordedPaces:
    """The pacing states that logged decisions have read; they are read from the ledger when needed.

    A decision reads only the states of volumes and budgets of actions that its customer may get.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._read: dict[str, _Readings] | None = None

    def state(self, name: str, at: datetime) -> Any:
        """The state of a volume or budget at a time; None if none was read until then.

        It is that of the next reading: who spends reads, so nobody has spent in between.
        """
        if self._read is None:
            self._read = self._ledger.read(_recorded_paces)
        begun, read = self._read.get(name, (at, []))
        if not read or at < begun:
            return None
        return read[min(bisect.bisect_left(read, at, key=itemgetter(0)), len(read) - 1)][1]


def _recorded_paces(connection: sa.Connection) -> dict[str, _Readings]:
    columns = tables.decisions.c
    query = sa.select(columns.decided_at, columns.record).where(columns.answer.is_not(None))
    found: dict[str, _Readings] = {}
    for at, record in connection.execute(query.order_by(columns.decided_at, columns.serial)):
        for name, state in from_json(record)["paces"].items():
            _, read = found.setdefault(name, (at, []))
            if read and read[-1][1] == state:
                read.pop()
            read.append((at, state))
    return found


def logged_windows(decision: LoggedDecision) -> list[float]:
    """The attribution windows, in days, of the logged candidates of a decision."""
    return windows_of(decision.logged, decision.catalog)


def windows_of(names: Iterable[str], catalog: Catalog) -> list[float]:
    """The attribution windows, in days, of some actions of a catalogue; `no_action` has none."""
    return [catalog.actions[name].attribution_days for name in names if name != NO_ACTION]


def _conditions(period: Period) -> list[Any]:
    columns = tables.decisions.c
    until = [] if period.until is None else [columns.decided_at < period.until]
    return [columns.answer.is_not(None), columns.decided_at >= period.since, *until]


def _first(row: Any) -> ShownAction | None:
    """The shown action of the first slot; None if that action was not shown."""
    return next((one for one in shown_by(row) if one.action_id == row.action_id), None)
