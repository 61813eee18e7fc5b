"""Labels moments with what happened next, exactly up to the end of the window."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from features.business.label_definitions import Churn, Intent, Moments
from features.datasets.labels import churn_moments, intent_moments
from features.errors import InvalidData
from features.ledger import tables
from features.ledger.tables import insert_new

MOMENT = datetime(2026, 1, 31, tzinfo=UTC)
DAY, TICK = timedelta(days=1), timedelta(microseconds=1)
NO_SHIFT = timedelta(0)
SETTLED = 20 * DAY  # how far the labels of the toy business look ahead


@pytest.fixture
def one_moment(toy_domain):
    """The toy business with one moment, ``MOMENT``."""
    plan = Moments(
        first=date(2026, 1, 31), last=date(2026, 2, 1), test_from=date(2026, 2, 1), every_days=7
    )
    return toy_domain.model_copy(update={"moments": plan})


@pytest.fixture
def ordered(ledger):
    """Puts orders into the ledger: times from ``MOMENT``, each with its kind or None.

    A third value is the time at which a live order was received.
    """

    def put(customer_id, *orders, event_type="order"):
        rows = [
            {
                "event_id": f"{customer_id}-{event_type}-{number}",
                "customer_id": customer_id,
                "subject": customer_id,
                "type": event_type,
                "occurred_at": MOMENT + after,
                "channel": "app",
                "properties": json.dumps({"amount_eur": 1} | ({"kind": kind} if kind else {})),
                "received_at": MOMENT + came[0] if came else None,
            }
            for number, (after, kind, *came) in enumerate(orders)
        ]
        ledger.write_now(lambda connection: insert_new(connection, tables.events, rows))
        return ledger

    return put


def _times(*after):
    return [(time, "small") for time in after]


@pytest.mark.parametrize(
    ("orders", "label"),
    [
        ([-30 * DAY], 1),
        ([-30 * DAY - TICK], None),
        ([0 * DAY], 1),
        ([TICK], None),
        ([-DAY, TICK], 0),
        ([-DAY, 20 * DAY], 0),
        ([-DAY, 20 * DAY + TICK], 1),
        ([-90 * DAY, -DAY], 1),
        ([-90 * DAY, 5 * DAY], None),
    ],
)
def test_churn_is_silence_of_the_active_exactly_up_to_the_border(
    ordered, one_moment, orders, label
):
    ordered("end", *_times(SETTLED))
    moments = churn_moments(ordered("c1", *_times(*orders)), one_moment, NO_SHIFT)
    assert moments["label"].tolist() == ([] if label is None else [label])
    assert moments["event_timestamp"].tolist() == ([] if label is None else [MOMENT])


def test_only_the_event_that_the_domain_names_breaks_the_silence(ordered, one_moment):
    ordered("end", *_times(SETTLED))
    ordered("c1", *_times(-DAY))
    ledger = ordered("c1", *_times(DAY), event_type="visit")
    assert churn_moments(ledger, one_moment, NO_SHIFT)["label"].tolist() == [1]


def test_customers_are_labelled_by_their_own_events(ordered, one_moment):
    ordered("a", *_times(-DAY))
    ordered("b", *_times(-DAY, DAY))
    ledger = ordered("c", *_times(DAY, SETTLED))
    moments = churn_moments(ledger, one_moment, NO_SHIFT)
    assert dict(zip(moments["customer_id"], moments["label"], strict=True)) == {"a": 1, "b": 0}


@pytest.mark.parametrize(
    ("orders", "label"),
    [
        ([(-DAY, "small"), (20 * DAY, "big")], 1),
        ([(-DAY, "big"), (DAY, "small"), (2 * DAY, "big")], 0),
        ([(-DAY, "small"), (20 * DAY + TICK, "big")], None),
        ([(-DAY, "small")], None),
        ([(-30 * DAY, "small"), (DAY, "big")], 1),
        ([(-30 * DAY - TICK, "small"), (DAY, "big")], None),
        ([(0 * DAY, "big"), (DAY, "small")], 0),
        ([(DAY, "big")], None),
        ([(-DAY, None), (DAY, "big")], 1),
        ([(-DAY, "small"), (DAY, None)], None),
        ([(-DAY, "small"), (DAY, None), (2 * DAY, "big")], None),
    ],
)
def test_intent_is_the_kind_of_the_next_order_if_it_comes_in_time(
    ordered, one_moment, orders, label
):
    ordered("end", *_times(SETTLED))
    moments = intent_moments(ordered("c1", *orders), one_moment, NO_SHIFT)
    assert moments["label"].tolist() == ([] if label is None else [label])


@pytest.mark.parametrize("ask", [churn_moments, intent_moments], ids=["churn", "intent"])
@pytest.mark.parametrize(
    ("orders", "label"),
    [
        ([(-DAY, "small", DAY)], None),
        ([(-DAY, "small", 0 * DAY)], 0),
        ([(-40 * DAY, "small"), (-DAY, "small", TICK)], None),
        ([(-30 * DAY, "small"), (-DAY, "small", DAY)], 0),
        ([(-DAY, "small", -2 * DAY)], 0),
    ],
)
def test_who_is_active_follows_from_the_events_received_by_the_moment(
    ordered, one_moment, ask, orders, label
):
    """The next order is late as well, but a label is about what happened."""
    ordered("end", *_times(SETTLED))
    moments = ask(ordered("c1", *orders, (DAY, "small", 40 * DAY)), one_moment, NO_SHIFT)
    assert moments["label"].tolist() == ([] if label is None else [label])


def test_the_protocol_moves_with_the_data(ordered, one_moment):
    ordered("end", *_times(7 * DAY + SETTLED))
    ledger = ordered("c1", *_times(7 * DAY))
    assert churn_moments(ledger, one_moment, NO_SHIFT).empty
    moments = churn_moments(ledger, one_moment, 7 * DAY)
    assert moments["event_timestamp"].tolist() == [MOMENT + 7 * DAY]


@pytest.mark.parametrize("ask", [churn_moments, intent_moments], ids=["churn", "intent"])
@pytest.mark.parametrize(
    ("end", "days"),
    [
        (60 * DAY, [0, 7, 14]),
        (14 * DAY + SETTLED, [0, 7, 14]),
        (14 * DAY + SETTLED - TICK, [0, 7]),
        (7 * DAY + SETTLED, [0, 7]),
        (SETTLED, [0]),
    ],
)
def test_the_protocol_asks_until_its_last_day_or_the_last_settled_one(
    ordered, toy_domain, ask, end, days
):
    plan = Moments(
        first=date(2026, 1, 31), last=date(2026, 2, 14), test_from=date(2026, 2, 14), every_days=7
    )
    domain = toy_domain.model_copy(update={"moments": plan})
    ordered("end", *_times(end))
    ledger = ordered("c1", *_times(*(day * DAY for day in range(-1, 20))))
    moments = ask(ledger, domain, NO_SHIFT)
    moments = moments[moments["customer_id"] == "c1"]
    assert moments["event_timestamp"].tolist() == [MOMENT + day * DAY for day in days]


@pytest.mark.parametrize("ask", [churn_moments, intent_moments], ids=["churn", "intent"])
def test_a_protocol_that_begins_after_the_last_settled_moment_is_refused(ordered, one_moment, ask):
    ledger = ordered("c1", *_times(-DAY, SETTLED - TICK))
    with pytest.raises(InvalidData, match=r"The ledger is too short.*Load a longer history"):
        ask(ledger, one_moment, NO_SHIFT)


@pytest.mark.parametrize("ask", [churn_moments, intent_moments], ids=["churn", "intent"])
def test_a_ledger_too_short_for_a_past_and_a_future_says_how_long_it_must_be(
    ordered, toy_domain, ask
):
    # 30 days to know who is active, and 20 to see what they did next.
    ledger = ordered("c1", *_times(0 * DAY, 50 * DAY - TICK))
    with pytest.raises(InvalidData, match=r"The ledger is too short.*more than 50 days of events"):
        ask(ledger, toy_domain, NO_SHIFT)


def test_a_ledger_just_long_enough_has_one_moment(ordered, toy_domain):
    moments = churn_moments(ordered("c1", *_times(0 * DAY, 50 * DAY)), toy_domain, NO_SHIFT)
    assert moments["event_timestamp"].tolist() == [MOMENT + 30 * DAY]


def test_without_a_protocol_we_ask_each_14_days_of_what_the_ledger_can_answer(ordered, toy_domain):
    # 30 days are needed to know who is active, 20 at the end to see who fell silent.
    ordered("first", *_times(0 * DAY))
    ordered("always", *_times(*(day * DAY for day in range(0, 79, 2))))
    ledger = ordered("last", *_times(78 * DAY))
    moments = churn_moments(ledger, toy_domain, NO_SHIFT)
    asked = [MOMENT + days * DAY for days in (30, 44, 58)]
    assert moments["event_timestamp"].unique().tolist() == asked


def test_a_ledger_without_events_says_what_to_load(ledger, toy_domain):
    with pytest.raises(InvalidData, match=r"holds no events to learn from.*nba load FOLDER"):
        churn_moments(ledger, toy_domain, NO_SHIFT)


@pytest.mark.parametrize(
    ("ask", "what"), [(churn_moments, "churn"), (intent_moments, "intent")], ids=["churn", "intent"]
)
def test_a_business_that_does_not_define_a_label_is_told_where_to(ledger, toy_domain, ask, what):
    domain = toy_domain.model_copy(update={what: None})
    with pytest.raises(InvalidData, match=f"'toy' defines no {what}. Expected a section '{what}:'"):
        ask(ledger, domain, NO_SHIFT)


@pytest.mark.parametrize("ask", [churn_moments, intent_moments], ids=["churn", "intent"])
def test_a_label_at_a_date_is_settled_when_its_span_has_passed(ordered, one_moment, ask):
    ordered("end", *_times(SETTLED))
    moments = ask(ordered("c1", *_times(-DAY, DAY)), one_moment, NO_SHIFT)
    assert moments["settled_at"].tolist() == [MOMENT + 20 * DAY]


# Asked just before anybody left ------------------------------------------------------------------


@pytest.fixture
def leaving(toy_domain):
    """The toy business, whose customers leave by a visit."""
    return toy_domain.model_copy(update={"churn": Churn(event="visit", when="happens")})


@pytest.fixture
def known(ledger):
    """Puts customers into the ledger's own table."""

    def put(*customer_ids):
        rows = [{"customer_id": one, "attributes": "{}"} for one in customer_ids]
        ledger.write_now(lambda connection: insert_new(connection, tables.customers, rows))
        return ledger

    return put


