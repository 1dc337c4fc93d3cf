"""AWS Bedrock's invoke: each maker's own body, the chunks of its streams, and what headers tell."""

from __future__ import annotations

import json
from typing import Any

import pytest
from answers import body, endpoint
from eventstreams import chunk, event, exception, message, spoiled
from hypothesis import given, settings
from hypothesis import strategies as st

from payi_middleware.events import Unpriced
from payi_middleware.providers import Asked, Reading
from payi_middleware.providers.base import Facts

HOST = "bedrock-runtime.us-east-1.amazonaws.com"
CLAUDE = "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/"
INVOKE = endpoint(HOST, f"{CLAUDE}invoke")
STREAMED = endpoint(HOST, f"{CLAUDE}invoke-with-response-stream")
TALK = endpoint(HOST, "/model/amazon.nova-sonic-v1:0/invoke-with-bidirectional-stream")
GUARDED = Unpriced("guardrail", 1, "the units of a guardrail are told only where its trace is enabled")

COUNTED = {
    "x-amzn-bedrock-input-token-count": "10",
    "x-amzn-bedrock-output-token-count": "5",
    "x-amzn-bedrock-cache-read-input-token-count": "20",
    "x-amzn-bedrock-cache-write-input-token-count": "30",
}


def refined(
    reading: Reading,
    model: str = "cohere.command-text-v14",
    *,
    headers: dict[str, str] | None = None,
    request: Any = None,
    answer: bytes = b"",
    host: str = HOST,
) -> Reading:
    assert INVOKE.refine is not None
    sent = None if request is None else body(request)
    return INVOKE.refine(reading, Facts(host, f"/model/{model}/invoke", sent, Asked(), headers or {}, answer, False))


BODIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "Claude": (
        {
            "id": "msg_1",
            "model": "claude-sonnet-4-5-20250929",
            "usage": {
                "input_tokens": 10,
                "output_tokens": 5,
                "cache_read_input_tokens": 20,
                "cache_creation_input_tokens": 30,
                "cache_creation": {"ephemeral_1h_input_tokens": 30},
            },
        },
        {"text": (10, 5), "text_cache_read": (20, 0), "text_cache_write_1h": (30, 0)},
    ),
    "OpenAI, Mistral, Jamba, Qwen": (
        {"model": "jamba-1.5-mini", "usage": {"prompt_tokens": 16, "completion_tokens": 19, "total_tokens": 35}},
        {"text": (16, 19)},
    ),
    "Nova": (
        {
            "usage": {
                "inputTokens": 10,
                "outputTokens": 5,
                "cacheReadInputTokenCount": 20,
                "cacheWriteInputTokenCount": 30,
            }
        },
        {"text": (10, 5), "text_cache_read": (20, 0), "text_cache_write": (30, 0)},
    ),
    "Llama": ({"generation": "Hi", "prompt_token_count": 6, "generation_token_count": 18}, {"text": (6, 18)}),
    "Titan": (
        {"inputTextTokenCount": 6, "results": [{"tokenCount": 40, "outputText": "Hi"}, {"tokenCount": 2}]},
        {"text": (6, 42)},
    ),
    "Titan, embedding": ({"embedding": [0.1, 0.2], "inputTextTokenCount": 5}, {"text": (5, 0)}),
}


@pytest.mark.parametrize("case", list(BODIES))
def test_bodies(case: str) -> None:
    """The names of members tell the maker, whatever the path says."""
    told, units = BODIES[case]
    reading = INVOKE.read(body(told))

    assert (reading.units, reading.reason, reading.complete) == (units, None, True)


@pytest.mark.parametrize("case", list(BODIES))
def test_bodies_cut_at_any_byte(case: str) -> None:
    """Half a body raises nothing and counts nothing that is not there."""
    told, units = BODIES[case]
    whole = body(told)
    for length in range(len(whole)):
        assert INVOKE.read(whole[:length]).units is None
        assert INVOKE.read_cut(whole[:length], whole[length:]).units in (units, None)


@pytest.mark.parametrize("case", ["Claude", "Nova", "OpenAI, Mistral, Jamba, Qwen"])
def test_the_ends_of_a_large_body(case: str) -> None:
    """The usage is found in the tail."""
    told, units = BODIES[case]
    reading = INVOKE.read_cut(b'{"content": [{"text": "', b'..."}], ' + body(told)[1:])

    assert (reading.units, reading.complete) == (units, True)


