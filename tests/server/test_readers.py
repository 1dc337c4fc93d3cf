"""Connections that read: more requests than there are wait their turn, and hold up nobody meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import sqlalchemy
import stores
from sqlalchemy.pool import QueuePool

from payi_middleware import health
from payi_middleware.exceptions import StoreError
from payi_middleware.server import keys
from payi_middleware.server.app import create_app
from payi_middleware.server.auth import Auth, Keyring
from payi_middleware.server.database import over, prepare
from payi_middleware.server.errors import Answer
from payi_middleware.server.rates import Rates
from payi_middleware.server.readers import Readers

ITEM = {"category": "system.openai", "resource": "gpt-4o", "units": {"text": {"input": 10, "output": 1}}}


@pytest.fixture
def six() -> Iterator[sqlalchemy.Engine]:
    """Six connections, of which four are left; whoever waits for one waits a moment."""
    engine = sqlalchemy.create_engine(
        "sqlite://",
        poolclass=QueuePool,
        pool_size=6,
        max_overflow=0,
        pool_timeout=0.05,
        connect_args={"check_same_thread": False},
    )
    yield engine
    engine.dispose()


@pytest.mark.parametrize("kind", stores.KINDS)
async def test_more_listings_than_connections_and_threads(tmp_path: Path, kind: str) -> None:
    """All are answered, and so is an event beside them, whose key is new and is looked up."""
    stores.place(tmp_path, kind)
    url = stores.url(tmp_path)
    app = create_app(url)
    with prepare(url) as store, store.batch() as batch:
        read, send = (keys.create(over(batch.connection), "shop", role) for role in ("read", "ingest"))
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://server", timeout=20) as http,
        asyncio.timeout(20),
    ):
        listings = [http.get("/api/v1/use_cases/definitions", headers={"xProxy-api-key": read}) for _ in range(200)]
        event = http.post("/api/v1/ingest", headers={"xProxy-api-key": send}, json=ITEM)
        answers = await asyncio.gather(*listings, event)

    assert {answer.status_code for answer in answers} == {200}


async def test_who_waits_too_long_is_told(six: sqlalchemy.Engine) -> None:
    """In the store's words, which is answered by 503; and whoever comes next has a turn again."""
    readers = Readers(six, 6, patience=0.05)
    async with readers.lent(), readers.lent():
        with pytest.raises(StoreError, match="all connections"):
            async with readers.lent():
                pass
        with readers.connect() as sql:
            assert sql.scalar(sqlalchemy.text("SELECT 1")) == 1
    async with readers.lent() as sql:
        assert sql.scalar(sqlalchemy.text("SELECT 1")) == 1


async def test_a_key_that_cannot_be_looked_up_is_a_503(six: sqlalchemy.Engine) -> None:
    """As long as all connections are taken."""
    app = Auth(Answer({}), Keyring(Readers(six, 6)), Rates())
    headers = {"xProxy-api-key": "payi_" + "a" * 60}
    with contextlib.ExitStack() as taken:
        for _ in range(6):
            taken.enter_context(six.connect())
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://server") as http:
            answer = await http.get("/api/v1/limits", headers=headers)

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "all connections that read it are taken" in answer.json()["message"]
    health.reset()