def test_everybody_is_asked_once_just_before_the_first_of_them_left(ordered, leaving, known):
    ordered("late", *_times(9 * DAY), event_type="visit")
    ordered("first", *_times(0 * DAY, DAY), event_type="visit")
    ordered("stays", *_times(-50 * DAY, 50 * DAY))  # orders: that is not how one leaves
    moments = churn_moments(known("stays", "first", "late", "silent"), leaving, NO_SHIFT)
    labels = dict(zip(moments["customer_id"], moments["label"], strict=True))
    assert labels == {"first": 1, "late": 1, "silent": 0, "stays": 0}
    assert moments["event_timestamp"].tolist() == [MOMENT - TICK] * 4


def test_nobody_is_asked_while_gone(ordered, leaving, known):
    """A customer who left, ordered and left again is asked before anybody had left."""
    ordered("twice", *_times(-5 * DAY, 5 * DAY), event_type="visit")
    ordered("twice", *_times(0 * DAY))
    ordered("late", *_times(9 * DAY), event_type="visit")
    moments = churn_moments(known("twice", "late"), leaving, NO_SHIFT)
    assert dict(zip(moments["customer_id"], moments["label"], strict=True)) == {
        "late": 1,
        "twice": 1,
    }
    assert moments["event_timestamp"].tolist() == [MOMENT - 5 * DAY - TICK] * 2


