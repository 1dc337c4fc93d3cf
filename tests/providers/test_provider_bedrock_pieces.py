"""AWS Bedrock: what is billed by the piece, guardrails alone, agents, and what no answer tells."""

from __future__ import annotations

import time
from typing import Any

import pytest
from answers import body, endpoint
from eventstreams import event, exception, spoiled
from msgspec.structs import replace

from payi_middleware.costing import Costed, cost_of
from payi_middleware.events import Part, Unpriced
from payi_middleware.pricing import Prices
from payi_middleware.providers import Asked, Reading
from payi_middleware.providers.base import Facts
from payi_middleware.providers.bedrock.served import at_bedrock

HOST = "bedrock-runtime.us-east-1.amazonaws.com"
AGENTS = "bedrock-agent-runtime.us-east-1.amazonaws.com"


@pytest.fixture(scope="module")
def prices() -> Prices:
    made = Prices()
    made.load()
    return made


def told(
    path: str,
    answer: bytes,
    request: Any = None,
    *,
    host: str = HOST,
    headers: dict[str, str] | None = None,
) -> Reading:
    """What an exchange tells, as a call reads it."""
    there = endpoint(host, path)
    sent = request if isinstance(request, bytes | None) else body(request)
    asked = there.ask(sent or b"")
    reading = there.read_stream(answer) if asked.streamed else there.read(answer)
    if there.refine is None:
        return reading
    return there.refine(reading, Facts(host, path, sent, asked, headers or {}, answer, asked.streamed))


def cost(prices: Prices, reading: Reading) -> Costed:
    return cost_of(
        prices,
        "aws",
        reading.model,
        reading.units or {},
        time.time_ns(),
        reading.service_tier,
        seen=reading.unpriced,
        terms=reading.terms,
        parts=reading.parts,
    )


def ticks(costed: Costed) -> int:
    assert costed.cost is not None
    return costed.cost.total_ticks


# Pictures

NOVA = "/model/amazon.nova-canvas-v1:0/invoke"


def pictures(*images: Any) -> bytes:
    return body({"images": list(images), "error": None})


@pytest.mark.parametrize(
    ("model", "config", "terms", "usd"),
    [
        ("amazon.nova-canvas-v1:0", {}, ("size:1024x1024", "quality:standard"), 0.04),
        ("amazon.nova-canvas-v1:0", {"quality": "premium"}, ("size:1024x1024", "quality:premium"), 0.06),
        ("amazon.nova-canvas-v1:0", {"width": 2048, "height": 512}, ("size:2048x2048", "quality:standard"), 0.06),
        (
            "us.amazon.nova-canvas-v1:0",
            {"width": 1280, "height": 1280, "quality": "premium"},
            ("size:2048x2048", "quality:premium"),
            0.08,
        ),
        ("amazon.titan-image-generator-v1", {"width": 512, "height": 512}, ("size:512x512", "quality:standard"), 0.008),
        ("amazon.titan-image-generator-v2:0", {"quality": "premium"}, ("size:1024x1024", "quality:premium"), 0.012),
        ("stability.stable-image-ultra-v1:1", {}, (), 0.14),
        ("us.stability.stable-image-erase-object-v1:0", {}, (), 0.07),
        ("stability.sd3-5-large-v1:0", {}, (), 0.08),
    ],
)
def test_pictures(model: str, config: Any, terms: tuple[str, ...], usd: float, prices: Prices) -> None:
    """By the piece, Amazon's by size and quality; what headers count of the prompt costs nothing."""
    request = {"taskType": "TEXT_IMAGE", "imageGenerationConfig": config}
    counted = {"x-amzn-bedrock-input-token-count": "9"}
    reading = told(f"/model/{model}/invoke", pictures("AAAA", "AAAA"), request, headers=counted)
    costed = cost(prices, reading)

    assert (reading.model, reading.units, reading.terms) == (model, {"generated_image": (0, 2)}, terms)
    assert ticks(costed) == round(usd * 2 * 10**10)
    # The figures of Amazon's own pictures are in no list that they could be held against, which each call says.
    doubts = [entry.reason for entry in costed.unpriced]
    assert [reason.startswith("as remembered of the page") for reason in doubts] == [True] * ("amazon." in model)


def test_refused_pictures_are_not_counted() -> None:
    """A picture that a filter kept back is null."""
    assert told(NOVA, pictures("AAAA", None, ""), {}).units == {"generated_image": (0, 1)}
    assert told(NOVA, pictures(), {}).units == {"generated_image": (0, 0)}
    assert told(
        "/model/stability.stable-diffusion-xl-v1/invoke", body({"artifacts": [{"base64": "AA"}]}), {}
    ).units == {"generated_image": (0, 1)}


