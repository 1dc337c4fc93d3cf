"""Ollama: counts in one object or in the last line of many."""

from __future__ import annotations

import json
from typing import Any

import pytest
from answers import body, endpoint
from exchanged import read, reads, survives

from payi_middleware.events import Units
from payi_middleware.providers import named

OLLAMA = named("ollama")
CHAT = {"model": "qwen3:8b", "messages": [{"role": "user", "content": "why is the sky blue"}]}


def lines(*values: dict[str, Any]) -> bytes:
    return "".join(json.dumps(value) + "\n" for value in values).encode()


STREAM = lines(
    {"model": "qwen3:8b", "message": {"role": "assistant", "content": "Because of the way that light"}, "done": False},
    {"model": "qwen3:8b", "message": {"role": "assistant", "content": " scatters."}, "done": False},
    {"model": "qwen3:8b", "message": {"content": ""}, "done": True, "prompt_eval_count": 14, "eval_count": 9},
)


def test_a_stream_is_lines() -> None:
    """Without a word in the request it streams, and the last line tells."""
    reading = read(OLLAMA, "/api/chat", STREAM, CHAT)

    assert reading.units == {"text": (14, 9)}
    assert reading.model == "qwen3:8b"
    assert reading.complete


@pytest.mark.parametrize(("request_", "streamed"), [({}, True), ({"stream": True}, True), ({"stream": False}, False)])
def test_streams_unless_told_otherwise(request_: dict[str, Any], streamed: bool) -> None:
    """The API's default differs from everybody else's."""
    route = OLLAMA.route("POST", "/api/generate")
    assert route is not None

    assert route.endpoint.ask(body({"model": "m", **request_})).streamed is streamed


@pytest.mark.parametrize(
    ("answer", "units"),
    [
        ({"model": "m", "response": "x", "done": True, "prompt_eval_count": 5, "eval_count": 2}, {"text": (5, 2)}),
        ({"model": "m", "response": "x", "done": True, "eval_count": 2}, {"text": (0, 2)}),
        ({"model": "m", "embeddings": [[0.1]], "prompt_eval_count": 8}, {"text": (8, 0)}),
        ({"model": "m", "done": True, "prompt_eval_count": -1}, None),
        ({"model": "m", "done": True, "prompt_eval_count": "5"}, None),
        ({"model": "m", "message": {}}, None),
    ],
)
def test_one_object(answer: dict[str, Any], units: Units | None) -> None:
    """A prompt that was cached whole is not counted by Ollama; a count that is none counts nothing."""
    assert reads(OLLAMA, "/api/embed", answer).units == units


def test_a_stream_that_breaks_off() -> None:
    """It is not whole, and its texts are there to be counted."""
    broken = STREAM[: STREAM.index(b'"done": true')]

    reading = read(OLLAMA, "/api/chat", broken, CHAT)
    route = OLLAMA.route("POST", "/api/chat")

    assert reading.units is None
    assert not reading.complete
    assert reading.model == "qwen3:8b"
    assert route is not None
    assert route.endpoint.texts is not None
    texts = route.endpoint.texts(body(CHAT), broken, True)
    assert "why is the sky blue" in texts.prompt
    assert texts.answer[0].startswith("Because of the way")


def test_an_error_is_one() -> None:
    """As an object, or as a line of a stream."""
    assert reads(OLLAMA, "/api/chat", {"error": "model not found"}).error_type == "error"
    failed = STREAM[: STREAM.index(b"\n") + 1] + lines({"error": "out of memory", "done": True})
    assert read(OLLAMA, "/api/chat", failed, CHAT).units is None


def test_a_large_answer_is_read_at_its_end() -> None:
    """A stream by its last line, embeddings by what stands behind the vectors."""
    route = OLLAMA.route("POST", "/api/embed")
    assert route is not None
    vectors = body({"model": "m", "embeddings": [[0.5] * 3000], "prompt_eval_count": 8})

    assert route.endpoint.read_cut(vectors[:4096], vectors[-4096:]).units == {"text": (8, 0)}
    assert route.endpoint.read_cut(STREAM[:40], STREAM[-120:]).units == {"text": (14, 9)}
    assert route.endpoint.read_stream(STREAM[:40], STREAM[-120:], 99).units == {"text": (14, 9)}
    assert route.endpoint.read_cut(b"{", b"}").units is None


def test_the_rest_generates_nothing() -> None:
    """Models are pulled and listed for free, and other paths of one's own machine are nobody's business."""
    for path in ("/api/pull", "/api/show", "/api/tags", "/metrics"):
        assert OLLAMA.route("POST", path) is None
    assert endpoint("ollama.com", "/v1/chat/completions").template == "/v1/chat/completions"


def test_nothing_raises_wherever_it_is_cut() -> None:
    """Lines and objects cut at each byte."""
    survives(OLLAMA, "/api/chat", STREAM, CHAT)
    survives(OLLAMA, "/api/generate", body({"model": "m", "done": True, "prompt_eval_count": 5}), {"model": "m"})
