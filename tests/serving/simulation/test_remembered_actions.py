"""Remembered actions are those that the ledger holds, and are read from it once."""

from __future__ import annotations

import numpy as np
import sqlalchemy as sa

from features.ledger import tables
from features.outcomes.logged_actions import read_logged_actions
from serving.simulation import remembered_actions
from serving.simulation.remembered_actions import RememberedActions


def _ids(played):
    query = sa.select(tables.decisions.c.decision_id).order_by(tables.decisions.c.decision_id)
    return played.served.ledger.read(lambda c: c.execute(query).scalars().all())


def _same(one, other):
    assert len(one) == len(other) > 10
    for mine, read in zip(one, other, strict=True):
        np.testing.assert_array_equal(mine.row, read.row)
        assert mine._replace(row=None) == read._replace(row=None)


def test_they_are_those_of_the_ledger_in_its_order(played):
    ids, layout = _ids(played), played.served.engine.model_input.fingerprint
    remembered, ledger = RememberedActions(), played.served.ledger
    expected = ledger.read(lambda c: read_logged_actions(c, ids, layout))
    for asked in (ids[::2], ids[::-1], [*ids, *ids]):
        mine = {*asked}
        found = ledger.read(lambda c, asked=asked: remembered(c, asked, layout))
        _same(found, [one for one in expected if one.shown.decision_id in mine])
    assert ledger.read(lambda c: remembered(c, ids, "another")) == []


def test_each_is_read_once_as_long_as_there_is_room(played, monkeypatch):
    asked = []

    def read(connection, decision_ids, layout):
        asked.append(list(decision_ids))
        return read_logged_actions(connection, decision_ids, layout)

    monkeypatch.setattr(remembered_actions, "read_logged_actions", read)
    ids, layout = _ids(played)[:6], played.served.engine.model_input.fingerprint
    remembered = RememberedActions(most=4)
    for some in (ids[:4], ids[1:5], ids[:1]):
        played.served.ledger.read(lambda c, some=some: remembered(c, some, layout))
    assert [sorted(one) for one in asked] == [ids[:4], ids[4:5], ids[:1]]
