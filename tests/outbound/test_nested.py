"""Calls that begin while another one is being sent: the same exchange on its way out is one call, anything else is its own."""

from __future__ import annotations

import asyncio
import contextvars
from types import ModuleType
from typing import Any

import anyio
import httpx2
import pytest
from exchanges import REQUEST, STREAM, URL, Watched, answer, mock, request, stream_of

from payi_middleware import PayiTransport

GROQ = "https://api.groq.com/openai/v1/chat/completions"
ASKED_GROQ = request(model="llama-3.3-70b-versatile")


def guarded(lib: ModuleType, guard: Any, sends: Any) -> Any:
    """A transport that asks another provider before it sends."""

    class Guard(lib.BaseTransport):  # type: ignore[name-defined, misc]
        def handle_request(self, sent: Any) -> Any:
            guard.post(GROQ, content=ASKED_GROQ)
            return sends.handle_request(sent)

    return Guard()


@pytest.mark.parametrize("wrapped", [False, True], ids=["hook", "PayiTransport"])
def test_a_transport_that_asks_the_same_path(lib: ModuleType, watched: Watched, wrapped: bool) -> None:
    """A guard that asks another question at the same path of the same provider is a call of its own too."""
    inner = mock(lib, answer())
    with lib.Client(transport=PayiTransport(inner, watched.meter) if wrapped else inner) as guard:

        class Guard(lib.BaseTransport):  # type: ignore[name-defined, misc]
            def handle_request(self, sent: Any) -> Any:
                guard.post(URL, content=request(model="gpt-4.1-nano"))
                return mock(lib, answer()).handle_request(sent)

        with lib.Client(transport=Guard()) as client:
            client.post(URL, content=REQUEST)

    assert sorted(str(event.requested_resource) for event in watched.events) == ["gpt-4.1-nano", "gpt-4o-mini"]


@pytest.mark.parametrize("wrapped", [False, True], ids=["hook", "PayiTransport"])
def test_a_transport_that_asks_another_model(lib: ModuleType, watched: Watched, wrapped: bool) -> None:
    """What a transport asks beside the call that it sends is a call of its own, and takes nothing over."""
    inner = mock(lib, answer(model="llama-3.3-70b-versatile"))
    with (
        lib.Client(transport=PayiTransport(inner, watched.meter) if wrapped else inner) as guard,
        lib.Client(transport=guarded(lib, guard, mock(lib, answer()))) as client,
    ):
        client.post(URL, content=REQUEST)

    assert sorted(event.provider for event in watched.events) == ["groq", "openai"]


async def test_a_task_begun_in_a_transport(lib: ModuleType, watched: Watched) -> None:
    """A task that a transport starts keeps its context for ever; its own calls are seen, once the transport has sent."""
    asking = lib.AsyncClient(transport=mock(lib, answer(model="llama-3.3-70b-versatile")))
    tasks: list[asyncio.Task[None]] = []

    async def later() -> None:
        for _ in range(3):
            await asyncio.sleep(0.001)
            await asking.post(GROQ, content=ASKED_GROQ)

    class Lazy(lib.AsyncBaseTransport):  # type: ignore[name-defined, misc]
        async def handle_async_request(self, sent: Any) -> Any:
            tasks.append(asyncio.create_task(later()))
            return await mock(lib, answer()).handle_async_request(sent)

    async with lib.AsyncClient(transport=Lazy()) as client, asking:
        await client.post(URL, content=REQUEST)
        await asyncio.gather(*tasks)

    assert [event.provider for event in watched.events].count("groq") == 3
    assert len(watched.events) == 4


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/gateway/chat"])
def test_a_gateway_inside(lib: ModuleType, watched: Watched, path: str) -> None:
    """A transport that hands the request to a client of its own, at the same path or with the same body, sends one exchange."""
    with lib.Client(transport=mock(lib, answer())) as inside:

        class Gateway(lib.BaseTransport):  # type: ignore[name-defined, misc]
            def handle_request(self, sent: Any) -> Any:
                return inside.post(f"https://api.openai.com{path}", content=sent.content)

        with lib.Client(transport=Gateway()) as client:
            client.post(URL, content=REQUEST)

    assert watched.one.provider == "openai"


