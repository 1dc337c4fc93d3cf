"""How a call ends: once, whatever becomes of its answer, and with an outcome that says what became of it."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import anyio
import httpx2
import pytest
from exchanges import (
    ANSWER,
    REQUEST,
    STREAM,
    STREAMED_REQUEST,
    URL,
    Parts,
    Watched,
    event,
    mock,
    request,
    send,
    stream_of,
)
from garbage import collect

from payi_middleware import current, frames, health, track
from payi_middleware.demo.standin import StandIn

UNTOLD = stream_of(["The ", "fox"], usage=False, finish=False, done=False)


def broken(lib: ModuleType, parts: list[bytes], error: Exception) -> Any:
    return lib.MockTransport(lambda sent: lib.Response(200, stream=Parts(lib, parts, error)))


def read_some(lib: ModuleType, is_async: bool, transport: Any, n: int, body: bytes = STREAMED_REQUEST) -> None:
    """Read `n` parts of a stream, then close it."""

    async def read() -> None:
        async with lib.AsyncClient(transport=transport) as client, client.stream("POST", URL, content=body) as response:
            parts = response.aiter_raw()
            for _ in range(n):
                await anext(parts)
            await parts.aclose()

    if is_async:
        asyncio.run(read())
        return
    with lib.Client(transport=transport) as client, client.stream("POST", URL, content=body) as response:
        for _ in itertools.islice(response.iter_raw(), n):
            pass


def test_a_stream_closed_early_is_aborted_and_estimated(lib: ModuleType, is_async: bool, watched: Watched) -> None:
    """What was received until then is counted, and marked as an estimate."""
    read_some(lib, is_async, mock(lib, STREAM), 2)
    ended = watched.one
    assert (ended.outcome, ended.error_type, ended.cost_source) == ("aborted", None, "estimate")
    assert ended.units["text"][1] == len(["The", " fox", " "])
    assert "counted with o200k_base" in (ended.reason or "")


def test_a_stream_closed_before_its_first_part_is_aborted(lib: ModuleType, is_async: bool, watched: Watched) -> None:
    """Nothing came, so nothing is counted, and the event says why."""
    read_some(lib, is_async, mock(lib, STREAM), 0)
    read_some(lib, is_async, mock(lib, [ANSWER]), 0, REQUEST)
    assert [(e.outcome, e.cost_source, e.first_byte_ns) for e in watched.events] == [("aborted", "none", None)] * 2
    assert all(e.reason for e in watched.events)


def test_a_stream_closed_after_its_last_event_is_ok(lib: ModuleType, is_async: bool, watched: Watched) -> None:
    """OpenAI's SDK stops at `[DONE]`, before exhaustion; a stream without usage ends with its finish reason."""
    read_some(lib, is_async, mock(lib, [*STREAM, b""]), len(STREAM))
    read_some(lib, is_async, mock(lib, [*stream_of(["fox"], usage=False), b""]), 3)
    assert [(e.outcome, e.cost_source) for e in watched.events] == [("ok", "usage"), ("ok", "estimate")]


def test_a_stream_that_breaks_off(lib: ModuleType, is_async: bool, watched: Watched) -> None:
    """The application gets its library's error; the event has the error's type and an estimate."""
    with pytest.raises(lib.ReadError):
        send(lib, is_async, broken(lib, UNTOLD, lib.ReadError("gone")))
    assert (watched.one.outcome, watched.one.error_type, watched.one.cost_source) == ("error", "ReadError", "estimate")


def test_a_stream_that_breaks_off_after_its_last_event_is_ok(lib: ModuleType, is_async: bool, watched: Watched) -> None:
    """The provider had said everything."""
    with pytest.raises(lib.ReadError):
        send(lib, is_async, broken(lib, STREAM, lib.ReadError("gone")))
    assert (watched.one.outcome, watched.one.error_type, watched.one.cost_source) == ("ok", None, "usage")


