"""A ledger is held against events, and set right, in the window in which they began."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from made import call

from payi_middleware.limits import Limit
from payi_middleware.limits.audit import Checked, audit, mend
from payi_middleware.limits.limit import Definition
from payi_middleware.limits.memory import MemoryLedger

sys.path.insert(0, str(Path(__file__).parent))

from conformance import DAY, HOUR, NS, Clock

TICKS = 35_000_000


@pytest.fixture
def clock() -> Clock:
    """A minute before midnight."""
    clock = Clock()
    clock.advance(12 * HOUR - 60)
    return clock


@pytest.fixture
def ledger(clock: Clock) -> MemoryLedger:
    """It knows of no account: what was counted was lost."""
    ledger = MemoryLedger(clock=clock)
    daily = Limit("daily", 10, window="day", per="user")
    ledger.define(Definition(limit_id="daily", application="default", limit=daily, created_ns=1))
    return ledger


def checked(ledger: MemoryLedger, at_ns: int, meanwhile: Callable[[], Any] = lambda: None) -> Checked:
    """Of an account with a call at some time; while calls are added up something happens."""
    event = msgspec.structs.replace(call(started_ns=at_ns, user_id="jane"), limits={"daily": "ok"}, ledger=ledger.id)

    def events(since_ns: int | None) -> Any:
        meanwhile()
        return [event]

    (found,) = audit(ledger, "default", [events])
    assert (found.counted.key, found.tally.spent, found.differs) == ('["jane"]', TICKS, True)
    return found


def test_an_account_that_was_lost_is_mended_in_its_window(ledger: MemoryLedger, clock: Clock) -> None:
    assert mend(ledger, checked(ledger, clock.ns - 2 * HOUR * NS))
    (jane,) = ledger.totals("default", "daily")
    assert (jane.spent, jane.starts_ns) == (TICKS, clock.ns - (DAY - 60) * NS)


def test_nothing_is_mended_in_a_window_that_began_after_it_was_looked_at(ledger: MemoryLedger, clock: Clock) -> None:
    """What was spent yesterday is not spent today; nor is an account changed that nobody looks at any more."""
    found = checked(ledger, clock.ns - 2 * HOUR * NS, lambda: clock.advance(120))
    assert not mend(ledger, found)
    assert ledger.totals("default", "daily") == []
    assert ledger.history("default", "daily") == []


def test_an_account_is_mended_where_it_was_counted_though_the_window_turns_then(
    ledger: MemoryLedger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, write = checked(ledger, clock.ns - 2 * HOUR * NS), ledger.set_spent

    def late(*told: Any) -> None:
        clock.advance(120)
        write(*told)

    monkeypatch.setattr(ledger, "set_spent", late)
    assert mend(ledger, found)
    assert ledger.totals("default", "daily") == []
    assert [past.totals.spent for past in ledger.history("default", "daily")] == [TICKS]
