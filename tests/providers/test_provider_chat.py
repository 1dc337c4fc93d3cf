"""Chat completions, embeddings and legacy completions, as OpenAI and the compatible hosts answer them."""

from __future__ import annotations

from typing import Any

import pytest
from answers import body, endpoint, events, openai_usage

from payi_middleware.events import Unpriced
from payi_middleware.providers import Endpoint, Reading

CHAT = endpoint("api.openai.com", "/v1/chat/completions")
AZURE = endpoint("x.openai.azure.com", "/openai/deployments/d/chat/completions")
EMBEDDINGS = endpoint("api.openai.com", "/v1/embeddings")


def answer(usage: Any, **more: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": 'say "usage": {}'}, "finish_reason": "stop"}
    return body({"id": "chatcmpl-1", "model": "gpt-4o-2024-08-06", "choices": [choice], "usage": usage, **more})


def chunk(text: str = "", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return {"id": "chatcmpl-1", "model": "gpt-4o", "choices": [choice], **more}


def test_cached_and_reasoning_are_parts() -> None:
    """Cached tokens are a part of the prompt, reasoning a part of the completion; units never overlap."""
    reading = CHAT.read(answer(openai_usage(100, 30, cached=40, reasoning=10), service_tier="flex"))

    assert reading == Reading(
        model="gpt-4o-2024-08-06",
        response_id="chatcmpl-1",
        units={"text": (60, 20), "text_cache_read": (40, 0), "reasoning": (0, 10)},
        service_tier="flex",
    )


def test_modalities_and_cache_writes_are_parts() -> None:
    """Audio, images and cache writes are taken out of the text on their side."""
    usage = openai_usage(100, 50)
    usage["prompt_tokens_details"] = {
        "cached_tokens": 10,
        "cache_write_tokens": 20,
        "audio_tokens": 5,
        "image_tokens": 7,
    }
    usage["completion_tokens_details"] = {"audio_tokens": 30, "image_tokens": 4, "reasoning_tokens": 6}

    assert CHAT.read(answer(usage)).units == {
        "text": (58, 10),
        "text_cache_read": (10, 0),
        "text_cache_write": (20, 0),
        "audio": (5, 30),
        "vision": (7, 0),
        "image": (0, 4),
        "reasoning": (0, 6),
    }


@pytest.mark.parametrize(
    ("host", "usage", "units"),
    [
        ("api.deepseek.com", {"prompt_tokens": 50, "completion_tokens": 5, "prompt_cache_hit_tokens": 32}, (18, 32)),
        ("api.together.ai", {"prompt_tokens": 50, "completion_tokens": 5, "cached_tokens": 10}, (40, 10)),
        ("api.moonshot.ai", {"prompt_tokens": 50, "completion_tokens": 5, "cached_tokens": 50}, (0, 50)),
        ("api.inceptionlabs.ai", {"prompt_tokens": 50, "completion_tokens": 5, "cached_input_tokens": 10}, (40, 10)),
    ],
)
def test_hosts_name_cached_tokens_their_own_way(host: str, usage: dict[str, Any], units: tuple[int, int]) -> None:
    """Wherever a host tells its cached tokens, they are taken out of the text."""
    text, cached = units

    reading = endpoint(host, "/v1/chat/completions").read(answer(usage))

    assert reading.units == {"text": (text, 5), "text_cache_read": (cached, 0)}


def test_xai_reasoning_comes_on_top() -> None:
    """Reasoning that the total shows as extra is not taken out of the completion; xAI states its charge."""
    usage = openai_usage(32, 9, reasoning=120) | {"total_tokens": 161, "cost_in_usd_ticks": 37_756_000}

    reading = endpoint("api.x.ai", "/v1/chat/completions").read(answer(usage))

    assert reading.units == {"text": (32, 9), "reasoning": (0, 120)}
    assert reading.stated_ticks == 37_756_000
    assert reading.reason is None


@pytest.mark.parametrize(
    ("told", "total", "units"),
    [
        (33, 51, {"text": (8, 10), "reasoning": (0, 33)}),
        (33, 18, {"text": (8, 10)}),  # a part of the completion, if anything
        (33, None, {"text": (8, 10)}),
        (0, 18, {"text": (8, 10)}),
        (None, 18, {"text": (8, 10)}),
        ("33", 18, {"text": (8, 10)}),
        (True, 18, {"text": (8, 10)}),
        (-3, 15, {"text": (8, 10)}),
    ],
)
def test_reasoning_beside_the_other_counts(told: object, total: int | None, units: dict[str, Any]) -> None:
    """Inception's stands at the top of the usage, and comes on top where the total says so."""
    usage = {"prompt_tokens": 8, "completion_tokens": 10, "reasoning_tokens": told, "total_tokens": total}
    reading = endpoint("api.inceptionlabs.ai", "/v1/chat/completions").read(
        body({"model": "mercury-2", "usage": usage})
    )

    assert (reading.units, reading.reason) == (units, None)


def test_a_total_that_is_more_than_its_parts_is_said() -> None:
    """What it is nobody tells; a gateway passes Gemini's thoughts on that way."""
    raw = body({"model": "m", "usage": {"prompt_tokens": 8, "completion_tokens": 10, "total_tokens": 51}})
    nobody_s = endpoint("api.openai.com", "/v1/chat/completions").read(raw)
    passed_on = endpoint("api.portkey.ai", "/v1/chat/completions").read(raw)

    assert nobody_s.units == {"text": (8, 10)}
    assert nobody_s.reason == "usage tells 51 tokens, 33 more than it names: those are not counted"
    assert (passed_on.units, passed_on.reason) == ({"text": (8, 10), "reasoning": (0, 33)}, None)


@pytest.mark.parametrize("details", [{}, openai_usage()], ids=["without details", "with details"])
@pytest.mark.parametrize(
    ("host", "path", "units", "said"),
    [
        ("api.openai.com", "/v1/chat/completions", {"text": (8, 10)}, "33 more than it names"),
        ("x.openai.azure.com", "/openai/deployments/d/chat/completions", {"text": (8, 10)}, "33 more than it names"),
        ("api.x.ai", "/v1/chat/completions", {"text": (8, 10)}, "33 more than it names"),
        ("api.portkey.ai", "/v1/chat/completions", {"text": (8, 10), "reasoning": (0, 33)}, None),
        (
            "generativelanguage.googleapis.com",
            "/v1beta/openai/chat/completions",
            {"text": (8, 10), "reasoning": (0, 33)},
            None,
        ),
    ],
)
def test_a_total_says_the_same_with_details_and_without(
    details: dict[str, Any], host: str, path: str, units: dict[str, Any], said: str | None
) -> None:
    """Details that are all zero explain nothing of what the total has more."""
    counts = {"prompt_tokens": 8, "completion_tokens": 10, "total_tokens": 51}

    reading = endpoint(host, path).read(body({"model": "m", "usage": {**details, **counts}}))

    assert reading.units == units
    assert (said in reading.reason) if said and reading.reason else reading.reason is said


@pytest.mark.parametrize("details", [{}, openai_usage()], ids=["without details", "with details"])
def test_audio_that_only_the_total_counts(details: dict[str, Any]) -> None:
    """Voxtral's: 3 + 375 + 11 = 389, whether or not there are details of the rest."""
    counts = {"prompt_tokens": 3, "completion_tokens": 11, "total_tokens": 389}

    reading = endpoint("api.mistral.ai", "/v1/chat/completions").read(
        body({"model": "m", "usage": {**details, **counts}})
    )

    assert reading.units == {"text": (3, 11)}
    assert [(left.unit, left.quantity) for left in reading.unpriced] == [("audio", 375)]


@pytest.mark.parametrize(
    ("prompt", "total"),
    [(100, 100 + 200 + 50_000 + 7), (50_107, 50_107 + 200)],
    ids=["beside the prompt, as of Anthropic", "within it, as of Bedrock"],
)
def test_a_gateway_passes_on_what_claude_says_of_its_cache(prompt: int, total: int) -> None:
    """Portkey's `providers/anthropic/chatComplete.ts` and `providers/bedrock/chatComplete.ts`: in Anthropic's own names."""
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": 200,
        "total_tokens": total,
        "cache_read_input_tokens": 50_000,
        "cache_creation_input_tokens": 7,
    }
    reading = endpoint("api.portkey.ai", "/v1/chat/completions").read(body({"model": "claude", "usage": usage}))

    units = {"text": (100, 200), "text_cache_read": (50_000, 0), "text_cache_write": (7, 0)}
    assert (reading.units, reading.reason) == (units, None)


def test_azure_cached_may_exceed_the_prompt() -> None:
    """xAI's models on Azure tell more cached than prompt tokens: there they are extra."""
    reading = AZURE.read(answer(openai_usage(10, 3, cached=161)))

    assert reading.units == {"text": (10, 3), "text_cache_read": (161, 0)}
    assert reading.reason is None


def test_gemini_compatible_thoughts_are_the_rest() -> None:
    """Google's compatible endpoint shows thoughts in the total alone."""
    google = endpoint("generativelanguage.googleapis.com", "/v1beta/openai/chat/completions")

    reading = google.read(answer({"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}))

    assert reading.units == {"text": (35, 12), "reasoning": (0, 62)}


@pytest.mark.parametrize(
    ("extra", "ticks"),
    [
        (b'"cost":0.0133176', 133_176_000),
        (b'"cost":1e-5,"is_byok":false', 100_000),
        (b'"cost":0.1,"is_byok":true,"cost_details":{"upstream_inference_cost":0.2}', 3_000_000_000),
        (b'"cost":0,"is_byok":true', None),
        (b'"cost":0,"is_byok":true,"cost_details":{"upstream_inference_cost":null}', None),
        (b'"cost":0.00000000005', 0),
        (b'"cost":-1', None),
        (b'"cost":1e999999', None),
        (b'"cost":"free"', None),
        (b'"cost":true', None),
        (b'"cost":{"total_cost":1}', 10**10),
        (b'"cost":{"total_cost":-1}', None),
        (b'"cost":null', None),
    ],
)
def test_openrouter_states_its_cost(extra: bytes, ticks: int | None) -> None:
    """A stated cost is exact in ticks; a nonsensical one is passed over and the tokens stay."""
    raw = b'{"model":"openai/gpt-5","usage":{"prompt_tokens":8,"completion_tokens":3,' + extra + b"}}"

    reading = endpoint("openrouter.ai", "/api/v1/chat/completions").read(raw)

    assert reading.stated_ticks == ticks
    assert reading.units == {"text": (8, 3)}


@pytest.mark.parametrize(
    ("cost", "ticks"), [({"total_cost": 0.00507}, 50_700_000), ({"input_tokens_cost": 1}, None), (0.1, 10**9)]
)
def test_perplexity_states_its_total(cost: object, ticks: int | None) -> None:
    """Perplexity's cost is an object with a total."""
    reading = endpoint("api.perplexity.ai", "/chat/completions").read(answer(openai_usage(11, 62) | {"cost": cost}))

    assert reading.stated_ticks == ticks


def test_hosted_tools_are_counted() -> None:
    """Each tool of the host's has a unit; one that runs a model of its own is listed as unpriced."""
    tools = {"web_search_calls": 2, "x_search_calls": 3, "mcp_calls": 4, "image_generation_calls": 1}
    usage = openai_usage() | {"server_side_tool_usage_details": tools}

    reading = endpoint("api.x.ai", "/v1/chat/completions").read(answer(usage))

    assert reading.units == {"text": (100, 30), "web_search_request": (0, 2), "x_search_request": (0, 3)}
    assert [(u.unit, u.quantity) for u in reading.unpriced] == [("image_generation_call", 1)]


@pytest.mark.parametrize(
    ("for_12h", "units"),
    [
        (20, {"text_cache_write": (30, 0), "text_cache_write_12h": (20, 0)}),
        (50, {"text_cache_write_12h": (50, 0)}),
        (90, {"text_cache_write_12h": (50, 0)}),
        (0, {"text_cache_write": (50, 0)}),
    ],
)
def test_cache_writes_by_how_long_they_are_kept(for_12h: int, units: dict[str, tuple[int, int]]) -> None:
    """What is kept for 12 hours has a rate of its own, and is a part of all that is written."""
    usage = openai_usage(100, 30)
    kept = {"ttl_12h_tokens": for_12h, "ttl_30m_tokens": 50 - for_12h if for_12h <= 50 else 0}
    usage["prompt_tokens_details"] = {"cache_write_tokens": 50, "cache_write_tokens_details": kept}

    reading = CHAT.read(answer(usage))

    assert (reading.units, reading.unpriced) == ({"text": (50, 30)} | units, ())


def test_what_the_units_leave_out_is_listed() -> None:
    """Seconds of audio have no rate beside that of tokens."""
    usage = openai_usage(100, 30) | {"prompt_audio_seconds": 3}

    reading = CHAT.read(answer(usage))

    assert reading.units == {"text": (100, 30)}
    assert [(u.unit, u.quantity) for u in reading.unpriced] == [("audio_second", 3)]
    assert all(isinstance(u, Unpriced) and u.reason for u in reading.unpriced)


@pytest.mark.parametrize(
    ("usage", "units", "word"),
    [
        (openai_usage(10, 3, cached=50), {"text": (0, 3), "text_cache_read": (10, 0)}, "50 cached of 10"),
        (openai_usage(10, 3, reasoning=5), {"text": (10, 0), "reasoning": (0, 3)}, "5 reasoning of 3"),
        (
            {"prompt_tokens": 4, "completion_tokens": 2, "prompt_tokens_details": {"audio_tokens": 9}},
            {"text": (0, 2), "audio": (4, 0)},
            "9 audio tokens where 4 input",
        ),
    ],
)
def test_contradictions_are_cut_and_said(usage: dict[str, Any], units: dict[str, Any], word: str) -> None:
    """A part that is larger than its whole is cut to it, and the reason says so."""
    reading = CHAT.read(answer(usage))

    assert reading.units == units
    assert reading.reason is not None
    assert word in reading.reason


@pytest.mark.parametrize(
    ("image", "units"), [(90, {"vision": (50, 0)}), (100, {"vision": (50, 0)}), (0, {"text": (50, 5)})]
)
def test_a_picture_may_be_among_what_was_cached(image: int, units: dict[str, Any]) -> None:
    """Then it is more than what is left of the input, and no contradiction."""
    details = {"cached_tokens": 50, "image_tokens": image}
    told = CHAT.read(answer({"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": details}))

    assert told.units == {"text": (0, 5), "text_cache_read": (50, 0)} | units
    assert told.reason is None


def test_a_picture_that_was_cached_whole() -> None:
    """Nothing of it is left to be counted by itself."""
    details = {"cached_tokens": 100, "image_tokens": 90}
    told = CHAT.read(answer({"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": details}))

    assert (told.units, told.reason) == ({"text": (0, 5), "text_cache_read": (100, 0)}, None)


def test_embeddings() -> None:
    """Embeddings have an input alone; the vectors are not read."""
    vectors = [{"object": "embedding", "index": 0, "embedding": [0.1] * 1000}]
    raw = body(
        {
            "object": "list",
            "data": vectors,
            "model": "text-embedding-3-small",
            "usage": {"prompt_tokens": 8, "total_tokens": 8},
        }
    )

    assert EMBEDDINGS.read(raw) == Reading(model="text-embedding-3-small", units={"text": (8, 0)})


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model":"m","usage":{"prompt_tokens":8},"data":[{"model":"x","usage":{"prompt_tokens":9}}]}',
        b'{"data":[{"model":"x","usage":{"prompt_tokens":9}}],"x":{"model":"y"},"usage":{"prompt_tokens":8},"model":"m"}',
        b'{"model":"m","data":[' + b"1," * 600 + b'1],"usage":{"prompt_tokens":8}}',
    ],
)
def test_embeddings_in_any_order(raw: bytes) -> None:
    """Members nested elsewhere are never taken for the answer's own."""
    reading = EMBEDDINGS.read(raw)

    assert (reading.model, reading.units) == ("m", {"text": (8, 0)})


@pytest.mark.parametrize("asked", [CHAT, EMBEDDINGS])
def test_counts_that_are_all_zero_are_none(asked: Endpoint) -> None:
    """An answer that counts nothing is no free one; a cost that the host states stands all the same."""
    reading = asked.read(answer(openai_usage(0, 0)))
    router = endpoint("openrouter.ai", "/api/v1/chat/completions").read(answer(openai_usage(0, 0) | {"cost": 0.5}))

    assert (reading.units, reading.reason, reading.complete) == (None, "usage counts nothing", True)
    assert (router.units, router.stated_ticks) == (None, 5_000_000_000)


def test_a_total_alone_is_the_input() -> None:
    """Voyage tells nothing but the total."""
    voyage = endpoint("api.voyageai.com", "/v1/embeddings")

    assert voyage.read(body({"model": "voyage-3", "usage": {"total_tokens": 12}})).units == {"text": (12, 0)}


def test_stream_with_usage() -> None:
    """The chunk with usage is read, whatever the text before it says."""
    data = events(
        chunk('"usage": {"prompt_tokens": 9}', usage=None),
        chunk(choices=[], usage=openai_usage(), service_tier="default"),
    )

    assert CHAT.read_stream(data) == Reading(
        model="gpt-4o", response_id="chatcmpl-1", units={"text": (100, 30)}, service_tier="default"
    )


def test_azure_stream_names_the_model_late() -> None:
    """Azure's first chunk has an empty model; the answer's model is taken from the last."""
    first = {"id": "", "model": "", "choices": [], "prompt_filter_results": []}

    reading = AZURE.read_stream(events(first, chunk("hi"), chunk(choices=[], usage=openai_usage())))

    assert (reading.model, reading.units) == ("gpt-4o", {"text": (100, 30)})


FILTERED = {
    "id": "",
    "object": "",
    "created": 0,
    "model": "",
    "choices": [
        {"index": 0, "finish_reason": None, "content_filter_results": {}, "content_filter_offsets": {"check_offset": 5}}
    ],
    "usage": None,
}
"""What Azure's asynchronous content filter says of a piece of the answer, at any time and behind its end too."""


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "head and tail"])
def test_an_annotation_at_the_end_names_no_model(cut: bool) -> None:
    """The model, the id and the tier are those of the chunks before it: Azure would be priced by the deployment's name."""
    stop = {"index": 0, "delta": {}, "finish_reason": "stop"}
    head = events(chunk("hi", service_tier="priority"), done=False)
    tail = events(chunk("", choices=[stop], model="gpt-4o-mini-2024-07-18"), FILTERED)

    reading = AZURE.read_stream(head, tail, 9) if cut else AZURE.read_stream(head + tail)

    told = (reading.model, reading.response_id, reading.service_tier, reading.complete)
    assert told == ("gpt-4o-mini-2024-07-18", "chatcmpl-1", "priority", True)
    assert (reading.units, reading.reason) == (None, "usage is missing")


