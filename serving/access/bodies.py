"""Bodies that are refused before they are parsed: another type or encoding, or nested too deep."""

from __future__ import annotations

from email.message import Message as Parameters

from features.errors import InvalidRequest, NbaError, quoted
from serving.access.asgi import Connection

MAX_DEPTH = 32
JSON_TYPE = "application/json"
_TYPES = (b"application/json", b"application/json; charset=utf-8")  # as nearly all clients write
_STRUCTURE = b'"[]{}'
_OTHERS = bytes(set(range(256)) - set(_STRUCTURE))
_QUOTE = ord('"')


def refused_content(connection: Connection) -> NbaError | None:
    """Find out why a body's type or encoding is not taken; None if they are (status 415)."""
    headers = connection["headers"]
    types = [value for name, value in headers if name == b"content-type"]
    encodings = [value for name, value in headers if name == b"content-encoding"]
    if not (len(types) == 1 and types[0] in _TYPES) and (error := _refused_type(types)):
        return error
    for encoding in encodings:
        if encoding.strip().lower() not in (b"", b"identity"):
            return InvalidRequest(
                f"content-encoding is {quoted(encoding.decode('latin-1'))}.",
                expected="a body that is not compressed",
                remedy="Send the same without content-encoding; send large batches in parts.",
            )
    return None


def _refused_type(types: list[bytes]) -> NbaError | None:
    if len(types) != 1:
        sent = f"sent {len(types)} times" if types else "missing"
        return _not_json(f"content-type is {sent}.")
    parsed = Parameters()
    parsed["content-type"] = types[0].decode("latin-1")
    written = types[0].split(b";")[0].strip().lower().decode("latin-1")
    if written != JSON_TYPE:
        return _not_json(f"content-type is {quoted(written)}.")
    charsets = [value for name, value in parsed.get_params([])[1:] if name.lower() == "charset"]
    if len(charsets) > 1 or any(one.strip().lower() not in ("utf-8", "utf8") for one in charsets):
        return _not_json(f"The charset of content-type is {quoted(', '.join(charsets))}.")
    return None


def _not_json(happened: str) -> NbaError:
    return InvalidRequest(
        happened, expected=f"{JSON_TYPE} in UTF-8", remedy=f"Send 'content-type: {JSON_TYPE}'."
    )


def refused_depth(body: bytes) -> NbaError | None:
    """Find out if JSON is nested deeper than `MAX_DEPTH`; None if it is not (status 400)."""
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH or _depth(body) <= MAX_DEPTH:
        return None
    return InvalidRequest(
        f"The body is nested deeper than {MAX_DEPTH} lists and objects.",
        expected=f"at most {MAX_DEPTH} levels",
        remedy="Send flatter JSON.",
    )


def _depth(body: bytes) -> int:
    """Count the levels of JSON, in time linear in its length and without recursion.

    What follows the first mistake of malformed JSON may be counted wrongly: no parser reads it.
    """
    import numpy as np  # which the supervisor of the workers does not need

    steps = np.zeros(256, np.int8)
    steps[list(b"[{")], steps[list(b"]}")] = 1, -1
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    left = np.frombuffer(unescaped.translate(None, _OTHERS), np.uint8)
    outside = np.cumsum(left == _QUOTE) % 2 == 0  # of all strings
    return int(np.cumsum(steps[left] * outside, dtype=np.int64).max(initial=0))
