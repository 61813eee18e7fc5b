"""Finds the files of the contract tables in a folder, and names those that nobody reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from features.errors import InvalidData
from features.ingest.checks.table_columns import TABLES, proposal
from features.store.table_files import ENDINGS

# Endings of tables, of which only some are read.
_LIKE_TABLES = (
    *(".csv", ".tsv", ".txt", ".xls", ".xlsx", ".ods", ".json", ".jsonl", ".ndjson"),
    *(".parquet", ".feather", ".orc", ".avro", ".gz", ".bz2", ".xz", ".zst", ".zip"),
)


def files_of_tables(folder: Path) -> dict[str, Path]:
    """Find the file of each contract table, in the order in which tables are loaded.

    Raises
    ------
    InvalidData
        If the folder holds none of the tables, or two files for one.
    """
    found: dict[str, list[Path]] = {name: [] for name in TABLES}
    for path in _entries(folder):
        name = _table_of(path)
        if name is not None:
            found[name].append(path)
    for name, paths in found.items():
        if len(paths) > 1:
            raise InvalidData(
                f"{folder} holds {len(paths)} files for the table {name}: "
                f"{', '.join(path.name for path in paths)}.",
                expected="one file for each table",
                remedy="Remove or rename all but one.",
            )
    if not any(found.values()):
        others = "".join(f" {one}." for one in unread_files(folder))
        raise InvalidData(
            f"{folder} holds none of the contract tables.",
            expected=f"some of {', '.join(TABLES)} as .csv, .csv.gz or .parquet",
            remedy=f"Name the folder that holds them.{others}",
        )
    return {name: paths[0] for name, paths in found.items() if paths}


def unread_files(folder: Path) -> list[str]:
    """Name the files of a folder that look like tables and are not read."""
    return [
        _said_of(path)
        for path in _entries(folder)
        if _table_of(path) is None and _looks_like_a_table(path)
    ]


def _entries(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _table_of(path: Path) -> str | None:
    name = path.name.lower()
    fits = (table for table in TABLES for ending in ENDINGS if name == f"{table}{ending}")
    return next(fits, None) if path.is_file() else None


def _looks_like_a_table(path: Path) -> bool:
    name = path.name.lower()
    if path.is_dir():
        return name.startswith(TABLES) or any(_table_of(one) for one in path.glob("*"))
    return name.startswith(TABLES) or name.endswith(_LIKE_TABLES)


def _said_of(path: Path) -> str:
    if path.is_dir():
        return f"{path.name} is a folder and is not read"
    return f"{path.name} is not read{proposal(path.name.partition('.')[0], TABLES)}"
