"""Customers without a past, over HTTP, against a started server with real data and models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from features.settings import load_settings
from tests.bench import guarantees_strangers
from tests.bench.guarantees_report import print_figures
from tests.bench.guarantees_strangers import NO_PAST, base_rates
from tests.conftest import Built, copied
from tests.server import Server, running
from tests.serving.test_service import decide

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def home(grocer: Built, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    path, env = copied(grocer, tmp_path_factory.mktemp("strangers"))
    return path, {**env, "NBA_LEARNER": "false"}


@pytest.fixture(scope="module")
def server(home: tuple[Path, dict[str, str]]) -> Iterator[Server]:
    with running(*home) as started:
        yield started


def test_200_strangers_get_the_base_rates_and_stay_unknown(server, home):
    figures = guarantees_strangers.measure(server, base_rates(load_settings(home[1])))
    print_figures("strangers", figures)
    assert [one for one in figures if not one.holds] == []


def test_no_feature_contributes_to_a_base_rate_and_the_decision_can_be_replayed(server):
    answer = decide(server, customer_id="explained-stranger", explain=True)
    why = answer["explanation"]
    assert why["churn"] is None and why["intent"] == [] and why["candidates"]
    [said] = answer["degraded"]
    assert said.startswith(NO_PAST) and "churn and intent" in said
    status, again = server.post("/v1/replay", {"decision_id": answer["decision_id"]})
    assert (status, again["identical"]) == (200, True), again
    status, explained = server.post("/v1/explain", {"decision_id": answer["decision_id"]})
    assert status == 200 and explained["as_logged"], explained
