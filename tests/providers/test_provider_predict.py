"""Vertex's `:predict`: embeddings, images, music, PaLM."""

from __future__ import annotations

from typing import Any

import pytest
from answers import body, endpoint, facts

from payi_middleware.providers import Reading

HOST = "us-central1-aiplatform.googleapis.com"
PATH = "/v1/projects/p/locations/us-central1/publishers/google/models/{}:predict"
PICTURE = {"bytesBase64Encoded": "aaaa", "mimeType": "image/png"}


def read(model: str, raw: bytes, request: Any = None) -> Reading:
    path = PATH.format(model)
    predict = endpoint(HOST, path)
    assert predict.refine is not None
    sent = None if request is None else body(request)
    return predict.refine(predict.read(raw), facts(sent, path))


def embedded(*counts: float, characters: int | None = None) -> bytes:
    predictions = [{"embeddings": {"values": [0.1], "statistics": {"token_count": n}}} for n in counts]
    return body({"predictions": predictions, "metadata": {"billableCharacterCount": characters}})


@pytest.mark.parametrize(
    ("model", "characters", "units"),
    [
        ("gemini-embedding-001", 30, {"text": (9, 0)}),
        ("text-embedding-005", 30, {"text_character": (30, 0)}),
        ("text-multilingual-embedding-002", 30, {"text_character": (30, 0)}),
        ("text-embedding-005", None, {"text": (9, 0)}),
    ],
)
def test_embeddings(model: str, characters: int | None, units: Any) -> None:
    """Older models are billed by characters, if the answer tells them; tokens may be written with a point."""
    assert read(model, embedded(4.0, 5, characters=characters)).units == units


@pytest.mark.parametrize("model", ["imagen-4.0-generate-001", "imagegeneration@006", "virtual-try-on-001"])
def test_images(model: str) -> None:
    """Every picture is one, where it is kept or in the answer; what was filtered out is none."""
    raw = body({"predictions": [PICTURE, {"gcsUri": "gs://b/1.png"}, {"raiFilteredReason": "x"}]})

    reading = read(model, raw, {"parameters": {"sampleCount": 3}})

    assert (reading.units, reading.terms, reading.unpriced) == ({"generated_image": (0, 2)}, (), ())


def test_larger_images_have_a_rate_of_their_own() -> None:
    """An upscaled image is told by a term, and by a note as long as no rate is known."""
    reading = read("imagen-4.0-upscale-preview", body({"predictions": [PICTURE]}), {"parameters": {"mode": "upscale"}})

    assert (reading.units, reading.terms) == ({"generated_image": (0, 1)}, ("mode:upscale",))
    assert [note.unit for note in reading.unpriced] == ["upscale"]


@pytest.mark.parametrize(("asked", "pictures"), [({"sampleCount": 2}, 2), ({}, 4), ({"sampleCount": 0}, 4)])
def test_more_than_is_kept(asked: Any, pictures: int) -> None:
    """Of pictures that are too large for memory as many are counted as were asked for, as an estimate."""
    path = PATH.format("imagen-4.0-generate-001")
    predict = endpoint(HOST, path)
    assert predict.refine is not None

    for cut in (predict.read_cut(b'{"predictions', b"}"), predict.read_stream(b'{"predictions', b"}", 9)):
        reading = predict.refine(cut, facts(body({"parameters": asked}), path))
        assert (reading.units, reading.estimated) == ({"generated_image": (0, pictures)}, True)
        assert predict.refine(cut, facts(None, path)).units is None


def test_music() -> None:
    """A clip is thirty seconds."""
    raw = body({"predictions": [{"bytesBase64Encoded": "a"}, {"audioContent": "b"}]})

    assert read("lyria-002", raw).units == {"generated_audio_second": (0, 60)}


def test_palm() -> None:
    """Texts as they once were: billed by characters where those are told."""
    sides = {
        "inputTokenCount": {"totalTokens": 4, "totalBillableCharacters": 11},
        "outputTokenCount": {"totalTokens": 9},
    }
    tokens = {"inputTokenCount": {"totalTokens": 4}, "outputTokenCount": {"totalTokens": 9}}

    chat = body({"predictions": ["a", {"content": "b"}], "metadata": {"tokenMetadata": sides}})

    assert read("text-bison", chat).units == {"text_character": (11, 0)}
    assert read("text-bison", body({"metadata": {"tokenMetadata": tokens}})).units == {"text": (4, 9)}
    assert read("text-bison", body({"metadata": {"tokenMetadata": {}}})).units is None


def test_other_models() -> None:
    """What a model makes of which nothing is known is not priced, and says so."""
    reading = read("multimodalembedding@001", body({"predictions": [{"imageEmbedding": [0.1]}]}))
    segments = read("someones-model", body({"predictions": [PICTURE]}))

    assert (reading.units, segments.units) == (None, None)
    assert "not told" in (reading.reason or "")
    assert "not told" in (segments.reason or "")


def test_bad_answers() -> None:
    """Nothing raises, and no part of an answer costs more than all of it."""
    raw = body({"predictions": [PICTURE, PICTURE]})
    for end in range(len(raw)):
        assert read("imagen-4", raw[:end]).units is None
    assert read("imagen-4", b'{"error":{"status":"INVALID_ARGUMENT"}}').error_type == "INVALID_ARGUMENT"
    assert read("text-embedding-005", embedded(-1, 5)).units is None
    assert read("imagen-4", body({"predictions": [PICTURE, 7]})).units == {"generated_image": (0, 1)}
    assert read("imagen-4", raw, ["no parameters"]).units == {"generated_image": (0, 2)}
    assert read("imagen-4", raw, {"parameters": 7}).units == {"generated_image": (0, 2)}
    predict = endpoint(HOST, PATH.format("imagen-4"))
    assert predict.read_stream(raw) == predict.read(raw)
    assert predict.read(b"7").units is None
