"""Tests what each path needs, and the scopes that are written by people."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from features.errors import InvalidSetting
from serving.access.scopes import (
    ANY_KEY,
    LOGGED,
    OPEN,
    UNKNOWN,
    KeyScope,
    need_of,
    parse_scopes,
    requires,
    scopes_of,
)
from serving.service import NextBestAction
from tests.commands import ROOT


def test_every_route_declares_the_scope_that_it_needs():
    scopes = scopes_of(NextBestAction)
    assert scopes["/v1/decide"] == scopes["/v1/activate"] == KeyScope.DECIDE
    assert scopes["/v1/outcomes"] == scopes["/v1/events"] == KeyScope.WRITE
    assert scopes["/v1/attributes"] == KeyScope.WRITE
    reading = (
        "/v1/customer",
        "/v1/explain",
        "/v1/replay",
        "/v1/lift",
        "/v1/guardrails",
        "/metrics",
    )
    for path in reading:
        assert scopes[path] == KeyScope.READ
    assert scopes["/v1/forget"] == KeyScope.PRIVACY
    for path in ("/v1/link", "/v1/unlink", "/v1/merge_candidates", "/v1/guardrails/lift"):
        assert scopes[path] == KeyScope.ADMIN
    assert {KeyScope.PRIVACY, KeyScope.ADMIN} == LOGGED
    assert {api.route for api in NextBestAction.apis.values()} <= set(scopes)


def test_a_route_without_a_scope_stops_the_program():
    def forgotten() -> None: ...

    @requires(KeyScope.READ)
    def declared() -> None: ...

    api = SimpleNamespace(route="/v1/new", func=declared)
    service = SimpleNamespace(apis={"new": api})
    assert scopes_of(service)["/v1/new"] == KeyScope.READ
    api.func = forgotten
    with pytest.raises(TypeError, match="/v1/new declares no scope"):
        scopes_of(service)


@pytest.mark.parametrize(
    ("path", "need"),
    [
        ("/livez", OPEN),
        ("/readyz", OPEN),
        ("/console", OPEN),
        ("/console/", OPEN),
        ("/console/page.js", OPEN),
        ("/", OPEN),
        ("/docs.json", ANY_KEY),
        ("/v1/forget", KeyScope.PRIVACY),
        ("/v1/forget/", KeyScope.PRIVACY),
        ("/v1/other", UNKNOWN),
        ("/consoles", UNKNOWN),
        ("//v1/forget", UNKNOWN),
        ("/v1/forget\n", UNKNOWN),
        ("/v1/forget\n/", UNKNOWN),
        ("/V1/forget", UNKNOWN),
        ("/metrics", KeyScope.READ),
    ],
)
def test_a_path_needs_what_the_table_says_in_no_other_spelling(path, need):
    assert need_of(path, scopes_of(NextBestAction)) == need


def test_scopes_are_written_with_commas_in_any_order_and_case():
    assert parse_scopes("write, Decide,write") == (KeyScope.DECIDE, KeyScope.WRITE)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("decide,everything", "names 'everything'. Expected some of decide"), (" , ", "no scope")],
)
def test_a_scope_that_does_not_exist_is_refused(text, sentence):
    with pytest.raises(InvalidSetting, match=sentence):
        parse_scopes(text)


def test_the_readme_has_the_table_of_scopes_as_the_code_has_it():
    readme = (ROOT / "serving" / "README.md").read_text(encoding="utf-8")
    paths: dict[str, list[str]] = {}
    for path, need in scopes_of(NextBestAction).items():
        paths.setdefault(str(need), []).append(f"`{path}`")
    for need in (*KeyScope, ANY_KEY, OPEN):
        shown = f"`{need}`" if need in list(KeyScope) else need
        assert f"| {shown} | {' '.join(paths[need])} |\n" in readme
