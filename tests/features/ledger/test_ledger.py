"""Tests the ledger: group commit, schema, and several ledgers at one address."""

import asyncio
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import sqlalchemy as sa

from features.errors import InvalidRequest, InvalidSetting, Overloaded
from features.ledger import ledger as ledger_module
from features.ledger.databases import LedgerClosed
from features.ledger.ledger import Ledger
from features.ledger.tables import (
    DRAW_SECRET,
    SCHEMA,
    customers,
    get_meta,
    insert_new,
    meta,
)
from features.ledger.writing import group_commit

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def _note(key, value="x"):
    """A unit of work that inserts one row and says how many were new."""
    return lambda connection: insert_new(connection, meta, [{"key": key, "value": value}])


def _keys(ledger):
    """The facts that a test noted; a new ledger notes its schema and its salt."""
    own = meta.c.key.not_in(["schema", "salt", DRAW_SECRET])
    query = sa.select(meta.c.key).where(own).order_by(meta.c.key)
    return ledger.read(lambda connection: connection.execute(query).scalars().all())


def _submit_as_one_group(ledger, units):
    """Keep the writer busy until all units wait, so that it takes them up together."""
    go = threading.Event()
    ledger.submit(lambda _: go.wait(10))
    futures = [ledger.submit(unit) for unit in units]
    go.set()
    return futures


def _keep_busy(ledger):
    """Hold the writer inside a unit; what is submitted next waits until the event is set."""
    inside, go = threading.Event(), threading.Event()
    ledger.submit(lambda _: (inside.set(), go.wait(10)))
    assert inside.wait(10)
    return go


def _commits(ledger):
    counted = []
    sa.event.listen(ledger.engine, "commit", counted.append)
    return counted


def test_what_was_answered_can_be_read_at_once(ledger):
    for number in range(20):
        assert ledger.submit(_note(f"k{number:02}")).result(10) == 1
        assert len(_keys(ledger)) == number + 1


def test_what_was_answered_can_be_read_by_a_second_ledger_at_once(ledger):
    other = Ledger(ledger.url)
    ledger.write_now(_note("k"))
    assert _keys(other) == ["k"]
    other.close()


def test_a_folder_that_is_not_there_is_made(tmp_path):
    path = tmp_path / "new" / "folder" / "ledger.db"
    Ledger(f"sqlite:///{path}").close()
    assert path.exists()


def test_rows_survive_reopening(ledger_url):
    first = Ledger(ledger_url)
    first.write_now(_note("k"))
    first.close()
    again = Ledger(ledger_url)
    assert _keys(again) == ["k"]
    again.close()


def test_a_ledger_says_which_schema_it_has_and_keeps_a_secret_of_its_own(tmp_path):
    salts = set()
    for name in ("one", "two", "one"):
        opened = Ledger(f"sqlite:///{tmp_path / name}.db")
        assert opened.read(lambda connection: get_meta(connection, "schema")) == SCHEMA
        salts.add(opened.read(lambda connection: get_meta(connection, "salt")))
        opened.close()
    assert len(salts) == 2
    assert all(len(salt) == 64 for salt in salts)


def _other_schema(path, value):
    """A ledger as another version of the program left it."""
    opened = Ledger(f"sqlite:///{path}")
    noted = meta.c.key == "schema"
    change = sa.update(meta).where(noted).values(value=value) if value else sa.delete(meta)
    opened.write_now(lambda connection: connection.execute(change))
    opened.close()


@pytest.mark.parametrize("schema", ["2", "99", None])
def test_a_ledger_of_another_schema_is_refused_with_the_remedy_and_left_as_it_is(tmp_path, schema):
    path = tmp_path / "ledger.db"
    _other_schema(path, schema)
    with pytest.raises(InvalidSetting) as caught:
        Ledger(f"sqlite:///{path}")
    assert str(caught.value) == (
        f"NBA_LEDGER_URL is sqlite:///{path}; its schema is {schema}. Expected schema {SCHEMA}. "
        "Name another ledger (or another NBA_HOME) and load your tables again."
    )
    with closing(sqlite3.connect(path)) as opened:
        found = opened.execute("SELECT value FROM meta WHERE key = 'schema'").fetchall()
    assert found == ([(schema,)] if schema else [])


