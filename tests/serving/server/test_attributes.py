"""Attributes over HTTP: in the next decision of any worker, in the customer's view, in training."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from features.business.domain import load_domain
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.settings import GROCERY
from tests.parity import differences, frame_at, moments_of
from tests.server import Server, ledger_of
from tests.serving.server.test_events import NAMES, event, read_by, send
from tests.serving.test_service import decide, rows

pytestmark = pytest.mark.server
AGES = load_domain(GROCERY).attributes["age"].values


@pytest.fixture(scope="module")
def home(busy_home: tuple[Path, dict[str, str]]) -> tuple[Path, dict[str, str]]:
    return busy_home


@pytest.fixture(scope="module")
def server(busy_server: Server) -> Server:
    return busy_server


@pytest.fixture
def written(home: tuple[Path, dict[str, str]]) -> Iterator[Ledger]:
    with ledger_of(home[0]) as opened:
        yield opened


def change(server: Server, customer_id: str, as_of: str | None = None, **values: Any) -> Any:
    """Send attributes of a customer; the answer."""
    body = {"customer_id": customer_id, "attributes": values, "as_of": as_of}
    status, answer = server.post("/v1/attributes", body)
    assert status == 200, answer
    return answer


def view(server: Server, customer_id: str) -> Any:
    status, answer = server.post("/v1/customer", {"customer_id": customer_id})
    assert status == 200, answer
    return answer


def test_a_change_taken_by_one_worker_is_in_the_next_decision_of_the_other(server, written):
    pair = server.of_each_worker(2)
    send(server, event("attr-seen", "attr-1"))
    for number in range(60):
        writer, reader = pair[number % 2], pair[(number + 1) % 2]
        age = AGES[number % len(AGES)]
        assert change(writer, "attr-1", age=age)["changed"] == ["age"]
        name = f"attr-next-{number}"
        decide(reader, customer_id="attr-1", decision_id=name)
        assert read_by(written, name)["age"] == number % len(AGES)


def test_a_customer_shows_each_value_with_its_time(server):
    spring = datetime.now(UTC).replace(microsecond=0) - timedelta(days=200)
    assert change(server, "attr-2", age="19-24", income="15-24K") == {
        "customer_id": "attr-2",
        "new": True,
        "changed": ["age", "income"],
        "attributes": {"age": "19-24", "income": "15-24K"},
    }
    change(server, "attr-2", as_of=spring.isoformat(), age="25-34")
    before = datetime.now(UTC)
    answer = change(server, "attr-2", income=None)
    assert answer["changed"] == ["income"] and answer["attributes"] == {"age": "25-34"}
    assert change(server, "attr-2", income=None, age="25-34")["changed"] == []
    shown = view(server, "attr-2")
    assert shown["attributes"] == {"age": "25-34"} and shown["known"]
    latest, *earlier = shown["attribute_history"]
    assert latest["name"] == "income" and latest["value"] is None
    assert before <= datetime.fromisoformat(latest["from_at"]) <= datetime.now(UTC)
    assert [(one["name"], one["value"]) for one in earlier] == [
        ("age", "25-34"),
        ("age", "19-24"),
        ("income", "15-24K"),
    ]
    times = [one["from_at"] and datetime.fromisoformat(one["from_at"]) for one in earlier]
    assert times == [spring, None, None]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"attributes": {"age": "old"}}, "attributes.age is 'old'. Expected one of 19-24, 25-34"),
        ({"attributes": {"shoes": 1}}, "attributes.shoes is 1. Expected attributes among age, in"),
        ({"attributes": {}}, "attributes: dictionary should have at least 1 item"),
        ({"attributes": {"age": True}}, "attributes.age"),
        ({"attributes": {"age": None}, "as_of": "2150-01-01T00:00:00Z"}, "as_of is '2150"),
        (
            {"attributes": {"age": None}, "as_of": "yesterday"},
            "as_of: input should be a valid datetime",
        ),
    ],
)
def test_what_breaks_a_rule_is_refused_by_name(server, body, sentence):
    status, answer = server.post("/v1/attributes", {"customer_id": "attr-3", **body})
    assert status == 400 and answer["error"].startswith(sentence), answer
    assert not view(server, "attr-3")["known"]


def test_who_is_forgotten_is_refused(server):
    change(server, "attr-gone", age="65+")
    assert server.post("/v1/forget", {"customer_id": "attr-gone"})[0] == 200
    body = {"customer_id": "attr-gone", "attributes": {"age": "65+"}}
    assert server.post("/v1/attributes", body)[0] == 410


def test_training_reads_what_each_decision_read_before_and_after_changes(server, written, home):
    for number, age in enumerate(["19-24", "25-34", None, "65+"]):
        for who in ("attr-8", "attr-9"):
            send(server, event(f"attr-{who}-{number}", who))
            if number % 2 == 0 or who == "attr-8":
                change(server, who, age=age)
            decide(server, customer_id=who, decision_id=f"attr-train-{who}-{number}")
    columns = tables.decisions.c
    query = sa.select(columns.customer_id, columns.decided_at, columns.features)
    query = query.where(columns.decision_id.startswith("attr-train-", autoescape=True))
    found = rows(written, query.order_by(columns.decided_at))
    read = np.array([np.frombuffer(row.features) for row in found])
    served = pd.DataFrame(read, columns=list(NAMES))
    served["decided_at"] = [row.decided_at for row in found]
    served.index = pd.Index([row.customer_id for row in found])
    assert served["age"].nunique() == 3 and served["age"].isna().any()
    known = frame_at(home[1], moments_of(served))
    assert differences(served, known) == []
