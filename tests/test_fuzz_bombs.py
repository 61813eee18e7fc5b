"""Each hostile condition, wording and file of `fuzz_bombs` is refused in our own words."""

from __future__ import annotations

import re

from tests.fuzz_bombs import CONDITIONS, FILES, WORDINGS, Cost, refusals, table

OF_LIBRARIES = re.compile(r"Traceback|Error\b|unicode string|Input should|jinja|rule_engine|yaml\.")


def test_each_hostile_text_is_refused_with_a_sentence(tmp_path):
    said = {(kind, name): read() for kind, name, read in refusals(tmp_path)}
    assert len(said) == len(CONDITIONS) + len(WORDINGS) + len(FILES)
    for key, sentence in said.items():
        assert re.search(r"\w+ \w+ \w+", sentence), key
        assert not OF_LIBRARIES.search(sentence.replace(str(tmp_path), "")), sentence


def test_the_table_shows_the_slowest_text_first_and_what_is_not_refused():
    rows = table([Cost("file", "a", 0.001, 0.5, "line 1\nline 2"), Cost("file", "b", 0.2, 3, "")])
    assert list(rows.columns[1].cells) == ["b", "a"]
    assert list(rows.columns[2].cells) == ["200.0", "1.0"]
    assert list(rows.columns[4].cells) == ["not refused", "line 1"]
