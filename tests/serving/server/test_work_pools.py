"""Each kind of slow work has threads of its own, and refuses what would wait too long."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from features.errors import Overloaded
from serving.server.work_pools import WorkPool


@pytest.fixture
def pool() -> Iterator[WorkPool]:
    opened = WorkPool("lift", threads=1, most_waiting=1)
    yield opened
    opened.close()


@pytest.fixture
def go() -> Iterator[threading.Event]:
    """Lets work that waits for it go on, at the latest at the end."""
    event = threading.Event()
    yield event
    event.set()


def test_work_runs_in_a_thread_that_is_named_after_it(pool):
    thread = asyncio.run(pool.run(threading.current_thread))
    assert thread.name.startswith("nba-lift")


def test_an_error_of_the_work_is_that_of_the_call(pool):
    with pytest.raises(ValueError, match="invalid literal"):
        asyncio.run(pool.run(int, "x"))
    assert asyncio.run(pool.run(int, "7")) == 7


def test_a_call_too_many_is_refused_until_another_ends(pool, go):
    async def story() -> None:
        calls = [asyncio.create_task(pool.run(go.wait, 10)) for _ in range(2)]
        await asyncio.sleep(0)  # lets them begin; no time passes
        with pytest.raises(Overloaded, match=r"^2 requests for lift wait .* in a second\.$"):
            await pool.run(int, "1")
        go.set()
        assert await asyncio.gather(*calls) == [True, True]
        assert await pool.run(int, "1") == 1

    asyncio.run(story())


async def one_behind_the_other(
    pool: WorkPool, go: threading.Event, made: list[str]
) -> tuple[asyncio.Task[bool], asyncio.Task[None]]:
    """A call that runs until ``go``, and one that waits for its thread."""
    running = asyncio.create_task(pool.run(go.wait, 10))
    waiting = asyncio.create_task(pool.run(made.append, "waited"))
    await asyncio.sleep(0)  # lets them begin; no time passes
    return running, waiting


def test_a_call_that_is_cancelled_while_it_waits_is_not_made_and_frees_its_place(pool, go):
    made: list[str] = []

    async def story() -> None:
        running, waiting = await one_behind_the_other(pool, go, made)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        next_one = asyncio.create_task(pool.run(made.append, "next"))
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(running, next_one)

    asyncio.run(story())
    assert made == ["next"]


def test_one_pool_does_not_wait_for_another(pool, go):
    async def story() -> None:
        slow = asyncio.create_task(pool.run(go.wait, 10))
        other = WorkPool("reads", threads=1, most_waiting=0)
        assert await other.run(int, "1") == 1
        other.close()
        go.set()
        await slow

    asyncio.run(story())


def test_equal_calls_share_one_until_it_ends(pool, go):
    made: list[str] = []

    def work(name: str) -> str:
        go.wait(10)
        made.append(name)
        return name

    async def story() -> None:
        names = ("a", "a", "b", "a")
        calls = [asyncio.create_task(pool.share(name, work, name)) for name in names]
        await asyncio.sleep(0)  # lets them begin; no time passes
        go.set()
        assert tuple(await asyncio.gather(*calls)) == names
        assert await pool.share("a", work, "a") == "a"

    asyncio.run(story())
    assert made == ["a", "b", "a"]


def test_one_caller_who_hangs_up_does_not_stop_the_call_of_others(pool, go):
    async def story() -> None:
        calls = [asyncio.create_task(pool.share("a", go.wait, 10)) for _ in range(2)]
        await asyncio.sleep(0)  # lets them begin; no time passes
        calls[0].cancel()
        await asyncio.sleep(0)
        go.set()
        assert await calls[1]

    asyncio.run(story())


def test_a_shared_call_that_fails_does_so_for_all_and_is_made_again(pool):
    async def story() -> None:
        calls = [pool.share("a", int, "x") for _ in range(2)]
        failed = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(error) for error in failed] == [ValueError, ValueError]
        assert await pool.share("a", int, "7") == 7

    asyncio.run(story())


def test_a_closed_pool_refuses_what_waits_and_what_comes(pool, go):
    made: list[str] = []

    async def story() -> None:
        running, waiting = await one_behind_the_other(pool, go, made)
        closing = threading.Thread(target=pool.close)
        closing.start()
        with pytest.raises(Overloaded, match=r"^The server stops, .* in a second\.$"):
            await waiting
        go.set()
        closing.join()
        with pytest.raises(Overloaded, match="The server stops"):
            await pool.run(made.append, "late")
        assert await running

    asyncio.run(story())
    assert made == []
