"""Defines the tables of the ledger, and statements that several modules use to write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from features.ledger.columns import EPOCH as EPOCH
from features.ledger.columns import SERIAL, TEXT, PackedFloats, PackedJson, partial_index
from features.ledger.columns import UtcMicros as UtcMicros
from features.ledger.columns import from_micros as from_micros
from features.ledger.columns import metadata as metadata
from features.ledger.columns import micros as micros
from features.ledger.columns import parse_micros as parse_micros
from features.ledger.derived_tables import account_members as account_members
from features.ledger.derived_tables import credits as credits
from features.ledger.derived_tables import erasure_keys as erasure_keys
from features.ledger.derived_tables import erasures as erasures
from features.ledger.derived_tables import event_days as event_days
from features.ledger.derived_tables import journey_checkpoints as journey_checkpoints
from features.ledger.derived_tables import journey_cube as journey_cube
from features.ledger.derived_tables import journey_marks as journey_marks
from features.ledger.derived_tables import learned_steps as learned_steps
from features.ledger.derived_tables import learner_set_aside as learner_set_aside
from features.ledger.derived_tables import learner_state as learner_state
from features.ledger.derived_tables import pruned_event_days as pruned_event_days
from features.ledger.derived_tables import relocations as relocations
from features.ledger.derived_tables import reward_days as reward_days
from features.ledger.derived_tables import reward_marks as reward_marks
from features.ledger.derived_tables import snapshot_actions as snapshot_actions
from features.ledger.derived_tables import snapshot_part_uses as snapshot_part_uses
from features.ledger.derived_tables import snapshot_parts as snapshot_parts
from features.ledger.derived_tables import snapshots as snapshots
from features.ledger.experiment_tables import effect_models as effect_models
from features.ledger.experiment_tables import guardrail_events as guardrail_events
from features.ledger.experiment_tables import guardrail_marks as guardrail_marks
from features.ledger.experiment_tables import guardrail_stops as guardrail_stops
from features.ledger.experiment_tables import guardrail_tests as guardrail_tests
from features.ledger.experiment_tables import later_features as later_features
from features.ledger.experiment_tables import met_customers as met_customers
from features.ledger.experiment_tables import simulated_clock as simulated_clock
from features.ledger.identity_tables import access_log as access_log
from features.ledger.identity_tables import api_keys as api_keys
from features.ledger.identity_tables import attribute_changes as attribute_changes
from features.ledger.identity_tables import logins as logins
from features.ledger.identity_tables import merge_candidates as merge_candidates
from features.ledger.statements import Statement

FOLDED_EVENTS = "folded events"  # of a connection: number that its transaction has refolded
DRAW_SECRET = "draw secret"  # key of `meta`: mixed into the random number of each decision
FEATURES_BUILT = "features built"  # key of `meta`: when `nba build` last finished
ROW_BY_ROW = 2  # up to so many rows are written one by one; their columns may differ
SCHEMA = "14"  # raised by one, with a step in `migrations`, when a table changes

meta = sa.Table(
    "meta",
    metadata,
    sa.Column("key", TEXT, primary_key=True),
    sa.Column("value", TEXT, nullable=False),
)
customers = sa.Table(
    "customers",
    metadata,
    sa.Column("customer_id", TEXT, primary_key=True),
    sa.Column("attributes", TEXT, nullable=False),  # JSON
    sa.Column("account", TEXT, index=True),  # the company that a business customer belongs to
)
# Every key (a customer id or an identifier) that was ever linked, and its customer now. A key that
# is not here is its own customer. This table is derived from `links`.
identities = sa.Table(
    "identities",
    metadata,
    sa.Column("serial", SERIAL, primary_key=True, autoincrement=True),
    sa.Column("key", TEXT, nullable=False, unique=True),
    sa.Column("customer_id", TEXT, nullable=False, index=True),
    sa.Column("rank", sa.Integer, nullable=False),  # the lowest names a merged customer
)
# Two keys are the same person, because of `cause`. Rows are never deleted, so a link can be undone.
# A link that is made again has a row more; at most one row of a pair is not undone.
links = sa.Table(
    "links",
    metadata,
    sa.Column("left", TEXT, primary_key=True),
    sa.Column("right", TEXT, primary_key=True),
    sa.Column("linked_at", UtcMicros, primary_key=True),
    sa.Column("cause", TEXT, nullable=False),
    sa.Column("undone_at", UtcMicros),
    sa.Column("undone_cause", TEXT),
    sa.Index("links_of_right", "right"),
)
# `subject` is the key under which the event happened; it never changes. `customer_id` is the
# customer of that key now. Rows are stored in the order in which they are folded, as 10 million of
# them are read in one scan.
events = sa.Table(
    "events",
    metadata,
    sa.Column("customer_id", TEXT, primary_key=True),
    sa.Column("occurred_at", UtcMicros, primary_key=True),
    sa.Column("event_id", TEXT, primary_key=True, unique=True),
    sa.Column("subject", TEXT, nullable=False),
    sa.Column("type", TEXT, nullable=False),
    sa.Column("channel", TEXT, nullable=False),
    sa.Column("properties", TEXT, nullable=False),  # JSON
    sa.Column("received_at", UtcMicros),  # null: imported, as if it came when it happened
    sqlite_with_rowid=False,
)
# The state after a customer's last event, for customers with events since the last `nba build`. A
# null state must be folded from the events. `online`: Feast has this state. An account is stored
# like a customer, under a key that no caller can send. `generation` is raised when events of the
# past came or went by a merge, a split or an erasure. `problem`: the customer is set aside, as its
# events cannot be folded; the reason as a sentence.
journey_states = sa.Table(
    "journey_states",
    metadata,
    sa.Column("customer_id", TEXT, primary_key=True),
    sa.Column("state", sa.LargeBinary),
    sa.Column("last_at", UtcMicros),
    sa.Column("last_event_id", TEXT),
    sa.Column("online", sa.Boolean, nullable=False),
    sa.Column("profile_online", sa.Boolean, nullable=False),
    sa.Column("restated_at", UtcMicros),  # its past changed then; the offline history is outdated
    sa.Column("generation", sa.Integer, nullable=False, server_default="0"),
    sa.Column("problem", TEXT),
)
unpublished = sa.not_(sa.and_(journey_states.c.online, journey_states.c.profile_online))
partial_index("journey_states_waiting", unpublished, journey_states.c.customer_id)
# Keyed hashes of the keys of forgotten customers. A hash recognises a key, but does not reveal it.
tombstones = sa.Table(
    "tombstones",
    metadata,
    sa.Column("key_hash", TEXT, primary_key=True),
    sa.Column("forgotten_at", UtcMicros, nullable=False),
)
# `serial` numbers the decisions; it is the learner's clock. `served`: the decision is ours and was
# shown. A decision with `activate: false` is not served until it is activated.
decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("serial", SERIAL, primary_key=True, autoincrement=True),
    sa.Column("decision_id", TEXT, nullable=False, unique=True),
    sa.Column("subject", TEXT, nullable=False),
    sa.Column("customer_id", TEXT, nullable=False),
    sa.Column("decided_at", UtcMicros, nullable=False),
    sa.Column("channel", TEXT, nullable=False),
    sa.Column("action_id", TEXT, nullable=False),
    sa.Column("probability", sa.Float),  # null: imported without a probability
    sa.Column("arm", TEXT),  # see ARMS in `rewards`; null: imported
    sa.Column("served", sa.Boolean, nullable=False),
    sa.Column("activated_at", UtcMicros),  # when it was shown; null: not yet
    sa.Column("activation", TEXT),  # JSON as it was sent by /v1/activate
    sa.Column("window_ends_at", UtcMicros, nullable=False),
    sa.Column("features", PackedFloats),  # float64 of model input; null if imported
    sa.Column("record", PackedJson),  # JSON: what else replay needs; null if imported
    sa.Column("answer", PackedJson),  # JSON as it was sent; null if imported
    sa.Column("believed", sa.LargeBinary),  # of each candidate (`decide.beliefs`); null: earlier
    sa.Column("slots_shown", sa.Integer),  # actions that were shown, if there are several
    sa.Index("decisions_of_customer", "customer_id", "decided_at"),
    sa.Index("decisions_by_window", "served", "window_ends_at"),
)
# A decision that was shown later than it was made is found by the time of its showing.
activated_later = decisions.c.activation.is_not(None)
_of_showing = (decisions.c.customer_id, decisions.c.activated_at)
partial_index("decisions_activated_later", activated_later, *_of_showing)
_by_showing = (decisions.c.activated_at, decisions.c.serial)
partial_index("decisions_by_activation", activated_later, *_by_showing)
# The learner compares how often each rank is accepted: the index has all columns that it reads.
several_shown = decisions.c.slots_shown.is_not(None)
_counted = (decisions.c.arm, decisions.c.activated_at, decisions.c.slots_shown)
partial_index("decisions_with_slots", several_shown, *_counted)
# Every showing of an action; caps and cool-downs are computed from it. `action_group` is the group
# at that time, so that a changed catalogue does not change the past. `outcomes_at`: the outcomes
# that hold, as JSON from outcome name to when it last occurred (microseconds), kept up to date by
# each outcome, and `outcome_at` the time of the last of them; null: none. `account`: the account of
# the customer now; null: none.
contacts = sa.Table(
    "contacts",
    metadata,
    sa.Column("decision_id", TEXT, primary_key=True),
    sa.Column("action_id", TEXT, primary_key=True),
    sa.Column("subject", TEXT, nullable=False),
    sa.Column("customer_id", TEXT, nullable=False),
    sa.Column("shown_at", UtcMicros, nullable=False),
    sa.Column("channel", TEXT, nullable=False),
    sa.Column("action_group", TEXT, nullable=False),
    sa.Column("outcomes_at", TEXT, nullable=False),
    sa.Column("account", TEXT),
    sa.Column("outcome_at", UtcMicros),
    sa.Index("contacts_of_customer", "customer_id", "shown_at"),
)
# It has all columns by which a cap counts, as an account may have thousands of contacts.
partial_index(
    "contacts_of_account",
    contacts.c.account.is_not(None),
    *(contacts.c.account, contacts.c.shown_at, contacts.c.channel),
    *(contacts.c.action_group, contacts.c.action_id),
)
partial_index(
    "contacts_with_outcomes",
    sa.and_(contacts.c.account.is_not(None), contacts.c.outcome_at.is_not(None)),
    *(contacts.c.account, contacts.c.outcome_at),
)
partial_index(
    "contacts_of_customer_with_outcomes",
    contacts.c.outcome_at.is_not(None),
    *(contacts.c.customer_id, contacts.c.outcome_at),
)
# The spent part of each volume and budget of the day, and its shadow price (`pacing`).
paces = sa.Table(
    "paces",
    metadata,
    sa.Column("name", TEXT, primary_key=True),
    sa.Column("state", TEXT, nullable=False),  # JSON
)
# Every catalogue that was used for a decision, so that the decision can be explained later.
catalogs = sa.Table(
    "catalogs",
    metadata,
    sa.Column("fingerprint", TEXT, primary_key=True),
    sa.Column("first_used_at", UtcMicros, nullable=False),
    sa.Column("content", TEXT, nullable=False),  # JSON
)
# `shared_id` names what happened, such as an order: outcomes of several decisions with the same
# `shared_id` are credited once. `retracts` names an outcome that is taken back, `revises` one that
# this outcome replaces.
outcomes = sa.Table(
    "outcomes",
    metadata,
    sa.Column("outcome_id", TEXT, primary_key=True),
    sa.Column("decision_id", TEXT, nullable=False, index=True),
    sa.Column("action_id", TEXT, nullable=False),
    sa.Column("outcome", TEXT, nullable=False),
    sa.Column("value", sa.Float),
    sa.Column("occurred_at", UtcMicros, nullable=False),
    sa.Column("received_at", UtcMicros, nullable=False),
    sa.Column("shared_id", TEXT, index=True),
    sa.Column("retracts", TEXT),
    sa.Column("revises", TEXT),
    sa.Column("learned", sa.Boolean, nullable=False),
    sa.Index("outcomes_of_action", "action_id", "outcome", "received_at"),
)
# It holds nothing but what waits for the learner, in the order in which it was received.
partial_index("outcomes_to_learn", sa.not_(outcomes.c.learned), outcomes.c.received_at)


def insert_new(
    connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]
) -> int:
    """Insert the rows whose primary key is not there yet; return their number."""
    statement_of = _statement(_insert_new, table, connection.dialect.name)
    if len(rows) <= ROW_BY_ROW:
        return sum(max(statement_of(*row).count(connection, row), 0) for row in rows)
    return statement_of(*rows[0]).run_many(connection, rows)


def upsert(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, or overwrite the rows with the same primary key."""
    statement_of = _statement(_upsert, table, connection.dialect.name)
    if len(rows) > ROW_BY_ROW:
        statement_of(*rows[0]).run_many(connection, rows)
        return
    for row in rows:
        statement_of(*row).run(connection, row)


def get_meta(connection: sa.Connection, key: str) -> str | None:
    """Read a fact about the whole ledger, such as how far its times were shifted."""
    return connection.execute(sa.select(meta.c.value).where(meta.c.key == key)).scalar()


def set_meta(connection: sa.Connection, key: str, value: str) -> None:
    """Write a fact about the whole ledger."""
    upsert(connection, meta, [{"key": key, "value": value}])


# Cached for each table: building a statement takes longer than the database takes to run it.
@cache
def _insert_new(table: sa.Table, dialect: str) -> Any:
    return _insert(table, dialect).on_conflict_do_nothing()


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