def test_whoever_is_in_no_table_of_customers_is_not_asked(ordered, leaving, known):
    ordered("stranger", *_times(-DAY), event_type="visit")
    ordered("c1", *_times(0 * DAY), event_type="visit")
    moments = churn_moments(known("c1"), leaving, NO_SHIFT)
    assert moments["customer_id"].tolist() == ["c1"]
    assert moments["event_timestamp"].tolist() == [MOMENT - DAY - TICK]


def test_where_nobody_left_there_is_nothing_to_learn_from(ordered, leaving, known):
    ordered("c1", *_times(0 * DAY))
    with pytest.raises(InvalidData, match="holds no events to learn from"):
        churn_moments(known("c1"), leaving, NO_SHIFT)


# Asked after each event --------------------------------------------------------------------------

SMALL, BIG, END = 0, 1, 2


@pytest.fixture
def after_each(toy_domain):
    """The toy business with a moment after each order, labelled with the next order."""
    rule = Intent(event="order", property="kind", ask="after_each", end="end")
    return toy_domain.model_copy(update={"intent": rule})


def _labels(moments):
    rows = zip(
        moments["customer_id"],
        moments["event_timestamp"] - MOMENT,
        moments["label"],
        moments["settled_at"] - MOMENT,
        strict=True,
    )
    return [(who, at, label, selected) for who, at, label, selected in rows]


