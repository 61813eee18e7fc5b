"""The tables of the ledger, and the few statements that all who write them share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from features.ledger.statements import Statement

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CHANGED_STATES = "fresh states"  # of a connection: keys whose states its transaction has moved
FEATURES_BUILT = "features built"  # the fact that `nba build` came to its end
ROW_BY_ROW = 2  # rows that are written one by one, past the layers of SQLAlchemy
SCHEMA = "6"  # raised by one, with a step in `migrations`, when a table changes


class UtcMicros(sa.TypeDecorator[datetime]):
    """An aware UTC time, kept as whole microseconds since 1970: exact, sortable, the same in
    every database. A naive time is refused."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> int | None:
        return None if value is None else micros(value)

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else from_micros(value)


def micros(moment: datetime) -> int:
    """Whole microseconds since 1970."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone")
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_micros(value: int) -> datetime:
    """The time that so many microseconds since 1970 make."""
    return EPOCH + timedelta(microseconds=value)


metadata = sa.MetaData()
# Compared byte by byte everywhere: the order of events must not hang on a database's language.
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
# Of 64 bits everywhere: PostgreSQL counts on with each attempt, and 32 would not last for ever.
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
# Every key (a customer id or an identifier) that was ever linked, and the customer behind it now.
# A key that is not here is its own customer. `links` is the truth; this is what it comes to.
identities = sa.Table(
    "identities",
    metadata,
    sa.Column("serial", _SERIAL, primary_key=True, autoincrement=True),
    sa.Column("key", _TEXT, nullable=False, unique=True),
    sa.Column("customer_id", _TEXT, nullable=False, index=True),
    sa.Column("rank", sa.Integer, nullable=False),  # the lowest gives a merged customer its name
)
# Two keys are the same person, because of `cause`; never deleted, so that it can be undone.
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
# `subject` is the key under which it happened and never changes; `customer_id` is who that is
# now. Rows lie in the order in which they are folded: 10 million are read from end to end.
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
# The state after a customer's last event, for those who were heard of since the last `nba build`;
# null: to be folded anew from the events. `online`: whether Feast has it. An account is kept like
# a customer, under a key that no caller can ask for.
journey_states = sa.Table(
    "journey_states",
    metadata,
    sa.Column("customer_id", _TEXT, primary_key=True),
    sa.Column("state", sa.LargeBinary),
    sa.Column("last_at", UtcMicros),
    sa.Column("last_event_id", _TEXT),
    sa.Column("online", sa.Boolean, nullable=False),
    sa.Column("profile_online", sa.Boolean, nullable=False),
    sa.Column("restated_at", UtcMicros),  # since then the offline history is wrong about it
)
unpublished = sa.not_(sa.and_(journey_states.c.online, journey_states.c.profile_online))
sa.Index(
    "journey_states_waiting",
    journey_states.c.customer_id,
    sqlite_where=unpublished,
    postgresql_where=unpublished,
)
# Keyed hashes of the keys of forgotten customers: enough to refuse them, too little to name them.
tombstones = sa.Table(
    "tombstones",
    metadata,
    sa.Column("key_hash", _TEXT, primary_key=True),
    sa.Column("forgotten_at", UtcMicros, nullable=False),
)
# `serial` counts them: the learner's clock. `served`: ours, and shown; what was decided with
# `activate: false` is not, until it is activated.
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
    sa.Column("probability", sa.Float),  # null: imported, nobody logged it
    sa.Column("arm", _TEXT),  # policy or control; null if imported
    sa.Column("served", sa.Boolean, nullable=False),
    sa.Column("activated_at", UtcMicros),  # when it was shown; null: not yet
    sa.Column("activation", _TEXT),  # JSON as it was sent by /v1/activate
    sa.Column("window_ends_at", UtcMicros, nullable=False),
    sa.Column("features", sa.LargeBinary),  # float64 of model input; null if imported
    sa.Column("record", _TEXT),  # JSON: all else that replay needs; null if imported
    sa.Column("answer", _TEXT),  # JSON as it was sent; null if imported
    sa.Index("decisions_of_customer", "customer_id", "decided_at"),
    sa.Index("decisions_by_window", "served", "window_ends_at"),
)
# Every showing of an action: what caps and cool-downs are read from. The group is that of the
# day, so that a changed catalogue does not forget. `outcomes_at`: the outcomes that hold, as JSON
# from outcome name to when it last occurred (microseconds), kept up to date by each outcome.
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
# How much of a volume or a budget of the day is spent, and its shadow price (`pacing`).
paces = sa.Table(
    "paces",
    metadata,
    sa.Column("name", _TEXT, primary_key=True),
    sa.Column("state", _TEXT, nullable=False),  # JSON
)
# Every catalogue that was ever decided with, so that a decision can be explained as it was then.
catalogs = sa.Table(
    "catalogs",
    metadata,
    sa.Column("fingerprint", _TEXT, primary_key=True),
    sa.Column("first_used_at", UtcMicros, nullable=False),
    sa.Column("content", _TEXT, nullable=False),  # JSON
)
# `shared_id` names what happened, such as an order: outcomes of several decisions with the same
# one are credited once. `retracts` takes an outcome back, `revises` puts this one in its place.
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
# What the learner has counted: one row for each decided action, revised when outcomes change.
credits = sa.Table(
    "credits",
    metadata,
    sa.Column("decision_id", _TEXT, primary_key=True),
    sa.Column("action_id", _TEXT, primary_key=True),
    sa.Column("acceptance", sa.Float, nullable=False),
)
# What the learner knows, replaced in the transaction that marks its outcomes as learned.
learner_state = sa.Table(
    "learner_state",
    metadata,
    sa.Column("key", _TEXT, primary_key=True),
    sa.Column("base", _TEXT, nullable=False),  # bandit version it started from
    sa.Column("windows_closed_at", UtcMicros, nullable=False),
    sa.Column("bandit_state", sa.LargeBinary, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
)
# What the workers swap in. Old ones go: a decision's record holds its own chances.
snapshots = sa.Table(
    "snapshots",
    metadata,
    sa.Column("sequence", _SERIAL, primary_key=True, autoincrement=True),
    sa.Column("base", _TEXT, nullable=False),
    sa.Column("published_at", UtcMicros, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)
# What many snapshots share (`snapshots`), by the hash of its content.
snapshot_parts = sa.Table(
    "snapshot_parts",
    metadata,
    sa.Column("digest", _TEXT, primary_key=True),
    sa.Column("last_sequence", sa.BigInteger, nullable=False),  # the latest that needs it
    sa.Column("payload", sa.LargeBinary, nullable=False),
)


def insert_new(
    connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]
) -> int:
    """Insert the rows whose primary key is not there yet; say how many that were."""
    if len(rows) <= ROW_BY_ROW:
        ready = _ready(_insert_new, table, connection.dialect.name)
        return sum(max(ready(*row).count(connection, row), 0) for row in rows)
    statement = _insert_new(table, connection.dialect.name)
    return max(connection.execute(statement, list(rows)).rowcount, 0)


def upsert(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, or overwrite those with the same primary key."""
    if len(rows) <= ROW_BY_ROW:
        ready = _ready(_upsert, table, connection.dialect.name)
        for row in rows:
            ready(*row).run(connection, row)
        return
    connection.execute(_upsert(table, connection.dialect.name), list(rows))


