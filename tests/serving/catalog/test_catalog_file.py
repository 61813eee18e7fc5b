"""The catalogue on disk is taken over as a whole when it changes, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from features.errors import InvalidDomain
from features.journeys.model_input import ModelInput
from serving.catalog.catalog_file import CatalogFile

TOY = Path(__file__).parents[2] / "toy" / "actions.yaml"


@pytest.fixture
def file(tmp_path, toy_domain):
    path = tmp_path / "actions.yaml"
    path.write_text(TOY.read_text(encoding="utf-8"), encoding="utf-8")
    return CatalogFile(path, toy_domain, ModelInput(toy_domain)), path


def edit(path, old, new):
    later = path.stat().st_mtime_ns + 1_000_000_000
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    os.utime(path, ns=(later, later))


def test_what_has_not_changed_is_not_read_again(file):
    catalog, path = file
    catalog.read()
    assert catalog.changed() is None
    os.utime(path, ns=(1, 1))  # touched only
    assert catalog.changed() is None


def test_a_change_is_taken_over(file):
    catalog, path = file
    before = catalog.read()
    edit(path, "value: 5.0", "value: 6.5")
    after = catalog.changed()
    assert after.catalog.actions["discount"].value == 6.5
    assert after.catalog.fingerprint != before.catalog.fingerprint
    assert catalog.changed() is None


def test_a_mistake_is_named_and_the_old_one_stays_until_it_is_mended(file):
    catalog, path = file
    catalog.read()
    edit(path, "value: 5.0", "value: minus five")
    assert catalog.changed() is None
    assert catalog.problem.startswith(f"catalog: {path}, line 20: actions.discount.value is 'minus")
    assert catalog.problem.endswith("nothing was changed. The one before stays.")
    assert catalog.changed() is None  # said once
    edit(path, "minus five", "5.5")
    assert catalog.changed().catalog.actions["discount"].value == 5.5
    assert catalog.problem == ""


@pytest.mark.parametrize(
    "value", ["!!binary aGVq", "!!set {a}", "2026-03-01", ".nan", "{1: a}", "{yes: a}", '"\\0"']
)
def test_a_value_that_json_does_not_have_is_a_problem_with_its_line(file, value):
    catalog, path = file
    catalog.read()
    edit(path, 'title: "Ten percent off"', f"title: {value}")
    assert catalog.changed() is None
    assert f"{path}, line 25: actions.discount.treatments.app.title" in catalog.problem


def test_a_file_that_is_gone_for_a_moment_changes_nothing_for_good(file):
    catalog, path = file
    catalog.read()
    content = path.read_text(encoding="utf-8")
    path.unlink()
    assert catalog.changed() is None
    assert "cannot be read" in catalog.problem
    path.write_text(content, encoding="utf-8")
    assert catalog.changed() is not None
    assert catalog.problem == ""


def test_a_broken_file_is_refused_at_the_start(file):
    catalog, path = file
    edit(path, "outcomes:", "outcomez:")
    with pytest.raises(InvalidDomain, match="line 1"):
        catalog.read()
