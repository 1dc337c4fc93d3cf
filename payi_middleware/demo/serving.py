"""A web application under uvicorn, on loopback, in a thread of its own."""

from __future__ import annotations

import socket
import threading
import time
import warnings
from types import TracebackType
from typing import Any, Literal, Self

import uvicorn

__all__ = ["Serving"]


class Serving:
    """Serves an application from construction to `close`.

    Args:
        app: An ASGI or WSGI application.
        interface: Which of the two.
    """

    def __init__(self, app: Any, *, interface: Literal["asgi3", "wsgi"] = "asgi3") -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(app, interface=interface, log_level="warning", timeout_graceful_shutdown=2)
        with warnings.catch_warnings():
            # uvicorn would rather have a2wsgi do this, which is one more package for the same answer.
            warnings.simplefilter("ignore", DeprecationWarning)
            config.load()
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="payi-demo", daemon=True)
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.005)

    def close(self) -> None:
        """Finish the requests under way, run the application's shutdown, end the thread."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
