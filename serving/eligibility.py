"""May we? What the catalogue and the caller rule out, each with the rule that did it."""

from __future__ import annotations

from collections.abc import Iterable

from features.catalog import NO_ACTION, Catalog
from features.errors import InvalidRequest
from serving.contract import DecideRequest, Removed


def eligible(catalog: Catalog, request: DecideRequest) -> tuple[list[str], list[Removed]]:
    """The actions that stay, in the catalogue's order, and those that go.

    `no_action` is not among them: the engine adds it, always.

    Raises
    ------
    InvalidRequest
        If the caller names an action that the catalogue does not have.
    """
    _refuse_unknown("actions", request.actions or (), catalog)
    _refuse_unknown("exclude", request.exclude, catalog)
    kept, removed = [], []
    offered = set(catalog.offered_on(request.channel))
    for name in catalog.actions:
        if name not in offered:
            reason = f"it has no treatment for {request.channel}"
            removed.append(Removed(action_id=name, rule="treatments", reason=reason))
        elif request.actions is not None and name not in request.actions:
            reason = "the caller did not ask for it"
            removed.append(Removed(action_id=name, rule="request.actions", reason=reason))
        elif name in request.exclude:
            reason = "the caller excluded it"
            removed.append(Removed(action_id=name, rule="request.exclude", reason=reason))
        else:
            kept.append(name)
    return kept, removed


def _refuse_unknown(field: str, named: Iterable[str], catalog: Catalog) -> None:
    for name in named:
        if name != NO_ACTION and name not in catalog.actions:
            raise InvalidRequest(
                f"{field} has {name!r}.",
                expected="actions of the catalogue",
                remedy=f"Use some of: {', '.join(catalog.actions)}.",
            )