def test_a_timeout_in_the_middle(lib: ModuleType, is_async: bool, watched: Watched) -> None:
    """The outcome is a timeout, of whatever kind."""
    with pytest.raises(lib.ReadTimeout):
        send(lib, is_async, broken(lib, UNTOLD, lib.ReadTimeout("slow")))
    assert (watched.one.outcome, watched.one.error_type) == ("timeout", "ReadTimeout")


@pytest.mark.parametrize("kind", ["ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError"])
def test_no_answer_at_all(lib: ModuleType, is_async: bool, kind: str, watched: Watched) -> None:
    """A call that got no answer is an event without a cost, and the error goes through."""

    def refuse(sent: Any) -> Any:
        raise getattr(lib, kind)("no", request=sent)

    with pytest.raises(getattr(lib, kind)):
        send(lib, is_async, lib.MockTransport(refuse))
    ended = watched.one
    assert ended.outcome == ("timeout" if "Timeout" in kind else "error")
    assert (ended.error_type, ended.http_status, ended.cost_source) == (kind, None, "none")
    assert ended.reason == "no answer came"


def test_a_server_that_closes_the_connection(
    lib: ModuleType, is_async: bool, standin: StandIn, watched: Watched
) -> None:
    """Over a real connection that breaks in the middle, streamed or not."""
    for streamed in (True, False):
        body = request(stream=streamed, messages=[{"role": "user", "content": "#cut"}])

        async def post_async(body: bytes = body) -> None:
            async with lib.AsyncClient(trust_env=False) as client:
                await client.post(f"{standin.url}/v1/chat/completions", content=body)

        def post(body: bytes = body) -> None:
            with lib.Client(trust_env=False) as client:
                client.post(f"{standin.url}/v1/chat/completions", content=body)

        with pytest.raises(lib.RemoteProtocolError):
            asyncio.run(post_async()) if is_async else post()
    assert [(e.outcome, e.error_type) for e in watched.events] == [("error", "RemoteProtocolError")] * 2
    assert {e.cost_source for e in watched.events} == {"estimate"}


def test_a_server_that_is_too_slow(lib: ModuleType, standin: StandIn, watched: Watched) -> None:
    """A real read timeout before the answer, and one in the middle of a stream."""
    for marker, status in (("#slow=5", None), ("#pause=5", 200)):
        body = request(stream=True, messages=[{"role": "user", "content": marker}])
        with lib.Client(trust_env=False, timeout=0.2) as client, pytest.raises(lib.ReadTimeout):
            client.post(f"{standin.url}/v1/chat/completions", content=body)
        assert (watched.events[-1].outcome, watched.events[-1].http_status) == ("timeout", status)


def abandoned(lib: ModuleType, client: Any) -> None:
    response = client.send(client.build_request("POST", URL, content=STREAMED_REQUEST), stream=True)
    next(response.iter_raw())


def test_a_stream_abandoned_to_the_garbage_collector(lib: ModuleType, watched: Watched) -> None:
    """Its call ends when nobody holds the answer any more."""
    with lib.Client(transport=mock(lib, STREAM)) as client:
        abandoned(lib, client)
        collect()
        assert (watched.one.outcome, watched.one.cost_source) == ("aborted", "estimate")


async def test_an_async_stream_abandoned_to_the_garbage_collector(lib: ModuleType, watched: Watched) -> None:
    """The same for an async client."""
    async with lib.AsyncClient(transport=mock(lib, STREAM)) as client:

        async def abandon() -> None:
            response = await client.send(client.build_request("POST", URL, content=STREAMED_REQUEST), stream=True)
            parts = response.aiter_raw()
            await anext(parts)
            await parts.aclose()

        await abandon()
        for _ in range(10):  # the loop finishes one generator inside another
            collect()
            await asyncio.sleep(0)
        assert watched.one.outcome == "aborted"