def test_headers_where_the_body_counts_nothing() -> None:
    """Cohere's text and embeddings are told by headers alone."""
    told = refined(INVOKE.read(body({"generations": [{"text": "Hi"}]})), headers=COUNTED)

    assert told.units == {"text": (10, 5), "text_cache_read": (20, 0), "text_cache_write": (30, 0)}
    assert (told.reason, told.model) == (None, "cohere.command-text-v14")


def test_large_vectors_are_not_decoded() -> None:
    """A large body that names no count is left alone, whole or not."""
    vectors = body({"embeddings": [[0.5] * 30_000]})

    assert INVOKE.read(vectors) == Reading(reason="usage is missing")
    assert not INVOKE.read(vectors[:-1]).complete
    assert INVOKE.read(body({"embedding": [0.5] * 30_000, "inputTextTokenCount": 5})).units == {"text": (5, 0)}


def test_a_body_comes_before_headers() -> None:
    """The body tells more: of a cache write, for how long."""
    whole = body(BODIES["Claude"][0])

    assert refined(INVOKE.read(whole), headers=COUNTED).units == BODIES["Claude"][1]


def test_headers_tell_the_output_where_the_body_leaves_it_out() -> None:
    """Nova tells the input alone of an answer that a guardrail changed."""
    guarded = {"usage": {"inputTokens": 30}, "output": {"message": {"role": "assistant", "content": []}}}
    headers = {"x-amzn-bedrock-input-token-count": "30", "x-amzn-bedrock-output-token-count": "51"}

    assert refined(INVOKE.read(body(guarded)), headers=headers).units == {"text": (30, 51)}
    assert refined(INVOKE.read(body(guarded))).units == {"text": (30, 0)}


@pytest.mark.parametrize("count", ["", "-1", "x", "1.5", "٣", "9" * 20])
def test_headers_that_are_no_counts(count: str) -> None:
    """Nothing is made of them."""
    assert refined(INVOKE.read(b"{}"), headers={"x-amzn-bedrock-input-token-count": count}).units is None


def test_tier_latency_and_id_in_headers() -> None:
    """Headers say what was served, before Claude's own member does."""
    headers = {
        "x-amzn-bedrock-service-tier": "flex",
        "x-amzn-bedrock-performanceconfig-latency": "optimized",
        "x-amzn-requestid": "r-1",
    }
    told = refined(INVOKE.read(body(BODIES["Llama"][0])), headers=headers)

    assert (told.service_tier, told.terms, told.response_id) == ("flex", ("latency:optimized",), "r-1")
    assert refined(INVOKE.read(body(BODIES["Claude"][0])), headers=headers).response_id == "msg_1"
    abroad = refined(
        INVOKE.read(body(BODIES["Llama"][0])),
        "meta.llama3-8b-instruct-v1:0",
        headers=headers,
        host="bedrock-runtime.eu-west-2.amazonaws.com",
    )
    assert abroad.terms == ("latency:optimized", "region:eu-west-2")


def test_an_error_is_not_counted_by_headers() -> None:
    """An answer that is an error has no usage, whatever stands beside it."""
    failed = Reading(error_type="ThrottlingException")

    assert refined(failed, headers=COUNTED).units is None


@pytest.mark.parametrize(("told", "reason"), [(b"", "empty"), (b"<", "JSON"), (b"[1]", "object"), (b"{", "JSON")])
def test_bad_answers(told: bytes, reason: str) -> None:
    """None of them raises or counts, and each says why."""
    reading = INVOKE.read(told)

    assert reading.units is None
    assert reason in (reading.reason or "")


@pytest.mark.parametrize("count", [-1, "6", 10**30, 1.5, None, True])
def test_counts_that_are_none(count: Any) -> None:
    """Malformed counts count nothing."""
    assert INVOKE.read(body({"prompt_token_count": count, "results": [{"tokenCount": count}]})).units is None
    assert INVOKE.read(body({"amazon-bedrock-invocationMetrics": {"inputTokenCount": count}})).units is None