@pytest.mark.parametrize("model", [{}, {"model": ""}, {"model": None}])
@pytest.mark.parametrize(("tier", "served"), [("flex", "flex"), ("auto", None)])
@pytest.mark.parametrize("between", [0, 200], ids=["short", "long"])
def test_a_usage_without_what_the_other_chunks_tell(
    model: dict[str, Any], tier: str, served: str | None, between: int
) -> None:
    """A chunk with the usage alone is of the model and the tier that the others name; what was asked for is none."""
    data = events(chunk("hi", service_tier=tier), *[chunk("there")] * between, {"usage": openai_usage(), **model})

    reading = CHAT.read_stream(data)

    told = (reading.model, reading.response_id, reading.service_tier, reading.units)
    assert told == ("gpt-4o", "chatcmpl-1", served, {"text": (100, 30)})


@pytest.mark.parametrize("empty", [{}, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}])
@pytest.mark.parametrize("newline", ["\n", "\r"])
def test_an_empty_usage_behind_the_real_one(empty: dict[str, Any], newline: str) -> None:
    """What counts nothing takes nothing back."""
    data = events(chunk(), chunk(choices=[], usage=openai_usage()), chunk(choices=[], usage=empty))

    reading = CHAT.read_stream(data.replace(b"\n", newline.encode()))

    assert (reading.model, reading.units, reading.complete) == ("gpt-4o", {"text": (100, 30)}, True)


