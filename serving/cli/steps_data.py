"""The steps of `nba` that need data only: import, load, build, compact.

They do not import MLflow and LightGBM as `steps` does, so they begin some seconds sooner.
"""

from __future__ import annotations

import os
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

from features.analytics.upkeep.forgetting import forgetting
from features.business.domain import Domain
from features.clock import utc_now
from features.errors import InvalidSetting
from features.ingest.erasure import Erasure
from features.ingest.load_report import LoadReport
from features.ingest.load_tables import is_loaded, load_folder
from features.ingest.sources import completejourney, helpdesk, telco
from features.journeys.personas.persona_conditions import open_domain
from features.ledger.ledger import Ledger
from features.ledger.simulated_clock import clock_of
from features.progress import Progress
from features.settings import load_settings
from features.store.build import build_features
from features.store.feast_store import FeatureStore
from features.store.text_encoding import UTF_8, checked_encoding
from serving.catalog.compiled_catalog import load_catalog

# Importers of a published file, which the user names.
PUBLISHED = {"telco": telco.write_tables, "helpdesk": helpdesk.write_tables}
SOURCES = ("completejourney", *PUBLISHED)


def import_tables(
    source: str, file: Path | None, to: Path | None, report: Progress
) -> tuple[Path, timedelta]:
    """Write the contract tables of a real data set.

    Returns
    -------
    Path
        Folder of the tables.
    timedelta
        Shift that was added to all times.
    """
    if source not in SOURCES:
        raise InvalidSetting(
            f"source is {source!r}.", expected=" or ".join(SOURCES), remedy="Name one of them."
        )
    folder, shift = to or load_settings().home / "sources" / source, timedelta()
    report(f"import {source}", 0, 1)
    if source in PUBLISHED:
        PUBLISHED[source](_required_file(source, file), folder)
    elif file is not None:
        raise InvalidSetting(
            f"--file is {str(file)!r}.",
            expected=f"none: {source} comes as a package",
            remedy="Leave it out.",
        )
    else:
        shift = completejourney.write_tables(folder, _now())
    report(f"import {source}", 1, 1)
    return folder, shift


def _now() -> datetime:
    """Tell the time that rows must not lie after; an import needs no ledger on the real clock."""
    settings = load_settings()
    if settings.clock == "real":
        return utc_now()
    with closing(Ledger(settings.ledger_url)) as ledger:
        return clock_of(settings, ledger)()


def load_tables(
    folder: Path, dry_run: bool, report: Progress, encoding: str = UTF_8
) -> list[LoadReport]:
    """Check a folder's tables, and bring them into the ledger unless it is a dry run.

    The encoding is that of the CSV files.
    """
    encoding, settings = checked_encoding(encoding), load_settings()
    domain = open_domain(settings.domain)
    catalog = load_catalog(settings.actions, domain)
    ledger = Ledger(settings.ledger_url)
    now = clock_of(settings, ledger)()
    return load_folder(folder, ledger, domain, catalog, now, report, dry_run, encoding)


def build(report: Progress) -> int:
    """Fold all events, put the features online, and return the number of events."""
    domain, ledger, store = _open()
    now = clock_of(load_settings(), ledger)()
    return build_features(ledger, store, domain, now, report, os.cpu_count() or 1)


def compact() -> bool:
    """Rewrite the files of the ledger and the online store; True if no deleted data is left."""
    domain, ledger, store = _open()
    home = load_settings().home
    clock = clock_of(load_settings(), ledger)
    return Erasure(ledger, store, home, clock, forgetting(ledger, domain, home)).compact()


def has_data() -> bool:
    """Return True if tables were loaded."""
    return is_loaded(Ledger(load_settings().ledger_url))


def has_features() -> bool:
    """Return True if the online store can serve."""
    _, _, store = _open()
    return store.why_unusable() is None


def _open() -> tuple[Domain, Ledger, FeatureStore]:
    """Open domain, ledger and store, and refuse a broken catalogue before any work."""
    settings = load_settings()
    domain, ledger = open_domain(settings.domain), Ledger(settings.ledger_url)
    store = FeatureStore(settings, domain)
    load_catalog(settings.actions, domain)
    return domain, ledger, store


def _required_file(source: str, file: Path | None) -> Path:
    if file is None:
        raise InvalidSetting(
            "--file is not given.",
            expected=f"the published table of {source}",
            remedy=f"Name it: 'nba import {source} --file PATH'.",
        )
    return file
