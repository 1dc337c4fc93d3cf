"""A server on loopback that answers each path with what a test put there, for the providers' own SDKs."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self

__all__ = ["Canned", "Said"]


class Said(NamedTuple):
    """An answer."""

    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = {}
    status: int = 200


class Canned:
    """The server, in a thread of its own until it is left.

    Args:
        answers: "METHOD /path" -> the answer, or answers in turn, the last of which stays.
    """

    def __init__(self, answers: dict[str, Said | list[Said]]) -> None:
        self.answers = {key: list(said) if isinstance(said, list) else [said] for key, said in answers.items()}
        self.seen: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                said = outer.said(f"{self.command} {self.path.partition('?')[0]}")
                self.send_response(said.status)
                told = {"content-type": said.content_type, "content-length": str(len(said.body)), **said.headers}
                for name, value in told.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(said.body)

            do_GET = do_POST = answer

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def host(self) -> str:
        """`127.0.0.1:PORT`, as the setting `hosts` wants it."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, without a path."""
        return f"http://{self.host}"

    def said(self, key: str) -> Said:
        """The answer to a request."""
        self.seen.append(key)
        answers = self.answers.get(key)
        if answers is None:
            return Said(b"{}", status=404)
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