def test_no_usage_that_counts() -> None:
    """Where all are of zeros, the last is what was told: nothing."""
    reading = CHAT.read_stream(events(chunk(), *[chunk(choices=[], usage=openai_usage(0, 0))] * 2))

    assert (reading.units, reading.reason) == (None, "usage counts nothing")


def test_stream_without_usage() -> None:
    """A stream whose usage was not asked for tells its model and id, and that usage is missing."""
    reading = CHAT.read_stream(events(chunk("a"), chunk("b")))

    assert reading == Reading(model="gpt-4o", response_id="chatcmpl-1", reason="usage is missing")


@pytest.mark.parametrize("newline", ["\r\n", "\n", "\r"])
def test_stream_line_ends(newline: str) -> None:
    """Every line end of the standard is understood."""
    data = b": OPENROUTER PROCESSING\n\n" + events(chunk("a", usage=None), chunk(usage=openai_usage()), newline=newline)

    assert CHAT.read_stream(data).units == {"text": (100, 30)}


def test_stream_event_over_several_lines() -> None:
    """An event may be spread over several `data:` lines."""
    data = b'data: {"model":"m","usage":\ndata: {"prompt_tokens":4,\ndata: "completion_tokens":2}}\n\ndata: [DONE]'

    reading = CHAT.read_stream(data)

    assert (reading.model, reading.units, reading.complete) == ("m", {"text": (4, 2)}, True)


