"""The short record of an ordinary answer: the event that comes of it is the one that a priced record would have been."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import httpx2
import msgspec
import pytest
from exchanges import STREAM, STREAMED_REQUEST, URL, Watched, answer, mock, request

from payi_middleware import CallEvent, costing, current, track, use_case
from payi_middleware.spool import ANSWERED, BEGUN, ENDED, TO_PRICE

MESSAGES = "https://api.anthropic.com/v1/messages"
_CLAUDE = {
    "id": "msg_1",
    "type": "message",
    "model": "claude-sonnet-4-5-20250929",
    "content": [{"type": "text", "text": "A fox."}],
    "stop_reason": "end_turn",
    "usage": {
        "input_tokens": 12,
        "output_tokens": 34,
        "cache_read_input_tokens": 56,
        "cache_creation_input_tokens": 78,
        "cache_creation": {"ephemeral_5m_input_tokens": 8, "ephemeral_1h_input_tokens": 70},
        "server_tool_use": {"web_search_requests": 2},
        "service_tier": "standard",
        "inference_geo": "us",
    },
}
_DETAILS = {
    "usage": {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 30, "audio_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 20, "audio_tokens": 3},
    },
    "service_tier": "flex",
}
ANSWERS: dict[str, tuple[str, bytes, bytes | list[bytes]]] = {
    "plain": (URL, request(), answer()),
    "details": (URL, request(), answer(**_DETAILS)),
    "stream": (URL, STREAMED_REQUEST, STREAM),
    "odd usage": (URL, request(), answer(usage={"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 90})),
    "unknown model": (URL, request(), answer(model="nobody-knows-it")),
    "claude": (MESSAGES, b'{"model":"claude-sonnet-4-5","max_tokens":9}', json.dumps(_CLAUDE).encode()),
}
_OF_THE_CALL = {"event_id", "call_group", "started_ns", "duration_ns", "first_byte_ns", "attribution"}


def told(event: CallEvent) -> dict[str, Any]:
    """What two calls that are answered alike have in common."""
    return {name: value for name, value in msgspec.structs.asdict(event).items() if name not in _OF_THE_CALL}


def kinds(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The kinds of the records that are written from now on."""
    seen: list[bytes] = []
    append = watched.meter.spool.append

    def noting(payload: bytes) -> None:
        seen.append(payload[:1])
        append(payload)

    monkeypatch.setattr(watched.meter.spool, "append", noting)
    return seen


@pytest.mark.parametrize("which", list(ANSWERS))
def test_both_records_tell_the_same(
    which: str, lib: ModuleType, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the call is priced as it ends or by the draining thread, which makes its event of what the answer told."""
    url, sent, answered = ANSWERS[which]
    meter = watched.meter
    meter.estimates.settled |= {"gpt-4o-mini-2024-07-18", "nobody-knows-it", "claude-sonnet-4-5-20250929"}
    written = kinds(watched, monkeypatch)
    costs = []
    for may_wait in (True, False):
        meter.prices.may_wait = may_wait
        with lib.Client(transport=mock(lib, answered)) as client, track(user_id="jane"), use_case("Tales"):
            assert client.post(url, content=sent).status_code == 200
            costs.append((current().cost, current().complete))

    short, long = watched.events
    assert written[0] == written[2] == BEGUN
    assert written[1] == ANSWERED != written[3]
    assert told(short) == told(long)
    assert costs[0] == costs[1]
    for event in (short, long):
        assert event.user_id == "jane"
        assert event.use_case_name == "Tales"
        assert event.duration_ns >= (event.first_byte_ns or 0) > 0
        assert event.call_group == event.event_id


@pytest.mark.parametrize("priced", ["by what was told", "as an event", "as it ends"])
def test_counts_of_an_absurd_cost_are_not_kept(priced: str, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are malformed, so nothing may count them: no limit, no price that somebody makes of them later."""
    meter = watched.meter
    meter.estimates.settled |= {"gpt-4o-mini-2024-07-18"}
    monkeypatch.setattr(costing, "_MOST_TICKS", 1)
    meter.prices.may_wait = priced == "by what was told"
    monkeypatch.setattr(meter.prices, "owned", priced == "as it ends")
    written = kinds(watched, monkeypatch)
    with httpx2.Client(transport=mock(httpx2, answer())) as client:
        client.post(URL, content=request())

    event = watched.one
    assert (event.cost, event.cost_source, event.units, event.parts) == (None, "none", {}, ())
    assert event.reason == "the counts come to more than a million dollars: malformed"
    assert written[1] == {"by what was told": ANSWERED, "as an event": TO_PRICE, "as it ends": ENDED}[priced]


def test_a_model_that_is_still_learned_of(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """What estimates learn from needs the texts, so it is looked at as the call ends."""
    written = kinds(watched, monkeypatch)
    with httpx2.Client(transport=mock(httpx2, answer(model="my-own-model"))) as client:
        client.post(URL, content=request())
    assert written[1] != ANSWERED
    assert watched.one.resource == "my-own-model"


def test_calls_of_one_instance(watched: Watched) -> None:
    """All calls of a block have the instance's id, however each is recorded, and the running code sees it."""
    meter = watched.meter
    meter.estimates.settled |= {"gpt-4o-mini-2024-07-18"}
    with httpx2.Client(transport=mock(httpx2, answer())) as client, track(user_id="jane"), use_case("Tales"):
        for may_wait in (True, False):
            meter.prices.may_wait = may_wait
            client.post(URL, content=request())
        told_id = current().attribution.use_case_id

    assert told_id is not None
    assert [event.attribution.use_case_id for event in watched.events] == [told_id, told_id]


def test_an_error_is_no_ordinary_answer(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a status nor an error in the body."""
    written = kinds(watched, monkeypatch)
    for status, body in ((500, answer()), (200, answer(error={"type": "server_error", "message": "no"}))):
        with httpx2.Client(transport=mock(httpx2, body, status)) as client:
            client.post(URL, content=request())
    assert ANSWERED not in written
    assert [event.outcome for event in watched.events] == ["error", "error"]
