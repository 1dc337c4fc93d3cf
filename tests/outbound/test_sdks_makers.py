"""The SDKs of Anthropic and Google where an answer is more than one message: passes, batches, pictures, polls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import pytest
from answers import body, named_events
from canned import Canned, Said
from exchanges import Watched
from google import genai
from google.genai import types
from google.oauth2.credentials import Credentials

from payi_middleware import instrument, track, uninstrument
from payi_middleware.events import CallEvent

FOX: Any = [{"role": "user", "content": "Tell me about the fox."}]
USAGE = {
    "input_tokens": 30,
    "output_tokens": 5,
    "iterations": [
        {"type": "message", "input_tokens": 10, "output_tokens": 2},
        {"type": "advisor_message", "model": "claude-opus-4-8", "input_tokens": 40, "output_tokens": 3},
        {"type": "message", "input_tokens": 20, "output_tokens": 3},
    ],
}
for _pass in USAGE["iterations"]:  # type: ignore[attr-defined]
    _pass |= {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}

Serve = Callable[[str, dict[str, Said | list[Said]]], tuple[Canned, Watched]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves answers as one provider, and hooks."""
    made: list[tuple[Canned, Watched]] = []

    def serve(provider: str, answers: dict[str, Said | list[Said]]) -> tuple[Canned, Watched]:
        canned = Canned(answers)
        canned.__enter__()
        made.append((canned, Watched(hosts={canned.host: provider})))
        instrument(made[0][1].meter)
        return made[0]

    yield serve
    uninstrument()
    for canned, watched in made:
        watched.meter.close()
        canned.__exit__(None, None, None)


def message(usage: Any, **more: Any) -> dict[str, Any]:
    told = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-5", "usage": usage}
    return told | {"content": [{"type": "text", "text": "A fox."}], "stop_reason": "end_turn"} | more


def claude(canned: Canned) -> anthropic.Anthropic:
    return anthropic.Anthropic(
        base_url=canned.url, api_key="none", http_client=anthropic.DefaultHttpxClient(trust_env=False)
    )


def gemini(canned: Canned) -> genai.Client:
    return genai.Client(api_key="none", http_options=types.HttpOptions(base_url=canned.url))


def told(watched: Watched) -> list[CallEvent]:
    events = watched.events
    assert all((event.outcome, event.user_id) == ("ok", "jane") for event in events)
    return events


def test_passes(serve: Serve) -> None:
    """A call in which an advisor took part is priced by the models of its passes, streamed or not."""
    last = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": USAGE}
    first = message({"input_tokens": 10, "output_tokens": 1}, content=[], stop_reason=None)
    stream = named_events({"type": "message_start", "message": first}, last, {"type": "message_stop"})
    answers = [Said(body(message(USAGE))), Said(stream, "text/event-stream")]
    canned, watched = serve("anthropic", {"POST /v1/messages": answers})

    with track(user_id="jane"), claude(canned) as client:
        asked: Any = {"model": "claude-sonnet-5", "max_tokens": 9, "messages": FOX}
        client.beta.messages.create(**asked)
        with client.beta.messages.stream(**asked) as streamed:
            assert streamed.get_final_message().usage.output_tokens == 5

    whole, parts = told(watched)
    for event in (whole, parts):
        assert event.units == {"text": (70, 8)}
        assert [part.model for part in event.parts] == [None, "claude-opus-4-8", None]
        assert event.cost is not None
        assert {line.rate for line in event.cost.lines} == {"2", "10", "5", "25"}
    assert (whole.streamed, parts.streamed) == (False, True)


def test_batch_results(serve: Serve) -> None:
    """Results are counted when they are read, at half the price, and once."""
    line = {
        "custom_id": "a",
        "result": {"type": "succeeded", "message": message({"input_tokens": 1000, "output_tokens": 10})},
    }
    path = "/v1/messages/batches/msgbatch_1"
    batch: dict[str, Any] = {
        "id": "msgbatch_1",
        "type": "message_batch",
        "processing_status": "ended",
        "request_counts": {"processing": 0, "succeeded": 2, "errored": 0, "canceled": 0, "expired": 0},
        "created_at": "2026-11-25T00:00:00Z",
        "expires_at": "2026-11-26T00:00:00Z",
    }
    canned, watched = serve(
        "anthropic", {f"GET {path}/results": Said(body(line) + b"\n" + body(line) + b"\n", "application/x-jsonl")}
    )
    canned.answers[f"GET {path}"] = [Said(body(batch | {"results_url": f"{canned.url}{path}/results"}))]

    with track(user_id="jane"), claude(canned) as client:
        for _ in range(2):
            assert len(list(client.messages.batches.results("msgbatch_1"))) == 2

    (event,) = told(watched)
    assert (event.units, event.service_tier) == ({"text": (2000, 20)}, "batch")
    assert event.cost is not None
    assert {line.rate for line in event.cost.lines} == {"1", "5"}
    assert len(canned.seen) == 4


