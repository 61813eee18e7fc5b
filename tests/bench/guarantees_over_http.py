"""Checks over HTTP that the decision after an acknowledged complaint gives no promotion.

Meanwhile other callers send events of the same customer, or of its colleagues, so that each commit
brings newer events of the same state. After the complaint is closed promotions are given again,
which shows that the check can fail.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import NamedTuple

import numpy as np

from tests.bench.guarantees_home import event, promotions_for, send, serving_shop
from tests.bench.guarantees_load import beside
from tests.bench.guarantees_report import Figure, most_of, none_of, told
from tests.bench.guarantees_visible import COLLEAGUES, CUSTOMER, PEOPLE
from tests.server import Server

JITTER_S = 0.006


class ComplaintsSize(NamedTuple):
    """The number of complaints of each of the two scenes, and of callers of other events."""

    complaints: int
    others: int


FULL, SMALL = ComplaintsSize(500, 8), ComplaintsSize(10, 6)


class Scene(NamedTuple):
    """The customer who complains, the one who is decided for, and those who send other events."""

    name: str
    complains: str
    decided_for: str
    others: list[str]


SCENES = (
    Scene("complaint of a busy customer", CUSTOMER, CUSTOMER, [CUSTOMER]),
    Scene("complaint of a colleague", COLLEAGUES[0], COLLEAGUES[1], COLLEAGUES[2:]),
)


def run(size: ComplaintsSize = FULL) -> list[Figure]:
    """Run both scenes on a server of two workers in a new home."""
    with serving_shop(PEOPLE, NBA_WORKERS="2") as (server, _):
        return measure(server, size)


def measure(server: Server, size: ComplaintsSize) -> list[Figure]:
    """Run both scenes on a server of two workers whose home knows `PEOPLE`."""
    return [figure for scene in SCENES for figure in _scene(server, scene, size)]


def _scene(server: Server, scene: Scene, size: ComplaintsSize) -> list[Figure]:
    pair = server.of_each_worker(2)
    missed, again, times = 0, 0, []
    began = time.monotonic()
    with _busy(server, scene, size.others) as sent:
        for number in range(size.complaints):
            writer, reader = pair[number % 2], pair[number // 2 % 2]
            name = f"{scene.complains}-complaint-{number}"
            asked = time.perf_counter()
            send(writer, event(f"{name}-opened", scene.complains, "complaint_opened"))
            times.append((time.perf_counter() - asked) * 1000)
            missed += bool(promotions_for(reader, scene.decided_for))
            send(writer, event(f"{name}-closed", scene.complains, "complaint_closed"))
            again += bool(promotions_for(reader, scene.decided_for))
    rate = len(sent) / (time.monotonic() - began)
    complaints = size.complaints
    return [
        none_of(f"{scene.name}: promotions in the next decision", missed, complaints),
        most_of(f"{scene.name}: promotions after it was closed", again, complaints),
        told(f"{scene.name}: longest call of a complaint", max(times), "ms"),
        told(f"{scene.name}: other events meanwhile", rate, "a second"),
    ]


@contextmanager
def _busy(server: Server, scene: Scene, callers: int) -> Iterator[list[str]]:
    """Send visits of the other customers all the time; their ids."""
    over = threading.Event()
    numbers = count()
    sent: list[str] = []
    failed: list[object] = []

    def call(place: int) -> None:
        rng, mine = np.random.default_rng(place), server.again()
        try:
            while not over.wait(rng.uniform(0, JITTER_S)):
                name = f"{scene.complains}-other-{next(numbers)}"
                send(mine, event(name, str(rng.choice(scene.others))))
                sent.append(name)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=call, args=(place,)) for place in range(callers)]
    with beside(threads, over):
        yield sent
    assert not failed, failed[:3]
