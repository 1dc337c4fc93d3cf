"""What is attached to a message: measured by its first bytes, in every maker's shape."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import encoded, gif, jpeg, pdf, png, wav, webp

from payi_middleware.providers.attached import attached, attached_tokens, encoded_text
from payi_middleware.providers.base import Attached


@pytest.mark.parametrize(
    "raw",
    [png(640, 480), gif(640, 480), webp(640, 480), jpeg(640, 480), jpeg(640, 480, before=150_000)],
    ids=["png", "gif", "webp", "jpeg", "a photograph"],
)
def test_size_of_a_picture(raw: bytes) -> None:
    """The first bytes tell it, whatever the type says."""
    part = {"type": "image", "source": {"type": "base64", "media_type": "image/x", "data": encoded(raw)}}

    assert attached(part, "image") == Attached("image", 640, 480)


PICTURE = png(300, 200)


@pytest.mark.parametrize(
    ("part", "detail"),
    [
        ({"type": "image_url", "image_url": {"url": encoded(PICTURE, "image/png"), "detail": "low"}}, "low"),
        ({"type": "image_url", "image_url": {"url": encoded(PICTURE, "image/png"), "detail": "auto"}}, None),
        ({"type": "image_url", "image_url": encoded(PICTURE, "image/png")}, None),
        ({"type": "input_image", "image_url": encoded(PICTURE, "image/png"), "detail": "high"}, "high"),
        ({"type": "image", "source": {"type": "base64", "data": encoded(PICTURE)}}, None),
        ({"inlineData": {"mimeType": "image/png", "data": encoded(PICTURE)}}, None),
        (
            {
                "inline_data": {"mime_type": "image/png", "data": encoded(PICTURE)},
                "media_resolution": {"level": "MEDIA_RESOLUTION_LOW"},
            },
            "low",
        ),
        ({"inlineData": {"data": base64.encodebytes(PICTURE).decode()}}, None),
        ({"inlineData": {"data": base64.urlsafe_b64encode(PICTURE).decode().rstrip("=")}}, None),
        ({"type": "file", "file": {"file_data": encoded(PICTURE, "image/png")}}, None),
    ],
)
def test_every_shape(part: dict[str, Any], detail: str | None) -> None:
    """OpenAI's chat and responses, Anthropic's, Gemini's, in one line or several, in either alphabet."""
    assert attached(part, "image") == Attached("image", 300, 200, detail)


def test_the_request_s_resolution_holds_where_a_part_has_none() -> None:
    """Gemini's resolution may stand in the request as a whole."""
    part = {"inlineData": {"data": encoded(PICTURE)}}

    assert attached(part, "image", "medium") == Attached("image", 300, 200, "medium")


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "https://e.example/a.png"}},
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        {"type": "input_image", "file_id": "file_1"},
        {"inlineData": {"data": 7}},
        {"inlineData": {"data": "no base64 at all: \u00e9"}},
        {"inlineData": {"data": encoded(b"BM" + bytes(50))}},
        {"inlineData": {"data": encoded(png(0, 0))}},
        {"inlineData": {"data": encoded(png(1 << 20, 4))}},
        {"inlineData": {"data": encoded(png(4, 4)[:12])}},
        {"inlineData": {"data": encoded(b"RIFF\0\0\0\1WAVE" + bytes(23) + b"\1")}},
        {},
    ],
)
def test_what_cannot_be_measured(part: dict[str, Any]) -> None:
    """A link, an id, another format, a header cut short: no size is made up."""
    assert attached(part, "image") is None
    assert attached(part, "audio") is None
    assert attached(part, "file") is None


@pytest.mark.parametrize("known", [True, False])
def test_length_of_a_sound(known: bool) -> None:
    """A WAV file's header tells it; a stream's, written before its end, is told by the size."""
    part = {"type": "input_audio", "input_audio": {"format": "wav", "data": encoded(wav(1500, length_known=known))}}

    found = attached(part, "audio")

    assert found is not None
    assert found.milliseconds == pytest.approx(1500, abs=2)


def test_pages_of_a_document() -> None:
    """Page objects are counted, the tree above them is not; a document that compresses them shows none."""
    part = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": encoded(pdf(3))}}
    hidden = {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": encoded(pdf(0))},
    }

    assert attached(part, "file") == Attached("file", pages=3)
    assert attached(hidden, "file") is None


def test_a_text_file_is_its_words() -> None:
    """A file of text that came encoded is text."""
    part = {"type": "file", "file": {"file_data": encoded(b"hello", "text/plain")}}

    assert encoded_text(part) == "hello"
    assert encoded_text({"inlineData": {"mimeType": "text/csv", "data": encoded(b"a;b")}}) == "a;b"
    assert encoded_text({"inlineData": {"mimeType": "text/csv", "data": "a"}}) is None
    assert encoded_text({"inlineData": {"mimeType": "application/pdf", "data": encoded(pdf(1))}}) is None


@pytest.mark.parametrize(
    ("thing", "model", "tokens"),
    [
        (Attached("image", 640, 480), "gpt-4o", ("vision", 425)),
        (Attached("image", 640, 480), "llama-4", None),
        (Attached("image", 640, 480), None, None),
        (Attached("audio", milliseconds=1500), "gemini-2.5-flash", ("audio", 48)),
        (Attached("audio", milliseconds=134), "gpt-4o-audio-preview-2025-06-03", ("audio", 2)),
        (Attached("audio", milliseconds=3000), "voxtral-small-latest", ("audio", 375)),
        (Attached("audio", milliseconds=3000), "claude-opus-5", None),
        (Attached("file", pages=2), "gemini-2.5-flash", ("text", 516)),
        (Attached("file", pages=2), "gemini-3-pro-preview", ("vision", 1120)),
        (Attached("file", pages=2), "claude-sonnet-4-5", None),
    ],
)
def test_tokens(thing: Attached, model: str | None, tokens: tuple[str, int] | None) -> None:
    """Pictures by the formula of their family, sounds by the second, documents by the page; or not at all."""
    assert attached_tokens(thing, model) == tokens


@given(data=st.one_of(st.binary(max_size=300), st.builds(lambda head, rest: head + rest, st.sampled_from([png(9, 9), gif(9, 9), webp(9, 9), jpeg(9, 9), wav(10), pdf(1)]).map(lambda raw: raw[:30]), st.binary(max_size=200))), kind=st.sampled_from(["image", "audio", "file"]))  # fmt: skip
def test_any_bytes(data: bytes, kind: str) -> None:
    """Nothing raises, and what is measured is possible."""
    found = attached({"inlineData": {"mimeType": "application/pdf", "data": encoded(data)}}, kind)

    if found is not None:
        assert found.kind in ("image", "audio", "file")
        assert min(found.width, found.height, found.milliseconds, found.pages) >= 0
