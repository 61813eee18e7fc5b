"""Tests the steps that need data only: what they refuse, and what they find done already."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from features.clock import utc_now
from features.errors import InvalidSetting
from features.ledger.ledger import Ledger
from features.ledger.simulated_clock import SimulatedClock, set_clock
from serving.cli import steps_data
from tests.commands import environment, nba_in_process


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["import", "atlantis"], "Expected completejourney or telco or helpdesk."),
        (["import", "completejourney", "--file", "a.csv"], "Expected none: completejourney comes"),
        (["import", "telco"], "--file is not given. Expected the published table of telco."),
        (["import", "helpdesk", "--file", "no.csv"], "no.csv does not exist. Expected the publ"),
        (["import", "telco", "--file", "requirements.txt"], "has no column 'customerID'."),
        (["load", "."], "holds none of the contract tables"),
    ],
)
def test_data_that_cannot_be_used_ends_with_code_2_and_a_sentence(tmp_path, arguments, sentence):
    done = nba_in_process(arguments, {"NBA_HOME": str(tmp_path)})
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_domain_file_that_is_not_there_is_named(tmp_path):
    env = {"NBA_HOME": str(tmp_path), "NBA_DOMAIN": "nowhere.yaml"}
    done = nba_in_process(["build"], env)
    assert done.returncode == 2
    assert "nowhere.yaml cannot be read" in done.stderr


def test_a_new_home_has_no_data_and_no_features(tmp_path):
    with environment({"NBA_HOME": str(tmp_path)}):
        assert not steps_data.has_data()
        assert not steps_data.has_features()


def test_a_home_that_was_loaded_and_built_has_both(shop):
    with environment(shop.env):
        assert steps_data.has_data()
        assert steps_data.has_features()


def test_an_unknown_source_is_refused_before_anything_is_reported(tmp_path):
    reported: list[str] = []
    with environment({"NBA_HOME": str(tmp_path)}), pytest.raises(InvalidSetting):
        steps_data.import_tables("atlantis", None, None, lambda step, *_: reported.append(step))
    assert reported == []


def test_a_data_set_is_moved_to_the_simulated_time_or_its_rows_could_not_be_loaded(
    tmp_path, monkeypatch
):
    given = list[datetime]()
    monkeypatch.setattr(
        steps_data.completejourney,
        "write_tables",
        lambda folder, now: given.append(now) or timedelta(),
    )

    def imported(clock):
        with environment({"NBA_HOME": str(tmp_path), "NBA_CLOCK": clock}):
            steps_data.import_tables("completejourney", None, tmp_path, lambda *_: None)

    before = utc_now()
    imported("real")
    assert before <= given.pop() <= utc_now()
    assert not [*tmp_path.iterdir()], "no ledger was needed"
    ledger, march = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}"), datetime(2026, 3, 1, tzinfo=UTC)
    SimulatedClock(ledger).begin()
    ledger.write_now(lambda c: set_clock(c, march, settle=False))
    ledger.close()
    imported("simulated")
    assert given == [march]
