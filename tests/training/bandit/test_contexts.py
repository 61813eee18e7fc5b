"""Tests contexts as rows of numbers, and actions by number or name."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from features.errors import InvalidSetting
from training.bandit.contexts import MAX_TEXTS, ActionNames, ContextColumns, places_of

NAN = float("nan")


def same(one, other) -> bool:
    return np.array_equal(np.array(one, dtype=float), np.array(other, dtype=float), equal_nan=True)


# Arrays ----------------------------------------------------------------------------------------


def test_the_columns_of_an_array_are_numbered():
    columns = ContextColumns(3)
    assert columns.names == ["x0", "x1", "x2"]
    assert same(columns.rows([[1, True, NAN]]), [[1, 1, NAN]])
    assert ContextColumns(0).rows(np.empty((2, 0))).shape == (2, 0)


@pytest.mark.parametrize(
    ("n_features", "contexts", "message"),
    [
        (3, [[1.0, 2.0]], r"have the shape \(1, 2\). Expected \(n, 3\). Give one row for each dec"),
        (3, [1.0, 2.0, 3.0], r"have the shape \(3,\). Expected \(n, 3\)"),
        (2, [["a", 1]], "Contexts hold texts. Expected numbers, or a data frame"),
        (None, [[1.0]], r"have the shape \(1, 1\). Expected a data frame"),
        (2, pd.DataFrame({"a": [1]}), r"Contexts are a data frame. Expected an array \(n, 2\)"),
    ],
)
def test_contexts_of_another_shape_are_refused(n_features, contexts, message):
    with pytest.raises(InvalidSetting, match=message):
        ContextColumns(n_features).rows(contexts)


# Data frames -----------------------------------------------------------------------------------


def test_numbers_and_booleans_stay_one_column_and_texts_become_one_each():
    columns = ContextColumns(None)
    frame = pd.DataFrame({"age": [30, 40], "member": [True, False], "plan": ["gold", "free"]})
    rows = columns.rows(frame)
    assert columns.names == ["age", "member", "plan=gold", "plan=free"]
    assert same(rows, [[30, 1, 1, 0], [40, 0, 0, 1]])


@pytest.mark.parametrize(
    "types", [{}, {"age": "Int64", "member": "boolean", "plan": "string"}, {"plan": "category"}]
)
def test_gaps_are_unknown_whatever_the_type_of_the_column(types):
    columns = ContextColumns(None)
    frame = pd.DataFrame(
        {"age": [30, None, 50], "member": [True, None, False], "plan": ["gold", None, "free"]}
    )
    rows = columns.rows(frame.astype(types))
    assert columns.names == ["age", "member", "plan=gold", "plan=free"]
    assert same(rows, [[30, 1, 1, 0], [NAN] * 4, [50, 0, 0, 1]])


def test_a_row_of_gaps_only_fits_columns_of_any_type():
    columns = ContextColumns(None)
    columns.rows(pd.DataFrame({"age": [30], "plan": ["gold"]}))
    for gap in (None, NAN, pd.NA):
        frame = pd.DataFrame({"age": [gap], "plan": [gap]})
        assert same(columns.rows(frame), [[NAN, NAN]])
    assert columns.names == ["age", "plan=gold"]


def test_a_text_that_comes_later_adds_a_column_in_which_earlier_rows_have_0():
    columns = ContextColumns(None)
    columns.rows(pd.DataFrame({"plan": ["gold"]}))
    rows = columns.rows(pd.DataFrame({"plan": ["free", "gold"], "age": [1, 2]}))
    assert columns.names == ["plan=gold", "plan=free", "age"]
    assert same(columns.fill, [0, 0, NAN])
    assert same(rows, [[0, 1, 1], [1, 0, 2]])


def test_columns_may_come_in_another_order_and_a_missing_one_is_unknown():
    columns = ContextColumns(None)
    columns.rows(pd.DataFrame({"age": [1], "plan": ["gold"], "n": [2]}))
    rows = columns.rows(pd.DataFrame({"n": [5], "plan": ["gold"]}))
    assert same(rows, [[NAN, 1, 5]])


def test_texts_beyond_the_most_count_as_none_of_the_others():
    columns = ContextColumns(None)
    columns.rows(pd.DataFrame({"city": [f"c{number}" for number in range(MAX_TEXTS)]}))
    rows = columns.rows(pd.DataFrame({"city": ["new", "c3"]}))
    assert len(columns.names) == MAX_TEXTS
    assert rows.sum(axis=1).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("first", "later", "message"),
    [
        ([1.5], ["gold"], "Column 'a' holds texts; it held numbers before. Expected numbers"),
        (["gold"], [1.5], "Column 'a' holds numbers; it held texts before. Expected texts"),
        (["gold"], [True], "Column 'a' holds numbers; it held texts before"),
    ],
)
def test_a_column_that_changes_its_type_is_refused(first, later, message):
    columns = ContextColumns(None)
    columns.rows(pd.DataFrame({"a": first}))
    with pytest.raises(InvalidSetting, match=f"{message}.* with the same columns each time"):
        columns.rows(pd.DataFrame({"a": later}))


@pytest.mark.parametrize(
    "times",
    [
        pd.to_datetime(["2026-11-29"]),
        pd.to_datetime(["2026-11-29"]).tz_localize("UTC"),
        [date(2026, 11, 29)],
        [timedelta(days=1)],
        pd.period_range("2026-11", periods=1, freq="M"),
    ],
)
def test_times_are_refused(times):
    message = "Column 'since' holds times. Expected numbers or texts, such as an age"
    with pytest.raises(InvalidSetting, match=message):
        ContextColumns(None).rows(pd.DataFrame({"since": times}))


def test_two_columns_of_one_name_are_refused():
    frame = pd.DataFrame([[1, 2]], columns=["a", "a"])
    with pytest.raises(InvalidSetting, match="Contexts have two columns 'a'. Expected one column"):
        ContextColumns(None).rows(frame)


def test_places_are_found_by_name():
    assert places_of(["c", "a"], ["a", "b", "c"]) == [2, 0]


# Actions ---------------------------------------------------------------------------------------


def test_actions_are_numbers_or_names():
    names = ActionNames(["call", "mail"])
    for given in (
        ["mail", "call"],
        np.array(["mail", "call"]),
        pd.Series(["mail", "call"]),
        [1, 0],
    ):
        assert names.numbers(given, 2).tolist() == [1, 0]
    assert ActionNames(3).names == ("0", "1", "2")
    assert ActionNames(3).numbers(["2"], 1).tolist() == [2]
    assert ActionNames(3).numbers(np.array([[2.0]]), 1).tolist() == [2]
    assert ActionNames(3).numbers([], 0).tolist() == []


@pytest.mark.parametrize("given", [[2], [-1], ["fax"], ["call", "fax"]])
def test_an_action_that_does_not_exist_is_refused(given):
    message = (
        "Actions are .*(2|-1|fax). Expected numbers from 0 to 1, or names of the actions. Give"
    )
    with pytest.raises(InvalidSetting, match=message):
        ActionNames(["call", "mail"]).numbers(given, len(given))


@pytest.mark.parametrize(("given", "said"), [(0, "none"), ([], "none"), (["a", "a"], "a, a")])
def test_no_actions_and_two_of_one_name_are_refused(given, said):
    with pytest.raises(InvalidSetting, match=f"Actions are {said}. Expected one or more, with dif"):
        ActionNames(given)


def test_priors_come_in_the_order_of_the_actions():
    names = ActionNames(["call", "mail"])
    ordered = names.in_order({"mail": (0.2, 1.0), "call": (0.1, 2.0)})
    assert [*ordered.items()] == [("call", (0.1, 2.0)), ("mail", (0.2, 1.0))]


@pytest.mark.parametrize("which", [["call"], ["call", "mail", "fax"], []])
def test_priors_of_other_actions_are_refused(which):
    with pytest.raises(
        InvalidSetting, match="There are priors of .* Expected priors of call, mail"
    ):
        ActionNames(["call", "mail"]).in_order(dict.fromkeys(which, (0.1, 1.0)))
