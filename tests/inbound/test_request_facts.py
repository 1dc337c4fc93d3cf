"""What an event tells of its web request: whose headers count, the trace, the request's id, the route."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
import uvicorn
from asking import Asking, browser, ids
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from payi_middleware import Meter, PayiMiddleware, health, track, use_case
from payi_middleware.headers import trace_of
from payi_middleware.inbound import Trust
from payi_middleware.testing import Events


def asking_app(meter: Meter, sdk: Asking) -> Starlette:
    """Makes one call a request."""

    async def endpoint(request: Request) -> Response:
        await sdk.aask()
        return PlainTextResponse("ok")

    return Starlette(routes=[Route("/{x}", endpoint)], middleware=[Middleware(PayiMiddleware, meter)])


@pytest.mark.parametrize(
    ("hosts", "peer", "trusted"),
    [
        ((), "127.0.0.1", False),
        (("127.0.0.1",), "127.0.0.1", True),
        (("127.0.0.1",), "127.0.0.2", False),
        (("10.0.0.0/8",), "10.200.3.4", True),
        (("10.0.0.0/8",), "11.0.0.1", False),
        (("10.1.2.3/8",), "10.200.3.4", True),  # bits behind the mask do not matter
        (("::1",), "::1", True),
        (("::1",), "127.0.0.1", False),
        (("fd00::/8",), "fd12::7", True),
        (("fe80::/10",), "fe80::1%eth0", True),
        (("10.0.0.0/8",), "::ffff:10.1.2.3", True),  # how a socket for both families names an IPv4 peer
        (("::ffff:10.0.0.0/104",), "::ffff:10.1.2.3", True),
        (("10.0.0.0/8",), "::ffff:11.1.2.3", False),
        (("127.0.0.1",), "testclient", False),
        (("127.0.0.1",), "10.0.0.1, 127.0.0.1", False),
        (("unix",), None, True),
        (("unix",), "", True),
        (("unix",), "127.0.0.1", False),
        (("127.0.0.1",), None, False),
        (("127.0.0.1", "unix"), None, True),
    ],
)
def test_trust(hosts: tuple[str, ...], peer: str | None, trusted: bool) -> None:
    """Peers are trusted by address, by network, in both notations, and Unix sockets by their own word."""
    trust = Trust(hosts)

    assert trust.trusts(peer) is trusted
    assert trust.trusts(peer) is trusted  # also when remembered


def test_trust_remembers_boundedly() -> None:
    """A flood of peers does not fill the memory."""
    trust = Trust(("10.0.0.0/8",))

    assert all(trust.trusts(f"10.0.{n >> 8}.{n & 255}") for n in range(5000))
    assert len(trust._known) == 4096


async def test_untrusted_headers_are_ignored(
    meter: Meter, events: Events, sdk: Asking, caplog: pytest.LogCaptureFixture
) -> None:
    """A stranger's xProxy headers mean nothing; each is counted, and one warning names the cure."""
    async with browser(asking_app(meter, sdk), peer="203.0.113.9") as client:
        for _ in range(3):
            await client.get("/x", headers=ids("jane", usecase_name="Mine"))
        await client.get("/x")

    assert {event.user_id for event in events} == {None}
    assert {event.use_case_name for event in events} == {None}
    assert health.counters()["headers_ignored"] == 3
    warnings = [record.getMessage() for record in caplog.records if record.name == "payi_middleware"]
    assert len(warnings) == 1
    assert "203.0.113.9" in warnings[0]
    assert "trusted_hosts=('203.0.113.9',)" in warnings[0]
    assert "PAYI_TRUSTED_HOSTS" in warnings[0]


async def test_peer_without_an_address(
    meter: Meter, events: Events, sdk: Asking, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that tells no peer speaks over a Unix socket, which is trusted by its own word only."""
    app = asking_app(meter, sdk)

    async def unix(scope: Any, receive: Any, send: Any) -> None:
        scope["client"] = None
        await app(scope, receive, send)

    async with browser(unix) as client:
        await client.get("/x", headers=ids("jane"))

    assert events.one().user_id is None
    assert "trusted_hosts=('unix',)" in caplog.text


@contextlib.asynccontextmanager
async def serving(app: Any, **config: Any) -> Any:
    """A real uvicorn in this event loop."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", **config))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    with contextlib.ExitStack() as stack:
        if "uds" not in config:
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            task = asyncio.create_task(server.serve([listening]))
            port = listening.getsockname()[1]
        else:
            task, port = asyncio.create_task(server.serve()), 0
        while not server.started:
            await asyncio.sleep(0.005)
        try:
            yield port
        finally:
            server.should_exit = True
            await task


