"""Channels of journeys: switches between them, contacts off the preferred one, and times.

A contact is a step on a channel: an event, or a decision that was shown.
"""

from __future__ import annotations

from dataclasses import dataclass

from features.analytics.histogram import bucket_sql, median_p90_s
from features.analytics.journey_data import JourneyData
from features.analytics.tables import HOWS, NO_CHANNEL
from features.analytics.views import relations
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.lists import Number, Numbers
from features.analytics.views.relations import STEP_ORDER, Coded, Relation


@dataclass(frozen=True, slots=True)
class ChannelSwitch:
    """Contacts on one channel that were followed by a contact on another one, or on the same.

    Attributes
    ----------
    n : Number
        Pairs of contacts of a journey that follow each other.
    share : float
        Of the contacts on the source that were followed by any.
    median_s, p90_s : float or None
        Percentiles of the time between the two.
    """

    source: str
    target: str
    n: Number
    share: float
    median_s: float | None
    p90_s: float | None


@dataclass(frozen=True, slots=True)
class ChannelContacts:
    """Contacts on a channel, by the channel that the customer prefers.

    A customer prefers the channel of most of their events before the journey began.

    Attributes
    ----------
    contacts : Number
    preferred, other, unknown : Number
        Contacts on the preferred channel, on another one, and of customers who prefer none. They
        add up to the contacts.
    """

    channel: str
    contacts: Number
    preferred: Number
    other: Number
    unknown: Number


@dataclass(frozen=True, slots=True)
class ChannelEntry:
    """Journeys that began on a channel; None: on no channel.

    Attributes
    ----------
    share : float
        Of all journeys.
    median_s, p90_s : float or None
        Percentiles of the time from the first step to the last one, of journeys that ended.
    """

    channel: str | None
    journeys: Number
    share: float
    ended: Number
    median_s: float | None
    p90_s: float | None


@dataclass(frozen=True, slots=True)
class Channels:
    """The channels of journeys, in the order of the domain file.

    Attributes
    ----------
    map : str
    journeys : Number
    contacts : Number
        Those of all channels.
    off_preferred : Number
        Contacts on another channel than the preferred one.
    switches : tuple of ChannelSwitch
        All pairs that occur, also a channel with itself.
    by_channel : tuple of ChannelContacts
    entries : tuple of ChannelEntry
        They add up to the journeys.
    """

    map: str
    journeys: Number
    contacts: Number
    off_preferred: Number
    switches: tuple[ChannelSwitch, ...]
    by_channel: tuple[ChannelContacts, ...]
    entries: tuple[ChannelEntry, ...]


def switches(data: JourneyData, wanted: JourneyFilter) -> Relation:
    """One row for each two contacts of a journey that follow each other; at_us is the second.

    Steps without a channel are passed over.
    """
    of = relations.steps(data, wanted)
    sql = (
        "SELECT journey, customer_id, at_us, seq, from_channel, channel AS to_channel, "
        f"{bucket_sql('(at_us - before_us)')} AS gap_bucket FROM (SELECT *, lag(channel) "
        f"OVER w AS from_channel, lag(at_us) OVER w AS before_us FROM ({of.sql}) "
        f"WHERE channel <> {NO_CHANNEL} WINDOW w AS (PARTITION BY journey ORDER BY seq)) "
        "WHERE from_channel IS NOT NULL"
    )
    coded: dict[str, Coded] = {
        "journey": "number",
        "from_channel": "channel",
        "to_channel": "channel",
    }
    return Relation("switches", sql, of.parameters, coded, wanted.map, order=STEP_ORDER)


