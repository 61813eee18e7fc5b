"""The columns of journeys and steps, as they are kept in Parquet files.

`journeys` has one row for each journey, `steps` one for each step of one. Both are sorted by
customer, journey and place. Numbers of nodes, maps, channels and types are those of `MapNodes`.
"""

from __future__ import annotations

import pyarrow as pa

from features.business.domain import Domain

START, END = 65_534, 65_535  # nodes before the first step of a journey and after its last one
NO_CHANNEL = 255
NO_TYPE = 65_535
# What a step is; only events are counted as events.
EVENT, DECISION, SILENCE, LEFT = range(4)
HOWS = ("ended", "left", "lapsed", "open")  # how a journey ended
ATTRIBUTE = "a_"  # before the name of an attribute, in the columns of `journeys`
DUE = "due_"  # before the name of a promise, in the columns of `steps`
TEXT = pa.dictionary(pa.int32(), pa.string())

_JOURNEYS = (
    ("journey", pa.uint64()),
    ("customer_id", TEXT),
    ("account", TEXT),  # null: none
    ("map", pa.uint8()),
    ("case", pa.string()),  # null: none
    ("start_us", pa.int64()),
    ("end_us", pa.int64()),  # when it ended, lapsed, or the customer left; null: open
    ("last_us", pa.int64()),  # of the last step
    ("how", pa.uint8()),  # a place in `HOWS`
    ("entry", pa.uint16()),  # nodes
    ("exit", pa.uint16()),
    ("steps", pa.uint32()),
    ("events", pa.uint32()),  # those of the steps that are events
    ("path", pa.uint64()),  # hash of the nodes in their order
    ("entry_channel", pa.uint8()),
    # The channel of most of the customer's events before; `NO_CHANNEL`: none, or two with as many.
    ("preferred_channel", pa.uint8()),
    ("persona", TEXT),  # as of the start
    ("version", pa.int32()),  # of what was expected; null: nothing was
    # When it changes without an event: it lapses, or the customer falls silent or has left.
    ("due_us", pa.int64()),
)
_STEPS = (
    ("journey", pa.uint64()),
    ("customer_id", TEXT),
    ("map", pa.uint8()),
    ("seq", pa.uint32()),  # from 0
    ("node", pa.uint16()),
    ("next_node", pa.uint16()),  # `END` after the last step
    ("at_us", pa.int64()),
    ("gap_bucket", pa.uint16()),  # of the time to the next step; `histogram.NO_BUCKET`: none
    ("channel", pa.uint8()),
    ("what", pa.uint8()),
    ("type", pa.uint16()),
)


def journeys_schema(domain: Domain) -> pa.Schema:
    """Return the columns of `journeys`, with one for each attribute of the business."""
    attributes = ((f"{ATTRIBUTE}{name}", TEXT) for name in domain.attributes)
    return pa.schema([*_JOURNEYS, *attributes])


def steps_schema(domain: Domain) -> pa.Schema:
    """Return the columns of `steps`, with one for each promise whose time a property tells."""
    return pa.schema([*_STEPS, *((f"{DUE}{name}", pa.int64()) for name in told_promises(domain))])


def told_promises(domain: Domain) -> tuple[str, ...]:
    """Name the promises whose time a property tells, in the order of the file."""
    return tuple(
        dict.fromkeys(
            name
            for kind in domain.journey_kinds.values()
            for expected in kind.expected
            for name, promise in expected.promises.items()
            if promise.within is not None
        )
    )
