"""What is held for a strict limit is never less than what the call turns out to cost, whatever only its answer tells."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import time
import zlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from exchanges import Watched, answer, encoded
from loopback import Loopback, Reply

from payi_middleware import Limit, health
from payi_middleware.costing import cost_of
from payi_middleware.limits.asking import Asking, asked_of
from payi_middleware.limits.beyond import NOTHING, Beyond, beyond
from payi_middleware.limits.bounds import most_input, most_tokens
from payi_middleware.limits.memory import MemoryLedger
from payi_middleware.limits.outline import MAX_READ, outline

Limited = Callable[..., Watched]
WORDS = [{"role": "user", "content": "Tell me of the fox. " * 1_000}]
TAKEN, MADE = 20_000, 100
"""A token a byte: as many as there can be."""


def chat(model: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": WORDS, "max_tokens": MADE, **fields}


def told(model: str, **fields: Any) -> bytes:
    return answer(model=model, prompt=TAKEN, completion=MADE, **fields)


def message(model: str, **usage: Any) -> bytes:
    counts = {"input_tokens": TAKEN, "output_tokens": MADE, **usage}
    return json.dumps({"id": "m", "type": "message", "role": "assistant", "model": model, "usage": counts}).encode()


def passes(*models: str, made: int) -> list[dict[str, Any]]:
    return [
        {
            "type": "message",
            "model": model,
            "input_tokens": TAKEN,
            "output_tokens": tokens,
            "cache_read_input_tokens": 0,
        }
        for model, tokens in zip(models, (MADE, made, made), strict=True)
    ]


def drawn(model: str, pictures: int) -> bytes:
    """A picture's tokens, which Gemini tells by their kind: https://ai.google.dev/gemini-api/docs/image-generation"""
    counts = {
        "promptTokenCount": 5,
        "candidatesTokenCount": pictures,
        "totalTokenCount": 5 + pictures,
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": pictures}],
    }
    part = {"inlineData": {"mimeType": "image/png", "data": "eA=="}}
    candidates = [{"content": {"parts": [part]}, "finishReason": "STOP"}]
    return json.dumps({"candidates": candidates, "modelVersion": model, "usageMetadata": counts}).encode()


def heard(model: str, sound: int) -> bytes:
    """So many tokens of a prompt are sound: https://ai.google.dev/gemini-api/docs/audio"""
    counts = {
        "promptTokenCount": sound + 5,
        "candidatesTokenCount": 10,
        "totalTokenCount": sound + 15,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": sound}, {"modality": "TEXT", "tokenCount": 5}],
    }
    candidates = [{"content": {"parts": [{"text": "A fox."}]}, "finishReason": "STOP"}]
    return json.dumps({"candidates": candidates, "modelVersion": model, "usageMetadata": counts}).encode()