async def test_a_transport_that_sends_from_a_thread(lib: ModuleType, watched: Watched) -> None:
    """An async transport may send by a blocking client in an executor: it is the same exchange there."""
    with lib.Client(transport=mock(lib, answer())) as blocking:

        class Threaded(lib.AsyncBaseTransport):  # type: ignore[name-defined, misc]
            async def handle_async_request(self, sent: Any) -> Any:
                loop = asyncio.get_running_loop()
                got = await loop.run_in_executor(None, lambda: blocking.post(URL, content=sent.content))
                return lib.Response(got.status_code, content=got.content)

        async with lib.AsyncClient(transport=Threaded()) as client:
            await client.post(URL, content=REQUEST)

    assert watched.one.units == {"text": (100, 20)}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_closed_stream_closes_what_it_reads_from(watched: Watched, backend: str) -> None:
    """httpx2 closes the transport's generator with its own; it must not wait for the garbage collector behind a tap."""
    if backend == "trio":
        pytest.importorskip("trio")
    order: list[str] = []

    class Parts(httpx2.AsyncByteStream):
        async def __aiter__(self) -> Any:
            try:
                for part in STREAM:
                    yield part
            finally:
                order.append("generator")

        async def aclose(self) -> None:
            order.append("stream")

    async def main() -> None:
        transport = httpx2.MockTransport(lambda sent: httpx2.Response(200, stream=Parts()))
        async with httpx2.AsyncClient(transport=transport) as client:
            response = await client.send(client.build_request("POST", URL, content=REQUEST), stream=True)
            parts = response.aiter_raw()
            await parts.__anext__()
            await parts.aclose()
            order.append("application")

    anyio.run(main, backend=backend)

    assert order == ["generator", "stream", "application"]


def test_a_redirect_carries_the_request(lib: ModuleType, watched: Watched) -> None:
    """The second hop of a 307 has the model and the text of the first, and belongs to the same SDK call."""
    asked = request(stream=True, messages=[{"role": "user", "content": "word " * 400}])
    untold = stream_of(["The ", "fox"], usage=False)

    def handler(sent: Any) -> Any:
        if sent.url.host == "api.openai.com":
            return lib.Response(307, headers={"location": "https://eu.api.openai.com/v1/chat/completions"})
        return lib.Response(200, content=b"".join(untold))

    with lib.Client(transport=lib.MockTransport(handler), follow_redirects=True) as client:
        client.post(URL, content=asked)

    first, second = watched.events
    assert (first.http_status, second.http_status) == (307, 200)
    assert second.requested_resource == "gpt-4o-mini"
    assert second.units["text"][0] > 400
    assert second.call_group == first.call_group


def test_a_request_that_is_a_stream(lib: ModuleType, watched: Watched) -> None:
    """A body that only the transport may read is not counted as an empty one: the event says so."""
    untold = stream_of(["The ", "fox"], usage=False)
    with lib.Client(transport=mock(lib, untold)) as client:
        client.post(URL, content=iter([b'{"model": "gpt-4o-mini", "stream": true}']))

    event = watched.one
    assert event.cost_source == "estimate"
    assert (event.reason or "").endswith("the request not at all")


def test_a_coroutine_closed_elsewhere(lib: ModuleType, watched: Watched) -> None:
    """A call in flight whose loop is torn down is closed in any context; nothing of ours is raised there."""

    class Hanging(lib.AsyncBaseTransport):  # type: ignore[name-defined, misc]
        async def handle_async_request(self, sent: Any) -> Any:
            await _Pause()

    class _Pause:
        def __await__(self) -> Any:
            yield

    client = lib.AsyncClient(transport=Hanging())
    sending = client._transport_for_url(lib.URL(URL)).handle_async_request(lib.Request("POST", URL, content=REQUEST))
    contextvars.Context().run(sending.send, None)
    sending.close()

    assert watched.one.outcome == "aborted"


def test_an_answer_of_which_nothing_was_kept(
    lib: ModuleType, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    """A transport that read the stream itself and kept nothing leaves nothing to read; that is no fault of ours."""

    def handler(sent: Any) -> Any:
        response = lib.Response(200, stream=lib.ByteStream(answer()))
        for _ in response.iter_raw():
            pass
        return response

    with lib.Client(transport=lib.MockTransport(handler)) as client:
        client.send(client.build_request("POST", URL, content=REQUEST), stream=True)

    assert (watched.one.outcome, watched.one.cost) == ("unknown", None)
    assert "Traceback" not in caplog.text