@pytest.mark.parametrize(
    ("request_body", "made"),
    [
        ({"imageGenerationConfig": {"numberOfImages": 3}}, 3),
        ({"imageGenerationConfig": {"numberOfImages": -3}}, 1),
        ({"imageGenerationConfig": [1]}, 1),
        ([1], 1),
        (None, 1),
    ],
)
def test_pictures_that_were_too_large_to_keep(request_body: Any, made: int) -> None:
    """Of an answer that is not whole the request tells how many were asked for."""
    assert told(NOVA, b'{"images": ["AAAA', request_body).units == {"generated_image": (0, made)}


# Embeddings


@pytest.mark.parametrize(
    ("model", "request_body", "units", "usd"),
    [
        (
            "amazon.titan-embed-image-v1",
            {"inputText": "a", "inputImage": "AAAA"},
            {"text": (5, 0), "embedded_image": (1, 0)},
            0.000064,
        ),
        ("amazon.titan-embed-image-v1", {"inputText": "a"}, {"text": (5, 0)}, 0.000004),
        ("amazon.titan-embed-text-v2:0", {"inputText": "a"}, {"text": (5, 0)}, 0.0000001),
        (
            "amazon.nova-2-multimodal-embeddings-v1:0",
            {"singleEmbeddingParams": {"image": {"format": "png"}}},
            {"text": (5, 0), "embedded_image": (1, 0)},
            0.000060675,
        ),
        ("us.cohere.embed-v4:0", {"texts": ["a"]}, {"text": (5, 0)}, 0.0000006),
    ],
)
def test_embeddings(model: str, request_body: Any, units: Any, usd: float, prices: Prices) -> None:
    """Text by the token, a picture by the piece."""
    reading = told(
        f"/model/{model}/invoke",
        body({"embedding": [0.1]}),
        request_body,
        headers={"x-amzn-bedrock-input-token-count": "5"},
    )
    costed = cost(prices, reading)

    assert reading.units == units
    assert (ticks(costed), costed.unpriced) == (round(usd * 10**10), ())


def test_other_media_are_named() -> None:
    """Sounds and films are billed by a length that nobody tells."""
    missing = (Unpriced("embedded_media", 1, "its length is not told"),)

    assert told("/model/cohere.embed-english-v3/invoke", b"{}", {"images": ["data:"]}).unpriced == missing
    assert told("/model/twelvelabs.marengo-embed-3-0-v1:0/invoke", b"{}", {"inputType": "text"}).unpriced == missing
    assert told("/model/cohere.command-text-v14/invoke", b"{}", {"images": ["data:"]}).unpriced == ()


# Rerankers


@pytest.mark.parametrize(("documents", "units"), [(0, 1), (1, 1), (100, 1), (101, 2), (250, 3)])
def test_reranking(documents: int, units: int, prices: Prices) -> None:
    """A query over up to a hundred documents is one unit, on the models' own path and on the agents' host."""
    invoked = told(
        "/model/cohere.rerank-v3-5:0/invoke", body({"results": []}), {"query": "q", "documents": ["d"] * documents}
    )
    arn = "arn:aws:bedrock:us-east-1::foundation-model/cohere.rerank-v3-5:0"
    config = {"bedrockRerankingConfiguration": {"modelConfiguration": {"modelArn": arn}}}
    request = {"queries": [{}], "sources": [{"inlineDocumentSource": {}}] * documents, "rerankingConfiguration": config}
    ranked = told("/rerank", body({"results": []}), request, host=AGENTS)

    assert invoked.units == ranked.units == {"rerank_search": (0, units)}
    assert ticks(cost(prices, invoked)) == ticks(cost(prices, ranked)) == units * 20_000_000


def test_long_documents_count_as_several() -> None:
    """By how many is not told, so it is named."""
    reading = told("/model/amazon.rerank-v1:0/invoke", b"{}", {"documents": ["x" * 2000, "d"]})

    assert reading.unpriced == (
        Unpriced("rerank_search", 1, "documents of over 512 tokens count as several; by how many is not told"),
    )


@pytest.mark.parametrize("request_body", [None, [1], {"documents": 7}])
def test_reranking_of_an_unknown_request(request_body: Any) -> None:
    """One query there was."""
    assert told("/model/amazon.rerank-v1:0/invoke", b"{}", request_body).units == {"rerank_search": (0, 1)}


def test_reranking_on_the_agents_host_of_an_unknown_request() -> None:
    """Without the request neither documents nor model are known."""
    assert told("/rerank", b"{}", [1], host=AGENTS).units is None
    assert told("/rerank", b"{}", {"sources": 7, "queries": []}, host=AGENTS).units == {"rerank_search": (0, 1)}