HEARS = "gpt-4o-audio-preview"
EARLIER = [{"role": "assistant", "audio": {"id": "audio_1"}}, {"role": "user", "content": "Go on."}]
HEAR = {"contents": [{"parts": [{"fileData": {"fileUri": "https://example.com/files/1", "mimeType": "audio/mp3"}}]}]}
DRAW = {"contents": [{"parts": [{"text": "A fox."}]}], "generationConfig": {"maxOutputTokens": 1_400}}
DRAWS, DRAWS_DEARLY = "gemini-2.5-flash-image", "gemini-3-pro-image-preview"
CLAUDE, FAST = "claude-opus-4-6", "claude-opus-4-8"
CASES: dict[str, tuple[str, str, dict[str, Any], bytes]] = {
    "a project's tier": ("openai", "", chat("gpt-4o"), told("gpt-4o-2024-08-06", service_tier="priority")),
    "auto": ("openai", "", chat("gpt-4o", service_tier="auto"), told("gpt-4o", service_tier="priority")),
    "another tier": ("openai", "", chat("gpt-4o", service_tier="flex"), told("gpt-4o", service_tier="default")),
    "a deployment's tier": ("azure", "", chat("gpt-4.1"), told("gpt-4.1", service_tier="priority")),
    "a workspace's place": ("anthropic", "/v1/messages", chat(CLAUDE), message(CLAUDE, inference_geo="us")),
    "speed": ("anthropic", "/v1/messages", chat(FAST, speed="fast"), message(FAST, speed="fast")),
    "an hour's cache": (
        "anthropic",
        "/v1/messages",
        chat(CLAUDE, cache_control={"type": "ephemeral", "ttl": "1h"}),
        message(
            CLAUDE,
            input_tokens=0,
            cache_creation_input_tokens=TAKEN,
            cache_creation={"ephemeral_1h_input_tokens": TAKEN, "ephemeral_5m_input_tokens": 0},
        ),
    ),
    "a cache that is written unasked": (
        "openai",
        "",
        chat("gpt-5.6"),
        told("gpt-5.6", usage={
            "prompt_tokens": TAKEN, "completion_tokens": MADE, "total_tokens": TAKEN + MADE,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": TAKEN},
        }),
    ),
    "an advisor": (
        "anthropic",
        "/v1/messages",
        chat("claude-haiku-4-5", tools=[{"type": "advisor_20260301", "name": "advisor", "model": CLAUDE, "max_uses": 2}]),
        message("claude-haiku-4-5", iterations=passes("claude-haiku-4-5", CLAUDE, CLAUDE, made=4_096)),
    ),
    "searches": (
        "anthropic",
        "/v1/messages",
        chat(CLAUDE, tools=[{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]),
        message(CLAUDE, input_tokens=4 * TAKEN, server_tool_use={"web_search_requests": 3}),
    ),
    "pictures unasked": ("google", f"/v1beta/models/{DRAWS}:generateContent", DRAW, drawn(DRAWS, 1_290)),
    "dear pictures": ("google", f"/v1beta/models/{DRAWS_DEARLY}:generateContent", DRAW, drawn(DRAWS_DEARLY, 1_120)),
    "a model that searches by itself": (
        "perplexity",
        "/chat/completions",
        chat("sonar-deep-research"),
        told("sonar-deep-research", usage={
            "prompt_tokens": 33, "completion_tokens": MADE, "total_tokens": 33 + MADE,
            "citation_tokens": 20_016, "reasoning_tokens": 73_997, "num_search_queries": 18,
        }),
    ),
    "a sound that is named": (
        "google",
        "/v1beta/models/gemini-2.5-flash:generateContent",
        {**HEAR, "generationConfig": {"maxOutputTokens": MADE}},
        heard("gemini-2.5-flash", 900_000),
    ),
    "an earlier answer's sound": (
        "openai",
        "",
        chat(HEARS, messages=EARLIER),
        told(HEARS, usage={
            "prompt_tokens": 100_000, "completion_tokens": MADE, "total_tokens": 100_000 + MADE,
            "prompt_tokens_details": {"audio_tokens": 99_900},
        }),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_strict_limit_is_not_passed_by_what_the_answer_tells(case: str, provider: Loopback, limited: Limited) -> None:
    """Held before, settled afterwards: the tier, the place, the cache, other models and tools."""
    name, path, asked, told = CASES[case]
    ledger, held = MemoryLedger(), []
    watched = limited(name, Limit("all", 1000, strict=True), ledger=ledger)

    def answered(_: Any) -> Reply:
        held.append(ledger.held()[0].hold.ticks)
        return Reply([told])

    provider.replies = [answered]
    url = f"http://{provider.host}{path}" if path else provider.url
    with httpx2.Client(trust_env=False) as client:
        assert client.post(url, json=asked).status_code == 200
    event = watched.one
    assert event.cost is not None
    assert 0 < event.cost.total_ticks <= held[0]
    assert "limit_terms" not in health.counters()


def held_for(
    provider: Loopback, limited: Limited, *bodies: dict[str, Any], strict: bool = True, name: str = "openai"
) -> list[int]:
    """Ticks that are held for requests."""
    ledger, held = MemoryLedger(), []
    limited(name, Limit("all", 100_000, strict=strict), ledger=ledger)

    def answered(_: Any) -> Reply:
        held.append(ledger.held()[0].hold.ticks)
        return Reply()

    provider.replies = [answered]
    with httpx2.Client(trust_env=False) as client:
        for body in bodies:
            client.post(provider.url, json=body)
    return held


def test_a_tier_that_is_named_is_the_one_that_is_held_for(provider: Loopback, limited: Limited) -> None:
    """Who says `default` is not held to what a project may have; a hold that is no bound is for what is likely."""
    unnamed, standard, priority = held_for(
        provider,
        limited,
        chat("gpt-4o"),
        chat("gpt-4o", service_tier="default"),
        chat("gpt-4o", service_tier="priority"),
    )
    assert priority * 100 > standard * 165
    assert unnamed > priority - standard // 10
    likely, standard = held_for(provider, limited, chat("gpt-4o"), chat("gpt-4o", service_tier="default"), strict=False)
    assert abs(likely - standard) < standard // 10


def test_the_dearest_of_models_that_may_answer_is_held_for(provider: Loopback, limited: Limited) -> None:
    """OpenRouter's `models`; and a fallback, which is paid for besides what was refused."""
    alone, listed, dear, added = held_for(
        provider,
        limited,
        chat("gpt-4o-mini", service_tier="default"),
        chat("gpt-4o-mini", service_tier="default", models=["gpt-4o", "gpt-4.1-nano"]),
        chat("gpt-4o", service_tier="default"),
        chat("gpt-4o-mini", service_tier="default", fallbacks=[{"model": "gpt-4o"}]),
    )
    assert listed >= dear - alone // 2
    assert added >= dear


def test_models_that_are_named_often_are_priced_once(
    provider: Loopback, limited: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small body can name them thousands of times, and the event loop must not stand still for it."""
    priced: list[str | None] = []

    def counted(prices: Any, provider: str, model: str | None, *rest: Any, **more: Any) -> Any:
        priced.append(model)
        return cost_of(prices, provider, model, *rest, **more)

    monkeypatch.setattr("payi_middleware.limits.quoting.cost_of", counted)

    def asked(**fields: Any) -> tuple[int, int]:
        """How often rates were asked, and what is held."""
        priced.clear()
        (held,) = held_for(provider, limited, chat("gpt-4o-mini", **fields))
        return len(priced), held

    def advisors(tools: int, uses: int) -> list[dict[str, Any]]:
        return [{"type": "advisor_1", "model": "gpt-4o", "max_uses": uses}] * tools

    once, _ = asked(models=["gpt-4o"])
    assert asked(models=["gpt-4o"] * 5_000)[0] == once
    once, single = asked(fallbacks=[{"model": "gpt-4o"}])
    often, many = asked(fallbacks=[{"model": "gpt-4o"}] * 5_000)
    assert (often, many > 4_000 * single) == (once, True)
    assert asked(tools=advisors(20, 10)) == asked(tools=advisors(1, 200))
    assert asked(models=[f"model-{n}" for n in range(5_000)])[0] < once


def test_code_and_pictures_that_the_provider_makes_are_held_for(provider: Loopback, limited: Limited) -> None:
    """A container of the largest memory; a picture of the image tool's own model."""
    plain, code, drawn = held_for(
        provider,
        limited,
        chat("gpt-4o", tools=[{"type": "web_search"}]),
        chat("gpt-4o", tools=[{"type": "code_interpreter", "container": {"type": "auto"}}]),
        chat("gpt-4o", tools=[{"type": "image_generation"}]),
    )
    assert code - plain > 4_000_000_000  # 0.48 USD, and less of a fee for a search
    assert drawn - plain > 2_000_000_000  # 6,540 tokens at 40 USD a million


def test_what_is_billed_by_the_piece_is_in_the_request(provider: Loopback, limited: Limited) -> None:
    """Speech by its characters: known to the tick, before anything is answered."""
    ledger, held = MemoryLedger(), []
    watched = limited("openai", Limit("all", 1000, strict=True), ledger=ledger)

    def answered(_: Any) -> Reply:
        held.append(ledger.held()[0].hold.ticks)
        return Reply([b"ID3 sound"], headers={"content-type": "audio/mpeg"})

    provider.replies = [answered]
    asked = {"model": "tts-1", "input": "Tell me of the fox. " * 50, "voice": "alloy"}
    httpx2.post(provider.url.replace("chat/completions", "audio/speech"), json=asked, trust_env=False)
    event = watched.one
    assert event.cost is not None
    assert 0 < event.cost.total_ticks <= held[0]


def test_a_model_that_may_answer_and_has_no_price(provider: Loopback, limited: Limited) -> None:
    """The call is held for as one without a price: at the dearest of its maker."""
    known, unknown = held_for(
        provider, limited, chat("gpt-4o-mini"), chat("gpt-4o-mini", models=["gpt-4o-mini", "gpt-nobody-knows"])
    )
    assert unknown > 50 * known


def test_a_fault_in_telling_the_place_lets_the_call_be_held(
    provider: Loopback, limited: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For what the request says by itself."""

    def broken(*facts: Any) -> Any:
        raise RuntimeError("a fault")

    monkeypatch.setattr("payi_middleware.limits.quoting.Facts", broken)
    (held,) = held_for(provider, limited, chat("gpt-4o"), name="azure")
    assert held > 0
    assert health.counters()["limit_terms"] == 2  # of the place, and of what is billed by the piece


_SPOKEN = {"input": "a" * 6000, "voice": "alloy"}


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    ("path", "body", "usd"),
    [
        ("audio/speech", {"model": "tts-1", **_SPOKEN}, "0.09"),
        ("images/generations", {"model": "dall-e-3", "prompt": "A fox.", "quality": "hd"}, "0.08"),
        ("images/generations", {"model": "dall-e-2", "prompt": "A fox.", "n": 3}, "0.06"),
    ],
)
def test_what_is_billed_by_the_piece_is_held_at_its_price(
    path: str, body: dict[str, Any], usd: str, strict: bool, provider: Loopback, limited: Limited
) -> None:
    """Not at that of the maker's dearest model for tokens; nor is it refused as without a price."""
    ledger, held = MemoryLedger(), []
    limited("openai", Limit("all", usd, strict=strict, unknown_price="block"), ledger=ledger)

    def answered(_: Any) -> Reply:
        held.append(ledger.held()[0].hold.ticks)
        return Reply()

    provider.replies = [answered]
    with httpx2.Client(trust_env=False) as client:
        client.post(provider.url.replace("chat/completions", path), json=body)
    assert held == [Decimal(usd) * 10**10]


@pytest.mark.parametrize(("strict", "usd"), [(False, "0.001"), (True, "0.0054")])
def test_what_is_heard_is_held_at_what_so_long_a_sound_costs(
    strict: bool, usd: str, provider: Loopback, limited: Limited
) -> None:
    """By the size of the file: 10 seconds of usual speech, or 54 of the sparest."""
    ledger, held = MemoryLedger(), []
    limited("openai", Limit("all", 10, strict=strict, unknown_price="block"), ledger=ledger)

    def answered(_: Any) -> Reply:
        held.append(ledger.held()[0].hold.ticks)
        return Reply()

    provider.replies = [answered]
    with httpx2.Client(trust_env=False) as client:
        url = provider.url.replace("chat/completions", "audio/transcriptions")
        client.post(url, data={"model": "whisper-1"}, files={"file": ("a.mp3", b"ID3" + bytes(39_997))})
    assert held == [Decimal(usd) * 10**10]


def test_a_model_that_is_billed_by_sound_is_not_refused_as_without_a_price(
    provider: Loopback, limited: Limited
) -> None:
    """Its price is known, though not how long the sound is."""
    limited("openai", Limit("all", 10, unknown_price="block"))
    url = provider.url.replace("chat/completions", "audio/transcriptions")
    with httpx2.Client(trust_env=False) as client:
        told = [
            client.post(url, data={"model": model}, files={"file": ("a.mp3", b"")}).status_code
            for model in ("whisper-1", "hearing-nobody-knows")
        ]
    assert told == [200, 400]


def test_strict_speech_is_held_for_as_long_as_its_text_takes(provider: Loopback, limited: Limited) -> None:
    """No request says how many tokens a sound may take."""
    ledger, held = MemoryLedger(), []
    limited("openai", Limit("all", 10, strict=True), ledger=ledger)

    def answered(_: Any) -> Reply:
        held.append(ledger.held()[0].hold.ticks)
        return Reply([b"ID3" + bytes(1000)], headers={"content-type": "audio/mpeg"})

    provider.replies = [answered]
    with httpx2.Client(trust_env=False) as client:
        url = provider.url.replace("chat/completions", "audio/speech")
        client.post(url, json={"model": "gpt-4o-mini-tts", **_SPOKEN})
    (definition,) = ledger.definitions("default").limits
    (spent,) = ledger.totals("default", definition.limit_id)
    assert 0 < spent.spent <= held[0]


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, NOTHING),
        ({"tools": [{"type": "function", "name": "mine"}, "odd", {"functionDeclarations": []}]}, NOTHING),
        ({"tools": [{"type": "web_search"}]}, Beyond(uses=1)),
        ({"tools": [{"type": "web_search"}], "max_tool_calls": 4}, Beyond(uses=4)),
        ({"tools": [{"googleSearch": {}}, {"codeExecution": {}}]}, Beyond(uses=2)),
        ({"tools": [{"type": "web_search_20250305", "max_uses": 3}, {"type": "mcp"}]}, Beyond(uses=4)),
        ({"toolConfig": {"tools": [{"systemTool": {"name": "nova_grounding"}}]}}, Beyond(uses=1)),
        ({"web_search_options": {}}, Beyond(uses=1)),
        ({"plugins": [{"id": "web"}]}, Beyond(uses=1)),
        ({"search_parameters": {"mode": "auto"}}, Beyond(uses=20)),
        ({"search_parameters": {"mode": "on", "max_search_results": 5}}, Beyond(uses=5)),
        ({"search_parameters": {"mode": "off"}}, NOTHING),
        ({"models": ["a", {"model": "b"}, 7]}, Beyond(instead=("a", "b"))),
        ({"fallbacks": [{"model": "a"}]}, Beyond(also=("a",))),
        ({"tools": [{"type": "advisor_1", "model": "a", "max_uses": 2}]}, Beyond(advisors=(("a", 2),), uses=2)),
        ({"tools": [{"type": "image_generation", "model": "gpt-image-2"}]}, Beyond(draws="gpt-image-2", uses=1)),
        ({"tools": [{"type": "code_interpreter"}]}, Beyond(uses=1, runs_code=True)),
        ({"tools": [{"type": "web_search", "max_uses": True}]}, Beyond(uses=1)),
        ({"tools": {"type": "web_search"}}, NOTHING),
    ],
)
def test_what_a_request_may_take_besides(fields: dict[str, Any], found: Beyond) -> None:
    """Other models, and tools that the provider runs, as often as the request lets it."""
    assert beyond(json.dumps({"model": "m", **fields}).encode()) == found


@pytest.mark.parametrize(
    ("model", "uses"),
    [("sonar-deep-research", 1), ("groq/compound-mini", 1), ("compound-beta", 1), ("sonar", 0), ("a-compound", 0)],
)
def test_models_that_run_tools_by_themselves_are_held_for_as_if_asked(model: str, uses: int) -> None:
    """For once, as nobody says how often; where the request says so, for that."""
    assert beyond(b"{}", model) == Beyond(uses=uses)
    assert beyond(None, model) == Beyond(uses=uses)
    assert beyond(b'{"tools": [{"type": "web_search", "max_uses": 3}]}', model) == Beyond(uses=3)


@pytest.mark.parametrize("body", [None, b"", b'{"tools": ', b'["tools": 1]', b'{"tools": 1}' + b" " * MAX_READ])
def test_what_cannot_be_read_takes_nothing_besides(body: bytes | None) -> None:
    """It never raises."""
    assert beyond(body) == NOTHING


def picture(size: int) -> str:
    """A PNG of one colour: few bytes, many tokens."""
    rows = b"".join(b"\0" + bytes(size) for _ in range(size))
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    made = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + made).decode()


def test_a_picture_of_few_bytes_may_be_many_tokens() -> None:
    """48,169 of GPT-4o mini's, in two kilobytes; of a document nobody knows how many pages it has."""
    body = json.dumps({"content": [{"type": "input_image", "data": picture(1024)}]}).encode()
    assert len(body) < 4_000
    assert most_input(body, body, 128_000, None, NOTHING)["text"][0] >= 2_833 + 8 * 5_667
    assert most_input(body, body, 10_000, None, NOTHING)["text"][0] == 10_000
    body = b'{"type": "document", "source": {"media_type": "application/pdf", "data": "JVBE"}}'
    assert most_input(body, body, 128_000, None, NOTHING)["text"][0] == 128_000


@pytest.mark.parametrize(
    "body",
    [
        {"content": [{"type": "file", "fileData": {"fileUri": "gs://films/1"}}]},
        {"prompt": {"id": "pmpt_1"}},
        {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]},
        {"cached_content": "cachedContents/1"},
    ],
    ids=["a film", "a prompt that is kept", "an earlier answer's sound", "a cache"],
)
def test_what_is_only_named_is_held_for_as_a_whole_window(body: dict[str, Any]) -> None:
    """Also of a model whose window nobody tells: then it is one of the largest."""
    sent = json.dumps(body).encode()
    assert most_input(sent, sent, 128_000, None, NOTHING)["text"][0] == 128_000
    assert most_input(sent, sent, None, None, NOTHING)["text"][0] == 2_000_000


