"""Pictures that stand alone, with their looks inside: for a notebook, or a file of their own."""

from __future__ import annotations

from pathlib import Path

from features.analytics.pictures.svg import Markup, element

_STYLE = Path(__file__).parent / "styles" / "pictures.css"


def style() -> str:
    """Return the looks of all pictures and tables, as CSS."""
    return _STYLE.read_text(encoding="utf-8")


def standalone(picture: str) -> str:
    """Put the looks into a picture; elsewhere, a page links them once for all its pictures."""
    root, bracket, rest = picture.partition(">")
    return f"{root}{bracket}{element('style', Markup(style()))}{rest}"
