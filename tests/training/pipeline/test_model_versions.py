"""Tests the name of a model version, which no version of another registry has."""

from __future__ import annotations

from dataclasses import replace

from training.pipeline.model_versions import ModelVersion


def test_a_version_is_named_by_its_number_and_its_run():
    first = ModelVersion("bandit", "1", ("champion",), "passed", "0123456789abcdef")
    of_a_new_registry = replace(first, run_id="fedcba9876543210")
    assert (first.base, of_a_new_registry.base) == ("1@01234567", "1@fedcba98")
