"""Tests the answers of `/v1/journeys`: each view, its lists, and what they say of the data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from features.analytics.journey_data import JourneyData
from features.analytics.upkeep.kept_state import FOLDER
from features.analytics.upkeep.refresh import refresh
from features.analytics.views.filters import JourneyFilter
from features.business.domain import Domain, load_domain
from features.clock import monotonic_s
from features.errors import InvalidRequest, Overloaded
from features.ledger import tables
from features.ledger.tables import from_micros
from serving.contract.journeys import JourneysAnswer, JourneysRequest
from serving.journeys import answer
from serving.journeys.answer import VIEWS, answer_journeys, default_funnel, look_at_journeys
from tests.features.live import DAY, NOW, SHOP, add, stored
from tests.journey_logs import journeys_of

DOMAIN = """
name: parcels
currency: eur
channels: [app, shop]
attributes: {town: {type: category, values: [near, far]}}
journeys:
  parcel:
    expected:
      version: 1
      way: [ordered, delivered]
      promises: {on_time: {after: ordered, comes: delivered, within_days: 2}}
events:
  ordered: {description: d, journey: parcel, stage: action, step: starts, touchpoint: internal,
            signal: passive}
  asked: {description: d, journey: parcel, stage: use, touchpoint: internal, signal: direct}
  delivered: {description: d, journey: parcel, stage: use, step: ends, touchpoint: internal,
              signal: passive}
