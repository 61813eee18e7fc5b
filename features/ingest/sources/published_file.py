"""Reads a published file, or explains in a sentence why it cannot be read."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from features.errors import InvalidData, NbaError


def read_published(file: Path, columns: tuple[str, ...], source: str) -> pd.DataFrame:
    """Read a comma separated file, compressed or not, with every cell as an unchanged text.

    Parameters
    ----------
    columns
        The columns that the file must have; others are left out.
    source
        The name of the importer, for the error.

    Raises
    ------
    InvalidData
        If there is no such file, or a column is missing.
    """
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise wrong_file(file, "does not exist", source) from None
    except (OSError, ValueError, EOFError) as error:  # no table, or not compressed as its name says
        why = " ".join(str(error).split())
        raise wrong_file(file, f"cannot be read ({why})", source) from error
    missing = [name for name in columns if name not in table]
    if missing:
        raise wrong_file(file, f"has no column {missing[0]!r}", source)
    if table.empty:
        raise wrong_file(file, "has no rows", source)
    return table[list(columns)]


def wrong_file(file: Path, wrong: str, source: str) -> NbaError:
    """Make the error for a file that an importer cannot read."""
    return InvalidData(
        f"{file} {wrong}.",
        expected=f"the published table of {source}",
        remedy=f"Name it: 'nba import {source} --file PATH'.",
    )
