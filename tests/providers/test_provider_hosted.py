"""Models behind other clouds' own paths: Databricks, Snowflake, Cloudflare, Replicate, ElevenLabs, Writer, Voyage."""

from __future__ import annotations

from typing import Any

import pytest
from answers import body, endpoint, events, openai_usage
from exchanged import read, reads, survives

from payi_middleware.events import Units

BRICKS = "dbc-1.cloud.databricks.com"
SNOW = "org-acc.snowflakecomputing.com"
CLOUD = "api.cloudflare.com"
RUN = "/client/v4/accounts/a/ai/run/@cf/meta/llama-3.1-8b-instruct"
COPIES = "api.replicate.com"


@pytest.mark.parametrize(
    ("path", "asked", "model"),
    [
        ("/serving-endpoints/databricks-claude-sonnet-4/invocations", {}, "databricks-claude-sonnet-4"),
        ("/serving-endpoints/my-endpoint/invocations", {}, "meta-llama-3.3-70b-instruct-121024"),
        ("/serving-endpoints/chat/completions", {"model": "databricks-gpt-oss-20b"}, "databricks-gpt-oss-20b"),
        ("/serving-endpoints/chat/completions", {"model": "my-endpoint"}, "meta-llama-3.3-70b-instruct-121024"),
    ],
)
def test_databricks_lists_its_endpoints_by_name(path: str, asked: dict[str, Any], model: str) -> None:
    """The answer names a build; an endpoint of the customer's own says nothing."""
    answer = {"id": "d", "model": "meta-llama-3.3-70b-instruct-121024", "usage": openai_usage(10, 3)}

    reading = reads(BRICKS, path, answer, asked)

    assert reading.model == model
    assert reading.units == {"text": (10, 3)}


def test_snowflake_s_older_call() -> None:
    """Each event repeats the usage so far."""
    stream = events(
        {"id": "s", "model": "llama3.1-8b", "choices": [{"delta": {"content": "hel"}}], "usage": openai_usage(10, 1)},
        {"id": "s", "model": "llama3.1-8b", "choices": [{"delta": {"content": "lo"}}], "usage": openai_usage(10, 2)},
    )

    reading = read(SNOW, "/api/v2/cortex/inference:complete", stream, {"model": "llama3.1-8b", "stream": True})

    assert reading.units == {"text": (10, 2)}
    assert reads(SNOW, "/api/v2/cortex/inference:embed", {"usage": {"total_tokens": 4}}).units == {"text": (4, 0)}


@pytest.mark.parametrize(
    ("answer", "units"),
    [
        ({"result": {"response": "x", "usage": {"prompt_tokens": 9, "completion_tokens": 4}}, "success": True}, (9, 4)),
        ({"result": {"usage": {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 8}}}}, (1, 0)),
        ({"response": "x", "usage": {"prompt_tokens": 9, "completion_tokens": 4}}, (9, 4)),
        ({"result": {"data": [[0.5]], "shape": [1, 1]}, "success": True}, None),
        ({"result": None, "success": False, "errors": [{"code": 7}]}, None),
        ({"result": {"usage": {"prompt_tokens": -9}}}, None),
    ],
)
def test_cloudflare_wraps_its_answers(answer: dict[str, Any], units: tuple[int, int] | None) -> None:
    """The usage stands in the result; what is no text tells none."""
    reading = reads(CLOUD, RUN, answer)

    assert (reading.units or {}).get("text") == units
    assert (reading.error_type == "error") is (answer.get("success") is False)


def test_cloudflare_streams_by_the_path() -> None:
    """The event before the end tells the usage."""
    stream = events({"response": "hel"}, {"response": "", "usage": {"prompt_tokens": 9, "completion_tokens": 4}})

    assert read(CLOUD, RUN, stream, {"prompt": "hi", "stream": True}).units == {"text": (9, 4)}
    survives(CLOUD, RUN, stream, {"prompt": "hi", "stream": True})


