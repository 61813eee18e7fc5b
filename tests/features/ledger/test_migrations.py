"""A ledger of schema 5 comes up to the schema of today with all its rows, or stays as it was."""

from __future__ import annotations

import gzip
import hashlib
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from features.errors import InvalidSetting, LedgerDown
from features.ledger import databases, migrations, tables
from features.ledger.ledger import Ledger
from features.ledger.migrations import MIGRATIONS, Migration, migrate
from features.masking import masked

RENAMED = {
    ("contacts", "said"): "outcomes_at",
    ("learner_state", "knowledge"): "bandit_state",
}
DROPPED = {("learner_state", "windows_closed_at")}
ADDED_7 = {("credits", "count"), ("credits", "revise_at"), ("credits", "sequence")}
ADDED_8 = {
    ("journey_states", "generation"),
    ("journey_states", "problem"),
    ("contacts", "account"),
}
ADDED_12 = {
    ("decisions", "believed"),
    ("decisions", "slots_shown"),
    ("snapshots", "since"),
    ("learner_state", "token"),
}
ADDED = ADDED_7 | ADDED_8 | ADDED_12 | {("events", "received_at"), ("contacts", "outcome_at")}
# Tables that opening a ledger of schema 7 has created; those of later schemas are dropped.
TABLES_7 = {
    *("catalogs", "contacts", "credits", "customers", "decisions", "events", "identities"),
    *("journey_states", "learner_state", "links", "meta", "outcomes", "paces"),
    *("snapshot_parts", "snapshots", "tombstones"),
}
# Opening a ledger of schema 8 creates the tables of schema 9; they are filled by its migration.
TABLES_9 = ("attribute_changes", "logins", "merge_candidates")
GO_BACK_TO_13 = ("DROP INDEX decisions_by_activation",)
GO_BACK_TO_12 = (
    *GO_BACK_TO_13,
    "DROP INDEX ix_event_days_step",
    "ALTER TABLE event_days DROP COLUMN step",
)
GO_BACK_TO_11 = (
    *GO_BACK_TO_12,
    "DROP INDEX outcomes_to_learn",
    "CREATE INDEX outcomes_to_learn ON outcomes (learned)",
    "ALTER TABLE decisions DROP COLUMN believed",
    "DROP INDEX decisions_with_slots",
    "ALTER TABLE decisions DROP COLUMN slots_shown",
    "ALTER TABLE snapshots DROP COLUMN since",
    "DROP INDEX snapshots_by_time",
    "ALTER TABLE learner_state DROP COLUMN token",
)
GO_BACK_TO_8 = (
    *GO_BACK_TO_11,
    "DROP INDEX contacts_of_customer_with_outcomes",
    "DROP INDEX contacts_with_outcomes",
    "ALTER TABLE contacts DROP COLUMN outcome_at",
    "CREATE INDEX contacts_with_outcomes ON contacts (account, shown_at)",
    *(f"DROP TABLE {name}" for name in TABLES_9),
    "ALTER TABLE events DROP COLUMN received_at",
    "CREATE TABLE links_9 AS SELECT * FROM links",
    "DROP TABLE links",
    'CREATE TABLE links ("left" TEXT NOT NULL, "right" TEXT NOT NULL, cause TEXT NOT NULL, '
    "linked_at BIGINT NOT NULL, undone_at BIGINT, undone_cause TEXT, "
    'PRIMARY KEY ("left", "right"))',
    'INSERT INTO links ("left", "right", cause, linked_at, undone_at, undone_cause) '
    'SELECT "left", "right", cause, linked_at, undone_at, undone_cause FROM links_9',
    "DROP TABLE links_9",
    'CREATE INDEX links_of_right ON links ("right")',
)
GO_BACK_TO_7 = (
    *GO_BACK_TO_8,
    "DROP INDEX contacts_of_account",
    "DROP INDEX contacts_with_outcomes",
    "DROP INDEX decisions_activated_later",
    *(f"DROP TABLE {name}" for name in sorted({*tables.metadata.tables} - TABLES_7 - {*TABLES_9})),
    *(f"ALTER TABLE {table} DROP COLUMN {name}" for table, name in sorted(ADDED_8)),
)
GO_BACK = (
    *GO_BACK_TO_7,
    "DROP INDEX credits_to_revise",
    "DROP INDEX outcomes_of_action",
    *(f"ALTER TABLE {table} DROP COLUMN {name}" for table, name in sorted(ADDED_7)),
    "ALTER TABLE learner_state ADD COLUMN windows_closed_at BIGINT NOT NULL DEFAULT 0",
)
PENDING = [migration.schema for migration in MIGRATIONS]
NEXT = int(tables.SCHEMA) + 1
SCHEMA_5 = Path(__file__).parent / "schema_5"  # kept ledgers
DECIDED = {"decision_id": "d1", "action_id": "discount"}


