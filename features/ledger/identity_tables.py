"""Defines tables about who a customer is, and about who calls: holders of devices, keys."""

from __future__ import annotations

import sqlalchemy as sa

from features.ledger.columns import SERIAL, TEXT, UtcMicros, metadata, partial_index

# Events that named an anonymous key together with a named one: the `holder` holds the device from
# then on, until the next login. The holder of the first one also holds what happened before.
# `node`: the key under which the rows of this device in these hands are stored; a key of its own
# for each holder. `void`: people undid the link of the device and the holder. `holder` and `node`
# are empty if that holder was forgotten.
logins = sa.Table(
    "logins",
    metadata,
    sa.Column("key", TEXT, primary_key=True),
    sa.Column("at", UtcMicros, primary_key=True),
    sa.Column("event_id", TEXT, primary_key=True),  # or "link" and the holder; empty: from ever
    sa.Column("holder", TEXT, nullable=False),
    sa.Column("node", TEXT, nullable=False),
    sa.Column("void", sa.Boolean, nullable=False),
    # A device of a shop has many logins, so those of one holder on it are found by both. In SQLite
    # the index ends with the key by itself; told so, SQLite would search all logins of the device.
    sa.Index("logins_of_holder", "holder").ddl_if(dialect="sqlite"),
    sa.Index("logins_of_holder", "holder", "key").ddl_if(dialect="postgresql"),
    sqlite_with_rowid=False,
)
# Two keys that may be one person, because both used the identifier `via`; people decide.
merge_candidates = sa.Table(
    "merge_candidates",
    metadata,
    sa.Column("left", TEXT, primary_key=True),
    sa.Column("right", TEXT, primary_key=True),
    sa.Column("via", TEXT, nullable=False),
    sa.Column("reason", TEXT, nullable=False),  # device, personal or size
    sa.Column("found_at", UtcMicros, nullable=False, index=True),
    sa.Column("status", TEXT, nullable=False),  # open, confirmed or refused
    sa.Column("decided_at", UtcMicros),
    sa.Column("decided_cause", TEXT),
    sa.Index("merge_candidates_of_right", "right"),
)
undecided = merge_candidates.c.status == "open"
partial_index("merge_candidates_undecided", undecided, merge_candidates.c.found_at)
# The values of attributes that have changed, each with the time from which it holds. An attribute
# of `customers` without rows here holds from ever. The first value of a changed one may be from
# `EPOCH`, that is ever; the last one is that of `customers`. `value`: null if unknown from then on.
attribute_changes = sa.Table(
    "attribute_changes",
    metadata,
    sa.Column("customer_id", TEXT, primary_key=True),  # the key, which may be merged with others
    sa.Column("name", TEXT, primary_key=True),
    sa.Column("from_at", UtcMicros, primary_key=True),
    sa.Column("value", TEXT),
    sqlite_with_rowid=False,
)
# Keys of the API: only their hashes. `scopes` is a list of names with commas.
api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("digest", TEXT, primary_key=True),
    sa.Column("name", TEXT, nullable=False),
    sa.Column("scopes", TEXT, nullable=False),
    sa.Column("created_at", UtcMicros, nullable=False),
    sa.Column("revoked_at", UtcMicros),
)
# Uses of the scopes privacy and admin. `status` is null until the request is answered.
access_log = sa.Table(
    "access_log",
    metadata,
    sa.Column("serial", SERIAL, primary_key=True, autoincrement=True),
    *(sa.Column("at", UtcMicros, nullable=False, index=True), sa.Column("key_id", TEXT)),
    *(sa.Column("key_name", TEXT, nullable=False), sa.Column("client", TEXT, nullable=False)),
    *(sa.Column("request", TEXT, nullable=False), sa.Column("status", sa.Integer)),
)
