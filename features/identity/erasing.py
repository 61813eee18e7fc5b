"""Deletes rows about who the forgotten customers are: links, merge candidates, moves of rows."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from features.ledger import tables


def erase_identity_rows(connection: sa.Connection, keys: Sequence[str]) -> None:
    """Delete links, merge candidates and changed attributes that name one of the keys.

    A candidate goes with either of its two keys, and with the identifier that both used.
    `identities` and the other tables with a customer's rows are deleted in `erase_rows`.
    """
    links, candidates = tables.links.c, tables.merge_candidates.c
    changes = tables.attribute_changes.c
    for table, columns in (
        (tables.links, (links.left, links.right)),
        (tables.merge_candidates, (candidates.left, candidates.right, candidates.via)),
        (tables.attribute_changes, (changes.customer_id,)),
    ):
        for column in columns:  # one by one: each of them has an index
            connection.execute(sa.delete(table).where(column.in_(keys)))


def stop_moving(connection: sa.Connection, keys: Sequence[str]) -> list[tuple[str, str]]:
    """Stop moving rows of the keys (`relocation`).

    Returns
    -------
    list of tuple
        Pairs of a customer under whom rows are still stored, and the key that they are of.
    """
    moved = tables.relocations.c
    query = sa.select(moved.customer_id, moved.subject).where(moved.subject.in_(keys))
    found = connection.execute(query.where(moved.customer_id.not_in(keys))).all()
    connection.execute(sa.delete(tables.relocations).where(moved.subject.in_(keys)))
    return [(row.customer_id, row.subject) for row in found]
