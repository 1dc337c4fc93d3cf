"""OpenAI's pictures: tokens as they are told, pieces as they were asked for, streams, and what is left of them."""

from __future__ import annotations

from typing import Any

import pytest
from answers import body, endpoint, exchanged, named_events

from payi_middleware.events import Part

HOST = "api.openai.com"
GENERATIONS, EDITS, VARIATIONS = (f"/v1/images/{kind}" for kind in ("generations", "edits", "variations"))
ENDPOINT = endpoint(HOST, GENERATIONS)
PICTURE = {"b64_json": "iVBORw0KGgo=" * 20}
USAGE = {
    "input_tokens": 60,
    "input_tokens_details": {"text_tokens": 20, "image_tokens": 40},
    "output_tokens": 1056,
    "total_tokens": 1116,
}
UNITS = {"text": (20, 0), "vision": (40, 0), "image": (0, 1056)}


def answer(*pictures: dict[str, Any], **more: Any) -> bytes:
    """An answer, its members in the order in which the API writes them."""
    return body({"created": 1, "data": list(pictures or (PICTURE,)), **more})


@pytest.mark.parametrize("path", [GENERATIONS, EDITS])
def test_tokens_as_told(path: str) -> None:
    """A GPT Image model tells its tokens by modality; the request names it."""
    reading = exchanged(HOST, path, answer(size="1024x1024", quality="medium", usage=USAGE), {"model": "gpt-image-1.5"})

    assert (reading.model, reading.units, reading.terms) == (None, UNITS, ())
    assert (reading.reason, reading.estimated, reading.complete) == (None, False, True)


@pytest.mark.parametrize(
    ("more", "units"),
    [
        ({"output_tokens_details": {"image_tokens": 1000, "text_tokens": 56}}, {"text": (20, 56), "image": (0, 1000)}),
        ({"output_tokens_details": {"image_tokens": 1000}}, {"text": (20, 0), "image": (0, 1056)}),
        (
            {"input_tokens_details": {"text_tokens": 20, "image_tokens": 40, "cached_tokens": 15}},
            {"text": (5, 0), "text_cache_read": (15, 0), "image": (0, 1056)},
        ),
        ({"input_tokens": 20, "input_tokens_details": None}, {"text": (20, 0), "image": (0, 1056), "vision": (0, 0)}),
    ],
)
def test_other_details(more: dict[str, Any], units: dict[str, tuple[int, int]]) -> None:
    """Text may come out too; what no detail names is text on its way in and picture on its way out."""
    reading = ENDPOINT.read(answer(usage=USAGE | more))

    told = {"vision": (40, 0)} | units
    assert reading.units == {unit: sides for unit, sides in told.items() if any(sides)}


def test_details_that_cannot_be_true() -> None:
    """More tokens by modality than in all are counted by modality, and it is said."""
    reading = ENDPOINT.read(answer(usage=USAGE | {"input_tokens": 10}))

    assert (reading.units or {})["vision"] == (40, 0)
    assert reading.reason == "usage tells 40 input tokens by modality and 10 in all: counted by modality"


def test_a_vector_graphic_s_author() -> None:
    """The model that writes a vector graphic is a part of its own."""
    svg = {"model": "gpt-5.6-sol", "input_tokens": 9, "output_tokens": 30, "reasoning_tokens": 40, "total_tokens": 39}

    reading = ENDPOINT.read(answer(usage=USAGE, svg_usage=svg))
    alone = ENDPOINT.read(answer(usage={}, svg_usage=svg))

    author = Part("gpt-5.6-sol", {"text": (9, 0), "reasoning": (0, 30)})
    assert reading.parts == (Part(None, UNITS), author)
    assert alone.parts == (author,)


