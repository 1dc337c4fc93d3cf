"""A provider on loopback that answers by method and path with what a test gives it, over real HTTP."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

__all__ = ["Canned"]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _answer(self) -> None:
        body = self._body()
        key = f"{self.command} {self.path.partition('?')[0]}"
        self.server.seen.append((key, body))
        answers = self.server.answers[key]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        kind = "text/event-stream" if answer.startswith((b"data:", b"event:")) else "application/octet-stream"
        self.send_response(200)
        self.send_header("content-type", "application/json" if answer[:1] in b"{[" and answer else kind)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

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

    def __init__(self, answers: dict[str, list[bytes]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = answers
        self.seen: list[tuple[str, bytes]] = []


class Canned:
    """The provider, in a thread of its own.

    Args:
        answers: `METHOD /path` -> the answers, one after the other; the last one stays.
    """

    def __init__(self, answers: dict[str, list[bytes]]) -> None:
        self._server = _Server(answers)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
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
