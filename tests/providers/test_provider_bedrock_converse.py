"""AWS Bedrock's converse, whole and streamed."""

from __future__ import annotations

from typing import Any

import pytest
from answers import body, endpoint
from eventstreams import event, exception, metadata, said, spoiled
from hypothesis import given, settings
from hypothesis import strategies as st

from payi_middleware.events import Unpriced
from payi_middleware.providers import Asked, Reading
from payi_middleware.providers.base import Facts

HOST = "bedrock-runtime.us-east-1.amazonaws.com"
PATH = "/model/amazon.nova-pro-v1%3A0/"
CONVERSE = endpoint(HOST, f"{PATH}converse")
STREAMED = endpoint(HOST, f"{PATH}converse-stream")
GUARDED = Unpriced("guardrail", 1, "the units of a guardrail are told only where its trace is enabled")


def answer(usage: Any, **more: Any) -> bytes:
    message = {"role": "assistant", "content": [{"text": '{"usage": {"inputTokens": 9}}'}]}
    told = {"metrics": {"latencyMs": 7}, "output": {"message": message}, "stopReason": "end_turn", "usage": usage}
    return body(told | more)


def refined(
    reading: Reading,
    path: str = f"{PATH}converse",
    *,
    host: str = HOST,
    request: bytes | None = b"{}",
    headers: dict[str, str] | None = None,
) -> Reading:
    assert CONVERSE.refine is not None
    return CONVERSE.refine(reading, Facts(host, path, request, Asked(), headers or {}, b"", False))


USAGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({"inputTokens": 13, "outputTokens": 35, "totalTokens": 48}, {"text": (13, 35)}),
    "caches stand beside the input": (
        {"inputTokens": 10, "outputTokens": 5, "cacheReadInputTokens": 20, "cacheWriteInputTokens": 30},
        {"text": (10, 5), "text_cache_read": (20, 0), "text_cache_write": (30, 0)},
    ),
    "both names of the caches": (
        {
            "inputTokens": 10,
            "outputTokens": 5,
            "cacheReadInputTokens": 20,
            "cacheReadInputTokenCount": 20,
            "cacheWriteInputTokens": 30,
            "cacheWriteInputTokenCount": 30,
        },
        {"text": (10, 5), "text_cache_read": (20, 0), "text_cache_write": (30, 0)},
    ),
    "an hour": (
        {
            "inputTokens": 10,
            "outputTokens": 5,
            "cacheWriteInputTokens": 30,
            "cacheDetails": [{"ttl": "1h", "inputTokens": 20}, {"ttl": "5m", "inputTokens": 10}],
        },
        {"text": (10, 5), "text_cache_write": (10, 0), "text_cache_write_1h": (20, 0)},
    ),
    "details that leave something out": (
        {
            "inputTokens": 10,
            "outputTokens": 5,
            "cacheWriteInputTokens": 30,
            "cacheDetails": [{"ttl": "1h", "inputTokens": 20}],
        },
        {"text": (10, 5), "text_cache_write": (10, 0), "text_cache_write_1h": (20, 0)},
    ),
    "details alone": (
        {"inputTokens": 10, "outputTokens": 5, "cacheDetails": [{"ttl": "5m", "inputTokens": 7}]},
        {"text": (10, 5), "text_cache_write": (7, 0)},
    ),
    "nulls": (
        {"inputTokens": 10, "outputTokens": 5, "cacheReadInputTokens": None, "cacheDetails": None},
        {"text": (10, 5)},
    ),
    "output alone": ({"outputTokens": 5}, {"text": (0, 5)}),
}


@pytest.mark.parametrize("case", list(USAGES))
def test_usage(case: str) -> None:
    """Input is without the cached, which come beside it; of a stream the same."""
    usage, units = USAGES[case]

    assert CONVERSE.read(answer(usage)) == Reading(units=units)
    assert STREAMED.read_stream(b"".join([*said("eight ch"), event("metadata", {"usage": usage})])) == Reading(
        units=units
    )


def test_more_in_the_details_than_in_all() -> None:
    """A split that exceeds its total is believed, and said."""
    usage = {"inputTokens": 1, "outputTokens": 1, "cacheWriteInputTokens": 5}
    reading = CONVERSE.read(answer(usage | {"cacheDetails": [{"ttl": "1h", "inputTokens": 9}]}))

    assert reading.units == {"text": (1, 1), "text_cache_write_1h": (9, 0)}
    assert reading.reason == "usage tells 5 written tokens and details 9: counted as in the details"