@pytest.mark.parametrize(
    ("request_", "count", "model", "terms"),
    [
        ({"model": "dall-e-3"}, 1, "dall-e-3", ("quality:standard", "size:1024x1024")),
        (
            {"model": "dall-e-3", "size": "1792x1024", "quality": "hd"},
            1,
            "dall-e-3",
            ("quality:hd", "size:1792x1024"),
        ),
        ({"model": "dall-e-2", "n": 3, "size": "256x256"}, 3, "dall-e-2", ("size:256x256",)),
        ({"prompt": "a fox"}, 2, "dall-e-2", ("size:1024x1024",)),
        ({"model": "dall-e-2", "n": "2"}, 2, "dall-e-2", ("size:1024x1024",)),
        (None, 1, "dall-e-2", ("size:1024x1024",)),
    ],
)
def test_pieces(request_: Any, count: int, model: str, terms: tuple[str, ...]) -> None:
    """A model that is billed by the picture has its rate by size and quality, which the request tells."""
    reading = exchanged(HOST, GENERATIONS, answer(*[PICTURE] * count), request_)

    assert (reading.model, reading.units, reading.terms) == (model, {"generated_image": (0, count)}, terms)
    assert (reading.reason, reading.estimated) == (None, False)


def test_pieces_of_a_large_answer() -> None:
    """Where the pictures themselves were not kept, the request tells how many there are."""
    raw = answer(*[PICTURE] * 3)
    request = {"model": "dall-e-2", "n": 3}

    reading = ENDPOINT.read_cut(raw[:50], raw[-50:])

    assert (reading.complete, reading.reason) == (True, "usage is missing")
    assert exchanged(HOST, VARIATIONS, raw, request).units == {"generated_image": (0, 3)}


@pytest.mark.parametrize(
    ("request_", "told", "tokens"),
    [
        ({"model": "gpt-image-1-mini", "size": "1024x1024", "quality": "low"}, {}, 272),
        ({"model": "gpt-image-1", "size": "auto"}, {"size": "1024x1536", "quality": "high"}, 6240),
        ({"model": "gpt-image-1.5"}, {}, 1056),
    ],
)
def test_tokens_that_are_not_told(request_: Any, told: dict[str, str], tokens: int) -> None:
    """Without usage the tokens of a picture are counted by size and quality, as an estimate."""
    reading = exchanged(HOST, GENERATIONS, answer(PICTURE, PICTURE, **told), request_ | {"prompt": "a quick fox"})

    assert reading.units == {"text": (3, 0), "image": (0, 2 * tokens)}
    assert reading.estimated
    assert reading.reason == "usage is missing; the tokens of pictures are counted by size and quality"


def test_pictures_that_go_in_are_not_counted() -> None:
    """What an edit's own pictures cost is told by usage alone; without it, that they are missing is said."""
    request = {
        "model": "gpt-image-1",
        "prompt": "a fox",
        "files": [{"name": "image[]", "size": 9, "type": "image/png"}] * 2,
    }

    reading = exchanged(HOST, EDITS, answer(), request)

    assert [(u.unit, u.quantity, u.reason) for u in reading.unpriced] == [("image", 2, "not counted")]


def test_a_picture_that_nothing_counts() -> None:
    """A later model's pictures without usage are named, for want of a rate by the picture."""
    reading = exchanged(HOST, GENERATIONS, answer(), {"model": "gpt-image-2.5-flare", "prompt": "a fox"})

    assert (reading.units, reading.estimated) == ({"generated_image": (0, 1)}, False)
    assert reading.reason == "usage is missing"


def test_a_deployment_s_name() -> None:
    """At Azure the path names the deployment, which is better than nothing."""
    path = "/openai/deployments/gpt-image-1/images/generations"

    reading = exchanged(
        "x.openai.azure.com", path, answer(), {"prompt": "a fox", "size": "1024x1024", "quality": "low"}
    )

    assert (reading.units, reading.estimated) == ({"text": (2, 0), "image": (0, 272)}, True)


PARTIAL = {"type": "image_generation.partial_image", "size": "1024x1024", "quality": "low", "b64_json": "x" * 99}