def prediction(status: str = "succeeded", **metrics: Any) -> dict[str, Any]:
    return {"id": "p-1", "model": "meta/meta-llama-3-8b-instruct", "status": status, "metrics": metrics}


@pytest.mark.parametrize(
    ("metrics", "units", "unpriced"),
    [
        ({"input_token_count": 9, "output_token_count": 30}, {"text": (9, 30)}, []),
        ({"image_output_count": 2, "predict_time": 3.1}, {"generated_image": (0, 2)}, []),
        ({"video_output_duration_seconds": 5}, {"generated_video_second": (0, 5)}, []),
        ({"predict_time": 3.1}, {}, [("machine_second", 4)]),
        ({"input_token_count": "9"}, None, []),
    ],
)
def test_a_prediction_tells_its_metrics(metrics: dict[str, Any], units: Units | None, unpriced: list[Any]) -> None:
    """Tokens, pictures and seconds have rates; the time of a machine does not tell which."""
    reading = read(COPIES, "/v1/predictions/p-1", body(prediction(**metrics)), method="GET")

    assert reading.units == units
    assert [(found.unit, found.quantity) for found in reading.unpriced] == unpriced
    assert reading.untold is (units is None)


def test_a_prediction_counts_once() -> None:
    """Whether it is done at once, or asked after."""
    done = body(prediction(input_token_count=9))

    at_once = read(COPIES, "/v1/predictions", done)
    begun = read(COPIES, "/v1/models/meta/meta-llama-3-8b-instruct/predictions", body(prediction("starting")))
    waiting = read(COPIES, "/v1/predictions/p-1", body(prediction("processing")), method="GET")
    later = read(COPIES, "/v1/predictions/p-1", done, method="GET")

    assert at_once.once == later.once == "p-1"
    assert begun.pending
    assert waiting.untold
    assert read(COPIES, "/v1/predictions", body({"error": "x"})).error_type == "error"
    survives(COPIES, "/v1/predictions/p-1", done, method="GET")


def test_elevenlabs_bills_characters() -> None:
    """The request tells them and the model, which has a default."""
    host, path = "api.elevenlabs.io", "/v1/text-to-speech/voice/with-timestamps"
    asked = {"text": "Grüße", "model_id": "eleven_flash_v2_5"}

    assert read(host, path, b"ID3\x04", asked).units == {"text_character": (5, 0)}
    assert read(host, path, b"ID3\x04", {"text": ""}).units is None
    assert read(host, path, body({"error": {"code": "x"}}), asked).units is None


def test_deepgram_bills_what_it_heard() -> None:
    """Its answer tells the length, for each channel, and the model, under a name that is turned round."""
    known = {"u-1": {"name": "general-nova-3", "arch": "nova-3"}}
    metadata = {"request_id": "r-1", "duration": 3.2, "channels": 2, "model_info": known}
    answer = body({"metadata": metadata, "results": {"channels": []}})

    reading = read("api.deepgram.com", "/v1/listen", answer)

    assert reading.units == {"audio_second": (8, 0)}
    assert (reading.model, reading.response_id) == ("nova-3-general", "r-1")
    survives("api.deepgram.com", "/v1/listen", answer)


@pytest.mark.parametrize(
    ("described", "model"),
    [
        ({"name": "2-medical-nova-2", "arch": "nova-2"}, "nova-2-2-medical"),
        ({"name": "custom", "arch": "nova-3"}, "custom"),
        ({"arch": "nova-3"}, "nova-3"),
        ({}, None),
        ("x", None),
    ],
)
def test_deepgram_names_its_models(described: Any, model: str | None) -> None:
    """What does not end with its family is left as it is."""
    metadata = {"duration": 1, "model_info": {"u-1": described}}

    assert reads("api.deepgram.com", "/v1/listen", {"metadata": metadata}).model == model


