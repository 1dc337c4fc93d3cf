"""Recorded traffic, where `PAYI_CORPUS` points at it: a JSON lines file of exchanges, plain or `.xz`."""

from __future__ import annotations

import base64
import json
import lzma
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from payi_middleware.providers import find
from payi_middleware.recorded import Pricer, Recorded, read

CORPUS = os.environ.get("PAYI_CORPUS", "")


def exchanges() -> Iterator[dict[str, Any]]:
    opened = lzma.open(CORPUS, "rt") if CORPUS.endswith(".xz") else Path(CORPUS).open()  # noqa: SIM115
    with opened as file:
        for line in file:
            yield json.loads(line)


@pytest.mark.skipif(not CORPUS, reason="PAYI_CORPUS is not set")
def test_recorded_traffic_is_readable() -> None:
    """Nothing raises on recorded traffic, whole, as two ends or as a half."""
    seen = 0
    for exchange in exchanges():
        provider = find(exchange["provider_host"])
        route = provider and provider.route(exchange["method"], urlsplit(exchange["url"]).path)
        if not route:
            continue
        raw = base64.b64decode(exchange.get("response_b64") or "") or (exchange["response_body"] or "").encode()
        endpoint = route.endpoint
        endpoint.ask((exchange["request_body"] or "").encode())
        (endpoint.read_stream if exchange["is_stream"] else endpoint.read)(raw)
        endpoint.read_cut(raw[:4096], raw[-4096:])
        endpoint.read_stream(raw[: len(raw) // 2])
        if endpoint.texts is not None:
            endpoint.texts((exchange["request_body"] or "").encode(), raw, exchange["is_stream"])
        seen += 1

    assert seen > 0


@pytest.mark.skipif(not CORPUS, reason="PAYI_CORPUS is not set")
def test_recorded_traffic_is_priced() -> None:
    """Of what is billed at least 98 % has a cost, every other one says why not, and none meets a fault of ours."""
    pricer = Pricer()
    results = [pricer.price(recorded) for recorded in read(Path(CORPUS)) if isinstance(recorded, Recorded)]
    billed = [result for result in results if result.billable]

    assert billed
    assert sum(result.cost is not None for result in billed) / len(billed) >= 0.98
    assert all(result.reason for result in results if result.cost is None)
    assert not [result.source for result in results if "fault of payi-middleware" in (result.reason or "")]
