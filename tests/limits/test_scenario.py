"""The glossary's words in one application: Jane is refused at her ten dollars, Bob is not, and all of it can be read afterwards."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from fastapi import FastAPI
from typer.testing import CliRunner

from payi_middleware import Limit, Meter, PayiMiddleware, instrument, use_case
from payi_middleware.cli import app as command_line
from payi_middleware.demo.standin import StandIn
from payi_middleware.events import CallEvent
from payi_middleware.limits.limit import Definition
from payi_middleware.limits.sqlite import SqliteLedger
from payi_middleware.store import open_store

# 100,000 tokens of input and 24 of output: 0.25024 USD of gpt-4o.
DOCUMENT: Any = [{"role": "user", "content": "Summarize. #input=100000"}]


def who(connection: Any) -> dict[str, Any]:
    user = connection.headers["x-user"]
    return {"user_id": user, "request_tags": ["summarize_document"], "limit_tags": ["premium"]}


def service(meter: Meter, standin: StandIn) -> FastAPI:
    app = FastAPI()
    app.add_middleware(PayiMiddleware, meter=meter, identify=who)

    @app.post("/summaries/{pages}")
    @use_case("Document-Summary", step="summarize")
    async def summarize(pages: int) -> int:
        http_client = openai.DefaultAsyncHttpxClient(trust_env=False, verify=False)
        async with openai.AsyncOpenAI(base_url=standin.url + "/v1", api_key="none", http_client=http_client) as client:
            for _ in range(pages):
                await client.chat.completions.create(model="gpt-4o", max_tokens=100, messages=DOCUMENT)
        return pages

    return app


def report(store: str, by: str) -> dict[Any, Any]:
    result = CliRunner().invoke(command_line, ["report", "--store", store, "--by", by, "--json"])
    assert result.exit_code == 0, result.output
    return {row["key"]: (row["calls"], row["cost"], row["failures"]) for row in json.loads(result.stdout)["rows"]}


def test_jane_is_refused_at_ten_dollars_and_bob_is_not(tmp_path: Path) -> None:
    """Several calls an instance; each word is in the event and in the report."""
    store = f"sqlite:///{tmp_path / 'payi.db'}"
    limit = Limit("premium-monthly", 10, window="month", per="user", tags=["premium"])
    with StandIn() as standin:
        meter = Meter(store, application="Summarization-Service", hosts={standin.host: "openai"}, limits=[limit])
        app = service(meter, standin)

        async def served() -> list[httpx2.Response]:
            async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://app") as client:
                asked = [("jane", 20), ("jane", 20), ("bob", 2), ("jane", 1)]
                return [await client.post(f"/summaries/{n}", headers={"x-user": user}) for user, n in asked]

        answers = asyncio.run(served())
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        told = answers[-1].json()
        assert (told["limit"], told["unit"], told["spent"], told["max"]) == ("premium-monthly", "usd", "10.0096", "10")
        assert len(standin.requests) == 42
        assert meter.close(10)

    with open_store(store, create=False) as kept:
        events = list(kept.events())
    (limit_id,) = events[0].limits
    assert [facts(event) for event in events[:1]] == [
        (
            "Summarization-Service",
            "openai",
            "system.openai",
            "gpt-4o",
            "jane",
            ("summarize_document",),
            ("premium",),
            "Document-Summary",
            "summarize",
        )
    ]
    assert {facts(event)[:4] for event in events} == {("Summarization-Service", "openai", "system.openai", "gpt-4o")}
    instances: dict[Any, int] = {}
    for event in events:
        instance = event.attribution.use_case_id
        instances[instance] = instances.get(instance, 0) + 1
    assert sorted(instances.values()) == [1, 2, 20, 20]
    states = [event.limits[limit_id] for event in events]
    assert (states.count("ok"), states.count("overrun"), states.count("blocked")) == (41, 1, 1)
    assert [event.user_id for event in events if event.outcome == "blocked"] == ["jane"]
    assert len({event.ledger for event in events}) == 1
    assert (events[0].ledger or "").startswith("sqlite:")

    # Refused calls are calls that failed, and cost nothing.
    users = report(store, "user")
    assert users["jane"][0:2] == (41, "10.0096")
    assert users["bob"][0:2] == (2, "0.50048")
    assert sum(users["jane"][2].values()) == 1
    assert report(store, "use-case")["Document-Summary"][0] == 43
    assert report(store, "tag")["summarize_document"][1] == "10.51008"
    assert report(store, "application")["Summarization-Service"][0] == 43

    ledger = SqliteLedger(tmp_path / "payi.db.ledger")
    jane, bob = (ledger.totals("Summarization-Service", limit_id, f'["{user}"]')[0] for user in ("jane", "bob"))
    assert (jane.spent, jane.held, bob.spent, bob.held) == (
        int(Decimal("10.0096") * 10**10),
        0,
        int(Decimal("0.50048") * 10**10),
        0,
    )
    ledger.close()


def facts(event: CallEvent) -> tuple[Any, ...]:
    told = event.attribution
    return (
        event.application,
        event.provider,
        event.category,
        event.requested_resource,
        event.user_id,
        told.request_tags,
        told.limit_tags,
        told.use_case_name,
        told.use_case_step,
    )


def ask(standin: StandIn) -> int:
    with httpx2.Client(trust_env=False) as client:
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Tell me."}]}
        return client.post(f"{standin.url}/v1/chat/completions", json=body).status_code


def test_limits_that_others_make_are_seen(tmp_path: Path) -> None:
    """By an application that runs within about a second, by a process's first call at once; before there is no file."""
    path = tmp_path / "payi.db.ledger"
    full = Definition(
        limit_id="full", application="default", limit=Limit("full", 1, unit="tokens", strict=True, per="application")
    )
    store = f"sqlite:///{tmp_path / 'payi.db'}"
    with StandIn() as standin:
        with Meter(store, hosts={standin.host: "openai"}) as meter:
            instrument(meter)
            assert ask(standin) == 200
            assert meter.flush(10)
            assert not path.exists()
            assert {"payi-limits", "payi-ledger"}.isdisjoint(thread.name for thread in threading.enumerate())

            ledger = SqliteLedger(path)
            ledger.define(full)
            made = time.monotonic()
            while ask(standin) == 200:
                assert time.monotonic() - made < 5
                time.sleep(0.02)
            ledger.remove("default", "full")
            removed = time.monotonic()
            while ask(standin) == 400:
                assert time.monotonic() - removed < 5
                time.sleep(0.02)
            ledger.define(full)
        with Meter(store, hosts={standin.host: "openai"}) as meter:
            instrument(meter)
            assert ask(standin) == 400
        ledger.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no spool there")
