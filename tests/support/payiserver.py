"""A server that speaks Pay-i's API as far as events go, or our own, on loopback; it can fail in all the ways that servers do."""

from __future__ import annotations

import asyncio
import collections
import gzip
import json
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeAlias

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

__all__ = ["KEY", "Asked", "PayiServer", "api_error", "hang", "status"]

KEY = "payi_test"

Answering: TypeAlias = Callable[[Request], "Response | None"]
Refusing: TypeAlias = Callable[[dict[str, Any]], "tuple[str, str] | None"]


class Asked:
    """One request as it came."""

    def __init__(self, request: Request, body: bytes) -> None:
        self.method = request.method
        self.path = request.scope["raw_path"].decode()
        self.headers = dict(request.headers)
        self.body = body

    def json(self) -> Any:
        """The body decoded."""
        return json.loads(self.body)


def api_error(code: str, message: str, status: int = 400) -> dict[str, Any]:
    """Pay-i's `ApiError`."""
    return {"message": message, "statusCode": status, "xproxy_error": {"code": code, "message": message}}


def status(code: int, body: Any = None, **headers: str) -> Answering:
    """Answers with a status, once."""
    return lambda request: JSONResponse(body, code, {name.replace("_", "-"): text for name, text in headers.items()})


class hang:
    """Never answers, until it is let go; then the connection is closed with an error."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.let_go = threading.Event()


class PayiServer:
    """Serves from `start` to `stop`, again and again at one address.

    Args:
        ours: Whether it is one of our own, which takes our events as they are.
    """

    def __init__(self, *, ours: bool = False) -> None:
        self.ours = ours
        self.taken: list[dict[str, Any]] = []
        """What was stored, each once, in the order in which it came."""
        self.asked: list[Asked] = []
        self.script: collections.deque[Answering | hang] = collections.deque()
        """Answers to the next requests that bring events, in place of the usual ones."""
        self.refuses: Refusing = lambda item: None
        self.limits: dict[str, str] = {}
        """Limit id -> type."""
        self.resources: dict[tuple[str, str], Any] | None = None
        """What it knows; None for everything."""
        self.may_create = True
        self.keys = {KEY}
        self.denied: dict[str, int] = {}
        """Part of a path -> status of the answer to whoever asks there."""
        self._known: set[Any] = set()
        self._running: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        reserved = socket.create_server(("127.0.0.1", 0))
        self.port = reserved.getsockname()[1]
        reserved.close()
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Begin to serve."""
        listening = socket.create_server(("127.0.0.1", self.port), backlog=128)
        config = uvicorn.Config(self._app(), log_level="error", date_header=False, timeout_graceful_shutdown=1)
        server = self._running = uvicorn.Server(config)
        self._thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        self._thread.start()
        while not server.started and self._thread.is_alive():
            time.sleep(0.002)
        return self

    def stop(self) -> None:
        """Close all connections, and the port."""
        if self._running is not None and self._thread is not None:
            for one in self.script:
                if isinstance(one, hang):
                    one.let_go.set()
            self._running.should_exit = True
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def paths(self) -> list[str]:
        """What was asked for, as `METHOD path`."""
        return [f"{one.method} {one.path}" for one in self.asked]

    def bodies(self, path: str) -> list[Any]:
        """The decoded bodies that came to a path."""
        return [one.json() for one in self.asked if one.path == path and one.method == "POST"]

    def users(self) -> list[str]:
        """The users of what was stored, in its order."""
        return [item["user_id"] for item in self.taken]

    def _app(self) -> Starlette:
        def route(path: str, answer: Callable[..., Response], method: str) -> Route:
            async def served(request: Request) -> Response:
                body = await request.body()
                if request.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                self.asked.append(Asked(request, body))
                if request.headers.get("xproxy-api-key") not in self.keys:
                    return JSONResponse(api_error("invalid_api_key", "no such key", 401), 401)
                for part, code in self.denied.items():
                    if part in path:
                        return JSONResponse(api_error("invalid_api_key", "no such key", code), code)
                if method == "POST" and answer in (self._bulk, self._lines) and self.script:
                    scripted = self.script.popleft()
                    if isinstance(scripted, hang):
                        scripted.reached.set()
                        await asyncio.to_thread(scripted.let_go.wait)
                        return JSONResponse(None, 503)
                    told = scripted(request)
                    if told is not None:
                        return told
                return answer(request, body)

            return Route(path, served, methods=[method])

        routes = [
            route("/api/v1/ingest/bulk", self._bulk, "POST"),
            route("/api/v1/limits/{limit:path}", self._limit, "GET"),
            route("/api/v1/categories/{category}/resources/{resource:path}", self._resource, "POST"),
        ]
        if self.ours:
            routes += [
                route("/api/v1/capabilities", self._capabilities, "GET"),
                route("/api/v1/events", self._lines, "POST"),
            ]
        other = [route("/{path:path}", lambda request, body: JSONResponse(None, 404), "GET")]
        return Starlette(routes=routes + other)

    def _capabilities(self, request: Request, body: bytes) -> Response:
        return JSONResponse({"server": "payi-middleware", "events": {"path": "/api/v1/events"}})

    def _bulk(self, request: Request, body: bytes) -> Response:
        items = json.loads(body)
        errors = [
            {"item_index": n, "xproxy_result": api_error(*why)}
            for n, item in enumerate(items)
            if (why := self._why(item))
        ]
        refused = {error["item_index"] for error in errors}
        for n, item in enumerate(items):
            if n not in refused:
                self._keep((item["category"], item["provider_response_id"]), item)
        answer = {
            "request_id": "r",
            "ingest_timestamp": "2026-09-21T00:00:00Z",
            "ingest_count": len(items) - len(errors),
            "error_count": len(errors),
            "item_error_count": len(errors),
            "total_count": len(items),
            "errors": errors or None,
        }
        return JSONResponse(answer, 400 if errors and len(errors) == len(items) else 200)

    def _lines(self, request: Request, body: bytes) -> Response:
        events = [json.loads(line) for line in body.splitlines()]
        errors = []
        for number, event in enumerate(events, 1):
            why = self.refuses(event)
            if why:
                errors.append({"line": number, **api_error(*why)})
            else:
                self._keep(event["event_id"], event)
        answer = {"stored": len(events) - len(errors), "duplicates": 0, "error_count": len(errors), "errors": errors}
        return JSONResponse(answer, 400 if errors and len(errors) == len(events) else 200)

    def _why(self, item: dict[str, Any]) -> tuple[str, str] | None:
        for limit in item.get("limit_ids", ()):
            if self.limits.get(limit) != "allow":
                code = "invalid_limit_ids" if limit not in self.limits else "blocking_limit_not_allowed"
                return code, f"limit {limit}"
        if self.resources is not None and (item["category"], item["resource"]) not in self.resources:
            return "category_resource_not_found", f"no resource {item['resource']}"
        return self.refuses(item)

    def _keep(self, identity: Any, item: dict[str, Any]) -> None:
        if identity not in self._known:
            self._known.add(identity)
            self.taken.append(item)

    def _limit(self, request: Request, body: bytes) -> Response:
        limit = request.path_params["limit"]
        if limit not in self.limits:
            return JSONResponse(api_error("limit_not_found", f"no limit {limit}", 404), 404)
        found = {"limit_id": limit, "limit_name": limit, "limit_type": self.limits[limit], "max": 1}
        return JSONResponse({"request_id": "r", "limit": found})

    def _resource(self, request: Request, body: bytes) -> Response:
        if not self.may_create:
            return JSONResponse(api_error("forbidden", "may not", 403), 403)
        names = request.path_params["category"], request.path_params["resource"]
        assert self.resources is not None
        self.resources[names] = json.loads(body)
        return JSONResponse({"category": names[0], "resource": names[1], "resource_id": "1"}, 201)
