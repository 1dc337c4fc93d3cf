"""nginx itself before a real server and a real application: TLS, streams, ids, bounds, and headers that do not get through."""

from __future__ import annotations

import asyncio
import gzip
import re
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest
from nginx import FOLDER, fronted
from programs import serving
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from payi_middleware import PayiMiddleware, headers
from payi_middleware.demo.serving import Serving
from payi_middleware.server.bounds import BODY, STREAM

EVENT = {"category": "system.openai", "resource": "gpt-4o", "units": {"text": {"input": 1000, "output": 100}}}
XPROXY = {"xProxy-User-ID": "mallory", "xproxy-usecase-name": "Free", "XPROXY-LIMIT-IDS": "none"}


class Application:
    """Tells which xProxy headers reach it, and streams an answer whose second part waits for the test."""

    def __init__(self, folder: Path) -> None:
        self.gate = threading.Event()
        routes = [Route("/headers", self.headers), Route("/stream", self.stream)]
        store = f"sqlite:///{folder / 'application.db'}"
        self.asgi = PayiMiddleware(Starlette(routes=routes), store=store, trusted_hosts=["127.0.0.1"])

    async def headers(self, request: Request) -> Response:
        names = [name for name in request.headers if name.replace("_", "-").startswith(headers.PREFIX)]
        return JSONResponse({name: request.headers[name] for name in names})

    async def stream(self, request: Request) -> Response:
        async def parts() -> AsyncIterator[str]:
            yield "data: one\n\n"
            await asyncio.to_thread(self.gate.wait, 20)
            yield "data: two\n\n"

        return StreamingResponse(parts(), media_type="text/event-stream")


@pytest.fixture
def application(tmp_path: Path) -> Iterator[tuple[Application, str]]:
    """It, and the address at which it serves."""
    made = Application(tmp_path)
    with Serving(made.asgi) as running:
        yield made, running.url
        made.gate.set()


def test_every_header_that_is_read_is_taken_off() -> None:
    """And the key, which no application has to see."""
    taken_off = re.findall(r'^proxy_set_header (\S+) "";$', (FOLDER / "strip-xproxy.conf").read_text(), re.MULTILINE)
    assert {name.lower() for name in taken_off} == headers._FIELDS.keys() | {"xproxy-api-key"}


def test_no_xproxy_header_gets_through(tmp_path: Path, application: tuple[Application, str]) -> None:
    """In whatever case, or with underscores, which WSGI takes for hyphens; without nginx all of them arrive."""
    _, address = application
    sent = {**dict.fromkeys(headers._FIELDS, "mallory"), **XPROXY, "xProxy_User_ID": "mallory"}
    assert len(httpx2.get(f"{address}/headers", headers=sent, trust_env=False).json()) == len(headers._FIELDS) + 1
    with fronted(tmp_path, "application.conf", address.removeprefix("http://")) as http:
        assert http.get("/headers", headers=sent).json() == {}


def test_nginx_may_tell_the_user_itself(tmp_path: Path, application: tuple[Application, str]) -> None:
    """In the line that the configuration has for it."""
    changed = "# proxy_set_header xProxy-User-ID $remote_user;", 'proxy_set_header xProxy-User-ID "jane";'
    with fronted(tmp_path, "application.conf", application[1].removeprefix("http://"), changed=changed) as http:
        assert http.get("/headers", headers=XPROXY).json() == {"xproxy-user-id": "jane"}


def test_a_stream_is_not_held_back(tmp_path: Path, application: tuple[Application, str]) -> None:
    """Its first part is here while the second is not yet made."""
    made, address = application
    with (
        fronted(tmp_path, "application.conf", address.removeprefix("http://")) as http,
        http.stream("GET", "/stream") as answer,
    ):
        parts = answer.iter_text()
        assert next(parts) == "data: one\n\n"
        made.gate.set()
        assert "".join(parts) == "data: two\n\n"


def test_the_server_behind_it(tmp_path: Path) -> None:
    """Events, ids with slashes, JSON lines, keys; and no metrics, which the server itself gives to this machine."""
    with serving(f"sqlite:///{tmp_path / 'payi.db'}") as address:
        key = (tmp_path / "payi.db.key").read_text().strip()
        with fronted(tmp_path, "payi-server.conf", address.removeprefix("http://")) as http:
            assert http.get("/api/v1/capabilities").status_code == 401
            http.headers["xProxy-api-key"] = key
            answer = http.post("/api/v1/ingest", json=EVENT, headers={"xProxy-User-ID": "jane"})
            assert answer.json()["xproxy_result"]["duplicate_request"] is False
            item = EVENT | {"provider_response_id": "chat/1%"}
            http.post("/api/v1/ingest/bulk", json=[item]).raise_for_status()
            assert http.get("/api/v1/requests/provider/system.openai/chat%2F1%25/result").status_code == 200
            lines = http.post("/api/v1/events", content=gzip.compress(b"{}\n"), headers={"Content-Encoding": "gzip"})
            assert lines.json()["error_count"] == 1
            for path in ("/metrics", "//metrics", "/%6detrics", "/docs/../metrics", "/metrics?", "/metrics/"):
                assert http.get(path).status_code == 404
        assert httpx2.get(f"{address}/metrics", trust_env=False).status_code == 200


def test_a_body_is_bounded_by_the_server(tmp_path: Path) -> None:
    """In its own words."""
    text = (FOLDER / "payi-server.conf").read_text()
    general, events = (int(size) << 20 for size in re.findall(r"client_max_body_size (\d+)m;", text))
    assert (general - BODY, events - STREAM) == (1 << 20, 1 << 20)
    with serving(f"sqlite:///{tmp_path / 'payi.db'}") as address:
        key = (tmp_path / "payi.db.key").read_text().strip()
        with fronted(tmp_path, "payi-server.conf", address.removeprefix("http://")) as http:
            answer = http.post("/api/v1/ingest/bulk", content=b" " * (BODY + 1), headers={"xProxy-api-key": key})
    assert (answer.status_code, str(BODY) in answer.json()["message"]) == (413, True)