def test_a_guardrail_and_its_trace() -> None:
    """With the trace its units are counted; without it they are named as missing."""
    guardrail = {"inputAssessment": {"g": {"invocationMetrics": {"usage": {"topicPolicyUnits": 2}}}}}
    told = BODIES["Llama"][0] | {"amazon-bedrock-guardrailAction": "NONE"}

    assert INVOKE.read(body(told | {"amazon-bedrock-trace": {"guardrail": guardrail}})).units == {
        "text": (6, 18),
        "guardrail_topic": (2, 0),
    }
    assert INVOKE.read(body(told)).unpriced == (GUARDED,)


def test_a_prompt_that_a_guardrail_blocked() -> None:
    """No model was asked: the guardrail's units are all there is, and nothing is missing."""
    guardrail = {"input": {"g": {"invocationMetrics": {"usage": {"topicPolicyUnits": 1}}}}}
    blocked = {
        "type": "message",
        "usage": {"input_tokens": 0, "output_tokens": 0},
        "amazon-bedrock-guardrailAction": "INTERVENED",
        "amazon-bedrock-trace": {"guardrail": guardrail},
    }

    reading = INVOKE.read(body(blocked))

    assert (reading.units, reading.reason, reading.unpriced) == ({"guardrail_topic": (1, 0)}, None, ())


# Streams


def metrics(taken: int = 12, made: int = 100, **more: int) -> dict[str, Any]:
    counts = {"inputTokenCount": taken, "outputTokenCount": made, "invocationLatency": 7} | more
    return {"amazon-bedrock-invocationMetrics": counts}


def claude(*, ended: bool = True) -> list[bytes]:
    usage = {
        "input_tokens": 12,
        "output_tokens": 1,
        "cache_creation_input_tokens": 40,
        "cache_creation": {"ephemeral_1h_input_tokens": 40},
    }
    start = {"type": "message_start", "message": {"id": "msg_1", "model": "claude-sonnet-4-5-20250929", "usage": usage}}
    text = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "eight ch"}}
    delta = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 100}}
    ending = [chunk(delta), chunk({"type": "message_stop"} | metrics(cacheWriteInputTokenCount=40))]
    return [chunk(start), *[chunk(text)] * 20, chunk({"type": "content_block_stop"}), *(ending if ended else [])]


CLAUDE_UNITS = {"text": (12, 100), "text_cache_write_1h": (40, 0)}


def test_claude_streamed() -> None:
    """What Claude says of itself, which knows for how long a cache is written."""
    reading = STREAMED.read_stream(b"".join(claude()))

    assert (reading.units, reading.response_id, reading.complete) == (CLAUDE_UNITS, "msg_1", True)
    assert STREAMED.read(b"".join(claude())) == reading
    assert STREAMED.ask(b"{}") == Asked(None, True)


def test_claude_streamed_and_broken_off() -> None:
    """The input was told at the beginning, and the output is what came."""
    reading = STREAMED.read_stream(b"".join(claude(ended=False)))

    assert reading.units is not None
    assert reading.units["text_cache_write_1h"] == (40, 0)
    assert (reading.units["text"][0], 40 <= reading.units["text"][1] < 50) == (12, True)
    assert (reading.estimated, reading.complete) == (True, False)


def test_claude_streamed_without_its_start() -> None:
    """Where the beginning cannot be read, Bedrock's own metrics are left."""
    stream = b"".join(claude())

    assert STREAMED.read_stream(spoiled(stream, 300)).units == {"text": (12, 100), "text_cache_write": (40, 0)}


