"""Prompts, answers, tools and keys as the providers' own SDKs send and get them: in no byte that we write.

Each is marked, and every file, log line and event is searched for the marks. A user whose name is marked too shows that
the search finds what is there.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest
from google import genai
from google.genai import types
from mocked import stored

from payi_middleware import Meter, instrument, track, use_case
from payi_middleware.demo import wire
from payi_middleware.demo.standin import StandIn

MARKS = (b"canary", b"paris", b"the stand-in was asked")
"""All that is ours; the arguments of the stand-in's tool call; its error message. In lower case."""
WITNESS = "witness-of-the-search"

HOSTS = ("openai", "azure", "anthropic", "google")
HEADERS = {
    "OpenAI-Organization": "CANARY-org",
    "OpenAI-Project": "CANARY-project",
    "anthropic-organization-id": "CANARY-org",
}
SAID = "CANARY-prompt "
SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "description": "CANARY-schema"}}}
FAULTS = ("#fail-500", "#fail-429-once", "#cut", "#malformed", "#no-usage", "#gzip")


@pytest.fixture
def providers(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, StandIn]]:
    """A stand-in for each provider; every token of an answer is marked."""
    monkeypatch.setattr(wire, "_WORDS", ("CANARY-answer ",))
    with ExitStack() as stack:
        yield {name: stack.enter_context(StandIn()) for name in HOSTS}


def openai_calls(client: openai.OpenAI) -> None:
    def ask(text: str = "", **more: Any) -> Any:
        messages: Any = [{"role": "system", "content": SAID}, {"role": "user", "content": SAID + text}]
        return client.chat.completions.create(model="gpt-4o-mini", messages=messages, **more)

    tool = {"type": "function", "function": {"name": "CANARY_tool", "description": SAID, "parameters": SCHEMA}}
    ask(user="CANARY-end-user", metadata={"CANARY": "CANARY"})
    called = ask(tools=[tool]).choices[0].message
    assert called.tool_calls[0].function.name == "CANARY_tool"
    list(ask(stream=True, stream_options={"include_usage": True}))
    list(ask(stream=True))  # no usage: an estimate, counted from the very text
    list(ask(tools=[tool], stream=True))
    with ask("#pause=0.01", stream=True) as stream:  # aborted
        assert "CANARY-answer" in [next(stream) for _ in range(3)][2].choices[0].delta.content
    for fault in FAULTS:
        for streamed in (False, True):
            try:
                answer = ask(fault, stream=streamed)
                list(answer) if streamed else answer
            except (openai.APIError, httpx2.HTTPError, json.JSONDecodeError):
                pass
    client.responses.create(model="gpt-4o-mini", input=SAID, instructions=SAID)
    list(client.responses.create(model="gpt-4o-mini", input=SAID, stream=True))
    client.embeddings.create(model="text-embedding-3-small", input=[SAID, SAID])


async def async_calls(provider: StandIn) -> None:
    http_client = openai.DefaultAsyncHttpxClient(trust_env=False)
    async with openai.AsyncOpenAI(
        base_url=provider.url + "/v1", api_key="sk-CANARY-key", organization="CANARY-org", http_client=http_client
    ) as client:

        async def ask() -> None:
            messages: Any = [{"role": "user", "content": SAID + "#slow=30"}]
            await client.chat.completions.create(model="gpt-4o-mini", messages=messages)

        task = asyncio.create_task(ask())
        while not any(b"#slow" in seen.body for seen in provider.requests):
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def anthropic_calls(client: anthropic.Anthropic) -> None:
    def ask(text: str = "", **more: Any) -> Any:
        messages: Any = [{"role": "user", "content": SAID + text}]
        return client.messages.create(model="claude-haiku-4-5", max_tokens=50, system=SAID, messages=messages, **more)

    tool = {"name": "CANARY_tool", "description": SAID, "input_schema": SCHEMA}
    ask(metadata={"user_id": "CANARY-end-user"})
    assert ask(tools=[tool]).content[0].name == "CANARY_tool"
    list(ask(stream=True))
    with ask("#pause=0.01", stream=True) as stream:
        next(stream)
    for fault in FAULTS:
        try:
            ask(fault)
        except (anthropic.APIError, httpx2.HTTPError, json.JSONDecodeError):
            pass


