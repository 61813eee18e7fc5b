"""MLflow in earnest, on SQLite: logged, gated, promoted, rolled back, and gone."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.errors import GateFailed, ModelMissing
from features.masking import masked_traceback
from features.settings import Settings, load_settings
from tests.bandits import PLAIN, bandit, outcomes
from training.bandit.artifact import Bandit
from training.bandit.encoder import Encoder
from training.pipeline.pyfunc import expected_acceptance
from training.pipeline.registry import (
    EXPERIMENT,
    TRAINED_ON,
    Registry,
    RegistryDown,
    TrainedModel,
)

pytestmark = pytest.mark.slow


def settings(uri: str, folder: Path) -> Settings:
    return load_settings(
        {
            "NBA_HOME": str(folder / "home"),
            "NBA_MLFLOW_URI": uri,
            "NBA_MLFLOW_ARTIFACTS": str(folder / "artifacts"),
        }
    )


def on_sqlite(folder: Path) -> Registry:
    return Registry(settings(f"sqlite:///{folder / 'mlflow.db'}", folder))


def a_bandit(acceptance: float) -> Bandit:
    """Of one action that was always accepted alike; knows the channels only."""
    told = outcomes(np.empty((4, 0)), ["app"] * 4, ["discount"] * 4, [acceptance] * 4)
    return bandit(Encoder.blank(), told)


def trained(bandit: Bandit, *gate_failures: str) -> TrainedModel:
    return TrainedModel(
        name="bandit",
        save=bandit.save,
        example=pd.DataFrame({"channel": ["app"]}),
        predict=lambda rows: expected_acceptance(bandit, rows),
        params={"min_probability": bandit.params.min_probability},
        metrics={"mean_acceptance": bandit.state.first.rate("discount")},
        features=("age", "visits"),
        data_fingerprint="f00d",
        gate_failures=gate_failures,
    )


@pytest.fixture(scope="module", autouse=True)
def _environment_as_before():
    """MLflow keeps its address and its knobs in the environment, for all who come after."""
    import mlflow

    before = dict(os.environ)
    yield
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with three versions, made once: the second missed a gate. None is champion."""
    folder = tmp_path_factory.mktemp("mlflow")
    registry = on_sqlite(folder)
    registry.log(trained(a_bandit(0.25)))
    registry.log(trained(a_bandit(0.5), "mean_acceptance 0.5000 is above 0.4"))
    registry.log(trained(a_bandit(0.75)))
    return folder


@pytest.fixture
def registry(logged: Path, tmp_path: Path) -> Registry:
    """The same three versions, with aliases of the test's own."""
    shutil.copy(logged / "mlflow.db", tmp_path / "mlflow.db")
    return on_sqlite(tmp_path)


def champion(registry: Registry) -> str | None:
    found = registry.champion("bandit")
    return found.version if found else None


def aliases(registry: Registry) -> dict[str, tuple[str, ...]]:
    return {found.version: found.aliases for found in registry.versions()}


def test_what_was_logged_last_is_the_challenger_and_nothing_serves_yet(registry):
    found = registry.versions()
    assert [version.version for version in found] == ["3", "2", "1"]
    assert [version.aliases for version in found] == [("challenger",), (), ()]
    assert found[1].gates == "mean_acceptance 0.5000 is above 0.4"
    assert (found[0].name, found[0].gates) == ("bandit", "passed")
    assert registry.champion("bandit") is None


def test_a_version_gives_back_the_bandit_that_was_logged(registry):
    registry.promote("bandit", "2", force=True)
    back = Bandit.load(registry.folder(registry.champion("bandit")))
    assert back.params == PLAIN
    assert back.state.to_bytes() == a_bandit(0.5).state.to_bytes()


def test_a_data_scientist_loads_the_champion_with_mlflow_alone(registry):
    import mlflow

    registry.promote("bandit")
    model = mlflow.pyfunc.load_model("models:/bandit@champion")
    answer = model.predict(pd.DataFrame({"channel": ["app", "phone"]}))
    assert answer["discount"].tolist() == pytest.approx([0.75, 0.75])


