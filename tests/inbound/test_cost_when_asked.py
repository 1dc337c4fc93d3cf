"""A call's cost is found out when somebody asks for it: the running request at once, the store when the call gets there."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from asking import Asking

from payi_middleware import Meter, costing, current, frames, health, instrument, track
from payi_middleware.attribution import Given
from payi_middleware.costing import Costed
from payi_middleware.demo.standin import StandIn
from payi_middleware.events import Cost
from payi_middleware.frames import Activity
from payi_middleware.spool import ANSWERED, BEGUN, ENDED
from payi_middleware.testing import Events


def ended(activity: Activity, price: Callable[[], Costed], meter: Meter) -> None:
    """A call begins, and ends with a cost that nobody asked for yet."""
    call_id = os.urandom(16)
    activity.begin_call(call_id)
    activity.end_unpriced_call(call_id, price, meter)


@pytest.fixture(autouse=True)
def _hooked(meter: Meter) -> None:
    instrument(meter)


def test_the_running_block_is_told_at_once(events: Events, meter: Meter, blocking_sdk: Asking) -> None:
    """The cost is there right after the call, grows with the next, and is what the events say in the end."""
    meter.prices.load()
    with track(user_id="jane"):
        blocking_sdk.ask()
        first = current().cost
        blocking_sdk.ask()
        assert current().complete
        assert current().cost == 2 * first > 0
        assert current().cost == 2 * first, "what was asked once is not added up again"

    assert sum(event.cost.total for event in events if event.cost is not None) == 2 * first


def test_a_block_that_never_asks_keeps_little(events: Events, meter: Meter, blocking_sdk: Asking) -> None:
    """A worker's block may live for days: what it has not asked for is added up by the draining thread now and then."""
    meter.prices.load()
    with track(user_id="jane"):
        activity = current()._activity
        assert activity is not None
        kept = []
        for number in range(150):
            blocking_sdk.ask()
            if number % 70 == 69:
                meter.flush(10)
            kept.append(len(activity.unpriced or ()))
        assert 60 < max(kept) <= 70
        whole, calls = current().cost, current().calls

    assert calls == 150
    assert sum((event.cost.total for event in events if event.cost is not None), Decimal(0)) == whole


@pytest.mark.parametrize(("more", "whole"), [(True, (33, 1)), (False, (3, 0))], ids=["more came", "all is taken"])
def test_who_asks_meanwhile_waits_for_the_whole(meter: Meter, more: bool, whole: tuple[int, int]) -> None:
    """Of two threads that ask at once none sees a part of the cost: an empty list may be one that somebody is at."""
    activity = Activity(None)
    begun, goes_on = threading.Event(), threading.Event()

    def slow() -> Costed:
        begun.set()
        assert goes_on.wait(10)
        return Costed(Cost(1, 2, 3), "usage", (), None)

    ended(activity, slow, meter)
    first = threading.Thread(target=activity.add_up)
    first.start()
    assert begun.wait(10)
    if more:
        ended(activity, lambda: Costed(Cost(10, 20, 30), "estimate", (), None), meter)
    seen: list[tuple[int, int]] = []

    def ask() -> None:
        activity.add_up()
        seen.append((activity.cost_ticks, activity.inexact))

    second = threading.Thread(target=ask)
    second.start()
    second.join(0.05)
    assert not seen
    goes_on.set()
    first.join()
    second.join()
    assert seen == [whole]


def test_a_fault_while_it_is_asked(
    events: Events, meter: Meter, blocking_sdk: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be found out is not the whole cost, is counted, and keeps neither the request nor the event."""
    meter.prices.load()

    def broken(*_: object) -> Costed:
        raise ZeroDivisionError

    monkeypatch.setattr(costing, "cost_of", broken)
    with track(user_id="jane"):
        blocking_sdk.ask()
        assert current().cost == 0
        assert not current().complete

    assert health.counters()["pricing"] == 1
    assert events.one().cost is not None


def test_rates_of_the_owner_are_used_at_once(tmp_path: Path, blocking_sdk: Asking, standin: StandIn) -> None:
    """A call may be found by a process that was not told the owner's prices, so its record has the cost already."""
    prices = {"rate": [{"models": ["*"], "source": "ours", "rates": {"text.input": "1/M", "text.output": "1/M"}}]}
    store, hosts = f"sqlite:///{tmp_path}/payi.db", {standin.host: "openai"}
    ends: list[bytes] = []
    for given in (None, prices):
        with Meter(store, hosts=hosts, prices=given) as meter, track(user_id="jane", meter=meter):
            meter.prices.load()
            blocking_sdk.ask()  # finds that there are no limits
            meter.spool.append = lambda payload: ends.append(payload[:1])  # type: ignore[method-assign]
            blocking_sdk.ask()
    assert ends == [BEGUN, ANSWERED, BEGUN, ENDED]


def test_a_call_that_the_collector_ends_waits_for_nobody(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may end within the accounts' lock, while another thread that finds out a cost is about to take that."""
    full, other = Activity(None), Activity(None)
    begun, inside = threading.Event(), threading.Event()
    priced = Costed(Cost(1, 2, 3), "usage", (), None)

    def slow() -> Costed:
        begun.set()
        assert inside.wait(10)
        return priced

    for _ in range(63):
        ended(full, lambda: priced, meter)
    ended(other, slow, meter)
    asker = threading.Thread(target=other.add_up, daemon=True)
    asker.start()
    assert begun.wait(10)

    def stacked(*_: object) -> tuple[()]:
        inside.set()
        ended(full, lambda: priced, meter)  # as the garbage collector does, the 64th
        return ()

    monkeypatch.setattr(frames, "_MOST_UNPRICED", 64)
    monkeypatch.setattr(frames, "stacked", stacked)
    ender = threading.Thread(target=full.change, args=(Given(),), daemon=True)
    ender.start()
    asker.join(5)
    ender.join(5)
    assert not asker.is_alive()
    assert not ender.is_alive()
    full.add_up()
    assert (full.cost_ticks, other.cost_ticks) == (64 * 3, 3)


def test_a_thread_that_is_slow_in_coming_is_not_waited_for(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list has an end, even if nothing is drained for long."""
    monkeypatch.setattr(frames, "_MOST_UNPRICED", 100)
    activity = Activity(None)
    for _ in range(250):
        ended(activity, lambda: Costed(Cost(1, 2, 3), "usage", (), None), meter)
    assert (activity.counted, activity.ended_calls, activity.cost_ticks) == (200, 250, 200 * 3)
