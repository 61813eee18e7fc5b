"""All maps at a glance, from the counts that the ledger keeps: the answer takes milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from features.analytics.nodes import MapNodes
from features.analytics.tables import HOWS
from features.analytics.upkeep.cube import MapCounts, cube_counts
from features.analytics.upkeep.kept_state import read_state, rules_of
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.lists import ListQuery, Number
from features.business.domain import Domain
from features.business.journey_rules.kinds import LIFECYCLE, JourneyKind
from features.ledger.ledger import Ledger


@dataclass(frozen=True, slots=True)
class MapOverview:
    """A map, and how many journeys are on it.

    Attributes
    ----------
    map : str
        A kind of journey, or ``lifecycle``.
    description, owner, part_of : str or None
        As the domain file says.
    journeys : Number
    how : dict
        Journeys by how they ended.
    transitions : Number
        With those from START and to END.
    ways : int
        Different sequences of steps.
    """

    map: str
    description: str
    owner: str
    part_of: str | None
    journeys: Number
    how: dict[str, Number]
    transitions: Number
    ways: int


@dataclass(frozen=True, slots=True)
class Overview:
    """All maps of a business at one version of the data."""

    as_of_us: int
    version: int
    maps: tuple[MapOverview, ...]


def overview(
    domain: Domain, nodes: MapNodes, counts_of: Callable[[str], MapCounts | None]
) -> Overview | None:
    """Make the overview from the counts of each map; None if nothing is counted yet.

    Parameters
    ----------
    counts_of
        Reads the counts of a map. All have to be of one version: they are read again if a change
        came in between.
    """
    for _ in range(5):
        found = {name: counts_of(name) for name in nodes.maps}
        known = {name: one for name, one in found.items() if one is not None}
        versions = {one.version for one in known.values()}
        if len(known) < len(found) or not found:
            return None
        if len(versions) == 1:
            break
    any_map = next(iter(known.values()))
    maps = tuple(_map(domain, name, counts) for name, counts in known.items())
    return Overview(any_map.as_of_us, any_map.version, maps)


def read_overview(ledger: Ledger, domain: Domain) -> Overview | None:
    """Read the overview from the ledger; None if nothing is counted yet for this domain file."""
    state, nodes = ledger.read(read_state), MapNodes(domain)
    if state is None or state.rules != rules_of(domain):
        return None
    return overview(domain, nodes, lambda name: cube_counts(ledger, nodes, name))


def _map(domain: Domain, name: str, counts: MapCounts) -> MapOverview:
    kind = domain.journey_kinds.get(name, JourneyKind())
    wanted = JourneyFilter(map=name)
    ways = {path for (path, _), n in counts.ways.items() if n}

    def number(n: int, relation: str = "journeys", **where: str) -> Number:
        return Number(n, ListQuery(relation=relation, filter=wanted, where=dict(where)))

    return MapOverview(
        map=name,
        description="All that happens to a customer." if name == LIFECYCLE else kind.description,
        owner=kind.owner,
        part_of=kind.part_of,
        journeys=number(sum(counts.how.values())),
        how={how: number(counts.how.get(how, 0), how=how) for how in HOWS},
        transitions=number(sum(counts.edges.values()), "transitions"),
        ways=len(ways),
    )
