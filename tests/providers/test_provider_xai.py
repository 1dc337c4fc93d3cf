"""xAI: the charge that it states, pictures, videos, and answers that are fetched later."""

from __future__ import annotations

from typing import Any

import pytest
from answers import body, endpoint, openai_usage
from exchanged import read, reads, survives

HOST = "api.x.ai"
CHAT = "/v1/chat/completions"


def test_pictures_state_what_they_cost() -> None:
    """The charge stands in the usage; the picture is counted beside it, with its resolution."""
    answer = {"data": [{"url": "u"}, {"url": "v"}], "usage": {"cost_in_usd_ticks": 400_000_000}}

    reading = reads(HOST, "/v1/images/generations", answer, {"model": "grok-imagine-image", "resolution": "2K"})

    assert reading.stated_ticks == 400_000_000
    assert reading.units == {"generated_image": (0, 2)}
    assert reading.terms == ("resolution:2k",)


def test_a_large_charge_that_is_stated() -> None:
    """Ticks are of a ten-thousand-millionth of a dollar: a large number of them is no malformed count."""
    usage = {"cost_in_usd_ticks": 250 * 10**10}

    pictures = reads(HOST, "/v1/images/generations", {"data": [{}], "usage": usage}, {"model": "grok-imagine-image"})
    chat = reads(HOST, CHAT, {"id": "c", "model": "grok-4.3", "usage": openai_usage(10, 3) | usage})

    assert (pictures.stated_ticks, chat.stated_ticks) == (250 * 10**10, 250 * 10**10)
    for absurd in (-1, 10**16 + 1):
        usage = {"cost_in_usd_ticks": absurd}
        assert reads(HOST, CHAT, {"id": "c", "model": "grok-4.3", "usage": openai_usage() | usage}).stated_ticks is None


def test_a_video_is_billed_when_it_is_done() -> None:
    """Ordering tells an id, asking tells nothing until the end, and the end counts once."""
    done = {
        "status": "done",
        "model": "grok-imagine-video",
        "video": {"url": "u", "duration": 8},
        "usage": {"cost_in_usd_ticks": 4_000_000_000},
    }

    ordered = reads(HOST, "/v1/videos/generations", {"request_id": "v-1"}, {"model": "grok-imagine-video"})
    waiting = read(HOST, "/v1/videos/v-1", body({"status": "pending"}), method="GET")
    ended = read(HOST, "/v1/videos/v-1", body(done), method="GET")

    assert ordered.pending
    assert ordered.units is None
    assert ordered.response_id == "v-1"
    assert waiting.untold
    assert ended.once == "/v1/videos/v-1"
    assert ended.units == {"generated_video_second": (0, 8)}
    assert ended.stated_ticks == 4_000_000_000


def test_a_deferred_answer_is_counted_when_it_is_fetched() -> None:
    """The order itself is nobody's text to count."""
    answer = {"id": "c-1", "model": "grok-4.3", "choices": [], "usage": openai_usage(10, 3)}

    ordered = reads(HOST, CHAT, {"request_id": "d-1"}, {"model": "grok-4.3", "deferred": True})
    waiting = read(HOST, "/v1/chat/deferred-completion/d-1", b"", method="GET")
    fetched = read(HOST, "/v1/chat/deferred-completion/d-1", body(answer), method="GET")

    assert ordered.pending
    assert waiting.untold
    assert fetched.once == "c-1"
    assert fetched.units == {"text": (10, 3)}


@pytest.mark.parametrize(("ticks", "sources"), [(None, {"web_source_request": (0, 4)}), (5, {})])
def test_sources_are_counted_where_no_charge_is_stated(ticks: int | None, sources: dict[str, Any]) -> None:
    """Until 2026 live searches were billed by their sources; since then the charge holds them."""
    usage = openai_usage(10, 3) | {"num_sources_used": 4, "cost_in_usd_ticks": ticks}

    reading = reads(HOST, CHAT, {"id": "c", "model": "grok-4", "usage": usage}, {"model": "grok-4"})

    assert reading.units == {"text": (10, 3), **sources}


def test_an_ordinary_answer_is_left_alone() -> None:
    """No sources, no terms."""
    reading = reads(HOST, CHAT, {"id": "c", "model": "grok-4", "usage": openai_usage(10, 3)}, {"model": "grok-4"})

    assert reading.units == {"text": (10, 3)}
    assert reading.terms == ()


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/v1/images/generations", {"data": "x", "usage": {"cost_in_usd_ticks": -1}}),
        ("/v1/images/generations", {"usage": {"cost_in_usd_ticks": "4"}}),
        ("/v1/videos/generations", {"video": {"duration": "8"}}),
        ("/v1/videos/generations", {"video": [8]}),
    ],
)
def test_malformed_counts_price_nothing(path: str, answer: dict[str, Any]) -> None:
    """Neither units nor a charge come of them."""
    reading = reads(HOST, path, answer)

    assert reading.units is None
    assert reading.stated_ticks is None
    assert reading.reason


def test_nothing_raises_wherever_it_is_cut() -> None:
    """Pictures and videos cut at each byte."""
    survives(HOST, "/v1/images/generations", body({"data": [{}], "usage": {"cost_in_usd_ticks": 7}}))
    survives(HOST, "/v1/videos/v", body({"video": {"duration": 3}, "usage": {"cost_in_usd_ticks": 7}}), method="GET")


def test_a_response_counts_each_tool_once() -> None:
    """The usage tells the calls, and the items of the output are the same ones."""
    items = [
        {"type": "web_search_call", "status": "completed", "action": {"type": "search"}},
        {"type": "code_interpreter_call", "status": "completed", "container_id": "c"},
        {"type": "file_search_call", "status": "completed"},
        {"type": "message", "content": []},
    ]
    usage = {
        "input_tokens": 10,
        "output_tokens": 3,
        "total_tokens": 13,
        "server_side_tool_usage_details": {"web_search_calls": 1, "code_interpreter_calls": 1, "file_search_calls": 1},
    }

    reading = reads(HOST, "/v1/responses", {"id": "r", "model": "grok-4.3", "output": items, "usage": usage}, {})

    assert reading.units == {
        "text": (10, 3),
        "web_search_request": (0, 1),
        "code_execution_request": (0, 1),
        "file_search_request": (0, 1),
    }
    assert reading.unpriced == ()
    assert reading.parts == ()


def test_voices() -> None:
    """Speech is billed by the characters of the request, a transcription by the length that its answer tells."""
    heard = reads(HOST, "/v1/stt", {"text": "Some words.", "duration": 3.7, "words": []})

    assert read(HOST, "/v1/tts", b"ID3\x04", {"text": "Some words."}).units == {"text_character": (11, 0)}
    assert read(HOST, "/v1/tts", b"ID3\x04").units is None
    assert read(HOST, "/v1/tts", body({})).reason == "usage is missing"
    assert heard.units == {"audio_second": (4, 0)}
    assert reads(HOST, "/v1/stt", {"text": "x", "duration": "long"}).reason == "transcript.duration: malformed"
    assert [found.ask(b"{}").model for found in map(endpoint, (HOST, HOST), ("/v1/tts", "/v1/stt"))] == [
        "grok-tts",
        "grok-stt",
    ]
