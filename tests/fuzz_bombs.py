"""Measures what hostile conditions, wordings and YAML files cost until they are refused.

    python -m tests.fuzz_bombs

A condition of 300 characters, a wording of 30 or a file of ten lines can stand for hours of work or
gigabytes of memory. Each must be refused in less than 50 ms. The program prints the processor's
time (median of three) and the memory that Python allocates, and ends with 1 if one takes longer.
"""

from __future__ import annotations

import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from time import thread_time
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from features.business.domain import load_domain
from features.conditions.expressions import Reader
from features.conditions.names import Names
from features.errors import InvalidCondition, InvalidDomain
from serving.catalog.treatments import Treatment

MOST_S = 0.05
SHOWN = 60  # characters of a refusal, the last ones
NAMES = Names({"x": "number", "c": "truth", "plan": "text", "order_n": "number"})


def _in_lists(times: int, listed: str) -> str:
    """Nest ``in``, which asks for all that stands before it once for each item."""
    return "c" + f" == true and ({'(' * times}c{f' in [{listed}])' * times})"


def _twice(operator: str, start: str, end: str = "{{ a }}", times: int = 80) -> str:
    """A wording that sets a name to twice itself, again and again."""
    return f"{{% set a = {start} %}}" + f"{{% set a = {operator} %}}" * times + end


def _anchored(item: str, line: str) -> str:
    """A file of 40 lines, each of which stands for ten times the one before."""
    lines = [f"a{n}: &x{n} {line.format(', '.join([f'*x{n - 1}'] * 10))}" for n in range(1, 40)]
    return "\n".join([f"a: &x0 {item}", *lines])


CONDITIONS = {
    "in, nested in 6 lists": _in_lists(6, "true, false, true, false, true"),
    "in, nested in 30 lists": _in_lists(30, "true"),
    "in after a long sum": f"({'x + ' * 25}x) in [{', '.join('1' * 90)}]",
    "shift of a constant": "1 << 99999999999 > 0",
    "power of a constant": "9 ** 9 ** 9 > 0",
    "pattern that backtracks": "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab' =~ '(a+)+c'",
    "200 brackets around nothing": "(" * 200 + ")" * 200,
    "lists within lists": "x in " + "[" * 200 + "1" + "]" * 200,
    "not, 120 times": "not " * 120 + "c",
    "minus, 480 times": "-" * 480 + "x > 0",
    "choices within choices": "c ? c : " * 60 + "c",
    "a million characters": "c and " * 170_000 + "c",
}
WORDINGS = {
    "ljust": "{{ 'a'.ljust(3 * 10 ** 8) }}",
    "ljust by a value": "{{ 'a'.ljust((order_n or 1) * 10 ** 6) }}",
    "center": "{{ 'a'|center(300000000) }}",
    "width of %": "{{ '%300000000d' % 1 }}",
    "width of format": "{{ '%300000000d'|format(1) }}",
    "precision of %": "{{ '%.300000000f' % 1 }}",
    "format": "{{ '{:300000000d}'.format(1) }}",
    "text times number": "{{ 'a' * 300000000 }}",
    "list times number": "{{ [1] * 300000000 }}",
    "power": "{{ 9 ** 9 ** 9 }}",
    "loops over 3 million steps": "{% for a in range(3000) %}{% for b in range(1000) %}"
    "{{ a }}{% endfor %}{% endfor %}",
    "loops over written lists": "{% for a in [1, 2, 3, 4] %}" * 12 + "x" + "{% endfor %}" * 12,
    "text, doubled": _twice("a ~ a", "'a'"),
    "sum, doubled": _twice("a + a", "'a'"),
    "product, squared": _twice("a * a", "9"),
    "list, doubled": _twice("[a, a]", "[1]"),
    "tuple, doubled": _twice("(a, a)", "[1]"),
    "list, doubled and compared": _twice("[a, a]", "[1]", "{{ a == a }}"),
    "list, doubled by loops": "{% set a = [1, 1] %}"
    + "{% for a in [[a, a]] %}" * 19
    + "{% endfor %}" * 19,
    "replacement, fourfold": _twice("a|replace('a', 'aaaa')", "'aaaa'"),
    "digits of round": "{{ 5|round(999999999, 'ceil') }}",
    "2,400 brackets": "{{ " + "(" * 2400 + "1" + ")" * 2400 + " }}",
    "2,400 lists": "{{ " + "[" * 2400 + "]" * 2400 + " }}",
    "1,200 filters": "{{ 1" + "|abs" * 1200 + " }}",
    "an integer of 4,900 digits": "{{ " + "9" * 4900 + " }}",
    "200 statements": "{% if c %}" * 200 + "{% endif %}" * 200,
    "2,400 open braces": "{{" * 2400,
}
FILES = {
    "aliases of lists": _anchored("[1, 1]", "[{0}]"),
    "aliases of mappings": _anchored("{a: 1}", "{{b: [{0}]}}"),
    "merges": _anchored("{a: 1, b: 2}", "{{<<: [{0}]}}"),
    "aliases of a long text": f"a: &a '{'x' * 700_000}'\n" + "b: [" + "*a, " * 1000 + "]",
    "an alias within itself": "a: &a [*a]",
    "100,000 brackets": "a: " + "[" * 100_000,
    "5,000 braces": "a: " + "{b: " * 5000,
    "500 levels of indentation": "\n".join("  " * n + "a:" for n in range(500)),
    "20,000 keys within keys": "? " * 20_000,
    "an integer in base 60": "name: 1" + ":00" * 10_000,
    "an integer in base 16": "name: 0x" + "f" * 50_000,
    "an integer of 50,000 digits": "name: " + "9" * 50_000,
    "six million bytes": "#" * 6_000_000,
}


