"""What is charged with the first event that tells of it is charged once by the server, whoever sends to it."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from made import DAY, START_NS, call
from servers import Server

from payi_middleware.costing import cost_of
from payi_middleware.events import CallEvent, Cost, Part
from payi_middleware.once import Told, with_firsts
from payi_middleware.pricing import Prices
from payi_middleware.providers._hosted import first_container
from payi_middleware.providers.base import Reading
from payi_middleware.server import housekeeping
from payi_middleware.server.database import over
from payi_middleware.server.firsts import counted_once
from payi_middleware.server.tables import told_once
from payi_middleware.store import open_store

SESSION = "container_session_request"
TEXT = {"text": (100, 30)}


@pytest.fixture(scope="module")
def prices() -> Prices:
    prices = Prices()
    prices.load()
    return prices


def ran(prices: Prices, told: Told, *containers: tuple[str, str | None], **more: Any) -> CallEvent:
    """A call that ran in some containers, as a process that was told of some makes it."""
    firsts = tuple(first_container(*container) for container in containers)
    reading = with_firsts(Reading(model="gpt-4o-mini", units=TEXT, firsts=firsts), "openai", told)
    costed = cost_of(prices, "openai", "gpt-4o-mini", reading.units or {}, START_NS, parts=reading.parts)
    return call(
        resource="gpt-4o-mini",
        units=reading.units,
        parts=reading.parts,
        cost=costed.cost,
        cost_source=costed.source,
        unpriced=costed.unpriced,
        **more,
    )


def send(server: Server, key: str, *events: CallEvent) -> None:
    with server.http(key) as http:
        lines = "\n".join(event.to_json() for event in events)
        assert http.post("/api/v1/events", content=lines).json()["error_count"] == 0


def kept(server: Server, application: str) -> list[CallEvent]:
    with open_store(server.store, create=False) as store:
        return [event for event in store.events() if event.application == application]


def test_a_container_of_two_processes_is_charged_once(server: Server, prices: Prices) -> None:
    """By the first that tells of it; told again, it stays as it was; another application's is another."""
    key, one, other = server.key("ingest", "sharing"), Told(), Told()
    first = ran(prices, one, ("cntr_1", None))
    second = ran(prices, other, ("cntr_1", None), ("cntr_2", "4g"))
    assert first.units[SESSION] == (0, 1)
    assert second.units[SESSION] == (0, 2)

    send(server, key, first)
    send(server, key, second, first)
    send(server, key, first, second, ran(prices, Told(), ("cntr_2", "4g")))
    send(server, server.key("ingest", "apart"), ran(prices, Told(), ("cntr_1", None)))

    expected = ran(prices, Told(), ("cntr_2", "4g"))
    stored = {event.event_id: event for event in kept(server, "sharing")}
    third = next(event for event in stored.values() if event.event_id not in (first.event_id, second.event_id))
    assert stored[first.event_id].to_dict() == first.to_dict() | {"application": "sharing"}
    as_told = stored[second.event_id]
    assert (as_told.units, as_told.cost, as_told.unpriced, as_told.parts) == (
        expected.units,
        expected.cost,
        expected.unpriced,
        expected.parts,
    )
    plain = ran(prices, Told())
    assert (third.units, third.cost, third.unpriced) == (plain.units, plain.cost, ())
    assert kept(server, "apart")[0].units[SESSION] == (0, 1)


def test_both_at_once(server: Server, prices: Prices) -> None:
    """In one body too."""
    send(server, server.key("ingest", "at once"), *(ran(prices, Told(), ("cntr_9", None)) for _ in range(5)))
    sessions = [event.units.get(SESSION) for event in kept(server, "at once")]
    assert sessions == [(0, 1), None, None, None, None]


def test_ids_of_what_is_old_are_pruned(server: Server, prices: Prices) -> None:
    """A container that was told of so long ago is none any more."""
    send(server, server.key("ingest", "old"), ran(prices, Told(), ("cntr_old", None)))
    with open_store(server.store, create=True) as store:
        with store.transaction() as connection:
            before = len(over(connection).execute(told_once.select()).all())
        assert list(housekeeping.prune(store, START_NS // DAY, keep_sums=True)) == []
        for step in housekeeping.prune(store, time.time_ns() // DAY + 1, keep_sums=True):
            assert not any(step)
        with store.transaction() as connection:
            after = len(over(connection).execute(told_once.select()).all())
    assert (before > 0, after) == (True, 0)


def never(once: bytes) -> bool:
    return False


def test_what_a_provider_states_stays(prices: Prices) -> None:
    """Only what was computed of units is taken off a cost; the units are, in any case."""
    stated = Cost(0, 500, 500)
    event = counted_once(ran(prices, Told(), ("cntr_1", None)), lambda once: False)
    told = msgspec.structs.replace(ran(prices, Told(), ("cntr_1", None)), cost=stated, cost_source="provider")
    assert counted_once(told, never).cost == stated
    assert counted_once(told, never).units == event.units == TEXT
    assert event.cost is not None
    assert event.cost.total > Decimal(0)


def test_lines_that_were_added_up(prices: Prices) -> None:
    """Where an event has so many parts that alike lines are one, its quantity becomes less; what has no price is only a unit."""
    event = ran(prices, Told(), *((f"cntr_{n}", None) for n in range(70)))
    assert event.cost is not None
    seen: list[bytes] = []

    def is_first(once: bytes) -> bool:
        seen.append(once)
        return len(seen) % 2 == 0

    less = counted_once(event, is_first)
    assert less.cost is not None
    assert (len(seen), less.units[SESSION]) == (70, (0, 35))
    assert [line.quantity for line in less.cost.lines if line.unit == SESSION] == [35]
    text = [line for line in event.cost.lines if line.unit == "text"]
    assert less.cost.lines[: len(text)] == tuple(text)

    part = Part("container", {"unknown": (1, 0)}, once="0" * 32)
    unpriced = msgspec.structs.replace(event, parts=(part,), units={"unknown": (1, 0)}, cost=None, cost_source="none")
    assert (counted_once(unpriced, never).units, counted_once(unpriced, never).cost) == ({}, None)
    assert counted_once(event, lambda once: True) is event