def test_each_picture_at_an_address_is_one() -> None:
    """As Anthropic has it: https://docs.claude.com/en/docs/build-with-claude/vision"""
    part = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    sent = json.dumps({"messages": [{"role": "user", "content": [part] * 3}]}).encode()
    assert most_input(sent, sent, 1_000_000, None, NOTHING)["text"][0] >= 3 * 48_200


def test_a_form_says_how_many_in_words() -> None:
    """`n` of `images/edits` is a field of a form, and a text."""
    assert asked_of(b'{"model": "gpt-image-1", "n": "4"}').choices == 4


def test_tokens_of_all_models_are_held_for() -> None:
    """Two that answer, two pieces of advice as long as the ceiling, a picture."""
    assert most_tokens(10, 5, 50, NOTHING) == 15
    assert most_tokens(10, 5, 50, Beyond(also=("a",), advisors=(("b", 2),))) == 2 * 15 + 2 * 60
    assert most_tokens(10, 5, 50, Beyond(draws="c", uses=2)) == 15 + 10 + 2 * 6_540


def test_tools_that_the_provider_runs_send_the_prompt_again() -> None:
    """With what they found, so that each time may be the whole window."""
    assert most_input(b"{}", b"{}", 1_000, {"text": (2, 0)}, Beyond(uses=3)) == {"text": (4_000, 0)}


