"""Proves that a planted value in a log or a metric of a server is found, and fails the tests."""

import subprocess
import sys

import pytest

from tests import planted
from tests.server import Server, stop

VALUES = {
    "an e-mail address": planted.EMAIL,
    "a customer id": planted.CUSTOMER,
    "a card": planted.CARD,
    "an attribute": planted.ATTRIBUTE,
    "free text": planted.FREE_TEXT,
    "a token": planted.TOKEN,
    "a password": planted.PASSWORD,
    "a password in an address": planted.PASSWORD_IN_URL,
}


def test_each_planted_value_has_a_marker():
    assert VALUES.keys() == planted.MARKERS.keys()


@pytest.mark.parametrize("what", VALUES)
def test_a_leak_is_named_with_its_place(what, tmp_path):
    log = tmp_path / "server-1.log"
    log.write_text("started\n")
    planted.check("# HELP nba_events\n", log)
    log.write_text(f"started\nrefused: {VALUES[what].upper()} is not known\n")
    with pytest.raises(planted.PersonalDataLogged, match=rf"server-1\.log holds {what}"):
        planted.check("", log)
    log.write_text("started\n")
    with pytest.raises(planted.PersonalDataLogged, match=f"/metrics holds {what}"):
        planted.check(f'nba_events{{status="{VALUES[what]}"}} 1.0\n', log)


def test_other_log_files_of_the_home_are_searched_too(tmp_path):
    log = tmp_path / "server-1.log"
    log.touch()
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "learner.log").write_text(planted.CARD)
    with pytest.raises(planted.PersonalDataLogged, match=r"learner\.log holds a card"):
        planted.check("", log)


def test_the_end_of_a_server_with_a_leak_fails(tmp_path):
    log = tmp_path / "server-1.log"
    log.write_text(planted.EMAIL)
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    with pytest.raises(planted.PersonalDataLogged, match="holds an e-mail address"):
        stop(Server(process, 1, 0.0, log))
