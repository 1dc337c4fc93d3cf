"""Each example, run as its reader would run it, against a provider stand-in."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from payi_middleware.demo.standin import StandIn

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def standin() -> Iterator[StandIn]:
    with StandIn() as standin:
        yield standin


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'payi.db'}"


def environment(standin: StandIn, store: str, provider: str) -> dict[str, str]:
    """What an application has where a stand-in takes the provider's place."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PAYI_")}
    return kept | {
        "OPENAI_API_KEY": "none",
        "OPENAI_BASE_URL": standin.url + "/v1",
        "ANTHROPIC_API_KEY": "none",
        "ANTHROPIC_BASE_URL": standin.url,
        "NO_PROXY": "127.0.0.1",
        "PAYI_HOSTS": f"{standin.host}={provider}",
        "PAYI_STORE": store,
        "PORT": "0",
        "PYTHONUNBUFFERED": "1",
    }


@contextmanager
def served(name: str, env: dict[str, str]) -> Iterator[httpx2.Client]:
    """A client of the running example, which is then ended by SIGTERM, as servers are."""
    command = [sys.executable, str(EXAMPLES / name)]
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        try:
            lines = (re.search(r"unning on (http://127\.0\.0\.1:\d+)", line) for line in process.stderr)
            base_url = next(found[1] for found in lines if found)
            with httpx2.Client(base_url=base_url, trust_env=False) as client:
                yield client
        finally:
            process.send_signal(signal.SIGTERM)


def stored(store: str) -> list[dict[str, Any]]:
    """The events of a store, by `payi events`, which also takes in what still waits in the spool."""
    command = [sys.executable, "-m", "payi_middleware.cli", "events", "--store", store, "--json"]
    output = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    return [msgspec.json.decode(line) for line in output.splitlines()]


def facts(events: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    return {
        (e["user_id"], e["account_name"], e["use_case_name"], e["use_case_step"], e["cost"]["total"]) for e in events
    }


def test_fastapi_app(standin: StandIn, store: str) -> None:
    """Streamed answers of two users cost what their tokens cost: 4 and 24 at $0.40 and $1.60 a million."""
    with served("fastapi_app.py", environment(standin, store, "openai")) as client:
        for user in ("jane", "john"):
            headers = {"xProxy-User-ID": user, "X-Tenant": "acme"}
            assert client.get("/summary", params={"text": "Hello"}, headers=headers).text.startswith("This is what")

    events = stored(store)
    assert len(events) == 2
    assert {(user, "acme", "Document-Summary", "summarize", "0.00004") for user in ("jane", "john")} == facts(events)
    assert not any("xproxy" in name for request in standin.requests for name in request.headers)


def test_starlette_app(standin: StandIn, store: str) -> None:
    """The background task's call belongs to the same user and instance of the use case, in a step of its own."""
    with served("starlette_app.py", environment(standin, store, "anthropic")) as client:
        for user in ("jane", "john"):
            assert client.get("/chat", params={"text": "Hello"}, headers={"X-User": user}).json()["answer"]

    events = stored(store)
    assert {
        (user, None, "Customer-Chat", step, cost)
        for user in ("jane", "john")
        for step, cost in (("answer", "0.000122"), ("file", "0.000149"))
    } == facts(events)
    assert len(events) == 4
    assert len({(event["user_id"], event["use_case_id"]) for event in events}) == 2


def test_flask_app(standin: StandIn, store: str) -> None:
    """Plain and streamed answers belong to the user that `identify` tells."""
    with served("flask_app.py", environment(standin, store, "openai")) as client:
        for user, path in (("jane", "/chat"), ("john", "/chat/stream")):
            headers = {"X-User": user, "X-Tenant": "acme"}
            assert "This is what" in client.get(path, params={"text": "Hello"}, headers=headers).text

    events = stored(store)
    assert {(user, "acme", "Customer-Chat", "answer", "0.0000392") for user in ("jane", "john")} == facts(events)
    assert {("jane", False), ("john", True)} == {(event["user_id"], event["streamed"]) for event in events}


def test_script(standin: StandIn, store: str) -> None:
    """Calls in threads belong to the user for whom they were started; what the script prints is no other cost."""
    command = [sys.executable, str(EXAMPLES / "script.py"), "jane", "john"]
    env = environment(standin, store, "openai")
    output = subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=60).stdout

    events = stored(store)
    assert len(events) == 4
    assert {
        (user, None, "Nightly-Digest", "write", cost)
        for user in ("jane", "john")
        for cost in ("0.0000408", "0.0000412")
    } == facts(events)
    assert all(event["request_tags"] == ["nightly"] and event["use_case_version"] == 2 for event in events)
    cost = r"(?:\$0\.000082|what `payi report` tells)"
    assert re.findall(rf"^(\w+): 48 words for {cost}$", output, re.MULTILINE) == ["jane", "john"]


def test_limits(standin: StandIn, store: str) -> None:
    """Jane's summaries of a quarter each come to her ten dollars, then no more is made; Bob has his own ten."""
    command = [sys.executable, str(EXAMPLES / "limits.py")]
    env = environment(standin, store, "openai")
    output = ""
    for user, many in (("jane", 45), ("bob", 2)):  # two processes, one ledger
        documents = "#input=100000\n" * many
        ran = subprocess.run(
            [*command, user], env=env, input=documents, check=True, capture_output=True, text=True, timeout=60
        )
        output += ran.stdout

    first, second = output.splitlines()
    assert re.fullmatch(
        r"jane: 40 summaries, then limit 'premium-monthly' is reached: 10\.0096 USD of 10 USD, until \S+-01 00:00:00 UTC",
        first,
    )
    assert second == "bob: 2 summaries, 9.49952 usd of premium-monthly left"
    assert len(standin.requests) == 42
    assert [event["outcome"] for event in stored(store)] == ["ok"] * 40 + ["blocked"] + ["ok"] * 2


def test_manual(standin: StandIn, store: str) -> None:
    """Events told by hand belong to the users of their blocks; the owner's rate, the list's and a stated cost hold."""
    command = [sys.executable, str(EXAMPLES / "manual.py")]
    env = environment(standin, store, "openai")
    output = subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=60).stdout

    events = stored(store)
    assert output == "jane: 2 events\njohn: 2 events\n"
    assert {
        (e["user_id"], e["use_case_name"], e["category"], e["cost_source"], e["cost"]["total"]) for e in events
    } == {
        ("jane", "Route-Planning", "maps", "usage", "0.015"),
        ("john", "Route-Planning", "maps", "usage", "0.005"),
        ("jane", "Route-Planning", "system.openai", "usage", "0.007"),
        ("john", "Route-Planning", "system.openai", "usage", "0.007"),
        ("jane", None, "transcripts", "provider", "0.54"),
    }
    assert len(events) == 5
    assert {event["origin"] for event in events} == {"record"}


def test_the_table_lists_every_example() -> None:
    """`examples/README.md` has a row for each file, and each file tells how to install what it imports."""
    readme = (EXAMPLES / "README.md").read_text()
    files = sorted(EXAMPLES.glob("*.py"))

    assert [file.name for file in files] == sorted(re.findall(r"^\| \[(\w+\.py)\]", readme, re.MULTILINE))
    for file in files:
        told = re.search(r"pip install (.*)", file.read_text())
        assert told
        assert f"`{told[1]}`" in readme
