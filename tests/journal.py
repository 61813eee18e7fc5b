"""A journal of contacts in the order of their commits, kept by triggers of the database.

Triggers note each contact, and each change of the customer of a key. A ledger has one writer at a
time, so the serial numbers are in the order of commits. The journal uses neither the times nor the
merges of the program under test.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from features.ledger.ledger import Ledger

_NOTED = ("decision_id", "action_id", "action_group", "channel", "key", "customer_id")
JOURNAL = sa.Table(
    "journal",
    sa.MetaData(),
    sa.Column("serial", sa.Integer, primary_key=True),
    *(sa.Column(name, sa.Text) for name in _NOTED),
)
_CONTACT = (
    f"INSERT INTO journal ({', '.join(_NOTED)}) VALUES (new.decision_id, new.action_id, "
    "new.action_group, new.channel, new.subject, new.customer_id)"
)
_OWNER = "INSERT INTO journal (key, customer_id) VALUES (new.key, new.customer_id)"
_WATCHED = (
    ("contacts", "INSERT", _CONTACT),
    ("identities", "INSERT", _OWNER),
    ("identities", "UPDATE", _OWNER),
)
_TRIGGERS = {
    "sqlite": "CREATE TRIGGER {name} AFTER {when} ON {table} BEGIN {note}; END",
    "postgresql": """
        CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN {note}; RETURN NULL; END $$;
        CREATE TRIGGER {name} AFTER {when} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()""",
}


class Contact(NamedTuple):
    """An action that was shown.

    Attributes
    ----------
    key : under which it happened
    customer_id : whose it is, as its row was written
    owners : whose each key of the same family was at that moment, where that was another
    """

    decision_id: str
    action_id: str
    group: str
    channel: str
    key: str
    customer_id: str
    owners: Mapping[str, str]


class Count(NamedTuple):
    """The number of contacts under a cap after one more contact."""

    cap: int
    count: int
    at_most: int
    contact: Contact

    @property
    def breach(self) -> str:
        """A sentence if the cap was passed; empty otherwise."""
        one = self.contact
        words = f"cap {self.cap}: {one.action_id} of decision {one.decision_id} was shown to "
        words += f"{one.key} as number {self.count} of at most {self.at_most}"
        return words if self.count > self.at_most else ""


def family(key: str) -> str:
    """The family of a key: keys that may become one person, or belong to one account."""
    return key.removeprefix("cookie:").rpartition("-")[0]


def keep_journal(ledger: Ledger) -> None:
    """Create the triggers that note contacts and owners of keys from now on."""
    dialect = ledger.engine.dialect.name

    def make(connection: sa.Connection) -> None:
        JOURNAL.create(connection)
        for table, when, note in _WATCHED:
            name = f"note_{table}_{when.lower()}"
            text = _TRIGGERS[dialect].format(name=name, when=when, table=table, note=note)
            connection.exec_driver_sql(text)

    ledger.write_now(make)


def read_journal(ledger: Ledger) -> dict[str, list[Contact]]:
    """Read all contacts by family, in the order of their commits."""
    query = sa.select(JOURNAL).order_by(JOURNAL.c.serial)
    found: dict[str, list[Contact]] = defaultdict(list)
    owners: dict[str, Mapping[str, str]] = defaultdict(dict)
    for row in ledger.read(lambda connection: connection.execute(query).all()):
        kin = family(row.key)
        if row.decision_id is None:
            owners[kin] = {**owners[kin], row.key: row.customer_id}
        else:
            found[kin].append(Contact(*row[1:], owners=owners[kin]))
    return found


def counts(
    contacts: Sequence[Contact],
    caps: Sequence[Mapping[str, Any]],
    owners_of: Callable[[Contact], Mapping[str, str]],
    one_account: bool = False,
) -> Iterator[Count]:
    """Count each cap at each contact of one family; all contacts lie within the caps' windows.

    Parameters
    ----------
    owners_of
        Whose each key is taken to be when a contact is counted.
    one_account
        Whether they all belong to one account.
    """
    for place, one in enumerate(contacts):
        owners = owners_of(one)
        person = owners.get(one.key, one.key)
        mine = [
            earlier
            for earlier in contacts[:place]
            if owners.get(earlier.key, earlier.key) == person
        ]
        for number, cap in enumerate(caps):
            groups, each = cap.get("groups"), cap.get("each", ())
            if groups and one.group not in groups:
                continue
            whole = one_account and cap.get("per") == "account"
            alike = sum(
                not (groups and earlier.group not in groups)
                and not ("action" in each and earlier.action_id != one.action_id)
                and not ("channel" in each and earlier.channel != one.channel)
                for earlier in (contacts[:place] if whole else mine)
            )
            yield Count(number, alike + 1, cap["at_most"], one)
