"""What the hook and the middleware add, in this process, without a network: with and without them in turn."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx2
from figures import Figure
from provider import COMPLETION, EVENTS

from payi_middleware import Meter, PayiMiddleware, instrument, track, uninstrument, use_case

URL = "https://api.openai.com/v1/chat/completions"
BODY = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"' + b"Tell me about the fox. " * 80 + b'"}]}'
HEADERS = {"authorization": "Bearer none", "x-stainless-retry-count": "0", "content-type": "application/json"}


def measure(rounds: int) -> list[Figure]:
    """All rows of one process."""
    with tempfile.TemporaryDirectory() as folder:
        meter = Meter(f"sqlite:///{folder}/payi.db")
        meter.prices.load()
        rows = [
            *calls(meter, rounds),
            beside_busy_thread(meter),
            *others(meter, rounds),
            chunks(meter, rounds),
            asgi(meter, rounds),
            *imports(),
        ]
        meter.close()
    return rows


def mocked() -> httpx2.Client:
    return httpx2.Client(transport=httpx2.MockTransport(lambda request: httpx2.Response(200, content=COMPLETION)))


def timed(function: Callable[[], Any], n: int) -> list[int]:
    """Nanoseconds of each of `n` runs."""
    spent: list[int] = []
    for _ in range(n):
        start = time.perf_counter_ns()
        function()
        spent.append(time.perf_counter_ns() - start)
    return spent


def added(meter: Meter, function: Callable[[], Any], rounds: int, n: int = 150) -> tuple[float, float]:
    """(median, 99th percentile) of what the hook adds to `function`, microseconds; with and without it in turn."""
    seen: dict[bool, list[list[int]]] = {False: [], True: []}
    with track(user_id="jane", meter=meter), use_case("Bench"):
        for _ in range(rounds):
            for hooked in (False, True):
                if hooked:
                    instrument(meter)
                timed(function, 10)
                seen[hooked].append(timed(function, n))
                uninstrument()
    medians = [statistics.median(a) - statistics.median(b) for a, b in zip(seen[True], seen[False], strict=True)]
    tails = [sorted(sum(seen[hooked], []))[int(rounds * n * 0.99)] for hooked in (True, False)]
    return statistics.median(medians) / 1e3, (tails[0] - tails[1]) / 1e3


def calls(meter: Meter, rounds: int) -> list[Figure]:
    client = mocked()
    middle, _ = added(meter, lambda: client.post(URL, content=BODY, headers=HEADERS), rounds * 2)
    return [Figure("a call, all that we add, median", f"{middle:.1f} µs", "<= 30 µs, goal 15")]


def beside_busy_thread(meter: Meter) -> Figure:
    """What a call adds in its own steps while another thread holds the interpreter's lock as long as it may.

    The call itself is timed from inside, step by step: the transport in between gives up the lock by itself, or not.
    """
    from payi_middleware import _transport

    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            sum(range(1000))

    client = mocked()
    request = client.build_request("POST", URL, content=BODY, headers=HEADERS)
    provider = meter.hosts.find(request.url)
    assert provider is not None

    def step() -> None:
        call = _transport.begin(request, meter, provider)
        assert call is not None
        call.answered(200, None)
        call.whole(COMPLETION)

    thread = threading.Thread(target=busy, daemon=True)
    thread.start()
    with track(user_id="jane", meter=meter):
        spent: list[int] = []
        for _ in range(2000):
            time.sleep(0)  # a fresh slice of the lock, as after any I/O
            spent += timed(step, 1)
    stop.set()
    thread.join()
    return Figure("a call beside one CPU-bound thread, p99", f"{sorted(spent)[1980] / 1e3:.0f} µs", "<= 100 µs")


def others(meter: Meter, rounds: int) -> list[Figure]:
    client = mocked()
    seam = "https://example.com/v1/chat/completions"
    url = httpx2.URL(seam)

    def look() -> None:
        for _ in range(100):
            client._transport_for_url(url)

    middle, _ = added(meter, look, rounds, 30)
    return [Figure("a request to a host that is no provider", f"{middle / 100:.2f} µs", "<= 1 µs")]


class _Parts(httpx2.SyncByteStream):
    def __iter__(self) -> Any:
        yield from EVENTS

    def close(self) -> None:
        pass


def chunks(meter: Meter, rounds: int) -> Figure:
    client = httpx2.Client(transport=httpx2.MockTransport(lambda request: httpx2.Response(200, stream=_Parts())))
    body = BODY[:-1] + b',"stream":true}'

    def stream() -> None:
        with client.stream("POST", URL, content=body, headers=HEADERS) as response:
            for _ in response.iter_raw():
                pass

    whole, _ = added(meter, stream, rounds * 2, 20)
    return Figure("a streamed chunk, call included", f"{whole / len(EVENTS):.2f} µs", "<= 0.5 µs")


def asgi(meter: Meter, rounds: int) -> Figure:
    """A request without a GenAI call through a bare ASGI application, with and without the middleware."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    wrapped = PayiMiddleware(app, meter)
    uninstrument()
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"x")] * 8}

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        pass

    async def run(target: Any, n: int) -> float:
        start = time.perf_counter_ns()
        for _ in range(n):
            await target(dict(scope), receive, send)
        return (time.perf_counter_ns() - start) / n

    async def turns() -> list[float]:
        differences: list[float] = []
        for _ in range(rounds * 4):
            plain, ours = await run(app, 2000), await run(wrapped, 2000)
            differences.append((ours - plain) / 1e3)
        return differences

    return Figure(
        "an ASGI request without a call", f"{statistics.median(asyncio.run(turns())):.2f} µs", "<= 2 µs, goal 1"
    )


def imports() -> list[Figure]:
    """What a user's line of import takes, CPU, when the framework and httpx2 are there already and all is compiled."""
    return [
        _imported("fastapi", "from payi_middleware import PayiMiddleware"),
        _imported("flask", "from payi_middleware.flask import Payi"),
    ]


def _imported(framework: str, line: str) -> Figure:
    code = f"import time, {framework}, httpx2\nstart = time.process_time()\n{line}\nprint(time.process_time() - start)"
    with tempfile.TemporaryDirectory() as compiled:
        there = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        there["PYTHONPYCACHEPREFIX"] = compiled
        spent = [float(subprocess.check_output([sys.executable, "-P", "-c", code], env=there)) for _ in range(10)]
    middle = statistics.median(spent[1:])  # the first one compiles
    return Figure(f"`{line}`, over {framework} and httpx2", f"{middle * 1e3:.0f} ms", "<= 60 ms")