OTHERS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "Titan": (
        [
            {"outputText": "eight ch", "index": 0, "totalOutputTextTokenCount": 100, "inputTextTokenCount": 3}
            | metrics()
        ],
        {"text": (12, 100)},
    ),
    "Llama": (
        [{"generation": "eight", "prompt_token_count": 12}, {"generation": " ch"}, {"generation": ""} | metrics()],
        {"text": (12, 100)},
    ),
    "Nova": (
        [
            {"messageStart": {"role": "assistant"}},
            {"contentBlockDelta": {"delta": {"text": "eight ch"}}},
            {"messageStop": {"stopReason": "end_turn"}},
            {"metadata": {"usage": {"inputTokens": 12, "outputTokens": 100}}}
            | metrics(cacheReadInputTokenCount=3, cacheWriteInputTokenCount=4),
        ],
        {"text": (12, 100), "text_cache_read": (3, 0), "text_cache_write": (4, 0)},
    ),
    "OpenAI, without metrics": (
        [
            {"choices": [{"delta": {"content": "eight ch"}}]},
            {"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 100, "total_tokens": 112}},
        ],
        {"text": (12, 100)},
    ),
    "Nova, without metrics": (
        [
            {"contentBlockDelta": {"delta": {"text": "a"}}},
            {"metadata": {"usage": {"inputTokens": 12, "outputTokens": 9}}},
        ],
        {"text": (12, 9)},
    ),
    "Claude, without metrics": (
        [json.loads(line) for line in ('{"type": "message_start", "message": {"usage": {"input_tokens": 5}}}',)]
        + [{"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}}],
        {"text": (5, 7)},
    ),
}


@pytest.mark.parametrize("case", list(OTHERS))
def test_other_makers_streamed(case: str) -> None:
    """Bedrock's metrics in the last chunk, or the maker's own usage."""
    told, units = OTHERS[case]

    assert STREAMED.read_stream(b"".join(map(chunk, told))).units == units


@pytest.mark.parametrize(
    "half", [{"a": "\ud800"}, {"metadata": "\ud800"}, {"metadata": {"usage": {"inputTokens": "\ud800"}}}]
)
def test_half_a_surrogate_pair(half: Any) -> None:
    """Characters that no encoding has are no fault of ours."""
    assert STREAMED.read_stream(chunk(half | {"b": {"inputTokens": 1}})).units is None


def test_metrics_that_count_nothing() -> None:
    """Then the stream itself is asked."""
    told = [{"choices": []}, {"usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}} | metrics(0, 0)]

    assert STREAMED.read_stream(b"".join(map(chunk, told))).units == {"text": (1, 2)}
    assert STREAMED.read_stream(chunk(metrics(0, 0))).units is None


def test_a_guardrail_in_a_stream() -> None:
    """Its trace stands in a chunk."""
    guardrail = {"inputAssessment": {"g": {"invocationMetrics": {"usage": {"contentPolicyUnits": 2}}}}}
    ending = {"amazon-bedrock-guardrailAction": "NONE", "amazon-bedrock-trace": {"guardrail": guardrail}} | metrics()

    assert STREAMED.read_stream(chunk(ending)).units == {"text": (12, 100), "guardrail_content": (2, 0)}


def test_a_trace_stands_in_one_chunk_of_a_guarded_stream() -> None:
    """Every chunk tells what the guardrail did; one of the last tells what it took."""
    guardrail = {"outputs": [{"g": {"invocationMetrics": {"usage": {"wordPolicyUnits": 1}}}}]}
    guarded = {"outputText": "a", "amazon-bedrock-guardrailAction": "INTERVENED"}
    ending = {"amazon-bedrock-trace": {"guardrail": guardrail}}

    reading = STREAMED.read_stream(chunk(guarded) + chunk(guarded | ending) + chunk(metrics()))

    assert reading.units == {"text": (12, 100), "guardrail_word_free": (1, 0)}
    assert reading.unpriced == ()


def test_a_prompt_that_a_guardrail_blocked_in_a_stream() -> None:
    """No model was asked, so the tokens of the message in its place are not billed; the guardrail is."""
    guardrail = {"input": {"g": {"invocationMetrics": {"usage": {"topicPolicyUnits": 1}}}}}
    blocked = {
        "outputText": "Blocked",
        "totalOutputTextTokenCount": 3.0,
        "inputTextTokenCount": 6.0,
        "amazon-bedrock-guardrailAction": "INTERVENED",
    }

    reading = STREAMED.read_stream(chunk(blocked | {"amazon-bedrock-trace": {"guardrail": guardrail}}))

    assert (reading.units, reading.reason, reading.complete) == ({"guardrail_topic": (1, 0)}, None, True)


def test_counts_written_with_a_point() -> None:
    """Titan answers a guarded call with `28.0`; a part of a token is none."""
    told = {"inputTextTokenCount": 28.0, "results": [{"tokenCount": 197.0}]}

    assert INVOKE.read(body(told)).units == {"text": (28, 197)}
    assert INVOKE.read(body(told | {"inputTextTokenCount": 28.5})).units is None


STREAM = b"".join(claude())


@given(st.integers(0, len(STREAM) - 1))
@settings(deadline=None)
def test_a_stream_cut_at_any_byte(at: int) -> None:
    """Never more than the whole stream tells, and whatever is no whole figure is an estimate or nothing."""
    reading = STREAMED.read_stream(STREAM[:at])

    assert not reading.complete or reading.units == CLAUDE_UNITS
    if reading.units is not None:
        assert reading.units["text"][0] == 12
        assert reading.units["text"][1] <= 100
    else:
        assert reading.reason is not None


@given(st.integers(0, len(STREAM) - 1))
@settings(deadline=None)
def test_a_stream_spoiled_at_any_byte(at: int) -> None:
    """No message with a wrong checksum is believed."""
    reading = STREAMED.read_stream(spoiled(STREAM, at))

    assert reading.units is not None
    assert reading.units["text"][0] == 12
    assert reading.units["text"][1] <= 100


def test_the_middle_of_a_stream_left_out() -> None:
    """Beginning and end tell all that there is."""
    assert STREAMED.read_stream(STREAM[:1000], STREAM[-900:], 500).units == CLAUDE_UNITS
    assert STREAMED.read_cut(STREAM[:1000], STREAM[-900:]).units == CLAUDE_UNITS


def test_streams_that_fail() -> None:
    """The type of the exception is told; text that came before is worth counting."""
    begun = STREAMED.read_stream(chunk({"generation": "eight ch"}) + exception("modelStreamErrorException"))
    refused = STREAMED.read_stream(exception("throttlingException"))
    behind = STREAMED.read_stream(STREAM + exception("internalServerException"))

    assert (begun.error_type, begun.estimated, begun.units) == ("modelStreamErrorException", True, None)
    assert (refused.error_type, refused.estimated, refused.complete) == ("throttlingException", False, False)
    assert (behind.error_type, behind.units) == ("internalServerException", CLAUDE_UNITS)


@pytest.mark.parametrize(
    "told", [b"", b"\x00" * 40, event("other", {}), event("chunk", {"bytes": "%"}), event("chunk", [1])]
)
def test_streams_of_nothing(told: bytes) -> None:
    """No chunk, or none that can be read."""
    reading = STREAMED.read_stream(told)

    assert (reading.units, reading.complete) == (None, False)
    assert reading.reason is not None


def test_a_refused_stream_is_json() -> None:
    """An error before the first chunk comes as JSON."""
    assert STREAMED.read_stream(b'{"message": "no"}').units is None
    assert STREAMED.read_stream(b'{"message": "', b'no"}').complete


def test_a_stream_spoiled_before_its_end() -> None:
    """Where Claude's last figures are lost, Bedrock's own hold, and the cache is still known to be kept for an hour."""
    reading = STREAMED.read_stream(spoiled(STREAM, len(STREAM) - len(claude()[-1]) - 6))

    assert (reading.units, reading.complete, reading.estimated) == (CLAUDE_UNITS, True, False)


def test_more_than_bedrock_counted() -> None:
    """What Claude tells of itself may be more: it is believed."""
    stream = b"".join([*claude()[:-1], chunk({"type": "message_stop"} | metrics(12, 90))])

    assert STREAMED.read_stream(stream).units == CLAUDE_UNITS
    assert STREAMED.read_stream(b"".join([*claude()[:-1], chunk(metrics(0, 0))])).units == CLAUDE_UNITS


def test_newlines_within_a_chunk() -> None:
    """A maker may write its JSON over several lines."""
    raw = b'{"type": "message_start",\n "message": {"id": "m",\n "usage": {"input_tokens": 5, "output_tokens": 1}}}'
    stop = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}} | metrics(
        5, 7
    )

    assert STREAMED.read_stream(chunk(raw) + chunk(stop)).units == {"text": (5, 7)}


# Speech


def usage_event(**total: Any) -> bytes:
    return chunk({"event": {"usageEvent": {"details": {"total": total}, "totalTokens": 9}}})


def test_a_conversation_is_counted_by_its_last_totals() -> None:
    """Totals are cumulative: speech and text of both sides."""
    first = usage_event(input={"speechTokens": 1, "textTokens": 2}, output={"speechTokens": 3, "textTokens": 4})
    last = usage_event(input={"speechTokens": 10, "textTokens": 20}, output={"speechTokens": 30, "textTokens": 40})
    reading = TALK.read_stream(first + chunk({"event": {"audioOutput": {"content": "AAAA"}}}) + last)

    assert (reading.units, reading.complete) == ({"text": (20, 40), "audio": (10, 30)}, True)
    assert TALK.read(first).units == {"text": (2, 4), "audio": (1, 3)}


@pytest.mark.parametrize(
    "told",
    [
        b"",
        chunk({"event": {"audioOutput": {}}}),
        usage_event(),
        usage_event(input=[1], output={"textTokens": -1}),
        chunk({"event": {"usageEvent": 7}}),
        message(b"{}", (":event-type", "chunk")),
    ],
)
def test_a_conversation_without_figures(told: bytes) -> None:
    """Nothing is counted, and the reason is told."""
    reading = TALK.read_stream(told)

    assert reading.units is None
    assert reading.reason == "no usage was told"


# Texts


@pytest.mark.parametrize(
    ("request_body", "answer", "expected"),
    [
        ({"prompt": "Hello"}, [{"generation": "eight"}, {"generation": " ch"}], (["Hello"], ["eight ch"])),
        ({"inputText": "Hello"}, [{"outputText": "eight ch"}], (["Hello"], ["eight ch"])),
        ({"prompt": "Hello"}, [{"generations": [{"id": "secret", "text": "eight ch"}]}], (["Hello"], ["eight ch"])),
        ({"texts": ["a", "b"]}, [{"embeddings": [[0.1]]}], (["a", "b"], [""])),
        ([1], [{"completion": "eight ch"}], ([], ["eight ch"])),
    ],
)
def test_plain_texts(request_body: Any, answer: list[Any], expected: tuple[list[str], list[str]]) -> None:
    """A prompt and its continuation by each maker's names, in chunks or whole."""
    assert STREAMED.texts is not None
    streamed = STREAMED.texts(body(request_body), b"".join(map(chunk, answer)), True)
    whole = INVOKE.texts and INVOKE.texts(body(request_body), body(answer), False)

    assert (streamed.prompt, streamed.answer) == expected
    assert whole is not None
    assert whole.answer == expected[1]


MESSAGES = [{"role": "user", "content": "Hi"}]
NOVA = [{"role": "user", "content": [{"text": "Hi"}]}]


@pytest.mark.parametrize(
    ("request_body", "streamed", "whole"),
    [
        (
            {"anthropic_version": "bedrock-2023-05-31", "messages": MESSAGES},
            [
                {"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}}
                for text in ("eight", " ch")
            ],
            {"content": [{"type": "text", "text": "eight ch"}]},
        ),
        (
            {"messages": MESSAGES},
            [{"id": "c", "choices": [{"delta": {"content": text}}]} for text in ("eight", " ch")],
            {"choices": [{"message": {"content": "eight ch"}}]},
        ),
        (
            {"messages": NOVA},
            [{"messageStart": {}}, *({"contentBlockDelta": {"delta": {"text": text}}} for text in ("eight", " ch")), 7],
            {"output": {"message": {"content": [{"text": "eight ch"}]}}},
        ),
    ],
)
def test_texts_of_chats(request_body: Any, streamed: list[Any], whole: Any) -> None:
    """Claude's, OpenAI's and Nova's shapes."""
    assert STREAMED.texts is not None
    for answer, is_stream in ((b"".join(map(chunk, streamed)), True), (body(whole), False)):
        texts = STREAMED.texts(body(request_body), answer, is_stream)

        assert (texts.prompt, texts.answer, texts.messages) == (["Hi"], ["eight ch"], 1)


def test_texts_too_deep() -> None:
    """Depth is bounded."""
    nested: Any = {"text": "deep"}
    for _ in range(100):
        nested = [nested]
    assert STREAMED.texts is not None

    assert STREAMED.texts(b"{}", chunk(nested), True).answer == [""]
