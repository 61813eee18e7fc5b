"""Collects the mistakes of one YAML file, so that all of them are reported at once.

A check of a file, such as the compilation of a catalogue, collects what it finds and raises once:

    mistakes = Mistakes()
    for index, text in enumerate(texts):
        with mistakes.caught():  # takes a ValueError, or Mistakes of a deeper check
            compiled.append(compile_condition(text))
    mistakes.add(("groups", name, "purpose"), "a purpose of the catalogue")
    mistakes.unknown(("contact_policy", "outbound"), policy.outbound, domain.channels)
    mistakes.refuse()  # raises itself if there are any

`yaml_file.load_yaml` turns them into one `InvalidDomain` that names file, line, key and remedy of
each. A ``ValueError("churn.event: one of visit, order")`` without a collection is one mistake.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple

from features.nearest_names import did_you_mean

Where = tuple[str | int, ...]
MAX_FOUND = 500  # mistakes of a file after which no further ones are looked for
MAX_NAMES = 40  # that one sentence lists
STAND_IN = "stand_in"  # a name or a text in place of one that was refused, see `yaml_repair`


class Mistake(NamedTuple):
    """A mistake in a YAML file.

    Attributes
    ----------
    where
        The keys and the positions in lists that lead to the value, from the top of the file.
    expected
        Completes a sentence that begins with "Expected".
    remedy
        A sentence such as "Did you mean 'visit'?", or empty.
    names
        The names that are unknown, if that is the mistake.
    happened
        The predicate of the first sentence, if it is another one than "is <value>".
    line
        If it is another one than that of the value; else 0.
    """

    where: Where
    expected: str
    remedy: str = ""
    names: tuple[str, ...] = ()
    happened: str = ""
    line: int = 0


class Mistakes(ValueError):
    """Mistakes of one file that are raised together.

    Attributes
    ----------
    found : list of Mistake
        In the order in which they were found; at most `MAX_FOUND`.
    """

    def __init__(self, found: Iterable[Mistake] = ()) -> None:
        super().__init__()
        self.found = list(islice(found, MAX_FOUND))

    def __str__(self) -> str:
        return "; ".join(f"{'.'.join(map(str, one.where))}: {one.expected}" for one in self.found)

    def add(self, where: Where | str, expected: str, remedy: str = "") -> None:
        """Collect one mistake; ``where`` is a tuple, or keys joined by dots."""
        self._add(Mistake(as_where(where), expected, remedy))

    def unknown(self, where: Where | str, named: Iterable[str], known: Iterable[str]) -> None:
        """Collect the names in a list, or among keys, that are not known; does nothing if none."""
        known = list(known)
        there = set(known)
        names = tuple(
            name
            for name in dict.fromkeys(named)
            if name not in there and not name.startswith(STAND_IN)
        )
        if names:
            expected = f"{_of('some', known)}; not {listed(names)}"
            self._add(Mistake(as_where(where), expected, did_you_mean(names, known), names))

    def unknown_value(self, where: Where | str, named: str, known: Iterable[str]) -> None:
        """Collect a single name that is not known; does nothing if it is."""
        known = list(known)
        if named not in known:
            expected = _of("one", known)
            self._add(Mistake(as_where(where), expected, did_you_mean([named], known), (named,)))

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Collect the ``ValueError`` that the body raises, or all of its `Mistakes`."""
        try:
            yield
        except ValueError as error:
            for one in mistakes_in(error):
                self._add(one)

    def _add(self, mistake: Mistake) -> None:
        if len(self.found) < MAX_FOUND:
            self.found.append(mistake)

    def refuse(self) -> None:
        """Raise the collection itself, if it holds a mistake."""
        if self.found:
            raise self


def mistakes_in(error: ValueError, above: Where = ()) -> list[Mistake]:
    """List the mistakes that an error reports, with the keys ``above`` before each."""
    if isinstance(error, Mistakes):
        return [one._replace(where=(*above, *one.where)) for one in error.found]
    message = str(error)
    found = re.fullmatch(r"([A-Za-z_][\w-]*(?:\.[\w-]+)*): (.+)", message, re.DOTALL)
    where, expected = (found[1].split("."), found[2]) if found else ([], message)
    return [Mistake((*above, *where), expected)]


def as_where(where: Where | str) -> Where:
    """Split keys that are joined by dots."""
    return tuple(where.split(".")) if isinstance(where, str) else where


def listed(known: Collection[str]) -> str:
    """List the names that are allowed, at most `MAX_NAMES` of them."""
    known = [name for name in known if not name.startswith(STAND_IN)]
    shown = ", ".join(known[:MAX_NAMES])
    return shown if len(known) <= MAX_NAMES else f"{shown} and {len(known) - MAX_NAMES} more"


def _of(many: str, known: Collection[str]) -> str:
    names = listed(known)
    return f"{many} of {names}" if names else "nothing there, as no such name is declared"
