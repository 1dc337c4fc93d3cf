"""Rates of one's own, published on loopback as genai-prices publishes its."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from genai_prices.data import providers as installed

__all__ = ["MANY", "Publisher", "listing"]

MANY = sum(len(provider.models) for provider in installed)


def listing(usd: int, models: int = MANY) -> list[dict[str, Any]]:
    """A list of as many models as are known, `gpt-4o` at a price of its own."""
    names = ["gpt-4o", *(f"other-{n}" for n in range(models - 1))]
    made = [{"id": name, "match": {"equals": name}, "prices": {"input_mtok": usd}} for name in names]
    return [{"id": "openai", "name": "OpenAI", "api_pattern": "https://api.openai.com", "models": made}]


class Publisher:
    """A server on loopback that publishes `body`."""

    def __init__(self) -> None:
        self.body: bytes = json.dumps(listing(7)).encode()
        self.status = 200
        self.asked = threading.Event()
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(publisher.status)
                self.send_header("content-length", str(len(publisher.body)))
                self.end_headers()
                self.wfile.write(publisher.body)
                publisher.asked.set()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/data.json"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
