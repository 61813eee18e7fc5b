"""Tests `nba keys` and `nba access-log` as people type them."""

from __future__ import annotations

import re

from serving.access.keys import KeyRing, read_keys
from serving.access.scopes import KeyScope
from tests.commands import nba_in_process
from tests.server import ledger_of


def test_a_key_is_made_shown_once_listed_and_revoked(tmp_path):
    env = {"NBA_HOME": str(tmp_path)}
    assert "There are no keys" in nba_in_process(["keys", "list"], env).stdout
    made = nba_in_process(["keys", "add", "shop", "--scope", "decide,write"], env)
    token = made.stdout.strip()
    assert made.returncode == 0 and re.fullmatch(r"nba_[\w-]{43}", token)
    with ledger_of(tmp_path) as ledger:
        found = KeyRing(ledger.read(read_keys)).find(token)
    assert found is not None and found.scopes == {KeyScope.DECIDE, KeyScope.WRITE}
    listed = nba_in_process(["keys", "list"], env).stdout
    assert "shop" in listed and "decide, write" in listed and token not in listed
    revoked = nba_in_process(["keys", "revoke", "shop"], env)
    assert "shop is revoked" in revoked.stdout and "No key is left" in revoked.stderr
    again = nba_in_process(["keys", "revoke", "shop"], env)
    assert again.returncode == 2 and "'nba keys list' names them" in again.stderr


def test_a_wrong_scope_is_refused_with_the_scopes_that_exist(tmp_path):
    env = {"NBA_HOME": str(tmp_path)}
    done = nba_in_process(["keys", "add", "shop", "--scope", "root"], env)
    assert done.returncode == 2 and done.stdout == ""
    assert "some of decide, write, read, privacy, admin" in " ".join(done.stderr.split())


def test_the_access_log_is_empty_at_first_and_refuses_a_wrong_time(tmp_path):
    env = {"NBA_HOME": str(tmp_path)}
    assert "There was no use" in nba_in_process(["access-log"], env).stdout
    done = nba_in_process(["access-log", "--since", "yesterday"], env)
    assert done.returncode == 2 and "since is 'yesterday'" in done.stderr
