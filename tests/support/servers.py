"""A server under uvicorn on loopback, with keys, and Pay-i's own clients for it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Self

import httpx2
import payi
from conforming import Conforming
from stores import url

from payi_middleware.demo.serving import Serving
from payi_middleware.server import keys
from payi_middleware.server.app import create_app
from payi_middleware.server.database import over, prepare
from payi_middleware.settings import load

__all__ = ["Blocking", "Server"]


class Server:
    """Serves a store in a folder from construction to `close`."""

    def __init__(self, folder: Path, *, ledger: str | None = None, **options: Any) -> None:
        self.path = folder / "payi.db"
        self.store = url(folder)
        self.app = create_app(load({"store": self.store, "ledger": ledger}), **options)
        self._conforming = Conforming(self.app)
        self._serving = Serving(self._conforming)
        self.url = self._serving.url
        self.admin = self.key("admin")

    def key(self, role: str, application: str = "shop") -> str:
        """A new key."""
        with prepare(self.store) as store, store.batch() as batch:
            return keys.create(over(batch.connection), application, role)

    def http(self, key: str | None = None, **options: Any) -> httpx2.Client:
        """A bare client, with the admin key unless told otherwise."""
        headers = {"xProxy-api-key": self.admin if key is None else key} | options.pop("headers", {})
        return httpx2.Client(base_url=self.url, headers=headers, trust_env=False, timeout=30, **options)

    def payi(self, key: str | None = None) -> payi.Payi:
        """Pay-i's client; it does not send again, so that each answer is seen."""
        return payi.Payi(base_url=self.url, api_key=key or self.admin, max_retries=0)

    @property
    def answered(self) -> set[tuple[str, str]]:
        """Method and path of the operations that were answered with 200."""
        return self._conforming.seen

    def close(self) -> None:
        """End; that all it answered was as its document says."""
        self._serving.close()
        assert self._conforming.faults == []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Blocking:
    """Pay-i's client, used alike whether it is the synchronous one or not; listings come as lists over all pages."""

    def __init__(self, client: Any, loop: asyncio.AbstractEventLoop | None, name: str = "", called: Any = None) -> None:
        self._client = client
        self._loop = loop
        self._name = name
        self.called: set[str] = set() if called is None else called

    def __getattr__(self, name: str) -> Any:
        return Blocking(getattr(self._client, name), self._loop, f"{self._name}.{name}".lstrip("."), self.called)

    def __call__(self, *args: Any, **named: Any) -> Any:
        self.called.add(self._name)
        answer = self._client(*args, **named)
        if self._loop is None:
            return list(answer) if hasattr(answer, "iter_pages") else answer
        return self._loop.run_until_complete(_all(answer) if hasattr(answer, "__aiter__") else answer)


async def _all(pages: Any) -> list[Any]:
    return [item async for item in pages]
