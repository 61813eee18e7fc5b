"""The model registry: logs runs, registers models, moves aliases. Only this module uses MLflow.

A model is kept as a folder of plain files (trees as text, arrays without pickles) inside an
ordinary MLflow `pyfunc` model. A data scientist loads it with
`mlflow.pyfunc.load_model("models:/churn@champion")`; the server reads the same folder without
the wrapper.

Aliases: `champion` serves, `challenger` was trained last, `previous` served before the champion,
`learned` is the bandit that the learner logged last.
"""

from __future__ import annotations

import logging
import re
import tempfile
import warnings
from collections.abc import Callable
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from features.errors import GateFailed, ModelMissing, NbaError
from features.settings import Settings
from training.pipeline.model_versions import ModelVersion as ModelVersion
from training.pipeline.model_versions import TrainedModel as TrainedModel
from training.pipeline.version_files import VersionFiles

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
LEARNED = "learned"
EXPERIMENT = "next-best-action"
GATES = "gates"  # tag of a model version: "passed", or the gates that failed
TRAINED_ON = "trained_on.txt"  # file of a version: keyed hashes of the training customers
REQUIREMENTS = ("lightgbm", "numpy", "pandas", "scipy")


class RegistryDown(NbaError):
    """MLflow cannot be reached; a server goes on with the models that it has loaded."""