def test_tier_and_latency_as_served() -> None:
    """The answer says what was served, whatever was asked for."""
    usage = {"inputTokens": 1, "outputTokens": 2}
    served = {"serviceTier": {"type": "flex"}, "performanceConfig": {"latency": "optimized"}}

    assert CONVERSE.read(answer(usage, **served)) == Reading(
        units={"text": (1, 2)}, service_tier="flex", terms=("latency:optimized",)
    )
    assert CONVERSE.read(answer(usage, performanceConfig={"latency": "standard"})).terms == ()
    assert STREAMED.read_stream(metadata(1, 2, **served)).service_tier == "flex"


TRACE = {
    "guardrail": {
        "inputAssessment": {
            "g1": {
                "invocationMetrics": {"usage": {"topicPolicyUnits": 1, "contentPolicyUnits": 2, "wordPolicyUnits": 0}}
            }
        },
        "outputAssessments": {
            "g1": [
                {
                    "invocationMetrics": {
                        "usage": {
                            "topicPolicyUnits": 3,
                            "contentPolicyImageUnits": 4,
                            "sensitiveInformationPolicyUnits": 5,
                            "sensitiveInformationPolicyFreeUnits": 6,
                            "contextualGroundingPolicyUnits": 7,
                            "automatedReasoningPolicyUnits": 8,
                        }
                    }
                }
            ]
        },
    }
}


def test_guardrails_in_the_trace() -> None:
    """What guardrails consumed comes beside the tokens, input and output assessed alike."""
    reading = CONVERSE.read(answer({"inputTokens": 1, "outputTokens": 2}, trace=TRACE))

    assert reading.units == {
        "text": (1, 2),
        "guardrail_topic": (4, 0),
        "guardrail_content": (2, 0),
        "guardrail_content_image": (4, 0),
        "guardrail_sensitive_information": (5, 0),
        "guardrail_sensitive_information_free": (6, 0),
        "guardrail_contextual_grounding": (7, 0),
        "guardrail_automated_reasoning": (8, 0),
    }
    assert STREAMED.read_stream(b"".join([*said("a"), metadata(1, 2, trace=TRACE)])).units == reading.units
    assert refined(reading, request=b'{"guardrailConfig": {}}').unpriced == ()


@pytest.mark.parametrize(
    "trace",
    [{"guardrail": []}, {"guardrail": {"inputAssessment": {"g": {"invocationMetrics": [1]}}}}, 7, [[[]]]]
    + [{"invocationMetrics": {"usage": {"topicPolicyUnits": n}}} for n in (-1, True, "3", 10**9, 1.5)],
)
def test_malformed_traces_count_nothing(trace: Any) -> None:
    """A trace of another shape, or with counts that are none, changes nothing else."""
    assert CONVERSE.read(answer({"inputTokens": 1, "outputTokens": 2}, trace=trace)).units == {"text": (1, 2)}


def test_a_trace_without_end() -> None:
    """Depth is bounded."""
    trace: Any = {"invocationMetrics": {"usage": {"topicPolicyUnits": 1}}}
    for _ in range(50):
        trace = {"a": trace}

    assert CONVERSE.read(answer({"inputTokens": 1, "outputTokens": 2}, trace=trace)).units == {"text": (1, 2)}


def test_a_guardrail_that_stopped_the_call() -> None:
    """The model may never have been asked: no tokens are counted, and what the guardrail took is named as missing."""
    usage = {"inputTokens": 0, "outputTokens": 0}
    stopped = CONVERSE.read(answer(usage, stopReason="guardrail_intervened"))
    streamed = STREAMED.read_stream(b"".join([*said("Sorry", stop="guardrail_intervened"), metadata(0, 0)]))

    assert (stopped.units, stopped.unpriced) == ({"text": (0, 0)}, (GUARDED,))
    assert (streamed.units, streamed.unpriced) == ({"text": (0, 0)}, (GUARDED,))


def test_a_guardrail_without_its_trace() -> None:
    """A request with a guardrail and without its trace leaves something unpriced, once."""
    reading = CONVERSE.read(answer({"inputTokens": 1, "outputTokens": 2}))
    guarded = refined(reading, request=b'{"guardrailConfig": {}}')

    assert guarded.unpriced == (GUARDED,)
    assert refined(guarded, request=b'{"guardrailConfig": {}}').unpriced == (GUARDED,)
    assert refined(reading, request=None).unpriced == ()


