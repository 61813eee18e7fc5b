"""Kinds of journeys: the version that is in force, their map, and the map of the lifecycle."""

from datetime import UTC, date, datetime

import pytest
from pydantic import ValidationError

from features.business.journey_rules.kinds import Expected, JourneyKind, Lifecycle, MapRules

SECOND_US = 1_000_000


def _us(year, month, day, hour=0):
    return round(datetime(year, month, day, hour, tzinfo=UTC).timestamp()) * SECOND_US


def test_a_kind_without_rules_is_the_kind_of_a_former_file():
    kind = JourneyKind()
    assert (kind.problem, kind.lapse_days, kind.case, kind.ends_when) == (False, None, None, None)
    assert (kind.expected, kind.map) == ((), MapRules(node=("type",), lanes="channel", at_most=30))


def test_a_journey_is_judged_by_the_version_in_force_at_its_start():
    kind = JourneyKind(
        expected=[
            {"version": 1, "since": date(2026, 3, 1)},
            {"version": 3, "since": date(2026, 9, 1)},
        ]
    )
    assert kind.expected[1].since_us == _us(2026, 9, 1)
    assert kind.expected_at(_us(2026, 2, 28, 23)) is None
    assert kind.expected_at(_us(2026, 3, 1)).version == 1
    assert kind.expected_at(_us(2026, 9, 1) - 1).version == 1
    assert kind.expected_at(_us(2026, 9, 1)).version == 3


def test_one_version_needs_no_list_and_no_day():
    kind = JourneyKind(expected={"version": 1, "way": ["a", "b?"]})
    assert kind.expected == (Expected(version=1, way=("a", "b?")),)
    assert kind.expected_at(0) == kind.expected[0]


@pytest.mark.parametrize(
    "versions",
    [
        [{"version": 2}, {"version": 1, "since": "2026-01-01"}],
        [{"version": 1}, {"version": 1, "since": "2026-01-01"}],
        [{"version": 1}, {"version": 2}],
        [{"version": 1, "since": "2026-02-01"}, {"version": 2, "since": "2026-01-01"}],
    ],
)
def test_versions_and_their_days_rise(versions):
    with pytest.raises(ValidationError, match="expected: versions and their 'since' that rise"):
        JourneyKind(expected=versions)


def test_one_part_of_the_name_of_a_node_needs_no_list():
    assert MapRules(node="channel") == MapRules(node=["channel"])
    for wrong in ([], ["a", "b", "c", "d", "e"], "Not A Name"):
        with pytest.raises(ValidationError):
            MapRules(node=wrong)


@pytest.mark.parametrize("at_most", [1, 61])
def test_a_map_draws_two_to_sixty_nodes(at_most):
    with pytest.raises(ValidationError):
        MapRules(at_most=at_most)


def test_the_lifecycle_may_leave_decisions_out():
    assert Lifecycle().shown == "shown"
    assert Lifecycle(shown=None).shown is None


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"silent": "left"}, "silent: another name than those of 'left' and 'shown'"),
        ({"silent": "shown"}, "silent: another name than those of 'left' and 'shown'"),
        ({"left": "shown"}, "left: another name than that of 'shown'"),
    ],
)
def test_the_steps_of_the_lifecycle_have_three_names(names, said):
    with pytest.raises(ValidationError, match=said):
        Lifecycle(**names)


def test_the_number_of_a_version_fits_its_column():
    assert Expected(version=1_000_000_000).version == 1_000_000_000
    with pytest.raises(ValidationError, match="less than or equal to 1000000000"):
        Expected(version=20_261_129_1200)


def test_an_expected_way_has_at_most_100_steps():
    assert len(Expected(version=1, way=["looked"] * 100).way) == 100
    with pytest.raises(ValidationError, match="at most 100 items"):
        Expected(version=1, way=["looked"] * 101)
