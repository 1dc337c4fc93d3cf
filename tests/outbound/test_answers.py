"""From an answer to a cost: what providers answer, well and badly, and what the event says of it."""

from __future__ import annotations

import json
from decimal import Decimal
from types import ModuleType
from typing import Any

import httpx2
import pytest
from exchanges import (
    ANSWER,
    REQUEST,
    STREAM,
    STREAMED_REQUEST,
    URL,
    Watched,
    answer,
    event,
    mock,
    request,
    send,
    stream_of,
)

from payi_middleware import Meter, current, health, instrument, track
from payi_middleware.costing import cost_of
from payi_middleware.events import CallEvent, Unpriced
from payi_middleware.pricing import Prices
from payi_middleware.sinks.memory import MemorySink


def asked(
    watched: Watched, body: bytes | list[bytes], *, url: str = URL, sent: bytes = REQUEST, **headers: str
) -> CallEvent:
    """The event of a call that is answered so; the application gets the answer as it is."""
    with httpx2.Client(transport=mock(httpx2, body)) as client:
        response = client.post(url, content=sent, headers={name.replace("_", "-"): v for name, v in headers.items()})
        assert response.content == (body if isinstance(body, bytes) else b"".join(body))
    return watched.events[-1]


BAD = {
    "not JSON": (b"<html>Bad gateway</html>", "the answer is not whole JSON"),
    "cut short": (ANSWER[:120], "the answer is not whole JSON"),
    "no object": (b"[1, 2]", "the answer is not a JSON object"),
    "empty": (b"", "the answer is empty"),
    "NaN": (answer(prompt=float("nan")), "usage"),
    "negative": (answer(prompt=-5), "usage.prompt_tokens"),
    "a string": (answer(prompt="one hundred"), "usage.prompt_tokens"),
    "gigantic": (answer(prompt=10**30), "usage.prompt_tokens"),
    "a fraction": (answer(completion=2.5), "usage.completion_tokens"),
    "usage missing": (answer(usage=None), "usage is missing"),
    "usage of another shape": (answer(usage=[1]), "usage"),
    "usage without counts": (answer(usage={}), "usage has no token counts"),
    "deeply nested": (b'{"usage":' + b"[" * 100_000 + b"]" * 100_000 + b"}", ""),
}


@pytest.mark.parametrize("case", list(BAD))
def test_bad_answers(case: str, watched: Watched) -> None:
    """None of them reaches the application as a fault of ours; the cost is an estimate or none, with the reason."""
    body, reason = BAD[case]
    told = asked(watched, body)
    assert told.cost_source == ("none" if not body else "estimate")
    assert reason in (told.reason or "")
    assert told.units == {} or told.units["text"][0] > 0
    assert "fox" not in told.to_json().lower()
    assert not health.counters().keys() & {"call_end", "call_begin", "pricing"}


def test_an_error_that_pretends_to_be_well(watched: Watched) -> None:
    """An error under status 200 is an error, with its type and never its text."""
    told = asked(watched, b'{"error": {"message": "Jane, no.", "type": "invalid_request_error", "code": null}}')
    assert (told.outcome, told.error_type, told.cost_source) == ("error", "invalid_request_error", "none")
    assert told.reason == "the answer is an error"
    assert "Jane" not in told.to_json()


def test_a_stream_without_usage_is_counted(watched: Watched) -> None:
    """What OpenAI streams unless asked for usage is counted with the model's tokenizer, and priced as an estimate."""
    told = asked(watched, stream_of(["The ", "fox."], usage=False), sent=request(stream=True))
    assert (told.outcome, told.cost_source) == ("ok", "estimate")
    assert told.units == {"text": (13, 3)}
    assert told.reason == "no usage was told (usage is missing); counted with o200k_base"
    assert told.cost is not None
    assert told.cost.total == 13 * Decimal("0.15e-6") + 3 * Decimal("0.60e-6")


def test_an_estimate_is_not_complete(watched: Watched) -> None:
    """A request that has one knows that its cost is not the whole of it."""
    with track(user_id="jane"):
        asked(watched, stream_of(["fox"], usage=False), sent=request(stream=True))
        assert (current().calls, current().pending, current().complete) == (1, 0, False)


