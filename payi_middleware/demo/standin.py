"""A provider stand-in on loopback: answers OpenAI's, Azure's, Anthropic's and Gemini's requests in their own formats.

    with StandIn() as provider:
        client = openai.OpenAI(base_url=provider.url + "/v1", api_key="none")

How many tokens it reports, and the markers by which a request asks for faults, stands in `question`. It speaks bare
HTTP/1.1, because it also stands behind measurements and has to cost less than what is measured.
`python -m payi_middleware.demo.standin [PORT]` runs it as a process of its own, which prints its address.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from types import TracebackType
from typing import Self

from .connection import Connection, Shared
from .question import Tokens, tokens_of, usage_for
from .replies import Seen

__all__ = ["Seen", "StandIn", "Tokens", "tokens_of", "usage_for"]


class StandIn:
    """The stand-in, running in a thread of its own from construction to `close`. One answers for all providers.

    Args:
        port: Where to listen on 127.0.0.1; 0 lets the system choose.

    Raises:
        OSError: The port is taken.
    """

    def __init__(self, *, port: int = 0) -> None:
        self._shared = Shared()
        self._loop = asyncio.new_event_loop()
        listening = self._loop.create_server(lambda: Connection(self._shared), "127.0.0.1", port, backlog=1024)
        try:
            self._server = self._loop.run_until_complete(listening)
        except OSError:
            self._loop.close()
            raise
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._run, name=f"payi-standin-{self.port}", daemon=True)
        self._thread.start()

    @property
    def host(self) -> str:
        """`127.0.0.1:PORT`, as the setting `hosts` wants it."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, without a path."""
        return f"http://{self.host}"

    @property
    def requests(self) -> list[Seen]:
        """The last 50,000 requests, oldest first."""
        return list(self._shared.seen)

    def clear(self) -> None:
        """Forget the requests, and which `-once` markers have failed."""
        self._shared.seen.clear()
        self._shared.once.clear()

    def close(self) -> None:
        """Break all connections and end the thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._server.close()
        for transport in list(self._shared.open):
            transport.abort()
        self._loop.run_until_complete(_cancelled())
        self._loop.close()


async def _cancelled() -> None:
    """End the answers that are still on their way."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


def main() -> None:  # pragma: no cover - runs until it is stopped
    """Run a stand-in until Ctrl-C."""
    port = sys.argv[1] if len(sys.argv) > 1 else "0"
    if not port.isdecimal():
        sys.exit("usage: python -m payi_middleware.demo.standin [PORT]")
    with StandIn(port=int(port)) as standin:
        print(standin.url, flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":  # pragma: no cover
    main()
