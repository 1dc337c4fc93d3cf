"""From the bytes of an answer to its cost, inline: what of a call's time is reading and pricing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import kinds
from answers import body, endpoint, events, openai_usage
from figures import Figure

from payi_middleware.costing import cost_of
from payi_middleware.pricing import Prices

__all__ = ["measure"]


def _best(function: Callable[[], Any], rounds: int, n: int) -> float:
    """Microseconds a call, the median of the rounds' means."""
    means = []
    for _ in range(rounds):
        began = time.perf_counter_ns()
        for _ in range(n):
            function()
        means.append((time.perf_counter_ns() - began) / n / 1000)
    return sorted(means)[rounds // 2]


def measure(rounds: int) -> list[Figure]:
    """A chat answer of 2 kB, a stream of 500 chunks, an embeddings answer of 1 MB; other providers' answers of 2 kB."""
    prices = Prices()
    prices.load()
    now = time.time_ns()

    def costed(read: Callable[[bytes], Any], answer: bytes, provider: str, model: str) -> Callable[[], Any]:
        def run() -> Any:
            reading = read(answer)
            assert reading.units is not None
            return cost_of(prices, provider, reading.model or model, reading.units, now, reading.service_tier)

        return run

    usage = openai_usage(1200, 340, cached=1024, reasoning=64)
    chat = body(
        {"id": "chatcmpl-1", "model": "gpt-5", "choices": [{"message": {"content": "x" * 1600}}], "usage": usage}
    )
    chunk = {"id": "chatcmpl-1", "model": "gpt-5", "choices": [{"delta": {"content": "word "}}], "usage": None}
    stream = events(*[chunk] * 499, chunk | {"choices": [], "usage": usage})
    vectors = [{"object": "embedding", "index": n, "embedding": [0.0123456789] * 1536} for n in range(52)]
    embeddings = json.dumps(
        {"data": vectors, "model": "text-embedding-3-small", "usage": {"prompt_tokens": 8}}
    ).encode()
    completions, embedded = (
        endpoint("api.openai.com", "/v1/chat/completions"),
        endpoint("api.openai.com", "/v1/embeddings"),
    )
    rows = (
        ("usage to cost, a chat answer of 2 kB", costed(completions.read, chat, "openai", "gpt-5"), 3000, "<= 10 µs"),
        (
            "usage to cost, a stream of 500 chunks",
            costed(completions.read_stream, stream, "openai", "gpt-5"),
            1000,
            "<= 15 µs",
        ),
        ("usage to cost, embeddings of 1 MB", costed(embedded.read, embeddings, "openai", ""), 200, "<= 1000 µs"),
    )
    figures = [Figure(what, f"{_best(run, rounds, n):.2f} µs", bound) for what, run, n, bound in rows]
    slowest, host = max((_best(run, rounds, 1000), host) for host, run in kinds.runs(prices, now))
    return [
        *figures,
        Figure(f"other providers' answers, the slowest: {host.split('.')[-2]}", f"{slowest:.2f} µs", "<= 10 µs"),
    ]
