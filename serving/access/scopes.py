"""Scopes of keys, and the scope that each path of the server needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from features.errors import InvalidSetting, quoted

Function = TypeVar("Function", bound=Callable[..., Any])


class KeyScope(StrEnum):
    """A kind of request that a key may make."""

    DECIDE = "decide"  # ask for decisions and activate them
    WRITE = "write"  # send events, outcomes and attributes
    READ = "read"  # read customers, past decisions, lift and metrics
    PRIVACY = "privacy"  # erase customers
    ADMIN = "admin"  # say who is one person


ANY_KEY = "any key"
OPEN = "open"
UNKNOWN = "unknown"
Need = KeyScope | str  # a scope, `ANY_KEY`, `OPEN` or `UNKNOWN`

LOGGED = frozenset({KeyScope.PRIVACY, KeyScope.ADMIN})  # each use is written to the access log
# Paths beside the routes. A page is open, because a browser loads it before it has a key; the page
# then asks for one.
OTHER_PATHS: Mapping[str, Need] = {
    "/": OPEN,
    "/console/": OPEN,
    "/livez": OPEN,
    "/healthz": OPEN,
    "/readyz": OPEN,  # its details need `read`
    "/docs.json": ANY_KEY,
    "/schema.json": ANY_KEY,
    "/metrics": KeyScope.READ,
}
OPEN_FOLDERS = ("/console/",)
PROBES = ("/livez", "/healthz", "/readyz")  # whoever asks, by whichever name
_NOTE = "_scope"


def requires(scope: KeyScope) -> Callable[[Function], Function]:
    """Declare the scope of a route; stands below ``@bentoml.api``."""

    def note(function: Function) -> Function:
        setattr(function, _NOTE, scope)
        return function

    return note


def scopes_of(service: Any) -> dict[str, Need]:
    """List what each path of a BentoML service needs: its routes, then the other paths.

    Raises
    ------
    TypeError
        If a route does not declare its scope.
    """
    return {**{api.route: scope_of(api) for api in service.apis.values()}, **OTHER_PATHS}


def scope_of(api: Any) -> KeyScope:
    """Read the scope that a route of BentoML declares; `TypeError` if it declares none."""
    scope: KeyScope | None = getattr(api.func, _NOTE, None)
    if scope is None:
        raise TypeError(f"{api.route} declares no scope; put @requires(...) on it")
    return scope


def need_of(path: str, scopes: Mapping[str, Need]) -> Need:
    """Find what a path needs; `UNKNOWN` if the server does not know the path.

    Unknown paths must not reach the router of the application, which compares otherwise: Starlette
    answers ``/v1/forget%0A`` as ``/v1/forget``.
    """
    if path.startswith(OPEN_FOLDERS) or path in (folder.rstrip("/") for folder in OPEN_FOLDERS):
        return OPEN
    return scopes.get(path) or scopes.get(path.rstrip("/") or "/", UNKNOWN)


def unknown_path(path: str) -> str:
    """Say that the server does not know a path."""
    return f"{quoted(path)} is not a route of this service. /docs.json names them all."


def parse_scopes(text: str) -> tuple[KeyScope, ...]:
    """Read a list of scopes with commas between them, such as ``decide,write``.

    Raises
    ------
    InvalidSetting
        If it is empty, or one of them is not a scope.
    """
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    known = [scope.value for scope in KeyScope]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        wrong = f"--scope names {quoted(unknown[0])}." if unknown else "--scope names no scope."
        raise InvalidSetting(
            wrong,
            expected=f"some of {', '.join(known)}",
            remedy="Write them with commas, such as 'decide,write'.",
        )
    return tuple(scope for scope in KeyScope if scope.value in names)
