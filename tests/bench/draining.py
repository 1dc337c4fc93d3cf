"""What the draining thread takes for an event, in batches of few and of many: CPU time of that thread alone, between web requests.

python draining.py [ROUNDS]
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx2
from figures import Figure
from provider import COMPLETION
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from payi_middleware import Meter, PayiMiddleware, instrument, uninstrument

URL = "https://api.openai.com/v1/chat/completions"
BODY = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"' + b"Tell me about the fox. " * 80 + b'"}]}'
FEW, MANY = 10, 200
"""Events of a batch: at some 40 requests a second with `flush_interval` as it is, and the most of one transaction."""


def measure(rounds: int) -> list[Figure]:
    """Both sizes in turn; the median of the rounds."""
    seen: dict[int, list[float]] = {FEW: [], MANY: []}
    with tempfile.TemporaryDirectory() as folder:
        meter = Meter(f"sqlite:///{folder}/payi.db", flush_interval=60, trusted_hosts=["127.0.0.1"])
        instrument(meter)
        try:
            asyncio.run(_turns(meter, rounds, seen))
        finally:
            uninstrument()
            meter.close()
    few, many = statistics.median(seen[FEW]), statistics.median(seen[MANY])
    each = (MANY * many - FEW * few) / (MANY - FEW)
    return [
        Figure(f"draining, an event of {FEW}", f"{few:.1f} µs", ""),
        Figure(f"draining, an event of {MANY}", f"{many:.1f} µs", ""),
        Figure("draining, a batch by itself", f"{FEW * (few - each):.0f} µs", ""),
    ]


async def _turns(meter: Meter, rounds: int, seen: dict[int, list[float]]) -> None:
    request = _requests(meter)
    for _ in range(MANY):
        await request()
    meter.flush()
    spent = _clock()
    for _ in range(rounds):
        for size, told in seen.items():
            for _ in range(max(1, 40 // size)):
                for _ in range(size):
                    await request()
                before = spent()
                assert meter.flush()
                told.append((spent() - before) / size / 1e3)


def _clock() -> Callable[[], int]:
    """CPU time of the draining thread, nanoseconds."""
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "payi-flush"]
    assert thread.ident is not None
    clock = time.pthread_getcpuclockid(thread.ident)
    return lambda: time.clock_gettime_ns(clock)


def _requests(meter: Meter) -> Callable[[], Any]:
    """What makes a web request with one call, of a use case, a user and a tag, as the client of this application."""
    client = httpx2.Client(transport=httpx2.MockTransport(lambda request: httpx2.Response(200, content=COMPLETION)))
    headers = {"authorization": "Bearer none", "content-type": "application/json"}

    async def chat(request: Request) -> Response:
        return PlainTextResponse(client.post(URL, content=BODY, headers=headers).text)

    app = PayiMiddleware(Starlette(routes=[Route("/chat/{id}", chat)]), meter)
    numbers = iter(range(1 << 60))

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        pass

    async def one() -> None:
        told = {b"user-id": f"user-{next(numbers) % 50}".encode(), b"usecase-name": b"Bench", b"request-tags": b"web"}
        scope = {
            "type": "http", "method": "GET", "path": "/chat/7", "raw_path": b"/chat/7", "query_string": b"",
            "root_path": "", "scheme": "http", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
            "headers": [(b"host", b"x"), *((b"xproxy-" + name, value) for name, value in told.items())],
        }  # fmt: skip
        await app(scope, receive, send)

    return one


if __name__ == "__main__":
    for row in measure(int(sys.argv[1]) if sys.argv[1:] else 15):
        print(f"{row.what:<32}{row.figure}")
