"""The OpenAI SDK's calls that are no text, forms among them, and those whose usage comes later: over real HTTP."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from answers import body, named_events, openai_usage
from canned import Canned
from exchanges import Watched

from payi_middleware import instrument, uninstrument
from payi_middleware.events import CallEvent

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # the SDK's, of calls that still work

PICTURE = b"\x89PNG secret"
SOUND = b"\xff\xfb\x90\xc4" + b"\x00" * 31_996
IMAGE_USAGE = {
    "input_tokens": 50,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
    "output_tokens": 272,
    "total_tokens": 322,
}
HEARD = {
    "type": "tokens",
    "input_tokens": 30,
    "input_token_details": {"audio_tokens": 30, "text_tokens": 0},
    "output_tokens": 5,
    "total_tokens": 35,
}
IMAGE = body(
    {"created": 1, "data": [{"b64_json": "eA=="}], "size": "1024x1024", "quality": "low", "usage": IMAGE_USAGE}
)
IMAGES = named_events(
    {"type": "image_edit.partial_image", "b64_json": "eA==", "partial_image_index": 0},
    {"type": "image_edit.completed", "b64_json": "eA==", "usage": IMAGE_USAGE},
)
TRANSCRIPT = named_events(
    {"type": "transcript.text.delta", "delta": "A fox."},
    {"type": "transcript.text.done", "text": "A fox.", "usage": HEARD},
)


def response(status: str, **more: Any) -> bytes:
    told = {"id": "resp_1", "object": "response", "created_at": 1, "status": status, "background": True}
    return body(told | {"model": "gpt-4o-mini", "output": [], "parallel_tool_calls": True, "tools": []} | more)


USAGE = {"input_tokens": 100, "output_tokens": 30, "total_tokens": 130}
RESULTS = b"".join(
    body(
        {
            "id": f"batch_req_{n}",
            "custom_id": str(n),
            "response": {
                "status_code": 200,
                "body": {"object": "chat.completion", "model": "gpt-4o-mini", "usage": openai_usage()},
            },
        }
    )
    + b"\n"
    for n in range(3)
)
BIG = RESULTS.replace(b'"custom_id"', b'"padding":"' + b"x" * 9_000 + b'","custom_id"') * 100  # 2.7 MB

ANSWERS: dict[str, list[bytes]] = {
    "POST /v1/images/generations": [IMAGE],
    "POST /v1/images/edits": [IMAGE],
    "POST /v1/images/variations": [body({"created": 1, "data": [{"url": "u"}, {"url": "u"}]})],
    "POST /v1/audio/speech": [SOUND],
    "POST /v1/audio/transcriptions": [body({"text": "A fox.", "usage": HEARD})],
    "POST /v1/audio/translations": [body({"text": "A fox.", "duration": 2.5})],
    "POST /v1/responses": [response("queued")],
    "GET /v1/responses/resp_1": [response("in_progress"), response("completed", usage=USAGE)],
    "GET /v1/files/file-1/content": [RESULTS],
    "GET /v1/files/file-2/content": [PICTURE],
    "GET /v1/files/file-3/content": [BIG],
    "POST /v1/containers": [
        body({"id": "cntr_1", "object": "container", "created_at": 1, "name": "n", "status": "running"})
    ],
}


@pytest.fixture
def provider() -> Iterator[Canned]:
    with Canned({key: list(answers) for key, answers in ANSWERS.items()}) as provider:
        yield provider


@pytest.fixture
def watched(provider: Canned) -> Iterator[Watched]:
    watched = Watched(hosts={provider.host: "openai"})
    instrument(watched.meter)
    yield watched
    uninstrument()
    watched.meter.close()


@pytest.fixture
def client(provider: Canned) -> Iterator[openai.OpenAI]:
    http_client = openai.DefaultHttpxClient(trust_env=False)
    with openai.OpenAI(base_url=provider.url + "/v1", api_key="none", http_client=http_client) as client:
        yield client


def told(event: CallEvent) -> tuple[str | None, dict[str, tuple[int, int]], tuple[str, ...]]:
    return event.resource, event.units, event.terms


CALLS: dict[str, tuple[Callable[[Any], Any], tuple[Any, ...]]] = {
    "generation": (
        lambda client: client.images.generate(model="gpt-image-1", prompt="a fox"),
        ("gpt-image-1", {"text": (10, 0), "vision": (40, 0), "image": (0, 272)}, ()),
    ),
    "edit": (
        lambda client: client.images.edit(model="gpt-image-1", prompt="a fox", image=[io.BytesIO(PICTURE)]),
        ("gpt-image-1", {"text": (10, 0), "vision": (40, 0), "image": (0, 272)}, ()),
    ),
    "variation": (
        lambda client: client.images.create_variation(image=PICTURE, model="dall-e-2", n=2, size="512x512"),
        ("dall-e-2", {"generated_image": (0, 2)}, ("size:512x512",)),
    ),
    "speech": (
        lambda client: client.audio.speech.create(model="tts-1", voice="alloy", input="A fox."),
        ("tts-1", {"text_character": (6, 0)}, ()),
    ),
    "transcription": (
        lambda client: client.audio.transcriptions.create(model="gpt-4o-transcribe", file=("a.mp3", SOUND)),
        ("gpt-4o-transcribe", {"audio": (30, 0), "text": (0, 5)}, ()),
    ),
    "translation": (
        lambda client: client.audio.translations.create(model="whisper-1", file=("a.mp3", SOUND)),
        ("whisper-1", {"audio_second": (3, 0)}, ()),
    ),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_what_is_no_text(call: str, is_async: bool, provider: Canned, watched: Watched, client: openai.OpenAI) -> None:
    """Pictures and sound, sent as JSON and as forms, are told by their model and their units, and are sent whole."""
    asks, expected = CALLS[call]
    if is_async:

        async def run() -> None:
            http_client = openai.DefaultAsyncHttpxClient(trust_env=False)
            async with openai.AsyncOpenAI(
                base_url=provider.url + "/v1", api_key="none", http_client=http_client
            ) as asked:
                await asks(asked)

        asyncio.run(run())
    else:
        asks(client)

    event = watched.one
    assert told(event) == expected
    assert (event.outcome, event.cost_source == "estimate", event.requested_resource) == ("ok", False, expected[0])
    sent = provider.seen[0][1]
    assert any(part in sent for part in (PICTURE, SOUND, b"a fox", b"A fox."))


@pytest.mark.parametrize("as_stream", [False, True])
def test_large_pictures(as_stream: bool, provider: Canned, watched: Watched, client: openai.OpenAI) -> None:
    """Pictures of megabytes are not kept, and their usage is read all the same; without one, the request tells."""
    large = {"b64_json": "x" * 1_500_000}
    told = {"type": "image_generation.completed", **large, "usage": IMAGE_USAGE}
    provider._server.answers["POST /v1/images/generations"] = [
        named_events(told) if as_stream else body({"created": 1, "data": [large, large], "usage": IMAGE_USAGE}),
        body({"created": 1, "data": [large, large]}),
    ]

    asked: Any = {"prompt": "a fox", "n": 2}
    answered = client.images.generate(model="gpt-image-1.5", stream=as_stream, **asked)
    for _ in answered if as_stream else ():
        pass
    client.images.generate(model="dall-e-2", **asked)

    tokens, pieces = watched.events
    assert tokens.units == {"text": (10, 0), "vision": (40, 0), "image": (0, 272)}
    assert (pieces.units, pieces.terms) == ({"generated_image": (0, 2)}, ("size:1024x1024",))
    assert (tokens.outcome, pieces.outcome) == ("ok", "ok")


def test_forms_that_stream(provider: Canned, watched: Watched, client: openai.OpenAI) -> None:
    """A form may ask for a stream; its last event tells the usage."""
    answers = provider._server.answers
    answers["POST /v1/images/edits"], answers["POST /v1/audio/transcriptions"] = [IMAGES], [TRANSCRIPT]

    for _ in client.images.edit(model="gpt-image-1", prompt="a fox", image=PICTURE, stream=True, partial_images=1):
        pass
    for _ in client.audio.transcriptions.create(model="gpt-4o-transcribe", file=("a.mp3", SOUND), stream=True):
        pass

    edit, transcription = watched.events
    assert (edit.streamed, edit.units) == (True, {"text": (10, 0), "vision": (40, 0), "image": (0, 272)})
    assert (transcription.streamed, transcription.units) == (True, {"audio": (30, 0), "text": (0, 5)})


def test_a_background_response(watched: Watched, client: openai.OpenAI) -> None:
    """A response that is made in the background is counted by the poll that first tells it, and by no other."""
    client.responses.create(model="gpt-4o-mini", input="Tell me.", background=True)
    for _ in range(4):
        client.responses.retrieve("resp_1")

    started, ended = watched.events
    assert (started.endpoint, started.units, started.cost_source) == ("/v1/responses", {}, "none")
    assert (ended.endpoint, ended.units, ended.provider_response_id) == (
        "/v1/responses/{response}",
        {"text": (100, 30)},
        "resp_1",
    )
    assert ended.cost is not None


def test_a_batch_s_results(watched: Watched, client: openai.OpenAI) -> None:
    """Results are priced line by line at the batch's rate, once; other files are no events, and large ones are whole."""
    for file in ("file-1", "file-2", "file-1", "file-3"):
        client.files.content(file).read()

    small, large = watched.events
    assert (small.service_tier, small.units) == ("batch", {"text": (300, 90)})
    assert large.units == {"text": (30_000, 9_000)}
    assert small.cost is not None
    assert large.cost is not None
    assert large.cost.total_ticks == 100 * small.cost.total_ticks
    assert large.unpriced == ()


