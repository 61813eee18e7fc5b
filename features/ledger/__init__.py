"""The ledger, the database of record: tables, group commit, migrations, SQLite and PostgreSQL."""
