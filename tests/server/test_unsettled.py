"""Events are stored first and counted to their limits then, once, whatever happens between."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from made import call
from sqlalchemy import select

from payi_middleware import health
from payi_middleware.events import CallEvent
from payi_middleware.exceptions import LedgerError
from payi_middleware.limits import Limit
from payi_middleware.limits.audit import audit
from payi_middleware.limits.ledger import Settle
from payi_middleware.limits.limit import Definition
from payi_middleware.limits.sqlite import SqliteLedger
from payi_middleware.pricing import Prices
from payi_middleware.server import away, writer
from payi_middleware.server.database import prepare
from payi_middleware.server.keys import Caller
from payi_middleware.server.settling import Load, Settled
from payi_middleware.server.tables import instances, use_cases
from payi_middleware.server.unsettled import put
from payi_middleware.server.writer import Writer
from payi_middleware.store import open_store

ME = Caller(1, "default", "ingest")
TICKS = 35_000_000


class Shaky(SqliteLedger):
    """A ledger that can be out of reach: before it counts, or when it has counted and should say so."""

    before = after = False
    hates: int | None = None
    """Tokens of an event at which it fails by a fault of its own."""

    def run(self, steps: Any) -> Any:
        if self.before:
            raise LedgerError("away")
        if any(step.tokens == self.hates for step in steps):
            raise ZeroDivisionError
        answers = super().run(steps)
        if self.after:
            raise LedgerError("away")
        return answers

    def definitions(self, application: str) -> Any:
        if self.before:
            raise LedgerError("away")
        return super().definitions(application)


class Nameless(Shaky):
    """It has no id either while it is out of reach: one that has lost its data."""

    @property
    def id(self) -> str:
        if self.before:
            raise LedgerError("away")
        return super().id


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(writer, "_LEFT_SECONDS", 0.05)
    monkeypatch.setattr(away, "AWAY_SECONDS", 0.02)
    yield
    health.reset()


@pytest.fixture
def ledger(tmp_path: Path) -> Shaky:
    found = Shaky(tmp_path / "ledger")
    all_calls = Definition(limit_id="all", application="default", limit=Limit("all", 10), source="code", created_ns=1)
    found.define(all_calls)
    return found


def opened(tmp_path: Path, ledger: Shaky) -> Writer:
    return Writer(prepare(tmp_path / "payi.db"), Prices(), ledger)


async def sent(writer: Writer, *events: CallEvent) -> list[dict[str, str]]:
    outcomes = await writer.ingest(Load(ME, list(events)))
    assert all(isinstance(one, Settled) for one in outcomes)
    return [one.event.limits for one in outcomes if isinstance(one, Settled)]


def spent(ledger: Shaky) -> tuple[int, int]:
    """Ticks, and calls."""
    (totals,) = ledger.totals("default", "all")
    return totals.spent, sum(totals.requests.values())


def stored(tmp_path: Path) -> list[CallEvent]:
    with open_store(f"sqlite:///{tmp_path / 'payi.db'}", create=False) as store:
        return list(store.events())


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_what_is_stored_is_counted_and_has_its_states(tmp_path: Path, ledger: Shaky) -> None:
    """The answer tells them, and so does the event that is kept, under the name of the ledger; nothing is left to be told."""
    writer = opened(tmp_path, ledger)
    try:
        assert await sent(writer, call(), call()) == [{"all": "ok"}] * 2
        left = await writer.run(lambda sql: sql.exec_driver_sql("SELECT count(*) FROM server_unsettled").scalar())
        assert left == 0
        assert spent(ledger) == (2 * TICKS, 2)
        assert [(event.limits, event.ledger) for event in stored(tmp_path)] == [({"all": "ok"}, ledger.id)] * 2
    finally:
        writer.close()


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_ledger_that_is_away_counts_later(tmp_path: Path, ledger: Shaky, when: str) -> None:
    """Events are stored all the same; it counts them once when it is back, whether or not it had counted them."""
    writer = opened(tmp_path, ledger)
    try:
        await sent(writer, call())
        setattr(ledger, when, True)
        assert await sent(writer, call(), call()) == [{}, {}]
        assert [event.ledger for event in stored(tmp_path)] == [ledger.id] * 3
        time.sleep(0.1)
        setattr(ledger, when, False)
        eventually(lambda: [event.limits for event in stored(tmp_path)] == [{"all": "ok"}] * 3)
        assert spent(ledger) == (3 * TICKS, 3)
    finally:
        writer.close()
    assert health.counters()["server_ledger"] >= 1


@pytest.mark.parametrize("when", ["before", "after"])
async def test_what_a_server_left_another_tells(tmp_path: Path, ledger: Shaky, when: str) -> None:
    """At its start."""
    first = opened(tmp_path, ledger)
    await sent(first, call())
    setattr(ledger, when, True)
    await sent(first, *[call() for _ in range(600)])
    first.close()

    again = Shaky(tmp_path / "ledger")
    second = opened(tmp_path, again)
    try:
        eventually(lambda: spent(again) == (601 * TICKS, 601))
        eventually(lambda: {event.limits.get("all") for event in stored(tmp_path)} == {"ok"})
    finally:
        second.close()


async def test_one_that_cannot_be_counted_holds_up_nobody(tmp_path: Path, ledger: Shaky) -> None:
    """It stays to be told, while the others are counted; after so long it is given up, and said so."""
    writer = opened(tmp_path, ledger)
    ledger.hates = 7
    try:
        odd = call(units={"text": (7, 0)})
        assert await sent(writer, call(), odd, call()) == [{"all": "ok"}, {}, {"all": "ok"}]
        assert await sent(writer, call()) == [{"all": "ok"}]
        await writer.run(lambda sql: sql.exec_driver_sql("UPDATE server_unsettled SET put_ns = 5"))
        eventually(lambda: "server_unsettled" in health.counters())
    finally:
        writer.close()
    assert spent(ledger)[1] == 3
    assert {event.ledger for event in stored(tmp_path) if event.event_id == odd.event_id} == {None}
    assert {event.ledger for event in stored(tmp_path) if event.event_id != odd.event_id} == {ledger.id}
    (found,) = audit(ledger, "default", [lambda since_ns: stored(tmp_path)])
    assert found.tally.requests["ok"] == 4  # it counts what was given up
    assert health.counters()["server_fault"] >= 1


async def test_events_name_the_ledger_that_counts_them(tmp_path: Path, ledger: Shaky) -> None:
    """It has another id when its data was lost; while it is away, the last that is known."""
    ledger = Nameless(ledger.path)
    writer = opened(tmp_path, ledger)
    try:
        await sent(writer, call())
        was, ledger._id = ledger.id, "sqlite:anew"
        await sent(writer, call())
        ledger.before = True
        await sent(writer, call())
    finally:
        writer.close()
    assert [event.ledger for event in stored(tmp_path)] == [was, "sqlite:anew", "sqlite:anew"]


async def test_limits_last_known_hold_while_the_ledger_is_away(tmp_path: Path, ledger: Shaky) -> None:
    """Of an application that was never asked for, none are known: its events are stored, and the audit finds them."""
    writer = opened(tmp_path, ledger)
    try:
        await sent(writer, call())
        ledger.before = True
        other = Caller(2, "other", "ingest")
        outcomes = await writer.ingest(Load(other, [call(application="other")]))
        assert [one.event.ledger for one in outcomes if isinstance(one, Settled)] == [None]
        await sent(writer, call())
    finally:
        writer.close()
    assert [event.ledger for event in stored(tmp_path)] == [ledger.id, None, ledger.id]


async def test_events_that_were_counted_elsewhere_are_not_counted_here(tmp_path: Path, ledger: Shaky) -> None:
    """Those that name a ledger, and those that have states: of a refused call, too."""
    writer = opened(tmp_path, ledger)
    try:
        elsewhere = [
            call(ledger="valkey:1"),
            call(limits={"all": "overrun"}),
            call(outcome="blocked", limits={"all": "blocked"}),
        ]
        assert await sent(writer, *elsewhere) == [{}, {"all": "overrun"}, {"all": "blocked"}]
        assert spent(ledger) == (0, 0)
    finally:
        writer.close()


def test_steps_of_no_event_are_told_too(tmp_path: Path, ledger: Shaky) -> None:
    """Such as corrections: they have ids of their own, and no event gets their states."""
    store = prepare(tmp_path / "payi.db")
    with store.batch() as batch:
        step = call()
        put(batch, [Settle(step.event_id, "default", (), 1, 1, 0, step.started_ns, counts=False)])
    writer = Writer(store, Prices(), ledger)
    eventually(lambda: not _left(tmp_path))
    writer.close()


def _left(tmp_path: Path) -> int:
    with prepare(tmp_path / "payi.db") as store, store.batch() as batch:
        return int(batch.connection.execute("SELECT count(*) FROM server_unsettled").fetchone()[0])


async def test_an_event_of_the_middleware_counts_to_its_instance(tmp_path: Path, ledger: Shaky) -> None:
    """As those of Pay-i's shape do: each instance gets its limit with its first event. What was counted elsewhere stays as it is."""
    config = {"max_ticks": TICKS, "limit_type": "block", "threshold": None, "properties": {}}
    row = {"application": ME.application, "name": "Chat", "description": "-", "type_version": 1, "limit_config": config}
    writer = opened(tmp_path, ledger)
    try:
        await writer.run(lambda sql: sql.execute(use_cases.insert().values(**row)))
        runs = [call(use_case_name="Chat", use_case_id=run) for run in ("one", "one", "two")]
        told = await sent(writer, *runs, call(use_case_name="Chat"), call(use_case_name="Other", use_case_id="one"))
        assert told == [
            {"all": "ok", "Chat:*": "exceeded"},
            {"all": "ok", "Chat:*": "overrun"},
            {"all": "ok", "Chat:*": "exceeded"},
            {"all": "ok"},
            {"all": "ok"},
        ]
        by_key = {one.key: one.spent for one in ledger.totals("default", "Chat:*")}
        assert by_key == {'["one"]': 2 * TICKS, '["two"]': TICKS}
        counted = call(use_case_name="Chat", use_case_id="three", ledger="sqlite:another", limits={"own": "ok"})
        assert await sent(writer, counted) == [{"own": "ok"}]
        assert len(ledger.definitions("default").limits) == 2
        rows = await writer.run(lambda sql: sql.execute(select(instances.c.use_case_id, instances.c.limit_id)).all())
        assert [tuple(row) for row in rows] == [("one", "Chat:*"), ("two", "Chat:*"), ("three", "Chat:*")]

        # An instance of a server before has a limit of its own, which is counted to as well.
        old = {
            "application": ME.application,
            "use_case": "Chat",
            "use_case_id": "old",
            "type_version": 1,
            "properties": {},
        }
        ledger.define(Definition(limit_id="o", application="default", limit=Limit("Chat old", 1), source="instance"))
        await writer.run(lambda sql: sql.execute(instances.insert().values(**old, limit_id="o", created_ns=1)))
        assert await sent(writer, call(use_case_name="Chat", use_case_id="old")) == [
            {"all": "ok", "Chat:*": "exceeded", "o": "ok"}
        ]
    finally:
        writer.close()
