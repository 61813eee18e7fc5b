"""Parses a YAML text into values, and keeps the nodes, which know the lines.

PyYAML alone does not keep the line of a value, takes the last of two equal keys without a warning,
and makes values that JSON does not have. Such keys and values are collected as mistakes, and the
rest of the file is read, so that its mistakes are found in the same reading.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import yaml

from features.business.yaml_bounds import LOADER, check_bounds, read_text
from features.business.yaml_mistakes import Mistake, Where
from features.errors import InvalidDomain

_PREFIX = "tag:yaml.org,2002:"
TEXT, MAPPING, LIST = f"{_PREFIX}str", f"{_PREFIX}map", f"{_PREFIX}seq"
MERGE = f"{_PREFIX}merge"
READ_AS = {
    "bool": "true or false",
    "null": "null",
    "int": "a number",
    "float": "a number",
    "timestamp": "a date",
    "value": "a sign of YAML itself",
}
_WHOLE = {
    "bool": "true or false",
    "int": "an integer",
    "float": "a number",
    "timestamp": "a day of the calendar, such as 2026-03-01, or a time of it",
}
_QUOTE = "Put it in quotes, if it is a text."
_RENAME = "Rename or delete one of the two."
_NO_KEY = "has a list or a mapping as a key"
_LONGEST = 100  # characters of a number: 1:00:00... in base 60 costs the square of its length
JSON_VALUE = "a text, a number, true, false, null, a list or a mapping"


class YamlFile:
    """A YAML file as values, with the line of each.

    Raises
    ------
    InvalidDomain
        If the file cannot be read, breaks a bound of `yaml_bounds`, or holds no mapping.

    Attributes
    ----------
    content : dict
        The values. A key or a value of a kind that JSON does not have stands there as a text.
    mistakes : list of Mistake
        Those keys and values, and keys that stand twice.
    """

    def __init__(self, path: Path) -> None:
        text = read_text(path)
        check_bounds(path, text)
        loader = LOADER(text)
        try:
            node = loader.get_single_node()
            if not isinstance(node, yaml.MappingNode):
                raise InvalidDomain(
                    f"{path} holds no mapping.",
                    expected="lines such as 'name: grocery'",
                    remedy="Start from a file in features/domains/.",
                )
            self.mistakes: list[Mistake] = []
            self._node = node
            self._probe: Any = yaml.constructor.SafeConstructor()
            self._seen: set[int] = set()
            self._by_key: dict[int, dict[str, Any]] = {}
            self._check(node, ())
            self.content: dict[str, Any] = loader.construct_document(node)
        finally:
            loader.dispose()

    def line(self, where: Where) -> int:
        """Find the line of the deepest part of ``where`` that is in the file."""
        return self._find(where)[1]

    def written(self, where: Where) -> str | None:
        """The value as it is written, if it is a text without quotes that YAML reads otherwise."""
        node, _, whole = self._find(where)
        plain = isinstance(node, yaml.ScalarNode) and not node.style and node.tag != TEXT
        return str(node.value) if whole and plain else None

    def read_as(self, where: Where) -> str:
        """The kind of value that YAML reads there."""
        return _kind(self._find(where)[0].tag)

    def _find(self, where: Where) -> tuple[yaml.Node, int, bool]:
        node: yaml.Node = self._node
        line = node.start_mark.line + 1
        for part in where:
            if isinstance(node, yaml.MappingNode):
                pair = self._pairs(node).get(str(part))
                found = [pair] if pair else []
            elif isinstance(node, yaml.SequenceNode) and str(part).isdecimal():
                found = [(item, item) for item in node.value[int(part) : int(part) + 1]]
            else:
                found = []
            if not found:
                return node, line, False
            line, node = found[0][0].start_mark.line + 1, found[0][1]
        return node, line, True

    def _pairs(self, node: Any) -> dict[str, Any]:
        if id(node) not in self._by_key:
            # The last one counts: keys that are merged by << stand before those of the mapping.
            self._by_key[id(node)] = {key.value: (key, value) for key, value in node.value}
        return self._by_key[id(node)]

    def _check(self, node: yaml.Node, where: Where) -> None:
        if id(node) in self._seen:  # an alias: its value was checked where it is written
            return
        self._seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            self._check_scalar(node, where)
            return
        usual = MAPPING if isinstance(node, yaml.MappingNode) else LIST
        if node.tag != usual:
            self._refuse(where, node.tag, JSON_VALUE, "Leave out the tag.")
            node.tag = usual
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._check(item, (*where, index))
        else:
            self._check_pairs(node, where)

    def _check_pairs(self, node: Any, where: Where) -> None:
        lines: dict[str, int] = {}
        kept = []
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self._add(where, "a plain word as each key", _QUOTE, _NO_KEY, line)
                continue
            name, inside = str(key.value), (*where, str(key.value))
            if name in lines:
                happened = f"stands already in line {lines[name]}"
                self._add(inside, "each key once", _RENAME, happened, line)
                continue
            if key.tag not in (TEXT, MERGE):
                remedy = f'Put the key in quotes: "{name}".'
                self._refuse(inside, _kind(key.tag), "a text as the key", remedy)
                key.tag = TEXT
            lines[name] = line
            if key.tag == MERGE and not _can_be_merged(value):
                expected = "a mapping behind it, or a list of them, as in <<: *usual"
                self._add(inside, expected, "", "merges what has no keys", line)
                continue
            if key.tag != MERGE:
                self._check_scalar(key, inside)
            self._check(value, inside)
            kept.append((key, value))
        node.value = kept

    def _check_scalar(self, node: Any, where: Where) -> None:
        if node.tag in (TEXT, MERGE):
            node.tag = TEXT
            try:
                node.value.encode()
            except UnicodeEncodeError:
                self._refuse(where, "half a character", "a text of whole characters")
                node.value = ascii(node.value)
            if "\0" in node.value:
                self._refuse(where, "the character 0", "a text without it")
                node.value = node.value.replace("\0", "")
            return
        kind = node.tag.removeprefix(_PREFIX)
        if kind in ("int", "float") and len(node.value) > _LONGEST:
            self._add(where, f"a number of at most {_LONGEST} characters", _QUOTE)
            node.tag = TEXT
            return
        try:
            value = self._probe.construct_object(node)
        except Exception:  # what a tag cannot read, as in `!!int ''`; PyYAML raises many types
            self._probe.recursive_objects.clear()  # else the next value is refused, too
            value = node  # no value
        # Dates are left to the types: some keys expect one.
        if not (value is None or isinstance(value, str | int | float | date)):
            if kind in _WHOLE:
                self._add(where, _WHOLE[kind], _QUOTE)
            else:
                self._refuse(where, node.tag, JSON_VALUE, _QUOTE)
            node.tag = TEXT

    def _refuse(self, where: Where, found: str, expected: str, remedy: str = "") -> None:
        tag = f"!!{found.removeprefix(_PREFIX)}" if found.startswith(_PREFIX) else found
        self._add(where, f"{expected}, not {tag}", remedy)

    def _add(
        self, where: Where, expected: str, remedy: str, happened: str = "", line: int = 0
    ) -> None:
        self.mistakes.append(Mistake(where, expected, remedy, (), happened, line))


def _kind(tag: str) -> str:
    kind = tag.removeprefix(_PREFIX)
    return READ_AS.get(kind, f"a {kind}")


def _can_be_merged(node: yaml.Node) -> bool:
    """True for a mapping and for a list of mappings, which << puts into the one around it."""
    parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
    return all(isinstance(part, yaml.MappingNode) for part in parts)
