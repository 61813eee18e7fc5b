"""From the ledger to labelled moments, and from those to training frames.

A moment is a customer and a time at which we could have decided; its label is what happened
next. `training_frame` puts beside each what was known then, and nothing from later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
import sqlalchemy as sa
from numpy.typing import NDArray
from pydantic_core import from_json

from features import tables
from features.catalog import Catalog
from features.credit import Said, credit
from features.domain import Domain
from features.errors import InvalidData
from features.ledger import Ledger
from features.model_input import ModelInput
from features.tables import EPOCH

DAY_US = 86_400_000_000
EVERY_DAYS = 14  # between two moments, where the domain names no protocol
TEST_SHARE = 0.3  # of the moments, the latest, where the domain names no protocol


class History(Protocol):
    """All we ask of the offline store here, so that a test can hand in a fake."""

    def as_of(self, moments: pd.DataFrame, service: str) -> pd.DataFrame: ...


@dataclass(frozen=True, slots=True)
class Labelled:
    """Training material for one model, in order of time.

    Attributes
    ----------
    x : shape (n_moments, len(ModelInput.names))
    y : shape (n_moments,), class index
    at_us : shape (n_moments,), moments, microseconds since 1970
    customer_ids : shape (n_moments,)
    test_from_us : int
        Moments from here on are for judging only.
    label_us : int
        How long a label looks ahead; a moment is trained on only if it looked no further than
        ``test_from_us``.
    """

    x: NDArray[np.float64]
    y: NDArray[np.int64]
    at_us: NDArray[np.int64]
    customer_ids: NDArray[np.object_]
    test_from_us: int
    label_us: int

    @property
    def train(self) -> NDArray[np.bool_]:
        """Moments whose label was settled before the first test moment."""
        return self.at_us + self.label_us <= self.test_from_us

    @property
    def test(self) -> NDArray[np.bool_]:
        """Moments to judge on."""
        return self.at_us >= self.test_from_us

    @property
    def fingerprint(self) -> str:
        """Of the numbers, see `fingerprint`."""
        return fingerprint(self.x, self.y, self.at_us)


def fingerprint(*arrays: NDArray[Any]) -> str:
    """Hash of arrays: the same data give the same one."""
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()[:16]


def churn_moments(ledger: Ledger, domain: Domain, shift: timedelta) -> pd.DataFrame:
    """Active customers at each moment, and whether they then fell silent.

    Returns
    -------
    DataFrame
        Columns customer_id, event_timestamp (UTC), label (1: silent for ``churn.silent_days``).

    Raises
    ------
    InvalidData
        If the domain defines no churn, or the ledger is too short for it.
    """
    rule = _defined(domain, "churn")
    asked = _asked(ledger, domain, shift, rule.event, rule.active_days, rule.silent_days)
    return _frame([(one.customer_id, one.at_us, int(not one.came)) for one in asked])


def intent_moments(ledger: Ledger, domain: Domain, shift: timedelta) -> pd.DataFrame:
    """Active customers at each moment who came back in time, and what for.

    Returns
    -------
    DataFrame
        Columns customer_id, event_timestamp (UTC), label (index into ``domain.intents``).

    Raises
    ------
    InvalidData
        If the domain defines no intent, or the ledger is too short for it.
    """
    rule = _defined(domain, "intent")
    index = {value: number for number, value in enumerate(domain.intents)}
    days = rule.active_days, rule.within_days
    asked = _asked(ledger, domain, shift, rule.event, *days, rule.property)
    # An event need not say what it was for; that is no label.
    known = [one for one in asked if one.came and one.value in index]
    return _frame([(one.customer_id, one.at_us, index[one.value]) for one in known])


def labelled(
    moments: pd.DataFrame,
    history: History,
    service: str,
    domain: Domain,
    shift: timedelta,
    label_days: float,
) -> Labelled:
    """Put beside each labelled moment what was known then."""
    moments = moments.sort_values(["event_timestamp", "customer_id"], ignore_index=True)
    at_us = _to_us(moments["event_timestamp"])
    return Labelled(
        x=training_frame(history, moments, service, domain).to_numpy(),
        y=moments["label"].to_numpy(dtype=np.int64),
        at_us=at_us,
        customer_ids=moments["customer_id"].to_numpy(dtype=object),
        test_from_us=_test_from(domain, shift, at_us),
        label_us=int(label_days * DAY_US),
    )


def training_frame(
    history: History, moments: pd.DataFrame, service: str, domain: Domain
) -> pd.DataFrame:
    """What every model would have read at each moment.

    Parameters
    ----------
    moments : columns customer_id, event_timestamp (UTC)
    service : str
        Feast feature service, such as ``churn_v1``.

    Returns
    -------
    DataFrame
        Exactly the rows of ``moments`` in their order, columns ``ModelInput.names``; what was
        unknown is ``nan``. Customers without a past are kept: they are among those to decide for.
    """
    model_input = ModelInput(domain)
    known = history.as_of(moments, service)
    at_s = _to_us(moments["event_timestamp"]) / 1e6
    attributes: list[dict[Any, Any]] = known[list(domain.attributes)].to_dict("records")
    nobody = [None] * len(known)
    of_accounts = known["account_state"] if domain.account else nobody
    rows = [
        model_input.read(row, _listed(state), at, _listed(account))
        for row, state, at, account in zip(
            attributes or [{}] * len(known), known["state"], at_s, of_accounts, strict=True
        )
    ]
    return pd.DataFrame(rows, columns=list(model_input.names), dtype=np.float64)


def decided_actions(ledger: Ledger, catalog: Catalog, now: datetime) -> pd.DataFrame:
    """Imported decisions whose window has passed by ``now``, and whether they were accepted.

    Actions that the catalogue has no more are left out.

    Returns
    -------
    DataFrame
        Columns customer_id, event_timestamp (the decision, UTC), action_id, channel, acceptance.
    """
    columns = tables.decisions.c
    imported = [~columns.served, columns.window_ends_at <= now]
    query = sa.select(tables.decisions).where(*imported)
    query = query.order_by(columns.decided_at, columns.decision_id)
    about = sa.select(tables.outcomes).join(
        tables.decisions, columns.decision_id == tables.outcomes.c.decision_id
    )
    decided, outcomes = ledger.read(
        lambda c: (c.execute(query).all(), c.execute(about.where(*imported)).all())
    )
    said: dict[str, list[Said]] = {}
    for row in outcomes:
        one = Said(row.outcome_id, row.outcome, row.occurred_at, row.retracts)
        said.setdefault(row.decision_id, []).append(one)
    rows = []
    for row in decided:
        if row.action_id in catalog.actions:
            heard = said.get(row.decision_id, ())
            # The window has closed: whoever said nothing did not accept.
            taught = credit(heard, row.decided_at, row.window_ends_at, now, catalog) or 0.0
            rows.append((row.customer_id, row.decided_at, row.action_id, row.channel, taught))
    names = ["customer_id", "event_timestamp", "action_id", "channel", "acceptance"]
    frame = pd.DataFrame(rows, columns=names)
    frame["event_timestamp"] = pd.to_datetime(frame["event_timestamp"], utc=True)
    frame["acceptance"] = frame["acceptance"].astype(np.float64)
    return frame


def _listed(state: object) -> list[float] | None:
    return list(state) if isinstance(state, list | np.ndarray) else None


def _defined(domain: Domain, what: str) -> Any:
    rule = getattr(domain, what)
    if rule is None:
        raise InvalidData(
            f"The domain {domain.name!r} defines no {what}.",
            expected=f"a section '{what}:' in the domain file",
            remedy="Add it, or train another model.",
        )
    return rule


class _Asked(NamedTuple):
    """An active customer at a moment, and the first event after it if it came in time."""

    customer_id: str
    at_us: int
    came: bool
    value: str


def _asked(
    ledger: Ledger,
    domain: Domain,
    shift: timedelta,
    event_type: str,
    active_days: float,
    ahead_days: float,
    prop: str = "",
) -> Iterator[_Asked]:
    active_us, ahead_us = int(active_days * DAY_US), int(ahead_days * DAY_US)
    events = list(_times_by_customer(ledger, event_type, prop))
    for moment in _moments(domain, shift, events, active_us, ahead_us):
        for customer_id, at_us, values in events:
            known = int(np.searchsorted(at_us, moment, side="right"))
            if known == 0 or at_us[known - 1] < moment - active_us:
                continue
            came = known < len(at_us) and bool(at_us[known] <= moment + ahead_us)
            yield _Asked(customer_id, moment, came, values[known] if came and prop else "")


Times = tuple[str, NDArray[np.int64], list[str]]


def _times_by_customer(ledger: Ledger, event_type: str, prop: str = "") -> Iterator[Times]:
    """Customer, times of the events of one type, and a property of each if one is named."""
    columns = tables.events.c
    at = sa.type_coerce(columns.occurred_at, sa.BigInteger)
    query = (
        sa.select(columns.customer_id, at, columns.properties)
        .where(columns.type == event_type)
        .order_by(columns.customer_id, columns.occurred_at, columns.event_id)
    )
    rows = ledger.read(lambda connection: connection.execute(query).all())
    start = 0
    for end in range(1, len(rows) + 1):
        if end == len(rows) or rows[end][0] != rows[start][0]:
            part = rows[start:end]
            values = [from_json(row[2]).get(prop, "") for row in part] if prop else []
            yield rows[start][0], np.array([row[1] for row in part], dtype=np.int64), values
            start = end


def _moments(
    domain: Domain, shift: timedelta, events: list[Times], active_us: int, ahead_us: int
) -> list[int]:
    """The times to ask at: the domain's protocol, or each 14 days of what the ledger spans."""
    if not events:
        raise InvalidData(
            "The ledger holds no events to learn from.",
            expected="events of the type that churn and intent name",
            remedy="Load some: 'nba load FOLDER'.",
        )
    # A label that looks past the end of the ledger would call everybody silent.
    settled = max(int(at_us[-1]) for _, at_us, _ in events) - ahead_us
    first = min(int(at_us[0]) for _, at_us, _ in events) + active_us
    last, step = settled, EVERY_DAYS * DAY_US
    plan = domain.moments
    if plan and plan.first and plan.last and plan.every_days:
        first, step = _midnight(plan.first, shift), plan.every_days * DAY_US
        last = min(_midnight(plan.last, shift), settled)
    if last < first:
        raise InvalidData(
            "The ledger is too short: no moment has both a past and a settled future.",
            expected=f"more than {(active_us + ahead_us) / DAY_US:g} days of events",
            remedy="Load a longer history, or shorten the spans in the domain file.",
        )
    return list(range(first, last + 1, step))


def _test_from(domain: Domain, shift: timedelta, at_us: NDArray[np.int64]) -> int:
    if domain.moments and domain.moments.test_from:
        return _midnight(domain.moments.test_from, shift)
    return int(np.quantile(np.unique(at_us), 1 - TEST_SHARE, method="nearest"))


def _midnight(day: date, shift: timedelta) -> int:
    moment = datetime.combine(day, time(), tzinfo=UTC) + shift
    return (moment - EPOCH) // timedelta(microseconds=1)


def _to_us(moments: pd.Series[Any]) -> NDArray[np.int64]:
    return np.asarray(moments.dt.as_unit("us").astype(np.int64), dtype=np.int64)


def _frame(rows: list[tuple[str, int, int]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["customer_id", "event_timestamp", "label"])
    frame["event_timestamp"] = pd.to_datetime(frame["event_timestamp"], unit="us", utc=True)
    return frame