# Video

REEL = "amazon.nova-reel-v1:1"
STARTED = body({"invocationArn": "arn:aws:bedrock:us-east-1:123456789012:async-invoke/ab12"})


@pytest.mark.parametrize(
    ("model", "asked", "seconds", "term", "usd"),
    [
        (
            REEL,
            {"videoGenerationConfig": {"durationSeconds": 12, "dimension": "1280x720"}},
            12,
            "resolution:720p",
            0.96,
        ),
        (REEL, {"videoGenerationConfig": {}}, 6, "resolution:720p", 0.48),
        ("luma.ray-v2:0", {"prompt": "p", "duration": "5s", "resolution": "540p"}, 5, "resolution:540p", 3.75),
        ("luma.ray-v2:0", {"prompt": "p", "duration": "9s"}, 9, "resolution:720p", 13.5),
    ],
)
def test_video(model: str, asked: Any, seconds: int, term: str, usd: float, prices: Prices) -> None:
    """By the second, as asked for: the film itself is written later, to S3."""
    reading = told("/async-invoke", STARTED, {"modelId": model, "modelInput": asked})

    assert (reading.model, reading.units) == (model, {"generated_video_second": (0, seconds)})
    assert (reading.terms, reading.estimated) == ((term,), True)
    assert ticks(cost(prices, reading)) == round(usd * 10**10)


@pytest.mark.parametrize(
    "asked",
    [
        None,
        7,
        {"prompt": "p"},
        {"duration": "long"},
        {"videoGenerationConfig": {"dimension": "wide"}},
        {"duration": "5s", "resolution": 7},
    ],
)
def test_other_asynchronous_calls(asked: Any) -> None:
    """What neither request nor answer tells has its reason."""
    reading = told("/async-invoke", STARTED, {"modelId": "a.b", "modelInput": asked})

    assert (reading.units, reading.estimated) == (None, False)
    assert reading.reason == "the answer does not tell what AWS's models behind it consumed"


# Guardrails

APPLY = "/guardrail/g1/version/DRAFT/apply"


def test_a_guardrail_alone(prices: Prices) -> None:
    """Its units are those at the top: the assessments tell the same again."""
    usage = {
        "topicPolicyUnits": 2,
        "contentPolicyUnits": 3,
        "wordPolicyUnits": 4,
        "sensitiveInformationPolicyFreeUnits": 5,
    }
    assessment = {"invocationMetrics": {"usage": usage}}
    reading = told(APPLY, body({"action": "NONE", "assessments": [assessment], "usage": usage}))
    costed = cost(prices, reading)

    assert reading.units == {
        "guardrail_topic": (2, 0),
        "guardrail_content": (3, 0),
        "guardrail_word_free": (4, 0),
        "guardrail_sensitive_information_free": (5, 0),
    }
    assert (ticks(costed), costed.unpriced) == (5 * 1_500_000, ())


def test_a_guardrail_with_an_answer_too_large_to_keep() -> None:
    """The usage stands in one of the ends."""
    there = endpoint(HOST, APPLY)

    assert there.read_stream(b'{"usage":{"topicPolicyUnits":2},', b'"x":1}', 9).units == {"guardrail_topic": (2, 0)}
    assert there.read_stream(b'{"usage":{"topicPolicyUnits":2}}').units == {"guardrail_topic": (2, 0)}
    assert there.read_cut(b'{"a":', b"1}").reason == "usage is missing"


def test_checks_without_a_guardrail() -> None:
    """Text units for each check."""
    usage = {
        "contentFilter": {"textUnits": 2},
        "promptAttack": {"textUnits": 1},
        "sensitiveInformation": {"textUnits": 3},
    }

    assert told("/guardrail-checks/invoke", body({"usage": usage})).units == {
        "guardrail_content": (3, 0),
        "guardrail_sensitive_information": (3, 0),
    }
    assert told("/guardrail-checks/invoke", body({"usage": {"contentFilter": 7}})).units == {}


@pytest.mark.parametrize("path", [APPLY, "/guardrail-checks/invoke"])
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"<", "the answer is not whole JSON"),
        (b"[1]", "the answer is not a JSON object"),
        (b"{}", "usage is missing"),
    ],
)
def test_guardrails_badly_told(path: str, answer: bytes, reason: str) -> None:
    """Nothing is counted, and the reason is told."""
    reading = told(path, answer)

    assert (reading.units, reading.reason) == (None, reason)


# ARNs that name no model

PROFILE = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fab12"


