"""Writes cut journeys of many customers into columns; see `tables` for the columns."""

from __future__ import annotations

import hashlib
from array import array
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.analytics.cut.customer_facts import Profiles
from features.analytics.cut.journey_log import NEVER, JourneyLog, StepLabels
from features.analytics.cut.preferred_channels import preferred_channels
from features.analytics.histogram import NO_BUCKET, buckets
from features.analytics.nodes import MapNodes
from features.analytics.tables import (
    DUE,
    END,
    EVENT,
    journeys_schema,
    steps_schema,
    told_promises,
)
from features.business.domain import Domain
from features.journeys.promises.due_times import told_us

JOURNEY_BITS = 20  # of the number of a journey: its place among those of the customer
NO_VERSION = -1


def customer_number(customer_id: str) -> int:
    """Return the upper 44 bits of the numbers of a customer's journeys."""
    digest = hashlib.blake2b(customer_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> JOURNEY_BITS


class JourneyColumns:
    """Makes the two tables of a log.

    Parameters
    ----------
    labels, profiles
        Those that the log was made with.
    """

    def __init__(
        self, domain: Domain, nodes: MapNodes, labels: StepLabels, profiles: Profiles
    ) -> None:
        self._labels, self._profiles = labels, profiles
        self._attributes = tuple(domain.attributes)
        self._channels_n = len(nodes.channels)
        self._told = told_promises(domain)
        self._expected = {
            nodes.map_code(name): kind.expected
            for name, kind in domain.journey_kinds.items()
            if kind.expected
        }
        self._schemas = journeys_schema(domain), steps_schema(domain)

    def tables(self, log: JourneyLog) -> tuple[pa.Table, pa.Table]:
        """Return journeys and steps, sorted by customer, journey and place."""
        journey = _numbers(log.journey)
        order = np.argsort(journey, kind="stable")
        label = _numbers(log.label)
        steps = {name: values[label[order]] for name, values in self._labels.columns().items()}
        steps["journey"], steps["at_us"] = journey[order], _numbers(log.at_us)[order]
        first = np.flatnonzero(np.diff(steps["journey"], prepend=-1))
        customer = _numbers(log.customer)
        number = _customer_numbers(log)[customer] + np.arange(len(customer), dtype=np.uint64)
        version = self._versions(_numbers(log.map), steps["at_us"][first])
        columns = self._journey_columns(log, steps, first)
        columns |= {"journey": number, "version": _or_null(version, version == NO_VERSION)}
        preferred = preferred_channels(log, self._labels, steps["at_us"][first], self._channels_n)
        columns["preferred_channel"] = preferred
        names = pa.array(log.customers, pa.string())
        columns["customer_id"] = _dictionary(customer, names)
        of_steps = _step_columns(steps, first)
        of_steps["customer_id"] = _dictionary(customer[steps["journey"]], names)
        of_steps["journey"] = number[steps["journey"]]
        of_steps |= self._due_columns(log, version, order)
        return _table(columns, self._schemas[0]), _table(of_steps, self._schemas[1])

    def _journey_columns(
        self, log: JourneyLog, steps: dict[str, NDArray[np.int64]], first: NDArray[np.int64]
    ) -> dict[str, Any]:
        last = np.append(first[1:], len(steps["journey"]))[: len(first)] - 1
        is_event = (steps["what"] == EVENT).astype(np.int64)
        end, due = _numbers(log.end_us), _numbers(log.due_us)
        accounts = pa.array(log.accounts, pa.string()).dictionary_encode()
        columns = {
            "account": accounts.take(pa.array(_numbers(log.customer))),
            "map": _numbers(log.map),
            "case": pa.array(log.case, pa.string()),
            "start_us": steps["at_us"][first],
            "end_us": _or_null(end, end >= NEVER),
            "last_us": steps["at_us"][last],
            "how": _numbers(log.how),
            "entry": steps["node"][first],
            "exit": steps["node"][last],
            "steps": last - first + 1,
            "events": np.add.reduceat(is_event, first) if len(first) else is_event,
            "path": _paths(steps["node"], first),
            "entry_channel": steps["channel"][first],
            "due_us": _or_null(due, due >= NEVER),
        }
        profile = pa.array(_numbers(log.profile))
        for name, values in self._profiles.columns().items():
            columns[name] = pa.array(values, pa.string()).dictionary_encode().take(profile)
        return columns

    def _versions(self, maps: NDArray[np.int64], start_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the version of what is expected of each journey."""
        found = np.full(len(maps), NO_VERSION, np.int64)
        for code, expected in self._expected.items():
            since = np.array([one.since_us for one in expected], np.int64)
            numbers = np.array([NO_VERSION, *(one.version for one in expected)], np.int64)
            mine = maps == code
            found[mine] = numbers[np.searchsorted(since, start_us[mine], side="right")]
        return found

    def _due_columns(
        self, log: JourneyLog, version: NDArray[np.int64], order: NDArray[np.int64]
    ) -> dict[str, pa.Array]:
        """Return the times that properties told, by promise, in the order of the columns."""
        due = {name: np.full(len(order), NEVER, np.int64) for name in self._told}
        for step, properties in log.told:
            journey = log.journey[step]
            expected = self._expected[log.map[journey]]
            mine = next((one for one in expected if one.version == version[journey]), None)
            for name, promise in (mine.promises if mine else {}).items():
                if promise.within is not None:
                    told = told_us(properties.get(promise.within.property))
                    due[name][step] = NEVER if told is None else told
        found = {name: values[order] for name, values in due.items()}
        return {f"{DUE}{name}": _or_null(values, values >= NEVER) for name, values in found.items()}


def _step_columns(steps: dict[str, NDArray[np.int64]], first: NDArray[np.int64]) -> dict[str, Any]:
    count = len(steps["journey"])
    seq = np.arange(count) - np.repeat(first, np.diff(first, append=count))
    is_last = np.ones(count, bool)
    is_last[:-1] = seq[1:] == 0
    next_node, gap = np.full(count, END, np.int64), np.zeros(count, np.int64)
    next_node[:-1], gap[:-1] = steps["node"][1:], np.diff(steps["at_us"])
    next_node[is_last], gap[is_last] = END, 0
    bucket = buckets(gap)
    bucket[is_last] = NO_BUCKET
    return {**steps, "seq": seq, "next_node": next_node, "gap_bucket": bucket}


def _paths(nodes: NDArray[np.int64], first: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Hash the nodes of each journey in their order."""
    text, hashed = nodes.astype(">u2").tobytes(), hashlib.blake2b
    ends = (2 * first).tolist()[1:] + [len(text)]
    digests = [
        hashed(text[begin:end], digest_size=8).digest()
        for begin, end in zip((2 * first).tolist(), ends, strict=False)
    ]
    return np.frombuffer(b"".join(digests), ">u8").astype(np.uint64)


def _customer_numbers(log: JourneyLog) -> NDArray[np.uint64]:
    """Return what is added to the place of a journey in the log, to make its number."""
    upper = np.array([customer_number(one) for one in log.customers], np.uint64)
    before = _numbers(log.first_journey).astype(np.uint64)
    found: NDArray[np.uint64] = (upper << np.uint64(JOURNEY_BITS)) - before
    return found


def _numbers(values: array[int]) -> NDArray[np.int64]:
    found: NDArray[np.int64] = np.frombuffer(values, np.dtype(values.typecode)).astype(np.int64)
    return found


def _or_null(values: NDArray[np.int64], is_null: NDArray[np.bool_]) -> pa.Array:
    return pa.array(values, mask=is_null)


def _dictionary(places: NDArray[np.int64], names: pa.Array) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(places.astype(np.int32)), names)


def _table(columns: dict[str, Any], schema: pa.Schema) -> pa.Table:
    return pa.table([_column(columns[one.name], one.type) for one in schema], schema=schema)


def _column(values: Any, of_type: pa.DataType) -> pa.Array:
    made = values if isinstance(values, pa.Array) else pa.array(values)
    return made if made.type == of_type else made.cast(of_type)
