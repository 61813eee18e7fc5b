"""Tests of the note of the files that count, and of opening them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pyarrow as pa
import pytest

from features.analytics.upkeep import kept_state as module
from features.analytics.upkeep.kept_state import (
    STATE,
    KeptState,
    keeping,
    kept_elsewhere,
    make_keeper,
    open_journeys,
    read_state,
    rules_of,
    write_state,
)
from features.errors import InvalidSetting
from features.ledger import tables
from tests.features.live import NOW, SHOP, event

FIRST = KeptState("rules", 1, ("a", "b"), ("c",), ("d",), 5, 1, 7, "who", 3, 2)


def test_a_state_is_read_as_it_was_written(ledger):
    assert ledger.read(read_state) is None
    assert ledger.write_now(lambda c: write_state(c, None, FIRST))
    assert ledger.read(read_state) == FIRST
    assert json.loads(ledger.read(lambda c: tables.get_meta(c, STATE))) == {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(FIRST).items()
    }


def test_a_state_replaces_only_the_one_that_it_follows(ledger):
    second, third = replace(FIRST, version=2), replace(FIRST, version=3)
    ledger.write_now(lambda c: write_state(c, None, FIRST))
    assert ledger.write_now(lambda c: write_state(c, FIRST, second))
    assert not ledger.write_now(lambda c: write_state(c, FIRST, third))
    assert not ledger.write_now(lambda c: write_state(c, None, third))
    assert ledger.read(read_state) == second


def test_rules_follow_how_journeys_are_cut_and_not_how_they_are_described():
    content = SHOP.model_dump(mode="json", by_alias=True)
    content["events"]["view"]["description"] = "Another word for it."
    assert rules_of(type(SHOP).model_validate(content)) == rules_of(SHOP)
    content["journeys"]["support"]["lapse_days"] = 31
    assert rules_of(type(SHOP).model_validate(content)) != rules_of(SHOP)


def test_the_order_of_personas_is_a_rule_and_words_are_none_whatever_has_their_name():
    content = SHOP.model_dump(mode="json", by_alias=True)

    def rules(**personas):
        return rules_of(type(SHOP).model_validate({**content, "personas": personas}))

    some, many = {"when": "view_n > 1"}, {"when": "view_n > 5"}
    assert rules(some=some, many=many) != rules(many=many, some=some)
    assert rules(words=some) != rules(words=many)
    assert rules(some=some) == rules(some={**some, "words": "Who came twice"})


def test_journeys_are_opened_if_they_are_there_and_of_this_domain(shop):
    def opened(domain=SHOP):
        return open_journeys(shop.ledger, domain, shop.folder)

    with opened() as data:
        assert (data.version, data.as_of_us) == (1, tables.micros(shop.now))
        assert data.rows("SELECT count(*) FROM journeys") == [(len(shop.content()["journeys"]),)]
    assert opened(SHOP.model_copy(update={"half_lives_days": (5.0,)})) is None
    file = next(shop.folder.glob("build-*/*.journeys.parquet"))
    file.write_bytes(file.read_bytes()[:-9])  # the power went
    assert opened() is None
    file.unlink()
    assert opened() is None


def test_files_of_other_columns_are_not_opened_and_built_again(shop, monkeypatch):
    assert shop.state.rules == rules_of(SHOP)
    monkeypatch.setattr(module, "FORMAT", "another")
    assert open_journeys(shop.ledger, SHOP, shop.folder) is None
    monkeypatch.undo()
    more = pa.schema([*module.steps_schema(SHOP), ("weight", pa.int64())])
    monkeypatch.setattr(module, "steps_schema", lambda domain: more)
    assert open_journeys(shop.ledger, SHOP, shop.folder) is None


def test_files_that_are_replaced_stay_for_who_reads_them(shop):
    with open_journeys(shop.ledger, SHOP, shop.folder) as data:
        before = data.rows("SELECT count(*) FROM steps")
        shop.happen(event("n1", "c1", at=NOW), event("n2", "c2", at=NOW))
        shop.is_right()  # merged into another base
        assert data.version < shop.state.version
        assert data.rows("SELECT count(*) FROM steps") == before


def test_one_process_keeps_the_files(tmp_path):
    with keeping(tmp_path / "new"), pytest.raises(InvalidSetting), keeping(tmp_path / "new", False):
        pass


def test_a_home_that_has_written_nothing_for_five_minutes_keeps_no_journeys(shop, tmp_path):
    def refused(folder, minutes):
        now_us = shop.state.as_of_us + minutes * module.MINUTE_US
        return kept_elsewhere(shop.state, folder, now_us)

    other = tmp_path / "other" / "journeys"
    other.mkdir(parents=True)
    assert refused(shop.folder, 0) is None
    assert "Another home" in str(refused(other, 0)) and "Another home" in str(refused(other, 5))
    assert refused(other, 6) is None
    assert kept_elsewhere(None, other, 0) is None
    assert kept_elsewhere(replace(shop.state, keeper=""), other, shop.state.as_of_us) is None
    assert make_keeper(other) == make_keeper(other) != shop.state.keeper
    assert "Another home" in str(refused(other, 0))
