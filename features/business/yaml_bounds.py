"""Bounds on what a YAML file may cost, checked on its events before a value is constructed.

Ten lines of aliases can stand for ten thousand million values, and nested brackets exhaust the
stack. So the events of the parser are counted first: an alias counts as what it stands for.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from features.business.yaml_mistakes import listed
from features.errors import InvalidDomain
from features.nearest_names import did_you_mean

MAX_BYTES = 5_000_000
MAX_VALUES = 250_000  # keys and values; the sixfold of a catalogue of 1,000 actions
VALUE_LENGTH = 50  # characters; a longer text counts as several values
MAX_DEPTH = 40  # of lists and mappings within each other
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # with libyaml ten times as fast


def read_text(path: Path) -> str:
    """Read a YAML file.

    Raises
    ------
    InvalidDomain
        If it is missing, too large, or not in UTF-8.
    """
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= MAX_BYTES else b""
    except OSError as error:
        raise InvalidDomain(
            f"{path} cannot be read: {_reason(error)}.",
            expected="a YAML file in UTF-8",
            remedy="Check the path and who may read the file.",
        ) from error
    if size > MAX_BYTES:
        raise InvalidDomain(
            f"{path} has {size:,} bytes.",
            expected=f"at most {MAX_BYTES:,}",
            remedy="Check the path; leave out what is not needed.",
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidDomain(
            f"{path}, line {line}: the byte 0x{content[error.start]:02x} is not UTF-8.",
            expected="a YAML file in UTF-8",
            remedy="Save the file again with the encoding UTF-8.",
        ) from error


def _reason(error: OSError) -> str:
    reasons = {
        errno.ENOENT: "there is no such file",
        errno.EISDIR: "it is a folder",
        errno.EACCES: "this user may not read it",
    }
    return reasons.get(error.errno or 0, "the system refuses it")


def check_bounds(path: Path, text: str) -> None:
    """Count the values of a YAML text, and follow its nesting and its aliases.

    Raises
    ------
    InvalidDomain
        If the text is no YAML or breaks a bound; names file, line and remedy.
    """
    counted = _Counted(path)
    try:
        for event in yaml.parse(text, Loader=LOADER):
            counted.take(event)
    except yaml.MarkedYAMLError as error:
        raise _no_yaml(path, text, _line(text, error)) from error
    except yaml.YAMLError as error:  # a character that YAML does not allow
        at = min(getattr(error, "position", 0) or 0, len(text))
        raise _no_yaml(path, text, text.count("\n", 0, at)) from error


def _line(text: str, error: yaml.MarkedYAMLError) -> int:
    """The line of an error, from 0; of a bracket that is never closed, the line where it opens."""
    lines = text.splitlines()
    marks = [mark.line for mark in (error.problem_mark, error.context_mark) if mark]
    written = (line for line in marks if line < len(lines) and lines[line].strip())
    return next(written, marks[0] if marks else 0)


def _no_yaml(path: Path, text: str, line: int) -> InvalidDomain:
    lines = text.splitlines()
    there = lines[line] if line < len(lines) else ""
    tab = "\t" in there[: len(there) - len(there.lstrip())]
    happened = "a tab indents the line" if tab else "the text cannot be read as YAML"
    return InvalidDomain(
        f"{path}, line {line + 1}: {happened} ({there.strip()[:60]!r}).",
        expected="'key: value' lines, keys of one level equally far in, brackets and quotes closed",
        remedy="Use blanks instead of the tab."
        if tab
        else "Check that line and the one before; put a text with : # [ ] { } or quotes in quotes, "
        "and one with a backslash in single ones.",
    )


@dataclass
class _Counted:
    """Counts events; ``open`` holds the anchor and the count before each open collection."""

    path: Path
    values: int = 0
    documents: int = 0
    open: list[tuple[str | None, int]] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)  # of what each anchor stands for

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 1
        self._refuse_second(event, line)
        if isinstance(event, yaml.AliasEvent):
            self.values += self._size(str(event.anchor), line)
        elif isinstance(event, yaml.CollectionStartEvent):
            self.open.append((event.anchor, self.values))
            self.values += 1
            self._refuse(len(self.open) > MAX_DEPTH, line, "nests too deep", f"{MAX_DEPTH} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = self.open.pop()
            if anchor is not None:
                self.sizes[anchor] = self.values - before
        elif isinstance(event, yaml.ScalarEvent):
            size = 1 + len(event.value) // VALUE_LENGTH
            self.values += size
            if event.anchor is not None:
                self.sizes[event.anchor] = size
        elif isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            self._refuse(self.documents > 1, line, "begins a second document", "1 document")
        self._refuse(
            self.values > MAX_VALUES,
            line,
            "makes the file stand for too many values",
            f"{MAX_VALUES:,} values, an alias counting as what it stands for, and a text as one "
            f"for each {VALUE_LENGTH} characters",
        )

    def _refuse_second(self, event: yaml.Event, line: int) -> None:
        anchor = getattr(event, "anchor", None)
        if isinstance(event, yaml.AliasEvent) or anchor is None:
            return
        if anchor in self.sizes or any(anchor == name for name, _ in self.open):
            raise InvalidDomain(
                f"{self.path}, line {line}: &{anchor} names a second value.",
                expected="each name behind & once",
                remedy="Rename one of the two.",
            )

    def _size(self, anchor: str, line: int) -> int:
        if anchor in self.sizes:
            return self.sizes[anchor]
        within = any(anchor == name for name, _ in self.open)
        names = list(self.sizes)
        raise InvalidDomain(
            f"{self.path}, line {line}: *{anchor} "
            f"{'stands within the value that it names' if within else 'names nothing above it'}.",
            expected=f"one of {listed(names)} after the *" if names else "no alias",
            remedy=did_you_mean([anchor], names) or "Write out what is meant.",
        )

    def _refuse(self, broken: bool, line: int, happened: str, most: str) -> None:
        if broken:
            raise InvalidDomain(
                f"{self.path}, line {line}: that line {happened}.",
                expected=f"at most {most}",
                remedy="Write out what is needed, and split or leave out the rest.",
            )
