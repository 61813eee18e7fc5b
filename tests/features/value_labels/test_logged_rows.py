"""Decisions are read with their catalogue and layout, whatever a caller has sent."""

from __future__ import annotations

import json
from collections import Counter

from pydantic_core import from_json

from features.business.catalog import NO_ACTION
from features.ledger.columns import unpacked_json
from features.value_labels.label_rules import LabelRules, LoggedCatalogs
from features.value_labels.logged_rows import MULTIPLIER, PRIME, first_of_newest, read_logged_rows
from tests.features.value_labels.conftest import SENT

CHANCES = {"discount": 0.5, NO_ACTION: 0.5}


def read(followed, after=0, size=10, every=1, hidden=False):
    content = followed.domain.model_dump(mode="json", by_alias=True)
    content["attributes"]["age_years"]["read"] = not hidden
    domain = type(followed.domain).model_validate(content)
    rules = LabelRules(domain, followed.catalog, followed.model_input)
    rules.in_record = hidden
    catalogs = LoggedCatalogs(rules)
    return followed.ledger.read(lambda c: read_logged_rows(c, catalogs, after, size, every))


def test_a_record_tells_its_catalogue_and_layout_but_not_what_a_caller_sent(followed):
    followed.decide("one", CHANCES)
    [row], [record], _ = read(followed)
    names = {"catalog": followed.catalog.fingerprint}
    names["features_layout"] = followed.model_input.fingerprint
    assert record == names
    whole = from_json(unpacked_json(row.record))
    assert whole["request"]["context"]["page"] == SENT and whole.items() >= names.items()


def test_a_record_in_another_order_is_read_too_and_one_is_read_whole_for_the_value(followed):
    record = {"attribution_days": {}, "catalog": followed.catalog.fingerprint}
    record |= {"features_layout": followed.model_input.fingerprint, "remaining_value": 8.0}
    followed.decide("one", CHANCES, record=json.dumps(record))
    followed.decide("two", CHANCES)
    for hidden in (False, True):
        found = read(followed, hidden=hidden)
        assert [one["catalog"] for one in found.records] == [followed.catalog.fingerprint] * 2
        assert found.records[0]["remaining_value"] == 8.0
    assert "request" in found.records[1]


def test_decisions_are_read_on_from_the_last_one(followed):
    for number in range(1, 6):
        followed.decide(f"d{number}", CHANCES, layout="another" if number == 3 else "")
    found = read(followed, after=1, size=2)
    assert ([row.serial for row in found.rows], found.last) == ([2], 3)
    mixed = {number: number * MULTIPLIER % PRIME for number in (1, 2, 4, 5)}
    chosen = [row.serial for row in read(followed, every=2).rows]
    assert chosen == [number for number, one in mixed.items() if one % 2 == 0]
    # Who asks in turn is read as often at each of the turns.
    read_in_10 = [number for number in range(100_000) if number * MULTIPLIER % PRIME % 10 == 0]
    for turns in (2, 5, 10):
        counts = Counter(number % turns for number in read_in_10)
        assert max(counts.values()) < 1.1 * len(read_in_10) / turns
    assert read(followed, after=5) == ([], [], None)
    newest = [followed.ledger.read(lambda c, n=n: first_of_newest(c, n)) for n in (1, 2, 5, 6)]
    assert newest == [5, 4, 1, 0]
