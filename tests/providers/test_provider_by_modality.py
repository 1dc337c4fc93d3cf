"""Usage by modality: nothing is counted twice, and nothing is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from payi_middleware.providers._by_modality import ModalUsage, told_by_modality, whole_seconds
from payi_middleware.providers._json import fill

COUNT = st.none() | st.integers(0, 1000)
CACHED = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("text_tokens", "audio_tokens", "image_tokens", "cached_text_tokens"), COUNT),
)
INPUT = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("text_tokens", "audio_tokens", "image_tokens", "cached_tokens"), COUNT),
        "cached_tokens_details": CACHED,
    },
)
OUTPUT = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("text_tokens", "audio_tokens", "image_tokens", "reasoning_tokens"), COUNT)
)
USAGE = st.fixed_dictionaries(
    {"input_tokens": st.integers(0, 3000), "output_tokens": st.integers(0, 3000)},
    optional={"input_tokens_details": INPUT, "input_token_details": INPUT, "output_tokens_details": OUTPUT},
)


def _sum(details: dict[str, object], *names: str) -> int:
    return sum(count for name in names if isinstance(count := details.get(name), int))


@given(USAGE, st.sampled_from(["text", "image", "audio"]))
def test_every_token_is_counted_once(told: dict[str, object], made: str) -> None:
    """The units of a side are what usage tells in all, or by modality where that is more."""
    inputs = told.get("input_tokens_details", told.get("input_token_details", {}))
    outputs = told.get("output_tokens_details") or {}
    assert isinstance(inputs, dict)
    assert isinstance(outputs, dict)
    taken = max(_sum(told, "input_tokens"), _sum(inputs, "audio_tokens", "image_tokens"))
    given_ = max(_sum(told, "output_tokens"), _sum(outputs, *outputs))

    units, reason = told_by_modality(fill(told, ModalUsage)[0], made)

    counted = [sum(sides[side] for sides in (units or {}).values()) for side in (0, 1)]
    assert counted == [taken, given_]
    assert (units is None) is (taken == given_ == 0)
    assert (reason is None) is (units is not None and [taken, given_] == [told["input_tokens"], told["output_tokens"]])


def test_a_second_begun_is_a_second() -> None:
    """Lengths are billed by the second, and a float's last digits are no second."""
    assert [whole_seconds(length) for length in (0, 0.2, 1, 1.0000001, 1.01, 59.9999)] == [0, 1, 1, 1, 2, 60]