async def test_unix_socket_of_uvicorn(
    tmp_path: Path, meter: Meter, events: Events, sdk: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uvicorn behind a Unix socket tells no peer; `trusted_hosts=("unix",)` trusts it."""
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    with Meter(
        "sqlite:///:memory:", sinks=meter._given_sinks, hosts=meter.settings.hosts, trusted_hosts=("unix",)
    ) as trusting:
        async with serving(asking_app(trusting, sdk), uds="s"):
            transport = httpx2.AsyncHTTPTransport(uds="s")
            async with httpx2.AsyncClient(transport=transport, base_url="http://app.test") as client:
                await client.get("/x", headers=ids("jane"))

        assert events.one().user_id == "jane"


async def test_peer_behind_a_proxy(meter: Meter, events: Events, sdk: Asking) -> None:
    """Behind a proxy that uvicorn believes, the peer is the stranger, whose headers do not count."""
    async with serving(asking_app(meter, sdk), proxy_headers=True, forwarded_allow_ips="127.0.0.1") as port:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            await client.get("/x", headers=ids("mallory") | {"x-forwarded-for": "203.0.113.9"})
            await client.get("/x", headers=ids("jane"))

    assert [event.user_id for event in events] == [None, "jane"]


PROPERTIES = {"plan": "pro", "n": "3", "gone": None}


@pytest.mark.parametrize(
    "value",
    [
        json.dumps(PROPERTIES),
        " " + json.dumps(PROPERTIES),
        base64.b64encode(json.dumps(PROPERTIES, separators=(",", ":")).encode()).decode(),
        json.dumps({"plan": "pro", "n": 3}),
    ],
)
async def test_properties_in_both_spellings(value: str, meter: Meter, events: Events, sdk: Asking) -> None:
    """Properties are a JSON object, plain or in base64; null removes one."""
    async with browser(asking_app(meter, sdk)) as client:
        await client.get("/x", headers={"xProxy-Request-Properties": value, "xProxy-UseCase-Properties": value})

    who = events.one().attribution
    assert who.request_properties == who.use_case_properties == {"plan": "pro", "n": "3"}


async def test_properties_that_are_no_text(meter: Meter, events: Events, sdk: Asking) -> None:
    """They stay as JSON spells them, whatever language the client is written in."""
    value = '{"beta": true, "ratio": 0.5, "big": 12345678901234567890, "ids": [1, "a"], "of": {"a": null}}'
    async with browser(asking_app(meter, sdk)) as client:
        await client.get("/x", headers={"xProxy-Request-Properties": value})

    assert events.one().request_properties == {
        "beta": "true", "ratio": "0.5", "big": "12345678901234567890", "ids": '[1,"a"]', "of": '{"a":null}',
    }  # fmt: skip


async def test_every_header(meter: Meter, events: Events, sdk: Asking) -> None:
    """Each xProxy header of Pay-i fills its field; others of that prefix mean nothing."""
    headers = {
        "xProxy-User-ID": "jane",
        "xProxy-Account-Name": "Acme Ltd.",
        "xProxy-Request-Tags": "a, b ,c-d_1",
        "xProxy-UseCase-Name": "Chat",
        "xProxy-UseCase-ID": "instance 7",
        "xProxy-UseCase-Version": "12",
        "xProxy-UseCase-Step": "answer",
        "xProxy-Limit-IDs": "lim-1, lim-2",
        "xProxy-Resource-Scope": "region.eastus",
        "xProxy-PriceAs-Category": "system.openai",
        "xProxy-PriceAs-Resource": "gpt-4o",
        "xProxy-Logging-Disable": "True",
        "xProxy-api-key": "secret",
    }
    async with browser(asking_app(meter, sdk)) as client:
        await client.get("/x", headers=headers)

    who = events.one().attribution
    assert (who.user_id, who.account_name, who.request_tags) == ("jane", "Acme Ltd.", ("a", "b", "c-d_1"))
    assert (who.use_case_name, who.use_case_id, who.use_case_version) == ("Chat", "instance 7", 12)
    assert (who.use_case_step, who.limit_ids) == ("answer", ("lim-1", "lim-2"))
    assert (who.resource_scope, who.price_as) == ("region.eastus", "system.openai/gpt-4o")
    assert health.counters().keys() <= {"limit_unknown"}  # the limit that it names is not there


async def test_properties_nested_without_end(meter: Meter, events: Events, sdk: Asking) -> None:
    """Properties that are nested too deeply are dropped, or cut where Python reads them: user and call are as they were."""
    deep = '{"a":' + "[" * 7000 + "]" * 7000 + "}"
    async with browser(asking_app(meter, sdk)) as client:
        await client.get("/x", headers=ids("jane", request_properties=deep))
    with track(user_id="tom"):
        await sdk.aask(extra_headers={"xProxy-Request-Properties": deep})

    assert [event.user_id for event in events] == ["jane", "tom"]
    assert all(len(text) <= 1024 for event in events for text in event.attribution.request_properties.values())
    assert sum(health.counters().values()) == 2


async def test_headers_that_come_twice(
    meter: Meter, events: Events, sdk: Asking, caplog: pytest.LogCaptureFixture
) -> None:
    """Lists that come twice are joined; of two different users nobody knows which one is meant, so that it is nobody."""
    twice = [
        ("xProxy-User-ID", "gateway"),
        ("xProxy-User-ID", "stranger"),
        ("xProxy-Account-Name", "acme"),
        ("xProxy-Account-Name", "acme"),
        ("xProxy-Request-Tags", "a"),
        ("xProxy-Request-Tags", "b,a"),
        ("xProxy-Limit-IDs", "one"),
        ("xProxy-Limit-IDs", "two"),
        ("X-Request-ID", "first"),
        ("X-Request-ID", "second"),
    ]
    async with browser(asking_app(meter, sdk)) as client:
        for _ in range(2):
            await client.get("/x", headers=twice)

    event = next(iter(events))
    who = event.attribution
    assert (who.user_id, who.account_name, who.request_tags, who.limit_ids) == (
        None,
        "acme",
        ("a", "b"),
        ("one", "two"),
    )
    assert event.inbound.http_request_id == "first"
    assert health.counters()["header_dropped"] == 2
    assert caplog.text.count("xproxy-user-id came more than once") == 1


@pytest.mark.parametrize(
    ("sent", "known"), [("Zoë".encode(), "Zoë"), ("Zoë".encode("latin-1"), "Zoë"), (b"zoe", "zoe")]
)
async def test_names_beyond_ascii(sent: bytes, known: str, meter: Meter, events: Events, sdk: Asking) -> None:
    """A header in UTF-8 or Latin-1 is read as what it is."""
    async with browser(asking_app(meter, sdk)) as client:
        await client.get("/x", headers=[(b"xProxy-User-ID", sent)])

    assert events.one().user_id == known


TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "known"),
    [
        (f"00-{TRACE}-{SPAN}-01", (TRACE, SPAN)),
        (f" 00-{TRACE}-{SPAN}-00 ", (TRACE, SPAN)),
        (f"00-{TRACE.upper()}-{SPAN}-01", (TRACE, SPAN)),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-bring", (TRACE, SPAN)),
        (f"00-{TRACE}-{SPAN}-01-more", (None, None)),
        (f"ff-{TRACE}-{SPAN}-01", (None, None)),
        (f"00-{'0' * 32}-{SPAN}-01", (None, None)),
        (f"00-{TRACE}-{'0' * 16}-01", (None, None)),
        (f"00-{TRACE[:-1]}-{SPAN}-01", (None, None)),
        (f"00-{TRACE[:-1]}g-{SPAN}-01", (None, None)),
        (f"0-{TRACE}-{SPAN}-01", (None, None)),
        (f"{TRACE}-{SPAN}", (None, None)),
        ("", (None, None)),
        (None, (None, None)),
    ],
)
def test_traceparent(header: str | None, known: tuple[str | None, str | None]) -> None:
    """Trace and span are read as W3C Trace Context demands, or not at all."""
    assert trace_of(header) == known


async def test_trace_and_request_id(meter: Meter, events: Events, sdk: Asking) -> None:
    """The event has the request's trace, span, method and id; of several ids the best known; none that could harm a log."""
    async with browser(asking_app(meter, sdk)) as client:
        await client.get("/1", headers={"traceparent": f"00-{TRACE}-{SPAN}-01", "X-Request-ID": "r-1", "cf-ray": "ray"})
        await client.get("/2", headers={"cf-ray": "ray"})
        await client.get("/3", headers={"x-correlation-id": "c" * 500})
        await client.get("/4", headers=[(b"x-request-id", b"a\tb")])
        await client.get("/5")

    facts = [event.inbound for event in events]
    assert (facts[0].trace_id, facts[0].span_id, facts[0].http_request_id) == (TRACE, SPAN, "r-1")
    assert [fact.http_request_id for fact in facts[1:]] == ["ray", "c" * 128, None, None]
    assert {fact.http_method for fact in facts} == {"GET"}
    assert facts[1].trace_id is facts[1].span_id is None


async def test_fastapi_routes(meter: Meter, events: Events, sdk: Asking) -> None:
    """The route is FastAPI's template with the prefixes of all routers around it, whatever the method."""
    app = FastAPI()
    outer, inner = APIRouter(prefix="/teams/{team}"), APIRouter(prefix="/projects")

    @inner.post("/{project:path}/summaries")
    async def summarize(team: str, project: str) -> None:
        await sdk.aask()

    outer.include_router(inner)
    app.include_router(outer, prefix="/v1")
    app.add_middleware(PayiMiddleware, meter)

    transport = httpx2.ASGITransport(app, root_path="/gateway")
    async with httpx2.AsyncClient(transport=transport, base_url="http://app.test") as client:
        assert (await client.post("/v1/teams/7/projects/a/b/summaries")).status_code == 200

    facts = events.one().inbound
    assert facts.http_method == "POST"
    assert facts.http_route == "/v1/teams/{team}/projects/{project:path}/summaries"


async def test_no_raw_path_without_a_route(meter: Meter, events: Events, sdk: Asking) -> None:
    """A request that no route takes has no template, and its path is not kept."""

    async def not_found(request: Request, error: Exception) -> Response:
        await sdk.aask()
        return PlainTextResponse("not found", 404)

    app = Starlette(middleware=[Middleware(PayiMiddleware, meter)], exception_handlers={404: not_found})

    async with browser(app) as client:
        await client.get("/tenants/secret-name")

    assert events.one().inbound.http_route is None


@pytest.mark.parametrize("on", ["class", "method"])
async def test_starlette_class_endpoint(on: str, meter: Meter, events: Events, sdk: Asking) -> None:
    """A use case on an endpoint class, or on its method, is the route's; background tasks have it too."""
    from starlette.background import BackgroundTask

    class Page(HTTPEndpoint):
        async def get(self, request: Request) -> Response:
            await sdk.aask()
            return PlainTextResponse("ok", background=BackgroundTask(sdk.aask))

    if on == "class":
        use_case("Page")(Page)
    else:
        Page.get = use_case("Page")(Page.get)  # type: ignore[method-assign]
    app = Starlette(
        routes=[Mount("/{site}", routes=[Route("/page", Page)])], middleware=[Middleware(PayiMiddleware, meter)]
    )

    async with browser(app) as client:
        await client.get("/a/page")

    assert [event.use_case_name for event in events] == ["Page", "Page"]
    assert {event.inbound.http_route for event in events} == {"/{site}/page"}


async def test_route_that_the_framework_does_not_tell(meter: Meter, events: Events, sdk: Asking) -> None:
    """Where the scope has no route (Starlette before 1.0), it is found by its endpoint."""

    async def endpoint() -> None:
        await sdk.aask()

    router = SimpleNamespace(routes=[Mount("/static", routes=[]), Route("/other", print), Route("/{x}", endpoint)])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["router"], scope["endpoint"] = router, endpoint
        await endpoint()
        scope["endpoint"] = len
        await endpoint()
        await PlainTextResponse("ok")(scope, receive, send)

    async with browser(PayiMiddleware(app, meter)) as client:
        await client.get("/4711")

    assert [event.inbound.http_route for event in events] == ["/{x}", None]


async def test_hundreds_of_ordinary_requests_log_nothing(
    meter: Meter, sdk: Asking, caplog: pytest.LogCaptureFixture
) -> None:
    """What is in order is neither counted nor logged."""
    with caplog.at_level(logging.DEBUG, "payi_middleware"):
        async with browser(asking_app(meter, sdk)) as client:
            for n in range(20):
                await client.get("/x", headers=ids(f"user-{n}"))

    assert health.counters() == {}
    assert [record for record in caplog.records if record.name == "payi_middleware"] == []
