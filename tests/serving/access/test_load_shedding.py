"""Tests how many requests a worker takes on, and in which order they begin."""

from __future__ import annotations

import asyncio

import pytest

from features.errors import Overloaded
from serving.access.load_shedding import (
    FEWEST,
    IN_POOLS,
    MOST,
    PER_TURN,
    WAIT_S,
    LoadShedding,
    too_many,
)
from serving.access.throughput import FIRST_PER_S
from serving.service import NextBestAction

DECIDE = "/v1/decide"


async def begun(shedding: LoadShedding, count: int, now_s: float = 0.0, path: str = DECIDE) -> int:
    """Begin requests until one would be refused; how many were taken on."""
    taken = 0
    for _ in range(count):
        if shedding.is_full(path, now_s):
            break
        task = asyncio.ensure_future(shedding.begin(path, now_s))
        await task
        taken += 1
    return taken


def test_a_burst_takes_as_long_as_a_request_may_wait():
    assert asyncio.run(begun(LoadShedding(), 5_000)) == FIRST_PER_S * WAIT_S


def test_a_slow_worker_takes_on_no_more_than_the_fewest():
    async def story() -> int:
        shedding = LoadShedding()
        await begun(shedding, 10)
        for second in range(10):  # one request a second ends
            shedding.end(DECIDE, float(second))
            await shedding.begin(DECIDE, float(second))
        return 10 + await begun(shedding, 5_000, 10.0)

    assert asyncio.run(story()) == FEWEST


def test_a_fast_worker_takes_on_more_and_never_more_than_the_most():
    async def story() -> int:
        shedding = LoadShedding()
        await begun(shedding, 10)
        for number in range(40_000):
            shedding.end(DECIDE, number / 10_000)
            await shedding.begin(DECIDE, number / 10_000)
        return 10 + await begun(shedding, 5_000, 4.0)

    assert asyncio.run(story()) == MOST


def test_a_request_that_ends_makes_room_for_another():
    async def story() -> list[bool]:
        shedding = LoadShedding()
        await begun(shedding, 5_000)
        full = [shedding.is_full(DECIDE, 0.0)]
        shedding.end(DECIDE, 0.0)
        return [*full, shedding.is_full(DECIDE, 0.0)]

    assert asyncio.run(story()) == [True, False]


def test_work_that_waits_in_pools_is_neither_counted_nor_refused():
    async def story() -> tuple[int, bool, bool]:
        shedding = LoadShedding()
        lift = await begun(shedding, 2_000, path="/v1/lift")
        free = not shedding.is_full(DECIDE, 0.0)
        await begun(shedding, 5_000)
        return lift, free, shedding.is_full("/v1/lift", 0.0)

    assert asyncio.run(story()) == (2_000, True, False)


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/console/", "/"])
def test_what_operators_ask_for_is_never_refused(path):
    async def story() -> bool:
        shedding = LoadShedding()
        await begun(shedding, 5_000)
        return shedding.is_full(path, 0.0)

    assert not asyncio.run(story())


def test_requests_that_come_at_once_begin_some_in_a_turn_and_in_their_order():
    async def story() -> tuple[list[int], list[int]]:
        shedding, order, by_turn = LoadShedding(), list[int](), list[int]()

        async def ask(number: int) -> None:
            await shedding.begin(DECIDE, 0.0)
            order.append(number)

        asked = [asyncio.ensure_future(ask(number)) for number in range(20)]
        while not all(one.done() for one in asked):
            before = len(order)
            await asyncio.sleep(0)
            by_turn.append(len(order) - before)
        return order, by_turn

    order, by_turn = asyncio.run(story())
    assert order == list(range(20))
    assert max(by_turn) == PER_TURN


def test_a_caller_who_hangs_up_while_it_waits_leaves_no_place_taken():
    async def story() -> int:
        shedding = LoadShedding()
        asked = [asyncio.ensure_future(shedding.begin(DECIDE, 0.0)) for _ in range(50)]
        await asyncio.sleep(0)
        for one in asked[PER_TURN:]:
            one.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        return PER_TURN + await begun(shedding, 5_000)

    assert asyncio.run(story()) == FIRST_PER_S * WAIT_S


def test_the_routes_of_pools_are_routes_of_the_service():
    assert {api.route for api in NextBestAction.apis.values()} >= set(IN_POOLS)


def test_the_refusal_says_what_to_do():
    assert isinstance(too_many(), Overloaded)
    assert str(too_many()).endswith("Send the same again after 1 s, or start more workers.")


@pytest.mark.parametrize("path", ["/v1/decide", "/v1/events", "/v1/outcomes", "/v1/other"])
def test_a_route_that_has_no_pool_is_counted(path):
    assert asyncio.run(begun(LoadShedding(), 5_000, path=path)) == FIRST_PER_S * WAIT_S
