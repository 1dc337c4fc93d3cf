"""Processing in a region, whose surcharge no answer tells."""

from __future__ import annotations

import pytest
from answers import body, endpoint, events, openai_usage


@pytest.mark.parametrize(
    ("host", "model", "dearer"),
    [
        ("eu.api.openai.com", "gpt-5.6-sol", True),
        ("us.api.openai.com", "gpt-6-luna-2026-10-01", True),
        ("eu.api.openai.com", "gpt-5.4-mini", True),
        ("eu.api.openai.com", "o7", True),
        ("eu.api.openai.com", "gpt-5.2", False),
        ("eu.api.openai.com", "gpt-5-2025-08-07", False),
        ("eu.api.openai.com", "gpt-4o-mini", False),
        ("eu.api.openai.com", "o3-mini", False),
        ("api.openai.com", "gpt-5.6-sol", False),
    ],
)
def test_openai_s_regional_hosts(host: str, model: str, dearer: bool) -> None:
    """At a host that keeps the processing in a region newer models cost more, and that is said."""
    asked = endpoint(host, "/v1/chat/completions")
    raw = body({"model": model, "usage": openai_usage()})

    for reading in (asked.read(raw), asked.read_cut(raw, raw), asked.read_stream(events({"model": model}))):
        assert [u.unit for u in reading.unpriced] == ["region"] * dearer
    assert asked.read(body({"error": {"code": "x"}, "model": model})).unpriced == ()
    assert asked.read(b"<html>").unpriced == ()
