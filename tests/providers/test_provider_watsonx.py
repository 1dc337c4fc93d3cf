"""watsonx.ai: counts of its own, in a body and over a stream, and OpenAI's shape under other paths."""

from __future__ import annotations

from typing import Any

import pytest
from answers import body, endpoint, events, openai_usage
from exchanged import read, reads, survives

HOST = "us-south.ml.cloud.ibm.com"
GENERATE = "/ml/v1/text/generation"
STREAM = "/ml/v1/text/generation_stream"
ASKED = {"model_id": "ibm/granite-3-8b-instruct", "input": "tell me about interest rates"}


def result(made: int, taken: int = 0, text: str = "word ", why: str = "not_finished") -> dict[str, Any]:
    return {"generated_text": text, "generated_token_count": made, "input_token_count": taken, "stop_reason": why}


def stream(*results: dict[str, Any]) -> bytes:
    told = ({"model_id": "ibm/granite-3-8b-instruct", "results": [found]} for found in results)
    return b"".join(b"id: %d\nevent: message\n" % n + events(value, done=False) for n, value in enumerate(told, 1))


def test_each_result_tells_its_counts() -> None:
    """The answer names the model."""
    answer = {"model_id": "ibm/granite-3-8b-instruct", "results": [result(20, 7, why="eos_token")]}

    reading = reads(HOST, GENERATE, answer, ASKED)

    assert reading.units == {"text": (7, 20)}
    assert reading.model == "ibm/granite-3-8b-instruct"
    assert endpoint(HOST, GENERATE).ask(body(ASKED)).model == "ibm/granite-3-8b-instruct"


def test_the_paths_before_the_version() -> None:
    """Clients of 2024 ask under `v1-beta`, in another order."""
    answer = {"model_id": "google/flan-ul2", "results": [result(2, 7, why="eos_token")]}

    assert reads(HOST, "/ml/v1-beta/generation/text", answer, ASKED).units == {"text": (7, 2)}
    assert read(HOST, "/ml/v1-beta/generation/text_stream", stream(result(2, 7, why="eos_token")), ASKED).units == {
        "text": (7, 2)
    }


@pytest.mark.parametrize(
    ("results", "units"),
    [
        # What was generated so far: the prompt is told at first, or in every event.
        ([result(0, 36, ""), result(2), result(3), result(5), result(5, text="", why="eos_token")], (36, 5)),
        ([result(1, 36), result(2, 36), result(3, 36, why="max_tokens")], (36, 3)),
        # What each event generated.
        ([result(1, 36), result(1), result(1), result(1, why="eos_token")], (36, 4)),
        ([result(3, 36), result(1), result(2, why="eos_token")], (36, 6)),
        ([result(20, 36, why="eos_token")], (36, 20)),
    ],
)
def test_a_stream_counts_so_far_or_each(results: list[dict[str, Any]], units: tuple[int, int]) -> None:
    """Counts that rise are totals, others are to be summed; the prompt counts once."""
    reading = read(HOST, STREAM, stream(*results), ASKED)

    assert reading.units == {"text": units}
    assert reading.complete


def test_a_stream_that_breaks_off_counts_what_came() -> None:
    """At least what was received, and it is said to be an estimate."""
    reading = read(
        HOST, STREAM, stream(result(0, 36, ""), result(1, text="a long piece of text, longer than one token")), ASKED
    )

    assert not reading.complete
    assert reading.estimated
    assert reading.units == {"text": (36, 11)}


@pytest.mark.parametrize(
    ("path", "made"),
    [
        ("/ml/v1/text/chat", None),
        ("/ml/v1/deployments/d/text/chat_stream", "chunks"),
        ("/ml/gateway/v1/chat/completions", None),
    ],
)
def test_chat_is_openai_s(path: str, made: str | None) -> None:
    """Under a path of its own for streams, which the request does not tell."""
    value = {"id": "chat-1", "model_id": "ibm/granite-3-8b-instruct", "choices": [], "usage": openai_usage(10, 3)}
    answer = body(value) if made is None else b"id: 1\nevent: message\n" + events(value, done=False)

    reading = read(HOST, path, answer, {"model_id": "ibm/granite-3-8b-instruct", "messages": []})

    assert reading.units == {"text": (10, 3)}


def test_a_deployment_names_its_model_in_the_answer() -> None:
    """Older answers under another name than OpenAI's."""
    answer = {"model_id": "meta-llama/llama-3-3-70b-instruct", "choices": [], "usage": openai_usage(10, 3)}

    reading = reads(HOST, "/ml/v1/deployments/d/text/chat", answer, {"messages": []})

    assert reading.model == "meta-llama/llama-3-3-70b-instruct"


def test_a_stream_is_known_by_its_path() -> None:
    """The body has no word for it, and may be large or none."""
    ask = endpoint(HOST, STREAM).ask

    assert ask(b"").streamed
    assert ask(b'{"input":"x","model_id":"m/n"').model == "m/n"
    assert endpoint(HOST, GENERATE).ask(b"").model is None


@pytest.mark.parametrize("path", ["/ml/v1/text/embeddings", "/ml/v1/text/rerank"])
def test_one_count_for_all_inputs(path: str) -> None:
    """Embeddings and rankings, whatever their size."""
    answer = body({"model_id": "ibm/slate", "results": [{"embedding": [0.5] * 2000}], "input_token_count": 17})
    found = endpoint(HOST, path)

    for reading in (found.read(answer), found.read_cut(answer[:4096], answer[-4096:]), found.read_stream(answer)):
        assert reading.units == {"text": (17, 0)}
        assert reading.model == "ibm/slate"
    assert found.read(b"{}").reason == "usage is missing"


@pytest.mark.parametrize(
    ("answer", "reason", "failed"),
    [
        (
            {"errors": [{"code": "model_not_supported", "message": "secret"}]},
            "the answer is an error",
            "model_not_supported",
        ),
        ({"errors": [{"code": "A Secret"}]}, "the answer is an error", "error"),
        ({"errors": "x"}, "the answer is an error", "error"),
        ({"results": [{"generated_token_count": "7"}]}, "results: a count is malformed", None),
        ({"results": [{"input_token_count": 1 << 40}]}, "results: a count is malformed", None),
        ({"results": [{"input_token_count": -7}]}, "results: a count is malformed", None),
        ({"results": [{"input_token_count": 7.5}]}, "results: a count is malformed", None),
        ({"results": [{"input_token_count": 0}]}, "usage counts nothing", None),
        ({"results": [{}]}, "usage is missing", None),
        ({"results": 7}, "usage is missing", None),
    ],
)
def test_what_tells_nothing(answer: dict[str, Any], reason: str, failed: str | None) -> None:
    """Errors and malformed counts, in a body and in a stream."""
    for reading in (reads(HOST, GENERATE, answer), read(HOST, STREAM, events(answer, done=False), ASKED)):
        assert reading.units is None
        assert reading.reason == reason
        assert reading.error_type == failed


def test_nothing_raises_wherever_it_is_cut() -> None:
    """Bodies and streams cut at each byte."""
    survives(HOST, STREAM, stream(result(0, 36, ""), result(2), result(3, why="eos_token")), ASKED)
    survives(HOST, GENERATE, body({"results": [result(2, 7)]}), ASKED)
    assert endpoint(HOST, GENERATE).read(b"[]").units is None
