"""What is held for a call before it is made."""

from __future__ import annotations

import json
from typing import Any

import pytest

from payi_middleware.events import Units
from payi_middleware.limits.asking import Asking, asked_of
from payi_middleware.limits.groups import group_of
from payi_middleware.limits.holds import Sizes, sized
from payi_middleware.limits.ledger import Amount
from payi_middleware.limits.limit import Definition, Limit
from payi_middleware.limits.outline import MAX_READ
from payi_middleware.limits.recent import LEAST, Recent


def price(units: Units) -> int:
    """A tick for a token in, ten for one out; a cache write costs two, one of an hour three."""
    into = {"text": 1, "text_cache_write": 2, "text_cache_write_1h": 3, "vision": 1}
    return sum(sides[0] * into.get(unit, 1) + sides[1] * 10 for unit, sides in units.items())


def held(body: bytes | None = b"x" * 400, **changes: Any) -> Sizes | None:
    given: dict[str, Any] = {
        "makes_text": True,
        "usual": None,
        "window": None,
        "ceiling": 50,
        "strict": False,
        "counted": None,
        "price": price,
        "seen": body,
    }
    sizes = sized(body, changes.pop("asked", Asking(None, 1, None)), **(given | changes))
    return None if sizes is None else sizes._replace(is_told=True)


@pytest.mark.parametrize(
    ("fields", "asking"),
    [
        ({"max_tokens": 7}, Asking(7, 1, None)),
        ({"max_tokens": 7, "n": 3}, Asking(7, 3, None)),
        ({"max_tokens": 7, "max_completion_tokens": 9}, Asking(9, 1, None)),
        ({"max_output_tokens": 5, "service_tier": "flex"}, Asking(5, 1, "flex")),
        ({"generationConfig": {"maxOutputTokens": 6, "candidateCount": 2}}, Asking(6, 2, None)),
        ({"inferenceConfig": {"maxTokens": 8}}, Asking(8, 1, None)),
        ({"max_tokens": 7, "n": 2, "best_of": 5, "prompt": "one"}, Asking(7, 5, None)),
        ({"max_tokens": 7, "n": 2, "prompt": ["one", "another", "a third"]}, Asking(7, 6, None)),
        ({"max_tokens": 7, "prompt": [[1, 2], [3]]}, Asking(7, 2, None)),
        ({"max_tokens": 7, "prompt": [1, 2, 3]}, Asking(7, 1, None)),
        ({"max_tokens": 7, "prompt": []}, Asking(7, 1, None)),
        ({"options": {"num_predict": -1}, "service_tier": "auto"}, Asking(None, 1, None)),
        ({"service_tier": "default"}, Asking(None, 1, "default")),
        ({"service_tier": "standard_only"}, Asking(None, 1, "standard")),
        ({"serviceTier": "SERVICE_TIER_PRIORITY"}, Asking(None, 1, "priority")),
        ({"serviceTier": {"type": "flex"}}, Asking(None, 1, "flex")),
        ({"speed": "fast", "service_tier": "auto"}, Asking(None, 1, "fast")),
        ({"speed": "standard", "service_tier": 7}, Asking(None, 1, None)),
        ({"max_tokens": -1}, Asking(None, 1, None)),
        ({"max_tokens": "many", "n": True}, Asking(None, 1, None)),
        ({}, Asking(None, 1, None)),
    ],
)
def test_what_requests_say(fields: dict[str, Any], asking: Asking) -> None:
    """In each maker's words."""
    assert asked_of(json.dumps({"model": "m", "messages": [{"max_tokens": 1}], **fields}).encode()) == asking


@pytest.mark.parametrize("body", [None, b"", b"no JSON", b"[1]", b'{"max_tokens":', b" " * (MAX_READ + 1)])
def test_what_cannot_be_read_says_nothing(body: bytes | None) -> None:
    """Nor is it read for long."""
    assert asked_of(body) == Asking(None, 1, None)


@pytest.mark.parametrize(
    ("changes", "tokens", "output", "is_bound"),
    [
        ({"asked": Asking(20, 2, None)}, 100 + 40, 40, True),
        ({"usual": 30}, 130, 30, False),
        ({}, 150, 50, False),
        ({"window": 120}, 120, 20, False),
        ({"window": 90}, 100, 0, False),
        ({"window": 10_000}, 150, 50, False),
        ({"makes_text": False}, 100, 0, True),
        ({"body": None}, 50, 50, False),
    ],
)
def test_by_default_what_is_likely(changes: dict[str, Any], tokens: int, output: int, is_bound: bool) -> None:
    """The request's limit, else what is usual, else the ceiling, and never more than the model can; four bytes a token."""
    assert held(**changes) == Sizes(Amount(tokens - output + output * 10, tokens), output, is_bound)


@pytest.mark.parametrize("strict", [False, True])
def test_whether_the_request_says_how_long_its_answer_may_be(strict: bool) -> None:
    """Where it does not, saying it is what makes a hold smaller; of embeddings there is no answer to pay for."""
    given: dict[str, Any] = {"usual": 30, "window": 1000, "ceiling": 50, "counted": None, "price": price}
    for limit, makes_text, is_told in ((20, True, True), (None, True, False), (None, False, True)):
        sizes = sized(b"{}", Asking(limit, 1, None), makes_text=makes_text, strict=strict, **given)
        assert sizes is not None
        assert sizes.is_told == is_told