def test_a_run_says_what_the_model_was_made_of(registry):
    import mlflow

    newest = registry.versions()[0]
    run = mlflow.get_run(newest.run_id)
    assert run.data.tags["data_fingerprint"] == "f00d"
    assert run.data.params["min_probability"] == "0.001"
    assert run.data.metrics["mean_acceptance"] == 0.75


def test_promoting_without_a_version_takes_the_challenger(registry):
    assert registry.promote("bandit") == "3"
    assert champion(registry) == "3"
    assert aliases(registry)["3"] == ("challenger", "champion")


def test_promoting_keeps_the_old_champion_as_previous(registry):
    registry.promote("bandit", "1")
    registry.promote("bandit", "3")
    assert aliases(registry) == {"3": ("challenger", "champion"), "2": (), "1": ("previous",)}


def test_promoting_the_champion_again_does_not_make_it_its_own_predecessor(registry):
    registry.promote("bandit", "1")
    registry.promote("bandit", "3")
    registry.promote("bandit", "3")
    assert registry.roll_back("bandit") == "1"


def test_rolling_back_swaps_champion_and_previous(registry):
    registry.promote("bandit", "1")
    registry.promote("bandit", "3")
    assert registry.roll_back("bandit") == "1"
    assert champion(registry) == "1"
    assert registry.roll_back("bandit") == "3"
    assert champion(registry) == "3"


def test_rolling_back_does_not_ask_the_gates_again(registry):
    registry.promote("bandit", "2", force=True)
    registry.promote("bandit", "3")
    assert registry.roll_back("bandit") == "2"


def test_a_version_that_missed_a_gate_is_refused_with_the_reason(registry):
    registry.promote("bandit", "1")
    message = "version 2 missed a gate: mean_acceptance 0.5000 is above 0.4.*--force"
    with pytest.raises(GateFailed, match=message):
        registry.promote("bandit", "2")
    assert champion(registry) == "1"


def test_insisting_promotes_it_all_the_same(registry):
    assert registry.promote("bandit", "2", force=True) == "2"
    assert champion(registry) == "2"


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda r: r.promote("bandit", "9"), "no 'bandit' with version or alias '9'"),
        (lambda r: r.promote("churn"), "no 'churn' with version or alias 'challenger'"),
        (lambda r: r.promote("bandit", "newest"), "no 'bandit' with version or alias 'newest'"),
        (lambda r: r.roll_back("bandit"), "no 'bandit' with version or alias 'previous'"),
    ],
)
def test_a_model_that_is_not_there_is_named_with_what_to_do(registry, ask, message):
    with pytest.raises(ModelMissing, match=f"{message}.*'nba models'.*'nba train'"):
        ask(registry)
    assert champion(registry) is None


def test_looking_into_a_registry_that_does_not_exist_does_not_create_it(tmp_path):
    nowhere = on_sqlite(tmp_path / "none")
    assert not nowhere.exists()
    assert nowhere.champion("churn") is None
    assert nowhere.versions() == []
    with pytest.raises(ModelMissing, match="no 'churn' with version or alias 'challenger'"):
        nowhere.promote("churn")
    assert not (tmp_path / "none").exists()


