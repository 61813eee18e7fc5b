"""Snapshots are thinned as they grow older, and those that are kept remain whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.ledger import tables
from features.ledger.ledger import Ledger
from serving.models import snapshot_publisher, thinning
from serving.models.model_arrays import model_bytes
from serving.models.snapshot_publisher import SnapshotPublisher
from serving.models.snapshots import PARTS, Snapshot, newest_snapshot, snapshot_numbered
from serving.models.thinning import NEWEST, read_published, superfluous, thin_snapshots
from training.arrays import pack, unpack
from training.bandit.encoder import Encoder
from training.bandit.reward_model import RewardModel

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
NOON = datetime(2026, 7, 15, 12, 30, tzinfo=UTC)
CATALOGUES = ("abc", "ab", "cab")


def a_model(actions: str, values: Sequence[int]) -> RewardModel:
    """A model whose numbers of each action are one value."""
    n, each = len(actions), np.array(values[: len(actions)], dtype=np.float64)
    return RewardModel(
        encoder=Encoder.blank(),
        actions=tuple(actions),
        prior=np.full(n, 0.2),
        prior_weight=np.ones(n),
        counted=each + 1,
        rate=np.full(n, 0.5),
        drift=np.ones((1, n)),
        weights=each.reshape(1, n, 1),
        variance=each.reshape(n, 1),
        covariance=each.reshape(n, 1, 1),
        noise=1.0,
        basis=np.eye(1),
        expert_weights=np.array([1.0, 0.0]),
    )


@dataclass
class Shop:
    """Publishes models, and remembers what each snapshot was."""

    ledger: Ledger
    now: datetime
    base: str = "1"
    catalogue: str = "abc"
    values: list[int] = field(default_factory=lambda: [0, 0, 0])
    published: dict[int, bytes] = field(default_factory=dict)
    held: Snapshot | None = None

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.publisher = SnapshotPublisher(self.ledger)

    def publish(self, killed: bool = False) -> None:
        model = a_model(self.catalogue, self.values)
        packed = self.publisher.pack_model(model, self.base)
        if killed:
            self.restart()
            return
        number = self.ledger.write_now(
            lambda c: self.publisher.publish(c, self.base, packed, self.now)
        )
        self.published[number] = model_bytes(model)

    def thin(self, longest_days: float = 3.0) -> int:
        chosen = superfluous(self.ledger.read(read_published), self.now, longest_days)
        return self.ledger.write_now(lambda c: thin_snapshots(c, chosen))

    def kept(self) -> list[int]:
        columns = tables.snapshots.c
        query = sa.select(columns.sequence).where(columns.base != "").order_by(columns.sequence)
        return self.ledger.read(lambda c: [*c.execute(query).scalars()])

    def rows(self, table: sa.Table) -> list[sa.Row]:
        return self.ledger.read(lambda c: [*c.execute(sa.select(table))])

    def check(self) -> None:
        """Every kept snapshot, and the one that a worker goes on to, is what was published."""
        kept = self.kept()
        for number in kept:
            found = self.ledger.read(lambda c, n=number: snapshot_numbered(c, n))
            assert found.sequence == number
            assert model_bytes(found.model) == self.published[number]
        after = 0 if self.held is None else self.held.sequence
        found = self.ledger.read(lambda c: newest_snapshot(c, None, after, self.held))
        assert (found is None) == (not kept or kept[-1] == after)
        if found is not None:
            assert model_bytes(found.model) == self.published[found.sequence]
            self.held = found

    def check_that_nothing_else_is_left(self) -> None:
        rows, parts = set(), set()
        written = [(row.sequence, row.action_id) for row in self.rows(tables.snapshot_actions)]
        for snapshot in self.rows(tables.snapshots):
            within = [one for one in written if snapshot.since <= one[0] <= snapshot.sequence]
            newest = {action: number for number, action in sorted(within)}
            rows |= {(number, action) for action, number in newest.items()}
            parts |= {*unpack(snapshot.payload)[0][PARTS].values()}
        assert {*written} == rows
        assert {row.digest for row in self.rows(tables.snapshot_parts)} == parts
        assert {row.digest for row in self.rows(tables.snapshot_part_uses)} == parts


STEPS = st.one_of(
    st.tuples(st.just("learn"), st.lists(st.integers(0, 3), min_size=3, max_size=3)),
    st.tuples(st.just("wait"), st.sampled_from([HOUR / 4, 5 * HOUR, DAY, 9 * DAY])),
    st.tuples(st.just("catalogue"), st.sampled_from(CATALOGUES)),
    st.tuples(st.just("base"), st.sampled_from("12")),
    st.tuples(st.sampled_from(["restart", "kill", "thin"]), st.none()),
)


@pytest.mark.databases("sqlite", "postgresql")
@settings(max_examples=10, deadline=None, suppress_health_check=[*HealthCheck])
@given(steps=st.lists(STEPS, max_size=40), part_bytes=st.sampled_from([1, 60, 10_000]))
def test_every_kept_snapshot_comes_back_to_the_byte_after_any_thinning(ledger, steps, part_bytes):
    for name in ("snapshots", "snapshot_actions", "snapshot_parts", "snapshot_part_uses"):
        ledger.write_now(lambda c, n=name: c.execute(sa.delete(tables.metadata.tables[n])))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thinning, "NEWEST", 2)
        patch.setattr(thinning, "AT_ONCE", 2)
        patch.setattr(thinning, "ROWS_AT_ONCE", 3)
        patch.setattr(thinning, "PARTS_AT_ONCE", 2)
        patch.setattr(snapshot_publisher, "PART_BYTES", part_bytes)
        shop = Shop(ledger, NOON)
        for kind, given_ in steps:
            if kind == "wait":
                shop.now += given_
            elif kind in ("catalogue", "base"):
                setattr(shop, kind, given_)
            elif kind == "restart":
                shop.restart()
            elif kind == "thin":
                shop.thin()
            else:
                shop.values = given_ or shop.values
                shop.publish(killed=kind == "kill")
            shop.check()
        shop.now += 9 * DAY
        shop.publish()
        while shop.thin():
            shop.check()
        # What is left of parts goes with the next snapshot that is deleted.
        patch.setattr(thinning, "PARTS_AT_ONCE", 1_000)
        for _ in range(3):
            shop.publish()
        assert shop.thin() > 0
        while shop.thin():
            pass
        shop.check()
        shop.check_that_nothing_else_is_left()


def numbered(*times: datetime, base: str = "1") -> list[tuple[int, datetime, str]]:
    return [(number, at, base) for number, at in enumerate(times, 1)]


@pytest.fixture
def none_of_the_newest(monkeypatch) -> None:
    monkeypatch.setattr(thinning, "NEWEST", 1)


def test_the_newest_are_all_kept():
    found = numbered(*[NOON] * (NEWEST + 3))
    assert superfluous(found, NOON, 60.0) == [1, 2, 3]  # the last of the hour is later
    assert superfluous(found[:NEWEST], NOON, 60.0) == []


def test_of_each_hour_the_last_one_is_kept_for_two_days(none_of_the_newest):
    ages = [47.0, 46.9, 46.0, 1.2, 0.8, 0.0]
    found = numbered(*(NOON - age * HOUR for age in ages))
    # At 13:30, 13:36 and 14:30 two days ago; at 11:18, 11:42 and 12:30 today.
    assert superfluous(found, NOON, 60.0) == [1, 4]


def test_of_each_day_the_last_one_is_kept_for_two_windows(none_of_the_newest):
    ages = [120.0, 119.6, 119.5, 119.4, 3.2, 3.1, 2.1, 0.0]
    found = numbered(*(NOON - age * DAY for age in ages))
    # The first is of March; then 17 March at 22:06, 18 March at 0:30 and 2:54, 12 July at 7:42
    # and 10:06, 13 July.
    assert superfluous(found, NOON, 60.0) == [3, 5]


def test_of_each_month_the_last_one_is_kept_for_ever(none_of_the_newest):
    found = numbered(
        datetime(2025, 5, 1, tzinfo=UTC),
        datetime(2025, 5, 31, tzinfo=UTC),
        datetime(2026, 5, 1, tzinfo=UTC),
        datetime(2026, 5, 2, tzinfo=UTC),
        NOON,
    )
    assert superfluous(found, NOON, 14.0) == [1, 3]


def test_snapshots_of_another_base_are_thinned_apart(none_of_the_newest):
    found = [(1, NOON, "1"), (2, NOON, "2"), (3, NOON, "1"), (4, NOON, "1")]
    assert superfluous(found, NOON, 14.0) == [1, 3]


def test_a_snapshot_that_was_never_finished_goes_when_a_later_one_is(none_of_the_newest):
    found = [(1, NOON, "1"), (2, NOON, ""), (3, NOON, "")]
    assert superfluous(found, NOON, 14.0) == []
    assert superfluous([*found, (4, NOON, "2"), (5, NOON, "")], NOON, 14.0) == [2, 3]


def test_at_most_some_are_deleted_at_once(ledger, monkeypatch):
    monkeypatch.setattr(thinning, "NEWEST", 1)
    monkeypatch.setattr(thinning, "AT_ONCE", 2)
    shop = Shop(ledger, NOON)
    for number in range(6):
        shop.values = [number, 0, 0]
        shop.publish()
    assert [shop.thin() for _ in range(4)] == [2, 2, 1, 0]
    assert shop.kept() == [6]
    shop.check()
    shop.check_that_nothing_else_is_left()


def test_at_most_a_megabyte_of_payloads_is_deleted_at_once(ledger, monkeypatch):
    """Each snapshot of an earlier release has all numbers of all actions."""
    monkeypatch.setattr(thinning, "NEWEST", 1)
    monkeypatch.setattr(thinning, "BYTES_AT_ONCE", 2_000)
    shop = Shop(ledger, NOON)
    row = {"base": "1", "published_at": NOON, "payload": b"-" * 1_000}
    ledger.write_now(lambda c: c.execute(tables.snapshots.insert(), [row] * 6))
    assert [shop.thin() for _ in range(4)] == [2, 2, 1, 0]


def test_snapshots_that_another_learner_has_deleted_are_left_out(ledger, monkeypatch):
    monkeypatch.setattr(thinning, "NEWEST", 1)
    shop = Shop(ledger, NOON)
    for number in range(4):
        shop.values = [number, 0, 0]
        shop.publish()
    assert ledger.write_now(lambda c: thin_snapshots(c, [1, 2])) == 2
    assert ledger.write_now(lambda c: thin_snapshots(c, [1, 2])) == 0
    assert ledger.write_now(lambda c: thin_snapshots(c, [1, 2, 3])) == 1
    shop.check()
    shop.check_that_nothing_else_is_left()


def test_rows_before_a_snapshot_that_was_written_whole_go(ledger, monkeypatch):
    """The whole one has its rows in parts, so no later row stands for them."""
    monkeypatch.setattr(thinning, "NEWEST", 1)
    monkeypatch.setattr(snapshot_publisher, "PART_BYTES", 1)
    shop = Shop(ledger, NOON)
    for values in ([1, 1, 1], [1, 2, 1], [3, 3, 3]):
        shop.values = values
        shop.publish()
    shop.restart()
    shop.values = [4, 4, 4]
    shop.publish()
    while shop.thin():
        shop.check()
    shop.check_that_nothing_else_is_left()


def test_snapshots_of_an_earlier_release_are_read_and_thinned(ledger, monkeypatch):
    """They held all numbers; their parts named the last of them."""
    monkeypatch.setattr(thinning, "NEWEST", 1)
    shop = Shop(ledger, NOON)
    note, numbers = unpack(model_bytes(a_model("abc", [1, 2, 3])))
    part = pack({}, part=numbers.pop("basis"))
    payload = pack(note | {PARTS: {"basis": "its digest"}}, **numbers)
    row = {"digest": "its digest", "last_sequence": 2, "payload": part}
    ledger.write_now(lambda c: c.execute(tables.snapshot_parts.insert(), row))
    old = {"base": "1", "published_at": NOON, "payload": payload}
    insert = tables.snapshots.insert().returning(tables.snapshots.c.sequence)
    for _ in range(2):
        number = ledger.write_now(lambda c: c.execute(insert, old).scalar_one())
        shop.published[number] = model_bytes(a_model("abc", [1, 2, 3]))
    shop.check()
    assert shop.thin() == 1
    shop.check()
    shop.now += HOUR
    for _ in range(2):
        shop.publish()
        shop.check()
    assert (shop.thin(), shop.kept()) == (1, [2, 4])
    digests = {row.digest for row in shop.rows(tables.snapshot_parts)}
    assert "its digest" in digests, "the second snapshot of the earlier release has it"
