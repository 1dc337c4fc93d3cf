"""The tokens of images: the values that recorded calls were billed, and the rules around them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payi_middleware.providers.image_tokens import image_tokens

MODELS = (
    "gpt-4o",
    "gpt-4o-mini",
    "gpt-5",
    "o3",
    "gpt-4.1-mini",
    "gpt-5.4",
    "claude-sonnet-4-5",
    "claude-opus-5-5",
    "gemini-2.0-flash",
    "gemini-3-flash",
)
SIDES = st.integers(1, 20_000)


@pytest.mark.parametrize(
    ("model", "width", "height", "tokens"),
    [
        # OpenAI, tiles
        ("gpt-4o", 640, 480, 425),
        ("gpt-4o-mini-2024-07-18", 640, 480, 14167),
        ("gpt-5", 640, 480, 350),
        ("gpt-4o-2024-08-06", 3008, 2000, 1105),
        ("gpt-4.1", 1, 1, 255),
        ("gpt-4o-mini", 1, 1, 8500),
        ("openai/gpt-5-2025-08-07", 1, 1, 210),
        ("o3", 640, 480, 375),
        ("o1-pro", 640, 480, 375),
        ("computer-use-preview-2025-03-11", 640, 480, 323),
        ("gpt-4o", 2048, 4096, 85 + 170 * 6),  # the example of OpenAI's guide: 768 x 1536
        # OpenAI, patches
        ("gpt-4.1-mini", 640, 480, 486),
        ("gpt-4.1-nano", 540, 360, 502),
        ("gpt-4.1-nano-2025-04-14", 128, 128, 40),
        ("o4-mini", 1800, 2400, 2498),  # the example of OpenAI's guide: 1452 patches
        ("gpt-5-mini", 640, 480, 360),
        ("gpt-5-nano", 16, 16, 2),
        ("gpt-5.2", 640, 480, 360),
        ("gpt-5.4", 1800, 2400, 2942),  # 43 x 57 patches
        # Anthropic
        ("claude-sonnet-4", 1000, 1000, 1296),
        ("claude-haiku-4-5-20251001", 540, 360, 260),
        ("claude-haiku-4-5-20251001", 1, 1, 1),
        ("claude-3-5-sonnet-20240620", 228, 148, 54),
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", 166, 282, 66),
        ("claude-opus-4-6", 4000, 3000, 45 * 34),
        ("claude-opus-4-7", 4000, 3000, 79 * 59),
        # Gemini
        ("gemini-2.0-flash", 640, 480, 1290),
        ("gemini-2.0-flash", 540, 360, 1806),
        ("gemini-2.0-flash-001", 3008, 2000, 3354),
        ("gemini-2.0-flash", 384, 384, 258),
        ("models/gemini-2.5-flash", 640, 480, 258),
        ("gemini-3-flash-preview", 640, 480, 1120),
    ],
)
def test_what_was_billed(model: str, width: int, height: int, tokens: int) -> None:
    """Each value was seen on a recorded call, or is an example of the maker's own page."""
    assert image_tokens(model, width, height) == tokens


@pytest.mark.parametrize(
    ("model", "detail", "tokens"),
    [
        ("gpt-4o", "low", 85),
        ("gpt-4o", "high", 765),
        ("gpt-5.4", "original", 7584),
        ("gpt-5.4", "high", 2940),
        ("gpt-5.2", "original", 1779),
        ("gemini-3-pro-preview", "low", 280),
        ("gemini-3-pro-preview", "medium", 560),
        ("gemini-3-pro-preview", "ultra_high", 2240),
        ("gemini-3-pro-preview", "a new one", 1120),
    ],
)
def test_detail(model: str, detail: str, tokens: int) -> None:
    """What was asked for decides how much of the image is looked at."""
    assert image_tokens(model, 2500, 2560, detail) == tokens


@pytest.mark.parametrize(
    ("model", "detail"),
    [
        ("llama-3.2-90b-vision", None),
        ("gpt-5.1", None),
        ("gpt-4.1-mini", "low"),
        ("claude-x", None),
        ("gemini-pro-vision", None),
        ("gemini-1.5-pro", None),
        ("gemini-2.5-flash", "high"),
        ("", None),
    ],
)
def test_no_formula_is_no_number(model: str, detail: str | None) -> None:
    """Where no page and no call tells the rule, nothing is made up."""
    assert image_tokens(model, 640, 480, detail) is None


def test_larger_than_was_ever_recorded() -> None:
    """Gemini 2.5 counts small images as one piece; of large ones nothing is known."""
    assert image_tokens("gemini-2.5-flash", 641, 480) is None


@pytest.mark.parametrize("model", MODELS)
@given(width=SIDES, height=SIDES)
def test_any_size_is_bounded(model: str, width: int, height: int) -> None:
    """No size raises or costs more than the family's largest image, and none is free."""
    most = {"gpt-4o-mini": 2833 + 8 * 5667, "claude-opus-5-5": 4784, "gpt-5.4": 3000}.get(model, 258 * 3200)
    tokens = image_tokens(model, width, height)

    assert tokens is not None
    assert 0 < tokens <= most


@pytest.mark.parametrize("model", ["gpt-4.1-mini", "claude-sonnet-4-5", "claude-opus-5-5"])
@given(width=SIDES, height=SIDES)
def test_an_image_on_its_side_costs_the_same(model: str, width: int, height: int) -> None:
    """Patches do not know which way is up."""
    upright, lying = image_tokens(model, width, height), image_tokens(model, height, width)

    assert upright is not None
    assert lying is not None
    assert abs(upright - lying) <= max(upright, lying) // 20 + 1


def test_no_size_is_no_number() -> None:
    """A side of nothing is no image."""
    assert image_tokens("gpt-4o", 0, 480) is None
