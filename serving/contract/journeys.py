"""Request and answer types of `/v1/journeys`: maps, funnels, ways, times and promises.

One request type for all views. Each number of an answer comes with the query of its list: sent as
``{"view": "list", "list": ...}`` it returns the journeys behind the number.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from features.analytics.pictures.drawn_views import DrawnView
from features.analytics.upkeep.overview import Overview
from features.analytics.views.choices import FilterChoices
from features.analytics.views.comparisons.comparison import MapComparison
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.funnels.conversion_times import ConversionDefinition, ConversionTimes
from features.analytics.views.funnels.funnel_definition import FunnelDefinition
from features.analytics.views.funnels.funnels import Funnel
from features.analytics.views.funnels.next_journeys import NextDefinition, NextJourneys
from features.analytics.views.lists import ListQuery
from features.analytics.views.maps.breakdowns import Breakdown
from features.analytics.views.maps.channels import Channels
from features.analytics.views.maps.journey_map import JourneyMap
from features.analytics.views.maps.loops import Loops
from features.analytics.views.maps.ways import Ways
from features.analytics.views.promised.conformance import ConformanceView
from features.analytics.views.promised.promises import PromiseView
from features.journeys.events import UtcTime
from serving.contract.requests import Request

MAX_ROWS = 1_000
View = Literal[
    "overview",
    "page",
    "map",
    "ways",
    "loops",
    "channels",
    "breakdown",
    "funnel",
    "times",
    "next",
    "compare",
    "promises",
    "conformance",
    "list",
]
# The fields that a view needs, and those of no other view.
NEEDS: dict[str, tuple[str, ...]] = {
    "breakdown": ("by",),
    "times": ("times",),
    "compare": ("against",),
    "list": ("list",),
}


class JourneysRequest(Request):
    """A question about journeys.

    ``overview`` counts the journeys of all maps. ``page`` is the map, the funnel, the ways and the
    promises in one answer.
    """

    view: View = Field("page", examples=["page"])
    filter: JourneyFilter = JourneyFilter()
    known_at: UtcTime | None = Field(
        None, description="As it was known then: without what came later. A time that has passed."
    )
    at_most: Annotated[int, Field(ge=2, le=60)] | None = None  # nodes that are drawn
    most_edges: Annotated[int, Field(ge=1)] | None = None  # of a map; the others are other ways
    hidden: Annotated[tuple[str, ...], Field(max_length=60)] = ()  # nodes that are left out
    funnel: FunnelDefinition | None = None  # default: the stages of the map
    by: str | None = None  # an attribute, or persona, account, entry_channel, start_day
    times: ConversionDefinition | None = None  # from which step to which one
    next: NextDefinition = NextDefinition()
    against: JourneyFilter | Literal["expected"] | None = None
    list: ListQuery | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_ROWS)] = 20  # rows of a list, or ways
    after: Annotated[int, Field(ge=0, le=10_000_000)] = 0  # rows of a list before the first one
    picture: bool = False  # also drawn, as SVG and a table

    @model_validator(mode="after")
    def _fields_of_the_view(self) -> Self:
        for view, names in NEEDS.items():
            for name in names:
                given = getattr(self, name) is not None
                if given != (self.view == view):
                    verb = "is missing; send it" if self.view == view else "belongs"
                    raise ValueError(f"{name} {verb} with the view {view}, and with no other")
        return self


class JourneysAnswer(BaseModel):
    """A view of journeys; the fields of other views are null."""

    view: View
    unit: Literal["journeys"] = "journeys"
    filter: JourneyFilter
    as_of: datetime  # up to then all is counted
    age_s: float
    waiting: int  # customers with later events, which are not counted yet
    data_version: int
    zone: str = "UTC"  # of the business: a day of the filter begins at midnight there
    known_at: datetime | None = None
    erased: int = 0  # customers who were erased since `known_at`, and are missing
    overview: Overview | None = None
    map: JourneyMap | None = None
    ways: Ways | None = None
    loops: Loops | None = None
    channels: Channels | None = None
    breakdown: Breakdown | None = None
    funnel: Funnel | None = None
    times: ConversionTimes | None = None
    next: NextJourneys | None = None
    compare: MapComparison | None = None
    promises: tuple[PromiseView, ...] | None = None
    conformance: tuple[ConformanceView, ...] | None = None
    rows: list[dict[str, Any]] | None = None  # of a list
    total: int | None = None  # length of the list
    choices: FilterChoices | None = None  # of the page: the values that the filter can have
    drawn: dict[str, DrawnView] = {}  # by view: a sentence, a picture and its table