def test_an_arn_without_a_model_has_its_reason(prices: Prices) -> None:
    """The reason says what to do, and no rate is guessed."""
    reading = told(f"/model/{PROFILE}/converse", body({"usage": {"inputTokens": 1, "outputTokens": 2}}))
    costed = cost_of(prices, "aws", reading.model, reading.units or {}, time.time_ns(), reason=reading.reason)

    assert reading.model == "application-inference-profile/ab12"
    assert costed.cost is None
    assert "price_as" in (costed.reason or "")
    assert "123456789012" not in (costed.reason or "")


def test_an_arn_whose_answer_names_the_model(prices: Prices) -> None:
    """Claude says who it is; the profile it does not know, which is said."""
    usage = {"input_tokens": 1000, "output_tokens": 0}
    reading = told(f"/model/{PROFILE}/invoke", body({"model": "claude-sonnet-4-5-20250929", "usage": usage}))

    assert reading.model == "claude-sonnet-4-5-20250929"
    assert "regional rate used" in (reading.reason or "")
    assert ticks(cost(prices, reading)) == 33_000_000


def test_reasons_are_joined() -> None:
    """What else was odd is not lost."""
    usage = {"inputTokens": 1, "outputTokens": 2, "cacheWriteInputTokens": 1, "cacheDetails": [{"inputTokens": 5}]}
    reading = told(f"/model/{PROFILE}/converse", body({"usage": usage}))

    assert "price_as" in (reading.reason or "")
    assert "counted as in the details" in (reading.reason or "")


# Other makers' shapes