def test_a_prompt_router_names_the_model() -> None:
    """The model that the router chose is the one that answered."""
    chosen = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-3-5-haiku-20241022-v1:0"
    reading = CONVERSE.read(
        answer({"inputTokens": 1, "outputTokens": 2}, trace={"promptRouter": {"invokedModelId": chosen}})
    )

    assert reading.model == "us.anthropic.claude-3-5-haiku-20241022-v1:0"
    assert (
        refined(reading, "/model/arn:aws:bedrock:us-east-1:1:default-prompt-router%2Fa/converse").model == reading.model
    )
    assert CONVERSE.read(answer({"inputTokens": 1}, trace={"promptRouter": {"invokedModelId": 7}})).model is None


def test_tools_of_the_providers() -> None:
    """Tools that AWS runs have no unit: they are named, and nothing else of them is believed."""
    used = {"novaGrounding": 2, "other": "x", "none": 0, "flag": True}
    reading = CONVERSE.read(answer({"inputTokens": 1, "outputTokens": 2, "serverToolUsage": used}))

    assert reading.unpriced == (Unpriced("novaGrounding", 2, "a tool of the provider's without a unit of ours"),)


def test_half_a_surrogate_pair() -> None:
    """Names that no encoding has are written in others."""
    usage = {"inputTokens": 1, "outputTokens": 2, "serverToolUsage": {"\ud800": 1}}
    reading = CONVERSE.read(answer(usage, trace={"promptRouter": {"invokedModelId": "a.\ud800"}}))

    assert (reading.model, [missing.unit for missing in reading.unpriced]) == ("a.?", ["?"])


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"", "the answer is empty"),
        (b"<html>", "the answer is not whole JSON"),
        (b"[1]", "the answer is not a JSON object"),
        (answer(None), "usage is missing"),
        (answer([1]), "usage: expected object"),
        (answer({}), "usage has no token counts"),
        (answer({"inputTokens": -1, "outputTokens": 2}), "usage.inputTokens"),
        (answer({"inputTokens": "1", "outputTokens": 2}), "usage.inputTokens"),
        (answer({"inputTokens": 10**30, "outputTokens": 2}), "usage.inputTokens"),
        (answer({"inputTokens": 0, "outputTokens": 0}), "usage counts nothing"),
    ],
)
def test_bad_answers(bad: bytes, reason: str) -> None:
    """None of them raises or counts, and each says why; the same holds for the metadata of a stream."""
    reading = CONVERSE.read(bad)

    assert reading.units is None
    assert reason in (reading.reason or "")
    if bad:
        assert STREAMED.read_stream(event("metadata", bad)).units is None


def test_a_broken_member_is_left_out() -> None:
    """What does not describe usage may be as malformed as it likes."""
    reading = CONVERSE.read(answer({"inputTokens": 1, "outputTokens": 2}, serviceTier=[7], trace={"guardrail": 3}))

    assert reading.units == {"text": (1, 2)}
    assert "serviceTier" in (reading.reason or "")


@pytest.mark.parametrize("length", range(len(answer({"inputTokens": 13, "outputTokens": 35}))))
def test_a_body_cut_at_any_byte(length: int) -> None:
    """Half a body tells nothing."""
    assert CONVERSE.read(answer({"inputTokens": 13, "outputTokens": 35})[:length]).units is None


def test_the_ends_of_a_large_answer() -> None:
    """Of an answer that was too large the usage and the tier are found in its ends."""
    whole = answer({"inputTokens": 13, "outputTokens": 35}, serviceTier={"type": "priority"})
    reading = CONVERSE.read_cut(whole[:40], whole[60:])

    assert (reading.units, reading.service_tier, reading.complete) == ({"text": (13, 35)}, "priority", True)
    assert CONVERSE.read_cut(whole[:40], b'"}').units is None


STREAM = b"".join([*said("eight ch"), metadata()])


def test_a_stream_that_nobody_announced() -> None:
    """A request that was itself a stream does not tell its path's kind: the answer does."""
    assert STREAMED.read(STREAM).units == {"text": (13, 35)}
    assert CONVERSE.read_cut(STREAM[:200], STREAM[-300:]).units == {"text": (13, 35)}
    assert STREAMED.ask(b"{}") == Asked(None, True)


def test_a_refused_stream_is_json() -> None:
    """An error before the first event comes as JSON."""
    assert STREAMED.read_stream(b'{"message": "no"}').reason == "usage is missing"
    assert STREAMED.read_stream(b'{"message": "', b'no"}').units is None


@given(st.integers(0, len(STREAM) - 1))
@settings(deadline=None)
def test_a_stream_cut_at_any_byte(at: int) -> None:
    """Without its metadata a stream has no usage, and says why."""
    reading = STREAMED.read_stream(STREAM[:at])

    assert (reading.units, reading.complete, reading.error_type) == (None, False, None)
    assert reading.reason in ("the stream broke off before its usage", "the answer is no event stream")


