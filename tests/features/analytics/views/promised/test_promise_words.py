from __future__ import annotations

from typing import Any

import pytest

from features.analytics.views.promised.promise_words import promise_words
from features.business.journey_rules.promises import Promise


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"after": "a", "comes": "b", "within_days": 3}, "a, then b within 3 days"),
        (
            {"after": "a", "comes": "b", "within": {"property": "at"}, "else_days": 1},
            "a, then b by at, else within 1 day",
        ),
        ({"before": "a", "comes": "b", "at_least_hours": 12}, "b at least 12 hours before a"),
        ({"before": "a", "comes": "b"}, "b before a"),
        ({"never": "a"}, "never a"),
        ({"never": "a", "within_days": 2.5}, "never a within 2.5 days"),
        ({"no_more_than": 2, "of": "a"}, "a at most 2 times"),
        ({"never": "b", "after": "a", "within_hours": 36}, "no b within 1.5 days after a"),
        (
            {"after": "a", "next": "b", "within_hours": 1},
            "b as the next step after a, within 1 hour",
        ),
    ],
)
def test_a_promise_is_said_in_words(keys: dict[str, Any], words: str) -> None:
    assert promise_words(Promise.model_validate(keys)) == words
