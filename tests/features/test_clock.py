"""The clock says aware times in UTC, and its other hand never runs backwards."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from features.clock import monotonic_s, utc_now
from tests.commands import ROOT


def test_the_time_is_now_and_aware_of_its_zone():
    before = datetime.now(UTC)
    now = utc_now()
    assert now.utcoffset() == timedelta(0)
    assert before <= now <= datetime.now(UTC)


def test_the_monotonic_clock_does_not_run_backwards():
    first = monotonic_s()
    assert monotonic_s() >= first


# Everything else is given the time by a clock that may be a simulated one.
REAL_TIME = {
    "features/analytics/upkeep/opened.py": "where no time is given",
    "features/ingest/erasure.py": "where no clock is given",
    "features/ledger/simulated_clock.py": "the clock of a ledger without a simulated one",
    "serving/access/gate.py": "the access log",
    "serving/cli/keys.py": "the keys of the API",
    "serving/cli/steps_data.py": "an import, which needs no ledger",
    "serving/cli/steps_identity.py": "the access log",
}


def test_only_these_modules_go_by_the_real_time_whatever_the_clock_of_the_ledger():
    asks = re.compile(r"\butc_now\b")
    found = {
        str(path.relative_to(ROOT))
        for floor in ("features", "training", "serving")
        for path in (ROOT / floor).rglob("*.py")
        if asks.search(path.read_text(encoding="utf-8"))
    }
    assert found - {"features/clock.py"} == {*REAL_TIME}
