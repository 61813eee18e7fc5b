"""The durable memory: tables, group commit, SQLite and PostgreSQL."""