def test_the_garbage_collector_may_come_in_the_middle_of_another_call(lib: ModuleType, watched: Watched) -> None:
    """Answers collected while this thread holds our own locks end all the same; nothing waits for itself."""
    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)  # as often as the interpreter allows
    try:
        with lib.Client(transport=mock(lib, STREAM)) as client, track(user_id="jane"):
            for _ in range(30):
                response = client.send(client.build_request("POST", URL, content=STREAMED_REQUEST), stream=True)
                cycle: list[Any] = [response]
                cycle.append(cycle)
                del response, cycle
            client.post(URL, content=STREAMED_REQUEST)
            collect()
            assert current().pending == 0
    finally:
        gc.set_threshold(*before)
    assert len(watched.events) == 31


@pytest.mark.parametrize("lock", ["accounts", "health", "spool", "estimates", "flusher"])
def test_the_garbage_collector_may_come_while_a_lock_is_held(lock: str, watched: Watched) -> None:
    """Whichever of our locks this thread holds as an answer is collected, its call ends without waiting for it."""
    meter = watched.meter
    locks: dict[str, Any] = {
        "accounts": frames._accounts,
        "health": health._lock,
        "spool": meter.spool.lock,
        "estimates": meter.estimates._lock,
        "flusher": meter.flusher._changed,
    }
    ended = threading.Event()

    def abandon() -> None:
        with httpx2.Client(transport=mock(httpx2, STREAM)) as client, track(user_id="jane"):
            response = client.send(client.build_request("POST", URL, content=STREAMED_REQUEST), stream=True)
            parts = response.iter_raw()
            next(parts)
            with locks[lock]:
                del response, parts
                collect()
        ended.set()

    threading.Thread(target=abandon, daemon=True).start()
    assert ended.wait(10)
    assert watched.one.outcome == "aborted"


def test_close_and_error_and_collection_together_end_a_call_once(lib: ModuleType, watched: Watched) -> None:
    """An answer that breaks, is closed twice and then dropped is one event; the first end counts."""
    with lib.Client(transport=broken(lib, UNTOLD, lib.ReadError("gone"))) as client:
        response = client.send(client.build_request("POST", URL, content=STREAMED_REQUEST), stream=True)
        with pytest.raises(lib.ReadError):
            list(response.iter_raw())
        response.close()
        response.close()
        response.stream.close()
        del response
        collect()
    assert (watched.one.outcome, watched.one.error_type) == ("error", "ReadError")


