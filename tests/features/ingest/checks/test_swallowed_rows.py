"""Finds cells that hold rows of their table, as a quote was not closed."""

from __future__ import annotations

import pytest

from features.errors import InvalidData
from features.ingest.checks.swallowed_rows import refuse_swallowed_rows

NAMES = ["event_id", "type", "occurred_at", "channel", "text", "stars"]
AT = "2026-11-22T10:00:00Z"


@pytest.mark.parametrize("lost", [f"e2,review,{AT},app,fine", f'e2,review,{AT},app,fine",5\nx'])
def test_a_line_with_a_time_in_its_place_is_a_row(lost):
    with pytest.raises(InvalidData, match="text holds a line that looks like a row of the table: "):
        refuse_swallowed_rows({"event_id": "e1", "text": f"oops,5\n{lost}"}, NAMES, ",")


@pytest.mark.parametrize(
    "text",
    [
        f"e2,review,{AT},app,fine,5",  # no line break
        "bread, eggs\nmilk, jam, tea, salt, oil, rye",
        f"a\nseen, twice, {AT}",  # less than half of a row
        f"a\n{AT}",
        f"a\ne2;review;{AT};app;fine;5",
    ],
)
def test_other_texts_of_several_lines_are_kept(text):
    refuse_swallowed_rows({"event_id": "e1", "text": text}, NAMES, ",")
    refuse_swallowed_rows({"customer_id": "c1", "text": text}, ["customer_id", "text"], ",")
