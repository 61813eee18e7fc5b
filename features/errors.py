"""Every error we raise on purpose: what happened, what was expected, what to do.

* NbaError
  x InvalidSetting      a setting or parameter has a value we cannot use    exit code 2
  x InvalidDomain       a domain or action file breaks its rules            exit code 2
    x InvalidCondition  a condition or formula in one does
  x InvalidData         a contract table breaks the domain's rules          exit code 2
    x InvalidEvent      one event does; says which field of it
    x InvalidLog        logged decisions cannot carry the judgement asked
  x InvalidRequest      a caller's request breaks the API contract          HTTP 400
  x IdentityUnknown     a link that does not hold cannot be undone          HTTP 404
  x CustomerForgotten   the customer was erased and must not come back      HTTP 410
  x NotVisible          kept in the ledger, but the feature store is down   HTTP 503
  x LedgerDown          the ledger's database does not answer               HTTP 503
  x DecisionUnknown     an outcome names a decision we never made           HTTP 404
  x DecisionConflict    an id comes back with another content               HTTP 409
  x NotRepeatable       what a decision was made with is gone               HTTP 409
  x ModelMissing        the registry holds no such model or version         exit code 2
  x GateFailed          a model is not good enough to be promoted           exit code 1
  x RegistryDown        MLflow does not answer (`registry`)       exit code 2
  x NothingAllowed      a policy was asked to choose from nothing           a bug
"""

from __future__ import annotations

MAX_SHOWN = 80  # characters of a value that a refusal quotes


def quoted(value: object) -> str:
    """A value as a refusal quotes it; who sends a megabyte does not get one back."""
    return truncated(repr(value))


def truncated(text: str) -> str:
    """A text as a refusal names it, not longer than `MAX_SHOWN`."""
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."


class NbaError(Exception):
    """Says what happened, what was expected, and what to do next."""

    def __init__(self, happened: str, *, expected: str, remedy: str) -> None:
        super().__init__(f"{happened} Expected {expected}. {remedy}")


class InvalidSetting(NbaError):
    """A setting or parameter has a value we cannot use."""


class InvalidDomain(NbaError):
    """A domain or action file breaks its rules."""


class InvalidCondition(InvalidDomain):
    """A condition or formula breaks its language, or names what the business does not have."""


class InvalidData(NbaError):
    """A contract table, an event or an identifier breaks the domain's rules."""


class InvalidEvent(InvalidData):
    """An event breaks the domain's rules.

    Attributes
    ----------
    field : str
        Which field of it, such as ``properties.score``.
    """

    def __init__(self, field: str, sentences: str) -> None:
        Exception.__init__(self, sentences)
        self.field = field


class InvalidLog(InvalidData):
    """Logged decisions, or the policy to judge on them, cannot carry the judgement asked."""


class InvalidRequest(NbaError):
    """A caller's request breaks the API contract."""


class IdentityUnknown(NbaError):
    """A link that does not hold cannot be undone."""


class CustomerForgotten(NbaError):
    """The customer was erased and must not come back by itself."""


class NotVisible(NbaError):
    """Events are kept in the ledger, but the feature store cannot show them to a decision."""


class LedgerDown(NbaError):
    """The database of the ledger does not answer; what was acknowledged is in it."""


class DecisionUnknown(NbaError):
    """An outcome names a decision we never made."""


class DecisionConflict(NbaError):
    """An id comes back with another content."""


class NotRepeatable(NbaError):
    """What a decision was made with is gone."""


class ModelMissing(NbaError):
    """The registry holds no such model or version."""


class GateFailed(NbaError):
    """A model is not good enough to be promoted."""


class NothingAllowed(NbaError):
    """A policy was asked to choose from nothing."""