def test_a_container_is_charged_once(provider: Canned, watched: Watched, client: openai.OpenAI) -> None:
    """A container that was made is charged then; one that a response makes, with the first response that ran in it."""

    def ran(id: str) -> bytes:
        items = [{"type": "code_interpreter_call", "id": "ci_1", "container_id": id, "code": "", "status": "completed"}]
        return response("completed", background=False, output=items, usage=USAGE)

    provider._server.answers["POST /v1/responses"] = [ran("cntr_1"), ran("cntr_2"), ran("cntr_2")]
    client.containers.create(name="n")
    for _ in range(3):
        client.responses.create(model="gpt-4o-mini", input="Tell me.")

    made, named, first, second = watched.events
    session = {"container_session_request": (0, 1)}
    assert (made.resource, made.units) == ("container", session)
    assert named.units == second.units == {"text": (100, 30)}
    assert first.units == {"text": (100, 30)} | session
    assert [part.model for part in first.parts] == [None, "container"]


def test_a_sound_that_is_left_early(watched: Watched, client: openai.OpenAI) -> None:
    """Speech is billed by its text, however much of it is heard."""
    asked: Any = {"model": "tts-1", "voice": "alloy", "input": "A fox."}
    with client.audio.speech.with_streaming_response.create(**asked) as sound:
        next(sound.iter_bytes(100))

    assert (watched.one.outcome, watched.one.units) == ("aborted", {"text_character": (6, 0)})


def test_nothing_of_a_form_is_kept(watched: Watched, client: openai.OpenAI) -> None:
    """What a form holds, its prompt and its files, is in no event."""
    client.images.edit(model="gpt-image-1", prompt="a hidden fox", image=PICTURE)

    assert "hidden" not in watched.one.to_json()
    assert "secret" not in json.dumps(watched.one.to_dict())