def test_after_each_event_the_next_one_of_the_same_customer_is_the_answer(ordered, after_each):
    ordered("a", (0 * DAY, "small"), (2 * DAY, "big"), (3 * DAY, "small"))
    ordered("a", *_times(DAY), event_type="visit")
    ledger = ordered("b", (DAY, "big"))
    assert _labels(intent_moments(ledger, after_each, NO_SHIFT)) == [
        ("a", 0 * DAY, BIG, 2 * DAY),
        ("a", 2 * DAY, SMALL, 3 * DAY),
        ("a", 3 * DAY, END, 3 * DAY),
        ("b", DAY, END, DAY),
    ]


def test_without_a_class_for_the_end_the_last_event_asks_nothing(ordered, after_each):
    rule = after_each.intent.model_copy(update={"end": None})
    domain = after_each.model_copy(update={"intent": rule})
    ledger = ordered("a", (0 * DAY, "small"), (2 * DAY, "big"))
    assert _labels(intent_moments(ledger, domain, NO_SHIFT)) == [("a", 0 * DAY, BIG, 2 * DAY)]


def test_events_at_one_instant_are_one_moment_after_the_last_of_them(ordered, after_each):
    ledger = ordered("a", (0 * DAY, "small"), (0 * DAY, "small"), (TICK, "big"))
    assert _labels(intent_moments(ledger, after_each, NO_SHIFT)) == [
        ("a", 0 * DAY, BIG, TICK),
        ("a", TICK, END, TICK),
    ]


def test_a_live_event_gives_the_moment_at_which_it_was_received(ordered, after_each):
    """Two orders come together when the third is there already; one comes before it occurs."""
    ledger = ordered(
        "a",
        *((0 * DAY, "big", TICK), (DAY, "small", 4 * DAY), (2 * DAY, "big", 4 * DAY)),
        *((3 * DAY, "small", 3 * DAY), (6 * DAY, "big", 5 * DAY)),
    )
    assert _labels(intent_moments(ledger, after_each, NO_SHIFT)) == [
        ("a", TICK, SMALL, DAY),
        ("a", 3 * DAY, BIG, 6 * DAY),
        ("a", 4 * DAY, BIG, 6 * DAY),
        ("a", 6 * DAY, END, 6 * DAY),
    ]


def test_a_next_event_that_does_not_say_what_for_is_no_label_and_no_end(ordered, after_each):
    ledger = ordered("a", (0 * DAY, "small"), (DAY, None), (2 * DAY, "big"))
    assert _labels(intent_moments(ledger, after_each, NO_SHIFT)) == [
        ("a", DAY, BIG, 2 * DAY),
        ("a", 2 * DAY, END, 2 * DAY),
    ]


@pytest.mark.parametrize("shift", [NO_SHIFT, 7 * DAY])
def test_dates_bound_the_events_that_are_asked_after(ordered, after_each, shift):
    plan = Moments(
        first=date(2026, 1, 31), last=date(2026, 2, 1), test_from=date(2026, 2, 1), every_days=7
    )
    domain = after_each.model_copy(update={"moments": plan})
    days = (-TICK, 0 * DAY, 2 * DAY - TICK, 2 * DAY)  # the last day counts to its end
    ledger = ordered("a", *_times(*(shift + day for day in days)))
    asked = intent_moments(ledger, domain, shift)["event_timestamp"] - MOMENT - shift
    assert asked.tolist() == [0 * DAY, 2 * DAY - TICK]


def test_a_ledger_without_such_events_says_what_to_load(ordered, after_each):
    ledger = ordered("a", *_times(DAY), event_type="visit")
    with pytest.raises(InvalidData, match="holds no events to learn from"):
        intent_moments(ledger, after_each, NO_SHIFT)
