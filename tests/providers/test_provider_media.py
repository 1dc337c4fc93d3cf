"""What of a request is no text, told by a quick look at its bytes."""

from __future__ import annotations

import base64
import random

import pytest
from answers import body

from payi_middleware.events import Unpriced
from payi_middleware.providers import media

PICTURE = base64.b64encode(random.Random(7).randbytes(1_500_000)).decode()
WRAPPED = base64.encodebytes(random.Random(7).randbytes(100_000)).decode()


def shapes(data: str) -> list[tuple[str, object]]:
    """A picture as each API takes it."""
    return [
        ("image", {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}),
        ("image", {"type": "input_image", "image_url": f"data:image/png;base64,{data}"}),
        ("image", {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}),
        ("image", {"inlineData": {"data": data, "mimeType": "image/png"}}),
        ("audio", {"inline_data": {"mime_type": "audio/wav", "data": data}}),
        ("audio", {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}),
        ("file", {"type": "file", "file": {"file_data": data}}),
        ("file", {"type": "document", "source": {"type": "base64", "data": data}}),
        ("file", {"something": {"new": data}}),
    ]


@pytest.mark.parametrize("data", [PICTURE, WRAPPED], ids=["in one line", "in lines"])
def test_base64_is_no_text(data: str) -> None:
    """Whatever member it stands in, base64 is left out of the size, and said."""
    text = "Tell me what you see, please. " * 200
    for kind, part in shapes(data):
        request = body({"messages": [{"content": [{"type": "text", "text": text}, part]}], "model": "m"})
        plain = len(request) - len(body(data))

        assert media.plain_size(request) == pytest.approx(plain, abs=2100)
        assert media.parts(request) == (Unpriced(kind, 1, "not counted"),)


def test_several_parts_and_links() -> None:
    """Each part counts, also one that is only a link."""
    parts = [part for _, part in shapes(PICTURE[:50_000])]
    parts += [
        {"type": "image_url", "image_url": {"url": "https://e.example/a.png"}},
        {"fileData": {"mimeType": "video/mp4"}},
    ]

    found = media.parts(body({"messages": parts}))

    assert found == tuple(
        Unpriced(kind, n, "not counted") for kind, n in (("audio", 2), ("file", 2), ("image", 5), ("video", 1))
    )


@pytest.mark.parametrize(
    "text",
    [
        "The quick brown fox jumps over the lazy dog. " * 3000,
        "快速的棕色狐狸跳过懒狗" * 3000,
        '{"a": [1, 2, 3], "b": "c"}' * 3000,
        "",
    ],
)
def test_text_is_text(text: str) -> None:
    """Prose, JSON and any script are sized whole, and list nothing."""
    request = body({"messages": [{"content": text}], "tools": [{"type": "function", "name": "file"}]})

    assert media.plain_size(request) == len(request)
    assert media.parts(request) == ()


def test_a_key_within_a_text_takes_no_more_than_itself() -> None:
    """A long token in the middle of a prompt does not hide the prompt."""
    request = body({"messages": [{"content": "fox and dog " * 5000 + "A" * 3000 + " fox and dog" * 5000}]})

    assert media.plain_size(request) > 120_000 - 4096