@pytest.mark.parametrize("inside", [b'\\"' * 2_000_000, b"\\" * 4_000_000], ids=["quotes", "backslashes"])
def test_a_string_of_escapes_is_given_up(inside: bytes) -> None:
    """JSON in a string has a backslash before each quote: millions of them would take seconds."""
    assert outline(b'{"max_tokens": 7, "text": "' + inside + b'"}', MAX_READ) is None
    few = inside[:1_000]
    assert outline(b'{"text": "' + few + b'", "max_tokens": 7}', MAX_READ) == b'{"text": "", "max_tokens": 7}'


LONG = 3 << 20


def long_body(**fields: Any) -> bytes:
    """Members before and behind a picture of 3 MB, with quotes in it."""
    asked = {
        "max_tokens": 7,
        "messages": [{"role": "user", "content": 'a "picture" \\' + "é" * 40 + "x" * LONG}],
        **fields,
    }
    return json.dumps(asked, ensure_ascii=False).encode()


def test_a_long_body_is_read_by_its_outline() -> None:
    """All that it asks for, wherever it stands; and as valid JSON."""
    body = long_body(n=3, service_tier="flex", tools=[{"type": "web_search", "description": "é" * 100}])
    seen = outline(body, MAX_READ)
    assert seen is not None
    assert len(seen) < 500
    assert asked_of(seen) == Asking(7, 3, "flex")
    assert beyond(seen) == Beyond(uses=1)
    assert json.loads(seen)["messages"][0]["role"] == "user"


