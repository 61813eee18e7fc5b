"""Reads the settings from the `NBA_*` environment variables; no other module reads them.

A setting that differs between machines is a variable with a default that works on a laptop. What
belongs to a business is in its YAML files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from features.errors import InvalidSetting
from features.masking import masked_value

PACKAGE = Path(__file__).resolve().parent
GROCERY = PACKAGE / "domains" / "grocery.yaml"
REQUESTS_PER_S = 1_000.0  # more than twice what a worker can do


def _never(text: object) -> object:
    return None if text == "never" else text


MOST_SECONDS = 2_592_000  # 30 days: no thread can wait for a time without bounds
MOST_DAYS = 36_600  # a hundred years: a longer one would reach before the first year
# A number of days; None stands for the text `never`.
Days = Annotated[Annotated[float, Field(gt=0, le=MOST_DAYS)] | None, BeforeValidator(_never)]


def _split(text: object) -> object:
    return (
        [part.strip() for part in text.split(",") if part.strip()]
        if isinstance(text, str)
        else text
    )


_ORIGIN = r"^https?://[^/?#@\s]+$"
Origins = Annotated[tuple[Annotated[str, Field(pattern=_ORIGIN)], ...], BeforeValidator(_split)]


class Settings(BaseModel):
    """Paths, addresses and options of the server; they cannot be changed after they were read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path
    """`NBA_HOME`: ledger, feature files and imported tables; `.nba` in the working directory."""
    domain: Path
    """`NBA_DOMAIN`: the business; `domain.yaml` in the home, else the packaged grocery."""
    actions: Path
    """`NBA_ACTIONS`: the action catalogue; beside the domain file."""
    ledger_url: str
    """`NBA_LEDGER_URL`: SQLAlchemy address of the ledger; SQLite in the home."""
    mlflow_uri: str
    """`NBA_MLFLOW_URI`: MLflow tracking and registry; SQLite in `mlruns/`."""
    mlflow_artifacts: Path
    """`NBA_MLFLOW_ARTIFACTS`: where MLflow keeps files; `mlruns/artifacts`."""
    port: Annotated[int, Field(ge=1, le=65535)] = 3000
    """`NBA_PORT`: the server's port."""
    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """`NBA_HOST`: the address that the server listens on; another than loopback needs keys."""
    origins: Origins = ()
    """`NBA_ORIGINS`: origins of web pages that may call, with commas between them."""
    key: str = Field("", repr=False)
    """`NBA_KEY`: the key with which commands of `nba` call a server."""
    requests_per_s: Annotated[float, Field(ge=1, allow_inf_nan=False)] = REQUESTS_PER_S
    """`NBA_REQUESTS_PER_S`: requests of one key in a second, which the workers share."""
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """`NBA_WORKERS`: server processes."""
    learner: bool = True
    """`NBA_LEARNER`: whether the server's first worker keeps the learner running beside it."""
    journeys: bool = True
    """`NBA_JOURNEYS`: whether the server's first worker keeps the journeys counted beside it."""
    learn_every_s: Annotated[float, Field(gt=0, le=MOST_SECONDS)] = 1.0
    """`NBA_LEARN_EVERY_S`: pause between two looks at the ledger for new outcomes."""
    version_every_s: Annotated[float, Field(ge=10, le=MOST_SECONDS)] = 86_400.0
    """`NBA_VERSION_EVERY_S`: pause between two versions of what was learned, logged to MLflow."""
    models_every_s: Annotated[float, Field(gt=0, le=MOST_SECONDS)] = 5.0
    """`NBA_MODELS_EVERY_S`: pause between two looks at MLflow for a promoted model."""
    retention_records_days: Days = 400.0
    """`NBA_RETENTION_RECORDS_DAYS`: age at which a decision's record is removed; or `never`."""
    retention_events_days: Days = None
    """`NBA_RETENTION_EVENTS_DAYS`: age at which an event is deleted; `never`."""
    clock: Literal["real", "simulated"] = "real"
    """`NBA_CLOCK`: `simulated` takes the time from `/v1/clock`, for simulations on this machine."""
    noop: bool = False
    """`NBA_NOOP`: adds the route `/v1/noop` that `make bench` measures against."""


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the `NBA_*` variables.

    Raises
    ------
    InvalidSetting
        If a variable is unknown or has a value that cannot be used.
    """
    environ = os.environ if environ is None else environ
    given = {
        name.removeprefix("NBA_").lower(): value
        for name, value in environ.items()
        if name.startswith("NBA_") and value
    }
    home = Path(given.pop("home", ".nba")).resolve()
    mlruns = Path("mlruns").resolve()
    own = home / "domain.yaml"
    domain = Path(given.pop("domain", own if own.exists() else GROCERY)).resolve()
    values: dict[str, object] = {
        "home": home,
        "domain": domain,
        "actions": actions_beside(domain),
        "ledger_url": f"sqlite:///{home / 'ledger.db'}",
        "mlflow_uri": f"sqlite:///{mlruns / 'mlflow.db'}",
        "mlflow_artifacts": mlruns / "artifacts",
        **given,
    }
    for path in ("actions", "mlflow_artifacts"):
        values[path] = Path(str(values[path])).resolve()
    for url in ("ledger_url", "mlflow_uri"):
        values[url] = _absolute(str(values[url]))
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = f"NBA_{first['loc'][0]}".upper()
        known = ", ".join(f"NBA_{field}".upper() for field in Settings.model_fields)
        raise InvalidSetting(
            f"{name} is {masked_value(name, first['input'])}: {first['msg'].lower()}.",
            expected="a variable and a value that this program knows",
            remedy=f"Correct or unset it. Known variables: {known}.",
        ) from error


def _absolute(url: str) -> str:
    """Make the path of an SQLite address absolute, as the server runs in another folder."""
    prefix = "sqlite:///"
    if not url.startswith(prefix) or url == prefix or ":memory:" in url:
        return url
    return prefix + str(Path(url.removeprefix(prefix)).resolve())


def actions_beside(domain: Path) -> Path:
    """Find the catalogue of a domain file: `x.actions.yaml` beside `x.yaml`, or `actions.yaml`."""
    named = domain.with_name(f"{domain.stem}.actions.yaml")
    return named if named.exists() else domain.with_name("actions.yaml")
