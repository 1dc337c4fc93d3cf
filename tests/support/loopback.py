"""A server on loopback that answers what a test tells it to, byte by byte."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from exchanges import ANSWER

__all__ = ["PATH", "Asked", "Loopback", "Reply"]

PATH = "/v1/chat/completions"


@dataclass
class Reply:
    """What is answered."""

    parts: list[bytes] = field(default_factory=lambda: [ANSWER])
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    framing: str = "chunked"
    """`chunked`, `length` (of all parts) or `close` (the body ends with the connection)."""
    breaks: bool = False
    """Whether the connection ends before the body does."""
    gates: list[threading.Event] = field(default_factory=list)
    """The first is waited for before the second part, and so on."""
    silent: bool = False
    """Whether the connection ends without any answer."""


@dataclass
class Asked:
    """A request as it came over the wire."""

    method: str
    path: str
    headers: Message
    body: bytes


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that are gone."""


class Loopback:
    """Serves from construction to `close`; each request is answered by `replies`, in turn, the last one again and again."""

    def __init__(self) -> None:
        self.replies: list[Reply | Callable[[Asked], Reply]] = [Reply()]
        self.asked: list[Asked] = []
        loopback = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                loopback._answer(self)

            do_GET = do_POST

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.host}{PATH}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = Asked(handler.command, handler.path, handler.headers, _body(handler))
        self.asked.append(asked)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if callable(reply):
            reply = reply(asked)
        if reply.silent:
            handler.close_connection = True
            return
        try:
            _send(handler, reply)
        except OSError:  # the client has gone
            handler.close_connection = True

    def close(self) -> None:
        """End serving."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    if handler.headers.get("transfer-encoding") != "chunked":
        return handler.rfile.read(int(handler.headers.get("content-length") or 0))
    body = b""
    while size := int(handler.rfile.readline(), 16):
        body += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return body


def _send(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    handler.send_response(reply.status)
    for name, value in reply.headers.items():
        handler.send_header(name, value)
    if reply.framing == "length":
        handler.send_header("content-length", str(sum(map(len, reply.parts)) + reply.breaks))
    elif reply.framing == "chunked":
        handler.send_header("transfer-encoding", "chunked")
    else:
        handler.send_header("connection", "close")
    handler.end_headers()
    for at, part in enumerate(reply.parts):
        if 0 < at <= len(reply.gates):
            reply.gates[at - 1].wait(10)
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(part), part) if reply.framing == "chunked" else part)
        handler.wfile.flush()
    if reply.gates and len(reply.gates) >= len(reply.parts):
        reply.gates[-1].wait(10)
    if reply.breaks or reply.framing == "close":
        handler.close_connection = True
    elif reply.framing == "chunked":
        handler.wfile.write(b"0\r\n\r\n")