class Registry:
    """The MLflow registry of the settings, opened on first use.

    Raises
    ------
    RegistryDown
        From the first call, and from looking up a version, if MLflow cannot be reached.
    """

    def __init__(self, settings: Settings) -> None:
        self._uri = settings.mlflow_uri
        self._artifacts = settings.mlflow_artifacts
        self._opened: Any = None
        self._files = VersionFiles(settings.home / "models")

    def exists(self) -> bool:
        """True if there is a registry to read; opening a missing SQLite file would create it."""
        prefix = "sqlite:///"
        return not self._uri.startswith(prefix) or Path(self._uri.removeprefix(prefix)).exists()

    def log(self, trained: TrainedModel, alias: str = CHALLENGER) -> str:
        """Log a run with its model, register it under an alias, and return its version number."""
        import mlflow
        from mlflow.models import infer_signature

        client = self._client()
        mlflow.set_experiment(EXPERIMENT)
        with mlflow.start_run(run_name=trained.name), tempfile.TemporaryDirectory() as scratch:
            mlflow.log_params(dict(trained.params))
            mlflow.log_metrics(dict(trained.metrics))
            mlflow.set_tag("data_fingerprint", trained.data_fingerprint)
            if trained.remarks:
                mlflow.set_tag("remarks", " ".join(trained.remarks))
            mlflow.log_dict({"features": list(trained.features)}, "features.json")
            for file, figure in trained.figures.items():
                mlflow.log_figure(figure, file)
            folder = Path(scratch) / "model"  # MLflow keeps the name of the folder
            trained.save(folder)
            (folder / TRAINED_ON).write_text("\n".join(sorted(trained.customers)))
            logged = mlflow.pyfunc.log_model(
                name=trained.name,
                python_model=_folder_model(trained.name),
                artifacts={"model": str(folder)},
                signature=infer_signature(trained.example, trained.predict(trained.example)),
                input_example=trained.example,
                pip_requirements=[f"{name}=={installed(name)}" for name in REQUIREMENTS],
                registered_model_name=trained.name,
            )
        number = str(logged.registered_model_version)
        client.set_registered_model_alias(trained.name, alias, number)
        verdict = "; ".join(trained.gate_failures) or "passed"
        client.set_model_version_tag(trained.name, number, GATES, verdict)
        return number

    def promote(self, name: str, number: str | None = None, force: bool = False) -> str:
        """Make a version (by default the challenger) the champion; keep the old one as previous.

        Raises
        ------
        ModelMissing
            If there is no such version.
        GateFailed
            If it missed a gate of params.yaml and ``force`` is not set.
        """
        found = self.version(name, number or CHALLENGER)
        if found.gates != "passed" and not force:
            raise GateFailed(
                f"{name} version {found.version} missed a gate: {found.gates}.",
                expected="all gates of training/params.yaml to be passed",
                remedy=f"Train a better one, or force it: 'nba promote {name} --force'.",
            )
        client = self._client()
        champion = self.champion(name)
        if champion is not None and champion.version != found.version:
            client.set_registered_model_alias(name, PREVIOUS, champion.version)
        client.set_registered_model_alias(name, CHAMPION, found.version)
        return found.version

    def roll_back(self, name: str) -> str:
        """Make the previous champion the champion again, and the champion the previous one.

        Raises
        ------
        ModelMissing
            If there is no previous champion.
        """
        previous = self.version(name, PREVIOUS)
        return self.promote(name, previous.version, force=True)

    def champion(self, name: str) -> ModelVersion | None:
        """Return the version that serves, or None."""
        if not self.exists():
            return None
        return self._by_alias(name, CHAMPION)

    def folder(self, version: ModelVersion) -> Path:
        """Return the folder with the files of a version; remote ones are downloaded once."""
        if (kept := self._files.find(version.name, version.base)) is not None:
            return kept
        if self._is_local(version):
            return self._download(version, "", None)
        into = self._files
        return into.keep(version.name, version.base, lambda to: self._download(version, "", to))

    def versions(self) -> list[ModelVersion]:
        """Return all versions of all models, newest first within a model."""
        if not self.exists():
            return []
        client = self._client()
        found = []
        for model in client.search_registered_models():
            by_version: dict[str, list[str]] = {}
            for alias, number in model.aliases.items():
                by_version.setdefault(str(number), []).append(alias)
            for version in client.search_model_versions(f"name = '{model.name}'"):
                aliases = tuple(sorted(by_version.get(str(version.version), [])))
                found.append(_version(version, aliases))
        return sorted(found, key=lambda v: (v.name, -int(v.version)))

    def customers_of(self, version: ModelVersion) -> set[str]:
        """Return keyed hashes of the customers that a version was trained on."""
        import mlflow

        if not self._is_local(version):  # that file alone
            there = mlflow.artifacts.list_artifacts(artifact_uri=_address(version))
            if TRAINED_ON not in {Path(one.path).name for one in there}:
                return set()
            with tempfile.TemporaryDirectory() as scratch:
                file = self._download(version, TRAINED_ON, Path(scratch))
                return {*file.read_text().split()}
        file = self.folder(version) / TRAINED_ON
        return {*file.read_text().split()} if file.exists() else set()

    def version(self, name: str, number_or_alias: str) -> ModelVersion:
        """Return a version by its number or alias.

        Raises
        ------
        ModelMissing
            If there is none.
        """
        found = None
        if self.exists():
            by_number = re.fullmatch(r"[0-9]{1,9}", number_or_alias) is not None
            look = self._by_number if by_number else self._by_alias
            found = look(name, number_or_alias)
        if found is None:
            raise ModelMissing(
                f"MLflow has no {name!r} with version or alias {number_or_alias!r}.",
                expected="a registered model",
                remedy="See 'nba models'; train one with 'nba train'.",
            )
        return found

    def _is_local(self, version: ModelVersion) -> bool:
        """True if the files of a version are on this machine, where they can be read in place."""
        where = self._client().get_model_version_download_uri(version.name, version.version)
        return urlsplit(where).scheme in ("", "file")

    def _download(self, version: ModelVersion, name: str, into: Path | None) -> Path:
        """Download a file of a version, or all; local files stay in place if ``into`` is None."""
        import mlflow

        self._client()
        to = None if into is None else str(into)
        address = f"{_address(version)}/{name}".rstrip("/")
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=to))

    def _by_alias(self, name: str, alias: str) -> ModelVersion | None:
        return self._look(lambda client: client.get_model_version_by_alias(name, alias))

    def _by_number(self, name: str, number: str) -> ModelVersion | None:
        return self._look(lambda client: client.get_model_version(name, number))

    def _look(self, ask: Callable[[Any], Any]) -> ModelVersion | None:
        from mlflow.exceptions import MlflowException

        try:
            return _version(ask(self._client()), ())
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise _down(self._uri, error) from error

    def _client(self) -> Any:
        import mlflow

        # At each call: MLflow has one address per process, and another registry may have been
        # opened since.
        mlflow.set_tracking_uri(self._uri)
        mlflow.set_registry_uri(self._uri)
        if self._opened is None:
            from mlflow import environment_variables as options

            # With the defaults, a registry that does not answer delays a worker by minutes.
            options.MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(1)
            options.MLFLOW_HTTP_REQUEST_TIMEOUT.set(5)
            options.MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)
            # MLflow would print the address of a run, with the password of the server.
            options.MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT.set(True)
            for noisy in ("mlflow", "alembic"):
                logging.getLogger(noisy).setLevel(logging.ERROR)
            warnings.filterwarnings("ignore", message="The ``noload`` loader strategy")
            self._opened = self._open(mlflow)
        return self._opened

    def _open(self, mlflow: Any) -> Any:
        try:
            if self._uri.startswith("sqlite:///"):
                Path(self._uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
            client = mlflow.MlflowClient()
            if client.get_experiment_by_name(EXPERIMENT) is None:
                local = self._uri.startswith("sqlite:///")
                where = self._artifacts.as_uri() if local else None
                client.create_experiment(EXPERIMENT, artifact_location=where)
        except Exception as error:  # MLflow raises many types for network, file and server
            raise _down(self._uri, error) from error
        return client


def _down(uri: str, error: Exception) -> RegistryDown:
    return RegistryDown(
        f"MLflow at {uri} does not answer ({type(error).__name__}).",
        expected="a tracking server or an SQLite file",
        remedy="Start it, or correct NBA_MLFLOW_URI.",
    )


def _address(version: ModelVersion) -> str:
    return f"models:/{version.name}/{version.version}/artifacts/model"


def _version(found: Any, aliases: tuple[str, ...]) -> ModelVersion:
    gates = (found.tags or {}).get(GATES, "not checked")
    return ModelVersion(found.name, str(found.version), aliases, gates, found.run_id or "")


def _folder_model(name: str) -> Any:
    """Make the pyfunc wrapper; imported late, because its base class is MLflow's."""
    from training.pipeline.pyfunc import BanditModel, ClassifierModel

    return BanditModel() if name == "bandit" else ClassifierModel()
