"""The benchmark of guarantees on a small scale: figures that do not depend on the machine's speed.

`make bench-guarantees` measures at full scale, with the speeds.
"""

from __future__ import annotations

from tests.bench.guarantees_report import at_least, at_most, most_of, none_of


def test_a_figure_is_short_beyond_its_limit_and_where_nothing_was_measured():
    assert [at_most("a", value, 2, "s").holds for value in (2, 2.1)] == [True, False]
    assert [at_least("a", value, 2, "s").holds for value in (2, 1.9)] == [True, False]
    assert [none_of("a", found, of).holds for found, of in ((0, 5), (1, 5))] == [True, False]
    assert not none_of("a", 0, 0).holds
    assert [most_of("a", count, 10).holds for count in (9, 8)] == [True, False]
