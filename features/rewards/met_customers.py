"""Notes when each customer was first met: the earliest decision that was asked for about it.

A customer counts in an arm from that day on, whatever was shown, so the arms stay comparable.
Decisions of before there were three arms do not count, nor do imported ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa

from features.ledger import tables
from features.ledger.statements import Statement, among, as_json, texts_of

TWO_ARMS = "two arms up to serial"  # key of `meta`: decisions up to there were of two arms
_DECIDED, _MET = tables.decisions.c, tables.met_customers.c
_DECIDED_US = sa.type_coerce(_DECIDED.decided_at, sa.BigInteger)
_CUSTOMERS = sa.select(texts_of("customers").c.value)
_FIRST = Statement(
    sa.select(_DECIDED.customer_id, sa.func.min(_DECIDED_US))
    .where(_DECIDED.customer_id.in_(_CUSTOMERS))
    .where(_DECIDED.serial > sa.bindparam("serial", type_=sa.BigInteger))
    .where(_DECIDED.arm.is_not(None))
    .group_by(_DECIDED.customer_id)
)
_STORED = Statement(
    sa.select(_MET.customer_id, sa.type_coerce(_MET.met_at, sa.BigInteger)).where(
        _MET.customer_id.in_(_CUSTOMERS)
    )
)


@dataclass
class MetChanges:
    """The rows of `met_customers` that a step of the sums writes and deletes.

    Attributes
    ----------
    met_us : dict
        When customers were met, in microseconds since 1970.
    gone : list of str
        Customers who were never met.
    """

    met_us: dict[str, int] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)

    def write(self, connection: sa.Connection) -> None:
        """Write the rows, and delete those of customers who were never met."""
        if self.met_us:
            rows = [
                {"customer_id": customer_id, "met_at": tables.from_micros(at_us)}
                for customer_id, at_us in self.met_us.items()
            ]
            tables.upsert(connection, tables.met_customers, rows)
        if self.gone:
            connection.execute(
                sa.delete(tables.met_customers).where(among(_MET.customer_id, self.gone))
            )


def changes_of_met(
    connection: sa.Connection, decided_us: Mapping[str, int], whole: Iterable[str]
) -> MetChanges:
    """Compute the rows of customers about whom there are new decisions, and of some others.

    Parameters
    ----------
    decided_us
        For each customer the earliest of the new decisions.
    whole
        Customers whose decisions came or went, as in a merge: all their decisions are read.
    """
    whole = set(whole)
    values = _values(whole) | {"serial": two_arms(connection)}
    met_us: dict[str, int] = dict(_FIRST.rows(connection, values))
    changes = MetChanges(met_us, sorted(whole - met_us.keys()))
    new = {key: at_us for key, at_us in decided_us.items() if key not in whole}
    stored: dict[str, int] = dict(_STORED.rows(connection, _values(new)))
    changes.met_us |= {key: at for key, at in new.items() if at < stored.get(key, at + 1)}
    return changes


def two_arms(connection: sa.Connection) -> int:
    """Return the serial up to which decisions were of two arms; 0: there are none."""
    return int(tables.get_meta(connection, TWO_ARMS) or 0)


def _values(customer_ids: Iterable[str]) -> dict[str, str]:
    return {"customers": as_json(customer_ids)}