def test_texts_that_do_not_fit_in_memory(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are counted by length; how many is in the health report."""
    monkeypatch.setattr("payi_middleware.counting.estimates.MAX_WAITING", 10)
    told = asked(watched, answer(usage=None))
    assert told.reason == "no usage was told (usage is missing); counted by length"
    assert told.units["text"][0] == -(-len(REQUEST) // 4)
    assert health.counters()["estimate_rough"] == 1


def test_the_oldest_texts_make_room(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that those of calls nobody drains can never block the others."""
    estimates = watched.meter.estimates
    endpoint = watched.meter.hosts.find(httpx2.URL(URL)).route("POST", "/v1/chat/completions").endpoint  # type: ignore[union-attr]
    monkeypatch.setattr("payi_middleware.counting.estimates.MAX_WAITING", 100)
    for name in (b"1", b"2", b"3"):
        estimates.keep(name, endpoint, b"x" * 40, b"y" * 10, False, None)
    assert [estimates.counted(name) is None for name in (b"1", b"2", b"3")] == [True, False, False]
    assert health.counters()["estimate_rough"] == 1


def test_an_embedding_without_usage(watched: Watched) -> None:
    """Only its input is counted."""
    sent = json.dumps({"model": "text-embedding-3-small", "input": ["The fox.", "The dog."]}).encode()
    told = asked(watched, b'{"data": [{"embedding": [0.1]}]}', url="https://api.openai.com/v1/embeddings", sent=sent)
    assert (told.cost_source, told.resource, told.units["text"][1]) == ("estimate", "text-embedding-3-small", 0)


def test_a_stream_nobody_announced(watched: Watched) -> None:
    """A request whose body we do not see is answered with a stream; it is read as one and said to be one."""
    with httpx2.Client(transport=mock(httpx2, stream_of(["The ", "fox."], usage=False))) as client:
        client.post(URL, content=REQUEST)
    told = watched.one
    assert (told.streamed, told.outcome) == (True, "ok")
    assert told.units["text"][1] == 3


def test_a_stream_that_was_asked_for_and_comes_whole(watched: Watched) -> None:
    """Some hosts answer a streamed request at once."""
    told = asked(watched, ANSWER, sent=STREAMED_REQUEST)
    assert (told.outcome, told.units) == ("ok", {"text": (100, 20)})


def test_an_unknown_model(watched: Watched) -> None:
    """It has no cost, and the reason names it; never is it silently zero."""
    told = asked(watched, answer(model="fox-9"))
    assert (told.cost, told.cost_source) == (None, "none")
    assert told.reason == "no rates for model fox-9 of openai"
    assert told.units == {"text": (100, 20)}


def test_no_model_at_all(watched: Watched) -> None:
    """Neither the request nor the answer names one."""
    told = asked(watched, answer(model=None), sent=b"{}")
    assert (told.cost_source, told.reason) == ("none", "neither the answer nor the request names a model")


def test_the_model_that_answered_counts(watched: Watched) -> None:
    """The request's model is kept beside it, and prices where the answer names none."""
    told = asked(watched, answer(model=None))
    assert (told.resource, told.requested_resource, told.cost_source) == ("gpt-4o-mini", "gpt-4o-mini", "usage")
    told = asked(watched, answer(model="gpt-4o-2024-08-06"))
    assert (told.resource, told.requested_resource) == ("gpt-4o-2024-08-06", "gpt-4o-mini")


def test_price_as(watched: Watched) -> None:
    """A resource, or a category and one, by whose rates to price; the event keeps the model that answered."""
    for price_as in ("gpt-4o", "system.openai/gpt-4o", "system.azureopenai/gpt-4o"):
        with track(price_as=price_as):
            told = asked(watched, answer(model="my-deployment"))
        assert told.cost is not None
        assert (told.cost.total, told.resource) == (Decimal("0.00045"), "my-deployment")
    told = asked(watched, answer(), xproxy_priceas_resource="gpt-4o", xproxy_priceas_category="system.openai")
    assert told.cost is not None
    assert told.cost.total == Decimal("0.00045")
    with track(price_as="meta/llama-of-ours"):
        told = asked(watched, answer())
    assert told.reason == "no rates for model meta/llama-of-ours of openai"


def test_azures_deployments(watched: Watched) -> None:
    """The path names the customer's deployment; the answer names the model, and prices."""
    url = "https://acme.openai.azure.com/openai/deployments/jane%27s/chat/completions?api-version=1"
    told = asked(watched, ANSWER, url=url, sent=b'{"messages": []}')
    assert (told.provider, told.category) == ("azure", "system.azureopenai")
    assert (told.requested_resource, told.resource) == ("jane's", "gpt-4o-mini-2024-07-18")
    assert told.endpoint == "/openai/deployments/{deployment}/chat/completions"
    assert (told.cost_source, told.units) == ("usage", {"text": (100, 20)})
    assert "api-version" not in told.to_json()


def test_a_path_that_decides_the_provider(watched: Watched) -> None:
    """Behind a router the path names who is paid; its begun record says the same as the event."""
    url = "https://router.huggingface.co/together/v1/chat/completions"
    told = asked(watched, answer(model="meta-llama/Llama-3.3-70B-Instruct"), url=url)
    assert told.provider == "huggingface_together"


@pytest.mark.parametrize(
    ("url", "usage", "ticks"),
    [
        ("https://openrouter.ai/api/v1/chat/completions", {"cost": 0.00001234567}, 123_457),
        ("https://api.x.ai/v1/chat/completions", {"cost_in_usd_ticks": 777}, 777),
        ("https://api.perplexity.ai/chat/completions", {"cost": {"total_cost": 0.005}}, 50_000_000),
    ],
)
def test_a_cost_the_provider_states(url: str, usage: dict[str, Any], ticks: int, watched: Watched) -> None:
    """It is taken as it is, streamed or not, also for models nobody has rates for."""
    counts = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, **usage}
    whole = asked(watched, answer(model="fox-9", usage=counts), url=url)
    parts = [event({"model": "fox-9", "choices": [], "usage": counts}), b"data: [DONE]\n\n"]
    streamed = asked(watched, parts, url=url, sent=STREAMED_REQUEST)
    for told in (whole, streamed):
        assert (told.cost_source, told.cost and told.cost.total_ticks) == ("provider", ticks)
        assert told.units == {"text": (10, 5)}