def test_embeddings(serve: Serve) -> None:
    """Embeddings by their tokens; the path names the model."""
    embedded = {"embeddings": [{"values": [0.1]}], "usageMetadata": {"promptTokenCount": 7}}
    canned, watched = serve("google", {"POST /v1/models/gemini-embedding-2:batchEmbedContents": Said(body(embedded))})

    with track(user_id="jane"), gemini(canned) as client:
        client.models.embed_content(model="gemini-embedding-2", contents="fox")

    (event,) = told(watched)
    assert (event.units, event.resource, event.cost_source) == ({"text": (7, 0)}, "gemini-embedding-2", "usage")


@pytest.mark.filterwarnings("ignore:The generate_images method")  # it is announced to end in 2027
def test_pictures_and_videos_on_vertex(serve: Serve) -> None:
    """Pictures are counted each, videos by the seconds that were asked for; polls are left out."""
    models = "/v1beta1/projects/p/locations/us-central1/publishers/google/models"
    picture = {"predictions": [{"bytesBase64Encoded": "aaaa", "mimeType": "image/png"}] * 2}
    operation = {"name": f"{models.removeprefix('/v1beta1/')}/veo-3.1-generate-001/operations/o1"}
    canned, watched = serve(
        "google",
        {
            f"POST {models}/imagen-4.0-generate-001:predict": Said(body(picture)),
            f"POST {models}/veo-3.1-generate-001:predictLongRunning": Said(body(operation)),
            f"POST {models}/veo-3.1-generate-001:fetchPredictOperation": Said(body(operation)),
        },
    )
    options = types.HttpOptions(base_url=canned.url)
    client = genai.Client(
        vertexai=True, project="p", location="us-central1", credentials=Credentials("none"), http_options=options
    )

    with track(user_id="jane"), client:
        made = client.models.generate_images(model="imagen-4.0-generate-001", prompt="fox")
        video = client.models.generate_videos(
            model="veo-3.1-generate-001",
            source=types.GenerateVideosSource(prompt="fox"),
            config=types.GenerateVideosConfig(duration_seconds=4, resolution="1080p"),
        )
        client.operations.get(video)

    assert len(made.generated_images or ()) == 2
    pictures, videos = told(watched)
    assert (pictures.units, pictures.resource) == ({"generated_image": (0, 2)}, "imagen-4.0-generate-001")
    assert videos.units == {"generated_video_second": (0, 4)}
    assert videos.cost_source in ("estimate", "none")
    assert videos.terms == ("resolution:1080p", "audio:yes")
    assert len(canned.seen) == 3


def test_a_batch_that_is_polled(serve: Serve) -> None:
    """A poll before the end is no event, and after it one, however often it is polled."""
    usage = {"promptTokenCount": 1000, "candidatesTokenCount": 10}
    results = [{"response": {"usageMetadata": usage, "modelVersion": "gemini-2.5-flash"}}] * 2
    running = {"name": "batches/b1", "metadata": {"state": "BATCH_STATE_RUNNING", "model": "models/gemini-2.5-flash"}}
    output = {"inlinedResponses": {"inlinedResponses": results}}
    ended = {"name": "batches/b1", "done": True, "metadata": {"state": "BATCH_STATE_SUCCEEDED", "output": output}}
    canned, watched = serve("google", {"GET /v1/batches/b1": [Said(body(running)), Said(body(ended))]})

    with track(user_id="jane"), gemini(canned) as client:
        for _ in range(3):
            client.batches.get(name="batches/b1")

    (event,) = told(watched)
    assert (event.units, event.service_tier) == ({"text": (2000, 20)}, "batch")
    assert event.cost is not None
    assert {line.rate for line in event.cost.lines} == {"0.15", "1.25"}


def test_an_interaction_in_the_background(serve: Serve) -> None:
    """It is counted when it has ended, by whoever asks for it; what was told at once is not counted again."""
    usage = {"total_input_tokens": 20, "total_output_tokens": 4, "total_thought_tokens": 6}
    begun = {"id": "v1_1", "status": "in_progress", "model": "gemini-2.5-flash", "object": "interaction"}
    ended = begun | {"status": "completed", "usage": usage}
    canned, watched = serve(
        "google",
        {
            "POST /v1/interactions": [Said(body(begun)), Said(body(ended | {"id": "v1_2"}))],
            "GET /v1/interactions/v1_1": [Said(body(begun)), Said(body(ended)), Said(body(ended))],
            "GET /v1/interactions/v1_2": Said(body(ended | {"id": "v1_2"})),
        },
    )

    with track(user_id="jane"), gemini(canned) as client:
        asked: Any = {"model": "gemini-2.5-flash", "input": "Tell me."}
        client.interactions.create(**asked, background=True)
        for _ in range(3):
            client.interactions.get(id="v1_1")
        client.interactions.create(**asked)
        client.interactions.get(id="v1_2")

    begun_event, polled, at_once = told(watched)
    assert (begun_event.cost_source, begun_event.units) == ("none", {})
    for event in (polled, at_once):
        assert (event.cost_source, event.units) == ("usage", {"text": (20, 4), "reasoning": (0, 6)})
    assert polled.endpoint == "/v1beta/interactions/{id}"
    assert at_once.endpoint == "/v1beta/interactions"
