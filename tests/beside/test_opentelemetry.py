"""Beside OpenTelemetry's hooks of httpx and httpx2."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("opentelemetry.instrumentation.httpx")
pytest.importorskip("opentelemetry.sdk")

from exchanges import LIBRARIES, REQUEST, STREAMED_REQUEST, Watched
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor, HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from payi_middleware import instrument, track, uninstrument
from payi_middleware.demo.standin import StandIn

INSTRUMENTORS = {"httpx": HTTPXClientInstrumentor, "httpx2": HTTPX2ClientInstrumentor}


@pytest.fixture(params=list(LIBRARIES))
def lib(request: pytest.FixtureRequest) -> ModuleType:
    return LIBRARIES[request.param]


@pytest.fixture
def standin() -> Iterator[StandIn]:
    with StandIn() as provider:
        yield provider


@pytest.fixture
def watched(standin: StandIn) -> Iterator[Watched]:
    watched = Watched(hosts={standin.host: "openai"})
    yield watched
    watched.meter.close()


class Theirs:
    """OpenTelemetry, with its spans in memory."""

    def __init__(self, lib: ModuleType) -> None:
        self.spans = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.spans))
        self.instrumentor: Any = INSTRUMENTORS[lib.__name__]()

    def install(self) -> None:
        self.instrumentor.instrument(tracer_provider=self.provider)

    def remove(self) -> None:
        self.instrumentor.uninstrument()

    @property
    def finished(self) -> int:
        return len(self.spans.get_finished_spans())


def call(lib: ModuleType, is_async: bool, url: str, client: Any = None) -> None:
    """Two calls: one read whole, one streamed."""

    async def run() -> None:
        async with client or lib.AsyncClient(trust_env=False) as asking:
            assert (await asking.post(url, content=REQUEST)).json()["usage"]
            async with asking.stream("POST", url, content=STREAMED_REQUEST) as response:
                assert [line async for line in response.aiter_lines()][-2] == "data: [DONE]"

    if is_async:
        asyncio.run(run())
        return
    with client or lib.Client(trust_env=False) as asking:
        assert asking.post(url, content=REQUEST).json()["usage"]
        with asking.stream("POST", url, content=STREAMED_REQUEST) as response:
            assert list(response.iter_lines())[-2] == "data: [DONE]"


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(("first", "last"), list(itertools.product(["ours", "theirs"], repeat=2)))
def test_one_event_and_one_span(
    lib: ModuleType, is_async: bool, first: str, last: str, standin: StandIn, watched: Watched
) -> None:
    """In any order of installing and removing, each call is one event and one span, and none in the end."""
    url = f"{standin.url}/v1/chat/completions"
    theirs = Theirs(lib)
    originals = lib.Client._transport_for_url, lib.HTTPTransport.handle_request
    install = {"ours": lambda: instrument(watched.meter), "theirs": theirs.install}
    remove = {"ours": uninstrument, "theirs": theirs.remove}
    try:
        for name in (first, *(install.keys() - {first})):
            install[name]()
        with track(user_id="jane"):
            call(lib, is_async, url)
        assert [(e.outcome, e.cost_source, e.streamed, e.user_id) for e in watched.events] == [
            ("ok", "usage", False, "jane"),
            ("ok", "usage", True, "jane"),
        ]
        assert theirs.finished == 2

        other = next(iter(remove.keys() - {last}))
        remove[other]()
        call(lib, is_async, url)
        assert (len(watched.events), theirs.finished) == ((4, 2) if other == "theirs" else (2, 4))
        remove[last]()
        call(lib, is_async, url)
        assert len(watched.events) + theirs.finished == 6
        assert (lib.Client._transport_for_url, lib.HTTPTransport.handle_request) == originals
    finally:
        uninstrument()
        if theirs.instrumentor.is_instrumented_by_opentelemetry:
            theirs.remove()


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_one_client(lib: ModuleType, is_async: bool, standin: StandIn, watched: Watched) -> None:
    """A single client that OpenTelemetry hooks is seen by both."""
    theirs = Theirs(lib)
    instrument(watched.meter)
    client = lib.AsyncClient(trust_env=False) if is_async else lib.Client(trust_env=False)
    theirs.instrumentor.instrument_client(client, tracer_provider=theirs.provider)
    call(lib, is_async, f"{standin.url}/v1/chat/completions", client)
    assert (len(watched.events), theirs.finished) == (2, 2)
