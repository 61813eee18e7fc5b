"""Brings texts to one Unicode spelling, and recognises placeholders that clients send as ids.

The Unicode form is NFC (Unicode Standard Annex 15). Letters are compared by their case folding
(Unicode Standard, definition D145).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

# Texts that a program writes where it has no id. They are compared as `bare` spells them.
PLACEHOLDERS = (
    *("undefined", "null", "nil", "none", "nan", "n/a", "unknown", "anonymous"),
    *("guest", "not_set", "unset", "missing", "empty", "blank", "true", "false", "default"),
    *("[object Object]", "object", "undefined undefined", "null null", "no id"),
)
# Beside the category Cf, characters that leave no mark: fillers and variation selectors.
_UNSEEN = frozenset(
    map(
        chr,
        (
            *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800),
            *(0x3164, 0xFFA0, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)),
        ),
    )
)
_NO_MARKS = str.maketrans("", "", "[](){}<>'\"`´‘’“”«»#_ \t\u00a0")
_ZEROS = re.compile(r"[0\W_]*", re.ASCII)
# A template that was sent before its variable was filled in, such as {{user_id}} or ${id}.
_TEMPLATE = re.compile(r"\{\{.*\}\}|\$\{.*\}|<%.*%>|%%.*%%", re.DOTALL)


def one_spelling(text: str) -> str:
    """Return a text in the Unicode form NFC, without unseen characters and surrounding blanks.

    Unseen are characters of the category Cf (zero-width, soft hyphen, byte order mark), variation
    selectors and fillers. Control characters stay, so that a caller can refuse them.
    """
    if text.isascii():
        return text.strip(" ")
    seen = "".join(one for one in text if not _is_unseen(one))
    return _trimmed(unicodedata.normalize("NFC", seen))


def folded(text: str) -> str:
    """Return a text in which upper and lower case are the same, in the form NFC."""
    if text.isascii():
        return text.lower()
    # Some letters fold to others only when their marks stand apart.
    apart = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", apart.casefold())


def spelled_alike(text: str) -> str:
    """Return the spelling in which names of purposes and channels are compared.

    Names that differ in case, in surrounding blanks or in their Unicode form are one name.
    """
    return folded(one_spelling(text).strip())


def decimal_digits(text: str) -> str:
    """Return the decimal digits of a text, of any script, as ASCII digits."""
    values = (unicodedata.decimal(one, None) for one in text)
    return "".join(str(value) for value in values if value is not None)


def bare(text: str) -> str:
    """Return a text folded, without brackets, quotes, blanks, underscores and number signs."""
    return folded(text).translate(_NO_MARKS)


_PLACEHOLDERS = frozenset(map(bare, PLACEHOLDERS))


class Placeholders:
    """The texts that name nobody: `PLACEHOLDERS`, and those that the domain file adds."""

    def __init__(self, added: Iterable[str] = ()) -> None:
        self._texts = _PLACEHOLDERS | {bare(one_spelling(text)) for text in added}

    def __contains__(self, text: str) -> bool:
        """Return whether a text is a placeholder, all zeros, or has no letter and no digit.

        So ``0`` and ``00000000-0000-0000-0000-000000000000`` are placeholders: they are what
        programs send for "no number". So are dashes alone, and templates such as ``{{user_id}}``.
        """
        return bare(text) in self._texts or _is_zero(text) or bool(_TEMPLATE.fullmatch(text))


def _is_zero(text: str) -> bool:
    """Return whether a text has nothing but zeros and ASCII punctuation."""
    if text.isascii():
        return _ZEROS.fullmatch(text) is not None
    kept = [one for one in text if one.isalnum() or not one.isascii()]
    return all(unicodedata.decimal(one, -1) == 0 for one in kept)


def _is_unseen(character: str) -> bool:
    return unicodedata.category(character) == "Cf" or character in _UNSEEN


def _trimmed(text: str) -> str:
    """Strip blanks, but no control characters such as a line feed."""
    begin, end = 0, len(text)
    while begin < end and unicodedata.category(text[begin]) == "Zs":
        begin += 1
    while end > begin and unicodedata.category(text[end - 1]) == "Zs":
        end -= 1
    return text[begin:end]
