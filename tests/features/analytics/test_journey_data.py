from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from features.analytics.journey_data import JourneyData, connect
from features.analytics.journey_files import pair_at, pairs_in, write_delta, write_files
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.promised.activations import activations
from tests.features.analytics.views.promised_shop import SHOP, opened, random_log

LOG = random_log(np.random.default_rng(9), customers=30)
EARLIER = [row for row in LOG if row[2] < 1.0]
AS_OF_DAYS = 9.0
ALL = {
    "journeys": "SELECT * FROM journeys ORDER BY journey",
    "steps": "SELECT * FROM steps ORDER BY journey, seq",
}


@pytest.fixture
def data() -> Iterator[JourneyData]:
    with opened(LOG, AS_OF_DAYS) as one:
        yield one


def of_customers(data: JourneyData, condition: str) -> tuple[pa.Table, pa.Table]:
    """Return journeys and steps of some customers, in the order of files."""
    sql = "SELECT * FROM {} WHERE {} ORDER BY customer_id, journey{}"
    texts = sql.format("journeys", condition, ""), sql.format("steps", condition, ", seq")
    return data.table(texts[0]), data.table(texts[1])


def all_rows(data: JourneyData) -> dict[str, list[tuple[object, ...]]]:
    return {name: data.rows(sql) for name, sql in ALL.items()}


def test_files_tell_what_the_tables_told(data: JourneyData, tmp_path: Path) -> None:
    for name, condition in (("00001", "customer_id < 'c015'"), ("00002", "customer_id >= 'c015'")):
        write_files(pair_at(tmp_path, name), *of_customers(data, condition))

    with JourneyData.of_files(SHOP, pairs_in(tmp_path), [], data.as_of_us, 7) as found:
        assert all_rows(found) == all_rows(data)
        assert (found.version, found.as_of_us) == (7, data.as_of_us)
        wanted = JourneyFilter(map="delivery")
        expected = activations(data, wanted).rows(data, {}, 1000)
        assert activations(found, wanted).rows(found, {}, 1000) == expected
        assert {row["state"] for row in expected} >= {"kept", "broken", "open"}


def test_of_a_customer_the_last_file_counts(data: JourneyData, tmp_path: Path) -> None:
    base, deltas = tmp_path / "base", tmp_path / "deltas"
    base.mkdir()
    with opened(EARLIER, AS_OF_DAYS) as before:
        write_files(pair_at(base, "00001"), *of_customers(before, "true"))
        stale = of_customers(before, "customer_id = 'c003'")
    named = [f"c{number:03}" for number in range(30)]
    pairs = [
        write_delta(deltas, "00001", ["c003"], *stale),
        write_delta(deltas, "00002", named, *of_customers(data, "customer_id <> 'c005'")),
    ]

    with JourneyData.of_files(SHOP, pairs_in(base), pairs, data.as_of_us, 1) as found:
        expected = {
            name: [row for row in rows if "c005" not in row]
            for name, rows in all_rows(data).items()
        }
        assert all_rows(found) == expected


def test_queries_return_rows_columns_and_tables(data: JourneyData) -> None:
    sql = "SELECT count(*) AS n, min(?::INT) AS given FROM journeys"
    ((n, given),) = data.rows(sql, [5])

    assert (n > 0, given) == (True, 5)
    assert data.columns(sql, [5])["n"].tolist() == [n]
    assert data.table(sql, [5]).to_pylist() == [{"n": n, "given": 5}]


def test_a_computed_table_is_there_for_one_query(data: JourneyData) -> None:
    computed = pa.table({"a": [1, 2]})

    assert data.rows("SELECT sum(a) FROM computed", computed=computed) == [(3,)]
    assert data.columns("SELECT a FROM computed", computed=computed)["a"].tolist() == [1, 2]
    with pytest.raises(duckdb.Error):
        data.rows("SELECT sum(a) FROM computed")


def test_a_closed_one_answers_no_more() -> None:
    with opened(LOG, AS_OF_DAYS) as data:
        pass

    with pytest.raises(duckdb.ConnectionException):
        data.rows("SELECT 1")


def test_a_connection_has_one_thread_and_the_clock_of_utc() -> None:
    with connect() as connection:
        sql = "SELECT current_setting('threads'), current_setting('TimeZone')"
        assert connection.execute(sql).fetchone() == (1, "UTC")


def test_a_query_that_takes_too_long_is_stopped_and_no_other_one_begins(data: JourneyData) -> None:
    endless = "SELECT count(*) FROM range(1000000000000) AS a, range(1000000000000) AS b"
    before = all_rows(data)
    with pytest.raises(TimeoutError), data.within(0.01):
        data.rows(endless)
    with pytest.raises(TimeoutError), data.within(0.01):
        with suppress(duckdb.InterruptException):
            data.rows(endless)
        data.rows("SELECT 1")
    with data.within(600.0):
        assert all_rows(data) == before


def test_what_does_not_fit_into_memory_is_refused_and_not_written_to_a_file() -> None:
    with connect() as connection:
        [(place,)] = connection.execute("SELECT current_setting('temp_directory')").fetchall()
        assert place == ""