def test_two_threads_end_a_call_once(lib: ModuleType, watched: Watched) -> None:
    """However many threads close an answer at the same time."""
    with lib.Client(transport=mock(lib, STREAM)) as client, track(user_id="jane"):
        for _ in range(20):
            response = client.send(client.build_request("POST", URL, content=STREAMED_REQUEST), stream=True)
            barrier = threading.Barrier(4)

            def close(response: Any = response, barrier: threading.Barrier = barrier) -> None:
                barrier.wait()
                response.stream.close()

            threads = [threading.Thread(target=close) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert (current().calls, current().pending) == (20, 0)
    assert len(watched.events) == 20


class Endless:
    """A stream that waits for ever after its first part, if need be before it."""

    def __init__(self, parts: list[bytes]) -> None:
        self.parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            yield part
        await anyio.sleep_forever()

    async def aclose(self) -> None:
        pass


def endless(lib: ModuleType, parts: list[bytes]) -> Any:
    kind = type("Kind", (Endless, lib.AsyncByteStream), {})
    return lib.MockTransport(lambda sent: lib.Response(200, stream=kind(parts)))


async def test_a_task_that_is_cancelled(lib: ModuleType, watched: Watched) -> None:
    """A cancelled reader's call is aborted, and the cancellation goes through."""
    started = asyncio.Event()

    async def read() -> None:
        client = lib.AsyncClient(transport=endless(lib, UNTOLD))
        async with client, client.stream("POST", URL, content=STREAMED_REQUEST) as response:
            async for _ in response.aiter_raw():
                started.set()

    task = asyncio.create_task(read())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (watched.one.outcome, watched.one.cost_source) == ("aborted", "estimate")


async def test_a_task_that_is_cancelled_before_the_answer(lib: ModuleType, watched: Watched) -> None:
    """So is one whose request has not been answered."""
    started = asyncio.Event()

    async def never(sent: Any) -> Any:
        started.set()
        await asyncio.Event().wait()

    async with lib.AsyncClient(transport=lib.MockTransport(never)) as client:
        task = asyncio.create_task(client.post(URL, content=REQUEST))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (watched.one.outcome, watched.one.error_type, watched.one.http_status) == ("aborted", "CancelledError", None)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancel_scope(lib: ModuleType, backend: str, watched: Watched) -> None:
    """anyio's cancellation is one, on either of its backends."""
    if backend == "trio":
        pytest.importorskip("trio")

    async def read() -> None:
        async with lib.AsyncClient(transport=endless(lib, UNTOLD)) as client:
            with anyio.CancelScope() as scope:
                async with client.stream("POST", URL, content=STREAMED_REQUEST) as response:
                    async for _ in response.aiter_raw():
                        scope.cancel()
            assert scope.cancelled_caught

    anyio.run(read, backend=backend)
    assert watched.one.outcome == "aborted"


def test_an_error_event_in_a_stream(lib: ModuleType, is_async: bool, watched: Watched) -> None:
    """A provider that gives up in the middle of a stream makes an error of it, though HTTP says 200."""
    parts = [*UNTOLD, event({"error": {"type": "server_error", "code": "overloaded", "message": "Try again, Jane."}})]
    send(lib, is_async, mock(lib, parts))
    assert (watched.one.outcome, watched.one.error_type) == ("error", "overloaded")
    assert "Jane" not in watched.one.to_json()


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503, 529])
def test_a_refusal(lib: ModuleType, is_async: bool, status: int, watched: Watched) -> None:
    """A refused call has its status and no cost made up, whatever its body."""
    transports = [mock(lib, body, status) for body in (b"", b"<html>", b'{"error": {"code": "no_way"}}', [b"x"])]
    for transport in transports:
        send(lib, is_async, transport)
    events = watched.events
    assert {(e.outcome, e.http_status, e.cost, e.reason) for e in events} == {
        ("error", status, None, f"the provider answered {status}")
    }
    assert [e.error_type for e in events] == [f"http_{status}", f"http_{status}", "no_way", f"http_{status}"]


def test_a_refusal_costs_nothing_and_that_is_known(lib: ModuleType, watched: Watched) -> None:
    """The running request's cost stays complete beside a refused attempt; it does not beside an aborted call."""
    with track(user_id="jane"):
        send(lib, False, mock(lib, b"", 500))
        assert current().complete
        read_some(lib, False, mock(lib, STREAM), 0)
        assert not current().complete
        assert current().cost == 0


def test_a_hook_of_the_application_that_raises(lib: ModuleType, watched: Watched) -> None:
    """The library closes the answer, unread, and the call ends with it."""

    def refuse(response: Any) -> None:
        raise ValueError("not this one")

    client = lib.Client(transport=mock(lib, STREAM), event_hooks={"response": [refuse]})
    with client, pytest.raises(ValueError, match="not this one"):
        client.post(URL, content=STREAMED_REQUEST)
    assert watched.one.outcome == "aborted"


def test_the_answer_is_let_go_when_its_call_ends(watched: Watched) -> None:
    """Who keeps a response keeps no second copy of it in us."""
    with httpx2.Client(transport=mock(httpx2, [b"x" * 500_000, b"y" * 500_000])) as client:
        response = client.post(URL, content=REQUEST)
        call = response.stream._stream._call
        assert (call.parts, call.body) == ([], None)
