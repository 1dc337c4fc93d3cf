"""Attempts: an SDK's retries are events of one group, and nothing else is joined."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from types import ModuleType
from typing import Any

import anthropic
import openai
import pytest
from exchanges import ANSWER, REQUEST, URL, Watched, request

from payi_middleware import attempts, track
from payi_middleware.demo.standin import StandIn

FOX = [{"role": "user", "content": "Tell me about the fox."}]


def groups(watched: Watched) -> list[tuple[int, int, int | None]]:
    """(number of the group, attempt, status) of each event."""
    events = watched.events
    numbers = {group: n for n, group in enumerate(dict.fromkeys(e.call_group for e in events))}
    return [(numbers[e.call_group], e.attempt, e.http_status) for e in events]


def provider(lib: ModuleType, statuses: list[int]) -> Any:
    """A transport that answers with one status after the other."""
    left = iter(statuses)

    def handler(sent: Any) -> Any:
        status = next(left)
        return lib.Response(status, content=ANSWER if status == 200 else b"{}")

    return lib.MockTransport(handler)


@pytest.mark.parametrize("status", [429, 500])
def test_openais_retries(standin: StandIn, status: int, watched: Watched) -> None:
    """Each attempt has its number, the failed ones their status and no cost."""
    standin.clear()
    with openai.OpenAI(
        base_url=standin.url + "/v1",
        api_key="none",
        max_retries=1,
        http_client=openai.DefaultHttpxClient(trust_env=False),
    ) as client:
        text = f"#fail-{status}-once=sync"
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": text}])
        with pytest.raises(openai.APIStatusError):
            client.chat.completions.create(
                model="gpt-4o-mini", messages=[{"role": "user", "content": f"#fail-{status}"}], stream=True
            )
    assert groups(watched) == [(0, 1, status), (0, 2, 200), (1, 1, status), (1, 2, status)]
    assert [(e.outcome, e.cost_source) for e in watched.events] == [
        ("error", "none"),
        ("ok", "usage"),
        ("error", "none"),
        ("error", "none"),
    ]


async def test_anthropics_retries(standin: StandIn, watched: Watched) -> None:
    """The same for another SDK, asynchronous, three times over."""
    standin.clear()
    standin_host = {standin.host: "anthropic"}
    other = Watched(hosts=standin_host)
    http_client = anthropic.DefaultAsyncHttpxClient(trust_env=False)
    async with anthropic.AsyncAnthropic(
        base_url=standin.url, api_key="none", max_retries=2, http_client=http_client
    ) as c:
        with track(user_id="jane", meter=other.meter), pytest.raises(anthropic.InternalServerError):
            await c.messages.create(
                model="claude-sonnet-5", max_tokens=9, messages=[{"role": "user", "content": "#fail-500"}]
            )
    assert groups(other) == [(0, 1, 500), (0, 2, 500), (0, 3, 500)]
    other.meter.close()


async def test_sdks_that_retry_side_by_side(standin: StandIn, watched: Watched) -> None:
    """Of many tasks that fail and retry at the same time each is a group of its own."""
    standin.clear()
    http_client = openai.DefaultAsyncHttpxClient(trust_env=False)
    async with openai.AsyncOpenAI(base_url=standin.url + "/v1", api_key="none", http_client=http_client) as client:

        async def ask(name: str) -> None:
            text = f"#fail-429-once={name}"
            await client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": text}])

        await asyncio.gather(*(ask(f"task{n}") for n in range(8)))
    told = groups(watched)
    assert len({group for group, _, _ in told}) == 8
    assert sorted(attempt for _, attempt, _ in told) == [1] * 8 + [2] * 8
    assert all((attempt, status) in ((1, 429), (2, 200)) for _, attempt, status in told)


def test_a_retry_by_hand(lib: ModuleType, watched: Watched) -> None:
    """The same request again in the same task, after a failure, is another attempt; after a success it is not."""
    with lib.Client(transport=provider(lib, [500, 500, 200, 200])) as client:
        for _ in range(4):
            client.post(URL, content=REQUEST)
    assert groups(watched) == [(0, 1, 500), (0, 2, 500), (0, 3, 200), (1, 1, 200)]


def test_another_request_after_a_failure(lib: ModuleType, watched: Watched) -> None:
    """Another request is no attempt of the one that failed."""
    with lib.Client(transport=provider(lib, [500, 200, 200])) as client:
        client.post(URL, content=REQUEST)
        client.post(URL, content=request(model="gpt-4o"))
        client.post(URL, content=REQUEST)
    assert groups(watched) == [(0, 1, 500), (1, 1, 200), (2, 1, 200)]


def test_the_sdks_count_decides(lib: ModuleType, watched: Watched) -> None:
    """An SDK that says it is the first attempt is believed, and so is one that changed the body of its second."""
    with lib.Client(transport=provider(lib, [500, 500, 200])) as client:
        client.post(URL, content=REQUEST, headers={"x-stainless-retry-count": "0"})
        client.post(URL, content=REQUEST, headers={"x-stainless-retry-count": "0"})
        client.post(URL, content=request(seed=1), headers={"x-stainless-retry-count": "1"})
    assert groups(watched) == [(0, 1, 500), (1, 1, 500), (1, 2, 200)]


def test_a_retry_after_an_error(lib: ModuleType, is_async: bool, watched: Watched) -> None:
    """No connection, or an answer that breaks off while it is read, is a failure too."""
    left = iter([lib.ConnectError, lib.ReadError, None])

    def handler(sent: Any) -> Any:
        error = next(left)
        if error is lib.ConnectError:
            raise error("no")

        class Broken(lib.SyncByteStream, lib.AsyncByteStream):  # type: ignore[name-defined,misc]
            def __iter__(self) -> Any:
                yield ANSWER[:10]
                if error:
                    raise error("gone")
                yield ANSWER[10:]

            async def __aiter__(self) -> Any:
                for part in self:
                    yield part

        return lib.Response(200, stream=Broken())

    async def ask() -> None:
        async with lib.AsyncClient(transport=lib.MockTransport(handler)) as client:
            for _ in range(3):
                try:
                    await client.post(URL, content=REQUEST)
                except lib.TransportError:
                    continue

    if is_async:
        asyncio.run(ask())
    else:
        with lib.Client(transport=lib.MockTransport(handler)) as client:
            for _ in range(3):
                try:
                    client.post(URL, content=REQUEST)
                except lib.TransportError:
                    continue
    assert groups(watched) == [(0, 1, None), (0, 2, 200), (0, 3, 200)]
    assert [e.outcome for e in watched.events] == ["error", "error", "ok"]


async def test_parallel_tasks_are_never_joined(lib: ModuleType, watched: Watched) -> None:
    """Tasks started after a failure carry its memory; only one of them can be its retry."""
    async with lib.AsyncClient(transport=provider(lib, [500, *[200] * 5])) as client:
        await client.post(URL, content=REQUEST)
        await asyncio.gather(*(client.post(URL, content=REQUEST) for _ in range(5)))
    told = groups(watched)
    assert sorted(attempt for _, attempt, _ in told) == [1, 1, 1, 1, 1, 2]
    assert len({group for group, _, _ in told}) == 5


def test_the_next_request_of_a_thread_is_not_the_last_ones_retry(lib: ModuleType, watched: Watched) -> None:
    """A worker's thread keeps its context between requests: John's call is not Jane's second attempt."""
    with lib.Client(transport=provider(lib, [500, 200, 500, 200])) as client:
        with track(user_id="jane"):
            client.post(URL, content=REQUEST)
        with track(user_id="john"):
            client.post(URL, content=REQUEST)
            client.post(URL, content=request(model="gpt-4o"))
        client.post(URL, content=request(model="gpt-4o"))
    assert groups(watched) == [(0, 1, 500), (1, 1, 200), (2, 1, 500), (3, 1, 200)]


def test_a_loop_that_asks_the_same_again_much_later(
    lib: ModuleType, monkeypatch: pytest.MonkeyPatch, watched: Watched
) -> None:
    """Ten minutes after a failure the same request is the next round, not a retry."""
    with lib.Client(transport=provider(lib, [500, 200])) as client:
        client.post(URL, content=REQUEST)
        monkeypatch.setattr(attempts, "_RETRY_NS", -1)
        client.post(URL, content=REQUEST)
    assert groups(watched) == [(0, 1, 500), (1, 1, 200)]


def test_another_thread_is_another_context(lib: ModuleType, watched: Watched) -> None:
    """What failed in one thread is not retried by another."""
    with lib.Client(transport=provider(lib, [500, 200])) as client:
        client.post(URL, content=REQUEST)
        thread = threading.Thread(target=lambda: contextvars.Context().run(client.post, URL, content=REQUEST))
        thread.start()
        thread.join()
    assert groups(watched) == [(0, 1, 500), (1, 1, 200)]
