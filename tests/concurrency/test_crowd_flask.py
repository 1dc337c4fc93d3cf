"""400 requests to Flask, 16 threads at a time, each with five calls made in five ways."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import crowd
import httpx
import httpx2
import pytest
from flask import Flask, Response, request
from mocked import stored
from werkzeug.serving import WSGIRequestHandler, make_server

from payi_middleware import Meter, current, use_case
from payi_middleware.demo.standin import StandIn
from payi_middleware.flask import Payi

pytestmark = pytest.mark.slow

PATH = "/v1/chat/completions"
THREADS = 16


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:
        pass


def make_app(
    meter: Meter,
    mode: str,
    newer: httpx2.Client,
    older: httpx.Client,
    pool: ThreadPoolExecutor,
    later: list[threading.Thread],
) -> Flask:
    app = Flask("crowd")
    Payi(app, meter, identify=(lambda asked: asked.headers["x-user"]) if mode == "identify" else None)
    if mode == "set":

        @app.before_request
        def set_user() -> None:
            current().set(user_id=request.headers["x-user"])

    def streamed(number: int) -> Iterator[bytes]:
        with newer.stream("POST", PATH, json=crowd.body(number, 4, stream=True)) as answer:
            yield from answer.iter_bytes()

    def route(case: str) -> None:
        @app.post(f"/{case}/<int:number>", endpoint=case)
        @use_case(case)
        def endpoint(number: int) -> Response:
            newer.post(PATH, json=crowd.body(number, 0))
            older.post(PATH, json=crowd.body(number, 1))
            pool.submit(newer.post, PATH, json=crowd.body(number, 2)).result()
            later.append(threading.Thread(target=lambda: newer.post(PATH, json=crowd.body(number, 3))))
            later[-1].start()
            return Response(streamed(number))

    for case in crowd.CASES:
        route(case)
    return app


def visit(url: str, mode: str) -> None:
    name = "xProxy-User-ID" if mode == "header" else "x-user"
    with httpx2.Client(base_url=url, trust_env=False, timeout=60) as visitor, ThreadPoolExecutor(THREADS) as threads:

        def one(number: int) -> None:
            path = f"/{crowd.CASES[number % len(crowd.CASES)]}/{number}"
            answer = visitor.post(path, headers={name: crowd.user(number)})
            assert answer.status_code == 200
            assert b"[DONE]" in answer.content

        list(threads.map(one, range(crowd.USERS)))


@pytest.mark.parametrize("mode", crowd.MODES)
def test_no_call_is_on_a_wrong_user(tmp_path: Path, mode: str) -> None:
    """2,000 calls of 400 users in 16 threads: each on its user and use case, the total as worked out by hand."""
    later: list[threading.Thread] = []
    with (
        StandIn() as provider,
        Meter(
            f"sqlite:///{tmp_path}/payi.db",
            hosts={provider.host: "openai"},
            trusted_hosts=("127.0.0.1",) if mode == "header" else (),
        ) as meter,
        httpx2.Client(base_url=provider.url, trust_env=False, timeout=60) as newer,
        httpx.Client(base_url=provider.url, trust_env=False, timeout=60) as older,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        app = make_app(meter, mode, newer, older, pool, later)
        server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            visit(f"http://127.0.0.1:{server.port}", mode)
        finally:
            server.shutdown()
            serving.join()
            server.server_close()
        for thread in later:
            thread.join()
        assert meter.flush(30)
        crowd.check(stored(tmp_path))
