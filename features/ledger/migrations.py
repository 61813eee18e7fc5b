"""Numbered migrations bring a ledger of an older schema up to the schema of this program.

A change of the tables raises `tables.SCHEMA` by one and adds one `Migration` here. All pending
migrations and the new schema number are one transaction, on SQLite and on PostgreSQL: after a
failure the ledger is what it was before. Opening a ledger never migrates it, so a worker cannot
change the tables under another one. `nba serve`, before it starts its workers, and `nba migrate`
do.

A migration is written in SQL, not with the tables of `tables`: those are the tables after the
last migration. A new table needs no migration: opening a ledger creates the tables that are
missing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import NamedTuple

import sqlalchemy as sa

from features.errors import InvalidSetting, LedgerDown
from features.ledger import databases, tables
from features.ledger.connections import Connections
from features.ledger.schema_steps import (
    to_schema_8,
    to_schema_9,
    to_schema_10,
    to_schema_11,
    to_schema_12,
    to_schema_13,
    to_schema_14,
)
from features.masking import masked


class Migration(NamedTuple):
    """One step, from a schema to the next.

    Attributes
    ----------
    schema
        The number of the schema after this step.
    summary
        The change, for people: half a sentence.
    apply
        Makes the change. It neither commits nor opens a connection of its own.
    """

    schema: int
    summary: str
    apply: Callable[[sa.Connection], None]


class MigrationPlan(NamedTuple):
    """The schema of a ledger, and the migrations that it needs or needed.

    Attributes
    ----------
    found
        The schema before any migration; None if there is no ledger at that address yet.
    pending
        In the order in which they are applied; empty if the ledger is up to date.
    """

    found: str | None
    pending: tuple[Migration, ...]


def _rename_outcomes_at_and_bandit_state(connection: sa.Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE contacts RENAME COLUMN said TO outcomes_at")
    connection.exec_driver_sql("ALTER TABLE learner_state RENAME COLUMN knowledge TO bandit_state")


def _count_silences(connection: sa.Connection) -> None:
    for change in (
        # What was learned before is counted once, and is not revised by its age.
        "ALTER TABLE credits ADD COLUMN count FLOAT NOT NULL DEFAULT 1",
        "ALTER TABLE credits ADD COLUMN revise_at BIGINT",
        "ALTER TABLE credits ADD COLUMN sequence BIGINT",
        "CREATE INDEX credits_to_revise ON credits (revise_at) WHERE revise_at IS NOT NULL",
        "CREATE INDEX outcomes_of_action ON outcomes (action_id, outcome, received_at)",
        "ALTER TABLE learner_state DROP COLUMN windows_closed_at",
        "INSERT INTO credits (decision_id, action_id, acceptance, count, revise_at) "
        "SELECT shown.decision_id, shown.action_id, 0, 0, shown.shown_at FROM contacts AS shown "
        "JOIN decisions AS decided ON decided.decision_id = shown.decision_id "
        "WHERE decided.served AND decided.record IS NOT NULL AND NOT EXISTS (SELECT 1 FROM credits "
        "AS learned WHERE learned.decision_id = shown.decision_id "
        "AND learned.action_id = shown.action_id)",
    ):
        connection.exec_driver_sql(change)


MIGRATIONS = (
    Migration(
        6,
        "contacts.said is renamed outcomes_at, learner_state.knowledge is renamed bandit_state",
        _rename_outcomes_at_and_bandit_state,
    ),
    Migration(
        7,
        "credits get a count, a time of revision and a snapshot; silent actions wait to be counted",
        _count_silences,
    ),
    Migration(
        8,
        "customers can be set aside; contacts name the account",
        to_schema_8,
    ),
    Migration(
        9,
        "devices are held from a time on, links keep their history, events keep when they came",
        to_schema_9,
    ),
    Migration(
        10,
        "the ledger can hold keys, which a server of an earlier release does not ask for",
        to_schema_10,
    ),
    Migration(
        11,
        "customers whose journeys have changed are marked, and their journeys are counted",
        to_schema_11,
    ),
    Migration(
        12,
        "decisions keep what was believed; the learner keeps its sums in a file, and its steps",
        to_schema_12,
    ),
    Migration(
        13,
        "customers have three arms; guardrails and a simulated clock have tables",
        to_schema_13,
    ),
    Migration(
        14,
        "features of customers some days after a decision, and models of effects, have tables",
        to_schema_14,
    ),
)


def migrate(url: str, dry_run: bool = False) -> MigrationPlan:
    """Apply the pending migrations of a ledger in one transaction.

    Several processes may call this at once: the transaction has the write lock from its first
    statement on, so the first process migrates and the others find the new schema.

    Parameters
    ----------
    url
        As `Ledger` takes it.
    dry_run
        Read the schema only, and write nothing to the ledger.

    Raises
    ------
    InvalidSetting
        If the address is of no ledger, or no migration begins at the schema of the ledger.
    LedgerDown
        If the database does not answer, or a migration fails; then nothing has changed.
    """
    if databases.has_no_file(url):  # opening it would create it
        return MigrationPlan(None, ())
    engine = databases.open_database(url)
    connections = Connections(engine, read_only=dry_run)
    found: str | None = None
    try:
        with closing(connections), connections.transaction() as connection:
            if not sa.inspect(connection).has_table(tables.meta.name):
                return MigrationPlan(None, ())
            found = tables.get_meta(connection, "schema")
            plan = MigrationPlan(found, pending_migrations(found, url))
            if not dry_run:
                for migration in plan.pending:
                    migration.apply(connection)
                    tables.set_meta(connection, "schema", str(migration.schema))
            return plan
    except sa.exc.DBAPIError as error:
        if found is None:
            raise databases.not_opened(url, error) from error
        raise _not_migrated(url, found, error) from error
    finally:
        engine.dispose()


def require_current_schema(schema: str | None, url: str) -> None:
    """Refuse a ledger whose schema is not that of this program.

    Raises
    ------
    InvalidSetting
        Its remedy is `nba migrate` if migrations lead from that schema to the one of today.
    """
    if pending_migrations(schema, url):
        raise InvalidSetting(
            f"NBA_LEDGER_URL is {masked(url)}; its schema is {schema}.",
            expected=f"schema {tables.SCHEMA}",
            remedy="Run 'nba migrate'; it keeps all rows. 'nba serve' runs it at its start.",
        )


def pending_migrations(schema: str | None, url: str) -> tuple[Migration, ...]:
    """List the migrations from a schema to the one of today.

    Raises
    ------
    InvalidSetting
        If none begins there: the ledger is older than all of them, or newer than the program.
    """
    if schema == tables.SCHEMA:
        return ()
    for number, migration in enumerate(MIGRATIONS):
        if schema == str(migration.schema - 1):
            return MIGRATIONS[number:]
    raise InvalidSetting(
        f"NBA_LEDGER_URL is {masked(url)}; its schema is {schema}.",
        expected=f"schema {tables.SCHEMA}",
        remedy="Name another ledger (or another NBA_HOME) and load your tables again.",
    )


def _not_migrated(url: str, schema: str, error: sa.exc.DBAPIError) -> LedgerDown:
    reason = " ".join(str(error.orig).split()).rstrip(".")
    return LedgerDown(
        f"NBA_LEDGER_URL is {masked(url)}; its schema is still {schema}, "
        f"because a migration failed: {reason}.",
        expected="a ledger that no other process writes to",
        remedy="Nothing was changed. Stop the other processes and run 'nba migrate' again.",
    )