def completed(kind: str = "image_generation", **more: Any) -> dict[str, Any]:
    return {"type": f"{kind}.completed", "b64_json": "x" * 99, "size": "1024x1024", "usage": USAGE} | more


@pytest.mark.parametrize("kind", ["image_generation", "image_edit"])
def test_a_stream(kind: str) -> None:
    """The event of a finished picture tells its usage, even if its beginning was not kept."""
    data = named_events(PARTIAL, completed(kind))

    assert ENDPOINT.read_stream(data).units == UNITS
    assert ENDPOINT.read_stream(data[:80], data[-260:], 9).units == UNITS
    assert ENDPOINT.read(data).units == UNITS


def test_a_stream_of_several_pictures() -> None:
    """Each picture of a stream has an event and a usage of its own."""
    reading = ENDPOINT.read_stream(named_events(completed(), completed()))

    assert reading.units == {"text": (40, 0), "vision": (80, 0), "image": (0, 2112)}


def test_a_stream_that_broke_off() -> None:
    """Of a stream that was left early the picture is counted, and what came of it so far."""
    request = {"model": "gpt-image-1", "prompt": "a fox", "stream": True, "size": "1024x1024", "quality": "low"}

    reading = exchanged(HOST, GENERATIONS, named_events(PARTIAL, PARTIAL), request)

    assert (reading.units, reading.complete) == ({"text": (2, 0), "image": (0, 272 + 200)}, False)
    assert reading.estimated


def test_an_error() -> None:
    """An error is none of our pictures, and only its kind is told."""
    error = {"error": {"code": "moderation_blocked", "message": "secret"}}
    request = {"model": "dall-e-3"}

    whole = exchanged(HOST, GENERATIONS, body(error), request)
    streamed = exchanged(HOST, GENERATIONS, named_events({"type": "error", **error}), request)

    for reading in (whole, streamed):
        assert (reading.units, reading.error_type) == (None, "moderation_blocked")
        assert "secret" not in repr(reading)


def test_every_byte() -> None:
    """An answer that is cut anywhere tells a part of what it was, or a reason, and never more."""
    for raw in (answer(usage=USAGE), named_events(PARTIAL, completed())):
        for end in range(len(raw)):
            request = {"model": "gpt-image-1", "size": "1024x1024", "quality": "medium"}
            reading = exchanged(HOST, EDITS, raw[:end], request)
            assert reading.units is not None or reading.reason
            assert (reading.units or {}).get("image", (0, 0))[1] <= 1056 + 100
            assert reading.units in (None, UNITS) or reading.estimated


@pytest.mark.parametrize(
    ("usage", "reason"),
    [
        ({"output_tokens": "1056"}, "usage.output_tokens: expected int, got str"),
        ({"input_tokens": -1, "output_tokens": 1}, "usage.input_tokens: expected int >= 0"),
        ({"input_tokens": 0, "output_tokens": 0}, "usage counts nothing"),
        ({}, "usage has no token counts"),
        (7, "usage: expected object, got int"),
    ],
)
def test_malformed_usage(usage: Any, reason: str) -> None:
    """A fault is named by its field; nothing is counted by halves."""
    reading = ENDPOINT.read(answer(usage=usage))

    assert (reading.units, reading.reason) == (None, reason)


@pytest.mark.parametrize("prose", ["a fox in the snow", "x" * 65])
def test_prose_is_no_term(prose: str) -> None:
    """What a host of one's own takes for a size may be anything: no text of a request is kept, and no rate is guessed."""
    sent = {"model": "dall-e-3", "prompt": "A fox.", "size": prose, "quality": prose}

    assert exchanged(HOST, GENERATIONS, answer(), sent).terms == ("quality:other", "size:other")
    assert exchanged(HOST, GENERATIONS, answer(size=prose, quality=prose), sent).terms == (
        "quality:other",
        "size:other",
    )
