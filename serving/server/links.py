"""Links two keys for a caller, or undoes a link, and names the customers behind them."""

from __future__ import annotations

from datetime import datetime

from features.identity.keys import KeyNormalizer
from features.identity.links import resolve
from features.ingest.live_events import Ingest
from features.ledger.ledger import Ledger
from serving.contract.customers import LinkAnswer, LinkRequest


async def change_link(
    request: LinkRequest,
    undo: bool,
    ingest: Ingest,
    ledger: Ledger,
    normalizer: KeyNormalizer,
    now: datetime,
) -> LinkAnswer:
    """Merge the customers of two keys, or give a device to a customer; or undo that.

    Raises
    ------
    InvalidData
        If a key cannot be used, or both are devices.
    IdentityUnknown
        If there is no such link to undo.
    CustomerForgotten
        If one of the keys to link belongs to a forgotten customer.
    NotVisible
        If it is done, but the feature store is down.
    """
    change = ingest.unlink if undo else ingest.link
    changed = await change(request.keys, request.cause, now)
    spelled = normalizer.each(request.keys)
    customers = await ledger.read_async(
        lambda connection: dict.fromkeys(resolve(connection, [key]) for key in spelled)
    )
    return LinkAnswer(changed=changed, customers=list(customers))