def test_another_table_in_the_same_file_does_not_make_it_a_ledger_of_another_schema(tmp_path):
    path = tmp_path / "shared.db"
    with closing(sqlite3.connect(path)) as opened:
        opened.execute("CREATE TABLE notes (text TEXT)")
    ledger = Ledger(f"sqlite:///{path}")
    assert ledger.read(lambda connection: get_meta(connection, "schema")) == SCHEMA
    ledger.close()


def test_closing_finishes_what_waits(ledger_url):
    ledger = Ledger(ledger_url)
    futures = _submit_as_one_group(ledger, [_note(f"k{number}") for number in range(5)])
    ledger.close()
    assert [future.result(0) for future in futures] == [1] * 5


def test_a_unit_sees_what_its_neighbours_in_the_group_wrote(ledger):
    units = [_note("k"), lambda connection: get_meta(connection, "k"), _note("k")]
    assert [f.result(10) for f in _submit_as_one_group(ledger, units)] == [1, "x", 0]


@pytest.fixture
def no_time_passes(monkeypatch):
    """However slow the database is, no transaction has to end early."""
    monkeypatch.setattr(group_commit, "monotonic_s", lambda: 0.0)


@pytest.mark.usefixtures("no_time_passes")
def test_units_that_wait_together_share_one_commit(ledger):
    commits = _commits(ledger)
    futures = _submit_as_one_group(ledger, [_note(f"k{number}") for number in range(100)])
    assert [future.result(10) for future in futures] == [1] * 100
    # One for the unit that kept the writer busy, which some of the others may have joined.
    assert len(commits) <= 2


@pytest.mark.usefixtures("no_time_passes")
def test_units_of_one_turn_of_an_event_loop_share_one_commit(ledger):
    async def all_at_once():
        return await asyncio.gather(*(ledger.write(_note(f"k{number}")) for number in range(20)))

    commits = _commits(ledger)
    assert asyncio.run(all_at_once()) == [1] * 20
    assert len(commits) == 1


def test_closing_finishes_what_an_event_loop_has_just_written(ledger_url):
    ledger = Ledger(ledger_url)

    async def close_at_once():
        writing = asyncio.create_task(ledger.write(_note("k")))
        await asyncio.sleep(0)  # lets it begin; no time passes
        ledger.close()
        return await writing

    assert asyncio.run(close_at_once()) == 1


def test_an_event_loop_cannot_write_to_a_closed_ledger(ledger_url):
    ledger = Ledger(ledger_url)
    ledger.close()
    with pytest.raises(LedgerClosed, match="the ledger is closed"):
        asyncio.run(ledger.write(_note("k")))


def _fail(_):
    raise LookupError("only I failed")


def test_a_failing_unit_takes_none_of_its_neighbours_with_it(ledger):
    units = [_note("a"), _note("b"), _fail, _note("c"), _note("d")]
    futures = _submit_as_one_group(ledger, units)
    assert [futures[i].result(10) for i in (0, 1, 3, 4)] == [1, 1, 1, 1]
    with pytest.raises(LookupError, match="only I failed"):
        futures[2].result(10)
    assert _keys(ledger) == ["a", "b", "c", "d"]


def test_a_failing_unit_leaves_nothing_of_its_own(ledger):
    def write_then_fail(connection):
        _note("half")(connection)
        raise LookupError("too late")

    good, bad = _submit_as_one_group(ledger, [_note("whole"), write_then_fail])
    assert good.result(10) == 1
    assert isinstance(bad.exception(10), LookupError)
    assert _keys(ledger) == ["whole"]


def test_each_failing_unit_raises_its_own_error(ledger):
    units = [_fail, _note("a"), lambda _: 1 / 0]
    one, good, other = _submit_as_one_group(ledger, units)
    assert isinstance(one.exception(10), LookupError)
    assert isinstance(other.exception(10), ZeroDivisionError)
    assert good.result(10) == 1


def test_the_ledger_goes_on_after_a_failure(ledger):
    with pytest.raises(LookupError):
        ledger.write_now(_fail)
    assert ledger.write_now(_note("k")) == 1


