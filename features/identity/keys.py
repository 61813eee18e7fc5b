"""A key is a customer id or an identifier; every key is kept in one spelling.

The domain file says for each namespace of identifiers how its values are normalized, and whether
it names a person or only a device.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from copy import copy
from typing import Literal

from features.business.domain import Domain, KeyKind
from features.errors import InvalidKey, quoted
from features.identity.spelling import Placeholders, decimal_digits, folded, one_spelling

# No spaces and no control characters: PostgreSQL keeps no NUL, and nobody can see the others.
ID_PATTERN = r"^[^\s\x00-\x1f\x7f-\x9f]+$"
ID_LENGTH = 200
IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*:[^\s\x00-\x1f\x7f-\x9f]+")
CUSTOMER_ID_RANK, IDENTIFIER_RANK, ANONYMOUS_RANK = range(3)
# The kinds of keys, from the one that says most about who somebody is.
KINDS: tuple[Literal["customer_id"] | KeyKind, ...] = (
    *("customer_id", "strong", "personal", "anonymous"),
)


class KeyNormalizer:
    """Normalizes customer ids and identifiers as the domain file says for each namespace."""

    def __init__(self, domain: Domain) -> None:
        self._namespaces = domain.identifiers
        self._placeholders: Placeholders | tuple[()] = Placeholders(domain.identity.placeholders)
        self.rules = domain.identity

    def with_placeholders(self) -> KeyNormalizer:
        """Make a normalizer of stored keys, which may be of a time before these were refused."""
        other = copy(self)
        other._placeholders = ()
        return other

    def identifier(self, text: str) -> str:
        """Normalize an identifier: one Unicode form, and the rule of its namespace.

        Raises
        ------
        InvalidKey
            If it is not ``namespace:value``, of a namespace that the business does not have, or
            its value is a placeholder such as ``undefined`` (`Placeholders`).
        """
        cleaned = self._identifier(text, "identifiers")
        self._refuse_placeholder(text, cleaned, "identifiers")
        return cleaned

    def refuse_placeholders(self, keys: Iterable[str], field: str) -> None:
        """Refuse keys that name nobody, such as ``undefined``.

        Raises
        ------
        InvalidKey
            Names the first one, as the caller sent it.
        """
        for key in keys:
            self._refuse_placeholder(key, self._key(key, field), field)

    def _key(self, text: str, field: str) -> str:
        """Normalize a customer id or an identifier, which may be a placeholder."""
        cleaned = one_spelling(text)
        if cleaned.partition(":")[0].strip() in self._namespaces:
            return self._identifier(text, field)
        if not re.fullmatch(ID_PATTERN, cleaned) or len(cleaned) > ID_LENGTH:
            raise _invalid(field, text, f"a text of at most {ID_LENGTH} characters without spaces")
        return cleaned

    def _identifier(self, text: str, field: str) -> str:
        namespace, colon, value = one_spelling(text.strip()).partition(":")
        known = self._namespaces.get(namespace)
        if self._namespaces and known is None:
            expected = f"one of the namespaces {', '.join(self._namespaces)}, such as "
            raise _invalid(field, text, expected + f"{next(iter(self._namespaces))}:123")
        value = value.strip()
        if known and known.normalize == "lower":
            value = folded(value)
        if known and known.normalize == "digits":
            value = re.sub(r"^(00)+", "", decimal_digits(value))
        cleaned = f"{namespace}{colon}{value}"
        if not IDENTIFIER.fullmatch(cleaned) or len(cleaned) > ID_LENGTH:
            raise _invalid(field, text, "namespace:value, such as card:123")
        return cleaned

    def _refuse_placeholder(self, text: str, cleaned: str, field: str) -> None:
        """Compare the key as it was sent and as it is stored, with and without its namespace."""
        for one in {one_spelling(text), cleaned}:
            namespace, _, value = one.partition(":")
            is_identifier = value and (not self._namespaces or namespace in self._namespaces)
            if one in self._placeholders or (is_identifier and value.strip() in self._placeholders):
                raise InvalidKey(
                    field,
                    f"{field} has {quoted(text)}, a placeholder that names nobody.",
                    expected="a key of one customer or device",
                    remedy="Leave the field out where there is no key.",
                )

    def keys(self, customer_id: str | None, identifiers: Iterable[str]) -> tuple[str, ...]:
        """Normalize all keys by which a caller names one customer.

        Returns
        -------
        tuple of str
            Each key once: the customer id, then identifiers in the order of `KINDS`; those of one
            kind as the caller sent them. Devices are always last.

        Raises
        ------
        InvalidKey
            If one of them cannot be used.
        """
        named = [self.customer(customer_id)] if customer_id else []
        others = sorted(map(self.identifier, identifiers), key=self._strength)
        # The id of somebody who never logged in may be that of a device: it names nobody.
        keys = sorted([*named, *others], key=self.is_anonymous)
        return tuple(dict.fromkeys(keys))

    def asked(self, customer_id: str | None, identifiers: Iterable[str]) -> tuple[str, ...]:
        """Normalize the keys that say about whom a caller asks: a customer id always wins.

        A named identifier wins over a device, which somebody else may have held before.
        """
        keys = self.keys(customer_id, identifiers)
        if customer_id:
            return keys[:1]
        return tuple(key for key in keys if not self.is_anonymous(key)) or keys

    def each(self, keys: Iterable[str], field: str = "keys") -> list[str]:
        """Normalize customer ids and identifiers, in any mixture.

        They may be placeholders: links of such keys, made before these were refused, can be undone.
        """
        return [self._key(key, field) for key in keys]

    def customer(self, customer_id: str) -> str:
        """Normalize a customer id. The id of an unlinked customer may be an identifier.

        Its case is kept: of most businesses' ids, ``a1`` and ``A1`` are two.

        Raises
        ------
        InvalidKey
            If it cannot be used, or is a placeholder such as ``undefined`` or ``0``.
        """
        cleaned = self._key(customer_id, "customer_id")
        self._refuse_placeholder(customer_id, cleaned, "customer_id")
        return cleaned

    def kind(self, key: str) -> Literal["customer_id"] | KeyKind:
        """Return the kind of a key, or of a node (`holders`)."""
        namespace, colon, _ = key.partition(":")
        known = self._namespaces.get(namespace)
        if known is None:
            return "strong" if colon and not self._namespaces else "customer_id"
        return known.kind

    def is_anonymous(self, key: str) -> bool:
        """Return whether a key is of a device, and not of a person."""
        return self.kind(key) == "anonymous"

    def rank(self, key: str) -> int:
        """Rank a key: a merged customer is named by its key of the lowest rank."""
        ranks = {"customer_id": CUSTOMER_ID_RANK, "anonymous": ANONYMOUS_RANK}
        return ranks.get(self.kind(key), IDENTIFIER_RANK)

    def _strength(self, key: str) -> int:
        return KINDS.index(self.kind(key))


def _invalid(field: str, text: str, expected: str) -> InvalidKey:
    return InvalidKey(
        field,
        f"{field} has {quoted(text)}.",
        expected=expected,
        remedy="Correct it, or describe its namespace under 'identifiers' in the domain file.",
    )