@given(st.integers(0, len(STREAM) - 1))
@settings(deadline=None)
def test_a_stream_spoiled_at_any_byte(at: int) -> None:
    """The usage is that of a message that its checksum vouches for, or none."""
    reading = STREAMED.read_stream(spoiled(STREAM, at))

    assert reading.units in ({"text": (13, 35)}, None)
    assert reading.units is not None or reading.reason is not None


def test_the_middle_of_a_stream_left_out() -> None:
    """The tail has the metadata, wherever it begins."""
    assert STREAMED.read_stream(STREAM[:50], STREAM[70:], 20).units == {"text": (13, 35)}


def test_a_stream_that_ends_in_an_exception() -> None:
    """What came before it is worth counting; without any text there is nothing to count."""
    begun = STREAMED.read_stream(b"".join([*said("eight ch")[:2], exception("throttlingException")]))
    refused = STREAMED.read_stream(exception("validationException"))

    assert (begun.error_type, begun.estimated, begun.complete) == ("throttlingException", True, False)
    assert (refused.error_type, refused.estimated) == ("validationException", False)
    assert begun.reason == refused.reason == "the stream ended in an error"


def test_an_exception_behind_the_usage() -> None:
    """The usage holds, and so does the error."""
    reading = STREAMED.read_stream(STREAM + exception("internalServerException"))

    assert (reading.units, reading.error_type) == ({"text": (13, 35)}, "internalServerException")


def test_the_path_names_the_model() -> None:
    """A body names none; headers have the id of the call."""
    reading = refined(CONVERSE.read(answer({"inputTokens": 1, "outputTokens": 2})), headers={"x-amzn-requestid": "r-1"})

    assert (reading.model, reading.response_id) == ("amazon.nova-pro-v1:0", "r-1")


PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.mark.parametrize("streamed", [False, True])
def test_texts(streamed: bool) -> None:
    """What was said on both sides, tools and their calls, pictures by their size, and what is no text by its kind."""
    tool = {"name": "f", "description": "Finds.", "inputSchema": {"json": {"type": "object"}}}
    request = {
        "system": [{"text": "Be short."}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"text": "Look"},
                    {"image": {"format": "png", "source": {"bytes": PIXEL}}},
                    {"video": {"format": "mp4", "source": {"s3Location": {"uri": "s3://b/k"}}}},
                    {"cachePoint": {"type": "default"}},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"reasoningContent": {"reasoningText": {"text": "Hm."}}},
                    {"toolUse": {"toolUseId": "t", "name": "f", "input": {"x": 1}}},
                ],
            },
            {"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": [{"json": {"y": 2}}]}}]},
            "malformed",
        ],
        "toolConfig": {"tools": [{"toolSpec": tool}, {"cachePoint": {}}, 7]},
    }
    begun = event("contentBlockStart", {"start": {"toolUse": {"toolUseId": "u", "name": "g"}}})
    deltas = [{"reasoningContent": {"text": "So."}}, {"toolUse": {"input": '{"z":'}}, {"toolUse": {"input": "3}"}}]
    stream = b"".join(
        [*said("eight", " ch"), begun, *(event("contentBlockDelta", {"delta": delta}) for delta in deltas)]
    )
    blocks = [{"text": "eight ch"}, {"toolUse": {"name": "g", "input": {"z": 3}}}]
    whole = body({"output": {"message": {"content": blocks}}})
    assert STREAMED.texts is not None
    texts = STREAMED.texts(body(request), stream if streamed else whole, streamed)

    assert texts.prompt == ["Be short.", "Look", "Hm.", "f", '{"x": 1}', '{"y": 2}']
    assert texts.answer == ['eight chgSo.{"z":3}' if streamed else 'eight chg{"z": 3}']
    assert texts.tools == ({"name": "f", "description": "Finds.", "input_schema": {"type": "object"}},)
    assert (texts.messages, texts.calls, texts.called) == (3, 1, 1)
    assert [(thing.kind, thing.width) for thing in texts.attached] == [("image", 1)]
    assert texts.uncounted == (Unpriced("video", 1, "not counted"),)


def test_texts_of_nothing() -> None:
    """Neither a request nor an answer that can be read."""
    assert STREAMED.texts is not None
    texts = STREAMED.texts(b"[", b"", True)

    assert (texts.prompt, texts.answer, texts.messages) == ([], [], 0)
