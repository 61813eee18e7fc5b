"""Folds states as of moments from the events that were known then, and from nothing else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.datasets.known_states import states_at
from tests.features.live import FOLD, same_states

SECOND = 10**6
BEFORE, AT_ONCE = -3, 0  # received before it occurred, by the caller's clock; seconds


def row(at_s, known_s=None, kind="view"):
    """An event of c1 in the form in which the ledger is read; imported without ``known_s``."""
    known_s = at_s if known_s is None else known_s
    properties = '{"amount_eur": 2}' if kind == "order" else "{}"
    return ("c1", kind, "web", at_s * SECOND, properties, known_s * SECOND)


def fold(events):
    state = FOLD.empty() if events else None
    for _, kind, channel, at_us, _, _ in events:
        properties = {"amount_eur": 2} if kind == "order" else {}
        state = FOLD.advance(state, kind, channel, at_us / SECOND, properties)
    return state


def known_at(events, at_s):
    return [one for one in events if max(one[3], one[5]) <= at_s * SECOND]


def kept_at(events, at_s, built_s, every):
    """The latest state that a build at ``built_s`` kept of the time ``at_s``, packed."""
    there = [one for one in events if one[5] <= built_s * SECOND]
    found = None
    for number in range(every, len(there) + 1, every):
        inside = number < len(there) and there[number][3] == there[number - 1][3]
        if not inside and there[number - 1][3] <= at_s * SECOND:
            found = FOLD.pack(fold(there[:number]))
    return found


def are_the_folds(found, events, moments):
    for state, moment in zip(found, moments, strict=True):
        truth = fold(known_at(events, moment))
        if truth is None:
            assert state is None
        else:
            assert same_states(state, truth)
    return True


def n_at(events, *moments, kept=None):
    kept = [None] * len(moments) if kept is None else kept
    states = states_at(FOLD, events, kept, [moment * SECOND for moment in moments])
    return [0 if state is None else FOLD.events_n(state) for state in states]


def test_a_late_event_is_in_no_state_before_it_was_received():
    events = [row(1), row(5, known_s=20), row(9)]
    assert n_at(events, 0, 1, 5, 9, 19, 20, 30) == [0, 1, 1, 2, 2, 3, 3]


def test_an_imported_event_counts_from_the_time_at_which_it_occurred():
    assert n_at([row(1), row(5)], 0, 1, 4, 5) == [0, 1, 1, 2]


def test_an_event_from_a_clock_ahead_of_ours_counts_when_it_occurred():
    assert n_at([row(5, known_s=2), row(6, known_s=20)], 2, 4, 5, 6, 20) == [0, 0, 1, 1, 2]


def test_a_kept_state_with_an_event_that_was_not_known_yet_is_not_used():
    events = [row(1), row(5, known_s=20), row(9)]
    kept = FOLD.pack(fold(events))
    assert n_at(events, 9, 19, 20, kept=[kept] * 3) == [2, 2, 3]


def test_a_kept_state_that_lacks_a_late_event_is_not_used():
    events = [row(1), row(5, known_s=20), row(9)]
    kept = FOLD.pack(fold([events[0], events[2]]))
    assert n_at(events, 9, 20, kept=[kept] * 2) == [2, 3]


def test_a_kept_state_of_ignored_events_only_is_not_used():
    """The types of these events are not in the domain file any more."""
    events = [row(1, kind="gone"), row(2)]
    assert n_at(events, 1, 2, kept=[FOLD.pack(FOLD.empty())] * 2) == [0, 1]


def test_the_events_behind_a_used_kept_state_are_not_folded_again():
    class Counting:
        advanced = 0

        def __getattr__(self, name):
            return getattr(FOLD, name)

        def of(self, key):
            return self

        def advance(self, *given):
            self.advanced += 1
            return FOLD.advance(*given)

    events, counting = [row(second) for second in range(100)], Counting()
    kept = [FOLD.pack(fold(events[:64])), FOLD.pack(fold(events[:96]))]
    states = states_at(counting, events, kept, [70 * SECOND, 99 * SECOND])
    assert are_the_folds(states, events, [70, 99])
    assert counting.advanced == (71 - 64) + (100 - 96)


def test_a_planted_leak_is_noticed():
    events = [row(1), row(5, known_s=20), row(9)]
    leaky = [(*one[:5], one[3]) for one in events]  # ignores when the events were received
    states = states_at(FOLD, leaky, [None] * 2, [9 * SECOND, 25 * SECOND])
    with pytest.raises(AssertionError):
        are_the_folds(states, events, [9, 25])


histories = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.sampled_from([None, BEFORE, AT_ONCE, 1, 5, 20, 60]),
        st.sampled_from(["view", "order", "complaint", "gone"]),
    ),
    max_size=25,
)


@settings(max_examples=300, deadline=None)
@given(
    history=histories,
    moments=st.lists(st.integers(0, 110), min_size=1, max_size=12),
    built_s=st.integers(0, 110),
    every=st.integers(1, 6),
)
def test_the_state_as_of_a_moment_is_the_fold_of_the_events_known_then(
    history, moments, built_s, every
):
    events = [row(at, None if late is None else at + late, kind) for at, late, kind in history]
    events.sort(key=lambda one: one[3])
    moments.sort()
    kept = [kept_at(events, moment, built_s, every) for moment in moments]
    states = states_at(FOLD, events, kept, [moment * SECOND for moment in moments])
    assert are_the_folds(states, events, moments)
