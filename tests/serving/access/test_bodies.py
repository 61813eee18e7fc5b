"""Bodies that are refused by their type, their encoding or their depth."""

from __future__ import annotations

import json

import pytest

from serving.access.bodies import MAX_DEPTH, refused_content, refused_depth

JSON = (b"content-type", b"application/json")


def refusal(*headers: tuple[bytes, bytes]) -> str:
    return str(refused_content({"headers": headers}) or "")


@pytest.mark.parametrize(
    "written",
    [
        b"application/json",
        b"Application/JSON",
        b"application/json;charset=UTF-8",
        b'application/json; charset="utf-8"',
        b"application/json; version=1",
    ],
)
def test_json_in_utf_8_is_taken(written):
    assert not refusal((b"content-type", written))


@pytest.mark.parametrize(
    ("headers", "happened"),
    [
        ((), "content-type is missing."),
        (((b"content-type", b""),), "content-type is ''."),
        ((JSON, JSON), "content-type is sent 2 times."),
        ((JSON, (b"content-type", b"text/plain")), "content-type is sent 2 times."),
        (((b"content-type", b"text/plain"),), "content-type is 'text/plain'."),
        (((b"content-type", b"text/plain; application/json"),), "content-type is 'text/plain'."),
        (((b"content-type", b"application/json-patch+json"),), "is 'application/json-patch+json'."),
        (
            ((b"content-type", b"application/json; charset=utf-16"),),
            "The charset of content-type is 'utf-16'.",
        ),
        (
            ((b"content-type", b"application/json; charset=utf-8; charset=utf-8"),),
            "The charset of content-type is 'utf-8, utf-8'.",
        ),
    ],
)
def test_another_type_or_none_is_refused_by_its_name(headers, happened):
    assert happened in refusal(*headers)
    assert "Send 'content-type: application/json'." in refusal(*headers)


@pytest.mark.parametrize("encoding", [b"gzip", b"GZIP", b"br", b"deflate, gzip", b"identity, gzip"])
def test_a_compressed_body_is_refused_with_its_encoding(encoding):
    told = refusal(JSON, (b"content-encoding", encoding))
    assert told.startswith(f"content-encoding is '{encoding.decode()}'.")
    assert "Expected a body that is not compressed." in told


def test_an_encoding_that_changes_nothing_is_taken():
    assert not refusal(JSON, (b"content-encoding", b"identity"))
    assert not refusal(JSON, (b"content-encoding", b"Identity "))


def nested(levels: int) -> bytes:
    return (
        b'{"a": ' * (levels // 2)
        + b"[" * (levels - levels // 2)
        + b"]" * (levels - levels // 2)
        + b"}" * (levels // 2)
    )


@pytest.mark.parametrize(
    "body",
    [
        nested(MAX_DEPTH),
        b"[" + b"[{}]," * 5_000 + b"[]]",  # wide
        json.dumps({"a": "[" * 1_000}).encode(),  # within a string
        json.dumps({"a": ['\\"' + "{" * 99, "\\"], "b": "]" * 99}).encode(),
        b"]" * 1_000,
        b"",
    ],
)
def test_depth_is_counted_outside_of_strings(body):
    assert refused_depth(body) is None


@pytest.mark.parametrize(
    "body",
    [
        nested(MAX_DEPTH + 1),
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"a\\\\": ' + b"[" * 40 + b"]" * 40 + b"}",  # the string ends after its backslash
        b'["\\\\\\"[", ' + b"[" * 40 + b"]" * 40 + b"]",
    ],
)
def test_deeper_json_is_refused(body):
    told = str(refused_depth(body))
    assert told.startswith("The body is nested deeper than 32 lists and objects.")