def test_null_usage_over_several_lines() -> None:
    """Spread over several lines, no usage is still none."""
    assert CHAT.read_stream(b'data: {"model":"m","usage":\ndata: null}\n\ndata: [DONE]').units is None


def test_groq_usage_in_its_own_member() -> None:
    """Groq puts usage into `x_groq` without being asked."""
    groq = endpoint("api.groq.com", "/openai/v1/chat/completions")

    assert groq.read_stream(events(chunk("a", x_groq={"id": "r"}), chunk(x_groq={"usage": openai_usage()}))).units == {
        "text": (100, 30)
    }


def test_moonshot_usage_in_the_choice() -> None:
    """Moonshot puts usage into the last choice."""
    last = chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop", "usage": openai_usage()}])

    reading = endpoint("api.moonshot.ai", "/v1/chat/completions").read_stream(events(chunk("a"), last))

    assert (reading.model, reading.units, reading.complete) == ("gpt-4o", {"text": (100, 30)}, True)


@pytest.mark.parametrize(
    ("data", "complete"),
    [
        (events(chunk("a")), True),
        (events(chunk("a"), done=False), False),
        (events(chunk("a"), chunk(choices=[{"finish_reason": "stop"}]), done=False), True),
        (events(chunk('data: [DONE] "finish_reason": "stop"'), done=False), False),
        (events(chunk("a"), done=False)[:-9], False),
        (b"", False),
    ],
)
def test_complete_is_the_terminal_event(data: bytes, complete: bool) -> None:
    """A stream is complete with `[DONE]` or a finish reason, which its text cannot forge."""
    assert CHAT.read_stream(data).complete is complete


