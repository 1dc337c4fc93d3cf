"""What an interpreter of its own loads, and when: each test starts one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

LIGHT = {"_errors", "base", "compatible_hosts", "families", "functions", "known", "media", "places"}
"""The files of the providers that are no reader: hosts and names, and what faces, counts and limits need of them."""


def run(code: str) -> str:
    """What code prints in an interpreter of its own, without what measures coverage: that has imports too."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE", "PAYI_"))}
    return subprocess.run(
        [sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True, env=bare, timeout=60
    ).stdout


def loaded(code: str) -> set[str]:
    return set(run(f"{code}\nimport sys; print(*sys.modules)").split())


@pytest.mark.parametrize(
    "code",
    [
        "from payi_middleware import *",
        "from payi_middleware.flask import Payi",
        "from payi_middleware.fastapi import *",
    ],
)
def test_a_face_loads_no_reader(code: str) -> None:
    """Which host is a provider's is told by plain data; who reads its answers is imported with a first request."""
    folder = "payi_middleware.providers."
    found = {name.removeprefix(folder) for name in loaded(code) if name.startswith(folder)}

    assert found == LIGHT


@pytest.mark.parametrize(
    "code", ["from payi_middleware.wsgi import PayiWSGIMiddleware", "from payi_middleware.flask import Payi"]
)
def test_what_no_limit_and_no_loop_needs_is_not_loaded(code: str) -> None:
    """A synchronous application has no event loop, and one without limits has nothing to size."""
    found = loaded(code)

    assert "payi_middleware.limits.limits" in found
    assert not found & {"asyncio", "payi_middleware.limits.sizing", "payi_middleware.manual.recording"}


def test_the_pytest_plugin_loads_nothing() -> None:
    """A suite that has no use for its fixture pays nothing for it."""
    found = {name for name in loaded("import payi_middleware.testing") if name.startswith("payi_middleware")}

    assert found == {"payi_middleware", "payi_middleware.testing"}


FIRST = """
import json, sys, threading
import httpx2
from payi_middleware import Meter, instrument, track
from payi_middleware.providers.places import ROWS
from payi_middleware.sinks.memory import MemorySink

def answer(request):
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
    return httpx2.Response(200, json={"id": request.url.host, "model": "gpt-4o-mini", "choices": [], "usage": usage})

sink = MemorySink()
meter = Meter(sinks=[sink])
instrument(meter)
client = httpx2.Client(transport=httpx2.MockTransport(answer))
together = threading.Barrier(4)

def ask(host):
    together.wait()
    with track(user_id="jane", meter=meter):
        client.post(f"https://{host}/v1/chat/completions", json={"model": "gpt-4o-mini", "messages": []})

hosts = ["api.openai.com", "api.openai.com", "x.services.ai.azure.com", "api.groq.com"]
assert not any(f"payi_middleware.providers.{row.file}" in sys.modules for row in ROWS)
threads = [threading.Thread(target=ask, args=(host,)) for host in hosts]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
meter.flush(30)
print(json.dumps([(event.provider, event.units) for event in sink.events]))
print(*(row.file for row in ROWS if f"payi_middleware.providers.{row.file}" not in sys.modules))
"""


def test_the_first_calls_of_several_threads() -> None:
    """Each imports what reads its provider, the same for two of them, and all are read; the rest comes in the background."""
    events, missing = run(FIRST).splitlines()

    for provider in ("azure", "groq", "openai"):
        assert f'["{provider}", {{"text": [9, 5]}}]' in events
    assert events.count('"text"') == 4
    assert missing == ""


FORKED = """
import os, signal, sys, threading, time
import payi_middleware.meter
from payi_middleware.providers import find

class Slow:
    "An import that takes its time."
    def find_spec(self, name, path=None, target=None):
        if name.endswith("providers._cohere") and not begun.is_set():
            begun.set()
            time.sleep(0.3)

begun = threading.Event()
sys.meta_path.insert(0, Slow())
cohere = find("api.cohere.com")
thread = threading.Thread(target=cohere.route, args=("POST", "/v2/chat"))
thread.start()
begun.wait()
child = os.fork()
if child == 0:
    signal.alarm(5)
    route = cohere.route("POST", "/v2/chat")
    os._exit(0 if route is not None and route.endpoint.template == "/v2/chat" else 1)
thread.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_fork_while_a_reader_is_imported() -> None:
    """It waits: a child that began with half a file would wait for the other half forever."""
    assert run(FORKED) == "0\n"