def test_what_a_dead_process_left_is_settled_when_it_is_found(tmp_path: Path) -> None:
    """By whoever takes it in: its calls in flight to a strict limit at what was held, its ended ones at their cost."""
    import subprocess

    store = f"sqlite:///{tmp_path / 'payi.db'}"
    with StandIn() as standin:
        program = (
            "import os, threading, time, httpx2\n"
            "from payi_middleware import Limit, Meter, instrument\n"
            f"meter = Meter({store!r}, hosts={{{standin.host!r}: 'openai'}}, flush_interval=60,\n"
            "    limits=[Limit('calls', 9, unit='calls', strict=True), Limit('usd', 9, strict=True)])\n"
            "instrument(meter)\n"
            "def ask(text):\n"
            "    with httpx2.Client(trust_env=False) as client:\n"
            f"        client.post({standin.url!r} + '/v1/chat/completions', json={{'model': 'gpt-4o', 'max_tokens': 24,\n"
            "            'messages': [{'role': 'user', 'content': text}]})\n"
            "ask('Tell me.')\n"
            "threading.Thread(target=ask, args=('#slow=30',), daemon=True).start()\n"
            "while len(meter.limits.leases) == 0: time.sleep(0.01)\n"
            "os._exit(9)\n"
        )
        ended = subprocess.run([sys.executable, "-c", program], timeout=60, check=False)
        assert ended.returncode == 9
    ledger = SqliteLedger(tmp_path / "payi.db.ledger")
    held = sum(one.hold.ticks for one in ledger.held())
    assert held > 0

    result = CliRunner().invoke(command_line, ["events", "--store", store, "--json"])

    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert sorted(event["outcome"] for event in events) == ["ok", "unknown"]
    assert all(event["ledger"] == ledger.id and len(event["limits"]) == 2 for event in events)
    spent = {
        one.limit.name: ledger.totals("default", one.limit_id, "")[0] for one in ledger.definitions("default").limits
    }
    cost = next(int(Decimal(event["cost"]["total"]) * 10**10) for event in events if event["cost"])
    assert (spent["calls"].spent, spent["usd"].spent) == (2, cost + held)
    assert ledger.held() == []
    ledger.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no spool there")
def test_a_call_that_waits_for_its_limits_when_its_process_dies_counts_to_none(tmp_path: Path) -> None:
    """It never went out: it has no event, and a limit of calls does not count it."""
    import subprocess

    store = f"sqlite:///{tmp_path / 'payi.db'}"
    with StandIn() as standin:
        program = (
            "import os, sqlite3, threading, time, httpx2\n"
            "from payi_middleware import Limit, Meter, instrument\n"
            f"meter = Meter({store!r}, hosts={{{standin.host!r}: 'openai'}}, flush_interval=60, ledger_timeout=30,\n"
            "    limits=[Limit('calls', 9, unit='calls')])\n"
            "instrument(meter)\n"
            "def ask():\n"
            "    with httpx2.Client(trust_env=False) as client:\n"
            f"        client.post({standin.url!r} + '/v1/chat/completions', json={{'model': 'gpt-4o', 'max_tokens': 24,\n"
            "            'messages': [{'role': 'user', 'content': 'Tell me.'}]})\n"
            "ask()\n"
            f"other = sqlite3.connect({str(tmp_path / 'payi.db.ledger')!r}, isolation_level=None)\n"
            "other.execute('BEGIN IMMEDIATE')\n"
            "threading.Thread(target=ask, daemon=True).start()\n"
            "time.sleep(0.5)\n"
            "os._exit(9)\n"
        )
        ended = subprocess.run([sys.executable, "-c", program], timeout=60, check=False)
        assert (ended.returncode, len(standin.requests)) == (9, 1)

    result = CliRunner().invoke(command_line, ["events", "--store", store, "--json"])

    assert [json.loads(line)["outcome"] for line in result.stdout.splitlines()] == ["ok"]
    ledger = SqliteLedger(tmp_path / "payi.db.ledger")
    (calls,) = ledger.definitions("default").limits
    assert ledger.totals("default", calls.limit_id, "")[0].spent == 1
    ledger.close()
