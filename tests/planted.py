"""Values of a made-up person that tests send to servers, and that no log and no metric may repeat.

Each server that `tests.server` starts is searched for them at its end.
"""

from __future__ import annotations

from pathlib import Path

# Each is found by one text, in any spelling of it that a log may have. None of them has the form
# of a number or of a secret that the masks of the log would find: they prove that nobody logs it.
EMAIL = "Planted.Person@Leak.Example.ORG"
CUSTOMER = "planted-customer-Zq81"
CARD = "card:planted7711"
ATTRIBUTE = "planted attribute value"
FREE_TEXT = "planted words of a complaint"
TOKEN = "nba_planted_token_of_a_stranger_0123456789_0123456789"
PASSWORD = "hun@ter/2:planted"
PASSWORD_IN_URL = "hun%40ter%2F2%3Aplanted"
# In lower case.
MARKERS = {
    "an e-mail address": "planted.person",
    "a customer id": "planted-customer",
    "a card": "planted7711",
    "an attribute": "planted attribute",
    "free text": "planted words",
    "a token": "planted_token",
    "a password": "hun@ter",
    "a password in an address": "hun%40ter",
}


class PersonalDataLogged(AssertionError):
    """A log or a metric of a server holds a planted value."""


def leaks(where: str, text: str) -> list[str]:
    """The planted values in a text, each with its place and the line."""
    lower = text.lower()
    found = []
    for what, marker in MARKERS.items():
        if (at := lower.find(marker)) >= 0:
            line = text[max(0, text.rfind("\n", 0, at)) : at + len(marker) + 80].splitlines()
            found.append(f"{where} holds {what} ({marker!r}): {' '.join(line)[-400:]}")
    return found


def check(metrics: str, log: Path) -> None:
    """Search the metrics of a server, its output, and the other logs of its home.

    Parameters
    ----------
    metrics
        The text of `/metrics`.
    log
        The file of standard output and standard error; it stands in the home.

    Raises
    ------
    PersonalDataLogged
        Names what was found, and where.
    """
    files = {log, *(path for path in log.parent.rglob("*.log") if path.is_file())}
    found = leaks("/metrics", metrics)
    for file in sorted(files):
        found += leaks(file.name, file.read_text(encoding="utf-8", errors="replace"))
    if found:
        raise PersonalDataLogged("\n".join(found[:20]))