def test_a_unit_that_was_cancelled_is_not_run_and_takes_nobody_with_it(ledger):
    go = _keep_busy(ledger)
    before, given_up, after = (ledger.submit(_note(key)) for key in ("a", "b", "c"))
    assert given_up.cancel()
    go.set()
    assert [before.result(10), after.result(10)] == [1, 1]
    assert _keys(ledger) == ["a", "c"]


def test_the_ledger_goes_on_after_all_that_waited_were_cancelled(ledger):
    go = _keep_busy(ledger)
    assert ledger.submit(_note("given up")).cancel()
    go.set()
    assert ledger.submit(_note("later")).result(10) == 1
    assert _keys(ledger) == ["later"]


def test_a_coroutine_that_gave_up_waiting_does_not_stop_the_writer(ledger):
    async def give_up(go):
        writing = asyncio.create_task(ledger.write(_note("given up")))
        await asyncio.sleep(0)  # lets it submit; no time passes
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        go.set()

    asyncio.run(give_up(_keep_busy(ledger)))
    assert ledger.submit(_note("later")).result(10) == 1
    assert _keys(ledger) == ["later"]


@pytest.mark.parametrize("written", [0, 1])
def test_a_closed_ledger_takes_no_more_work(ledger_url, written):
    closed = Ledger(ledger_url)
    for number in range(written):
        closed.write_now(_note(f"k{number}"))
    closed.close()
    with pytest.raises(LedgerClosed, match="nothing can be written any more"):
        closed.submit(_note("late"))


def test_an_event_loop_cannot_read_from_a_closed_ledger(ledger_url):
    ledger = Ledger(ledger_url)
    ledger.close()
    for read in (ledger.read_async, ledger.read_briefly):
        with pytest.raises(LedgerClosed, match=r"Send the same again in a second\."):
            asyncio.run(read(lambda _: 1))


def test_waiting_coroutines_get_their_own_results(ledger):
    async def write_all():
        return await asyncio.gather(*(ledger.write(lambda _, n=n: n) for n in range(50)))

    assert asyncio.run(write_all()) == list(range(50))


def test_two_ledgers_in_one_place_count_every_row_exactly_once(ledger_url):
    ledgers = [Ledger(ledger_url) for _ in range(2)]
    rows = [{"customer_id": f"c{number}", "attributes": "{}"} for number in range(120)]
    # Both ways of counting: a batch, and a single row.
    parts = [rows[start : start + 9] for start in range(0, 108, 9)] + [[row] for row in rows[108:]]

    def write_all(ledger):
        return sum(
            ledger.write_now(lambda connection, part=part: insert_new(connection, customers, part))
            for part in parts
        )

    with ThreadPoolExecutor(6) as pool:
        counted = list(pool.map(write_all, ledgers * 3))
    count = sa.select(sa.func.count()).select_from(customers)
    assert sum(counted) == 120
    assert ledgers[0].read(lambda connection: connection.execute(count).scalar_one()) == 120
    for ledger in ledgers:
        ledger.close()


def test_a_reader_is_not_held_up_by_a_writer(ledger):
    ledger.write_now(_note("old"))
    inside, go = threading.Event(), threading.Event()

    def write_and_wait(connection):
        _note("new")(connection)
        inside.set()
        go.wait(10)

    writing = ledger.submit(write_and_wait)
    assert inside.wait(10)
    assert _keys(ledger) == ["old"]
    go.set()
    writing.result(10)
    assert _keys(ledger) == ["new", "old"]


def test_a_refusal_is_its_callers_own_and_runs_nobody_else_twice(ledger):
    """Held up by a slow first unit, the others make one group."""
    gate, runs = threading.Event(), []

    def refuse(connection: sa.Connection) -> None:
        raise InvalidRequest("no.", expected="yes", remedy="Say yes.")

    ledger.submit(lambda connection: gate.wait(10))
    good = [ledger.submit(lambda connection, n=n: runs.append(n)) for n in range(5)]
    refused = ledger.submit(refuse)  # last, so that all the others have run by then
    gate.set()
    with pytest.raises(InvalidRequest):
        refused.result()
    for future in good:
        future.result()
    assert runs == list(range(5))


