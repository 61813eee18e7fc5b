"""Masks passwords, tokens and keys in texts, and in all that a process logs or prints of errors.

`NbaError` masks its own sentences. `mask_output` covers every logger of the process, also those of
MLflow, SQLAlchemy and BentoML, so that a place which forgets to mask a text is no leak.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import traceback
import warnings
from types import TracebackType
from typing import Any

MASK = "***"
OF_FILES = ("sqlite", "pysqlite", "file")  # addresses that have neither user nor password
PLACEHOLDER = "USER:PASSWORD"  # stands in sentences that show the form of an address
# All patterns match in linear time: each run of characters is consumed once.
_ADDRESS = re.compile(r":/([^\s\"<>]+)")  # a path made of an address has one slash
_VALUE = r"(?:b?'(?:[^'\\\n]|\\.)*'?|b?\"(?:[^\"\\\n]|\\.)*\"?)"
_ASSIGNED = re.compile(rf"(?<![\w-])([\w-]+)=(?:{_VALUE}|[^\s&'\"<>;,)\]}}]+)")
_QUOTED = re.compile(rf"(['\"])([\w-]+)\1(\s*:\s*){_VALUE}")
_SECRET_NAME = re.compile(
    r"passw|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|signature|credential"
    r"|^(?:pass|sig|auth)$",
    re.IGNORECASE,
)
# One of them is in each name of a secret and in each token of a known form.
_HINTS = (
    *("pass", "pwd", "secret", "token", "key", "sig", "auth", "credential"),
    *("bearer", "nba_", "akia", "asia"),
)
# Tokens by their form: of this API, and of Amazon.
_KEYS = re.compile(
    r"\b((?i:bearer|authorization\W{1,6}(?:b\W)?basic)\s+)[\w.~+/=-]{16,}|\bnba_[\w-]{40,}|\b(?:AKIA|ASIA)[A-Z0-9]{12,}"
)
_PORT = re.compile(r":\d{0,5}(?!\w)")
# Values of customers, which exceptions of libraries repeat: pydantic's inputs, the rows that
# PostgreSQL names, and e-mail addresses.
_INPUT = re.compile(r"input_value=[^\n]{0,1000}?, input_type=")
_DETAIL = re.compile(r"^([ \t]*DETAIL:)[^\n]*", re.MULTILINE)
_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")


def masked(text: str) -> str:
    """Mask the secrets of a text: passwords of addresses, and the values of secret parameters.

    An address keeps its user, if a password follows it. A user without a password may be a token,
    and is masked.
    """
    if ":/" in text:
        text = _ADDRESS.sub(_masked_address, text)
    lower = text.lower()
    if any(hint in lower for hint in _HINTS):  # 6 µs instead of 100 for most sentences
        text = _ASSIGNED.sub(_masked_parameter, text)
        text = _QUOTED.sub(_masked_pair, text)
        text = _KEYS.sub(lambda found: f"{found[1] or ''}{MASK}", text)
    return text


def masked_value(name: str, value: object) -> str:
    """Quote the value of a named setting, masked; all of it if the name is of a secret or a key."""
    is_secret = _SECRET_NAME.search(name) or "key" in name.lower()
    return repr(MASK) if is_secret else masked(repr(value))


def masked_log(text: str) -> str:
    """Mask a text for the log: secrets, and values of customers that exceptions repeat."""
    text = _INPUT.sub(f"input_value={MASK}, input_type=", masked(text))
    text = _DETAIL.sub(rf"\1 {MASK}", text)
    return _EMAIL.sub(MASK, text) if "@" in text else text


class MaskedRecord(logging.LogRecord):
    """A log record whose message and traceback are masked, whichever handler formats them."""

    _exc_text: str | None = None

    def getMessage(self) -> str:
        """Return the message, masked."""
        return masked_log(super().getMessage())

    @property
    def exc_text(self) -> str | None:
        """The traceback that a formatter has made, masked."""
        return self._exc_text

    @exc_text.setter
    def exc_text(self, text: str | None) -> None:
        self._exc_text = text and masked_log(text)


def mask_output() -> None:
    """Mask the logs of all loggers of this process, its warnings, and errors that nobody caught.

    Records that are made from now on are masked, whatever configures the loggers later.
    """
    logging.setLogRecordFactory(MaskedRecord)
    sys.excepthook = _print_masked
    threading.excepthook = _print_masked_of_thread
    warnings.formatwarning = _format_warning


def masked_traceback(error: BaseException) -> str:
    """Return the traceback of an error as Python prints it, masked."""
    return masked_log("".join(traceback.format_exception(error)))


def _masked_address(found: re.Match[str]) -> str:
    before = found.string[max(0, found.start() - 10) : found.start()]
    rest = found[1].lstrip("/")
    if before.endswith(OF_FILES) or rest.startswith(PLACEHOLDER):
        return found[0]
    slashes = found[0].removesuffix(rest)
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    user, colon, _ = authority.partition(":")
    at = rest.rfind("@")
    if slashes == ":/" and (at < 0 or not colon):  # an ordinary path
        return found[0]
    if at < 0:  # perhaps an address that was cut before its host
        is_port = authority.startswith("[") or _PORT.match(authority, len(user))
        return found[0] if is_port or not colon else f"{slashes}{user}:{MASK}"
    if not colon and "@" not in authority:  # an @ of the path
        return found[0]
    kept = f"{user}:" if colon and "@" not in user else ""
    return f"{slashes}{kept}{MASK}{rest[at:]}"


def _masked_parameter(found: re.Match[str]) -> str:
    return f"{found[1]}={MASK}" if _SECRET_NAME.search(found[1]) else found[0]


def _masked_pair(found: re.Match[str]) -> str:
    quote, name, colon = found[1], found[2], found[3]
    is_secret = _SECRET_NAME.search(name)
    return f"{quote}{name}{quote}{colon}{quote}{MASK}{quote}" if is_secret else found[0]


def _print_masked(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    sys.stderr.write(masked_log("".join(traceback.format_exception(kind, error, trace))))


def _print_masked_of_thread(found: threading.ExceptHookArgs) -> None:
    if found.exc_value is not None and not issubclass(found.exc_type, SystemExit):
        _print_masked(found.exc_type, found.exc_value, found.exc_traceback)


def _format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: Any = None
) -> str:
    return masked_log(f"{filename}:{lineno}: {category.__name__}: {message}\n")
