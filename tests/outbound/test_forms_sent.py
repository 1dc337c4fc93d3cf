"""Forms on their way through the libraries beside httpx: their fields are read, and they are sent as they are."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
import requests
import urllib3
from answers import body
from exchanges import Watched
from loopback import Loopback, Reply

SOUND = b"RIFF secret \r\n\r\n--"
HEARD = body({"text": "A fox.", "usage": {"type": "duration", "seconds": 7}})
PATH = "/v1/audio/transcriptions"


def by_requests(url: str) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.post(url, data={"model": "whisper-1"}, files={"file": ("a.wav", SOUND, "audio/wav")}, timeout=5)


def by_urllib3(url: str) -> None:
    fields: Any = {"model": "whisper-1", "file": ("a.wav", SOUND)}
    with urllib3.PoolManager() as pool:
        pool.request("POST", url, fields=fields)


def by_aiohttp(url: str) -> None:
    async def run() -> None:
        form = aiohttp.FormData()
        form.add_field("model", "whisper-1")
        form.add_field("file", io.BytesIO(SOUND), filename="a.wav", content_type="audio/wav")
        async with aiohttp.ClientSession() as session, session.post(url, data=form) as answer:
            await answer.read()

    asyncio.run(run())


@pytest.mark.parametrize("send", [by_requests, by_urllib3, by_aiohttp])
def test_a_form(send: Callable[[str], None], loopback: Loopback, seen: Watched) -> None:
    """The model is the form's, and the file arrives whole."""
    loopback.replies = [Reply([HEARD], framing="length")]

    send(loopback.url.replace("/v1/chat/completions", PATH))

    event = seen.one
    assert (event.endpoint, event.requested_resource, event.units) == (PATH, "whisper-1", {"audio_second": (7, 0)})
    assert SOUND in loopback.asked[0].body
    assert event.reason is None
