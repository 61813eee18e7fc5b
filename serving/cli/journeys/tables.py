"""Makes tables for the terminal of the views of journeys, one for each list that a view holds.

A column is named as the field; what a number means is told by the type of its view.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from rich.markup import escape
from rich.table import Table

from features.analytics.views.lists import Number
from serving.contract.journeys import JourneysAnswer

VIEW_FIELDS = (
    *("overview", "map", "funnel", "ways", "promises", "loops", "channels", "breakdown", "times"),
    *("next", "compare", "conformance"),
)
MINUTE_S, HOUR_S, DAY_S = 60.0, 3_600.0, 86_400.0
LONGEST = 60  # signs of a cell
# The columns of tables with more than a terminal can show; the others are in --json.
COLUMNS = {
    "map nodes": ("label", "stage", "visits", "journeys", "entries", "exits", "bounces", "loops"),
    "ways ways": ("n", "share", "how", "median_s", "steps"),
    "promises": ("name", "version", "activations", "kept", "broken", "open", "void", "kept_share"),
}


def tables_of(answer: JourneysAnswer, limit: int) -> Iterator[Table | str]:
    """Yield the sentence about the data, and the tables of the views in an answer.

    Parameters
    ----------
    limit : int
        Rows of a table; a further row says how many are left out.
    """
    of = "all maps" if answer.overview else f"the map {answer.filter.map}"
    yield (
        f"Journeys of {of}, as of {answer.as_of:%Y-%m-%d %H:%M} UTC; "
        f"data version {answer.data_version}."
    )
    if answer.known_at is not None:
        yield f"As known then. Customers erased since, who are missing: {answer.erased:,}."
    for name in VIEW_FIELDS:
        found = getattr(answer, name)
        if found is None:
            continue
        if isinstance(found, tuple) and found and not any(map(_has_rows, found)):
            yield from _tables(name, (), found, limit)
        else:
            for view in found if isinstance(found, tuple) else (found,):
                yield from _of_view(name, view, limit)


def _of_view(name: str, view: Any, limit: int) -> Iterator[Table | str]:
    single = {one.name: getattr(view, one.name) for one in fields(view)}
    told = [
        f"{_words(key)} {told_value(key, value)}"
        for key, value in single.items()
        if value is not None and not _is_rows(value) and value != ()
    ]
    yield f"{_words(name).capitalize()}: {'; '.join(told)}."
    for key, value in single.items():
        if _is_rows(value):
            yield from _tables(name, (key,), value, limit)


def _tables(
    name: str, under: Sequence[str], rows: Sequence[Any], limit: int
) -> Iterator[Table | str]:
    title = " ".join(_words(one) for one in (name, *under))
    known = [one.name for one in fields(rows[0])]
    columns = [
        name
        for name in COLUMNS.get(title, known)
        if not all(_is_rows(getattr(row, name)) or _is_empty(row, name) for row in rows)
    ]
    table = Table(*map(_words, columns), title=title, title_justify="left")
    for row in rows[:limit]:
        table.add_row(*(escape(told_value(key, getattr(row, key))) for key in columns))
    yield table
    if len(rows) > limit:
        yield f"{len(rows) - limit:,} more rows; --limit shows more, --json all."


def _is_rows(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and _is_record(value[0])


def _has_rows(view: Any) -> bool:
    return any(_is_rows(getattr(view, one.name)) for one in fields(view))


def _is_record(value: Any) -> bool:
    return is_dataclass(value) and not isinstance(value, Number)


def _is_empty(row: Any, name: str) -> bool:
    return getattr(row, name) in (None, (), "", {})


def told_value(name: str, value: Any) -> str:
    """Tell a value of a view in a cell: counts with commas, shares in %, times with their unit."""
    if value is None:
        return ""
    if isinstance(value, Number):
        return f"{value.n:,}"
    if isinstance(value, Mapping):
        counted = ((key, told_value(str(key), one)) for key, one in value.items())
        return ", ".join(f"{key} {one}" for key, one in counted if one not in ("", "0"))
    if isinstance(value, tuple):
        told = [told_value(name, one) for one in value]
        if name == "steps":
            return " → ".join(told)
        return _cut((" " if _is_pair(value) else ", ").join(told))
    if isinstance(value, float):
        if name.endswith("_s"):
            return duration(value)
        return f"{value:.1%}" if "share" in name else f"{value:,.3g}"
    return f"{value:,}" if type(value) is int else _cut(str(value))


def _is_pair(value: tuple[Any, ...]) -> bool:
    return len(value) == 2 and isinstance(value[1], Number)


def duration(seconds: float) -> str:
    """Tell a time in its largest whole unit, such as 2.5 h."""
    for unit, size in (("d", DAY_S), ("h", HOUR_S), ("min", MINUTE_S)):
        if abs(seconds) >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _words(name: str) -> str:
    text = name.removesuffix("_s") if name.endswith(("median_s", "p90_s")) else name
    return text.replace("_", " ")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