def contacts(data: JourneyData, wanted: JourneyFilter) -> Relation:
    """One row for each contact; ``is_off`` is 1 off the preferred channel, null without one."""
    of, whole = relations.steps(data, wanted), relations.journeys(data, wanted)
    sql = (
        "SELECT s.journey, s.customer_id, s.at_us, s.seq, s.node, s.channel, s.what, "
        f"j.preferred_channel, CASE WHEN j.preferred_channel <> {NO_CHANNEL} "
        "THEN (s.channel <> j.preferred_channel)::TINYINT END AS is_off "
        f"FROM ({of.sql}) s JOIN ({whole.sql}) j USING (journey) WHERE s.channel <> {NO_CHANNEL}"
    )
    coded: dict[str, Coded] = {
        "journey": "number",
        "node": "node",
        "channel": "channel",
        "what": "what",
        "preferred_channel": "channel",
    }
    parameters = (*of.parameters, *whole.parameters)
    return Relation("contacts", sql, parameters, coded, wanted.map, order=STEP_ORDER)


def channels(data: JourneyData, wanted: JourneyFilter) -> Channels:
    """Count switches between channels, contacts by channel, and journeys by their first channel.

    Raises
    ------
    InvalidRequest
        If the filter names something that the domain file does not have.
    """
    of = contacts(data, wanted)
    number = Numbers(of, wanted).number
    counted = {(code, off): n for code, off, n in of.counts(data, ["channel", "is_off"])}
    by_channel = []
    for code, name in enumerate(data.nodes.channels):
        found = {off: counted.get((code, off), 0) for off in (0, 1, None)}
        by_channel.append(
            ChannelContacts(
                channel=name,
                contacts=number(sum(found.values()), {"channel": name}),
                preferred=number(found[0], {"channel": name, "is_off": 0}),
                other=number(found[1], {"channel": name, "is_off": 1}),
                unknown=number(found[None], {"channel": name, "is_off": None}),
            )
        )
    entries = _entries(data, wanted)
    whole = Numbers(relations.journeys(data, wanted), wanted).number
    return Channels(
        map=wanted.map,
        journeys=whole(sum(one.journeys.n for one in entries)),
        contacts=number(sum(one.contacts.n for one in by_channel)),
        off_preferred=number(sum(one.other.n for one in by_channel), {"is_off": 1}),
        switches=_switches(data, wanted),
        by_channel=tuple(by_channel),
        entries=entries,
    )


def _switches(data: JourneyData, wanted: JourneyFilter) -> tuple[ChannelSwitch, ...]:
    of = switches(data, wanted)
    found = of.counted(data, ["from_channel", "to_channel", "gap_bucket"])
    number, names = Numbers(of, wanted).number, data.nodes.channels
    listed = []
    for source in range(len(names)):
        follows = found["from_channel"] == source
        for target in range(len(names)):
            rows = follows & (found["to_channel"] == target)
            if n := int(found["n"][rows].sum()):
                pair = {"from_channel": names[source], "to_channel": names[target]}
                share = n / int(found["n"][follows].sum())
                times = median_p90_s(found["gap_bucket"][rows], found["n"][rows])
                made = number(n, pair)
                listed.append(ChannelSwitch(names[source], names[target], made, share, *times))
    return tuple(listed)


def _entries(data: JourneyData, wanted: JourneyFilter) -> tuple[ChannelEntry, ...]:
    whole = relations.journeys(data, wanted)
    found = whole.counted(data, ["entry_channel", "how", "time_bucket"])
    number = Numbers(whole, wanted).number
    total, is_ended = int(found["n"].sum()), found["how"] == HOWS.index("ended")
    listed = []
    for code, name in [*enumerate(data.nodes.channels), (NO_CHANNEL, None)]:
        rows = found["entry_channel"] == code
        n, ended = int(found["n"][rows].sum()), rows & is_ended
        if n or name is not None:
            where = {"entry_channel": name}
            listed.append(
                ChannelEntry(
                    channel=name,
                    journeys=number(n, where),
                    share=n / total if total else 0.0,
                    ended=number(int(found["n"][ended].sum()), {**where, "how": "ended"}),
                    median_s=median_p90_s(found["time_bucket"][ended], found["n"][ended])[0],
                    p90_s=median_p90_s(found["time_bucket"][ended], found["n"][ended])[1],
                )
            )
    return tuple(listed)
