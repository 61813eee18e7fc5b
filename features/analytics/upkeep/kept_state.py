"""The files of journeys that count at present, noted in the ledger with the counts of them.

The note is replaced in the transaction that changes the counts. So a reader finds files, counts and
the moment up to which both are right, all of one state, however a writer has ended.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from features.analytics.journey_data import JourneyData
from features.analytics.journey_files import FilePair, pair_at
from features.analytics.nodes import MapNodes
from features.analytics.stored_columns import stored_steps_schema
from features.analytics.tables import journeys_schema, steps_schema
from features.business.domain import Domain
from features.errors import NotCounted
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.store.locks import file_lock, partial_path

STATE, RECOUNTED = "journeys kept", "journeys recounted"  # keys of `meta`
FOLDER = "journeys"  # of a home
KEEPER = "-keeper.id"  # ending of a file beside the folder, as the folder may be deleted
MINUTE_US = 60_000_000
AWAY_US = 5 * MINUTE_US  # a home that has written nothing for so long does not keep the journeys
# Words of a domain file that say nothing about how journeys are cut.
_SAID_ONLY = {"description", "words", "owner"}

FORMAT = "1"  # raised when a column of the files keeps its name and gets another meaning


@dataclass(frozen=True, slots=True)
class KeptState:
    """The state of the files and of the counts.

    Attributes
    ----------
    rules : str
        Fingerprint of the domain by which the journeys were cut, and of the columns of the files.
    build : int
        Number of the counts in `tables.journey_cube`.
    base, deltas : tuple of str
        Names of pairs of files in the folder; see `journey_files`.
    former : tuple of str
        Names of the pairs that counted before; a reader may still have them open.
    as_of_us : int
        The moment up to which all is counted, microseconds since 1970.
    version : int
        Rises with each change of a count.
    serial : int
        Decisions up to this one are taken.
    after : str
        Marks are taken in the order of their keys; the next ones come after this key.
    customers, changed : int
        Customers in the base, and those in deltas; the same one may be in several deltas.
    keeper : str
        The home with the files, by `keeper_of`.
    """

    rules: str
    build: int
    base: tuple[str, ...]
    deltas: tuple[str, ...]
    former: tuple[str, ...]
    as_of_us: int
    version: int
    serial: int
    after: str
    customers: int
    changed: int
    keeper: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """All pairs that count."""
        return (*self.base, *self.deltas)

    def pairs(self, folder: Path) -> list[FilePair]:
        """The files of all pairs that count, base first."""
        return [pair_at(folder, name) for name in self.names]

    def are_there(self, folder: Path) -> bool:
        """Return whether all files are in the folder."""
        return all(one.journeys.exists() and one.steps.exists() for one in self.pairs(folder))

    def opened(self, domain: Domain, folder: Path) -> JourneyData:
        """Open the files for queries."""
        base = [pair_at(folder, name) for name in self.base]
        deltas = [pair_at(folder, name) for name in self.deltas]
        return JourneyData.of_files(domain, base, deltas, self.as_of_us, self.version)

    def try_to_open(self, domain: Domain, folder: Path) -> JourneyData | None:
        """Open the files; None if one is not there, or is no table of the expected columns."""
        import duckdb  # see `journey_data.connect`

        if not self.are_there(folder):
            return None
        try:
            return self.opened(domain, folder)
        except (duckdb.Error, pa.ArrowInvalid, OSError):  # such as half a file, after a power cut
            return None


def read_state(connection: sa.Connection) -> KeptState | None:
    """Read the state; None if journeys were never built."""
    stored = tables.get_meta(connection, STATE)
    if stored is None:
        return None
    content = json.loads(stored)
    lists = {name: tuple(content[name]) for name in ("base", "deltas", "former")}
    return KeptState(**{**content, **lists})


def write_state(connection: sa.Connection, before: KeptState | None, after: KeptState) -> bool:
    """Replace the state; False if it is not ``before`` any more, as another process was quicker."""
    if read_state(connection) != before:
        return False
    tables.set_meta(connection, STATE, json.dumps(asdict(after)))
    return True


def open_journeys(ledger: Ledger, domain: Domain, folder: Path) -> JourneyData | None:
    """Open the journeys as they are kept at present.

    Files that were replaced stay for one more change of the state, so a reader may take his time.

    Returns
    -------
    JourneyData or None
        None if journeys were not built yet, or were built for another domain file.
    """
    state = ledger.read(read_state)
    if state is None or state.rules != rules_of(domain):
        return None
    return state.try_to_open(domain, folder)


def rules_of(domain: Domain) -> str:
    """Return a fingerprint of all that decides how journeys are cut, numbered and kept.

    Files of another program, which have other columns, are so built again.
    """
    # In the order of the file, as the first persona that fits is that of a customer.
    # What a customer is worth changes no journey.
    described = domain.model_dump(mode="json", exclude={"objective"})
    content = json.dumps(_without_words(described))
    columns = f"{journeys_schema(domain)} {stored_steps_schema(steps_schema(domain))}"
    text = f"{FORMAT} {MapNodes(domain).fingerprint} {columns} {content}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _without_words(content: Any) -> Any:
    if isinstance(content, dict):
        # What has such a key as its name, such as a property, is no text.
        said = [key for key in _SAID_ONLY if isinstance(content.get(key), str)]
        return {key: _without_words(one) for key, one in content.items() if key not in said}
    return [_without_words(one) for one in content] if isinstance(content, list) else content


def keeper_of(folder: Path) -> str:
    """Return what tells a home from others of its ledger; empty if it has kept no journeys yet."""
    file = folder.with_name(folder.name + KEEPER)
    return file.read_text(encoding="ascii") if file.exists() else ""


def make_keeper(folder: Path) -> str:
    """Return the same, of a home that keeps journeys from now on; the files are locked."""
    if not keeper_of(folder):
        file = folder.with_name(folder.name + KEEPER)
        part = partial_path(file)
        part.write_text(secrets.token_hex(8), encoding="ascii")
        part.replace(file)
    return keeper_of(folder)


def kept_elsewhere(state: KeptState | None, folder: Path, now_us: int) -> NotCounted | None:
    """Say that the folder of another home has the files, if it has been at work lately."""
    if state is None or state.keeper in ("", keeper_of(folder)):
        return None
    if now_us - state.as_of_us > AWAY_US:
        return None
    return NotCounted(
        "Another home that uses this ledger keeps its journeys.",
        expected=f"one home that keeps them, or {AWAY_US // MINUTE_US} minutes without the other",
        remedy="Ask the server of that home, and set NBA_JOURNEYS=false here.",
    )


@contextmanager
def keeping(folder: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock of the files: one process of a home changes them at a time.

    Raises
    ------
    InvalidSetting
        If another process holds it and ``wait`` is False.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with file_lock(folder / "keeping.lock", wait):
        yield
