"""Names the encoding of a text file, and the first byte that the encoding does not have."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import IO

from features.errors import InvalidData, InvalidSetting, quoted

UTF_8 = "utf-8"
PART_BYTES = 1 << 20  # decoded at once
_ENDS_OF_CELLS = re.compile(rb'[\n\r,;\t"]')


def checked_encoding(name: str) -> str:
    """Return the name of an encoding of texts as Python spells it.

    Raises
    ------
    InvalidSetting
        If Python does not know it.
    """
    try:
        "a".encode(name)  # refuses codecs that are none of texts, such as hex
        found = codecs.lookup(name).name
    except (LookupError, ValueError):
        raise InvalidSetting(
            f"encoding is {quoted(name)}.",
            expected="an encoding that Python knows, such as utf-8, cp1252, latin-1 or utf-16",
            remedy="Correct --encoding, or leave it out for UTF-8.",
        ) from None
    return UTF_8 if found == "utf-8-sig" else found


def first_wrong_byte(file: IO[bytes], encoding: str) -> str | None:
    """Find the first byte that the encoding does not have; None if there is none.

    Returns
    -------
    str or None
        A clause that names the line and the byte.
    """
    decoder, line = codecs.getincrementaldecoder(encoding)(), 1
    while True:
        part = file.read(PART_BYTES)
        try:
            line += decoder.decode(part, final=not part).count("\n")
        except UnicodeDecodeError as error:
            line += error.object[: error.start].count(b"\n")
            byte = f"the byte 0x{error.object[error.start]:02X}"
            happened = f"line {line} holds {byte}, which is not {encoding.upper()}"
            if encoding == UTF_8:
                happened += f" ({_cell_at(error.object, error.start)!r} in cp1252)"
            return happened
        except UnicodeError:  # UTF-16 without its mark
            return f"it does not begin as {encoding.upper()} does"
        if not part:
            return None


def in_another_encoding(file: Path, happened: str, likely: str = "cp1252") -> InvalidData:
    """Make the error for a file that is in another encoding than was named."""
    return InvalidData(
        f"{file} cannot be read: {happened}.",
        expected="a table in UTF-8, or in the encoding that --encoding names",
        remedy=f"Save it as 'CSV UTF-8', or pass its encoding, such as --encoding {likely}.",
    )


def _cell_at(content: bytes, place: int) -> str:
    """Return the cell around a byte, at most 40 characters, as Windows in Western Europe reads it.

    This is the most frequent encoding beside UTF-8.
    """
    before = _ENDS_OF_CELLS.split(content[max(place - 20, 0) : place])[-1]
    after = _ENDS_OF_CELLS.split(content[place : place + 20])[0]
    return (before + after).decode("cp1252", "replace")