@pytest.mark.parametrize(
    "body",
    [b'{"open": "never closed', b'{"escaped": "\\"', b'"a"' * 100_001, b'["a", ' + b"1, " * MAX_READ + b"1]"],
    ids=["open", "escaped", "many", "numbers"],
)
def test_what_has_no_short_outline_is_not_known(body: bytes) -> None:
    """Then a strict hold is for the whole window."""
    assert outline(body, MAX_READ) is None


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_body_of_megabytes_is_held_for_as_it_asks(is_async: bool, provider: Loopback, limited: Limited) -> None:
    """Three answers of 7 tokens, and not one as long as any may get."""
    ledger, held = MemoryLedger(), []
    limited("openai", Limit("all", 10**9, unit="tokens"), ledger=ledger)

    def answered(_: Any) -> Reply:
        held.append(ledger.held()[0].hold.tokens)
        return Reply()

    provider.replies = [answered]
    long, short = long_body(model="gpt-4o-mini", n=3), json.dumps(chat("gpt-4o-mini", max_tokens=7, n=3)).encode()

    async def asked(body: bytes) -> None:
        async with httpx2.AsyncClient(trust_env=False) as client:
            await client.post(provider.url, content=body)

    for body in (long, short):
        if is_async:
            asyncio.run(asked(body))
        else:
            httpx2.post(provider.url, content=body, trust_env=False)
    assert held[0] - len(long) // 4 < 100
    assert held == [held[0], len(short) // 4 + 21 + bool(len(short) % 4)]


@pytest.mark.parametrize("coding", ["gzip", "br"])
def test_a_packed_request_is_held_for_as_what_it_unpacks_to(coding: str, provider: Loopback, limited: Limited) -> None:
    """And not by its few bytes; one that stays packed for all that a model can take."""
    ledger, held = MemoryLedger(), []
    watched = limited("openai", Limit("all", 10**9, unit="tokens", strict=True), ledger=ledger)

    def answered(_: Any) -> Reply:
        held.append(ledger.held()[0].hold.tokens)
        return Reply([told("gpt-4o-mini")])

    provider.replies = [answered]
    body = json.dumps(chat("gpt-4o-mini")).encode()
    for packed, name in ((body, "identity"), (encoded(coding, body), coding), (encoded(coding, body), "snappy")):
        httpx2.post(provider.url, content=packed, headers={"content-encoding": name}, trust_env=False)
    plain, unpacked, unknown = held
    assert plain == unpacked >= len(body) // 8 + MADE
    assert unknown >= 2_000_000
    assert [event.requested_resource for event in watched.events] == ["gpt-4o-mini", "gpt-4o-mini", None]


def test_a_long_body_that_takes_too_long_is_held_for_as_one_that_says_nothing(
    provider: Loopback, limited: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits longer for it than for the ledger."""
    monkeypatch.setattr("payi_middleware.limits.held.outline", lambda *_: time.sleep(0.3))
    ledger, held = MemoryLedger(), []
    limited("openai", Limit("all", 10**9, unit="tokens"), ledger=ledger, ledger_timeout=0.05, hold_ceiling=500)

    def answered(_: Any) -> Reply:
        held.append(ledger.held()[0].hold.tokens)
        return Reply()

    provider.replies = [answered]
    body = long_body(model="gpt-4o-mini")
    httpx2.post(provider.url, content=body, trust_env=False)
    assert held[0] >= 500
    assert health.counters()["limit_unread"] == 1