def test_an_event_loop_is_woken_once_for_all_of_its_own_in_a_group(ledger, monkeypatch):
    woken = []

    async def several():
        loop = asyncio.get_running_loop()
        go, plain = _keep_busy(ledger), loop.call_soon_threadsafe
        writes = [asyncio.create_task(ledger.write(_note(f"k{number}"))) for number in range(5)]
        await asyncio.sleep(0)  # they have asked
        monkeypatch.setattr(
            loop, "call_soon_threadsafe", lambda *asked: (woken.append(asked), plain(*asked))
        )
        go.set()
        return await asyncio.gather(*writes)

    assert asyncio.run(several()) == [1] * 5
    assert len(woken) == 1
    assert len(_keys(ledger)) == 5


def test_a_loop_that_was_closed_meanwhile_takes_no_other_s_answer_along(ledger):
    async def leave():
        asyncio.get_running_loop().create_task(ledger.write(_note("left")))
        await asyncio.sleep(0)

    go, loop = _keep_busy(ledger), asyncio.new_event_loop()
    loop.run_until_complete(leave())
    loop.close()
    other = ledger.submit(_note("stays"))
    go.set()
    assert other.result(10) == 1
    assert ledger.submit(_note("later")).result(10) == 1


def test_too_many_waiting_units_are_refused_before_they_begin(ledger, monkeypatch):
    monkeypatch.setattr(ledger_module, "MAX_WAITING", 2)
    inside, go = threading.Event(), threading.Event()

    async def story():
        ledger.submit(lambda _: (inside.set(), go.wait(10)))
        assert inside.wait(10)
        waiting = ledger.submit(_note("waits"))
        with pytest.raises(Overloaded, match=r"^2 writes wait .* Send the same again"):
            await ledger.write(_note("refused"), brief=True)
        begun = asyncio.create_task(ledger.write(_note("begun"), begun=True))
        first = asyncio.create_task(ledger.write(_note("first"), first=True))
        thread = ledger.submit(_note("of a thread"))
        await asyncio.sleep(0)  # lets it begin; no time passes
        go.set()
        await begun
        await first
        await asyncio.wrap_future(waiting)
        await asyncio.wrap_future(thread)
        await ledger.write(_note("later"))

    asyncio.run(story())
    assert _keys(ledger) == ["begun", "first", "later", "of a thread", "waits"]


def test_a_read_of_an_event_loop_runs_in_a_thread(ledger):
    def read(connection):
        return threading.current_thread().name, get_meta(connection, "schema")

    name, schema = asyncio.run(ledger.read_async(read))
    assert (name.rsplit("_", 1)[0], schema) == ("ledger-read", SCHEMA)


def test_closing_a_ledger_ends_its_reading_threads(ledger_url):
    closed = Ledger(ledger_url)
    reader = asyncio.run(closed.read_async(lambda _: threading.current_thread()))
    closed.close()
    assert not reader.is_alive()


def test_a_brief_read_of_an_event_loop_waits_for_nobody(ledger):
    names, inside, go = [], threading.Event(), threading.Event()
    on_loop = ledger.engine.dialect.name == "sqlite"

    async def read():
        def note(connection):
            names.append(threading.current_thread().name.rsplit("_", 1)[0])
            return get_meta(connection, "schema")

        def hold():
            with ledger._unwaiting.autocommit():
                inside.set()
                go.wait(10)

        assert await ledger.read_briefly(note) == SCHEMA
        if on_loop:  # another thread has the connection of the event loop
            holding = threading.Thread(target=hold)
            holding.start()
            assert inside.wait(10)
            assert await ledger.read_briefly(note) == SCHEMA
            go.set()
            holding.join()

    asyncio.run(read())
    own = threading.current_thread().name.rsplit("_", 1)[0]
    assert names == ([own, "ledger-read"] if on_loop else ["ledger-read"])


def test_a_read_that_is_not_answered_does_not_hold_up_the_event_loop(ledger):
    async def story():
        go = threading.Event()
        slow = asyncio.create_task(ledger.read_async(lambda _: go.wait(10)))
        await asyncio.sleep(0)  # lets it begin; no time passes
        assert await ledger.read_briefly(lambda c: get_meta(c, "schema")) == SCHEMA
        go.set()
        assert await slow

    asyncio.run(story())
