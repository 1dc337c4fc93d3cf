"""aiohttp, requests and urllib3 beside what is built on them and what mocks them in a suite."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
import requests
import urllib3
from exchanges import ANSWER, REQUEST, Watched
from loopback import Loopback, Reply

from payi_middleware import Limit, LimitReached, health, instrument, track
from payi_middleware.limits.memory import MemoryLedger

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


LIMITED: dict[str, Any] = {
    "converse": {
        "messages": [{"role": "user", "content": [{"text": "Tell me."}]}],
        "inferenceConfig": {"maxTokens": 50},
    },
    "converse_stream": {"messages": [{"role": "user", "content": [{"text": "Tell me."}]}]},
    "invoke_model": {"body": b'{"max_tokens": 50, "messages": [], "anthropic_version": "bedrock-2023-05-31"}'},
}
CONVERSED = {
    "output": {"message": {"role": "assistant", "content": [{"text": "A fox."}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 100, "outputTokens": 20, "totalTokens": 120},
    "metrics": {"latencyMs": 1},
}


@pytest.mark.parametrize("through", ["httpsession.AIOHTTPSession", "httpxsession.HttpxSession"])
@pytest.mark.parametrize("method", LIMITED)
async def test_aiobotocore_under_limits(method: str, through: str, loopback: Loopback) -> None:
    """Refused before anything is sent, as the library's own error and after one try; settled at what the answer tells."""
    session = pytest.importorskip("aiobotocore.session").get_session()
    module, _, kind = through.partition(".")
    sending = getattr(pytest.importorskip(f"aiobotocore.{module}"), kind)
    config = pytest.importorskip("aiobotocore.config").AioConfig(http_session_cls=sending)
    exceptions = pytest.importorskip("botocore.exceptions")
    ledger = MemoryLedger()
    limits = [Limit("all", 1, unit="calls", tags=["full"]), Limit("tokens", 10**6, unit="tokens")]
    watched = Watched(hosts={loopback.host: "aws"}, ledger=ledger, limits=limits)
    instrument(watched.meter)
    loopback.replies = [Reply([json.dumps(CONVERSED).encode()], headers={"content-type": "application/json"})]
    making = session.create_client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=f"http://{loopback.host}",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
        config=config,
    )
    async with making as client:
        model = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
        with track(limit_tags=["full"]):
            await client.converse(modelId=model, **LIMITED["converse"])
            with pytest.raises(exceptions.ClientError) as caught:
                await getattr(client, method)(modelId=model, **LIMITED[method])
    refused = LimitReached.of(caught.value)
    assert (refused is not None, len(loopback.asked)) == (True, 1)
    assert caught.value.response["Error"]["Code"] == "limit_reached"
    assert caught.value.response["ResponseMetadata"]["RetryAttempts"] == 0
    assert [(event.outcome, event.ledger) for event in watched.events] == [("ok", ledger.id), ("blocked", ledger.id)]
    spent = {
        one.limit.name: ledger.totals("default", one.limit_id)[0].spent for one in ledger.definitions("default").limits
    }
    assert (spent, ledger.held()) == ({"all": 1, "tokens": 120}, [])
    watched.meter.close()


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
