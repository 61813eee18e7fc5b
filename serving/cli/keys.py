"""The commands `nba keys` and `nba access-log`: who may call the server, and who did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from serving.cli.terminal import err, moment, out, plain_errors

if TYPE_CHECKING:
    from features.ledger.ledger import Ledger

access = typer.Typer()
keys = typer.Typer(
    help="Keys of the API: once there is one, every request needs one.\n\nExample: nba keys list",
    no_args_is_help=True,
)
access.add_typer(keys, name="keys")


@keys.command()
def add(
    name: Annotated[str, typer.Argument(help="A name for the caller, such as web-shop.")],
    scope: Annotated[
        str, typer.Option(help="Of decide, write, read, privacy and admin, with commas.")
    ],
) -> None:
    """Make a key and print it; it is shown once, and kept as a hash.

    decide: decisions; write: events, outcomes, attributes; read: customers, past decisions, lift,
    metrics; privacy: erasing customers; admin: linking customers. Running servers know the key
    within 5 seconds.

    Example: nba keys add web-shop --scope decide,write

    Example: nba keys add console --scope decide,read
    """
    with plain_errors(), _ledger() as ledger:
        from features.clock import utc_now
        from serving.access.keys import add_key
        from serving.access.scopes import parse_scopes

        scopes = parse_scopes(scope)
        token = add_key(ledger, name, scopes, utc_now())
        err.print(f"The key of {name} for {', '.join(scopes)}. Keep it: it is not shown again.")
        out.print(token, markup=False, highlight=False, soft_wrap=True)
        err.print("Send it as 'Authorization: Bearer KEY'. From now on every request needs a key.")


@keys.command("list")
def list_keys() -> None:
    """List the keys, revoked ones too.

    Example: nba keys list
    """
    with plain_errors(), _ledger() as ledger:
        from serving.access.keys import read_keys

        table = Table("name", "id", "scopes", "added at", "revoked at")
        for key in ledger.read(read_keys):
            scopes = ", ".join(sorted(key.scopes))
            times = (_time(key.created_at), _time(key.revoked_at))
            table.add_row(escape(key.name), key.key_id, scopes, *times)
        out.print(table if table.row_count else "There are no keys.")


@keys.command()
def revoke(name: Annotated[str, typer.Argument(help="The name of a key in use.")]) -> None:
    """Revoke a key; running servers refuse it within 5 seconds.

    Example: nba keys revoke web-shop
    """
    with plain_errors(), _ledger() as ledger:
        from features.clock import utc_now
        from serving.access.keys import read_keys, revoke_key

        revoke_key(ledger, name, utc_now())
        out.print(f"{name} is revoked.", markup=False)
        if all(key.revoked_at for key in ledger.read(read_keys)):
            err.print("No key is left: every request is refused until you add one.")


@access.command()
def access_log(
    since: Annotated[
        str | None, typer.Option(help="From this day or time on, on the clock of the business.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The newest so many.")] = 50,
) -> None:
    """List uses of keys with the scopes privacy and admin, the newest first.

    Example: nba access-log --since 2026-11-01
    """
    with plain_errors(), _ledger() as ledger:
        from serving.access.access_log import read_accesses

        from_at = moment("since", since) if since else None
        table = Table("at", "key", "id", "client", "request", "status")
        for one in ledger.read(lambda connection: read_accesses(connection, from_at, limit)):
            cells = (one.key_name, one.key_id or "", one.client, one.request)
            table.add_row(_time(one.at), *map(escape, cells), str(one.status or ""))
        out.print(table if table.row_count else "There was no use.")


@contextmanager
def _ledger() -> Iterator[Ledger]:
    from features.ledger.ledger import Ledger
    from features.settings import load_settings

    ledger = Ledger(load_settings().ledger_url)
    try:
        yield ledger
    finally:
        ledger.close()


def _time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}" if at else ""
