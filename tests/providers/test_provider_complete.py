"""Anthropic's text completions, which tell no usage."""

from __future__ import annotations

import pytest
from answers import body, endpoint, named_events

COMPLETE = endpoint("api.anthropic.com", "/v1/complete")
REQUEST = body({"model": "claude-2.1", "prompt": "\n\nHuman: why?\n\nAssistant:", "stream": True})
ANSWER = {"type": "completion", "id": "compl_1", "completion": " Light", "stop_reason": "stop", "model": "claude-2.1"}


def stream(*pieces: str) -> bytes:
    middle = [ANSWER | {"completion": piece, "stop_reason": None} for piece in pieces]
    return named_events(*middle, {"type": "ping"}, ANSWER | {"completion": ""})


def test_model_and_end_are_read() -> None:
    """The answer says who wrote it and whether it is whole; usage is to be counted."""
    for reading in (
        COMPLETE.read(body(ANSWER)),
        COMPLETE.read_stream(stream(" Li", "ght")),
        COMPLETE.read(stream("a")),
    ):
        assert (reading.model, reading.response_id, reading.units) == ("claude-2.1", "compl_1", None)
        assert (reading.complete, reading.error_type) == (True, None)
        assert reading.reason == "the API of text completions tells no usage"
    assert COMPLETE.read_stream(stream("a")[:200]).complete is False
    assert COMPLETE.read_cut(body(ANSWER)[:99], body(ANSWER)[-90:]).model == "claude-2.1"


def test_errors() -> None:
    """An error is one, a broken body is not whole."""
    assert COMPLETE.read(b'{"type":"error","error":{"type":"overloaded_error"}}').error_type == "overloaded_error"
    assert COMPLETE.read(b'{"id": "c').complete is False
    assert COMPLETE.read_stream(body(ANSWER)).model == "claude-2.1"
    assert COMPLETE.read_stream(body(ANSWER)[:60], body(ANSWER)[-80:]).complete


@pytest.mark.parametrize("pieces", [(" Li", "ght", " and", " so"), (" Li", " Light", " Light and", " Light and so")])
def test_texts(pieces: tuple[str, ...]) -> None:
    """Prompt and answer are counted once, whether a stream tells pieces or, as it once did, all of it every time."""
    assert COMPLETE.texts is not None

    texts = COMPLETE.texts(REQUEST, stream(*pieces), True)

    assert texts.prompt == ["\n\nHuman: why?\n\nAssistant:"]
    assert texts.answer == [" Light and so"]
    assert COMPLETE.texts(REQUEST, body(ANSWER), False).answer == [" Light"]
    assert COMPLETE.texts(b"[]", b"[]", False).prompt == []
