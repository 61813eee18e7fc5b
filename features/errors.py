"""Errors that the program raises on purpose: what happened, what was expected, what to do.

* NbaError
  x InvalidSetting      a setting or parameter has a value we cannot use    exit code 2
  x InvalidDomain       a domain or action file breaks its rules            exit code 2
    x InvalidCondition  a condition or formula in one does
  x InvalidData         a contract table breaks the domain's rules          exit code 2
    x InvalidEvent      one event does; says which field of it
    x InvalidKey        a customer id or an identifier cannot be used
    x InvalidLog        logged decisions do not allow the evaluation asked for
  x InvalidRequest      a caller's request breaks the API contract          HTTP 400
  x IdentityUnknown     a link, a customer or an erasure is not there       HTTP 404
  x CustomerForgotten   the customer was erased and must not come back      HTTP 410
  x NotVisible          in the ledger, but the feature store is down        HTTP 503
  x NotCounted          journeys that are not counted yet                    HTTP 503
  x LedgerDown          the ledger's database does not answer               HTTP 503
  x Overloaded          more work waits than can be done soon               HTTP 503
  x DecisionUnknown     an outcome names a decision we never made           HTTP 404
  x DecisionConflict    an id is sent again with another content            HTTP 409
  x AlreadyDecided      a merge candidate was decided otherwise             HTTP 409
  x NotConfirmed        an erasure is of several customers merged into one  HTTP 409
  x NotRepeatable       a model or catalogue of a decision is gone          HTTP 409
  x ModelMissing        the registry holds no such model or version         exit code 2
  x GateFailed          a model is not good enough to be promoted           exit code 1
  x RegistryDown        MLflow does not answer (`registry`)                 exit code 2
  x NothingAllowed      a policy was asked to choose from nothing           a bug
"""

from __future__ import annotations

from features.masking import masked

MAX_SHOWN = 80  # characters of a value in an error sentence


def quoted(value: object) -> str:
    """Quote a value for an error sentence, with at most `MAX_SHOWN` characters, secrets masked."""
    return truncated(masked(repr(value)))  # an address that is cut before its host looks like none


def truncated(text: str) -> str:
    """Truncate a text to at most `MAX_SHOWN` characters."""
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."


class NbaError(Exception):
    """Says what happened, what was expected, and what to do next; secrets are masked."""

    def __init__(self, happened: str, *, expected: str, remedy: str) -> None:
        super().__init__(masked(f"{happened} Expected {expected}. {remedy}"))

    def __str__(self) -> str:
        return masked(super().__str__())  # of those who make their sentences themselves


class InvalidSetting(NbaError):
    """A setting or parameter has a value that cannot be used."""


class InvalidDomain(NbaError):
    """A domain or action file breaks its rules."""


class InvalidCondition(InvalidDomain):
    """A condition or formula breaks its language, or names what the business does not have.

    Attributes
    ----------
    wrong, expected, remedy : str
        The three parts of the sentence, without the text.
    """

    def __init__(self, text: str, wrong: str, *, expected: str, remedy: str) -> None:
        super().__init__(f"`{text}` {wrong}.", expected=expected, remedy=remedy)
        self.wrong, self.expected, self.remedy = wrong, expected, remedy


class InvalidData(NbaError):
    """A contract table, an event or an identifier breaks the domain's rules."""


class InvalidEvent(InvalidData):
    """An event breaks the domain's rules.

    Attributes
    ----------
    field : str
        The field of the event, such as ``properties.score``.
    """

    def __init__(self, field: str, sentences: str) -> None:
        Exception.__init__(self, sentences)
        self.field = field


class InvalidKey(InvalidData):
    """A customer id or an identifier cannot be used.

    Attributes
    ----------
    field : str
        The field that holds it, such as ``identifiers``.
    """

    def __init__(self, field: str, happened: str, *, expected: str, remedy: str) -> None:
        super().__init__(happened, expected=expected, remedy=remedy)
        self.field = field


class InvalidLog(InvalidData):
    """Logged decisions, or the policy to evaluate, do not allow the evaluation asked for."""


class InvalidRequest(NbaError):
    """A caller's request breaks the API contract."""


class IdentityUnknown(NbaError):
    """A link, a customer or an erasure that is not there."""


class CustomerForgotten(NbaError):
    """The customer was erased and must be readmitted on purpose."""


class NotVisible(NbaError):
    """Events are in the ledger, but the feature store cannot show them to a decision."""


class NotCounted(NbaError):
    """The journeys are not counted yet, or not as they were known at that time."""


class LedgerDown(NbaError):
    """The database of the ledger does not answer; what was acknowledged is in it."""


class Overloaded(NbaError):
    """More work waits than can be done soon; nothing was written."""


class DecisionUnknown(NbaError):
    """An outcome names a decision that was never made."""


class DecisionConflict(NbaError):
    """An id is sent again with another content."""


class AlreadyDecided(NbaError):
    """A merge candidate that was decided otherwise, or whose customers are one already."""


class NotConfirmed(NbaError):
    """An erasure of several named keys that was not confirmed.

    Attributes
    ----------
    named : list of str
        The named keys of all whom it would erase, in their order.
    """

    def __init__(self, happened: str, *, expected: str, remedy: str, named: list[str]) -> None:
        super().__init__(happened, expected=expected, remedy=remedy)
        self.named = named


class NotRepeatable(NbaError):
    """A model or catalogue with which a decision was made is gone."""


class ModelMissing(NbaError):
    """The registry holds no such model or version."""


class GateFailed(NbaError):
    """A model is not good enough to be promoted."""


class NothingAllowed(NbaError):
    """A policy was asked to choose although no action is allowed."""
