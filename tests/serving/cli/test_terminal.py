"""Tests what the command prints and its exit codes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import typer

from features.errors import GateFailed, InvalidSetting, NbaError
from features.settings import GROCERY
from serving.cli.terminal import moment, plain_errors, progress


@pytest.mark.parametrize(("kind", "code"), [(GateFailed, 1), (InvalidSetting, 2), (NbaError, 2)])
def test_an_error_of_ours_is_one_sentence_and_an_exit_code(capsys, kind, code):
    with pytest.raises(typer.Exit) as ended, plain_errors():
        raise kind("x is [1].", expected="2", remedy="Correct it.")
    assert ended.value.exit_code == code
    assert capsys.readouterr().err.strip() == "x is [1]. Expected 2. Correct it."


def test_another_error_is_not_hidden():
    with pytest.raises(ZeroDivisionError), plain_errors():
        raise ZeroDivisionError


def test_without_a_terminal_each_step_is_a_line_and_is_named_once(capsys):
    with progress() as report:
        for done in range(3):
            report("load", done, 3)
        report("build", 0, 1)
    assert capsys.readouterr().err.split("\n")[:2] == ["load ...", "build ..."]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T10:00:00Z", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("2026-01-31T10:00+02:00", datetime(2026, 1, 31, 8, tzinfo=UTC)),
    ],
)
def test_without_a_catalogue_a_day_or_a_time_is_of_utc_unless_it_says_otherwise(
    tmp_path, monkeypatch, text, found
):
    monkeypatch.setenv("NBA_ACTIONS", str(tmp_path / "none.yaml"))
    assert moment("since", text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026-01-31", datetime(2026, 1, 31, 5, tzinfo=UTC)),
        ("2026-07-31T10:00", datetime(2026, 7, 31, 14, tzinfo=UTC)),
        ("2026-01-31T10:00:00Z", datetime(2026, 1, 31, 10, tzinfo=UTC)),
    ],
)
def test_a_day_or_a_time_is_of_the_clock_of_the_business(monkeypatch, text, found):
    monkeypatch.setenv("NBA_DOMAIN", str(GROCERY))  # its clock is that of New York
    assert moment("since", text) == found


@pytest.mark.parametrize(
    "text", ["yesterday", "2026-02-30", "1969-01-01", "0001-01-01T00:00+14:00"]
)
def test_another_text_is_refused_with_the_name_of_its_option(text):
    with pytest.raises(InvalidSetting, match="since is .*Correct --since"):
        moment("since", text)
