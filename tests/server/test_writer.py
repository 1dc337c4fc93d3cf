"""The writer: what shares a transaction, what fails alone, and how it ends."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made import call
from sqlalchemy import Connection, select

from payi_middleware import health
from payi_middleware.exceptions import StoreError
from payi_middleware.limits.memory import MemoryLedger
from payi_middleware.pricing import Prices
from payi_middleware.server.database import prepare
from payi_middleware.server.errors import ApiError
from payi_middleware.server.keys import Caller
from payi_middleware.server.settling import Load, Settled
from payi_middleware.server.tables import applications
from payi_middleware.server.writer import MOST_WAITING, Writer
from payi_middleware.store import open_store
from payi_middleware.store.windows import days_in

ME = Caller(1, "default", "ingest")


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    writer = Writer(prepare(tmp_path / "payi.db"), Prices(), MemoryLedger())
    yield writer
    writer.close()


def named(name: str) -> Any:
    """Makes an application of that name, and fails afterwards if the name says so."""

    def action(sql: Connection) -> str:
        sql.execute(applications.insert().values(name=name))
        if name == "refused":
            raise ApiError(400, "refused")
        if name == "broken":
            raise RuntimeError("broken")
        return name

    return action


async def test_what_fails_fails_alone(writer: Writer, tmp_path: Path) -> None:
    """A refusal takes back what it wrote, a fault of ours its own transaction; whoever waited beside them is served."""
    events = [call() for _ in range(5)]
    work = [writer.run(named(name)) for name in ("a", "refused", "broken", "b", "a")]
    answers = await asyncio.gather(*work, *[writer.ingest(Load(ME, [one])) for one in events], return_exceptions=True)

    assert [type(one).__name__ for one in answers[:5]] == ["str", "ApiError", "RuntimeError", "str", "IntegrityError"]
    assert [[isinstance(one, Settled) for one in told] for told in answers[5:]] == [[True]] * 5  # type: ignore[union-attr]
    names = await writer.run(lambda sql: sql.execute(select(applications.c.name)).scalars().all())
    assert names == ["a", "b"]
    with open_store(f"sqlite:///{tmp_path / 'payi.db'}", create=False) as store:
        assert store.count() == 5


async def test_so_much_may_wait(writer: Writer) -> None:
    """One request is taken whatever its size; beside it there is no room for more."""
    refusal = ApiError(400, "no")
    first = asyncio.create_task(writer.ingest(Load(ME, [refusal] * MOST_WAITING)))
    await asyncio.sleep(0)
    try:
        with pytest.raises(ApiError) as caught:
            await writer.ingest(Load(ME, [refusal]))
    finally:
        assert len(await first) == MOST_WAITING
    assert (caught.value.status_code, caught.value.code) == (503, "unexpected_error")


async def test_whoever_is_gone_is_not_waited_for(writer: Writer, tmp_path: Path) -> None:
    """What they sent is kept all the same."""
    gone = asyncio.create_task(writer.ingest(Load(ME, [call()])))
    await asyncio.sleep(0)
    gone.cancel()
    await writer.probe()
    with open_store(f"sqlite:///{tmp_path / 'payi.db'}", create=False) as store:
        assert store.count() == 1


async def test_after_its_end_nothing_is_taken(tmp_path: Path) -> None:
    """What waited is written first."""
    writer = Writer(prepare(tmp_path / "payi.db"), Prices(), MemoryLedger())
    waiting = [asyncio.create_task(writer.ingest(Load(ME, [call()]))) for _ in range(50)]
    await asyncio.sleep(0)
    writer.close()
    assert all(isinstance(one[0], Settled) for one in await asyncio.gather(*waiting))
    with pytest.raises(ApiError, match="shutting down"):
        await writer.probe()
    with open_store(f"sqlite:///{tmp_path / 'payi.db'}", create=False) as store:
        assert store.count() == 50


async def test_while_nobody_waits_the_store_is_tended(
    writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After what was asked for is written, running sums are; that they cannot be is noted, and nobody's request fails."""
    await writer.ingest(Load(ME, [call()]))
    until = time.monotonic() + 10
    while True:
        with open_store(f"sqlite:///{tmp_path / 'payi.db'}", create=False) as store, store.snapshot() as connection:
            if any(days_in(connection).values()):
                break
        assert time.monotonic() < until
        await asyncio.sleep(0.01)

    tended, before = threading.Event(), health.counters().get("server_store", 0)

    def tend() -> None:
        tended.set()
        raise StoreError("locked")

    monkeypatch.setattr(writer._store, "tend", tend)
    await writer.ingest(Load(ME, [call()]))
    assert await asyncio.to_thread(tended.wait, 5)
    assert len(await writer.ingest(Load(ME, [call()]))) == 1
    assert health.counters().get("server_store", 0) > before


async def test_a_probe_tells_that_there_was_no_room_for_events(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk that takes the little a probe writes: until events are stored again, or nobody has tried for a while."""
    much, little = Load(ME, [call(user_id="u" * 250) for _ in range(2_000)]), Load(ME, [call()])
    await writer.ingest(little)
    connection = writer._store._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 20}")
    with pytest.raises(StoreError, match="the disk is full"):
        await writer.ingest(much)
    with pytest.raises(StoreError, match="the disk is full"):
        await writer.probe()
    monkeypatch.setattr("payi_middleware.server.writer._REFUSED_SECONDS", 0.0)
    await writer.probe()
    monkeypatch.undo()
    with pytest.raises(StoreError, match="the disk is full"):
        await writer.probe()
    connection.execute("PRAGMA max_page_count = 1000000")
    assert len(await writer.ingest(much)) == 2_000
    await writer.probe()
