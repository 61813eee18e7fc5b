"""Reads which actions a decision chose and what was believed of them.

Retention (`features.store.retention`) empties ``features``, ``answer``, ``believed`` and most of
``record`` of old decisions. The windows of attribution stay, by action, as credit depends on them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json, to_json

from features.business.catalog import NO_ACTION

WINDOWS = "attribution_days"  # of a record: the days in which an outcome counts, by action
_REMOVED = ',"removed":'  # of a record: the rule that removed each action
KEYS = ("customer_id", "identifiers")  # of a request
_HEAD = struct.Struct("<BBBHH")  # format, shown actions, experts, actions of the catalogue, allowed
# The second format ends with the effects; the third one with these and what is assumed.
FORMAT, WITH_EFFECTS, WITH_ASSUMED = 1, 2, 3
_N_EFFECTS = {FORMAT: 0, WITH_EFFECTS: 4, WITH_ASSUMED: 5}


@dataclass(frozen=True, slots=True)
class Beliefs:
    """The predictions for the actions that a decision was allowed to show in its first slot.

    Attributes
    ----------
    n_actions : int
        The number of actions of the catalogue.
    allowed : shape (n,)
        Positions in the catalogue, ascending; `no_action`, which always is allowed, is not among
        them. The actions allowed in a later slot are some of these.
    acceptance, deviation : shape (n,)
        Predicted acceptance and its standard deviation.
    probability : shape (n + 1,)
        The chance of each in the first slot; the last is that of `no_action`.
    shown : shape (n_shown,)
        Where in ``allowed`` the shown actions are, rank 1 first.
    experts : shape (n_shown, n_experts)
        The acceptance of the shown actions by each expert alone.
    effects : shape (4 or 5, n), or None
        What showing each action adds, against `no_action`: purchases and their standard deviation,
        leaving and its standard deviation; and what was assumed, unless that was 0. None: no
        effects were believed, so they counted as 0.
    """

    n_actions: int
    allowed: NDArray[np.intp]
    acceptance: NDArray[np.float64]
    deviation: NDArray[np.float64]
    probability: NDArray[np.float64]
    shown: NDArray[np.intp]
    experts: NDArray[np.float64]
    effects: NDArray[np.float64] | None = None

    def to_bytes(self) -> bytes:
        """Write all numbers exactly; inverse of `from_bytes`."""
        n_shown, n_experts = self.experts.shape
        mask = np.zeros(self.n_actions, dtype=bool)
        mask[self.allowed] = True
        numbers = [self.acceptance, self.deviation, self.probability, self.experts.ravel()]
        written = FORMAT
        if self.effects is not None:
            written = WITH_EFFECTS if len(self.effects) == 4 else WITH_ASSUMED
            numbers.append(self.effects.ravel())
        return b"".join(
            (
                _HEAD.pack(written, n_shown, n_experts, self.n_actions, len(self.allowed)),
                np.packbits(mask).tobytes(),
                self.shown.astype("<u2").tobytes(),
                np.concatenate(numbers).astype("<f8", copy=False).tobytes(),
            )
        )

    @classmethod
    def from_bytes(cls, packed: bytes) -> Beliefs:
        """Read what `to_bytes` wrote.

        Raises
        ------
        ValueError
            If a later program wrote it, or bytes of it are missing.
        """
        if not packed or packed[0] not in _N_EFFECTS:
            raise ValueError(f"beliefs of format {packed[:1].hex()}, of a later program")
        if len(packed) < _HEAD.size:
            raise ValueError(f"beliefs of {len(packed)} bytes, of which some are missing")
        written, n_shown, n_experts, n_actions, n = _HEAD.unpack_from(packed)
        at = _HEAD.size
        size = _size(written, n_shown, n_experts, n_actions, n)
        if len(packed) != size:
            raise ValueError(f"beliefs of {len(packed)} bytes, of which there were {size}")
        mask = np.frombuffer(packed, np.uint8, -(-n_actions // 8), at)
        at += len(mask)
        shown = np.frombuffer(packed, "<u2", n_shown, at).astype(np.intp)
        numbers = np.frombuffer(packed, "<f8", offset=at + 2 * n_shown).astype(np.float64)
        end, n_effects = 3 * n + 1 + n_shown * n_experts, _N_EFFECTS[written]
        return cls(
            n_actions=n_actions,
            allowed=np.unpackbits(mask, count=n_actions).nonzero()[0],
            acceptance=numbers[:n],
            deviation=numbers[n : 2 * n],
            probability=numbers[2 * n : 3 * n + 1],
            shown=shown,
            experts=numbers[3 * n + 1 : end].reshape(n_shown, n_experts),
            effects=numbers[end:].reshape(n_effects, n) if n_effects else None,
        )


def _size(written: int, n_shown: int, n_experts: int, n_actions: int, n: int) -> int:
    """Compute the length of packed beliefs, in bytes, from the numbers of their head."""
    numbers = (3 + _N_EFFECTS[written]) * n + 1 + n_shown * n_experts
    return int(_HEAD.size) - (-n_actions // 8) + 2 * n_shown + 8 * numbers


def logged_chances(row: Any, record: Mapping[str, Any], actions: Sequence[str]) -> dict[str, float]:
    """Read the probability of each candidate of the first slot; it may be 0.

    Parameters
    ----------
    row
        With the column ``believed`` of a decision.
    record
        Its record, read.
    actions
        Of the catalogue of the decision, in its order.
    """
    if row.believed is None:  # an earlier release wrote the candidates into the record
        return dict(zip(record["candidates"], record["probabilities"], strict=True))
    beliefs = Beliefs.from_bytes(row.believed)
    names = (*(actions[index] for index in beliefs.allowed.tolist()), NO_ACTION)
    return dict(zip(names, beliefs.probability.tolist(), strict=True))


def first_slot_chances(packed: Sequence[bytes]) -> NDArray[np.float64]:
    """Read the chances of the first slot of many decisions at once, all of one catalogue.

    Parameters
    ----------
    packed
        The column ``believed`` of each decision, at least one.

    Returns
    -------
    shape (n, n_actions + 1)
        In the order of the catalogue, `no_action` last; 0 for an action that was not allowed.
    """
    masks, numbers, n_actions = list[bytes](), list[bytes](), 0
    for one in packed:
        if not one or one[0] not in _N_EFFECTS or len(one) < _HEAD.size:
            Beliefs.from_bytes(one)  # raises
        written, n_shown, n_experts, n_actions, n = _HEAD.unpack_from(one)
        if len(one) != _size(written, n_shown, n_experts, n_actions, n):
            Beliefs.from_bytes(one)  # raises
        at = _HEAD.size - (-n_actions // 8)
        begin = at + 2 * n_shown + 16 * n
        masks.append(one[_HEAD.size : at])
        numbers.append(one[begin : begin + 8 * (n + 1)])
    bits = np.frombuffer(b"".join(masks), np.uint8).reshape(len(packed), -1)
    found = np.zeros((len(packed), n_actions + 1))
    is_candidate = np.ones(found.shape, dtype=bool)
    is_candidate[:, :-1] = np.unpackbits(bits, axis=1, count=n_actions)
    found[is_candidate] = np.frombuffer(b"".join(numbers), "<f8")
    return found


def shown_beliefs(row: Any, record: Mapping[str, Any]) -> dict[str, tuple[float, Sequence[float]]]:
    """Read of each shown action its acceptance, and its acceptance by each expert alone.

    A decision of an earlier release whose record does not say it has ``nan``, and no experts.

    Parameters
    ----------
    row
        With the column ``believed`` of a decision.
    record
        Its record, read.
    """
    names = list(record.get(WINDOWS, ()))
    if row.believed is None:
        experts = record.get("experts", {})
        held = record.get("candidates", ()), record.get("acceptance", ())
        acceptance = dict(zip(*held, strict=True))
        return {name: (acceptance.get(name, np.nan), experts.get(name, ())) for name in names}
    return dict(zip(names, _shown_pairs(row.believed), strict=True))


def _shown_pairs(packed: bytes) -> list[tuple[float, Sequence[float]]]:
    """Read of each shown action what `Beliefs.from_bytes` reads, without the other actions."""
    if not packed or packed[0] not in _N_EFFECTS or len(packed) < _HEAD.size:
        Beliefs.from_bytes(packed)  # raises
    written, n_shown, n_experts, n_actions, n = _HEAD.unpack_from(packed)
    at = _HEAD.size + -(-n_actions // 8)
    begin = at + 2 * n_shown
    if len(packed) != _size(written, n_shown, n_experts, n_actions, n):
        Beliefs.from_bytes(packed)  # raises
    shown = struct.unpack_from(f"<{n_shown}H", packed, at)
    experts = struct.unpack_from(f"<{n_shown * n_experts}d", packed, begin + 8 * (3 * n + 1))
    return [
        (
            struct.unpack_from("<d", packed, begin + 8 * place)[0],
            list(experts[rank * n_experts : (rank + 1) * n_experts]),
        )
        for rank, place in enumerate(shown)
    ]


def decided_actions(row: Any) -> list[str]:
    """List the actions of a decision, rank 1 first.

    Parameters
    ----------
    row
        With the columns ``action_id``, ``answer`` and ``record`` of a decision. An imported
        decision has neither answer nor record, and one action.
    """
    if row.answer is not None:
        return [action["action_id"] for action in from_json(row.answer)["actions"]]
    shown = from_json(row.record)[WINDOWS] if row.record is not None else ()
    return list(dict.fromkeys([row.action_id, *shown]))


def is_removed(row: Any) -> bool:
    """Return whether retention has removed the record of a decision of ours."""
    return row.record is not None and row.answer is None


def without_other_keys(request: Mapping[str, Any], subject: str) -> dict[str, Any]:
    """Leave out the keys of a request but one: they may be, or become, those of somebody else.

    Whoever is forgotten must not stay in the record of another customer's decision.

    Parameters
    ----------
    request
        As JSON, with ``customer_id``, ``identifiers`` or both.
    subject
        The key under which the decision is stored; it stays.
    """
    named = [request["customer_id"]] if "customer_id" in request else []
    if len({*named, *request.get("identifiers", ())}) <= 1:
        return dict(request)
    rest = {name: value for name, value in request.items() if name not in KEYS}
    subject = subject.partition(" ")[0]  # of a device and its holder (`identity.holders`)
    own = {"customer_id": subject} if subject in named else {"identifiers": [subject]}
    return own | rest


def shortened_record(record: str) -> str:
    """Reduce a record to what is needed without its answer."""
    return to_json({WINDOWS: from_json(record)[WINDOWS]}).decode()


def read_windows(row: Any) -> dict[str, Any]:
    """Read a record without what was removed, which is most of it where there are many actions.

    The key of what was removed follows those that are read. A key of the same name inside of
    another one leaves no JSON when it is cut off; then all of the record is read, as it is for a
    decision of an earlier release.

    Parameters
    ----------
    row
        With the columns ``record`` and ``believed`` of a decision.
    """
    head, key, _ = row.record.partition(_REMOVED)
    if key and row.believed is not None:
        try:
            found: dict[str, Any] = from_json(f"{head}}}")
            if WINDOWS in found:
                return found
        except ValueError:
            pass
    whole: dict[str, Any] = from_json(row.record)
    return whole
