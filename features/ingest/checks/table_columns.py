"""The columns of the contract tables, as they follow from the domain file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from features.business.domain import EVENT_COLUMNS, Domain
from features.errors import InvalidData, quoted
from features.nearest_names import nearest

TABLES = ("customers", "events", "decisions", "outcomes")
_REQUIRED = {
    "customers": ("customer_id",),
    "events": ("event_id", "type", "occurred_at", "channel"),
    "decisions": ("decision_id", "customer_id", "decided_at", "channel", "action_id"),
    "outcomes": ("decision_id", "outcome", "occurred_at"),
}
_OPTIONAL = {
    "customers": ("identifiers", "as_of"),
    "events": EVENT_COLUMNS,
    "decisions": ("probability",),
    "outcomes": ("outcome_id", "action_id", "value", "shared_id"),
}
_IDS = ("customer_id", "event_id", "decision_id", "outcome_id", "shared_id")


def columns_read(table: str, domain: Domain) -> list[str]:
    """List the columns of a contract table that are read, the required ones first."""
    more: Iterable[str] = ()
    if table == "customers":
        more = (*domain.attributes, *((domain.account,) if domain.account else ()))
    elif table == "events":
        more = (name for event in domain.events.values() for name in event.properties)
    return list(dict.fromkeys((*_REQUIRED[table], *_OPTIONAL[table], *more)))


def id_columns(table: str, domain: Domain) -> list[str]:
    """List the columns of a contract table that hold one id in each cell."""
    account = (domain.account,) if table == "customers" and domain.account else ()
    known = columns_read(table, domain)
    return [name for name in (*_IDS, *account) if name in known]


def check_header(file: str, names: Sequence[str], table: str, domain: Domain) -> list[str]:
    """Check the header of a contract table, and name the columns that nobody reads.

    Blanks around a name are not part of it.

    Returns
    -------
    list of str
        One sentence for each column that is not read, or read under a trimmed name.

    Raises
    ------
    InvalidData
        If a column stands twice, or a required one is missing.
    """
    trimmed = [name.strip() for name in names]
    for name in trimmed:
        if name and trimmed.count(name) > 1:
            places = [str(place) for place, one in enumerate(trimmed, 1) if one == name]
            raise InvalidData(
                f"{file} has the column {quoted(name)} {len(places)} times, as columns "
                f"{', '.join(places)}.",
                expected="each column once",
                remedy="Remove or rename all but one.",
            )
    for name in _REQUIRED[table]:
        if name not in trimmed:
            raise InvalidData(
                f"{file} has no column {name}; its columns are "
                f"{', '.join(quoted(one) for one in trimmed)}.",
                expected=f"{', '.join(_REQUIRED[table])}, separated by commas, semicolons or tabs",
                remedy="Correct the header and load the table again.",
            )
    return list(_notes(names, columns_read(table, domain)))


def proposal(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean X?" for the known name that is nearest to a name, or nothing."""
    found = nearest(name, known)
    return f"; did you mean {found!r}?" if found else ""


def _notes(names: Sequence[str], known: Sequence[str]) -> Iterator[str]:
    for place, name in enumerate(names, 1):
        if not name.strip():
            yield f"column {place} has no name and is not read"
        elif name.strip() not in known:
            yield f"column {quoted(name)} is not read{proposal(name, known)}"
        elif name != name.strip():
            yield f"column {quoted(name)} is read as {quoted(name.strip())}"
