"""Gemini's generateContent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from answers import body, endpoint, events, facts

from payi_middleware.providers import Reading

PATH = "/v1beta/models/gemini-2.5-flash"
GENERATE = endpoint("generativelanguage.googleapis.com", f"{PATH}:generateContent")
STREAM = endpoint("generativelanguage.googleapis.com", f"{PATH}:streamGenerateContent")
EMBED = endpoint("generativelanguage.googleapis.com", f"{PATH}:embedContent")


def answer(finish: Any = "STOP", grounding: Any = None, **usage: Any) -> dict[str, Any]:
    candidate = {
        "content": {"parts": [{"text": '"usageMetadata": {}'}]},
        "finishReason": finish,
        "groundingMetadata": grounding,
    }
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-2.5-flash", "responseId": "r1"}


def parts(**counts: int) -> list[dict[str, Any]]:
    return [{"modality": name, "tokenCount": count} for name, count in counts.items()]


def test_thoughts_and_tool_prompts_come_on_top() -> None:
    """Thoughts are no part of the candidates; what tools fed back is input."""
    usage = {
        "promptTokenCount": 100,
        "candidatesTokenCount": 20,
        "thoughtsTokenCount": 30,
        "toolUsePromptTokenCount": 7,
    }

    assert GENERATE.read(body(answer(**usage))) == Reading(
        model="gemini-2.5-flash", response_id="r1", units={"text": (107, 20), "reasoning": (0, 30)}
    )


def test_modalities() -> None:
    """Each modality is a unit, a document is text, several entries of one add up, and generated images are images."""
    usage = {
        "promptTokenCount": 100,
        "promptTokensDetails": parts(TEXT=10, IMAGE=20, AUDIO=30, VIDEO=15, DOCUMENT=25),
        "candidatesTokenCount": 50,
        "candidatesTokensDetails": parts(TEXT=5, IMAGE=40, AUDIO=5),
        "toolUsePromptTokenCount": 4,
        "toolUsePromptTokensDetails": parts(TEXT=1, IMAGE=3),
    }

    assert GENERATE.read(body(answer(**usage))).units == {
        "text": (36, 5),
        "vision": (23, 0),
        "audio": (30, 5),
        "video": (15, 0),
        "image": (0, 40),
    }


def test_cached_by_modality() -> None:
    """Cached tokens are taken out of their own modality."""
    usage = {
        "promptTokenCount": 100,
        "promptTokensDetails": parts(TEXT=40, IMAGE=60),
        "cachedContentTokenCount": 50,
        "cacheTokensDetails": parts(TEXT=30, IMAGE=20),
        "candidatesTokenCount": 1,
    }

    assert GENERATE.read(body(answer(**usage))).units == {
        "text": (10, 1),
        "vision": (40, 0),
        "text_cache_read": (30, 0),
        "vision_cache_read": (20, 0),
    }


def test_cached_without_details() -> None:
    """Cached tokens without a modality are text; where the prompt has too little text, the sum still holds."""
    usage = {"promptTokenCount": 100, "promptTokensDetails": parts(TEXT=40, IMAGE=60), "cachedContentTokenCount": 50}

    assert GENERATE.read(body(answer(**usage))).units == {"text": (0, 0), "text_cache_read": (50, 0), "vision": (50, 0)}


def test_integer_enums() -> None:
    """With `enum-encoding=int` the modalities are numbers."""
    usage = {
        "promptTokenCount": 15,
        "promptTokensDetails": [{"modality": n, "tokenCount": n} for n in (1, 2, 3, 4, 5)],
        "candidatesTokenCount": 3,
        "candidatesTokensDetails": [{"modality": 1, "tokenCount": 3}],
        "trafficType": 1,
    }

    reading = GENERATE.read(body(answer(finish=None, **usage)))

    assert reading.units == {"text": (6, 3), "vision": (2, 0), "video": (3, 0), "audio": (4, 0)}
    assert reading.service_tier is None


@pytest.mark.parametrize(
    ("usage", "tier"),
    [
        ({"trafficType": "ON_DEMAND"}, "standard"),
        ({"trafficType": "ON_DEMAND_FLEX"}, "flex"),
        ({"trafficType": "ON_DEMAND_PRIORITY"}, "priority"),
        ({"trafficType": "PROVISIONED_THROUGHPUT"}, "provisioned"),
        ({"serviceTier": "flex"}, "flex"),
        ({"serviceTier": "SERVICE_TIER_PRIORITY", "trafficType": "ON_DEMAND"}, "priority"),
        ({"serviceTier": "something_new"}, "something_new"),
        ({}, None),
    ],
)
def test_tiers(usage: dict[str, Any], tier: str | None) -> None:
    """The tier as served, by whichever name the API gives it."""
    assert GENERATE.read(body(answer(promptTokenCount=1, **usage))).service_tier == tier


def test_contradictions_are_said() -> None:
    """More cached than prompt tokens, and details over their total, are cut and said."""
    usage = {
        "promptTokenCount": 10,
        "cachedContentTokenCount": 30,
        "candidatesTokenCount": 2,
        "candidatesTokensDetails": parts(TEXT=2, IMAGE=9),
    }

    reading = GENERATE.read(body(answer(**usage)))

    assert reading.units == {"text": (0, 2), "text_cache_read": (10, 0)}
    assert reading.reason is not None
    assert "30 cached of 10" in reading.reason
    assert "candidatesTokensDetails adds up to more" in reading.reason


@pytest.mark.parametrize(
    ("model", "searches"),
    [
        ("gemini-2.5-flash", 1),
        ("models/gemini-2.0-flash-001", 1),
        ("gemini-live-2.5-flash", 1),
        ("gemini-pro", 1),
        ("gemini-3-flash-preview", 2),
        ("gemini-4-argon", 2),
        ("gemini-flash-latest", 2),
    ],
)
def test_searches(model: str, searches: int) -> None:
    """Since Gemini 3 every query has a fee, before it a prompt that was grounded; an empty query is none."""
    grounding = {"webSearchQueries": ["a", "", "b"]}
    raw = body(answer(grounding=grounding, promptTokenCount=1, candidatesTokenCount=1) | {"modelVersion": model})

    assert GENERATE.read(raw).units == {"text": (1, 1), "web_search_request": (0, searches)}


@pytest.mark.parametrize(("model", "searches"), [("gemini-2.5-pro", 1), ("gemini-3.1-pro", 2)])
def test_searches_of_a_model_that_only_the_path_names(model: str, searches: int) -> None:
    """Where the answer names no model the path does."""
    raw = body(
        answer(grounding={"webSearchQueries": ["a"], "imageSearchQueries": ["b"]}, promptTokenCount=1)
        | {"modelVersion": None}
    )
    assert GENERATE.refine is not None

    reading = GENERATE.refine(GENERATE.read(raw), facts(path=f"/v1beta/models/{model}:generateContent"))

    assert reading.units == {"text": (1, 0), "web_search_request": (0, searches)}
    assert GENERATE.refine(GENERATE.read(raw), facts(path="/x")).units == {"text": (1, 0), "web_search_request": (0, 2)}


def test_pages_without_a_query_are_no_search() -> None:
    """Pages that were given by their URLs are told like those that were found, and cost their tokens alone."""
    grounding = {"groundingChunks": [{"web": {"uri": "u"}}]}

    assert GENERATE.read(body(answer(grounding=grounding, promptTokenCount=1))).units == {"text": (1, 0)}


@pytest.mark.parametrize(
    ("header", "told", "tier"), [("FLEX", None, "flex"), ("flex", "priority", "priority"), (None, None, None)]
)
def test_a_header_tells_the_tier(header: str | None, told: str | None, tier: str | None) -> None:
    """The tier as served stands in a header where the body does not tell it."""
    reading = GENERATE.read(body(answer(promptTokenCount=1, serviceTier=told)))
    headers = {} if header is None else {"x-gemini-service-tier": header}

    assert GENERATE.refine is not None
    assert GENERATE.refine(reading, facts(headers=headers)).service_tier == tier


@pytest.mark.parametrize(
    ("model", "part", "units"),
    [
        ("gemini-2.5-flash-image", "inlineData", {"text": (9, 0), "image": (0, 1290)}),
        ("gemini-2.5-flash-image", "text", {"text": (9, 1290)}),
        ("gemini-2.5-flash", "inlineData", {"text": (9, 1290)}),
    ],
)
def test_pictures_that_are_not_told_apart(model: str, part: str, units: Any) -> None:
    """Where a model drew and the usage has no modalities, its output is pictures, and that is said."""
    content = {"parts": [{part: "x"}]}
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 1290}
    raw = body({"candidates": [{"content": content}], "usageMetadata": usage, "modelVersion": model})
    path = f"/v1/projects/p/locations/eu/publishers/google/models/{model}:generateContent"
    there = endpoint("aiplatform.googleapis.com", path)

    for asked in (GENERATE, there):
        assert asked.refine is not None
        reading = asked.refine(asked.read(raw), facts(path=path, answer=raw))
        assert reading.units == units
        assert (reading.reason is not None) is ("image" in units)


def test_a_prompt_that_is_blocked_before_the_model() -> None:
    """A refused prompt without any count consumed nothing."""
    raw = body({"promptFeedback": {"blockReason": "MODEL_ARMOR"}, "usageMetadata": {"trafficType": "ON_DEMAND"}})

    assert (GENERATE.read(raw).units, GENERATE.read(raw).reason) == ({"text": (0, 0)}, None)


def test_stream_last_chunk_wins() -> None:
    """Figures are cumulative, so they are never added up; queries of earlier chunks are."""
    data = events(
        answer(None, promptTokenCount=10),
        answer(None, {"webSearchQueries": ["a"]}, promptTokenCount=10, candidatesTokenCount=5),
        answer("STOP", {"webSearchQueries": ["b"]}, promptTokenCount=10, candidatesTokenCount=20, thoughtsTokenCount=3),
        done=False,
        newline="\r\n",
    )

    reading = STREAM.read_stream(data)

    assert reading.units == {"text": (10, 20), "reasoning": (0, 3), "web_search_request": (0, 1)}
    assert (reading.complete, reading.model) == (True, "gemini-2.5-flash")
    assert reading.unpriced == ()


def test_maps_are_a_unit() -> None:
    """Grounding with Maps has a fee, once an answer."""
    grounding = {"groundingChunks": [{"maps": {"uri": "u"}}, {"maps": {"uri": "v"}}]}
    chunk = answer(grounding=grounding, promptTokenCount=1, candidatesTokenCount=1)

    for reading in (GENERATE.read(body(chunk)), STREAM.read_stream(events(chunk, done=False))):
        assert reading.units == {"text": (1, 1), "maps_request": (0, 1)}


def test_grounding_may_come_long_before_the_end() -> None:
    """Queries are found wherever they stand in a stream."""
    first = answer(None, {"webSearchQueries": ["a"]}, promptTokenCount=10)
    chunks = [answer(None, promptTokenCount=10, candidatesTokenCount=n) for n in range(1, 300)]

    reading = STREAM.read_stream(
        events(first, *chunks, answer(promptTokenCount=10, candidatesTokenCount=300), done=False)
    )

    assert reading.units == {"text": (10, 300), "web_search_request": (0, 1)}


def test_chunks_that_repeat_their_queries() -> None:
    """A query that a later chunk tells again was made once."""
    grounding = {"webSearchQueries": ["a", "b"]}
    chunks = [answer(None, grounding, promptTokenCount=10) | {"modelVersion": "gemini-3-pro"} for _ in range(3)]
    last = answer(promptTokenCount=10, candidatesTokenCount=4) | {"modelVersion": "gemini-3-pro"}

    for reading in (STREAM.read_stream(events(*chunks, last, done=False)), STREAM.read_stream(body([*chunks, last]))):
        assert reading.units == {"text": (10, 4), "web_search_request": (0, 2)}


def test_counts_that_are_all_zero_are_none() -> None:
    """An answer that counts nothing is no free one, unless the prompt was refused."""
    refused = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 0}}

    assert GENERATE.read(body(answer(promptTokenCount=0))).reason == "usage counts nothing"
    assert GENERATE.read(body(answer(promptTokenCount=0))).units is None
    assert GENERATE.read(body(refused)).units == {"text": (0, 0)}


def test_stream_broken_off() -> None:
    """The figures so far are kept, the rest is an estimate, and the answer is not complete."""
    reading = STREAM.read_stream(events(answer(None, promptTokenCount=10, candidatesTokenCount=9), done=False))

    assert (reading.units, reading.complete, reading.estimated) == ({"text": (10, 9)}, False, True)


def test_refused_prompt_is_complete() -> None:
    """A blocked prompt has no candidate and is complete."""
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 5}}

    assert STREAM.read_stream(events(blocked, done=False)) == Reading(units={"text": (5, 0)})


def test_stream_as_array() -> None:
    """Without `alt=sse` a stream is one JSON array."""
    chunks = [
        answer(None, {"webSearchQueries": ["a"]}, promptTokenCount=10),
        answer(promptTokenCount=10, candidatesTokenCount=20),
    ]

    reading = STREAM.read_stream(json.dumps(chunks, indent=2).encode())

    assert (reading.units, reading.complete) == ({"text": (10, 20), "web_search_request": (0, 1)}, True)
    assert GENERATE.read(json.dumps(chunks).encode()) == reading


@pytest.mark.parametrize(
    ("data", "units", "complete"),
    [
        (
            json.dumps([answer(None, promptTokenCount=10, candidatesTokenCount=5), answer(n=1)]).encode()[:-70],
            {"text": (10, 10)},
            False,
        ),
        (b'[{"usageMetadata": {"promptTokenCount": 3}, "responseId": 5}]', {"text": (3, 0)}, False),
        (b"[]", None, True),
        (b"[1, 2]", None, False),
        (b"[", None, False),
    ],
)
def test_odd_arrays(data: bytes, units: Any, complete: bool) -> None:
    """An array that is cut or malformed tells the last whole figures in it, or the text that came if that is more."""
    reading = STREAM.read_stream(data)

    assert (reading.units, reading.complete) == (units, complete)
    assert units is not None or reading.reason


def test_errors() -> None:
    """An error is an object, or within an array where a stream was asked for."""
    error = {"error": {"code": 429, "message": "secret", "status": "RESOURCE_EXHAUSTED"}}

    assert GENERATE.read(body(error)).error_type == "RESOURCE_EXHAUSTED"
    assert STREAM.read_stream(body([error])).error_type == "RESOURCE_EXHAUSTED"
    assert STREAM.read_stream(body(error)).error_type == "RESOURCE_EXHAUSTED"


def test_broken_stream() -> None:
    """A chunk cut at its start still tells its figures; a stream without any tells none."""
    cut = STREAM.read_stream(
        b'data: "}]}],"usageMetadata": {"promptTokenCount": 3}, "modelVersion": "gemini-x"}\r\n\r\n'
    )
    none = STREAM.read_stream(events({"candidates": [{"finishReason": "STOP"}]}, done=False))

    assert (cut.units, cut.model, cut.complete) == ({"text": (3, 0)}, "gemini-x", False)
    assert (none.units, none.reason, none.complete) == (None, "usageMetadata is missing", True)


def test_queries_in_malformed_chunks_are_passed_over() -> None:
    """A chunk that cannot be read hides only its own queries."""
    data = b'data: {"x": "webSearchQueries", "webSearchQueries"\n\n' + events(answer(promptTokenCount=1), done=False)

    assert STREAM.read_stream(data).unpriced == ()


def test_embeddings() -> None:
    """Newer embeddings tell their prompt, with a detail of another name."""
    usage = {"promptTokenCount": 9, "promptTokenDetails": parts(TEXT=2, IMAGE=7)}

    assert EMBED.read(body({"embedding": {"values": [0.1]}, "usageMetadata": usage})).units == {
        "text": (2, 0),
        "vision": (7, 0),
    }
    assert EMBED.read(body({"embedding": {"values": [0.1]}})).reason == "usageMetadata is missing"


def test_no_counts() -> None:
    """A usage without counts is none."""
    assert GENERATE.read(body(answer(trafficType="ON_DEMAND"))).reason == "usageMetadata has no token counts"


def test_the_model_s_folder_is_dropped() -> None:
    """`models/` is no part of a model's name."""
    raw = body({"modelVersion": "models/gemini-x", "usageMetadata": {"responseTokenCount": 4}})

    assert GENERATE.read(raw) == Reading(model="gemini-x", units={"text": (0, 4)})


def test_cut_body() -> None:
    """Of a large body the ends tell the figures."""
    raw = body(answer(promptTokenCount=4, candidatesTokenCount=5))

    reading = GENERATE.read_cut(raw[:50], raw[-140:])

    assert (reading.units, reading.model, reading.complete) == ({"text": (4, 5)}, "gemini-2.5-flash", True)


def test_asked() -> None:
    """The path tells the model and whether the answer is a stream."""
    assert STREAM.ask(b"{}").streamed
    assert not GENERATE.ask(b"{}").streamed