def test_shapes_of_others(prices: Prices) -> None:
    """OpenAI's and Anthropic's own shapes; an answer's model gets the profile with which it was called."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 0, "total_tokens": 1000}
    chat = told(
        "/openai/v1/chat/completions",
        body({"id": "c", "model": "openai.gpt-oss-20b-1:0", "usage": usage, "service_tier": "priority"}),
        {"model": "openai.gpt-oss-20b-1:0"},
    )
    messages = told(
        "/anthropic/v1/messages",
        body({"id": "m", "model": "claude-haiku-4-5-20251001", "usage": {"input_tokens": 1000, "output_tokens": 0}}),
        {"model": "global.anthropic.claude-haiku-4-5"},
        host="bedrock-mantle.us-east-1.api.aws",
    )

    assert (chat.model, chat.service_tier, ticks(cost(prices, chat))) == (
        "openai.gpt-oss-20b-1:0",
        "priority",
        1_225_000,
    )
    assert messages.model == "global.anthropic.claude-haiku-4-5-20251001"
    assert ticks(cost(prices, messages)) == 10_000_000


def test_a_shape_with_more_to_complete() -> None:
    """What a maker's own endpoint completes comes first; its terms of place are not Bedrock's."""
    there = endpoint(HOST, "/openai/v1/chat/completions")
    inner = replace(there, refine=lambda reading, facts: reading._replace(terms=("geo:us", "speed:fast")))
    made = at_bedrock(inner).refine
    assert made is not None
    facts = Facts(HOST, "/openai/v1/chat/completions", None, Asked("openai.gpt-6-sol"), {}, b"", False)

    assert made(Reading(), facts).terms == ("speed:fast",)


def test_a_shape_whose_model_nobody_names() -> None:
    """The id of the call is kept all the same."""
    reading = told("/openai/v1/chat/completions", b"{}", [1], headers={"x-amzn-requestid": "r"})

    assert (reading.model, reading.response_id) == (None, "r")


# Agents

AGENT = "/agents/A/agentAliases/B/sessions/C/text"


def step(phase: str, **steps: Any) -> bytes:
    return event("trace", {"agentId": "A", "trace": {phase: steps}})


def asked(model: str, trace: str = "t1", phase: str = "orchestrationTrace") -> bytes:
    return step(phase, modelInvocationInput={"traceId": trace, "foundationModel": model, "text": "secret"})


def answered(taken: Any, made: Any, trace: str = "t1", phase: str = "orchestrationTrace") -> bytes:
    usage = {"inputTokens": taken, "outputTokens": made}
    return step(phase, modelInvocationOutput={"traceId": trace, "metadata": {"usage": usage}, "rawResponse": {}})


SAID = event("chunk", {"bytes": "AAAA"})
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
MICRO = "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.amazon.nova-micro-v1:0"


def test_an_agent_with_its_trace(prices: Prices) -> None:
    """A part for each call of a model, whichever phase made it, priced by its own model."""
    stream = b"".join(
        [
            asked(HAIKU, "t1", "preProcessingTrace"),
            answered(1000, 0, "t1", "preProcessingTrace"),
            step("orchestrationTrace", rationale={"text": "secret"}, observation=[1]),
            asked(MICRO, "t2"),
            asked(HAIKU, "t3"),
            answered(2000, 0, "t2"),
            answered(3000, 0, "t3"),
            SAID,
        ]
    )
    reading = told(AGENT, stream, {}, host=AGENTS, headers={"x-amzn-requestid": "r"})

    assert reading.parts == (
        Part(HAIKU, {"text": (1000, 0)}, None, ()),
        Part("eu.amazon.nova-micro-v1:0", {"text": (2000, 0)}, None, ("region:eu",)),
        Part(HAIKU, {"text": (3000, 0)}, None, ()),
    )
    assert (reading.units, reading.model, reading.response_id) == ({"text": (6000, 0)}, HAIKU, "r")
    assert ticks(cost(prices, reading)) == 4000 * 2500 + 2000 * 460


def test_an_agent_without_its_trace() -> None:
    """Then nobody knows but AWS; and the reason says what turns it on."""
    for answer in (SAID, answered("1", None) + SAID, step("orchestrationTrace", modelInvocationOutput={"metadata": 7})):
        reading = told("/agents/session-1", answer, {}, host=AGENTS)

        assert (reading.units, reading.parts) == (None, ())
        assert "enableTrace" in (reading.reason or "")
    assert endpoint(AGENTS, AGENT).read(b"{}").units is None
    assert endpoint(AGENTS, AGENT).read(asked(HAIKU) + answered(1, 2)).units == {"text": (1, 2)}


@pytest.mark.parametrize(
    "payload", [[1], {"trace": 7}, {"trace": {"orchestrationTrace": 7}}, {"trace": {"a": {"b": 7}}}]
)
def test_traces_of_another_shape(payload: Any) -> None:
    """They tell nothing, and raise nothing."""
    assert told(AGENT, event("trace", payload) + SAID, {}, host=AGENTS).units is None


def test_an_agent_whose_model_is_not_named() -> None:
    """The part has none, and so no price."""
    reading = told(AGENT, answered(1, 2), {}, host=AGENTS)

    assert reading.parts == (Part(None, {"text": (1, 2)}, None, ()),)


def test_an_agent_that_fails_or_is_cut() -> None:
    """What was told until then holds, and what is wrong is said."""
    failed = told(AGENT, asked(HAIKU) + answered(1, 2) + exception("throttlingException"), {}, host=AGENTS)
    refused = told(AGENT, exception("accessDeniedException"), {}, host=AGENTS)
    there = endpoint(AGENTS, AGENT)
    middle = there.read_stream(asked(HAIKU), answered(1, 2), 99)

    assert (failed.error_type, failed.units, failed.complete) == ("throttlingException", {"text": (1, 2)}, False)
    assert (refused.error_type, refused.units) == ("accessDeniedException", None)
    assert (middle.units, middle.reason) == ({"text": (1, 2)}, "a part of the trace was left out")
    assert "checksum" in (there.read_stream(spoiled(SAID, len(SAID) - 6)).reason or "")


@pytest.mark.parametrize("path", ["/retrieveAndGenerate", "/retrieveAndGenerateStream", "/knowledgebases/K/retrieve"])
def test_what_no_answer_tells(path: str) -> None:
    """An event without a cost and with its reason, never a hole."""
    there = endpoint(AGENTS, path)

    for reading in (there.read(b"{}"), there.read_cut(b"{", b"}"), there.read_stream(SAID)):
        assert (reading.units, reading.reason) == (
            None,
            "the answer does not tell what AWS's models behind it consumed",
        )
    assert there.read_stream(exception("throttlingException")).error_type == "throttlingException"


def test_rates_of_tiers_and_of_latency(prices: Prices) -> None:
    """As served: half, 1.75 times, the faster hardware's own; capacity bought beforehand costs nothing by token."""

    def price(tier: str | None = None, terms: tuple[str, ...] = ()) -> Costed:
        return cost_of(prices, "aws", "us.amazon.nova-pro-v1:0", {"text": (1000, 0)}, time.time_ns(), tier, terms=terms)

    assert [ticks(price(tier)) for tier in (None, "default", "flex", "priority")] == [
        8_000_000,
        8_000_000,
        4_000_000,
        14_000_000,
    ]
    assert ticks(price(terms=("latency:optimized",))) == 10_000_000
    assert price("reserved").cost is None
    other = cost_of(
        prices, "aws", "amazon.nova-lite-v1:0", {"text": (1, 0)}, time.time_ns(), terms=("latency:optimized",)
    )
    assert [missing.unit for missing in other.unpriced] == ["latency"]