def get_meta(connection: sa.Connection, key: str) -> str | None:
    """A fact about the ledger as a whole, such as how far its times were shifted."""
    return connection.execute(sa.select(meta.c.value).where(meta.c.key == key)).scalar()


def set_meta(connection: sa.Connection, key: str, value: str) -> None:
    """Note a fact about the ledger as a whole."""
    upsert(connection, meta, [{"key": key, "value": value}])


# Made once for each table: putting a statement together takes longer than the database does.
@cache
def _insert_new(table: sa.Table, dialect: str) -> Any:
    statement = _insert(table, dialect).on_conflict_do_nothing()
    return statement.execution_options(preserve_rowcount=True)  # psycopg forgets it else


@cache
def _upsert(table: sa.Table, dialect: str) -> Any:
    statement = _insert(table, dialect)
    rest = {c.name: statement.excluded[c.name] for c in table.columns if not c.primary_key}
    keys = list(table.primary_key.columns)
    return statement.on_conflict_do_update(index_elements=keys, set_=rest)


@cache
def _ready(made: Callable[..., Any], table: sa.Table, dialect: str) -> Callable[..., Statement]:
    """Statements for one row, by its columns."""
    return cache(lambda *columns: Statement(made(table, dialect), columns))


def _insert(table: sa.Table, dialect: str) -> Any:
    return (postgresql if dialect == "postgresql" else sqlite).insert(table)
