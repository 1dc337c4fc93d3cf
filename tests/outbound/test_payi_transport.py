"""`PayiTransport`: one client without any patch, and attempt by attempt inside a transport that retries."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Any

import pytest
from exchanges import ANSWER, REQUEST, STREAM, STREAMED_REQUEST, URL, Watched, mock, send

from payi_middleware import PayiTransport, current, health, instrument, track, uninstrument
from payi_middleware.meter import default_meter


def retrying(lib: ModuleType, inner: Any, attempts: int = 3) -> Any:
    """A transport that tries again by itself, as retry libraries are."""

    class Retrying(lib.BaseTransport, lib.AsyncBaseTransport):  # type: ignore[name-defined,misc]
        def handle_request(self, request: Any) -> Any:
            for attempt in range(attempts):
                response = inner.handle_request(request)
                if response.status_code < 500 or attempt == attempts - 1:
                    return response
                response.close()
            raise AssertionError

        async def handle_async_request(self, request: Any) -> Any:
            for attempt in range(attempts):
                response = await inner.handle_async_request(request)
                if response.status_code < 500 or attempt == attempts - 1:
                    return response
                await response.aclose()
            raise AssertionError

    return Retrying()


def failing_first(lib: ModuleType, failures: int, seen: list[Any] | None = None) -> Any:
    """A provider that refuses, then answers."""
    left = iter(range(failures))

    def handler(request: Any) -> Any:
        if seen is not None:
            seen.append(dict(request.headers))
        return lib.Response(200, content=ANSWER) if next(left, None) is None else lib.Response(503, content=b"busy")

    return lib.MockTransport(handler)


def test_alone(lib: ModuleType, is_async: bool, unhooked: Watched) -> None:
    """A wrapped transport sees its client's calls; nothing is patched, and no other client is seen."""
    before = lib.Client.__dict__["_transport_for_url"]
    seen = send(lib, is_async, PayiTransport(mock(lib, STREAM), unhooked.meter), "iter_raw")
    send(lib, is_async, mock(lib, STREAM))
    assert lib.Client.__dict__["_transport_for_url"] is before
    assert seen == STREAM
    assert (unhooked.one.units, unhooked.one.outcome) == ({"text": (100, 20)}, "ok")


def test_beside_the_hook(lib: ModuleType, is_async: bool, watched: Watched) -> None:
    """With the hook outside of it a call is one event, and the running request counts it once."""
    with track(user_id="jane"):
        send(lib, is_async, PayiTransport(mock(lib, STREAM)))
        assert (current().calls, current().pending) == (1, 0)
    assert watched.one.user_id == "jane"


def test_inside_itself(lib: ModuleType, is_async: bool, watched: Watched) -> None:
    """The innermost sees the exchange, the others give way."""
    send(lib, is_async, PayiTransport(PayiTransport(mock(lib, STREAM))))
    assert watched.one.outcome == "ok"
    assert health.counters()["unattributed"] == 1


def test_a_retrying_transport_is_one_exchange(lib: ModuleType, is_async: bool, watched: Watched) -> None:
    """What a transport does inside itself is its own affair: one event, with the last answer."""
    send(lib, is_async, retrying(lib, failing_first(lib, 2)))
    assert (watched.one.http_status, watched.one.attempt) == (200, 1)


def test_inside_a_retrying_transport(lib: ModuleType, is_async: bool, watched: Watched) -> None:
    """A `PayiTransport` put inside sees attempt by attempt; the outer face has no event of its own."""
    with track(user_id="jane"):
        send(lib, is_async, retrying(lib, PayiTransport(failing_first(lib, 2))), body=REQUEST)
        assert (current().calls, current().pending) == (3, 0)
    events = watched.events
    assert [(e.http_status, e.attempt, e.outcome) for e in events] == [
        (503, 1, "error"),
        (503, 2, "error"),
        (200, 3, "ok"),
    ]
    assert {e.call_group for e in events} == {events[0].event_id}
    assert [e.cost is None for e in events] == [True, True, False]


def test_inside_a_retrying_transport_that_fails(lib: ModuleType, is_async: bool, watched: Watched) -> None:
    """An error that every attempt ends with is each attempt's own event, and none of the outer face's."""

    def refuse(request: Any) -> Any:
        raise lib.ConnectError("no")

    with pytest.raises(lib.ConnectError):
        send(lib, is_async, retrying(lib, PayiTransport(lib.MockTransport(refuse))))
    assert [(e.error_type, e.attempt) for e in watched.events] == [("ConnectError", 1)]


def test_headers_of_the_call_reach_the_inner_face(lib: ModuleType, is_async: bool, watched: Watched) -> None:
    """The outer face took them off the request; each attempt is for the same user, and none reaches the provider."""
    seen: list[Any] = []
    transport = retrying(lib, PayiTransport(failing_first(lib, 1, seen)))
    headers = {"xProxy-User-ID": "jane", "xProxy-UseCase-Name": "Foxes"}

    async def post() -> None:
        async with lib.AsyncClient(transport=transport) as client:
            await client.post(URL, content=REQUEST, headers=headers)

    if is_async:
        asyncio.run(post())
    else:
        with lib.Client(transport=transport) as client:
            client.post(URL, content=REQUEST, headers=headers)
    assert [(e.user_id, e.use_case_name) for e in watched.events] == [("jane", "Foxes")] * 2
    assert not [name for sent in seen for name in sent if name.lower().startswith("xproxy")]


