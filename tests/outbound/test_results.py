"""The results of a batch: all of them counted, once, and not on the application's path, however the download goes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from answers import named_events, openai_usage
from exchanges import Watched

from payi_middleware import instrument
from payi_middleware.call import Call

OPENAI = "https://api.openai.com/v1/files/file-1/content"
ANTHROPIC = "https://api.anthropic.com/v1/messages/batches/msgbatch_1/results"
GEMINI = "https://generativelanguage.googleapis.com/download/v1beta/files/batch-1:download"
RESPONSES = "https://api.openai.com/v1/responses"


@pytest.fixture
def results() -> Iterator[Watched]:
    """A meter whose clients are hooked."""
    watched = Watched()
    instrument(watched.meter)
    yield watched
    watched.meter.close()


def openai_line(number: int) -> dict[str, Any]:
    body = {"id": "c", "object": "chat.completion", "model": "gpt-4o-mini", "usage": openai_usage(1000, 1000)}
    return {"custom_id": str(number), "response": {"status_code": 200, "body": body}, "error": None}


def anthropic_line(number: int) -> dict[str, Any]:
    message = {"model": "claude-haiku-4-5", "usage": {"input_tokens": 1000, "output_tokens": 1000}}
    return {"custom_id": str(number), "result": {"type": "succeeded", "message": message}}


def gemini_line(number: int) -> dict[str, Any]:
    usage = {"promptTokenCount": 1000, "candidatesTokenCount": 1000, "totalTokenCount": 2000}
    return {"key": str(number), "response": {"modelVersion": "gemini-2.5-flash", "usageMetadata": usage}}


MAKERS = [(OPENAI, openai_line, "0.0375"), (ANTHROPIC, anthropic_line, "0.3"), (GEMINI, gemini_line, "0.14")]


def lines(line: Any, n: int = 100) -> bytes:
    return b"".join(json.dumps(line(number)).encode() + b"\n" for number in range(n))


class _Broken(httpx2.SyncByteStream):
    def __init__(self, content: bytes) -> None:
        self.content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self.content
        raise httpx2.ReadError("connection lost")


def download(url: str, content: bytes, *, breaks: bool = False, method: str = "GET", sent: Any = None) -> None:
    """An answer that is read whole, or that breaks off with an error after `content`."""

    def handle(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, stream=_Broken(content)) if breaks else httpx2.Response(200, content=content)

    with httpx2.Client(transport=httpx2.MockTransport(handle)) as client:
        try:
            client.request(method, url, json=sent)
        except httpx2.ReadError:
            assert breaks


@pytest.mark.parametrize(("url", "line", "usd"), MAKERS)
def test_results_cut_short_are_counted_when_they_are_read_whole(
    results: Watched, url: str, line: Any, usd: str
) -> None:
    """The half costs nothing and says so; else the whole, which has the same id, would never be counted."""
    content = lines(line)

    download(url, content[: len(content) // 2], breaks=True)
    download(url, content)
    download(url, content)
    half, whole = results.events

    assert (half.cost, half.cost_source, half.outcome) == (None, "none", "error")
    assert [entry.unit for entry in half.unpriced] == ["batch_line"]
    assert half.reason == "the results were not read to their end; they are counted when they are read whole"
    assert whole.units == {"text": (100_000, 100_000)}
    assert whole.cost is not None
    assert whole.cost.total == Decimal(usd)


def test_results_that_the_application_stops_reading_wait_for_the_whole(results: Watched) -> None:
    """To look at the first lines is no reading of the results."""
    content = lines(openai_line)

    def handle(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, stream=_Broken(content[:1000]))

    with (
        httpx2.Client(transport=httpx2.MockTransport(handle)) as client,
        client.stream("GET", OPENAI) as response,
    ):
        next(response.iter_lines())
    download(OPENAI, content)
    looked, whole = results.events

    assert (looked.cost_source, looked.outcome) == ("none", "aborted")
    assert whole.units == {"text": (100_000, 100_000)}


def test_a_long_batch_of_gemini_s_is_not_read_on_the_application_s_path(
    results: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its results stand within the batch itself, which is one JSON document."""
    monkeypatch.setattr(results.meter.flusher, "arm", lambda: True)  # nothing drains before the flush below
    done = {"done": True, "response": {"inlinedResponses": {"inlinedResponses": [gemini_line(0)] * 1000}}}

    download("https://generativelanguage.googleapis.com/v1beta/batches/b1", json.dumps(done).encode())
    assert len(results.meter.drainer._late) == 1

    assert results.one.units == {"text": (1_000_000, 1_000_000)}


@pytest.mark.parametrize(("url", "line", "usd"), MAKERS)
def test_long_results_are_not_read_on_the_application_s_path(
    results: Watched, monkeypatch: pytest.MonkeyPatch, url: str, line: Any, usd: str
) -> None:
    """A batch of 50,000 lines takes seconds, for which an event loop would stand still; a short one is read at once."""
    where: list[bool] = []
    end = Call.end

    def watched_end(call: Call, *given: Any, **more: Any) -> None:
        had_parts = bool(call.parts)
        end(call, *given, **more)
        if had_parts and not call.parts:  # they were read
            where.append(threading.current_thread() is threading.main_thread())

    monkeypatch.setattr(Call, "end", watched_end)
    download(url, lines(line, 1000))
    [event] = results.events
    download(url.replace("1", "2"), lines(line, 10))

    assert where == [False, True]
    assert event.units == {"text": (1_000_000, 1_000_000)}
    assert event.cost is not None
    assert event.cost.total == 10 * Decimal(usd)


def test_many_long_results_at_once_are_all_counted(results: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that would wait in memory beyond a few are read where they are."""
    monkeypatch.setattr(results.meter.flusher, "arm", lambda: False)
    for number in range(8):
        download(f"https://api.openai.com/v1/files/file-{number}/content", lines(openai_line, 300))

    assert [event.units for event in results.events] == [{"text": (300_000, 300_000)}] * 8


def test_a_background_response_whose_stream_breaks_is_counted_by_its_poll(results: Watched) -> None:
    """It goes on without a reader: an estimate of what was received would be counted beside the whole."""
    begun = {"id": "resp_1", "model": "gpt-4o-mini", "status": "in_progress", "background": True}
    done = {**begun, "status": "completed", "output": [], "usage": {"input_tokens": 1000, "output_tokens": 1000}}
    words = [{"type": "response.output_text.delta", "delta": "several words "}] * 20
    stream = named_events({"type": "response.created", "response": begun}, *words)

    download(RESPONSES, stream, breaks=True, method="POST", sent={"model": "gpt-4o-mini", "stream": True})
    for _ in range(2):
        download(f"{RESPONSES}/resp_1", json.dumps(done).encode())
    broken, polled = results.events

    assert (broken.cost_source, broken.units) == ("none", {})
    assert broken.reason == "the response is in progress, its usage comes with a later poll"
    assert (polled.cost_source, polled.units) == ("usage", {"text": (1000, 1000)})
