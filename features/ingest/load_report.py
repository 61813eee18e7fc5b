"""Reports the check of a table and its load as one line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoadReport:
    """The result of checking one table and of loading it.

    Attributes
    ----------
    added : int
        Rows that were new.
    refused : int
        Rows left out: of forgotten customers, or an event id that is there with another content.
    resumed_at : int
        Rows that an earlier load of the same file had written.
    changed : int
        Customers whose attributes were brought up to date.
    """

    table: str
    rows: int
    good: int
    first_offender: str | None
    added: int = 0
    refused: int = 0
    resumed_at: int = 0
    changed: int = 0

    @property
    def passed(self) -> bool:
        """True if all rows are good."""
        return self.good == self.rows

    def __str__(self) -> str:
        verdict = "PASS" if self.passed else "FAIL"
        text = f"{verdict}  {self.table:<10} {self.good:>9,} of {self.rows:,} rows are good"
        if not self.passed:
            return f"{text}; first: {self.first_offender}"
        text += f"; {self.added:,} new" if self.added else ""
        text += f"; {self.changed:,} changed" if self.changed else ""
        text += f"; {self.refused:,} left out: {self.first_offender}" if self.refused else ""
        resumed = 0 < self.resumed_at < self.rows
        return text + (f"; began at row {self.resumed_at + 1:,}" if resumed else "")