def test_a_transport_that_makes_its_own_requests(lib: ModuleType, watched: Watched) -> None:
    """Where a retrying transport sends copies, the call's headers still reach the inner face."""
    inner = PayiTransport(mock(lib, ANSWER))

    class Copying(lib.BaseTransport):  # type: ignore[name-defined,misc]
        def handle_request(self, request: Any) -> Any:
            return inner.handle_request(lib.Request("POST", request.url, content=request.content))

    with lib.Client(transport=Copying()) as client:
        client.post(URL, content=REQUEST, headers={"xProxy-User-ID": "jane"})
    assert watched.one.user_id == "jane"


def test_a_clients_retries_with_both_faces(lib: ModuleType, watched: Watched) -> None:
    """What the outer face knows of earlier attempts reaches the inner one."""
    with lib.Client(transport=PayiTransport(failing_first(lib, 2))) as client:
        for count in range(3):
            client.post(URL, content=REQUEST, headers={"x-stainless-retry-count": str(count)})
    events = watched.events
    assert [e.attempt for e in events] == [1, 2, 3]
    assert {e.call_group for e in events} == {events[0].event_id}


def test_the_default_meter(lib: ModuleType, unhooked: Watched, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Without a meter it takes the running block's, `instrument`'s or the process's own."""
    monkeypatch.chdir(tmp_path)
    with track(meter=unhooked.meter):
        send(lib, False, PayiTransport(mock(lib, STREAM)))
    instrument(unhooked.meter)
    uninstrument()
    default = Watched()
    default_meter()._given_sinks = [default.sink]
    default_meter()._fresh()
    send(lib, False, PayiTransport(mock(lib, STREAM)))
    assert default_meter().flush()
    assert (len(unhooked.events), len(default.sink.events)) == (1, 1)
    default.meter.close()


def test_other_hosts_and_settings_that_cannot_be_read(
    lib: ModuleType, is_async: bool, unhooked: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that is no provider goes through; so does everything if our settings are nonsense."""
    transport = PayiTransport(mock(lib, ANSWER), unhooked.meter)
    with lib.Client(transport=mock(lib, ANSWER)) as client:
        assert client.get("https://example.com").content == ANSWER
    monkeypatch.setenv("PAYI_STORE", "nonsense")
    assert send(lib, is_async, PayiTransport(mock(lib, [ANSWER]))) == [ANSWER]
    assert health.counters() == {"hook": 1}
    monkeypatch.undo()

    async def get() -> None:
        async with lib.AsyncClient(transport=transport) as client:
            await client.get("https://example.com")

    asyncio.run(get())
    assert unhooked.events == []


def test_it_opens_and_closes_what_is_inside(lib: ModuleType, is_async: bool, unhooked: Watched) -> None:
    """Entering and leaving a client enters and leaves the inner transport."""
    told: list[str] = []

    class Sync(lib.BaseTransport):  # type: ignore[name-defined,misc]
        name = "sync"

        def handle_request(self, request: Any) -> Any:
            return lib.Response(200, content=ANSWER)

        def __enter__(self) -> Any:
            told.append("enter")
            return self

        def __exit__(self, *error: Any) -> None:
            told.append("exit")

        def close(self) -> None:
            told.append("close")

    class Async(lib.AsyncBaseTransport):  # type: ignore[name-defined,misc]
        name = "async"

        async def handle_async_request(self, request: Any) -> Any:
            return lib.Response(200, content=ANSWER)

        async def __aenter__(self) -> Any:
            told.append("enter")
            return self

        async def __aexit__(self, *error: Any) -> None:
            told.append("exit")

        async def aclose(self) -> None:
            told.append("close")

    transport: Any = PayiTransport(Async() if is_async else Sync(), unhooked.meter)
    assert isinstance(transport, lib.AsyncBaseTransport if is_async else lib.BaseTransport)
    assert not isinstance(transport, lib.BaseTransport if is_async else lib.AsyncBaseTransport)
    assert transport.name == ("async" if is_async else "sync")
    assert send(lib, is_async, transport) == [ANSWER]

    async def close() -> None:
        if is_async:
            await lib.AsyncClient(transport=transport).aclose()
        else:
            lib.Client(transport=transport).close()

    asyncio.run(close())
    assert told == ["enter", "exit", "close"]
    assert copy.copy(transport).inner is transport.inner


def test_a_transport_for_either_client(lib: ModuleType, is_async: bool, unhooked: Watched) -> None:
    """`MockTransport` serves both kinds of clients, and so does it when wrapped, streams included."""

    class Body(lib.SyncByteStream, lib.AsyncByteStream):  # type: ignore[name-defined,misc]
        def __iter__(self) -> Iterator[bytes]:
            yield from STREAM

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for part in STREAM:
                yield part

    wrapped: Any = PayiTransport(lib.MockTransport(lambda sent: lib.Response(200, stream=Body())), unhooked.meter)
    assert isinstance(wrapped, lib.BaseTransport)
    assert isinstance(wrapped, lib.AsyncBaseTransport)
    assert send(lib, is_async, wrapped, "iter_bytes", STREAMED_REQUEST) == STREAM
    assert unhooked.one.outcome == "ok"


def test_what_is_no_transport() -> None:
    """Anything else is refused at once, by name."""
    with pytest.raises(TypeError, match="dict is no transport of httpx or httpx2"):
        PayiTransport({})
