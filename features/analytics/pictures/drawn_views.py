"""Views as people see them: a sentence, a picture, and its table, all with the same numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from features.analytics.pictures.curve_picture import curve_picture
from features.analytics.pictures.funnel_picture import funnel_picture
from features.analytics.pictures.map_layout import lay_out
from features.analytics.pictures.map_picture import map_picture
from features.analytics.pictures.promises_picture import promises_picture
from features.analytics.pictures.sentences import (
    funnel_in_words,
    map_in_words,
    promises_in_words,
    times_in_words,
    ways_in_words,
)
from features.analytics.pictures.svg import Address, list_address
from features.analytics.pictures.tables import (
    funnel_table,
    map_table,
    promises_table,
    times_table,
    ways_table,
)
from features.analytics.pictures.ways_picture import ways_picture
from features.analytics.views.funnels.conversion_times import ConversionTimes
from features.analytics.views.funnels.funnels import Funnel
from features.analytics.views.maps.journey_map import JourneyMap
from features.analytics.views.maps.ways import Ways
from features.business.domain import Domain

# The views that have a picture, by their names in a request.
DRAWN = ("map", "funnel", "ways", "promises", "times")


@dataclass(frozen=True, slots=True)
class DrawnView:
    """A view as people see it.

    Attributes
    ----------
    sentence : str
        XHTML of one paragraph.
    picture : str
        SVG.
    table : str
        XHTML with the numbers of the picture.
    """

    sentence: str
    picture: str
    table: str


def draw_view(domain: Domain, found: Any, address: Address = list_address) -> DrawnView:
    """Draw a view of `DRAWN`.

    Parameters
    ----------
    found
        The result of the view: `JourneyMap`, `Funnel`, `Ways`, `ConversionTimes`, or a tuple of
        `PromiseView`.
    address
        Gives the address of the list behind each number.
    """
    if isinstance(found, JourneyMap):
        layout = lay_out(domain, found.map, found.nodes)
        drawn: tuple[str, str, str] = (
            map_in_words(found, address),
            map_picture(found, layout, address),
            map_table(found, layout, address),
        )
    elif isinstance(found, Funnel):
        drawn = (
            funnel_in_words(found, address),
            funnel_picture(found, address),
            funnel_table(found, address),
        )
    elif isinstance(found, Ways):
        drawn = ways_in_words(found), ways_picture(found, address), ways_table(found, address)
    elif isinstance(found, ConversionTimes):
        drawn = (
            times_in_words(found, address),
            curve_picture(found, address),
            times_table(found, address),
        )
    else:
        drawn = (
            promises_in_words(found, address),
            promises_picture(found, address),
            promises_table(found, address),
        )
    return DrawnView(*(str(one) for one in drawn))
