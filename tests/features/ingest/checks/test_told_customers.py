"""Finds two values for one customer in one table; `test_load_tables` loads such tables."""

from __future__ import annotations

import pytest

from features.errors import InvalidData
from features.ingest.checks.told_customers import ToldCustomers
from features.ingest.contract_tables import ParsedRows
from features.ledger import tables


def _row(attributes, as_of=None):
    told = {"customer_id": "c1", "attributes": attributes, "as_of": as_of}
    return ParsedRows(rows={tables.customers: [told]})


def test_the_same_values_may_be_told_again_and_others_as_of_another_time(now):
    told = ToldCustomers()
    told.check(1, _row('{"plan": "plus"}'))
    told.check(2, _row('{"plan": "plus"}'))
    told.check(3, _row('{"plan": "basic"}', now))
    told.check(4, _row('{"age_years": "41.0"}'))


def test_another_value_is_refused_with_the_row_that_told_the_first():
    told = ToldCustomers()
    told.check(1, _row('{"plan": "plus"}'))
    with pytest.raises(InvalidData, match="^plan is 'basic'. Expected 'plus' as in row 1"):
        told.check(2, _row('{"plan": "basic"}'))