def test_usage_survives_a_cut_around_it() -> None:
    """An event cut at the seam of head and tail still tells its usage, and what the stream's head named."""
    data = events(chunk("a")) + b'\n\nt":0}],"usage":{"prompt_tokens":4,"completion_tokens":2}}\n\ndata: [DONE]\n\n'

    reading = CHAT.read_stream(data)

    assert (reading.model, reading.units, reading.complete) == ("gpt-4o", {"text": (4, 2)}, True)


def test_many_null_usages_are_passed_over() -> None:
    """A broken off stream with `usage: null` in each chunk has none."""
    reading = CHAT.read_stream(events(*[chunk("a", usage=None)] * 50, done=False))

    assert (reading.units, reading.complete, reading.model) == (None, False, "gpt-4o")


def test_error_in_mid_stream() -> None:
    """An error event names its kind, never its text."""
    data = events(chunk("a"), {"error": {"message": "secret prompt", "type": "server_error", "code": None}}, done=False)

    reading = CHAT.read_stream(data)
    at_once = CHAT.read_stream(data[data.index(b"data: {", 1) :])

    assert (reading.error_type, reading.complete) == ("server_error", False)
    assert (reading.units, reading.estimated) == (None, True)  # the text that came is worth counting
    assert at_once.estimated is False
    assert "secret" not in repr(reading)


