"""Repeats logged decisions with another catalogue or other models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

import numpy as np

from features.business.catalog import NO_ACTION, Catalog
from features.customers.contacts import Contact
from features.ledger.ledger import Ledger
from features.ledger.tables import micros
from serving.audit.archive import Archive
from serving.audit.logged_decisions import LoggedDecision, RecordedPaces, windows_of
from serving.audit.repeated_decision import inputs_from_record
from serving.audit.replayed_log import NEAREST, NO_EFFECTS, UNSPENT, Probabilities
from serving.decide.beliefs import believed_effects, mixed_beliefs, read_beliefs
from serving.decide.choice import score, select
from serving.decide.decision_setup import DecisionSetup
from serving.decide.limit_inputs import account_contacts_of, contacts_of, limit_inputs_of
from serving.decide.step_results import ActionPredictions, LimitInputs, ScoredActions


class EvaluationTarget(NamedTuple):
    """The catalogue and model versions to evaluate.

    Attributes
    ----------
    catalog : Catalog
    versions : by model
        They replace the logged versions; a model that is not named keeps its logged version.
    """

    catalog: Catalog
    versions: Mapping[str, str]


class RepeatedChoice(NamedTuple):
    """The probabilities of a policy at a logged decision, and what is said of them."""

    chances: Probabilities
    notes: Sequence[str] = ()


class Repetition:
    """Repeats logged decisions, with every customer in the arm of the policy.

    Raises
    ------
    ModelMissing, NotRepeatable
        From `decided` and `evaluated`, if the models or the catalogue that they need can no longer
        be used.
    InvalidRequest
        If the evaluated catalogue does not have an action or a context that was asked for.
    """

    def __init__(self, ledger: Ledger, archive: Archive, target: EvaluationTarget) -> None:
        self._ledger = ledger
        self._archive = archive
        self._target = target
        self._policies: dict[str, str] = {}
        self._paces = RecordedPaces(ledger)

    def decided(self, decision: LoggedDecision) -> RepeatedChoice:
        """Probabilities of the policy that decided, for whatever arm the decision was made."""
        if decision.row.arm == "policy":
            return RepeatedChoice(decision.logged)
        return self._repeat(decision, decision.catalog, {})

    def evaluated(self, decision: LoggedDecision) -> RepeatedChoice:
        """Probabilities of the evaluated policy.

        Those of the policy that decided are taken from the log, not computed again: they are known
        exactly, and its models may be gone.
        """
        if not self._target.versions and self._same_policy(decision.catalog):
            return self.decided(decision)
        return self._repeat(decision, self._target.catalog, self._target.versions)

    def windows(
        self, decision: LoggedDecision, decided: Probabilities, evaluated: Probabilities
    ) -> list[float]:
        """The attribution windows, in days, of all actions that one of the policies could draw."""
        logged = {*decision.logged, *decided}
        return windows_of(logged, decision.catalog) + windows_of(evaluated, self._target.catalog)

    def _repeat(
        self, decision: LoggedDecision, catalog: Catalog, versions: Mapping[str, str]
    ) -> RepeatedChoice:
        row, record, answer, _ = decision
        models = {**answer["models"], **versions}
        setup = self._archive.setup(catalog, models)
        inputs = inputs_from_record(setup, row, record, answer, explain=False)
        other = catalog is not decision.catalog  # it would be served as catalogues are served now
        inputs = replace(inputs, arm="policy", shared=inputs.shared or other)
        locked = self._locked(setup, decision, inputs.customer_id)
        prediction, anew, known = None, None, set[str]()
        if row.believed is not None and "bandit" not in versions:
            prediction, known = believed(decision, catalog, setup)
        elif row.believed is not None:  # what was believed of the effects holds for any bandit
            accepted = setup.models.predict(inputs.row, row.channel)
            anew = believed_effects(row, decision.catalog, catalog, setup.models, accepted)
        scored, unspent = score(setup, inputs, prediction, predicted=anew), False
        if other:
            locked, unspent = self._paced(locked, setup, scored, row.decided_at)
        selected = select(setup, inputs, scored, locked)
        names = (*setup.compiled.actions, NO_ACTION)
        held = [names[index] for index in selected.candidates.tolist()]
        chances = dict(zip(held, selected.probabilities.tolist(), strict=True))
        notes = [UNSPENT] if unspent else []
        if not chances.keys() <= {*known, NO_ACTION}:
            notes += [NEAREST] if self._archive.stand_in(catalog, models) else []
            notes += [NO_EFFECTS] if self._archive.lacks_effects(catalog, models) else []
        return RepeatedChoice(chances, notes)

    def _paced(
        self, locked: LimitInputs, setup: DecisionSetup, scored: ScoredActions, at: datetime
    ) -> tuple[LimitInputs, bool]:
        """Add pacing states that the decision did not read, as other decisions read them before.

        The second value is True if a state is not known.
        """
        missing = set(setup.pacer.priced_names(scored.eligibility.out)) - set(locked.paces)
        found = {name: self._paces.state(name, at) for name in sorted(missing)}
        known = {name: state for name, state in found.items() if state is not None}
        return replace(locked, paces={**locked.paces, **known}), len(known) < len(missing)

    def _same_policy(self, catalog: Catalog) -> bool:
        policies = (self._without_arms(one) for one in (catalog, self._target.catalog))
        return len(set(policies)) == 1

    def _without_arms(self, catalog: Catalog) -> str:
        """The fingerprint of a catalogue, but for its arms."""
        fingerprint = catalog.fingerprint
        if fingerprint not in self._policies:
            plain = catalog.with_parts(arms={"random": 0, "nobody": 0})
            self._policies[fingerprint] = plain.fingerprint
        return self._policies[fingerprint]

    def _locked(
        self, setup: DecisionSetup, decision: LoggedDecision, customer_id: str
    ) -> LimitInputs:
        """Take the locked inputs from the record.

        Where the other contact policy looks further back than the logged one, contacts are read
        from the ledger.
        """
        row, record = decision.row, decision.record
        locked, at = limit_inputs_of(record, customer_id), row.decided_at
        days, reaction_days = self._archive.looks_back_days(record["catalog"])
        policy = setup.contact_policy
        known = policy.days <= days and policy.reaction_days <= reaction_days
        if known and _counted(setup, locked, row.channel):
            return locked
        then = limits_then(self._ledger, setup, customer_id, row.channel, at)
        return replace(locked, contacts=then.contacts, account=then.account)


def limits_then(
    ledger: Ledger, setup: DecisionSetup, customer_id: str, channel: str, at: datetime
) -> LimitInputs:
    """Read the contacts of a customer as of a time in the past; no pacing states."""
    contacts, account = ledger.read(
        lambda c: (
            contacts_of(c, setup, customer_id, at),
            account_contacts_of(c, setup, customer_id, channel, at, before=at),
        )
    )
    if account is not None:
        account = account._replace(showings=_until(account.showings, micros(at)))
    return LimitInputs(_until(contacts, micros(at)), {}, account)


def believed(
    decision: LoggedDecision, catalog: Catalog, setup: DecisionSetup
) -> tuple[ActionPredictions | None, set[str]]:
    """Read what was believed of the actions of a catalogue, and for which the decision says it.

    Of an action that was no candidate, or has another prior, the models are asked.
    """
    row, record, then = decision.row, decision.record, decision.catalog
    if catalog is then:
        return read_beliefs(row.believed, record, setup.compiled), set(decision.logged)
    mixed = mixed_beliefs(row, then, catalog, setup.models)
    if mixed is None or mixed.asked is None:
        return None, set()
    names = np.array(list(catalog.actions))
    return mixed, set(names[~mixed.asked].tolist())


def _counted(setup: DecisionSetup, logged: LimitInputs, channel: str) -> bool:
    """Return whether the record holds what a contact policy needs of the customer's account."""
    if logged.account is None:  # there was no account, or the logged policy had no such rule
        return not setup.contact_policy.per_account
    counts, window = setup.contact_policy.of_account(channel)
    known = all(one.key in logged.account.counts for one in counts)
    return known and (window is None or window.key == logged.account.showings_of)


def _until(contacts: Sequence[Contact], at_us: int) -> list[Contact]:
    """Take contacts and their outcomes before a time, in microseconds since 1970."""
    return [
        one._replace(
            outcomes_at={name: when for name, when in one.outcomes_at.items() if when < at_us}
        )
        for one in contacts
        if one.shown_us < at_us
    ]
