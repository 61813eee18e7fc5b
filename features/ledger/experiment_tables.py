"""Defines tables of the experiment: who was met when, effects, guardrails, the simulated clock."""

from __future__ import annotations

import sqlalchemy as sa

from features.ledger.columns import SERIAL, TEXT, UtcMicros, metadata

# When a decision was first asked for about a customer, since there are three arms; merged customers
# have the earliest time of their keys. The arm is that of the customer's id (`policies.arms`).
met_customers = sa.Table(
    "met_customers",
    metadata,
    sa.Column("customer_id", TEXT, primary_key=True),
    sa.Column("met_at", UtcMicros, nullable=False),
)
# The features of a decision's customer some days after it was shown
# (`value_labels.later_features`). `serial`: the number of the decision. A row belongs to its
# decision, whoever the customer is after merges and splits, and is deleted with it. `layout`: the
# fingerprint of the layout of the features.
later_features = sa.Table(
    "later_features",
    metadata,
    sa.Column("serial", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("looked_at", UtcMicros, nullable=False),
    sa.Column("has_left", sa.Boolean, nullable=False),  # by then
    sa.Column("changes", sa.LargeBinary, nullable=False),  # from the features of the decision
    sa.Column("layout", TEXT, nullable=False),
)
# The models of what actions cause. `labels`: the number of labelled decisions that a model was
# fitted on. `note`: JSON, such as the audit of its surrogate. A number is never used again, because
# decisions name the model by which they were made.
effect_models = sa.Table(
    "effect_models",
    metadata,
    sa.Column("number", SERIAL, primary_key=True, autoincrement=True),
    sa.Column("published_at", UtcMicros, nullable=False),
    sa.Column("labels", sa.BigInteger, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("note", TEXT, nullable=False),
    sqlite_autoincrement=True,
)
# The sums of each test of a guardrail, as JSON. `guardrail`: its name, whether the test is of an
# action or of the policy's arm, and the fingerprint of its definition (`rules`), with blanks
# between; each definition has tests of its own. `action_id`: empty in the first row.
guardrail_tests = sa.Table(
    "guardrail_tests",
    metadata,
    sa.Column("guardrail", TEXT, primary_key=True),
    sa.Column("action_id", TEXT, primary_key=True),
    sa.Column("rules", TEXT, nullable=False),
    sa.Column("state", TEXT, nullable=False),
)
# Harm that was counted: each decision once in the tests of actions (`unit` is decision), and each
# customer once in the test of the policy's arm (`unit` is customer). `guardrail`: as in
# `guardrail_tests`. `customer_id`: the customer at that time; the rows of forgotten customers go.
guardrail_events = sa.Table(
    "guardrail_events",
    metadata,
    sa.Column("guardrail", TEXT, primary_key=True),
    sa.Column("unit", TEXT, primary_key=True),
    sa.Column("key", TEXT, primary_key=True),  # a decision_id or a customer_id
    sa.Column("customer_id", TEXT, nullable=False, index=True),
)
# Events that a guardrail may have to count (`kind` is event), and customers whose silence may have
# lasted long enough to count as leaving (`kind` is silence), from `due_at` on. Marked in the
# transaction of the event.
guardrail_marks = sa.Table(
    "guardrail_marks",
    metadata,
    sa.Column("kind", TEXT, primary_key=True),
    sa.Column("key", TEXT, primary_key=True),  # an event_id or a customer_id
    sa.Column("customer_id", TEXT, nullable=False, index=True),
    sa.Column("due_at", UtcMicros, nullable=False, index=True),
    sqlite_with_rowid=False,
)
# Actions that a guardrail has switched off, until somebody lifts it. `evidence`: JSON, the counts
# and the e-value at that time.
guardrail_stops = sa.Table(
    "guardrail_stops",
    metadata,
    sa.Column("guardrail", TEXT, primary_key=True),
    sa.Column("action_id", TEXT, primary_key=True),
    sa.Column("stopped_at", UtcMicros, primary_key=True),
    sa.Column("evidence", TEXT, nullable=False),
    sa.Column("lifted_at", UtcMicros),
    sa.Column("lifted_by", TEXT),
)
# The time of a server that was started with NBA_CLOCK=simulated: one row. `was_set`: somebody has
# set it, so that it only moves forward. `settles_asked`, `settles_done`: numbers of the requests to
# settle; `settled_until`: up to when everything was folded, credited and published by the last one.
simulated_clock = sa.Table(
    "simulated_clock",
    metadata,
    sa.Column("key", TEXT, primary_key=True),
    sa.Column("now", UtcMicros, nullable=False),
    sa.Column("was_set", sa.Boolean, nullable=False),
    sa.Column("settles_asked", sa.BigInteger, nullable=False),
    sa.Column("settles_done", sa.BigInteger, nullable=False),
    sa.Column("settled_until", UtcMicros),
)
# The last request to settle for which a part of the server, such as the learner, did its work, and
# the simulated time by which it did.
settled_parts = sa.Table(
    "settled_parts",
    metadata,
    sa.Column("part", TEXT, primary_key=True),
    sa.Column("settle", sa.BigInteger, nullable=False),
    sa.Column("until", UtcMicros, nullable=False),
)
