"""Replay: repeats a logged decision from its record, and explains it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic_core import from_json

from features.business.catalog import Catalog
from features.business.decided_actions import is_removed
from features.errors import DecisionUnknown, ModelMissing, NbaError, NotRepeatable
from features.ledger import tables
from features.ledger.ledger import Ledger
from serving.audit.archive import Archive
from serving.audit.repeated_decision import RepeatedDecision, repeat_decision
from serving.contract.decisions import (
    Difference,
    ExplainAnswer,
    ReplayAnswer,
)
from training.pipeline.registry import RegistryDown

log = logging.getLogger(__name__)

BATCH = 500  # decisions read at once
MAX_DIFFERENCES = 20  # in one answer
OF_EARLIER_RELEASE = (
    "an earlier release made the decision, and kept not what was believed; computed with {}"
)


class Replay:
    """Repeats decisions.

    Parameters
    ----------
    catalog
        The catalogue that serves now.
    """

    def __init__(self, ledger: Ledger, archive: Archive, catalog: Catalog) -> None:
        self._ledger = ledger
        self._archive = archive
        self._now = catalog

    def replay(self, decision_id: str, with_catalog: str = "now") -> ReplayAnswer:
        """Repeat a decision from its record, and compare the answers to the byte.

        Raises
        ------
        DecisionUnknown
            If the service made no such decision.
        NotRepeatable
            If retention has removed its record.
        """
        return self._compare(self._logged_row(decision_id), with_catalog)

    def since(
        self, since: datetime, limit: int | None, with_catalog: str = "now"
    ) -> Iterator[ReplayAnswer]:
        """Replay all decisions since a time, the oldest first."""
        names = self._decision_ids(since, limit)
        for start in range(0, len(names), BATCH):
            yield from self._compare_some(names[start : start + BATCH], with_catalog)

    def _compare_some(self, names: list[str], with_catalog: str) -> Iterator[ReplayAnswer]:
        try:
            found = self._rows(names)
        except NotRepeatable as error:  # of one of them, bytes are damaged: the others can be read
            if len(names) == 1:
                yield ReplayAnswer(decision_id=names[0], identical=False, causes=[str(error)])
            else:
                for name in names:
                    yield from self._compare_some([name], with_catalog)
            return
        rows = {row.decision_id: row for row in found if not is_removed(row)}
        yield from (self._compare(rows[name], with_catalog) for name in names if name in rows)

    def count(self, since: datetime, limit: int | None) -> int:
        """Number of decisions that `since` replays."""
        return len(self._decision_ids(since, limit))

    def explain(self, decision_id: str) -> ExplainAnswer:
        """Repeat a decision with the models and catalogue of then, and explain it.

        Raises
        ------
        DecisionUnknown
            If the service made no such decision.
        NotRepeatable
            If the models, the catalogue or the record of the decision no longer exist.
        """
        row = self._logged_row(decision_id)
        record = from_json(row.record)
        if record["features_layout"] != self._archive.fingerprint:
            raise _not_repeatable(decision_id, "the domain file has changed since")
        catalog = self._archive.catalog(record["catalog"])
        if catalog is None:
            raise _not_repeatable(decision_id, "its catalogue is not in the ledger")
        try:
            repeated = self._repeat(row, record, catalog, explain=True)
            plain = self._repeat(row, record, catalog)
            remark = self._remark(row, catalog)
        except (ModelMissing, RegistryDown, ValueError) as error:  # or a belief that is damaged
            raise _not_repeatable(decision_id, str(error)) from error
        as_logged = plain.decision.model_dump_json() == row.answer
        return ExplainAnswer(decision=repeated.decision, as_logged=as_logged, remark=remark)

    def _remark(self, row: Any, catalog: Catalog) -> str | None:
        """Say by which other model an explanation was made; None if by that of the decision."""
        answer = from_json(row.answer)
        if answer["explanation"]:  # its contributions are those that were told then
            return None
        stand_in = self._archive.stand_in(catalog, answer["models"])
        if stand_in is None:
            return None
        if row.believed is None:
            return OF_EARLIER_RELEASE.format(stand_in.named)
        if not stand_in.explains:
            return "What each feature adds to the acceptance is not told: no snapshot is kept."
        return (
            f"What each feature adds to the acceptance is told by {stand_in.named}; the sums are "
            "what was believed."
        )

    def _compare(self, row: Any, with_catalog: str) -> ReplayAnswer:
        record = from_json(row.record)
        then = record["catalog"]
        catalog = self._now if with_catalog == "now" else self._archive.catalog(then)
        causes = self._causes(record, catalog)
        if catalog is None or record["features_layout"] != self._archive.fingerprint:
            return ReplayAnswer(decision_id=row.decision_id, identical=False, causes=causes)
        try:
            repeated = self._repeat(row, record, catalog)
        except Exception as error:  # a changed catalogue or a lost model may raise anything
            causes.append(_cause(error))
            return ReplayAnswer(decision_id=row.decision_id, identical=False, causes=causes)
        causes += self._of_models(row, catalog, repeated)
        answer = repeated.decision.model_dump_json()
        if answer == row.answer:
            return ReplayAnswer(decision_id=row.decision_id, identical=True)
        return ReplayAnswer(
            decision_id=row.decision_id,
            identical=False,
            causes=causes or ["nothing that we keep has changed: the program itself, or the log"],
            differences=list(_differences(from_json(row.answer), from_json(answer)))[
                :MAX_DIFFERENCES
            ],
        )

    def _causes(self, record: Mapping[str, Any], catalog: Catalog | None) -> list[str]:
        """Known differences between the setup of then and of now."""
        causes = []
        if record["features_layout"] != self._archive.fingerprint:
            causes.append("domain: the domain file has changed since; its features mean another")
        if catalog is None:
            causes.append(f"catalog: {record['catalog']} is not in the ledger")
        elif catalog.fingerprint != record["catalog"]:
            then = self._archive.catalog(record["catalog"])
            before = then.model_dump(mode="json") if then else {}
            found = list(_differences(before, catalog.model_dump(mode="json"))) if then else []
            named = "; ".join(f"{one.field} was {one.then!r}, is {one.now!r}" for one in found[:5])
            causes.append(
                f"catalog: decided with {record['catalog']}, now {catalog.fingerprint}"
                + (f" ({named})" if named else "")
            )
        return causes

    def _of_models(self, row: Any, catalog: Catalog, repeated: RepeatedDecision) -> list[str]:
        """Say of which actions the acceptance is that of another model than that of then."""
        if row.believed is not None and not repeated.asked:
            return []
        versions = from_json(row.answer)["models"]
        stand_in = self._archive.stand_in(catalog, versions)
        if row.believed is None:
            return [f"models: {OF_EARLIER_RELEASE.format(stand_in.named)}"] if stand_in else []
        names = ", ".join(repeated.asked[:5]) + (", ..." if len(repeated.asked) > 5 else "")
        nothing = f"models: of {names} nothing was believed then, or with another prior; their"
        causes = [f"{nothing} acceptance is told by {stand_in.named}"] if stand_in else []
        if self._archive.lacks_effects(catalog, versions):
            gone = f"effect model {versions['effects']} is not kept"
            causes.append(f"{nothing} effects count as 0, as {gone}")
        return causes

    def _repeat(
        self, row: Any, record: Mapping[str, Any], catalog: Catalog, explain: bool = False
    ) -> RepeatedDecision:
        answer = from_json(row.answer)
        setup = self._archive.setup(catalog, answer["models"])
        other = record["catalog"] != catalog.fingerprint
        then = self._archive.catalog(record["catalog"]) if other else None
        return repeat_decision(setup, row, record, answer, explain, then)

    def _decision_ids(self, since: datetime, limit: int | None) -> list[str]:
        columns = tables.decisions.c
        query = sa.select(columns.decision_id)
        query = query.where(columns.answer.is_not(None), columns.decided_at >= since)
        query = query.order_by(columns.decided_at, columns.decision_id).limit(limit)
        return self._ledger.read(lambda connection: list(connection.execute(query).scalars()))

    def _logged_row(self, decision_id: str) -> Any:
        for row in self._rows([decision_id]):
            if is_removed(row):
                raise NotRepeatable(
                    f"The record of decision_id {decision_id!r} of {row.decided_at.isoformat()} "
                    "was removed by retention.",
                    expected="a decision younger than NBA_RETENTION_RECORDS_DAYS",
                    remedy="Its actions and outcomes are kept; /v1/customer shows them.",
                )
            return row
        raise DecisionUnknown(
            f"decision_id {decision_id!r} is not of a decision that we have made.",
            expected="the decision_id of an answer of /v1/decide",
            remedy="Send the id exactly as it was answered.",
        )

    def _rows(self, decision_ids: list[str]) -> list[Any]:
        columns = tables.decisions.c
        read = (
            columns.decision_id,
            columns.subject,
            columns.decided_at,
            columns.channel,
            columns.features,
            columns.record,
            columns.believed,
        )
        query = sa.select(*read, columns.answer)
        query = query.where(columns.decision_id.in_(decision_ids), columns.record.is_not(None))
        return self._ledger.read(lambda connection: list(connection.execute(query)))


def _differences(then: Any, now: Any, field: str = "") -> Iterator[Difference]:
    """Yield the fields in which two JSON contents differ."""
    if isinstance(then, dict) and isinstance(now, dict):
        for name in dict.fromkeys([*then, *now]):
            inner = f"{field}.{name}" if field else str(name)
            yield from _differences(then.get(name), now.get(name), inner)
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for index, pair in enumerate(zip(then, now, strict=True)):
            yield from _differences(*pair, f"{field}.{index}")
    elif then != now:
        yield Difference(field=field, then=then, now=now)


def _cause(error: Exception) -> str:
    """Say why a decision cannot be repeated; the text of an error that is not ours is logged."""
    if isinstance(error, NbaError):
        return str(error)
    log.error("A decision could not be repeated", exc_info=error)
    return f"it could not be repeated ({type(error).__name__}); see the log"


def _not_repeatable(decision_id: str, why: str) -> NotRepeatable:
    return NotRepeatable(
        f"decision_id {decision_id!r} cannot be repeated: {why}",
        expected="a decision whose catalogue, domain and models are still here",
        remedy="Its answer stands as logged; /v1/customer shows it.",
    )