@pytest.fixture(scope="module")
def unreachable(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    folder = tmp_path_factory.mktemp("unreachable")
    return Registry(settings(f"http://127.0.0.1:{port}", folder))


@pytest.mark.parametrize(
    "ask",
    [
        lambda r: r.champion("churn"),
        lambda r: r.versions(),
        lambda r: r.promote("churn"),
    ],
    ids=["champion", "versions", "promote"],
)
def test_an_address_where_nobody_answers_is_down_and_says_where(unreachable, ask):
    message = r"MLflow at http://127.0.0.1:\d+ does not answer.*NBA_MLFLOW_URI"
    with pytest.raises(RegistryDown, match=message):
        ask(unreachable)


@pytest.mark.parametrize("password", ["hun%40ter%2F2", "hun@ter:2", "hun/ter2", "hunter2"])
def test_the_password_of_an_address_is_told_nowhere(tmp_path, password):
    from mlflow import environment_variables as options

    down = Registry(settings(f"http://user:{password}@127.0.0.1:1", tmp_path))
    with pytest.raises(
        RegistryDown, match=r"MLflow at http://user:\*\*\*@127\.0\.0\.1:1 "
    ) as caught:
        down.champion("churn")
    assert password not in masked_traceback(caught.value)
    assert options.MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT.get()  # of a run that ends


def test_a_file_that_is_no_database_is_down_too(tmp_path):
    (tmp_path / "mlflow.db").write_text("this is not a database, whatever its name says")
    with pytest.raises(RegistryDown, match=r"mlflow\.db does not answer"):
        on_sqlite(tmp_path).champion("churn")


def test_a_version_names_the_customers_that_it_learned_from_by_keyed_hash(tmp_path):
    registry = on_sqlite(tmp_path)
    for customers in ({"hash-of-ann", "hash-of-bob"}, {"hash-of-ann"}, set()):
        registry.log(replace(trained(a_bandit(0.5)), customers=frozenset(customers)))
    found = {one.version: registry.customers_of(one) for one in registry.versions()}
    assert found == {"1": {"hash-of-ann", "hash-of-bob"}, "2": {"hash-of-ann"}, "3": set()}


@pytest.mark.parametrize("name", ["²", "٣", "9" * 20, "9" * 5000, "-1", "1.5", "", "no such"])
def test_a_version_that_cannot_be_is_missing(registry, name):
    with pytest.raises(ModelMissing, match="MLflow has no 'bandit' with version or alias"):
        registry.version("bandit", name)


@pytest.fixture
def remote(tmp_path, monkeypatch):
    """A registry whose files are in a store elsewhere, and the names of what was downloaded."""
    import mlflow
    from mlflow.store.artifact import artifact_repository_registry as stores
    from mlflow.store.artifact.artifact_repo import ArtifactRepository
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    downloads: list[str] = []

    class Elsewhere(ArtifactRepository):
        """A store that is not on this machine, as far as MLflow knows."""

        def __init__(self, artifact_uri: str, *given: object, **more: object) -> None:
            super().__init__(artifact_uri, *given, **more)
            self._there = LocalArtifactRepository(artifact_uri.replace("elsewhere:", "file:"))

        def log_artifact(self, local_file, artifact_path=None):
            self._there.log_artifact(local_file, artifact_path)

        def log_artifacts(self, local_dir, artifact_path=None):
            self._there.log_artifacts(local_dir, artifact_path)

        def list_artifacts(self, path=None):
            return self._there.list_artifacts(path)

        def _download_file(self, remote_file_path, local_path):
            downloads.append(Path(remote_file_path).name)
            self._there._download_file(remote_file_path, local_path)

    known = stores._artifact_repository_registry
    monkeypatch.setitem(known._registry, "elsewhere", Elsewhere)
    found = on_sqlite(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    mlflow.MlflowClient(uri).create_experiment(
        EXPERIMENT, artifact_location=(tmp_path / "store").as_uri().replace("file:", "elsewhere:")
    )
    return found, downloads


def test_a_remote_version_is_downloaded_once_into_the_home(remote, tmp_path, monkeypatch):
    registry, downloads = remote
    for hashes in ({"hash-of-ann"}, {"hash-of-bob"}):
        registry.log(replace(trained(a_bandit(0.5)), customers=frozenset(hashes)))
    newest, first = registry.versions()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    folder = registry.folder(first)
    assert folder.is_relative_to(tmp_path / "home")
    assert Bandit.load(folder).state.to_bytes() == a_bandit(0.5).state.to_bytes()
    assert len(downloads) == len({*downloads}) > 1, "each file once"
    files = len(downloads)
    again = on_sqlite(tmp_path)  # as another process would
    assert (registry.folder(first), again.folder(first)) == (folder, folder)
    assert len(downloads) == files
    assert registry.customers_of(newest) == {"hash-of-bob"}
    assert downloads[files:] == [TRAINED_ON], "the other version's models are not needed"
    assert [*(tmp_path / "temporary").iterdir()] == []


def test_local_files_are_read_in_place(registry, tmp_path):
    folder = registry.folder(registry.versions()[0])
    assert not folder.is_relative_to(tmp_path) and not (tmp_path / "home").exists()