def test_rates_that_are_not_loaded_yet() -> None:
    """A call that ends before is priced by the draining thread, the same to the last digit."""
    sink = MemorySink()
    with Meter("sqlite:///:memory:", sinks=[sink]) as meter:
        instrument(meter)
        held = meter.prices
        with track(user_id="jane"):
            send(httpx2, False, mock(httpx2, STREAM))
            assert current().complete is held.ready
        assert meter.flush(10)
    told = sink.events[0]
    assert (told.cost_source, told.cost and told.cost.total_ticks) == ("usage", 270_000)
    assert told.price_version


def test_rates_that_are_not_loaded_for_an_estimated_usage(watched: Watched) -> None:
    """What a provider told before it broke off is kept, whoever prices it."""
    url = "https://api.anthropic.com/v1/messages"
    start = {
        "type": "message_start",
        "message": {"id": "m1", "model": "claude-sonnet-4-5", "usage": {"input_tokens": 9}},
    }
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "The fox is quick."}}
    parts = [b"event: x\n" + event(start), b"event: x\n" + event(delta)]
    sent = b'{"model": "claude-sonnet-4-5", "stream": true, "messages": []}'
    ready = asked(watched, parts, url=url, sent=sent)
    prices = watched.meter.prices
    watched.meter.prices = Prices()
    late = asked(watched, parts, url=url, sent=sent)
    watched.meter.prices = prices
    assert (ready.outcome, ready.cost_source) == ("aborted", "estimate")
    assert ready.units["text"][0] == 9
    assert (late.units, late.cost, late.reason) == (ready.units, ready.cost, ready.reason)
    with track(user_id="jane"):
        asked(watched, parts, url=url, sent=sent)
        assert not current().complete


def test_what_a_cost_leaves_out_is_kept() -> None:
    """Whatever else is missing, what was consumed and has no unit is said."""
    seen = (Unpriced("code_interpreter_call", 2, "a tool"),)
    prices = Prices()
    prices.load()
    assert cost_of(prices, "openai", None, {}, 0, seen=seen).unpriced == seen
    assert cost_of(prices, "openai", "fox-9", {"text": (1, 1)}, 0, seen=seen).unpriced == seen
    assert seen[0] in cost_of(prices, "openai", "gpt-4o", {"text": (1, 1)}, 0, seen=seen).unpriced
    nothing = cost_of(prices, "openai", "text-embedding-3-small", {"video": (0, 5)}, 0)
    assert (nothing.cost, nothing.source) == (None, "none")
    assert nothing.reason == "no rate for any unit of text-embedding-3-small"


def test_an_endpoint_nobody_prices_yet(lib: ModuleType, watched: Watched) -> None:
    """What is new at a provider's is an event without a cost, also when it is read to the end or not at all."""

    def heard(n: int | None) -> None:
        url = "https://api.openai.com/v1/audio/smells"
        client = lib.Client(transport=mock(lib, [b"\x00" * 100] * 5))
        with client, client.stream("POST", url, content=REQUEST) as response:
            for _ in range(n or 0):
                next(response.iter_raw())
            if n is None:
                response.read()

    heard(None)
    heard(0)
    assert [(e.outcome, e.cost_source, e.endpoint, e.reason) for e in watched.events] == [
        ("ok", "none", "(other)", "endpoint is not priced yet"),
        ("aborted", "none", "(other)", "endpoint is not priced yet"),
    ]