def digests(path: Path) -> dict[tuple[str, str], tuple[int, str]]:
    """The number of rows, and the hash of all values, of each column of a SQLite ledger."""
    found = {}
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        for (table,) in connection.execute(query).fetchall():
            answer = connection.execute(f'SELECT * FROM "{table}"')
            names = [column[0] for column in answer.description]
            rows = sorted(answer.fetchall(), key=repr)
            values = list(zip(*rows, strict=True)) or [()] * len(names)
            for name, column in zip(names, values, strict=True):
                found[table, name] = (len(rows), hashlib.sha256(repr(column).encode()).hexdigest())
    return found


def go_back_to_schema_5(connection):
    for change in GO_BACK:
        connection.exec_driver_sql(change)
    for (table, old), new in RENAMED.items():
        connection.exec_driver_sql(f"ALTER TABLE {table} RENAME COLUMN {new} TO {old}")


@pytest.fixture(params=["shop", "world"])
def kept(request, tmp_path):
    """A copy of a kept ledger of schema 5, and its address."""
    path, packed = tmp_path / f"{request.param}.db", SCHEMA_5 / f"{request.param}.db.gz"
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    return path, f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def of_schema_5(request, tmp_path):
    """The address of a ledger of schema 5 with a row in each changed table, on each database."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'ledger.db'}"
    else:
        url = request.getfixturevalue("postgres_url")
    ledger = Ledger(url)
    contact = {
        **DECIDED,
        "subject": "ann",
        "customer_id": "ann",
        "shown_at": tables.EPOCH,
        "channel": "app",
        "action_group": "promotion",
        "outcomes_at": json.dumps({"clicked": 5}),
    }
    state = {
        "key": "bandit",
        "base": "prior",
        "bandit_state": b"\x00learned",
        "revision": 3,
    }

    def go_back(connection):
        tables.insert_new(connection, tables.contacts, [contact])
        tables.insert_new(connection, tables.learner_state, [state])
        go_back_to_schema_5(connection)
        tables.set_meta(connection, "schema", "5")

    ledger.write_now(go_back)
    ledger.close()
    return url


def schema_of(url):
    engine = databases.open_database(url)
    with engine.begin() as connection:
        found = tables.get_meta(connection, "schema")
    engine.dispose()
    return found


def columns_of(url, table):
    engine = databases.open_database(url)
    found = {column["name"] for column in sa.inspect(engine).get_columns(table)}
    engine.dispose()
    return found


def test_the_migrations_are_numbered_without_a_gap_up_to_the_schema_of_today():
    numbers = [migration.schema for migration in MIGRATIONS]
    assert numbers == list(range(6, 6 + len(MIGRATIONS)))
    assert str(numbers[-1]) == tables.SCHEMA


def test_a_kept_ledger_comes_up_with_every_row_of_every_column(kept):
    path, url = kept
    before = digests(path)
    plan = migrate(url)
    assert (plan.found, [one.schema for one in plan.pending]) == ("5", PENDING)
    after = digests(path)
    expected = {(table, RENAMED.get((table, name), name)) for table, name in before}
    of_old_tables = {(table, name) for table, name in after if table in TABLES_7}
    assert of_old_tables == expected - DROPPED | ADDED
    changed = {
        (table, name)
        for table, name in set(before) - DROPPED
        if after[table, RENAMED.get((table, name), name)] != before[table, name]
    }
    # The schema number, the serial up to which records hold all keys of their request, and the
    # silent actions that wait to be counted.
    changed -= {("credits", name) for name in (*DECIDED, "acceptance")}
    assert changed == {("meta", "key"), ("meta", "value")}
    assert schema_of(url) == tables.SCHEMA


def test_what_was_learned_counts_once_and_silent_actions_wait(kept):
    path, url = kept
    with closing(sqlite3.connect(path)) as connection:
        learned = connection.execute("SELECT * FROM credits").fetchall()
        shown = connection.execute(
            "SELECT c.decision_id, c.action_id, c.shown_at FROM contacts c "
            "JOIN decisions d USING (decision_id) WHERE d.served"
        ).fetchall()
    migrate(url)
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT * FROM credits").fetchall()
    keys = {(decision_id, action_id) for decision_id, action_id, _ in learned}
    silent = [one for one in shown if one[:2] not in keys]
    expected = [(*row, 1.0, None, None) for row in learned]
    expected += [(*key, 0.0, 0.0, shown_at, None) for *key, shown_at in silent]
    assert sorted(rows) == sorted(expected)
    assert len(learned) >= 12 and len(silent) >= 5


def test_a_migrated_ledger_has_the_tables_and_indexes_of_a_new_one(kept, tmp_path):
    _, url = kept
    migrate(url)
    new = f"sqlite:///{tmp_path / 'new.db'}"
    for one in (url, new):
        Ledger(one).close()

    def shape(one):
        engine = databases.open_database(one)
        inspector = sa.inspect(engine)
        found = {
            name: (
                [(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(name)],
                sorted(index["name"] for index in inspector.get_indexes(name)),
            )
            for name in inspector.get_table_names()
        }
        engine.dispose()
        return found

    assert shape(url) == shape(new)


def test_what_a_contact_and_the_learner_held_is_read_under_the_new_names(of_schema_5):
    with pytest.raises(InvalidSetting):
        Ledger(of_schema_5)
    plan = migrate(of_schema_5)
    assert [one.schema for one in plan.pending] == PENDING
    ledger = Ledger(of_schema_5)
    contact = ledger.read(lambda c: c.execute(sa.select(tables.contacts)).one())
    state = ledger.read(lambda c: c.execute(sa.select(tables.learner_state)).one())
    ledger.close()
    assert json.loads(contact.outcomes_at) == {"clicked": 5}
    assert (state.bandit_state, state.revision) == (b"\x00learned", 3)


def test_a_second_migration_finds_nothing_to_do(of_schema_5):
    migrate(of_schema_5)
    assert migrate(of_schema_5) == (tables.SCHEMA, ())


def test_a_dry_run_names_the_steps_and_changes_nothing(of_schema_5):
    plan = migrate(of_schema_5, dry_run=True)
    assert (plan.found, plan.pending) == ("5", MIGRATIONS)
    assert schema_of(of_schema_5) == "5"
    assert "said" in columns_of(of_schema_5, "contacts")


def test_where_there_is_no_ledger_nothing_is_migrated_and_none_is_made(tmp_path):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    assert migrate(url) == (None, ())
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as opened:
        assert opened.execute("SELECT name FROM sqlite_master").fetchall() == []


@pytest.mark.parametrize("error", [ValueError("a bug"), None])
def test_a_step_that_fails_leaves_the_ledger_of_schema_5_as_it_was(of_schema_5, monkeypatch, error):
    def fail(connection):
        connection.exec_driver_sql("ALTER TABLE contacts RENAME COLUMN subject TO whom")
        if error is not None:
            raise error
        connection.exec_driver_sql("ALTER TABLE nowhere RENAME COLUMN a TO b")

    broken = (*MIGRATIONS, Migration(NEXT, "fails half-way", fail))
    monkeypatch.setattr(migrations, "MIGRATIONS", broken)
    monkeypatch.setattr(tables, "SCHEMA", str(NEXT))
    with pytest.raises(ValueError if error else LedgerDown) as caught:
        migrate(of_schema_5)
    if error is None:
        assert "its schema is still 5, because a migration failed: " in str(caught.value)
        assert "nowhere" in str(caught.value)
        assert str(caught.value).endswith("Stop the other processes and run 'nba migrate' again.")
    assert schema_of(of_schema_5) == "5"
    assert columns_of(of_schema_5, "contacts") >= {"said", "subject"}
    assert "knowledge" in columns_of(of_schema_5, "learner_state")


def test_several_steps_run_in_order_in_one_transaction(of_schema_5, monkeypatch):
    def rename_again(connection):
        connection.exec_driver_sql("ALTER TABLE contacts RENAME COLUMN outcomes_at TO reactions")

    later = (*MIGRATIONS, Migration(NEXT, "renames once more", rename_again))
    monkeypatch.setattr(migrations, "MIGRATIONS", later)
    monkeypatch.setattr(tables, "SCHEMA", str(NEXT))
    assert [one.schema for one in migrate(of_schema_5).pending] == [*PENDING, NEXT]
    assert schema_of(of_schema_5) == str(NEXT)
    assert "reactions" in columns_of(of_schema_5, "contacts")


def test_of_processes_that_migrate_at_once_one_does_it(of_schema_5):
    with ThreadPoolExecutor(4) as pool:
        plans = list(pool.map(migrate, [of_schema_5] * 4))
    assert sorted(len(plan.pending) for plan in plans) == [0, 0, 0, len(MIGRATIONS)]
    assert schema_of(of_schema_5) == tables.SCHEMA


def test_opening_a_ledger_of_schema_5_is_refused_with_the_command_that_helps(of_schema_5):
    with pytest.raises(InvalidSetting) as caught:
        Ledger(of_schema_5)
    assert str(caught.value) == (
        f"NBA_LEDGER_URL is {masked(of_schema_5)}; its schema is 5. "
        f"Expected schema {tables.SCHEMA}. Run 'nba migrate'; it keeps all rows. "
        "'nba serve' runs it at its start."
    )
    assert schema_of(of_schema_5) == "5"


@pytest.mark.parametrize("schema", ["4", str(NEXT), "99", "six", "05", ""])
def test_a_ledger_that_is_too_old_or_too_new_is_neither_migrated_nor_opened(of_schema_5, schema):
    engine = databases.open_database(of_schema_5)
    with engine.begin() as connection:
        tables.set_meta(connection, "schema", schema)
    engine.dispose()
    for refused in (migrate, Ledger):
        with pytest.raises(InvalidSetting) as caught:
            refused(of_schema_5)
        assert f"its schema is {schema}. Expected schema {tables.SCHEMA}." in str(caught.value)
        assert "Name another ledger" in str(caught.value)
    assert schema_of(of_schema_5) == schema
    assert "said" in columns_of(of_schema_5, "contacts")


def test_a_ledger_that_somebody_is_writing_to_is_migrated_after_them(of_schema_5):
    engine = databases.open_database(of_schema_5)
    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as connection:
            waiting = pool.submit(migrate, of_schema_5)
            tables.set_meta(connection, "note", "written before the migration")
            assert not waiting.done()
        assert [one.schema for one in waiting.result(timeout=20).pending] == PENDING
    with engine.begin() as connection:
        assert tables.get_meta(connection, "note") == "written before the migration"
    engine.dispose()


def test_a_reader_that_does_not_let_go_is_told_of_as_a_failed_migration(postgres_url, monkeypatch):
    monkeypatch.setattr(databases, "BUSY_MS", 200)
    Ledger(postgres_url).close()
    engine = databases.open_database(postgres_url)
    with engine.begin() as connection:
        go_back_to_schema_5(connection)
        tables.set_meta(connection, "schema", "5")
    engine.dispose()
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as reader:
        reader.execute("SELECT count(*) FROM contacts")  # holds the table until it ends
        with pytest.raises(LedgerDown, match="its schema is still 5, because a migration failed"):
            migrate(postgres_url)
    assert [one.schema for one in migrate(postgres_url).pending] == PENDING


def test_a_database_that_does_not_answer_is_named():
    with pytest.raises(LedgerDown, match="it cannot be opened"):
        migrate("postgresql+psycopg://nba:secret@127.0.0.1:1/nba")


@pytest.mark.parametrize("dry_run", [True, False])
def test_where_there_is_no_ledger_none_is_created(dry_run, tmp_path):
    plan = migrate(f"sqlite:///{tmp_path / 'none' / 'ledger.db'}", dry_run=dry_run)
    assert (plan.found, plan.pending) == (None, ())
    assert list(tmp_path.iterdir()) == []
