"""Deletes erased customers from the files and the counts of journeys.

Their cells are taken from the counts in the transaction that notes files without them. Then the old
files are deleted, also those that a reader may have open.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from os import link
from pathlib import Path

import sqlalchemy as sa

from features.analytics.journey_files import FilePair, pair_at
from features.analytics.upkeep.cube import add_cells, difference
from features.analytics.upkeep.kept_files import build_folder, remove_others, rows_of
from features.analytics.upkeep.kept_state import (
    FOLDER,
    KeptState,
    keeper_of,
    keeping,
    read_state,
    write_state,
)
from features.analytics.upkeep.recount import discard_recount
from features.analytics.upkeep.scratch import discard_scratch
from features.business.domain import Domain
from features.errors import InvalidSetting
from features.ledger import tables
from features.ledger.derived_tables import mark_journeys
from features.ledger.ledger import Ledger
from features.ledger.statements import among
from features.store.table_files import is_table, rewrite

WAIT_S, PAUSE_S = 20.0, 0.02  # for a step of a refresh, which holds the lock of the files


def forget_journeys(
    ledger: Ledger, domain: Domain, folder: Path, customer_ids: Collection[str]
) -> None:
    """Delete customers from all files of journeys, and from the counts.

    Parameters
    ----------
    customer_ids
        The keys of customers whose rows are deleted from the ledger already.

    Raises
    ------
    InvalidSetting
        If a build or a recount is running; nothing is done, and the caller tries again later.
    """
    keys = {*customer_ids}
    with _keeping(folder):
        discard_recount(folder)
        state = ledger.write_now(lambda c: _state_without(c, keys))
        if state is None or not _forget(ledger, domain, folder, state, keys):
            remove_others(folder, ())  # of builds that were cut off, or do not count any more
        discard_scratch(folder)
        for file in sorted(filter(is_table, folder.glob("**/*"))):  # also those of past days
            with suppress(FileNotFoundError):  # it was used once, and is deleted now
                rewrite(file, {"customer_id": keys})
        if state is None or state.keeper == keeper_of(folder):
            whose = among(tables.journey_marks.c.customer_id, keys)
            ledger.write_now(lambda c: c.execute(sa.delete(tables.journey_marks).where(whose)))
        else:  # the home that keeps them cuts these customers anew, who are nobody now
            ledger.write_now(lambda c: mark_journeys(c, keys))


def forgetting(
    ledger: Ledger, domain: Domain, home: Path
) -> Mapping[str, Callable[[Collection[str]], None]]:
    """Return the deletion of customers from the journeys of a home, for `Erasure`."""
    return {FOLDER: partial(forget_journeys, ledger, domain, home / FOLDER)}


def _state_without(connection: sa.Connection, keys: Collection[str]) -> KeptState | None:
    """Read the state; if marks are taken up to one of the keys, from the first one on again."""
    state = read_state(connection)
    if state is None or state.after not in keys:
        return state
    after = replace(state, after="")
    write_state(connection, state, after)
    return after


def _forget(ledger: Ledger, domain: Domain, folder: Path, state: KeptState, keys: set[str]) -> bool:
    """Write the files that count without some customers; False if they cannot be read."""
    data = state.try_to_open(domain, folder)
    if data is None:
        return False
    with data:
        rows = rows_of(data, keys)
    after = replace(state, former=())
    if any(map(len, rows)):
        version = state.version + 1
        names = {
            name: _without(folder, name, f"{build_folder(state.build)}/kept-{version:09}-{n}", keys)
            for n, name in enumerate(state.names)
        }
        after = replace(
            after,
            version=version,
            base=tuple(names[name] for name in state.base),
            deltas=tuple(names[name] for name in state.deltas),
        )
    cells = difference(rows, (rows[0].slice(0, 0), rows[1].slice(0, 0)))

    def write(connection: sa.Connection) -> None:
        if not write_state(connection, state, after):
            raise RuntimeError("Another process keeps the same journeys; nothing was deleted.")
        add_cells(connection, after.build, cells)

    if after != state:
        ledger.write_now(write)
    remove_others(folder, after.names)
    return True


def _without(folder: Path, name: str, new: str, keys: set[str]) -> str:
    """Write a pair without some customers under another name; return the name that counts now."""
    old, copy = pair_at(folder, name), pair_at(folder, new)
    changed = False
    for one, other in zip(_files(old), _files(copy), strict=True):
        other.unlink(missing_ok=True)
        if one.exists():
            link(one, other)  # `rewrite` replaces the link, and not what others read
            changed |= rewrite(other, {"customer_id": keys})
    return new if changed else name


def _files(pair: FilePair) -> tuple[Path, ...]:
    return (*pair, pair.customers)


@contextmanager
def _keeping(folder: Path) -> Iterator[None]:
    """Hold the lock of the files, after waiting for a step that runs."""
    with ExitStack() as stack:
        for left in range(round(WAIT_S / PAUSE_S), -1, -1):
            try:
                stack.enter_context(keeping(folder, wait=False))
                break
            except InvalidSetting:
                if not left:
                    raise
                time.sleep(PAUSE_S)
        yield
