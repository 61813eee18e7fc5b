"""Tests that a recount finds what is wrong, and nothing that is right."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from features.analytics.upkeep import recount as module
from features.analytics.upkeep.kept_state import rules_of
from features.analytics.upkeep.recount import discard_recount, read_recounted, recount
from features.errors import InvalidData, InvalidSetting
from features.ledger import tables
from features.store.locks import file_lock
from features.store.table_files import rewrite
from tests.features.analytics.upkeep.shop import SOON
from tests.features.live import DAY, NOW, SHOP, event

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def recounted(shop):
    found = recount(shop.ledger, shop.domain, shop.folder, shop.now)
    noted = shop.ledger.read(read_recounted)
    assert (noted.at, noted.differences) == (shop.now, found)
    assert noted.as_of_us == shop.state.as_of_us or found == []
    assert not (shop.folder / "recount").exists()
    return found


def test_there_is_no_difference_also_beside_what_waits_for_a_refresh(shop):
    assert recounted(shop) == []
    shop.happen(event("late", "c1", at=NOW - 8 * DAY), event("n2", "new", at=NOW - DAY))
    assert recounted(shop) == []
    shop.is_right()
    assert recounted(shop) == []


def test_a_planted_off_by_one_is_found_and_a_rebuild_clears_it(shop):
    columns = tables.journey_cube.c
    edge = (columns.what == 0) & (columns.a == 65_534)
    first = sa.select(sa.func.min(columns.start_day)).where(edge).scalar_subquery()
    more = sa.update(tables.journey_cube).where(edge, columns.start_day == first, columns.map == 0)
    shop.ledger.write_now(lambda c: c.execute(more.values(n=columns.n + 1)))
    (found,) = recounted(shop)
    assert found.startswith("transitions of ")
    assert ", START to view, begun on day " in found
    assert found.endswith(": the count is 2; the files have 1")
    shop.refresh(shop.now + SOON)
    assert shop.ledger.read(read_recounted).differences == [found]
    shop.refresh(shop.now + SOON, rebuild=True)
    assert shop.ledger.read(read_recounted) is None
    assert recounted(shop) == []


def test_files_that_differ_from_the_events_are_found(shop):
    assert rewrite(next(shop.folder.glob("build-*/*.steps.parquet")), {"customer_id": {"c1"}})
    found = recounted(shop)
    assert found[-1] == "the files of 1 customers differ from their events"
    assert {one.split(" of ")[0] for one in found[:-1]} == {"transitions", "times"}


def test_a_refresh_during_a_recount_makes_no_difference(shop, monkeypatch):
    build = module.build_journeys

    def beside(*given):
        shop.happen(event("late", "c1", at=NOW - 8 * DAY))
        shop.refresh(shop.now + SOON)
        shop.refresh(shop.now + 2 * SOON, rebuild=True)
        return build(*given)

    monkeypatch.setattr(module, "build_journeys", beside)
    assert recount(shop.ledger, SHOP, shop.folder, shop.now) == []
    assert shop.ledger.read(read_recounted) is None  # it was not of this build


def test_without_journeys_or_beside_another_recount_it_says_so(shop):
    other = SHOP.model_copy(update={"half_lives_days": (5.0,)})
    assert rules_of(other) != rules_of(SHOP)
    with pytest.raises(InvalidData, match="Journeys were not built yet"):
        recount(shop.ledger, other, shop.folder, shop.now)
    with file_lock(shop.folder / "recount.lock", wait=True):
        with pytest.raises(InvalidSetting, match="holds recount.lock"):
            recount(shop.ledger, SHOP, shop.folder, shop.now)
        with pytest.raises(InvalidSetting, match="holds recount.lock"):
            discard_recount(shop.folder)
    (shop.folder / "recount" / "kept").mkdir(parents=True)
    discard_recount(shop.folder)
    assert not (shop.folder / "recount").exists()
