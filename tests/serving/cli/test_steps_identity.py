"""The steps behind the commands about identity refuse what the routes refuse."""

from __future__ import annotations

import pytest

from features.errors import IdentityUnknown, InvalidSetting
from serving.cli.steps_identity import ask_candidates, erase
from tests.commands import environment


@pytest.fixture
def at_home(shop, tmp_path):
    with environment({**shop.env, "NBA_HOME": str(tmp_path)}):
        yield


@pytest.mark.usefixtures("at_home")
def test_a_new_ledger_has_no_candidates_and_nobody_to_erase():
    assert ask_candidates({"status": "open"}).candidates == []
    with pytest.raises(IdentityUnknown, match="Nothing is stored under 'ann'"):
        erase("ann", ())


@pytest.mark.usefixtures("at_home")
@pytest.mark.parametrize(
    ("sent", "said"), [({"limit": 0}, "limit is 0"), ({"cause": "x"}, "a decision also needs left")]
)
def test_what_the_route_refuses_is_refused_with_a_sentence(sent, said):
    with pytest.raises(InvalidSetting, match=said):
        ask_candidates(sent)
