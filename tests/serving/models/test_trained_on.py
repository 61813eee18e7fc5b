"""Finds the versions trained on a customer, and downloads each version once."""

from __future__ import annotations

from features.identity.tombstones import hash_key
from serving.models.trained_on import TrainedOnIndex
from training.pipeline.registry import ModelVersion


class Versions:
    """A registry of three versions, that notes which of them are downloaded."""

    def __init__(self) -> None:
        self.customers = {"1": {"ann", "bob"}, "2": {"bob"}, "3": set()}
        self.downloaded: list[str] = []

    def versions(self) -> list[ModelVersion]:
        return [ModelVersion("churn", one, (), "passed", f"run{one}") for one in self.customers]

    def customers_of(self, version: ModelVersion) -> set[str]:
        self.downloaded.append(version.version)
        return {hash_key("salt", one) for one in self.customers[version.version]}


def found(index, *names):
    return [one.version for one in index.find([hash_key("salt", name) for name in names])]


def test_each_version_is_downloaded_once_and_all_that_learned_are_found(tmp_path):
    registry = Versions()
    index = TrainedOnIndex(registry, tmp_path / "trained_on")
    assert found(index, "ann") == ["1"]
    assert found(index, "bob", "eve") == ["1", "2"]
    assert found(TrainedOnIndex(registry, tmp_path / "trained_on"), "eve") == []
    assert registry.downloaded == ["1", "2", "3"]
    registry.customers["4"] = {"eve"}
    assert found(index, "eve") == ["4"] and registry.downloaded == ["1", "2", "3", "4"]


def test_the_array_of_a_version_that_was_deleted_is_removed(tmp_path):
    registry = Versions()
    index = TrainedOnIndex(registry, tmp_path / "trained_on")
    found(index, "ann")
    del registry.customers["1"]
    assert found(index, "ann") == []
    assert len([*(tmp_path / "trained_on").iterdir()]) == 2
