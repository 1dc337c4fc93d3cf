"""aiohttp, requests and urllib3 beside what is built on them and what mocks them in a suite."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
import requests
import urllib3
from exchanges import ANSWER, REQUEST, Watched
from loopback import Loopback

from payi_middleware import health, instrument

URL = "https://api.openai.com/v1/chat/completions"


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    """A server that answers like OpenAI."""
    with Loopback() as server:
        yield server


@pytest.fixture
def seen(loopback: Loopback) -> Iterator[Watched]:
    """A meter that knows that server, with the hook installed."""
    watched = Watched(hosts={loopback.host: "openai"})
    instrument(watched.meter)
    yield watched
    watched.meter.close()


async def test_aiobotocore(loopback: Loopback, seen: Watched) -> None:
    """It sends through aiohttp, whose face sees it. An xProxy header is read; it is signed, so it goes out."""
    session = pytest.importorskip("aiobotocore.session").get_session()
    making = session.create_client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=f"http://{loopback.host}",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
    )

    def lead(params: Any, **more: Any) -> None:
        params["url"] = loopback.url
        params["headers"]["xProxy-User-ID"] = "jane"

    async with making as client:
        client.meta.events.register("before-call", lead)
        answer = await client.invoke_model(modelId="m", body=REQUEST)
        async with answer["body"] as body:
            assert await body.read() == ANSWER
    assert (seen.one.outcome, seen.one.units, seen.one.user_id) == ("ok", {"text": (100, 20)}, "jane")
    assert "xproxy-user-id" in str(loopback.asked[0].headers["authorization"])
    assert loopback.asked[0].headers["xproxy-user-id"] == "jane"
    assert health.counters()["own_header_signed"] == 1


@pytest.mark.parametrize("hooked", [True, False])
async def test_httpx_aiohttp(hooked: bool, loopback: Loopback, seen: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """One event, by httpx's face; where httpx is not to be seen, by aiohttp's."""
    transport = pytest.importorskip("httpx_aiohttp").AiohttpTransport()
    if not hooked:
        monkeypatch.setattr(httpx.AsyncClient, "_transport_for_url", lambda self, url: self._transport)
    async with httpx.AsyncClient(transport=transport) as client:
        assert (await client.post(loopback.url, content=REQUEST)).content == ANSWER
    assert (seen.one.outcome, seen.one.units) == ("ok", {"text": (100, 20)})


def test_responses(seen: Watched) -> None:
    """It replaces what an adapter sends: its calls are seen."""
    responses = pytest.importorskip("responses")
    with responses.RequestsMock() as mocked:
        mocked.post(URL, body=ANSWER)
        assert requests.post(URL, data=REQUEST, timeout=5).content == ANSWER
    assert (seen.one.outcome, seen.one.units) == ("ok", {"text": (100, 20)})


@pytest.mark.parametrize("mounted", [True, False])
def test_requests_mock(mounted: bool, seen: Watched) -> None:
    """Its adapter, mounted, is seen as any other; its mocker replaces the very method that is hooked."""
    library = pytest.importorskip("requests_mock")
    if mounted:
        adapter = library.Adapter()
        adapter.register_uri("POST", URL, content=ANSWER)
        with requests.Session() as session:
            session.mount("https://", adapter)
            assert session.post(URL, data=REQUEST).content == ANSWER
        assert (seen.one.outcome, seen.one.units) == ("ok", {"text": (100, 20)})
    else:
        with library.Mocker() as mocked:
            mocked.post(URL, content=ANSWER)
            assert requests.post(URL, data=REQUEST, timeout=5).content == ANSWER
        assert seen.events == []


def test_vcrpy(loopback: Loopback, seen: Watched, tmp_path: Path) -> None:
    """Recorded and replayed, requests and urllib3 are seen both times."""
    vcr = pytest.importorskip("vcr")

    def ask() -> None:
        assert requests.post(loopback.url, data=REQUEST, timeout=5).content == ANSWER
        assert urllib3.request("POST", loopback.url, body=REQUEST).data == ANSWER

    for _ in range(2):
        with vcr.use_cassette(str(tmp_path / "fox.yaml"), allow_playback_repeats=True):
            ask()
    assert len(loopback.asked) < 4
    assert [(e.outcome, e.units) for e in seen.events] == [("ok", {"text": (100, 20)})] * 4


def test_vcrpy_with_aiohttp(loopback: Loopback, seen: Watched, tmp_path: Path) -> None:
    """aiohttp is seen as it is recorded; a replay is answered instead of the session."""
    vcr = pytest.importorskip("vcr")

    async def ask() -> None:
        async with aiohttp.ClientSession() as client, client.post(loopback.url, data=REQUEST) as answer:
            assert await answer.read() == ANSWER

    for _ in range(2):
        with vcr.use_cassette(str(tmp_path / "fox.yaml")):
            asyncio.run(ask())
    assert len(loopback.asked) == 1
    assert seen.one.outcome == "ok"