def test_a_long_transcript_of_deepgram() -> None:
    """Its length stands at its begin, whatever is left out behind."""
    listen = endpoint("api.deepgram.com", "/v1/listen")
    head = b'{"metadata":{"duration":3600.5,"channels":1},"results":{"channels":[{"alternatives":[{"words":['

    assert listen.read_cut(head, b"]}]}]}}").units == {"audio_second": (3601, 0)}
    assert listen.read_cut(b'{"results":{', b"}}").units is None
    assert reads("api.deepgram.com", "/v1/listen", {"metadata": [], "request_id": "r-1"}).units is None


@pytest.mark.parametrize(("counted", "characters"), [("64", 64), ("0", 5), ("x", 5), (None, 5)])
def test_deepgram_speaks_by_characters(counted: str | None, characters: int) -> None:
    """Its headers tell how many it counted, and the voice; else the request tells the text."""
    headers = {"dg-model-name": "aura-2-thalia-en"} | ({} if counted is None else {"dg-char-count": counted})

    reading = read("api.deepgram.com", "/v1/speak", b"ID3\x04", {"text": "Grüße"}, headers)

    assert reading.units == {"text_character": (characters, 0)}
    assert reading.model == "aura-2-thalia-en"


def test_cohere_transcribes() -> None:
    """It tells nothing but the words."""
    reading = reads(
        "api.cohere.com", "/v2/audio/transcriptions", {"text": "Some words."}, {"model": "cohere-transcribe-03-2026"}
    )

    assert reading.estimated
    assert reading.units is not None


def test_any_host_may_speak() -> None:
    """By the characters of the text, in OpenAI's shape."""
    asked = {"model": "voxtral-mini-tts-latest", "input": "Some words."}

    assert read("api.mistral.ai", "/v1/audio/speech", body({"audio_data": "AAAA"}), asked).units == {
        "text_character": (11, 0)
    }
    assert read("api.venice.ai", "/api/v1/audio/speech", b"ID3\x04", asked).units == {"text_character": (11, 0)}


def test_aleph_alpha_counts_beside_the_text() -> None:
    """Its completions have a shape of their own."""
    answer = {
        "model_version": "llama-3.1-8b-instruct",
        "completions": [{"completion": "x"}],
        "num_tokens_prompt_total": 9,
        "num_tokens_generated": 4,
    }

    reading = reads("api.aleph-alpha.com", "/complete", answer, {"model": "m"})

    assert reading.units == {"text": (9, 4)}
    assert reading.model == "llama-3.1-8b-instruct"
    dated = reads("api.aleph-alpha.com", "/complete", answer | {"model_version": "2022-04"}, {"model": "luminous-base"})
    assert dated.model is None  # a date names no model; the request does
    assert reads("api.aleph-alpha.com", "/complete", {"num_tokens_generated": "4"}).units is None
    survives("api.aleph-alpha.com", "/complete", body(answer))


def test_writer_s_chat_has_a_path_of_its_own() -> None:
    """In OpenAI's shape."""
    stream = events({"id": "w", "model": "palmyra-x5", "choices": [], "usage": openai_usage(10, 3)})

    assert read("api.writer.com", "/v1/chat", stream, {"model": "palmyra-x5", "stream": True}).units == {
        "text": (10, 3)
    }


@pytest.mark.parametrize(
    "path", ["/v1/embeddings", "/v1/multimodalembeddings", "/v1/contextualizedembeddings", "/v1/rerank"]
)
def test_voyage_tells_the_total_alone(path: str) -> None:
    """All of it went in."""
    answer = {"object": "list", "data": [], "model": "voyage-3.5", "usage": {"total_tokens": 12}}

    assert reads("api.voyageai.com", path, answer, {"model": "voyage-3.5"}).units == {"text": (12, 0)}


def test_pictures_of_any_host_are_counted() -> None:
    """With the size that was asked for, where nothing tells tokens."""
    asked = {"model": "black-forest-labs/FLUX.1-schnell", "prompt": "a fox", "size": "1024x1024", "n": 2}

    reading = reads("api.together.xyz", "/v1/images/generations", {"data": [{"url": "u"}, {"url": "v"}]}, asked)

    assert (reading.units or {})["generated_image"] == (0, 2)