def test_a_picture_is_no_text() -> None:
    """What is encoded in a body is not counted as words."""
    words = b'{"text": "' + b"word " * 1000 + b'", "data": "'
    sizes = held(words + b"QUJD" * 20_000 + b'"}')
    assert sizes is not None
    assert sizes.amount.tokens - sizes.output < 1500


@pytest.mark.parametrize(
    ("changes", "into", "output", "is_bound"),
    [
        ({"asked": Asking(20, 1, None), "counted": {"text": (90, 0), "vision": (10, 0)}}, 100, 20, True),
        ({"asked": Asking(20, 1, None)}, 400, 20, True),
        ({"usual": 30, "window": 1000}, 400, 600, True),
        ({"usual": 30}, 400, 50, False),
        ({"body": b'{"previous_response_id": "r"}', "window": 1000, "asked": Asking(20, 1, None)}, 1000, 20, True),
        ({"body": b'{"image_url": "https://a.test/"}', "asked": Asking(20, 1, None)}, 2_000_000, 20, True),
    ],
)
def test_strict_what_is_possible(changes: dict[str, Any], into: int, output: int, is_bound: bool) -> None:
    """Counted exactly, or a byte a token, or the whole window for what is only named; the answer as long as it may get."""
    assert held(strict=True, **changes) == Sizes(Amount(into + output * 10, into + output), output, is_bound)


def test_strict_what_is_not_known_is_all_that_the_model_can() -> None:
    """A body that only the transport may read: the whole window, written to a cache for an hour."""
    assert held(None, strict=True, window=1000, asked=Asking(20, 1, None)) == Sizes(
        Amount(3 * 1000 + 10 * 20, 1020), 20, True
    )


def test_strict_a_prompt_that_may_be_cached_is_written_at_the_dearest() -> None:
    """Three ticks a token instead of one."""
    body = b'{"cache_control": {}}'
    sizes = held(body, strict=True, asked=Asking(1, 1, None))
    assert sizes is not None
    assert sizes.amount.ticks == len(body) * 3 + 10


@pytest.mark.parametrize("unit", ["audio", "image"])
@pytest.mark.parametrize(
    ("body", "makes_images"),
    [(b'{"modalities": ["text", "audio"]}', False), (b'{"responseModalities": ["IMAGE"]}', False), (b"{}", True)],
)
def test_strict_an_answer_that_may_be_more_than_text_is_held_at_the_dearest(
    body: bytes, makes_images: bool, unit: str
) -> None:
    """Also of a model that makes no text at all."""

    def price(units: Units) -> int | None:
        return None if units["text"][1] else units["text"][0] + 80 * units.get(unit, (0, 0))[1]

    asked = Asking(20, 1, None)
    sizes = held(body, strict=True, asked=asked, makes_images=makes_images, price=price)
    assert sizes == Sizes(Amount(len(body) + 80 * 20, len(body) + 20), 20, True)
    assert held(b"{}", strict=True, asked=asked, price=price) is None


def test_strict_a_picture_is_held_as_large_as_it_may_be() -> None:
    """Where neither the request nor the model's window bounds it."""
    assert held(b"{}", strict=True, makes_images=True, asked=Asking(None, 2, None)) == Sizes(
        Amount(2 + 2 * 6540 * 10, 2 + 2 * 6540), 2 * 6540, False
    )


def test_strict_tools_are_held_with_what_makers_write_of_them() -> None:
    """Into the prompt, for which they bill."""
    body = b'{"tools": []}'
    assert held(body, strict=True, asked=Asking(1, 1, None)) == Sizes(
        Amount(len(body) + 1000 + 10, len(body) + 1001), 1, True
    )


def test_without_a_price_nothing_is_sized() -> None:
    """Who holds decides what then."""
    assert held(price=lambda units: None) is None


def test_what_is_usual() -> None:
    """The length that 95 of 100 recent answers did not pass, of a use case and a model; the oldest are forgotten."""
    recent = Recent()
    recent.take([("a", "m", 10)] * (LEAST - 1))
    assert recent.percentile("a", "m") is None
    recent.add("a", "m", 500)
    assert recent.percentile("a", "m") == 500
    for _ in range(63):
        recent.add("a", "m", 20)
    assert recent.percentile("a", "m") == 20
    recent.add("a", "m", 20)
    assert recent.percentile("b", "m") is None


def test_what_is_usual_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names can come from users, without end."""
    monkeypatch.setattr("payi_middleware.limits.recent._MOST", 3)
    recent = Recent()
    for n in range(10):
        recent.add(f"{n}", "m", 1)
    assert len(recent._lengths) <= 3


def test_limits_together() -> None:
    """One that wants something suffices."""

    def group(*limits: Limit) -> dict[str, bool]:
        made = [Definition(limit_id=one.name, application="a", limit=one) for one in limits]
        return {name: value for name, value in group_of(made)._asdict().items() if value}

    told = Limit("told", 1, type="allow", unit="tokens")
    assert group(told) == {}
    assert group(told, Limit("calls", 1, unit="calls")).keys() == {"holds_up", "is_closed"}
    assert group(Limit("calls", 1, unit="calls", on_error="open")).keys() == {"holds_up", "counts_calls_alone"}
    assert group(Limit("a", 1, type="allow", on_error="closed", unknown_price="allow")).keys() == {
        "holds_up",
        "is_closed",
        "counts_money",
    }
    assert group(told, Limit("a", 1, strict=True, unknown_price="block")).keys() == {
        "holds_up",
        "is_closed",
        "is_strict",
        "counts_money",
        "refuses_unknown",
        "pays_unknown",
    }
