"""Finds customers of whom one table tells two different things."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime

from features.ingest.cells import bad_cell
from features.ingest.contract_tables import ParsedRows
from features.ledger import tables


@dataclass
class ToldCustomers:
    """The attributes that earlier rows give to each customer.

    One small text is kept for each different row of a customer, and equal texts are kept once.
    """

    _rows: dict[tuple[str, datetime | None], tuple[tuple[int, str], ...]] = field(
        default_factory=dict
    )
    _texts: dict[str, str] = field(default_factory=dict)

    def check(self, number: int, parsed: ParsedRows) -> None:
        """Check a parsed row of customers, given its number; rows of other tables are passed.

        Raises
        ------
        InvalidData
            If an earlier row gives the same customer another value of an attribute as of the same
            time.
        """
        for row in parsed.rows.get(tables.customers, ()):
            as_of = row.get("as_of")
            told = row["attributes"]
            key, text = (row["customer_id"], as_of), self._texts.setdefault(told, told)
            rows = self._rows.get(key, ())
            if any(text is other for _, other in rows):
                continue
            self._rows[key] = (*rows, (number, text))
            for earlier, other in rows:
                first = json.loads(other)
                for name, value in json.loads(text).items():
                    if first.get(name, value) != value:
                        raise bad_cell(
                            name,
                            value,
                            f"{first[name]!r} as in row {earlier}, which is about the same "
                            f"customer_id {row['customer_id']!r}, or another as_of",
                        )
