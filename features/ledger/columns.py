"""Defines the column types and the metadata that all tables of the ledger share."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from features.errors import NotRepeatable, quoted

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAN_BITS = np.array([np.nan], "<f8").view("<u8")[0]
_NO_FLOATS = np.empty(0)
FORMAT = b"\x01"  # the first byte of a compressed text: the number of its dictionary
LEVEL, WINDOW_BITS, MEMORY = 3, -13, 5  # of zlib: no header, and little memory to prepare
# Texts that most answers and records contain, the most frequent last. Never changed: a text is read
# with the dictionary by which it was compressed.
JSON_DICTIONARY = (
    b'","fingerprint","content","page":"help","visits","location":"","shop","call_centre","c'
    b'all_center","push","sms","letter","email","web","app","promotion","retention","service'
    b'","offers","loyalty","other","title":"","body":"","text":"","image":"","url":"https://'
    b'www."contact_policy.quiet_hours.0","contact_policy.suspension","contact_policy.cool_do'
    b'wns.1","contact_policy.cool_downs.0","contact_policy.caps.2","contact_policy.caps.1","'
    b'contact_policy.features_unknown","customer.left","consent.marketing","treatments","req'
    b'uest.exclude","request.actions","dates","budgets.","suitability","applicability","elig'
    b'ibility","contact_policy.caps.0",""accepted":17,"rejected":17,"clicked":17,"converted"'
    b':17,"account":{"counts":{},"showings":[],"showings_of":null},"context":{"activate":fal'
    b'se,"explain":true,"exclude":["actions":["features_problem":"","left_at":"2026-"volume"'
    b':{"day":"2026-12-","spent":1.0,"price":0.0,"at":17,"learned":1.0},"budgets.{"request":'
    b'{"customer_id":"identifiers":["placement":"home","slots":3,"decision_id":"channel":"ap'
    b'p"},"consents":{"marketing":true,"profiling":true,"analytics":false},"contacts":[[true'
    b',"offers","app",17,{}],[true,"]],"paces":{"actions.},"catalog":"features_layout":"attr'
    b'ibution_days":{":14.0,":30.0,":3.0,":1.0,":7.0},"removed":{},"seed":"features: the onl'
    b'ine store failed; the base rate of training is told as churn and intent","no_past: no '
    b'event of the customer is known; the base rate of training is told as ","intent: no cha'
    b"mpion in MLflow; run 'nba train --promote'\",\"bandit: no champion in MLflow; run 'nba t"
    b'rain --promote\'","churn: no champion in MLflow; run \'nba train --promote\'","treatment"'
    b':{"title":"Your ","body":"The "},"treatment":{},"Nothing is shown; that costs nothing '
    b'and may be worth most."]}Control group: drawn evenly from all allowed actions."]}Pushe'
    b'd by 0. USD, so that it reaches its volume of the day.","Held back by 0. USD, so that '
    b'its volume or budget lasts all day.","Tried to learn: the best action promises 0. EUR '
    b'more."]}Tried to learn: the best action promises 0. USD more."]},"rank":3,"rank":2,"pr'
    b'obability":1.0,"acceptance":0.0,"priority":0.0,"reasons":["0% chance of acceptance x w'
    b'eight 2 x 10.00 EUR x lever 1.5 - 0.50 EUR cost = -0. USD","{"decision_id":"06","custo'
    b'mer_id":"h","known":false,"decided_at":"2026-12-","arm":"control","known":true,"decide'
    b'd_at":"2026-11-T1:00Z","arm":"policy","actions":[{"action_id":"no_action","rank":1,"tr'
    b'eatment":{"title":""},"probability":0.1,"acceptance":0.,"priority":0.,"reasons":[".0% '
    b'chance of acceptance x 8.00 USD - 0. USD cost = 0. USD","Promises most of the allowed '
    b'actions."]}],"predictions":{"churn":0.,"intent":{"":0.,"stage":"use"},"stage":"awarene'
    b'ss"},"predictions":{"churn":null,"intent":null,"stage":null},"models":{"churn":"1","in'
    b'tent":"1","bandit":"prior.1","churn":null,"intent":null,"bandit":null},"removed":null,'
    b'"explanation":null,"degraded":[],"activated":true}'
)
_PREPARED = zlib.compressobj(
    LEVEL, zlib.DEFLATED, WINDOW_BITS, MEMORY, zlib.Z_DEFAULT_STRATEGY, JSON_DICTIONARY
)


class UtcMicros(sa.TypeDecorator[datetime]):
    """A column type: an aware UTC time, stored as whole microseconds since 1970.

    It is exact, sortable, and the same in every database. A naive time is refused.
    """

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> int | None:
        return None if value is None else micros(value)

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else from_micros(value)


class PackedJson(sa.TypeDecorator[str]):
    """A column type: a JSON text, stored compressed (deflate with a preset dictionary, RFC 1951).

    A text that an earlier release stored is read as it is. SQLite keeps bytes in a column of texts
    too, so an older ledger needs no other column there. Bytes are taken as compressed already, as
    by a writer that does not let others wait for it.
    """

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        is_postgresql = dialect.name == "postgresql"
        return dialect.type_descriptor(sa.LargeBinary() if is_postgresql else sa.Text())

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:
        return packed_json(value.encode()) if isinstance(value, str) else value

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> str | None:
        return None if value is None else unpacked_json(value)


class PackedFloats(sa.TypeDecorator[bytes]):
    """A column type: bytes of float64, stored without their zeros and unknowns (nan).

    Bytes that an earlier release stored are read as they are.
    """

    impl = sa.LargeBinary
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: sa.Dialect) -> bytes | None:
        return None if value is None else packed_floats(value)

    def process_result_value(self, value: bytes | None, dialect: sa.Dialect) -> bytes | None:
        return None if value is None else unpacked_floats(bytes(value))


def packed_json(text: bytes) -> bytes:
    """Compress a JSON text in UTF-8; inverse of `unpacked_json`."""
    squeezing = _PREPARED.copy()  # a copy takes less time than reading the dictionary again
    return FORMAT + squeezing.compress(text) + squeezing.flush()


def unpacked_json(stored: Any) -> str:
    """Read what `packed_json` wrote, or a text of an earlier release.

    Raises
    ------
    NotRepeatable
        If the bytes were changed or cut since, or a later program wrote them.
    """
    if isinstance(stored, str):
        return stored
    packed = bytes(stored)
    opening = zlib.decompressobj(WINDOW_BITS, JSON_DICTIONARY)
    try:
        if not packed.startswith(FORMAT):  # PostgreSQL, from an earlier release: no JSON begins so
            if packed[:1] < b"\t":
                raise ValueError("another format")
            return packed.decode()
        content: bytes = opening.decompress(packed[1:]) + opening.flush()
        if not opening.eof or opening.unused_data:
            raise ValueError("not the whole text")
        return content.decode()
    except (ValueError, zlib.error) as error:
        raise _damaged("text", packed, error) from error


def _damaged(kind: str, stored: bytes, error: Exception) -> NotRepeatable:
    return NotRepeatable(
        f"A {kind} of a decision, of {len(stored)} bytes that begin with {quoted(stored[:8])}, "
        f"cannot be read from the ledger ({quoted(str(error))}).",
        expected="bytes as this program or an earlier one has written them",
        remedy="Restore the ledger from a backup, or serve with the program that wrote them.",
    )


def packed_floats(floats: bytes) -> bytes:
    """Leave out zeros and unknowns of float64 numbers; inverse of `unpacked_floats`.

    Most features of a customer are 0 or unknown. Two masks, of the numbers that are not 0 and of
    those that are neither 0 nor nan, take two bits for each number. The length is never a multiple
    of 8: so it differs from bytes that were stored as they are.
    """
    bits = np.frombuffer(floats, "<u8")
    filled = bits != 0
    told = filled & (bits != NAN_BITS)
    parts = (
        len(bits).to_bytes(4, "little"),
        *(np.packbits(one).tobytes() for one in (filled, told)),
    )
    packed = b"".join((*parts, bits[told].tobytes()))
    return packed + b"\x00" if len(packed) % 8 == 0 else packed


def unpacked_floats(stored: bytes) -> bytes:
    """Read what `packed_floats` wrote, or the bytes of an earlier release.

    Raises
    ------
    NotRepeatable
        If the bytes were cut since.
    """
    if len(stored) % 8 == 0:
        return stored
    count = int.from_bytes(stored[:4], "little")
    size = -(-count // 8)
    try:
        masks = np.frombuffer(stored, np.uint8, 2 * size, 4).reshape(2, size)
        filled, told = np.unpackbits(masks, axis=1, count=count).astype(bool)
        numbers = np.frombuffer(stored, "<u8", int(told.sum()), 4 + 2 * size)
    except ValueError as error:
        raise _damaged("row of features", stored, error) from error
    bits = np.zeros(count, dtype="<u8")
    bits[filled], bits[told] = NAN_BITS, numbers
    return bits.tobytes()


def unpacked_float_rows(stored: Sequence[bytes]) -> list[NDArray[np.float64]]:
    """Read several rows of features at once, each as `unpacked_floats` reads it."""
    rows: list[NDArray[np.float64]] = [_NO_FLOATS] * len(stored)
    alike: dict[bytes, list[int]] = {}
    for place, one in enumerate(stored):
        if len(one) % 8 == 0 or len(one) < 4:
            rows[place] = np.frombuffer(unpacked_floats(one), "<f8").astype(np.float64)
        else:
            alike.setdefault(one[:4], []).append(place)
    for head, places in alike.items():
        count = int.from_bytes(head, "little")
        begin = 4 + 2 * -(-count // 8)
        if any(len(stored[place]) < begin for place in places):
            raise _damaged("row of features", stored[places[0]], ValueError("too few bytes"))
        masks = np.frombuffer(b"".join(stored[place][4:begin] for place in places), np.uint8)
        masks = masks.reshape(2 * len(places), -1)
        both = np.unpackbits(masks, axis=1, count=count).astype(bool)
        filled, told = both[::2], both[1::2]
        sizes = told.sum(axis=1).tolist()
        parts = [
            stored[place][begin : begin + 8 * size]
            for place, size in zip(places, sizes, strict=True)
        ]
        bits = np.zeros((len(places), count), dtype="<u8")
        bits[filled] = NAN_BITS
        try:
            bits[told] = np.frombuffer(b"".join(parts), "<u8")
        except ValueError as error:
            raise _damaged("row of features", stored[places[0]], error) from error
        for place, row in zip(places, bits.view(np.float64), strict=True):
            rows[place] = row
    return rows


def micros(moment: datetime) -> int:
    """Convert an aware time to whole microseconds since 1970."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone")
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_micros(value: int) -> datetime:
    """Convert microseconds since 1970 to a UTC time."""
    return EPOCH + timedelta(microseconds=value)


def parse_micros(text: str) -> int | None:
    """Read microseconds since 1970, as `str` writes them; None if the text is no such time.

    ``int`` alone reads more ("１_0"), ``str.isdigit`` is true for what ``int`` refuses ("²"), and
    not every whole number is a time.
    """
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        return None
    try:
        from_micros(int(text))
    except OverflowError:
        return None
    return int(text)


metadata = sa.MetaData()
# Compared byte by byte, so that the order of events does not depend on the database's language.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
# 64 bits: PostgreSQL increments a sequence at failed inserts, too, so 32 bits could run out.
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def partial_index(name: str, holds: sa.ColumnElement[bool], *columns: sa.Column[Any]) -> sa.Index:
    """Index columns of a table for those rows for which a condition holds."""
    return sa.Index(name, *columns, sqlite_where=holds, postgresql_where=holds)
