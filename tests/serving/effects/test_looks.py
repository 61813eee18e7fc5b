"""Customers are looked at again after a decision, once, whatever happens between the steps."""

from __future__ import annotations

from datetime import timedelta

import pytest

from features.value_labels.later_features import look_position
from serving.effects.looks import CustomerLooks, LookStep

DAY = timedelta(days=1)
DONE = LookStep(went_on=False, is_full=False)


def looking(watched):
    return CustomerLooks(watched.ledger, watched.input, watched.read)


def test_a_customer_is_looked_at_three_days_after_the_decision_and_once(watched):
    watched.decide("d1", "ann")
    watched.decide("d2", "bob")
    looks = looking(watched)
    assert looks.step(watched.now + 2 * DAY) == DONE and not watched.asked
    assert looks.step(watched.now + 3 * DAY) == LookStep(went_on=True, is_full=False)
    assert looks.step(watched.now + 3 * DAY) == DONE
    assert watched.asked == [{"ann", "bob"}]
    same, older = watched.seen()
    assert same == b"" and len(older) == 2 + 4, "of bob the age has changed"


def test_a_customer_who_cannot_be_read_is_passed_over(watched):
    watched.decide("d1", "emma")
    watched.decide("d2", "ann")
    looks = looking(watched)
    assert looks.step(watched.now + 3 * DAY).went_on
    assert looks.step(watched.now + 3 * DAY) == DONE
    assert len(watched.seen()) == 1


def test_steps_take_up_what_a_pause_has_left(watched):
    for number in range(5):
        watched.decide(f"d{number}", "ann")
    looks, later = looking(watched), watched.now + 4 * DAY
    taken = [looks.step(later, size=2) for _ in range(4)]
    assert [one.is_full for one in taken] == [True, True, False, False]
    assert [one.went_on for one in taken] == [True, True, True, False]
    assert len(watched.seen()) == 5


class Killed(Exception):
    """The process ends."""


@pytest.mark.parametrize("moment", ["before it writes", "before the commit"])
def test_a_step_that_is_killed_is_done_by_the_next_process(watched, monkeypatch, moment):
    watched.decide("d1", "bob")
    later, write_now = watched.now + 3 * DAY, watched.ledger.write_now

    def killed(work):
        def half(connection):
            work(connection)
            raise Killed

        if moment == "before the commit":
            write_now(half)
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(watched.ledger, "write_now", killed)
        looking(watched).step(later)
    assert watched.seen() == []
    assert looking(watched).step(later).went_on
    assert len(watched.seen()) == 1
    assert watched.ledger.read(look_position).looked == 1


def test_of_two_processes_one_does_a_step(watched):
    watched.decide("d1", "bob")
    first, second, later = looking(watched), looking(watched), watched.now + 3 * DAY
    found = []

    def overtaken():
        watched.before = lambda: None
        found.append(second.step(later))

    watched.before = overtaken
    assert first.step(later).went_on and found[0].went_on
    assert watched.ledger.read(look_position).looked == len(watched.seen()) == 1
    assert first.step(later) == DONE