def gemini_calls(client: genai.Client, url: str) -> None:
    model = "gemini-2.5-flash"
    config = types.GenerateContentConfig(
        system_instruction=SAID,
        tools=[types.Tool(function_declarations=[types.FunctionDeclaration(name="CANARY_tool", description=SAID)])],
    )
    client.models.generate_content(model=model, contents=SAID)
    client.models.generate_content(model=model, contents=SAID, config=config)
    list(client.models.generate_content_stream(model=model, contents=SAID))
    for fault in ("#fail-500", "#no-usage"):
        try:
            client.models.generate_content(model=model, contents=SAID + fault)
        except genai.errors.APIError:
            pass
    body = {"contents": [{"parts": [{"text": SAID}]}]}
    for library in (httpx, httpx2):
        with library.Client(trust_env=False) as plain:
            for method in ("generateContent", "streamGenerateContent"):
                plain.post(f"{url}/v1beta/models/{model}:{method}?alt=sse&key=AIza-CANARY-key", json=body)


def call_all(providers: dict[str, StandIn]) -> None:
    """Every SDK, each with a marked key; what is sent is what the stand-ins are asked for below."""
    key, place = "sk-CANARY-key", providers["openai"].url + "/v1"
    free: Any = {"default_headers": HEADERS, "max_retries": 1}
    with openai.OpenAI(
        base_url=place, api_key=key, organization="CANARY-org", project="CANARY-project",
        http_client=openai.DefaultHttpxClient(trust_env=False), **free,
    ) as client:  # fmt: skip
        openai_calls(client.with_options(max_retries=0))
        client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": SAID + "#fail-503-once"}]
        )
    asyncio.run(async_calls(providers["openai"]))
    with openai.AzureOpenAI(
        azure_endpoint=providers["azure"].url, api_key=key, api_version="2024-10-21",
        http_client=openai.DefaultHttpxClient(trust_env=False), **free,
    ) as client:  # fmt: skip
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": SAID}])
    with anthropic.Anthropic(
        base_url=providers["anthropic"].url, api_key=key, max_retries=0,
        default_headers=HEADERS | {"x-api-key": key},  # this SDK sends its key as a bearer token, others do not
        http_client=anthropic.DefaultHttpxClient(trust_env=False),
    ) as claude:  # fmt: skip
        anthropic_calls(claude)
    options = types.HttpOptions(base_url=providers["google"].url, client_args={"trust_env": False}, headers=HEADERS)
    gemini = genai.Client(api_key="AIza-CANARY-key", http_options=options)
    try:
        gemini_calls(gemini, providers["google"].url)
    finally:
        gemini.close()


def sent(providers: dict[str, StandIn]) -> set[str]:
    """Which headers and query strings had a mark when they came to the provider."""
    found: set[str] = set()
    for provider in providers.values():
        for seen in provider.requests:
            found |= {name for name, value in seen.headers.items() if "CANARY" in value}
            found |= {"?key="} if "key=AIza-CANARY-key" in seen.query else set()
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes().lower() for path in folder.rglob("*") if path.is_file()}


def test_nothing_that_sdks_send_or_get_is_written(
    tmp_path: Path, providers: dict[str, StandIn], caplog: pytest.LogCaptureFixture
) -> None:
    """Plain, streamed, failed, broken, aborted, cancelled, estimated and tool calls: marked all over, and unmarked here."""
    caplog.set_level(logging.DEBUG, logger="payi_middleware")
    with Meter(
        f"sqlite:///{tmp_path}/payi.db", hosts={standin.host: name for name, standin in providers.items()}
    ) as meter:
        instrument(meter)
        with track(user_id=WITNESS, account_name="Ours"), use_case("Search"):
            call_all(providers)
        assert meter.flush(30)
        written = files(tmp_path)  # while the meter is open: its last segment and the database's log are there
        told = json.dumps(meter.health(), default=str)
    written |= {f"{name} afterwards": data for name, data in files(tmp_path).items()}
    events = stored(tmp_path)
    logged = [record for record in caplog.records if record.name.startswith("payi_middleware")]
    written["log"] = "\n".join(map(logging.Formatter().format, logged)).lower().encode()
    written["log's arguments"] = repr([record.__dict__ for record in logged]).lower().encode()
    written["health"] = told.lower().encode()
    written["events"] = "\n".join(event.to_json() for event in events).lower().encode()

    assert sent(providers) >= {
        "authorization", "api-key", "x-api-key", "x-goog-api-key", "?key=", "openai-organization", "openai-project",
    }  # fmt: skip
    assert [event.user_id for event in events] == [WITNESS] * len(events)
    assert len(events) == sum(len(provider.requests) for provider in providers.values())
    assert {event.provider for event in events} == set(HOSTS)
    assert {event.outcome for event in events} == {"ok", "error", "aborted"}
    assert {event.cost_source for event in events} >= {"usage", "estimate"}
    for mark in MARKS:
        assert [name for name, data in written.items() if mark in data] == [], mark
    found = {name for name, data in written.items() if WITNESS.encode() in data}
    assert {"payi.db afterwards", "events"} <= found
    assert any(name.endswith(".spool") for name in found)
