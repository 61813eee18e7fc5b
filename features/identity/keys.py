"""A key is a customer id or an identifier; every key is kept in one spelling.

The domain file says for each namespace of identifiers how its values are normalized, and whether
it names a person or only a device.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from features.business.domain import Domain
from features.errors import InvalidData, quoted

# No spaces and no control characters: PostgreSQL keeps no NUL, and nobody can see the others.
ID_PATTERN = r"^[^\s\x00-\x1f\x7f]+$"
ID_LENGTH = 200
IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*:[^\s\x00-\x1f\x7f]+")
CUSTOMER_ID_RANK, IDENTIFIER_RANK, ANONYMOUS_RANK = range(3)


class KeyNormalizer:
    """Normalizes customer ids and identifiers as the domain file says for each namespace."""

    def __init__(self, domain: Domain) -> None:
        self._namespaces = domain.identifiers

    def identifier(self, text: str) -> str:
        """Normalize an identifier.

        Raises
        ------
        InvalidData
            If it is not ``namespace:value``, or of a namespace that the business does not have.
        """
        namespace, colon, value = text.strip().partition(":")
        known = self._namespaces.get(namespace)
        if self._namespaces and known is None:
            expected = f"one of the namespaces {', '.join(self._namespaces)}, such as "
            raise _invalid(text, expected + f"{next(iter(self._namespaces))}:123")
        if known and known.normalize == "lower":
            value = value.strip().lower()
        if known and known.normalize == "digits":
            value = re.sub(r"^00", "", re.sub(r"[^0-9]", "", value))
        cleaned = f"{namespace}{colon}{value}"
        if not IDENTIFIER.fullmatch(cleaned) or len(cleaned) > ID_LENGTH:
            raise _invalid(text, "namespace:value, such as card:123")
        return cleaned

    def keys(self, customer_id: str | None, identifiers: Iterable[str]) -> tuple[str, ...]:
        """Normalize all keys by which a caller names one customer.

        Returns
        -------
        tuple of str
            The customer id first, each key once.

        Raises
        ------
        InvalidData
            If an identifier cannot be used.
        """
        named = [self.customer(customer_id)] if customer_id else []
        return tuple(dict.fromkeys([*named, *map(self.identifier, identifiers)]))

    def each(self, keys: Iterable[str]) -> list[str]:
        """Normalize customer ids and identifiers, in any mixture."""
        return [self.customer(key) for key in keys]

    def customer(self, customer_id: str) -> str:
        """Normalize a customer id. The id of an unlinked customer may be an identifier.

        Raises
        ------
        InvalidData
            If it cannot be used.
        """
        if customer_id.partition(":")[0] in self._namespaces:
            return self.identifier(customer_id)
        if not re.fullmatch(ID_PATTERN, customer_id):
            raise _invalid(customer_id, "a text without spaces")
        return customer_id

    def rank(self, key: str) -> int:
        """Rank a key: a merged customer is named by its key of the lowest rank."""
        namespace, colon, _ = key.partition(":")
        known = self._namespaces.get(namespace)
        if known is None:
            return IDENTIFIER_RANK if colon and not self._namespaces else CUSTOMER_ID_RANK
        return ANONYMOUS_RANK if known.kind == "anonymous" else IDENTIFIER_RANK


def _invalid(text: str, expected: str) -> InvalidData:
    return InvalidData(
        f"identifiers has {quoted(text)}.",
        expected=expected,
        remedy="Correct it, or describe its namespace under 'identifiers' in the domain file.",
    )
