"""Tests the answers that middlewares send themselves."""

from __future__ import annotations

import asyncio
import json

from serving.access.asgi import header, send_json


def test_an_answer_is_whole_and_has_the_length_of_its_body():
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(send_json(send, 429, {"error": "ä"}, [(b"retry-after", b"1")]))
    start, body = sent
    assert start["status"] == 429
    assert header(start, b"content-length") == str(len(body["body"]))
    assert header(start, b"retry-after") == "1" and header(start, b"x-other") == ""
    assert json.loads(body["body"]) == {"error": "ä"}
