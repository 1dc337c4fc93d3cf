"""A provider on loopback that answers by method and path with what a test gives it, over real HTTP."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self, TypeAlias

__all__ = ["Canned", "Said"]


class Said(NamedTuple):
    """An answer."""

    body: bytes
    content_type: str = ""
    """By the body's first bytes if it is empty."""
    headers: dict[str, str] = {}
    status: int = 200

    @property
    def kind(self) -> str:
        """The content type."""
        if self.content_type:
            return self.content_type
        if self.body.startswith((b"data:", b"event:")):
            return "text/event-stream"
        return "application/json" if self.body[:1] in (b"{", b"[") else "application/octet-stream"


Answer: TypeAlias = Said | bytes


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _answer(self) -> None:
        body = self._body()
        said = self.server.said(f"{self.command} {self.path.partition('?')[0]}", body)
        self.send_response(said.status)
        for name, value in {"content-type": said.kind, "content-length": str(len(said.body)), **said.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(said.body)

    do_GET = do_POST = _answer

    def _body(self) -> bytes:
        """The request's body, in chunks where a client does not know its length."""
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a test's output is its own."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, answers: dict[str, list[Answer]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = answers
        self.seen: list[tuple[str, bytes]] = []

    def said(self, key: str, body: bytes) -> Said:
        """The answer to a request."""
        self.seen.append((key, body))
        answers = self.answers.get(key)
        if answers is None:
            return Said(b"{}", status=404)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return Said(answer) if isinstance(answer, bytes) else answer


class Canned:
    """The provider, in a thread of its own.

    Args:
        answers: `METHOD /path` -> the answer, or answers in turn, of which the last one stays; 404 for any other.
    """

    def __init__(self, answers: dict[str, Answer | list[Answer]]) -> None:
        self._server = _Server(
            {key: list(given) if isinstance(given, list) else [given] for key, given in answers.items()}
        )
        self.answers = self._server.answers
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        """As the setting `hosts` wants it."""
        self.url = f"http://{self.host}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def seen(self) -> list[tuple[str, bytes]]:
        """What was asked, and the bodies."""
        return list(self._server.seen)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
