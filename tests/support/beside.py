"""What tests beside others have in common: a process of their own, and calls of every kind in it."""

from __future__ import annotations

import subprocess
import sys
import textwrap

__all__ = ["in_a_process"]

_PREPARED = """
import asyncio, json
import httpx, httpx2, openai
from payi_middleware import Meter, current, instrument, track, uninstrument
from payi_middleware.demo.standin import StandIn
from payi_middleware.sinks.memory import MemorySink

sink = MemorySink()
standin = StandIn()
meter = Meter("sqlite:///:memory:", sinks=[sink], hosts={standin.host: "openai"})
base = {"base_url": standin.url + "/v1", "api_key": "none", "max_retries": 0}
ask = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Tell me about the fox."}]}
streamed = {**ask, "stream": True, "stream_options": {"include_usage": True}}

def call_all():
    \"\"\"Four calls: sync and async, streamed and not, through the real SDK.\"\"\"
    with openai.OpenAI(**base, http_client=openai.DefaultHttpxClient(trust_env=False)) as client:
        client.chat.completions.create(**ask)
        for _ in client.chat.completions.create(**streamed):
            pass
    asyncio.run(call_async())

async def call_async():
    async with openai.AsyncOpenAI(**base, http_client=openai.DefaultAsyncHttpxClient(trust_env=False)) as client:
        await client.chat.completions.create(**ask)
        async for _ in await client.chat.completions.create(**streamed):
            pass

def post(lib):
    \"\"\"Two calls, sync and async, through the library alone.\"\"\"
    url = standin.url + "/v1/chat/completions"
    with lib.Client(trust_env=False) as client:
        assert client.post(url, json=ask).json()["usage"]
    async def posted():
        async with lib.AsyncClient(trust_env=False) as client:
            assert (await client.post(url, json=ask)).json()["usage"]
    asyncio.run(posted())

def events():
    \"\"\"How many calls were seen since the last look; all of them well, with their usage.\"\"\"
    assert meter.flush(10)
    found, sink.events = sink.events, []
    assert all(e.outcome == "ok" and e.cost_source == "usage" and e.attempt == 1 for e in found), found
    assert all(e.user_id == "jane" for e in found), found
    return len(found)
"""


def in_a_process(code: str, *options: str) -> str:
    """What code prints in a process of its own: what others patch, they patch for good."""
    told = subprocess.run(
        [sys.executable, "-W", "error", *options, "-c", _PREPARED + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout.strip()
