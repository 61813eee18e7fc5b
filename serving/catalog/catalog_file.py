"""Reads the action catalogue from disk, when the service starts and when the file changes."""

from __future__ import annotations

import logging
from pathlib import Path

from features.business.domain import Domain
from features.business.yaml_bounds import MAX_BYTES
from features.errors import NbaError
from features.journeys.model_input import ModelInput
from serving.catalog.compiled_catalog import CompiledCatalog, load_compiled_catalog

log = logging.getLogger(__name__)


class CatalogFile:
    """One catalogue file, read again when it changes.

    Attributes
    ----------
    problem : str
        Reason why the changed file cannot be used and the catalogue before stays; empty if none.
    """

    def __init__(self, path: Path, domain: Domain, model_input: ModelInput) -> None:
        self._path = path
        self._domain = domain
        self._input = model_input
        self._content = b""
        self._seen: tuple[int, int] | None = None
        self.problem = ""

    def read(self) -> CompiledCatalog:
        """Read, check and compile the catalogue.

        Raises
        ------
        InvalidDomain
            If the file breaks a rule; names file, line, key and remedy.
        """
        self._seen = self._stamp()
        self._content = self._bytes()
        return load_compiled_catalog(self._path, self._domain, self._input)

    def changed(self) -> CompiledCatalog | None:
        """The new catalogue if the file has changed and is valid; None otherwise."""
        stamp = self._stamp()
        if stamp == self._seen:
            return None
        content, before = self._bytes(), self._content
        self._seen, self._content = stamp, content
        if content == before:
            return None
        try:
            compiled = load_compiled_catalog(self._path, self._domain, self._input)
        except NbaError as error:
            log.error("The catalogue was not taken over: %s", error)
            self.problem = f"catalog: {error} The one before stays."
            return None
        self.problem = ""
        return compiled

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:  # an editor replaces the file at this moment
            return None
        return found.st_mtime_ns, found.st_size

    def _bytes(self) -> bytes:
        """The content; of a file that is too long for a catalogue, its beginning."""
        try:
            with self._path.open("rb") as file:
                return file.read(MAX_BYTES + 1)
        except OSError:
            return b""
