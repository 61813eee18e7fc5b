"""Defines the tables of the ledger, and statements that several modules use to write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from features.ledger.statements import Statement

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CHANGED_STATES = "changed states"  # of a connection: keys whose states its transaction changed
FEATURES_BUILT = "features built"  # key of `meta`: when `nba build` last finished
ROW_BY_ROW = 2  # up to so many rows are written one by one, without the layers of SQLAlchemy
SCHEMA = "6"  # raised by one, with a step in `migrations`, when a table changes


class UtcMicros(sa.TypeDecorator[datetime]):
    """A column type: an aware UTC time, stored as whole microseconds since 1970.

    It is exact, sortable, and the same in every database. A naive time is refused.
    """

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> int | None:
        return None if value is None else micros(value)

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else from_micros(value)


def micros(moment: datetime) -> int:
    """Convert an aware time to whole microseconds since 1970."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone")
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_micros(value: int) -> datetime:
    """Convert microseconds since 1970 to a UTC time."""
    return EPOCH + timedelta(microseconds=value)


metadata = sa.MetaData()
# Compared byte by byte, so that the order of events does not depend on the database's language.
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
# 64 bits: PostgreSQL increments a sequence at failed inserts, too, so 32 bits could run out.
_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

meta = sa.Table(
    "meta",
    metadata,
    sa.Column("key", _TEXT, primary_key=True),
    sa.Column("value", _TEXT, nullable=False),
)
customers = sa.Table(
    "customers",
    metadata,
    sa.Column("customer_id", _TEXT, primary_key=True),
    sa.Column("attributes", _TEXT, nullable=False),  # JSON
    sa.Column("account", _TEXT, index=True),  # the company that a business customer belongs to
)
# Every key (a customer id or an identifier) that was ever linked, and its customer now. A key that
# is not here is its own customer. This table is derived from `links`.
identities = sa.Table(
    "identities",
    metadata,
    sa.Column("serial", _SERIAL, primary_key=True, autoincrement=True),
    sa.Column("key", _TEXT, nullable=False, unique=True),
    sa.Column("customer_id", _TEXT, nullable=False, index=True),
    sa.Column("rank", sa.Integer, nullable=False),  # the lowest names a merged customer
)
# Two keys are the same person, because of `cause`. Rows are never deleted, so a link can be undone.
links = sa.Table(
    "links",
    metadata,
    sa.Column("left", _TEXT, primary_key=True),
    sa.Column("right", _TEXT, primary_key=True),
    sa.Column("cause", _TEXT, nullable=False),
    sa.Column("linked_at", UtcMicros, nullable=False),
    sa.Column("undone_at", UtcMicros),
    sa.Column("undone_cause", _TEXT),
    sa.Index("links_of_right", "right"),
)
# `subject` is the key under which the event happened; it never changes. `customer_id` is the
# customer of that key now. Rows are stored in the order in which they are folded, as 10 million of
# them are read in one scan.
events = sa.Table(
    "events",
    metadata,
    sa.Column("customer_id", _TEXT, primary_key=True),
    sa.Column("occurred_at", UtcMicros, primary_key=True),
    sa.Column("event_id", _TEXT, primary_key=True, unique=True),
    sa.Column("subject", _TEXT, nullable=False),
    sa.Column("type", _TEXT, nullable=False),
    sa.Column("channel", _TEXT, nullable=False),
    sa.Column("properties", _TEXT, nullable=False),  # JSON
    sqlite_with_rowid=False,
)
# The state after a customer's last event, for customers with events since the last `nba build`. A
# null state must be folded from the events. `online`: Feast has this state. An account is stored
# like a customer, under a key that no caller can send.
journey_states = sa.Table(
    "journey_states",
    metadata,
    sa.Column("customer_id", _TEXT, primary_key=True),
    sa.Column("state", sa.LargeBinary),
    sa.Column("last_at", UtcMicros),
    sa.Column("last_event_id", _TEXT),
    sa.Column("online", sa.Boolean, nullable=False),
    sa.Column("profile_online", sa.Boolean, nullable=False),
    sa.Column("restated_at", UtcMicros),  # its past changed then; the offline history is outdated
)
unpublished = sa.not_(sa.and_(journey_states.c.online, journey_states.c.profile_online))
sa.Index(
    "journey_states_waiting",
    journey_states.c.customer_id,
    sqlite_where=unpublished,
    postgresql_where=unpublished,
)
# Keyed hashes of the keys of forgotten customers. A hash recognises a key, but does not reveal it.
tombstones = sa.Table(
    "tombstones",
    metadata,
    sa.Column("key_hash", _TEXT, primary_key=True),
    sa.Column("forgotten_at", UtcMicros, nullable=False),
)
# `serial` numbers the decisions; it is the learner's clock. `served`: the decision is ours and was
# shown. A decision with `activate: false` is not served until it is activated.
decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("serial", _SERIAL, primary_key=True, autoincrement=True),
    sa.Column("decision_id", _TEXT, nullable=False, unique=True),
    sa.Column("subject", _TEXT, nullable=False),
    sa.Column("customer_id", _TEXT, nullable=False),
    sa.Column("decided_at", UtcMicros, nullable=False),
    sa.Column("channel", _TEXT, nullable=False),
    sa.Column("action_id", _TEXT, nullable=False),
    sa.Column("probability", sa.Float),  # null: imported without a probability
    sa.Column("arm", _TEXT),  # policy or control; null if imported
    sa.Column("served", sa.Boolean, nullable=False),
    sa.Column("activated_at", UtcMicros),  # when it was shown; null: not yet
    sa.Column("activation", _TEXT),  # JSON as it was sent by /v1/activate
    sa.Column("window_ends_at", UtcMicros, nullable=False),
    sa.Column("features", sa.LargeBinary),  # float64 of model input; null if imported
    sa.Column("record", _TEXT),  # JSON: what else replay needs; null if imported
    sa.Column("answer", _TEXT),  # JSON as it was sent; null if imported
    sa.Index("decisions_of_customer", "customer_id", "decided_at"),
    sa.Index("decisions_by_window", "served", "window_ends_at"),
)
# Every showing of an action; caps and cool-downs are computed from it. `action_group` is the group
# at that time, so that a changed catalogue does not change the past. `outcomes_at`: the outcomes
# that hold, as JSON from outcome name to when it last occurred (microseconds), kept up to date by
# each outcome.
contacts = sa.Table(
    "contacts",
    metadata,
    sa.Column("decision_id", _TEXT, primary_key=True),
    sa.Column("action_id", _TEXT, primary_key=True),
    sa.Column("subject", _TEXT, nullable=False),
    sa.Column("customer_id", _TEXT, nullable=False),
    sa.Column("shown_at", UtcMicros, nullable=False),
    sa.Column("channel", _TEXT, nullable=False),
    sa.Column("action_group", _TEXT, nullable=False),
    sa.Column("outcomes_at", _TEXT, nullable=False),
    sa.Index("contacts_of_customer", "customer_id", "shown_at"),
)
# The spent part of each volume and budget of the day, and its shadow price (`pacing`).
paces = sa.Table(
    "paces",
    metadata,
    sa.Column("name", _TEXT, primary_key=True),
    sa.Column("state", _TEXT, nullable=False),  # JSON
)
# Every catalogue that was used for a decision, so that the decision can be explained later.
catalogs = sa.Table(
    "catalogs",
    metadata,
    sa.Column("fingerprint", _TEXT, primary_key=True),
    sa.Column("first_used_at", UtcMicros, nullable=False),
    sa.Column("content", _TEXT, nullable=False),  # JSON
)
# `shared_id` names what happened, such as an order: outcomes of several decisions with the same
# `shared_id` are credited once. `retracts` names an outcome that is taken back, `revises` one that
# this outcome replaces.
outcomes = sa.Table(
    "outcomes",
    metadata,
    sa.Column("outcome_id", _TEXT, primary_key=True),
    sa.Column("decision_id", _TEXT, nullable=False, index=True),
    sa.Column("action_id", _TEXT, nullable=False),
    sa.Column("outcome", _TEXT, nullable=False),
    sa.Column("value", sa.Float),
    sa.Column("occurred_at", UtcMicros, nullable=False),
    sa.Column("received_at", UtcMicros, nullable=False),
    sa.Column("shared_id", _TEXT, index=True),
    sa.Column("retracts", _TEXT),
    sa.Column("revises", _TEXT),
    sa.Column("learned", sa.Boolean, nullable=False),
    sa.Index("outcomes_to_learn", "learned"),
)
# The acceptance that the learner has counted for each decided action; revised with its outcomes.
credits = sa.Table(
    "credits",
    metadata,
    sa.Column("decision_id", _TEXT, primary_key=True),
    sa.Column("action_id", _TEXT, primary_key=True),
    sa.Column("acceptance", sa.Float, nullable=False),
)
# The state of the learner, replaced in the transaction that marks its outcomes as learned.
learner_state = sa.Table(
    "learner_state",
    metadata,
    sa.Column("key", _TEXT, primary_key=True),
    sa.Column("base", _TEXT, nullable=False),  # the bandit version from which it started
    sa.Column("windows_closed_at", UtcMicros, nullable=False),
    sa.Column("bandit_state", sa.LargeBinary, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
)
# The bandits that the workers load. Old ones are deleted, as decisions log their probabilities.
snapshots = sa.Table(
    "snapshots",
    metadata,
    sa.Column("sequence", _SERIAL, primary_key=True, autoincrement=True),
    sa.Column("base", _TEXT, nullable=False),
    sa.Column("published_at", UtcMicros, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)
# Parts that several snapshots share (`snapshots`), by the hash of their content.
snapshot_parts = sa.Table(
    "snapshot_parts",
    metadata,
    sa.Column("digest", _TEXT, primary_key=True),
    sa.Column("last_sequence", sa.BigInteger, nullable=False),  # the latest snapshot with the part
    sa.Column("payload", sa.LargeBinary, nullable=False),
)


def insert_new(
    connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]
) -> int:
    """Insert the rows whose primary key is not there yet; return their number."""
    if len(rows) <= ROW_BY_ROW:
        statement_of = _statement(_insert_new, table, connection.dialect.name)
        return sum(max(statement_of(*row).count(connection, row), 0) for row in rows)
    statement = _insert_new(table, connection.dialect.name)
    return max(connection.execute(statement, list(rows)).rowcount, 0)


def upsert(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, or overwrite the rows with the same primary key."""
    if len(rows) <= ROW_BY_ROW:
        statement_of = _statement(_upsert, table, connection.dialect.name)
        for row in rows:
            statement_of(*row).run(connection, row)
        return
    connection.execute(_upsert(table, connection.dialect.name), list(rows))


def get_meta(connection: sa.Connection, key: str) -> str | None:
    """Read a fact about the whole ledger, such as how far its times were shifted."""
    return connection.execute(sa.select(meta.c.value).where(meta.c.key == key)).scalar()


def set_meta(connection: sa.Connection, key: str, value: str) -> None:
    """Write a fact about the whole ledger."""
    upsert(connection, meta, [{"key": key, "value": value}])


# Cached for each table: building a statement takes longer than the database takes to run it.
@cache
def _insert_new(table: sa.Table, dialect: str) -> Any:
    statement = _insert(table, dialect).on_conflict_do_nothing()
    return statement.execution_options(preserve_rowcount=True)  # psycopg drops it otherwise


@cache
def _upsert(table: sa.Table, dialect: str) -> Any:
    statement = _insert(table, dialect)
    rest = {c.name: statement.excluded[c.name] for c in table.columns if not c.primary_key}
    keys = list(table.primary_key.columns)
    return statement.on_conflict_do_update(index_elements=keys, set_=rest)


@cache
def _statement(made: Callable[..., Any], table: sa.Table, dialect: str) -> Callable[..., Statement]:
    """Return a function from the columns of a row to the statement that writes it."""
    return cache(lambda *columns: Statement(made(table, dialect), columns))


def _insert(table: sa.Table, dialect: str) -> Any:
    return (postgresql if dialect == "postgresql" else sqlite).insert(table)
