"""Reports the check of a table and its load as one line, with a line for each thing to know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from features.errors import quoted

FORGOTTEN_ROWS = "about forgotten customers"
NO_DECISION = "of no decision in the ledger"
OTHER_CONTENT = "id is there with another content"
BEFORE_DECISION = "before its decision"
OTHER_ACTION = "another action than its decision"


class LeftOut(NamedTuple):
    """A row that was left out: a reason that many rows may share, and a sentence about this one."""

    reason: str
    sentence: str


def of_no_decision(decision_id: str) -> LeftOut:
    """Say that an outcome is left out, as nobody knows its decision."""
    return LeftOut(NO_DECISION, f"decision_id {quoted(decision_id)} is not in the ledger")


@dataclass
class LeftOutRows:
    """Counts rows that were left out by their reason, and keeps the first sentence of each."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, rows: Iterable[LeftOut]) -> None:
        """Count more rows."""
        for row in rows:
            self.counts[row.reason] += 1
            self.first.setdefault(row.reason, row.sentence)

    def lines(self) -> list[str]:
        """Say each reason with its count and the first row."""
        return [
            f"{count:,} left out ({reason}); first: {self.first[reason].rstrip('.')}."
            for reason, count in self.counts.items()
        ]


@dataclass(frozen=True, slots=True)
class LoadReport:
    """The result of checking one table and of loading it.

    Attributes
    ----------
    first_offender : str or None
        The sentence about the first bad row, or else about the first one that was left out.
    added : int
        Rows that were new.
    refused : int
        Rows left out: of forgotten customers, or an id that is there with another content.
    resumed_at : int
        Rows that an earlier load of the same file had written.
    changed : int
        Customers whose attributes were brought up to date.
    notes : tuple of str
        Columns that are not read, and actions that are retired.
    left_out : tuple of str
        Why rows were left out. A check finds the outcomes of no decision only.
    """

    table: str
    rows: int
    good: int
    first_offender: str | None
    added: int = 0
    refused: int = 0
    resumed_at: int = 0
    changed: int = 0
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """True if all rows are good."""
        return self.good == self.rows

    def __str__(self) -> str:
        lines = (f"      {self.table}: {note}" for note in (*self.notes, *self.left_out))
        return "\n".join([self._line, *lines])

    @property
    def _line(self) -> str:
        verdict = "PASS" if self.passed else "FAIL"
        text = f"{verdict}  {self.table:<10} {self.good:>9,} of {self.rows:,} rows are good"
        if not self.passed:
            return f"{text}; first: {self.first_offender}"
        text += f"; {self.added:,} new" if self.added else ""
        text += f"; {self.changed:,} changed" if self.changed else ""
        text += f"; {self.refused:,} left out" if self.refused else ""
        resumed = 0 < self.resumed_at < self.rows
        return text + (f"; began at row {self.resumed_at + 1:,}" if resumed else "")