"""
# Kept, broken with a question on the way, and open.
LOG = [
    ("c1", "ordered", 0, "app"),
    ("c1", "delivered", 1, "shop"),
    ("c2", "ordered", 0, "app"),
    ("c2", "asked", 2, "app"),
    ("c2", "delivered", 5, "shop"),
    ("c3", "ordered", 9, "shop"),
]
MORE: dict[str, dict[str, Any]] = {
    "breakdown": {"by": "town"},
    "times": {"times": {"to": {"step": "delivered"}}},
    "compare": {"against": "expected"},
}


@pytest.fixture(scope="module")
def parcels(tmp_path_factory: pytest.TempPathFactory) -> Domain:
    file = tmp_path_factory.mktemp("parcels") / "domain.yaml"
    file.write_text(DOMAIN, encoding="utf-8")
    return load_domain(Path(file))


@pytest.fixture(scope="module")
def data(parcels: Domain) -> Iterator[JourneyData]:
    with journeys_of(parcels, LOG, as_of_days=10, attributes={"c1": {"town": "far"}}) as opened:
        yield opened


def asked(data: JourneyData, view: str, **more: Any) -> JourneysAnswer:
    content = {"view": view, "filter": {"map": "parcel"}, **MORE.get(view, {}), **more}
    now = from_micros(data.as_of_us) + timedelta(seconds=30)
    return answer_journeys(JourneysRequest.model_validate(content), data, now, waiting=2)


@pytest.mark.parametrize("view", VIEWS)
def test_each_view_answers_with_its_own_field_only(view, data):
    found = asked(data, view)
    filled = {name for name in VIEWS if getattr(found, name) is not None}
    assert filled == {view}


def test_the_page_has_four_views_of_one_version(data):
    page = asked(data, "page")
    assert page.map is not None and page.ways is not None
    assert page.funnel is not None and page.promises is not None
    assert page.map.journeys.n == page.ways.journeys.n == page.funnel.journeys.n == 3
    assert (page.data_version, page.age_s, page.waiting) == (1, 30.0, 2)


def test_the_promise_is_kept_once_broken_once_and_open_once(data):
    (promise,) = asked(data, "promises").promises or ()
    counts = promise.kept.n, promise.broken.n, promise.open.n, promise.void.n
    assert counts == (1, 1, 1, 0)


def test_a_number_is_as_long_as_its_list(data):
    (promise,) = asked(data, "promises").promises or ()
    found = asked(data, "list", list=promise.broken.rows.model_dump(mode="json"))
    assert found.total == promise.broken.n == 1
    assert [row["customer_id"] for row in found.rows or []] == ["c2"]


def test_a_list_is_read_in_parts(data):
    query = asked(data, "map").map.steps.rows.model_dump(mode="json")  # type: ignore[union-attr]
    pages = [asked(data, "list", list=query, limit=4, after=after) for after in (0, 4)]
    assert [len(page.rows or []) for page in pages] == [4, 2]
    assert {page.total for page in pages} == {6}


def test_the_funnel_of_a_kind_is_its_expected_way(data):
    assert [rule.step for rule in default_funnel(data, "parcel").steps] == ["ordered", "delivered"]
    reached = [step.reached.n for step in asked(data, "funnel").funnel.steps]  # type: ignore[union-attr]
    assert reached == [3, 2]


def test_the_funnel_of_a_map_without_a_way_is_over_its_stages(data):
    rules = default_funnel(data, "lifecycle").steps
    assert [rule.stage for rule in rules] == ["action", "use"]


def test_a_map_that_is_not_there_is_named_with_those_that_are(data):
    with pytest.raises(InvalidRequest, match="parcel, lifecycle"):
        asked(data, "map", filter={"map": "parcels"})


def test_a_view_is_drawn_if_a_picture_is_asked_for(data):
    drawn = asked(data, "page", picture=True).drawn
    assert [*drawn] == ["map", "funnel", "ways", "promises"]
    assert all(one.picture.startswith("<svg") for one in drawn.values())
    assert asked(data, "page").drawn == {}


@pytest.mark.process
def test_journeys_of_a_past_day_are_those_that_were_known_then(ledger, tmp_path):
    early, late = NOW - 3 * DAY, NOW - 2 * DAY
    add(
        ledger,
        tables.events,
        stored("known", "c1", early, received_at=early),
        stored("late", "c2", late, received_at=NOW),
    )
    request = JourneysRequest(
        view="map", filter=JourneyFilter(map="purchase"), known_at=NOW - timedelta(hours=1)
    )
    answer = look_at_journeys(request, ledger, SHOP, tmp_path, NOW)
    assert answer.map is not None and answer.map.journeys.n == 1
    assert (answer.known_at, answer.as_of, answer.erased) == (request.known_at,) * 2 + (0,)
    soon = request.model_copy(update={"known_at": NOW + DAY})
    with pytest.raises(InvalidRequest, match="has not passed yet"):
        look_at_journeys(soon, ledger, SHOP, tmp_path, NOW)


def test_files_that_an_erasure_replaces_meanwhile_are_opened_again(data, monkeypatch, now):
    tries = []

    @contextmanager
    def opened(*given: Any, **more: Any) -> Iterator[JourneyData]:
        tries.append(given)
        if len(tries) == 1:
            raise duckdb.IOException("No files found")
        yield data

    monkeypatch.setattr(answer, "opened_journeys", opened)
    monkeypatch.setattr(answer, "waiting_customers", lambda ledger: 0)
    asked_for = JourneysRequest(view="map", filter=JourneyFilter(map="parcel"))
    ledger: Any = None
    found = answer.look_at_journeys(asked_for, ledger, data.domain, Path(), now)
    assert found.map is not None and found.map.journeys.n == 3
    assert len(tries) == 2


@pytest.fixture
def kept(ledger, tmp_path):
    """A look at a home whose journeys are kept, at most until a time."""
    refresh(ledger, SHOP, tmp_path / FOLDER, NOW)

    def look(content: dict[str, Any], **more: Any) -> JourneysAnswer:
        asked = JourneysRequest.model_validate(content)
        return look_at_journeys(asked, ledger, SHOP, tmp_path, NOW, **more)

    return look


@pytest.mark.parametrize("known_at", [None, "2026-01-01T00:00:00Z"])
def test_an_answer_of_no_use_any_more_is_not_made(kept, known_at):
    content = {"view": "map", "known_at": known_at}
    assert kept(content).map is not None
    assert kept(content, ends_s=monotonic_s() + 600.0).map is not None
    with pytest.raises(Overloaded, match="The view map was not ready within 8 s."):
        kept(content, ends_s=monotonic_s() - 1.0)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (duckdb.OutOfMemoryException, "more memory than 1500MB"),
        (duckdb.IOException, "replaced while they were read"),
    ],
)
def test_a_query_that_failed_is_told_with_its_remedy(kept, monkeypatch, error, said):
    def fail(*_: object) -> None:
        raise error("it failed")

    monkeypatch.setattr(answer, "answer_journeys", fail)
    with pytest.raises(Overloaded, match=said):
        kept({"view": "map"})


def test_the_overview_takes_no_filter_but_a_map(kept):
    assert kept({"view": "overview", "filter": {"map": "support"}}).overview is not None
    with pytest.raises(InvalidRequest, match="filter does not go with the view overview"):
        kept({"view": "overview", "filter": {"how": ["open"]}})
