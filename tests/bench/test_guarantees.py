"""The benchmark of guarantees on a small scale: figures that do not depend on the machine's speed.

`make bench-guarantees` measures at full scale, with the speeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pytest

from tests.bench import (
    guarantees_accounts,
    guarantees_backlog,
    guarantees_fair,
    guarantees_identifiers,
    guarantees_kiosk,
    guarantees_long,
    guarantees_over_http,
    guarantees_set_aside,
    guarantees_store,
    guarantees_visible,
)
from tests.bench.guarantees_home import Home, found
from tests.bench.guarantees_report import (
    Figure,
    at_least,
    at_most,
    most_of,
    none_of,
    print_figures,
)
from tests.server import Server, running

pytestmark = pytest.mark.server
PEOPLE: dict[str, str | None] = {
    **guarantees_visible.PEOPLE,
    **guarantees_store.PEOPLE,
    **guarantees_long.PEOPLE,
    **guarantees_accounts.people(guarantees_accounts.SMALL),
    **guarantees_backlog.PEOPLE,
    **guarantees_set_aside.PEOPLE,
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A shop with the customers of all subjects; to be copied only."""
    past = [guarantees_store.events(), guarantees_long.events(guarantees_long.SMALL)]
    events = pa.concat_tables(past, promote_options="permissive")
    return found(tmp_path_factory.mktemp("guarantees"), PEOPLE, events, per_account=True)


@pytest.fixture(scope="module")
def served(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Home]]:
    """Two workers with the no-op route, and their home."""
    mine = home.copy(tmp_path_factory.mktemp("guarantees-served") / "home")
    env = {**mine.env, "NBA_WORKERS": "2", "NBA_NOOP": "true", "NBA_MODELS_EVERY_S": "1"}
    with running(mine.path, env) as server:
        server.wait_for(lambda: len(server.workers()) == 2)
        yield server, mine


def short(figures: Sequence[Figure]) -> list[Figure]:
    """Print all figures; those that are short, but for speeds: other tests run beside this one."""
    print_figures("small", figures)
    assert any(one.asked and not one.speed for one in figures)
    return [one for one in figures if not one.holds and not one.speed]


def test_a_figure_is_short_beyond_its_limit_and_where_nothing_was_measured():
    assert [at_most("a", value, 2, "s").holds for value in (2, 2.1)] == [True, False]
    assert [at_least("a", value, 2, "s").holds for value in (2, 1.9)] == [True, False]
    assert [none_of("a", found, of).holds for found, of in ((0, 5), (1, 5))] == [True, False]
    assert not none_of("a", 0, 0).holds
    assert [most_of("a", count, of).holds for count, of in ((9, 10), (8, 10), (0, 0))] == [
        *(True, False, False)
    ]


def test_an_acknowledged_event_is_shown_while_its_customer_is_busy(home, tmp_path):
    mine = home.copy(tmp_path / "home")
    assert short(guarantees_visible.measure(mine, guarantees_visible.SMALL)) == []


def test_no_decision_after_an_acknowledged_complaint_gives_a_promotion(served):
    server, _ = served
    assert short(guarantees_over_http.measure(server, guarantees_over_http.SMALL)) == []


def test_a_call_with_many_identifiers_is_answered_and_so_are_decisions_meanwhile(served):
    (server, _), small = served, guarantees_identifiers.SMALL
    customers = guarantees_long.OTHERS
    assert short(guarantees_identifiers.many_identifiers(server, customers, small)) == []


def test_customers_of_one_device_stay_several_in_any_order_of_logins(served):
    server, _ = served
    assert short(guarantees_kiosk.measure(server, guarantees_kiosk.SMALL)) == []


def test_late_events_and_links_of_long_pasts_are_shown_when_they_are_answered(served):
    assert short(guarantees_long.measure(*served, guarantees_long.SMALL)) == []


def test_a_decision_for_a_member_of_an_account_takes_as_long_as_for_anybody(served):
    server, _ = served
    assert short(guarantees_accounts.measure(server, guarantees_accounts.SMALL)) == []


def test_two_workers_answer_all_connections(served):
    server, _ = served
    small, customers = guarantees_fair.SMALL, guarantees_long.OTHERS
    assert short(guarantees_fair.load_two_workers(server, customers, small)) == []


def test_a_backlog_of_states_is_shown_in_the_background_while_events_are_answered(served):
    assert short(guarantees_backlog.measure(*served, guarantees_backlog.SMALL)) == []


def test_open_complaints_count_while_the_feature_store_is_down(served):
    assert short(guarantees_store.vanishing(*served, guarantees_store.SMALL)) == []


def test_a_past_that_cannot_be_folded_harms_nobody_else_and_is_named(served):
    assert short(guarantees_set_aside.measure(*served, guarantees_set_aside.SMALL)) == []