class Cost(NamedTuple):
    """The time and the memory until a text is refused; ``said`` is empty if it is not."""

    kind: str
    name: str
    seconds: float
    peak_mb: float
    said: str


def refusals(folder: Path) -> Iterator[tuple[str, str, Callable[[], str]]]:
    """List all hostile texts by kind and name, each with what reads it and returns the refusal."""
    reader = Reader(NAMES)
    for name, text in CONDITIONS.items():
        yield "condition", name, partial(_refusal, partial(reader.condition, text))
    for name, text in WORDINGS.items():
        yield "wording", name, partial(_refusal, partial(Treatment, {"title": text}, NAMES))
    for index, (name, text) in enumerate(FILES.items()):
        path = folder / f"domain_{index}.yaml"
        path.write_text(text, encoding="utf-8")
        yield "file", name, partial(_refusal, partial(load_domain, path))


def _refusal(read: Callable[[], object]) -> str:
    try:
        read()
    except (InvalidCondition, InvalidDomain, ValueError) as refused:
        return str(refused)
    return ""


def measured(kind: str, name: str, read: Callable[[], str]) -> Cost:
    """Read a hostile text three times for the time, and once more for the memory."""
    seconds = []
    for _ in range(3):
        begun = thread_time()
        said = read()
        seconds.append(thread_time() - begun)
    tracemalloc.start()
    read()
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return Cost(kind, name, median(seconds), peak, said)


def table(costs: list[Cost]) -> Table:
    """Show what each text costs, the slowest first."""
    shown = Table("Kind", "Text", "Milliseconds", "MB", "Refused with")
    for cost in sorted(costs, key=lambda cost: -cost.seconds):
        said = cost.said.splitlines()[0] if cost.said else "not refused"
        said = said if len(said) <= SHOWN else f"...{said[-SHOWN:]}"
        shown.add_row(
            cost.kind, cost.name, f"{cost.seconds * 1e3:.1f}", f"{cost.peak_mb:.1f}", said
        )
    return shown


def main() -> int:
    """Print the table; 1 if a text is not refused, or not in time."""
    with tempfile.TemporaryDirectory() as folder:
        costs = [measured(*one) for one in refusals(Path(folder))]
    console = Console(markup=False, width=140)
    console.print(table(costs))
    late = [cost.name for cost in costs if cost.seconds >= MOST_S or not cost.said]
    console.print(f"{len(costs)} hostile texts; not refused in 50 ms: {', '.join(late) or 'none'}.")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
