"""Tests of the note of the files that count, and of opening them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from features.analytics.upkeep.kept_state import (
    STATE,
    KeptState,
    keeping,
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
    next(shop.folder.glob("build-*/*.journeys.parquet")).unlink()
    assert opened() is None


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


def test_files_with_other_columns_are_of_other_rules(toy_domain, monkeypatch):
    before = rules_of(toy_domain)
    monkeypatch.setattr("features.analytics.upkeep.kept_state.FORMAT", "another")
    assert rules_of(toy_domain) != before