def test_body_and_stream_in_each_other_s_place() -> None:
    """A stream answered by a JSON body, and the other way round, are both read."""
    assert CHAT.read_stream(answer(openai_usage())).units == {"text": (100, 30)}
    assert CHAT.read(events(chunk(usage=openai_usage()))).units == {"text": (100, 30)}


def test_cut_body() -> None:
    """Of a body too large to keep, the ends tell model and usage."""
    raw = answer(openai_usage(), service_tier="priority")

    reading = CHAT.read_cut(raw[:60], raw[-330:])

    assert reading == Reading(
        model="gpt-4o-2024-08-06", response_id="chatcmpl-1", units={"text": (100, 30)}, service_tier="priority"
    )
    assert CHAT.read_cut(
        b'{"model":"m","usage":{"prompt_tokens":4,"completion_tokens":2},"choices":[', b"]}"
    ).units == {"text": (4, 2)}
    assert CHAT.read_cut(raw[:60], b"nothing here") == Reading(
        model="gpt-4o-2024-08-06", response_id="chatcmpl-1", complete=False, reason="usage is missing"
    )


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"error": {"message": "m", "type": "requests", "code": "rate_limit_exceeded"}}, "rate_limit_exceeded"),
        ({"error": {"message": "m", "type": "invalid_request_error", "code": None}}, "invalid_request_error"),
        ({"error": {"message": "m", "code": 429}}, "429"),
        ({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}, "RESOURCE_EXHAUSTED"),
        ({"error": {"code": "a whole sentence", "type": "x" * 65}}, "error"),
        ({"error": "just text", "model": "m"}, "error"),
        ({"error": {}}, "error"),
    ],
)
def test_error_kinds(error: dict[str, Any], kind: str) -> None:
    """Of an error only a plain word is kept."""
    reading = CHAT.read(body(error))

    assert (reading.error_type, reading.units) == (kind, None)
    assert reading.reason


def test_a_cost_that_is_stated_counts_whatever_the_host() -> None:
    """Behind the name of OpenAI there may be a gateway, which says what it took."""
    for host, path in (("api.openai.com", "/v1/chat/completions"), ("api.openai.com", "/v1/responses")):
        reading = endpoint(host, path).read(
            body({"model": "moonshotai/kimi-k2", "usage": openai_usage() | {"cost": 0.25}})
        )
        assert reading.stated_ticks == 2_500_000_000
