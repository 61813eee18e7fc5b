"""Reads 123.0 as 123 where a whole column of ids looks like that."""

from __future__ import annotations

import pandas as pd
import pytest

from features.ingest.checks.whole_ids import survey_ids, without_fraction
from features.store.table_files import open_table


@pytest.fixture(params=["csv", "parquet"])
def survey(request, tmp_path):
    """Survey a table with one column of ids as texts; return the survey and the ids as read."""

    def found(*ids):
        path, frame = tmp_path / f"t.{request.param}", pd.DataFrame({"id": ids, "n": 1})
        frame.to_csv(path, index=False) if request.param == "csv" else frame.to_parquet(path)
        table = open_table(path)
        survey = survey_ids(table, ["id"])
        parts = (without_fraction(batch, survey.whole) for batch in table.batches())
        return survey, [cell or None for part in parts for cell in part.column(0).to_pylist()]

    return found


@pytest.mark.parametrize(
    ("ids", "read"),
    [
        (["123.0", "7.0"], ["123", "7"]),
        (["123.0", None, "10.0"], ["123", None, "10"]),  # the gap for which pandas made floats
        (["007.0", "0.0"], ["007", "0"]),
        (["123.00"], ["123"]),
    ],
)
def test_a_column_of_whole_numbers_loses_the_fraction(survey, ids, read):
    assert survey(*ids)[1] == read
    assert survey(*ids)[0].notes == ()


@pytest.mark.parametrize(
    "ids",
    [["1.0", "1.1"], ["123", "123.0"], ["123.5", "7.0"], ["v1.0", "2.0"], ["-1.0", "2.0"]],
)
def test_a_column_with_any_other_id_stays_as_it_is_and_is_named(survey, ids):
    found, read = survey(*ids)
    assert read == ids
    assert found.notes == ("column 'id': 1 of 2 ids end with .0 and keep it, as the others do not",)


def test_ids_that_a_program_has_shortened_are_named(survey):
    found, read = survey("1.23457E+15", "1.2345678901234568e+16", "1e3")
    assert read == ["1.23457E+15", "1.2345678901234568e+16", "1e3"]
    assert found.notes == (
        "column 'id': 2 ids look like 1.23457E+15, as programs write a long number that has lost "
        "digits",
    )


@pytest.mark.parametrize("ids", [["10", "20"], ["a", "b"], ["123.5"], ["1.0.0"], [".0"], [None]])
def test_other_ids_are_not_talked_about(survey, ids):
    found, read = survey(*ids)
    assert (read, found.whole, found.notes, found.rows) == (ids, frozenset(), (), len(ids))
