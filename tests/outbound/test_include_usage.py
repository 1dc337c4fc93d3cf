"""Streams that are asked for their usage by us: what is sent, what the application reads, what is recorded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from itertools import pairwise
from types import ModuleType
from typing import Any

import httpx2
import openai
import pytest
from exchanges import REQUEST, STREAM, URL, Parts, Watched, encoded, event, mock, request, send, stream_of
from hypothesis import given
from hypothesis import strategies as st

from payi_middleware import PayiTransport, health, instrument
from payi_middleware.demo.standin import StandIn, usage_for
from payi_middleware.include_usage import Hider

SSE = "text/event-stream; charset=utf-8"
FOX: Any = [{"role": "user", "content": "Tell me about the fox."}]
USAGE = event({"id": "1", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}})
FIRST = event({"model": "", "choices": [], "prompt_filter_results": []})  # Azure's
WORD = event({"choices": [{"index": 0, "delta": {"content": '"choices": [], "usage": {} \n\n'}}], "usage": None})
DONE = b"data: [DONE]\n\n"


def left(parts: list[bytes]) -> list[bytes]:
    hider = Hider()
    return [piece for part in parts for piece in hider.feed(part)] + hider.end()


@pytest.mark.parametrize(
    ("parts", "kept"),
    [
        ([FIRST, WORD, USAGE, DONE], [FIRST, WORD, DONE]),
        ([FIRST + WORD + USAGE + DONE], [FIRST + WORD + DONE]),
        ([WORD + USAGE, DONE], [WORD, DONE]),
        ([WORD, USAGE[:30], USAGE[30:], DONE], [WORD, DONE]),
        ([WORD, USAGE[:-1], b"\n" + DONE], [WORD, DONE]),
        ([WORD[:60], WORD[60:], DONE], [WORD[:60], WORD[60:], DONE]),
        ([WORD[:9], WORD[9:], DONE], [WORD[:9], WORD[9:], DONE]),
        ([USAGE.replace(b"\n", b"\r\n"), DONE], [DONE]),
        ([USAGE.rstrip(b"\n") + b"\r\n\r", b"\n" + DONE], [DONE]),
        ([WORD, USAGE.rstrip(b"\n")], [WORD]),
        ([WORD, b"data: {"], [WORD, b"data: {"]),
        ([b'{"error": {"message": "no"}}'], [b'{"error": {"message": "no"}}']),
        ([b": comment", b" and more\n\n", USAGE], [b": comment", b" and more\n\n"]),
        ([b'data: {"choices": [], "usage": "odd"}\n\n'], [b'data: {"choices": [], "usage": "odd"}\n\n']),
        ([b'data: {"choices": [], "usage": {"a": \n\n'], [b'data: {"choices": [], "usage": {"a": \n\n']),
        ([USAGE[:-1] + WORD], [WORD]),
        ([b""], []),
    ],
)
def test_only_the_chunk_that_tells_usage_goes(parts: list[bytes], kept: list[bytes]) -> None:
    """Whole, split, joined with others: that line goes with its blank one, and every other byte passes as it came."""
    assert left(parts) == kept


@given(
    chunks=st.lists(st.sampled_from([FIRST, WORD, USAGE, b": ping\n\n", b"event: x\n"]), max_size=8),
    newline=st.sampled_from([b"\n", b"\r\n"]),
    cuts=st.lists(st.integers(0, 1500), max_size=12),
)
def test_a_stream_cut_anywhere(chunks: list[bytes], newline: bytes, cuts: list[int]) -> None:
    """Wherever the transport cuts, the application reads the stream without that chunk."""
    whole = b"".join(chunks).replace(b"\n", newline) + DONE
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    parts = [whole[start:end] for start, end in pairwise(places)]

    assert b"".join(left(parts)) == whole.replace(USAGE.replace(b"\n", newline), b"")


def test_nothing_is_held_without_reason() -> None:
    """A part is handed on as it comes unless it ends within a line that may yet be the chunk; never the bytes of much."""
    hider = Hider()

    assert hider.feed(WORD[:70]) == [WORD[:70]]
    assert hider.feed(WORD[70:] + DONE) == [WORD[70:] + DONE]
    assert hider.feed(USAGE[:40]) == []
    assert hider.feed(b"x" * (1 << 16)) == [USAGE[:40], b"x" * (1 << 16)]


@pytest.fixture
def asking(standin: StandIn) -> Iterator[Watched]:
    """A meter that asks for usage, with the hook installed; the stand-in is OpenAI."""
    watched = Watched(hosts={standin.host: "openai"}, include_usage=True)
    instrument(watched.meter)
    standin.clear()
    yield watched
    watched.meter.close()


def asked_for(standin: StandIn) -> dict[str, Any]:
    (seen,) = standin.requests
    body: dict[str, Any] = seen.json()
    assert int(seen.headers["content-length"]) == len(seen.body)
    return body


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("way", ["plain", "raw", "streaming"])
def test_openai_s_sdk(is_async: bool, way: str, standin: StandIn, asking: Watched) -> None:
    """Every chunk has a choice, as without us, and the event has the usage that was told."""
    chat: Any = {"model": "gpt-4o-mini", "messages": FOX, "stream": True}
    base: Any = {"base_url": standin.url + "/v1", "api_key": "none"}

    def run() -> list[Any]:
        with openai.OpenAI(**base, http_client=openai.DefaultHttpxClient(trust_env=False)) as client:
            if way == "plain":
                return list(client.chat.completions.create(**chat))
            if way == "raw":
                return list(client.chat.completions.with_raw_response.create(**chat).parse())
            with client.chat.completions.with_streaming_response.create(**chat) as response:
                return list(response.parse())

    async def run_async() -> list[Any]:
        http_client = openai.DefaultAsyncHttpxClient(trust_env=False)
        async with openai.AsyncOpenAI(**base, http_client=http_client) as client:
            if way == "plain":
                return [chunk async for chunk in await client.chat.completions.create(**chat)]
            if way == "raw":
                raw = await client.chat.completions.with_raw_response.create(**chat)
                return [chunk async for chunk in raw.parse()]
            async with client.chat.completions.with_streaming_response.create(**chat) as response:
                return [chunk async for chunk in await response.parse()]

    chunks = asyncio.run(run_async()) if is_async else run()

    body = asked_for(standin)
    tokens = usage_for("/v1/chat/completions", body)
    told = asking.one
    assert body["stream_options"] == {"include_usage": True}
    assert len(chunks) > 1
    assert all(chunk.choices for chunk in chunks)
    assert (told.outcome, told.cost_source) == ("ok", "usage")
    assert sum(out for _, out in told.units.values()) == tokens.output


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (request(stream=True, stream_options={"include_obfuscation": False}), True),
        (request(stream=True, stream_options=None), True),
        (request(stream=True, stream_options={"include_usage": False}), None),
        (request(stream=True, stream_options={"include_usage": True}), None),
        (request(stream=True, stream_options="odd"), None),
        (REQUEST, None),
        (b'{"stream": true, "model"', None),
    ],
)
def test_what_is_changed(sent: bytes, told: bool | None, lib: ModuleType, standin: StandIn, asking: Watched) -> None:
    """Only a stream that says nothing of usage; the other options stay, and so does every other byte of a member."""
    seen: list[Any] = []

    def answer(request: Any) -> Any:
        seen.append(request)
        return lib.Response(200, headers={"content-type": SSE}, stream=Parts(lib, STREAM))

    with lib.Client(transport=lib.MockTransport(answer)) as client:
        response = client.post(URL, content=sent, headers={"x-mine": "1"})

    (request_,) = seen
    assert request_.headers["content-length"] == str(len(request_.content))
    assert request_.headers["x-mine"] == "1"
    if told is None:
        assert request_.content == sent
        assert response.content == b"".join(STREAM)
    else:
        before, after = json.loads(sent), json.loads(request_.content)
        options = after.pop("stream_options")
        assert options == {**(before.pop("stream_options") or {}), "include_usage": True}
        assert after == before
        assert b'"choices": []' not in response.content
        assert response.request.content == sent  # the application's own request is what it was


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("https://api.openai.com/v1/chat/completions", True),
        ("https://api.deepseek.com/chat/completions", True),
        ("https://x.openai.azure.com/openai/v1/chat/completions", True),
        ("https://x.openai.azure.com/openai/deployments/d/chat/completions?api-version=2023-05-15", False),
        ("https://api.mistral.ai/v1/chat/completions", False),
        ("https://api.openai.com/v1/responses", False),
        ("https://api.openai.com/v1/completions", False),
    ],
)
def test_who_is_asked(url: str, asked: bool, asking: Watched) -> None:
    """Providers that are known to take the option, at chat completions."""
    seen: list[bytes] = []

    def answer(request: Any) -> httpx2.Response:
        seen.append(request.content)
        return httpx2.Response(200, content=b"data: [DONE]\n\n")

    with httpx2.Client(transport=httpx2.MockTransport(answer)) as client:
        client.post(url, content=request(stream=True))

    assert (b"include_usage" in seen[0]) == asked


@pytest.mark.parametrize("coding", ["gzip", "br", "identity", "unheard-of"])
def test_encoded_answers(coding: str, lib: ModuleType, is_async: bool, asking: Watched) -> None:
    """No encoding is asked for; what is encoded all the same is decoded, and what cannot be is left alone."""
    parts = stream_of(["The ", "fox."])
    kept = b"".join(part for part in parts if b'"choices": []' not in part)
    raw = encoded(coding, b"".join(parts))
    named = {"content_type": SSE, "content_encoding": coding, "content_length": str(len(raw))}
    transport = mock(lib, [raw[:50], raw[50:]], **named)

    (got,) = send(lib, is_async, transport, body=request(stream=True))

    assert got == (kept if coding != "unheard-of" else b"".join(parts))
    if coding != "unheard-of":
        assert asking.one.cost_source == "usage"


def test_a_retrying_transport(lib: ModuleType, asking: Watched) -> None:
    """A transport of ours within a client takes the call over: it is asked once, and hidden once."""
    inner = lib.MockTransport(
        lambda request: lib.Response(200, headers={"content-type": SSE}, stream=Parts(lib, STREAM))
    )
    with lib.Client(transport=PayiTransport(inner, asking.meter)) as client:
        got = client.post(URL, content=request(stream=True)).content

    assert got == b"".join(part for part in STREAM if b'"choices": []' not in part)
    assert asking.one.cost_source == "usage"


@pytest.mark.parametrize("wrapped", [False, True], ids=["hook", "PayiTransport"])
def test_another_attempt(lib: ModuleType, wrapped: bool, asking: Watched) -> None:
    """The same request again is another attempt of the call that failed, whoever sends it again."""
    answers = [lib.Response(503, content=b"{}") for _ in range(2)]

    def handler(sent: Any) -> Any:
        return answers.pop() if answers else lib.Response(200, content=b"".join(STREAM))

    sends = lib.MockTransport(handler)

    class Twice(lib.BaseTransport):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            self.inner = PayiTransport(sends, asking.meter)

        def handle_request(self, sent: Any) -> Any:
            got = self.inner.handle_request(sent)
            return got if got.status_code < 500 else self.inner.handle_request(sent)

    with lib.Client(transport=Twice() if wrapped else sends) as client:
        while client.post(URL, content=request(stream=True)).status_code >= 500:
            pass

    assert [(told.http_status, told.attempt) for told in asking.events] == [(503, 1), (503, 2), (200, 3)]
    assert len({told.call_group for told in asking.events}) == 1


def test_an_early_end(lib: ModuleType, asking: Watched) -> None:
    """An application that stops reading closes the stream, and the call is aborted as ever."""
    with lib.Client(transport=mock(lib, STREAM, content_type=SSE)) as client:
        with client.stream("POST", URL, content=request(stream=True)) as response:
            next(response.iter_raw())

    assert asking.one.outcome == "aborted"


def test_a_fault_of_ours_changes_nothing(monkeypatch: pytest.MonkeyPatch, lib: ModuleType, asking: Watched) -> None:
    """The request goes as it was, and the fault is counted."""
    health.reset()
    monkeypatch.setattr("payi_middleware.include_usage._asking", lambda call: 1 / 0)

    (got,) = send(lib, False, mock(lib, STREAM, content_type=SSE), body=request(stream=True))

    assert got == b"".join(STREAM)
    assert health.counters()["include_usage"] == 1
