"""Elements of SVG and XHTML as text: well-formed, escaped, and without inline styles.

Looks come from classes alone (`styles/pictures.css`): the Content-Security-Policy of the console
allows no style attribute.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from html import escape
from urllib.parse import quote

from features.analytics.views.lists import ListQuery

LETTER = 6.6  # about the width of a letter of 12 pixels
LONGEST = 80  # characters of a label that are shown; the rest is in its title
SVG, XHTML = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml"
# Gives the address of the list behind a number; None: the number is no link.
Address = Callable[[ListQuery], str | None]
_JOINERS = "\u200c\u200d"  # they make letters and emoji, and turn no text around
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


class Markup(str):
    """A text that is XML already, so that it is not escaped again."""

    __slots__ = ()


def no_address(_: ListQuery) -> None:
    """Give no number a link, as in a report."""


def list_address(query: ListQuery) -> str:
    """Give a number the address of its list on the page of journeys: the query, encoded."""
    return "?list=" + quote(query.model_dump_json(exclude_defaults=True), safe=",:{}")


def element(name: str, *children: str, **attributes: str | float | None) -> Markup:
    """Write an element; children that are no `Markup` are texts.

    Parameters
    ----------
    attributes
        ``class_`` is class, and ``aria_label`` is aria-label. None leaves one out; numbers are
        rounded to a tenth.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(one if isinstance(one, Markup) else text(one) for one in children)
    return Markup(f"<{name}{written}>{inside}</{name}>" if inside else f"<{name}{written}/>")


def text(content: str) -> Markup:
    """Escape a text, with its hidden marks shown."""
    return Markup(escape(visible(content), quote=True))


def visible(content: str) -> str:
    """Show control characters and marks that turn the direction of a text, such as [U+202E]."""
    if content.isprintable():
        return content
    return "".join(
        f"[U+{ord(one):04X}]"
        if unicodedata.category(one) in _HIDDEN and one not in _JOINERS
        else one
        for one in content
    )


def cut(content: str, longest: int = LONGEST) -> str:
    """Cut a text to some characters, of which the last one is then an ellipsis."""
    told = visible(content)
    return told if len(told) <= longest else told[: longest - 1].rstrip() + "…"


def label(content: str, longest: int = LONGEST, **attributes: str | float | None) -> Markup:
    """Write a text of SVG; what is cut off is in its title."""
    short = cut(content, longest)
    title = [element("title", content)] if short != visible(content) else []
    return element("text", *title, short, **attributes)


def name_of(content: str, longest: int = LONGEST) -> Markup:
    """Write a name in XHTML, apart from the direction of the text around it."""
    short = cut(content, longest)
    return element("bdi", short, title=content if short != visible(content) else None)


def link(
    address: str | None, said: str, *children: str, **attributes: str | float | None
) -> Markup:
    """Write a link of SVG; a group without an address.

    Its title is its name for people who do not see it, and is shown under the pointer.
    """
    name = "g" if address is None else "a"
    return element(name, element("title", said), *children, href=address, **attributes)


def picture(
    said: str, width: float, height: float, kind: str, *children: str, links: bool = True
) -> Markup:
    """Write the root of a picture.

    Parameters
    ----------
    said
        What the picture shows, for people who do not see it.
    kind
        Its class beside ``picture``.
    links
        Whether it has links; a picture without any is an image to a screen reader.
    """
    return element(
        "svg",
        *children,
        xmlns=SVG,
        class_=f"picture {kind}",
        role="group" if links else "img",
        aria_label=said,
        viewBox=f"0 0 {_value(width)} {_value(height)}",
        width=width,
        height=height,
    )


def hatching(name: str) -> Markup:
    """Write two patterns, ``<name>-hatch`` and ``<name>-dots``: a sign beside the colour."""
    size: dict[str, str | float] = {"width": 7, "height": 7, "patternUnits": "userSpaceOnUse"}
    return element(
        "defs",
        element(
            "pattern", element("path", d="M0 7L7 0", class_="hatch"), id=f"{name}-hatch", **size
        ),
        element(
            "pattern", element("circle", cx=3, cy=3, r=1.3, class_="dot"), id=f"{name}-dots", **size
        ),
    )


def _value(value: str | float) -> str:
    if isinstance(value, str):
        return value if isinstance(value, Markup) else text(value)
    return f"{value:.1f}".removesuffix(".0")
