"""Limits in an application: what is held, settled and released, and what happens when they or their ledger change."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import httpx2
import msgspec
import openai
import pytest
from exchanges import ANSWER, Watched, answer
from garbage import collect
from loopback import Loopback, Reply

from payi_middleware import Limit, LimitReached, PayiTransport, current, health, track
from payi_middleware.exceptions import LedgerError
from payi_middleware.limits.ledger import Account, Answer, Definitions, Ledger, Reserve, Settle, Stale, Step, Totals
from payi_middleware.limits.limit import Definition
from payi_middleware.limits.memory import MemoryLedger
from payi_middleware.limits.snapshot import standing_of
from payi_middleware.limits.tally import Since, tallied
from payi_middleware.pricing import Prices
from payi_middleware.record import new_id

Limited = Callable[..., Watched]
TICKS = 270_000
"""Of `ANSWER`: 0.000027 USD."""


def body(**fields: Any) -> Any:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Tell me."}], "max_tokens": 20, **fields}


def ask(url: str, **fields: Any) -> int:
    with httpx2.Client(trust_env=False) as client:
        return client.post(url, json=body(**fields)).status_code


def once_back(call: Callable[[], int], watched: Watched) -> int:
    """The status of a call when a ledger that did not answer is asked again: it is left alone for up to two seconds."""
    ends = time.monotonic() + 10
    while True:
        while watched.meter.limits.is_away and time.monotonic() < ends:
            time.sleep(0.02)
        status = call()
        if status == 200 or time.monotonic() >= ends:
            return status


def account(ledger: Ledger, name: str, key: str = "") -> Totals:
    (found,) = [one for one in ledger.definitions("default").limits if one.limit.name == name]
    (totals,) = ledger.totals("default", found.limit_id, key)
    return totals


def test_a_call_is_held_for_and_settled(provider: Loopback, limited: Limited) -> None:
    """While it runs its hold counts, and when it ended its cost; the next call sees both."""
    ledger, seen = MemoryLedger(), []
    limited("openai", Limit("all", 10), Limit("calls", 10, unit="calls"), ledger=ledger)

    def answered(asked: Any) -> Reply:
        seen.append((account(ledger, "all"), account(ledger, "calls")))
        return Reply()

    provider.replies = [answered]
    for _ in range(2):
        ask(provider.url)

    (first, calls), (second, calls_then) = seen
    assert first.spent == 0
    assert first.held > 20 * 6_000  # 20 tokens of an answer, at 0.60 USD a million, and its question
    assert (calls.held, calls.spent, calls_then.held, calls_then.spent) == (1, 0, 1, 1)
    assert (second.spent, second.held) == (TICKS, first.held)
    assert (account(ledger, "all").spent, account(ledger, "all").held) == (2 * TICKS, 0)
    assert ledger.held() == []


def test_every_failure_gives_its_hold_back(provider: Loopback, limited: Limited) -> None:
    """Refused by the provider, broken off, not connected, abandoned, cancelled: nothing is held afterwards."""
    ledger = MemoryLedger()
    watched = limited("openai", Limit("all", 10), ledger=ledger)
    provider.replies = [Reply([b'{"error": {}}'], 500), Reply(silent=True), Reply([ANSWER], breaks=True)]
    for _ in range(3):
        try:
            ask(provider.url)
        except httpx2.HTTPError:
            pass
    assert (ledger.held(), account(ledger, "all").requests["failed"]) == ([], 1)

    provider.replies = [Reply([b"data: {}\n\n"] * 50)]
    with httpx2.Client(trust_env=False) as client:
        with client.stream("POST", provider.url, json=body(stream=True)) as response:
            next(response.iter_raw())
            assert len(ledger.held()) == 1
        assert len(watched.events) == 4
        left = client.send(client.build_request("POST", provider.url, json=body(stream=True)), stream=True)
        assert len(ledger.held()) == 1
        del left, response
        collect()
    assert len(watched.events) == 5
    assert ledger.held() == []


def test_a_cancelled_call_holds_nothing(provider: Loopback, limited: Limited) -> None:
    """Cancelled while it waits for the ledger, or for the provider."""
    ledger = Gated()
    watched = limited("openai", Limit("all", 10), ledger=ledger)
    gate = threading.Event()
    provider.replies = [Reply([ANSWER[:5], ANSWER[5:]], gates=[gate])]

    async def cancelled(seconds: float) -> None:
        async with httpx2.AsyncClient(trust_env=False) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(seconds):
                    await client.post(provider.url, json=body())

    asyncio.run(cancelled(0.3))
    ledger.gate.clear()
    asyncio.run(cancelled(0.1))
    ledger.gate.set()
    gate.set()
    events = watched.events
    assert [event.outcome for event in events] == ["aborted", "aborted"]
    assert (len(provider.asked), ledger.held()) == (1, [])


def test_a_call_that_is_given_up_before_it_went_out_counts_to_nothing(provider: Loopback, limited: Limited) -> None:
    """Neither as a call of its limit, nor in an audit."""
    ledger = Gated()
    watched = limited("openai", Limit("all", 10, unit="calls"), ledger=ledger)
    provider.replies = [Reply([ANSWER])]
    ask(provider.url)

    async def given_up() -> None:
        async with httpx2.AsyncClient(trust_env=False) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await client.post(provider.url, json=body())

    ledger.gate.clear()
    asyncio.run(given_up())
    ledger.gate.set()

    events = watched.events
    assert [(event.outcome, event.ledger) for event in events] == [("ok", ledger.id), ("aborted", ledger.id)]
    assert (account(ledger, "all").spent, ledger.held(), len(provider.asked)) == (1, [], 1)
    (definition,) = ledger.definitions("default").limits
    since = {(definition.limit_id, ""): Since(0, 0, 0, 0)}
    tallies = tallied(events, ledger.definitions("default"), since, ledger.names(), ledger.now_ns())
    assert tallies[definition.limit_id, ""].spent == 1


class Gated(MemoryLedger):
    """As one behind a network that may be slow, or away."""

    waits = True

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.is_away = False

    def run(self, steps: Sequence[Step]) -> list[Answer]:
        self.gate.wait(10)
        if self.is_away:
            raise LedgerError("the network is down")
        return super().run(steps)

    def totals(self, application: str, limit_id: str, key: str | None = None) -> list[Totals]:
        self.gate.wait(10)
        return super().totals(application, limit_id, key)

    def definitions(self, application: str) -> Definitions:
        self.gate.wait(10)
        if self.is_away:
            raise LedgerError("the network is down")
        return super().definitions(application)


class Slow(Gated):
    """A ledger whose next answer to a reserve takes longer than anybody waits."""

    is_slow = False

    def run(self, steps: Sequence[Step]) -> list[Answer]:
        if self.is_slow and any(isinstance(step, Reserve) for step in steps):
            self.is_slow = False
            time.sleep(0.5)
        return super().run(steps)


def test_a_refusal_that_comes_too_late_makes_no_call_free(provider: Loopback, limited: Limited) -> None:
    """An open limit lets the call go that nobody answered in time; what it cost counts, though it would have been refused."""
    ledger = Slow()
    limit = Limit("open", Decimal("0.00000001"), on_error="open", tags=["open"])
    watched = limited("openai", limit, ledger=ledger, ledger_timeout=0.1)
    with track(limit_tags=["open"]):
        assert (ask(provider.url), ask(provider.url)) == (200, 400)
        ledger.is_slow = True
        assert ask(provider.url) == 200
    assert [event.outcome for event in watched.events] == ["ok", "blocked", "ok"]
    (definition,) = ledger.definitions(watched.meter.application).limits
    until = time.monotonic() + 10
    while (totals := ledger.totals(watched.meter.application, definition.limit_id)[0]).spent == TICKS:
        assert time.monotonic() < until
        time.sleep(0.1)  # it is left alone for a while
        ask(provider.url)  # to which it does not apply
        assert watched.events
    assert (totals.spent, totals.held) == (2 * TICKS, 0)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_ledger_that_is_away(is_async: bool, provider: Loopback, limited: Limited) -> None:
    """Block limits refuse meanwhile, unless they say otherwise; what went through is counted when it is back."""
    ledger = Gated()
    limits = (
        Limit("closed", 10, tags=["closed"]),
        Limit("open", 10, on_error="open", tags=["open"]),
        Limit("told", 10, type="allow"),
    )
    watched = limited("openai", *limits, ledger=ledger, ledger_timeout=0.2)

    async def asked() -> int:
        async with httpx2.AsyncClient(trust_env=False) as client:
            return (await client.post(provider.url, json=body())).status_code

    def once(tag: str) -> int:
        with track(limit_tags=[tag]):
            return asyncio.run(asked()) if is_async else ask(provider.url)

    assert (once("closed"), once("open"), once("other")) == (200, 200, 200)
    assert watched.events[-1].ledger == ledger.id
    ledger.is_away = True
    assert (once("closed"), once("open"), once("other")) == (400, 200, 200)
    blocked, opened, other = watched.events[3:]
    assert (blocked.outcome, blocked.error_type, blocked.reason) == (
        "blocked",
        "limit_unavailable",
        "the ledger of limits is out of reach, and limit 'closed' lets nothing through meanwhile",
    )
    assert sorted(blocked.limits.values()) == ["blocked", "blocked_external"]
    assert (opened.ledger, opened.limits, other.ledger) == (None, {}, None)
    told = watched.meter.health()["limits"]
    assert (told["unsettled"], told["ledger"], told["shared"]) == (2, ledger.id, True)
    assert 0 <= time.time_ns() - told["away_since_ns"] < 60 * 10**9
    assert health.counters()["limit_open"] == 1
    assert health.counters()["ledger_away"] >= 1

    ledger.is_away = False
    assert once_back(lambda: once("closed"), watched) == 200
    assert watched.events[-1].ledger == ledger.id
    assert account(ledger, "told").spent == 6 * TICKS
    assert account(ledger, "open").spent == 2 * TICKS
    assert watched.meter.health()["limits"]["unsettled"] == 0
    assert (ledger.held(), watched.meter.health()["limits"]["away_since_ns"]) == ([], None)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_ledger_that_does_not_answer(
    is_async: bool, provider: Loopback, limited: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits longer than `ledger_timeout`, and only the first: then it is left alone for a while."""
    monkeypatch.setattr("payi_middleware.limits.reach._SHORTEST", 60)
    ledger = Gated()
    watched = limited("openai", Limit("all", 10), ledger=ledger, ledger_timeout=0.2)
    assert ask(provider.url) == 200
    ledger.gate.clear()

    async def asked() -> int:
        async with httpx2.AsyncClient(trust_env=False) as client:
            return (await client.post(provider.url, json=body())).status_code

    begun = time.monotonic()
    assert (asyncio.run(asked()) if is_async else ask(provider.url)) == 400
    assert [ask(provider.url) for _ in range(2)] == [400, 400]
    assert time.monotonic() - begun >= 0.2
    assert health.counters()["ledger_away"] == 1
    ledger.gate.set()
    assert len(watched.events) == 4
    watched.meter.limits.close(5)
    assert ledger.held() == []


class Hanging(Gated):
    """One whose connection stays, and whose answers do not come."""

    def close(self) -> None:
        self.gate.wait(10)


@pytest.mark.parametrize("reads", [True, False], ids=["while it is read", "while it is asked"])
def test_a_ledger_that_hangs_holds_up_neither_events_nor_the_end(
    reads: bool, provider: Loopback, limited: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are stored, and counted later; and a close takes no longer than it may."""
    ledger = Hanging()
    monkeypatch.setattr("payi_middleware.limits.opening.open_ledger", lambda _: ledger)
    limit = Limit("all", 10, on_error="open")
    settings: dict[str, Any] = {"ledger": "valkey://there", "ledger_timeout": 0.1, "flush_timeout": 0.5}
    watched = limited("openai", limit, **settings)
    assert ask(provider.url) == 200
    assert watched.meter.flush(5)
    ledger.gate.clear()
    if reads:
        monkeypatch.setattr("payi_middleware.limits.defined.FRESH", 0)
        monkeypatch.setattr("payi_middleware.limits.defined.STALE", 0)
    assert ask(provider.url) == 200
    assert watched.meter.flush(5)
    assert len(watched.sink.events) == 2
    while watched.meter.limits.is_away:
        time.sleep(0.02)
    begun = time.monotonic()
    if reads:
        event = msgspec.structs.replace(watched.sink.events[1], event_id=new_id(time.time_ns()))
        assert watched.meter.limits.settled([event]) == [event]
    assert time.monotonic() - begun < 5

    closed = threading.Thread(target=watched.meter.close, args=(0.5,), daemon=True)
    closed.start()
    closed.join(5)
    assert not closed.is_alive()
    ledger.gate.set()


def test_the_limits_of_another_application_are_not_waited_for_where_the_ledger_hangs(
    provider: Loopback, limited: Limited
) -> None:
    """Who counts its calls tries again later."""
    ledger = Gated()
    watched = limited("openai", Limit("all", 10), ledger=ledger, ledger_timeout=0.1)
    assert ask(provider.url) == 200
    ledger.gate.clear()
    with pytest.raises(LedgerError, match=r"not answered in 0\.1 seconds"):
        watched.meter.limits.known_to("other")
    ledger.gate.set()
    assert watched.meter.limits.known_to("other").definitions.limits == ()


def test_a_ledger_is_closed_also_where_there_are_no_more_threads(
    provider: Loopback, limited: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at the end of the process."""
    ledger, closed = Gated(), threading.Event()
    monkeypatch.setattr(ledger, "close", closed.set)
    monkeypatch.setattr("payi_middleware.limits.opening.open_ledger", lambda _: ledger)
    watched = limited("openai", Limit("all", 10), ledger="valkey://there")
    assert ask(provider.url) == 200

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    assert watched.meter.flush(10)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    watched.meter.limits.close(5)
    assert closed.is_set()


class Halfway(Gated):
    """One that is away once it has taken the limits of the code."""

    def define(self, definition: Definition) -> Definition:
        kept = super().define(definition)
        self.is_away = True
        return kept


def test_a_ledger_that_goes_away_when_it_has_the_limits_of_the_code(provider: Loopback, limited: Limited) -> None:
    """They hold, though nothing was read of it."""
    ledger = Halfway()
    watched = limited("openai", Limit("closed", 10), ledger=ledger)
    assert [ask(provider.url) for _ in range(2)] == [400, 400]
    ledger.is_away = False
    assert once_back(lambda: ask(provider.url), watched) == 200


def test_rates_that_take_longer_than_a_first_call_waits(
    provider: Loopback, limited: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read of the ledger by then holds."""
    monkeypatch.setattr("payi_middleware.limits.defined._OPENING", 0.1)
    ledger, loaded = Gated(), threading.Event()
    watched = limited("openai", ledger=ledger, limits=[Limit("closed", 10)], ledger_timeout=0.1)
    load = watched.meter.prices.load
    monkeypatch.setattr(watched.meter.limits.prices, "load", lambda: (loaded.wait(10), load()))
    assert [ask(provider.url) for _ in range(2)] == [400, 400]
    loaded.set()
    assert once_back(lambda: ask(provider.url), watched) == 200
    assert [event.outcome for event in watched.events] == ["blocked", "blocked", "ok"]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_ledger_that_cannot_be_opened(is_async: bool, provider: Loopback, limited: Limited) -> None:
    """What the code says holds, though nobody knows yet what is spent, nor what a call costs."""
    ledger = Gated()
    ledger.is_away = True
    watched = limited("openai", Limit("closed", 10, tags=["closed"]), Limit("open", 10, on_error="open"), ledger=ledger)
    watched.meter.limits.prices = Prices()  # as in a new process, whose rates are read with the ledger

    async def asked() -> int:
        async with httpx2.AsyncClient(trust_env=False) as client:
            return (await client.post(provider.url, json=body())).status_code

    def once(tag: str) -> int:
        with track(limit_tags=[tag]):
            return asyncio.run(asked()) if is_async else ask(provider.url)

    assert (once("closed"), once("other")) == (400, 200)
    assert [event.outcome for event in watched.events] == ["blocked", "ok"]
    ledger.is_away = False
    assert once_back(lambda: once("closed"), watched) == 200
    assert watched.events[-1].ledger == ledger.id


def test_a_ledger_that_goes_away_when_limits_changed(provider: Loopback, limited: Limited) -> None:
    """Between the answer that definitions are stale and their reading."""

    class Going(Gated):
        def run(self, steps: Sequence[Step]) -> list[Answer]:
            answers = super().run(steps)
            self.is_away = any(isinstance(one, Stale) for one in answers)
            return answers

    ledger = Going()
    watched = limited("openai", Limit("all", 10), ledger=ledger)
    assert ask(provider.url) == 200
    (definition,) = ledger.definitions("default").limits
    ledger.define(msgspec.structs.replace(definition, limit=Limit("all", 20)))
    assert ask(provider.url) == 400
    assert watched.events[-1].error_type == "limit_unavailable"


def test_limits_that_never_stand_still(provider: Loopback, limited: Limited) -> None:
    """No call goes round for ever."""

    class Restless(MemoryLedger):
        def definitions(self, application: str) -> Definitions:
            found = super().definitions(application)
            for one in found.limits:
                self.define(msgspec.structs.replace(one, limit=Limit("all", one.limit.max + 1)))
            return found

    watched = limited("openai", Limit("all", 10), ledger=Restless())
    assert ask(provider.url) == 400
    assert watched.one.error_type == "limit_unavailable"
    assert health.counters()["limit_stale"] == 1


def test_who_is_cancelled_takes_nobody_along(provider: Loopback, limited: Limited) -> None:
    """The first calls of a process wait for the same thing."""
    ledger = Gated()
    ledger.gate.clear()
    watched = limited("openai", Limit("all", 10), ledger=ledger)

    async def both() -> int:
        async with httpx2.AsyncClient(trust_env=False) as client:
            first, second = (asyncio.create_task(client.post(provider.url, json=body())) for _ in range(2))
            await asyncio.sleep(0.2)
            first.cancel()
            await asyncio.sleep(0)
            ledger.gate.set()
            with pytest.raises(asyncio.CancelledError):
                await first
            return (await second).status_code

    assert asyncio.run(both()) == 200
    assert sorted(event.outcome for event in watched.events) == ["aborted", "ok"]
    assert ledger.held() == []


def test_more_than_can_be_kept_is_counted(
    provider: Loopback, limited: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger is away for longer than calls can be kept for it."""
    monkeypatch.setattr("payi_middleware.limits.settling._MOST_UNSETTLED", 1)
    ledger = Gated()
    watched = limited("openai", Limit("told", 10, type="allow"), ledger=ledger)
    ask(provider.url)
    assert len(watched.events) == 1
    ledger.is_away = True
    for _ in range(3):
        ask(provider.url)
    assert len(watched.events) == 4
    assert health.counters()["limit_unsettled"] == 2


def test_limits_of_the_code_win(limited: Limited, provider: Loopback, caplog: pytest.LogCaptureFixture) -> None:
    """Created if missing; what changed in the code wins and is logged; what is not managed is left as it is."""
    ledger = MemoryLedger()
    limited("openai", Limit("a", 10, per="user"), Limit("b", 10), ledger=ledger).meter.limits.prepare()
    before = {one.limit.name: one.limit_id for one in ledger.definitions("default").limits}
    with caplog.at_level(logging.INFO, "payi_middleware"):
        limited(
            "openai", Limit("a", 20, per="user"), Limit("b", 20, managed=False), Limit("c", 1), ledger=ledger
        ).meter.limits.prepare()

    after = ledger.definitions("default").limits
    assert [(one.limit.name, one.limit.max, one.source) for one in after] == [
        ("a", 20, "code"),
        ("b", 10, "code"),
        ("c", 1, "code"),
    ]
    assert {one.limit.name: one.limit_id for one in after if one.limit.name != "c"} == before
    assert "limit 'a' of 'default' is as the code says now: max: 10 -> 20" in caplog.text


def test_a_limit_that_a_command_made_becomes_the_codes(
    limited: Limited, provider: Loopback, caplog: pytest.LogCaptureFixture
) -> None:
    """Also one that says the very same: of code, it applies to every call."""
    ledger, limit = MemoryLedger(), Limit("all", 1, unit="calls")
    ledger.define(Definition(limit_id="theirs", application="default", limit=limit))
    with caplog.at_level(logging.INFO, "payi_middleware"):
        limited("openai", limit, ledger=ledger)
        assert (ask(provider.url), ask(provider.url)) == (200, 400)
    assert [(one.limit_id, one.source) for one in ledger.definitions("default").limits] == [("theirs", "code")]
    assert "applies to: calls that name it -> every call" in caplog.text


def test_what_a_command_changed_stays_until_the_code_changes(
    limited: Limited, provider: Loopback, caplog: pytest.LogCaptureFixture
) -> None:
    """However many workers start of the same code; what they find is not logged as a change of theirs."""
    ledger = MemoryLedger()

    def started(most: int) -> Any:
        limited("openai", Limit("a", most), ledger=ledger).meter.limits.prepare()
        (definition,) = ledger.definitions("default").limits
        return definition

    raised = ledger.define(msgspec.structs.replace(started(10), limit=Limit("a", 50)))
    with caplog.at_level(logging.INFO, "payi_middleware"):
        assert (started(10), started(10)) == (raised, raised)
        assert "is as the code says now" not in caplog.text
        assert started(20).limit.max == 20
    assert "limit 'a' of 'default' is as the code says now: max: 50 -> 20" in caplog.text
    assert started(10).limit.max == 10


def test_another_process_may_be_quicker(provider: Loopback, limited: Limited) -> None:
    """The limit that it made is the one that counts."""

    class Raced(MemoryLedger):
        def define(self, definition: Definition) -> Definition:
            if not self.definitions("default").limits:
                super().define(msgspec.structs.replace(definition, limit_id="theirs"))
            return super().define(definition)

    watched = limited("openai", Limit("a", 10), ledger=Raced())
    ask(provider.url)
    assert list(watched.one.limits) == ["theirs"]


def test_limits_change_while_calls_run(provider: Loopback, limited: Limited) -> None:
    """A limit that is lowered, raised or deleted holds for the next call."""
    ledger = MemoryLedger()
    limited("openai", Limit("all", 10), ledger=ledger)
    assert ask(provider.url) == 200
    (definition,) = ledger.definitions("default").limits

    ledger.define(msgspec.structs.replace(definition, limit=Limit("all", "0.000001")))
    assert ask(provider.url) == 400
    ledger.define(msgspec.structs.replace(definition, limit=Limit("all", "0.00005")))
    assert ask(provider.url) == 200
    assert ask(provider.url) == 400
    ledger.reset("default", definition.limit_id)
    assert ask(provider.url) == 200
    ledger.remove("default", definition.limit_id)
    assert ask(provider.url) == 200


def test_a_transport_inside_takes_the_hold_over(provider: Loopback, limited: Limited) -> None:
    """The outer face's hold is given back first: else the last call that fits would be refused."""
    ledger = MemoryLedger()
    watched = limited("openai", Limit("calls", 1, unit="calls"), ledger=ledger)
    with httpx2.Client(transport=PayiTransport(httpx2.HTTPTransport()), trust_env=False) as client:
        assert client.post(provider.url, json=body()).status_code == 200
        assert client.post(provider.url, json=body()).status_code == 400
    assert [event.outcome for event in watched.events] == ["ok", "blocked"]
    assert (ledger.held(), account(ledger, "calls").spent) == ([], 1)


@pytest.mark.parametrize("unit", ["usd", "calls"])
def test_a_call_that_is_given_up_before_limits_were_read_counts_to_nothing(
    unit: Any, provider: Loopback, limited: Limited
) -> None:
    """Nobody knew yet what the ledger is called; nor is it counted when it is found again."""
    ledger = Gated()
    ledger.gate.clear()
    watched = limited("openai", Limit("all", 10, unit=unit), ledger=ledger)

    async def given_up() -> None:
        async with httpx2.AsyncClient(trust_env=False) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await client.post(provider.url, json=body())

    asyncio.run(given_up())
    ledger.gate.set()
    (event,) = watched.events
    assert (event.outcome, event.ledger, len(provider.asked)) == ("aborted", "none", 0)
    totals = account(ledger, "all")
    assert (totals.spent, sum(totals.requests.values())) == (0, 0)
    assert watched.meter.limits.settled([event]) == [event]


def test_a_call_that_was_refused_while_its_ledger_was_never_read_counts_to_nothing(
    provider: Loopback, limited: Limited
) -> None:
    """It never went out: nor does it count when the ledger is found."""
    ledger = Gated()
    ledger.is_away = True
    watched = limited("openai", Limit("all", 10, unit="calls"), ledger=ledger)
    assert ask(provider.url) == 400
    assert [event.outcome for event in watched.events] == ["blocked"]
    ledger.is_away = False
    assert once_back(lambda: ask(provider.url), watched) == 200
    assert [event.ledger for event in watched.events if event.outcome == "ok"] == [ledger.id]
    assert account(ledger, "all").spent == 1


def test_each_attempt_reserves_for_itself(provider: Loopback, limited: Limited) -> None:
    """An SDK tries again: the first attempt's hold is gone by then, and each counts as a call."""
    ledger = MemoryLedger()
    watched = limited("openai", Limit("calls", 2, unit="calls"), ledger=ledger)
    provider.replies = [Reply([b'{"error": {}}'], 500, {"retry-after-ms": "1"}), Reply()]
    with openai.OpenAI(
        base_url=provider.url.removesuffix("/chat/completions"),
        api_key="none",
        http_client=openai.DefaultHttpxClient(trust_env=False),
    ) as client:
        client.chat.completions.create(**body())
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(**body())
    assert [(event.outcome, event.attempt) for event in watched.events] == [("error", 1), ("ok", 2), ("blocked", 1)]
    assert account(ledger, "calls").requests["failed"] == 1


def test_a_strict_hold_is_a_bound(provider: Loopback, limited: Limited) -> None:
    """A tokenizer counts what it counts exactly; with tools, whose words are the provider's own, a byte is a token."""
    ledger, holds = MemoryLedger(), []
    limited("openai", Limit("all", 10, strict=True), Limit("tokens", 10**6, unit="tokens"), ledger=ledger)

    def answered(asked: Any) -> Reply:
        holds.append((ledger.held()[0].hold.tokens, len(asked.body)))
        return Reply()

    provider.replies = [answered]
    ask(provider.url, model="gpt-4o")
    ask(provider.url, model="gpt-4o", tools=[])
    (counted, _), (bound, size) = holds
    assert counted < 20 + 20
    assert bound == size + 1000 + 20


UNKNOWN = "gpt-nobody-knows"


@pytest.mark.parametrize(
    ("unknown_price", "status", "is_charged"), [("dearest", 200, True), ("allow", 200, False), ("block", 400, False)]
)
def test_a_model_without_a_price(
    unknown_price: Any, status: int, is_charged: bool, provider: Loopback, limited: Limited
) -> None:
    """It is held at and charged by its maker's dearest, let through for nothing, or refused; its event has no cost."""
    ledger = MemoryLedger()
    watched = limited("openai", Limit("all", 10, unknown_price=unknown_price), ledger=ledger)
    provider.replies = [Reply([answer(model=UNKNOWN)])]

    assert ask(provider.url, model=UNKNOWN) == status

    event = watched.one
    assert (event.cost, event.resource) == (None, UNKNOWN)
    spent = account(ledger, "all").spent
    assert (spent > 100 * TICKS) is is_charged
    assert is_charged or spent == 0
    if unknown_price == "block":
        assert (event.outcome, event.error_type, len(provider.asked)) == ("blocked", "limit_unpriced", 0)
        assert event.reason == f"no price is known of model '{UNKNOWN}', and limit 'all' refuses such calls"


@pytest.mark.parametrize("beside", [(), (Limit("block", 10),)])
def test_an_allow_limit_refuses_no_unknown_model(
    beside: tuple[Limit, ...], provider: Loopback, limited: Limited
) -> None:
    """Alone or beside another: it charges the dearest."""
    ledger = MemoryLedger()
    watched = limited("openai", Limit("all", 10, type="allow", unknown_price="block"), *beside, ledger=ledger)
    provider.replies = [Reply([answer(model=UNKNOWN)])]

    assert ask(provider.url, model=UNKNOWN) == 200

    assert watched.one.outcome == "ok"
    assert account(ledger, "all").spent > 100 * TICKS


def test_a_stream_that_outgrows_its_hold_holds_more(provider: Loopback, limited: Limited) -> None:
    """By the bytes that come; where the request limits its answer, its hold is enough."""
    ledger, seen = MemoryLedger(), []
    watched = limited("openai", Limit("all", 10), ledger=ledger, hold_ceiling=10)
    event = b"data: " + json.dumps({"choices": [{"delta": {"content": "x" * 300}}]}).encode() + b"\n\n"
    provider.replies = [Reply([event] * 20)]
    for fields in ({}, {"max_tokens": 10}):
        asked = {"stream": True, **body(), **fields}
        if not fields:
            del asked["max_tokens"]
        with httpx2.Client(trust_env=False) as client, client.stream("POST", provider.url, json=asked) as response:
            before = account(ledger, "all").held
            parts = iter(response.iter_raw())
            for _ in range(18):
                next(parts)
            seen.append((before, account(ledger, "all").held))
        assert watched.events
    assert ledger.held() == []
    (before, after), bounded = seen
    assert after >= 4 * before
    assert bounded[0] == bounded[1]


def test_a_stream_of_long_events_holds_more_as_its_tokens_come(provider: Loopback, limited: Limited) -> None:
    """Anthropic's events have several tokens each, so that what a token takes is less than elsewhere."""
    ledger = MemoryLedger()
    limited("anthropic", Limit("all", 10), ledger=ledger, hold_ceiling=20)
    event = b"data: " + json.dumps({"type": "content_block_delta", "delta": {"text": "word " * 10}}).encode() + b"\n\n"
    provider.replies = [Reply([event] * 20)]
    asked = {"model": "claude-haiku-4-5", "stream": True, "messages": [{"role": "user", "content": "Tell me."}]}
    with (
        httpx2.Client(trust_env=False) as client,
        client.stream("POST", provider.url + "/v1/messages", json=asked) as response,
    ):
        before = account(ledger, "all").held
        for _ in zip(range(10), response.iter_raw(), strict=False):
            pass
        after = account(ledger, "all").held
    assert (before > 0, after >= 2 * before) == (True, True)


def test_leases_are_renewed_while_a_call_lives(provider: Loopback, limited: Limited) -> None:
    """However long it takes; afterwards nothing is held, and no thread stays."""
    ledger = MemoryLedger(lease_seconds=0.15)
    watched = limited("openai", Limit("all", 10), ledger=ledger)
    gate = threading.Event()
    provider.replies = [Reply([ANSWER[:5], ANSWER[5:]], gates=[gate])]
    asking = threading.Thread(target=ask, args=(provider.url,))
    asking.start()
    time.sleep(0.5)
    assert account(ledger, "all").held > 0
    gate.set()
    asking.join()
    assert (account(ledger, "all").held, account(ledger, "all").spent) == (0, TICKS)
    deadline = time.monotonic() + 3
    while any(thread.name == "payi-limits" for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert watched.meter.limits._errands._thread is None


def test_what_is_left_can_be_asked_before_a_call(provider: Loopback, limited: Limited) -> None:
    """`current().limits`: of the running user's accounts, from what the process heard last; with how old that is."""
    ledger = MemoryLedger()
    limits = (Limit("own", 1, per="user", threshold=0.9), Limit("day", 3, unit="calls", window="day"))
    watched = limited("openai", *limits, ledger=ledger)
    with track(user_id="jane"):
        watched.meter.limits.prepare()
        own, day = current().limits
        assert (own.name, own.left, own.own, own.state, own.max) == ("own", 1, True, "ok", 1)
        assert (day.left, day.own, day.unit) == (3, False, "calls")
        ask(provider.url)
        own, day = current().limits
        assert (own.spent, own.left, own.held) == (Decimal("0.000027"), Decimal("0.999973"), 0)
        assert (day.left, day.resets_at is not None) == (2, True)
        assert own.age_seconds is not None
        assert own.age_seconds < 5
    with track(user_id="john"):
        assert [one.left for one in current().limits] == [1, 2]


def test_what_is_left_of_calls_alone(provider: Loopback, limited: Limited) -> None:
    """A call that ended is spent, and no longer held too."""
    limited("openai", Limit("day", 3, unit="calls", window="day"))
    with track(user_id="jane"):
        ask(provider.url)
        (day,) = current().limits
    assert (day.spent, day.held, day.left) == (1, 0, 2)


def test_what_is_left_is_looked_up_in_the_background(provider: Loopback, limited: Limited) -> None:
    """Where a look could wait, the first answer is that nothing is known yet."""
    ledger = Gated()
    watched = limited("openai", Limit("own", 1, per="user"), ledger=ledger)
    watched.meter.limits.prepare()
    ledger.gate.clear()
    with track(user_id="jane"):
        (own,) = current().limits
        assert (own.left, own.state, own.age_seconds) == (None, None, None)
        ledger.gate.set()
        deadline = time.monotonic() + 3
        while current().limits[0].left is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert current().limits[0].left == 1


def test_limits_of_the_code_are_known_at_the_first_look(limited: Limited) -> None:
    """Before their ledger is read, and without waiting for it."""
    ledger = Gated()
    ledger.gate.clear()
    limited("openai", Limit("own", 1, per="user"), ledger=ledger)
    with track(user_id="jane"):
        (own,), (again,) = current().limits, current().limits
        assert (own.name, own.max, own.left, own.age_seconds) == ("own", 1, None, None)
        assert own == again
        ledger.gate.set()
        assert looked(until=lambda one: one.left == 1)


def looked(*, until: Callable[[Any], bool]) -> Any:
    """The first limit, once it is so; looked at again and again, as an application does that never calls."""
    deadline = time.monotonic() + 5
    while not until(found := current().limits[0]):
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


@pytest.mark.parametrize("kind", [MemoryLedger, Gated], ids=["memory", "waiting"])
def test_what_others_changed_is_seen_without_a_call(
    kind: Any, provider: Loopback, limited: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reset, what another process spent, a raise: a look that finds what is old has it asked anew."""
    monkeypatch.setattr("payi_middleware.limits.snapshot._FRESH", 0.05)
    monkeypatch.setattr("payi_middleware.limits.defined.FRESH", 5 * 10**7)
    ledger = kind()
    limited("openai", Limit("own", "0.00002", per="user"), ledger=ledger)
    with track(user_id="jane"):
        ask(provider.url)
        assert current().limits[0].left == 0
        deadline = time.monotonic() + 5
        while account(ledger, "own", '["jane"]').held:  # what is settled after a reset counts after it
            assert time.monotonic() < deadline
            time.sleep(0.01)
        (definition,) = ledger.definitions("default").limits
        ledger.reset("default", definition.limit_id)
        assert looked(until=lambda one: one.left > 0).spent == 0
        jane = (Account(definition.limit_id, '["jane"]'),)
        ledger.run([Settle(b"theirs", "default", jane, 1_000, 0, 1, time.time_ns())])
        assert looked(until=lambda one: one.spent > 0).spent == Decimal("0.0000001")
        ledger.define(msgspec.structs.replace(definition, limit=Limit("own", 5, per="user")))
        assert looked(until=lambda one: one.max == 5).state == "ok"


def test_many_accounts_are_asked_about_without_keeping_others_waiting(provider: Loopback, limited: Limited) -> None:
    """The thread that asks does other things between: it also reads definitions, for which calls wait."""
    ledger = Gated()
    watched = limited("openai", Limit("own", 1, per="user"), ledger=ledger)
    limits = watched.meter.limits
    limits.prepare()
    ledger.gate.clear()
    done: list[int] = []
    for number in range(120):
        with track(user_id=f"user {number}"):
            assert current().limits[0].left is None
        if number == 0:
            limits._errands.do(lambda: done.append(len(limits._wanted)))
    ledger.gate.set()
    deadline = time.monotonic() + 5
    while limits._wanted:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert done[0] >= 60
    with track(user_id="user 7"):
        assert looked(until=lambda one: one.left == 1)


@pytest.mark.parametrize("kind", [MemoryLedger, Gated], ids=["memory", "waiting"])
def test_a_look_that_fails_refuses_no_call(
    kind: Any, provider: Loopback, limited: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked again a while later, and only then."""
    monkeypatch.setattr("payi_middleware.limits.limits._PAUSE", 0.2)
    ledger, asked = kind(), []

    def fails(*given: Any) -> list[Totals]:
        asked.append(given)
        raise LedgerError("it is locked")

    watched = limited("openai", Limit("own", 1, per="user"), ledger=ledger)
    watched.meter.limits.prepare()
    monkeypatch.setattr(ledger, "totals", fails)
    with track(user_id="jane"):
        for _ in range(3):
            assert current().limits[0].left is None
            watched.meter.limits._errands.do(lambda: None).result(5)  # behind it
        assert len(asked) == 1
        assert ask(provider.url) == 200
    assert not watched.meter.limits.is_away
    assert "limit_fault" not in health.counters()
    monkeypatch.undo()
    with track(user_id="bob"):
        time.sleep(0.2)
        assert looked(until=lambda one: one.left == 1)


def test_what_is_asked_while_a_call_ends_is_not_believed(provider: Loopback, limited: Limited) -> None:
    """It may be with the call or without it."""
    ledger = MemoryLedger()
    watched = limited("openai", Limit("own", 1, per="user"), ledger=ledger)
    with track(user_id="jane"):
        ask(provider.url)
        snapshot = watched.meter.limits.snapshot
        (definition,) = ledger.definitions("default").limits
        jane = Account(definition.limit_id, '["jane"]')
        old = standing_of(definition, jane, ledger.totals("default", *jane)[0])
        mark = snapshot.mark(jane)
        ask(provider.url)
        snapshot.see_as_of(mark, old)
        assert current().limits[0].spent == Decimal("0.000054")
        snapshot.see_as_of(snapshot.mark(jane), old)
        assert current().limits[0].spent == Decimal("0.000027")


def test_a_rolling_window_is_not_thought_empty_when_room_returns(
    provider: Loopback, limited: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One slice is out; the others count, and are asked about."""
    clock = Clock()
    clock.ns = time.time_ns()
    ledger = MemoryLedger(clock=clock)
    watched = limited("openai", Limit("own", 1, per="user", window="60m"), ledger=ledger)
    monkeypatch.setattr("payi_middleware.limits.snapshot.time", clock)
    with track(user_id="jane"):
        ask(provider.url)
        clock.advance(1800)
        ask(provider.url)
        (own,) = current().limits
        assert own.resets_at is not None
        assert 1740 <= own.resets_at.timestamp() - clock.ns / 10**9 <= 1861
        clock.advance(1900)
        (definition,) = ledger.definitions("default").limits
        heard = watched.meter.limits.snapshot.of(definition, Account(definition.limit_id, '["jane"]'))
        assert heard.spent == Decimal("0.000054")  # never too much is thought to be left
        assert current().limits[0].spent == Decimal("0.000027")
        told = standing_of(definition, Account("x"), ledger.totals("default", definition.limit_id, '["jane"]')[0])
        assert told.resets_ns is not None
        assert 1620 <= told.resets_ns / 10**9 - clock.ns / 10**9 <= 1761


class Clock:
    """In place of the module `time` and of a ledger's clock."""

    ns = 0

    def __call__(self) -> int:
        return self.ns

    time_ns = __call__

    def monotonic(self) -> float:
        return self.ns / 10**9

    def advance(self, seconds: int) -> None:
        self.ns += seconds * 10**9


def test_calls_of_a_dead_process_are_settled(limited: Limited, provider: Loopback) -> None:
    """Their cost is not known: a strict limit is charged what was held."""
    ledger = MemoryLedger()
    watched = limited("openai", Limit("calls", 5, unit="calls"), ledger=ledger)
    ask(provider.url)
    event = watched.one
    dead = msgspec.structs.replace(
        event, event_id=new_id(time.time_ns()), outcome="unknown", cost=None, units={}, limits={}, ledger=None
    )
    (settled,) = watched.meter.limits.settled([dead])
    assert (settled.ledger, list(settled.limits.values())) == (ledger.id, ["ok"])
    assert account(ledger, "calls").spent == 2
    assert watched.meter.limits.settled([settled]) == [settled]
    assert account(ledger, "calls").spent == 2


def test_calls_that_a_ledger_may_have_counted_and_forgotten_are_left_to_the_audit(
    limited: Limited, provider: Loopback
) -> None:
    """A spool that is found after two weeks: its process may have told the ledger, which knows of that no more."""
    ledger, day = MemoryLedger(), 86_400 * 10**9
    watched = limited("openai", Limit("calls", 5, unit="calls"), ledger=ledger)
    ask(provider.url)
    late, old = (
        msgspec.structs.replace(watched.one, event_id=new_id(time.time_ns() - days * day), limits={}, ledger=None)
        for days in (12, 14)
    )
    counted, left = watched.meter.limits.settled([late, old])
    assert (counted.ledger, left) == (ledger.id, old)
    assert account(ledger, "calls").spent == 2
    assert health.counters()["limit_forgotten"] == 1


def test_users_under_pseudonyms_have_their_limits(provider: Loopback, limited: Limited) -> None:
    """Their accounts are under the pseudonym as their events are."""
    ledger = MemoryLedger()
    watched = limited(
        "openai", Limit("own", 1, unit="calls", per="user"), ledger=ledger, pseudonymize="a key of some length"
    )
    with track(user_id="jane"):
        assert (ask(provider.url), ask(provider.url)) == (200, 400)
        (own,) = current().limits
        assert own.left == 0
    user = watched.events[0].user_id
    assert user != "jane"
    (found,) = ledger.definitions("default").limits
    assert [one.key for one in ledger.totals("default", found.limit_id)] == [json.dumps([user])]


def test_a_route_can_be_limited(limited: Limited, provider: Loopback) -> None:
    """By its template, which stands in what a request's calls share."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    from payi_middleware import PayiMiddleware

    watched = limited("openai", Limit("dear", 1, unit="tokens", strict=True, match={"route": "/a/{b}"}))

    def page(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"{ask(provider.url)} {len(current().limits)}")

    app = Starlette(routes=[Route("/a/{b}", page), Route("/c", page)])
    app.add_middleware(PayiMiddleware, meter=watched.meter)

    async def got(path: str) -> str:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://app") as client:
            return (await client.get(path)).text

    assert [asyncio.run(got(path)) for path in ("/a/1", "/c")] == ["400 1", "200 0"]


def test_a_fault_of_ours_lets_calls_through(
    provider: Loopback, limited: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ever; it is counted, and what it kept from being settled is settled when it is stored."""
    ledger = MemoryLedger()
    watched = limited("openai", Limit("all", 10), ledger=ledger)

    async def asked() -> int:
        async with httpx2.AsyncClient(trust_env=False) as client:
            return (await client.post(provider.url, json=body())).status_code

    monkeypatch.setattr("payi_middleware.limits.sizing.asked_of", None)
    assert (ask(provider.url), asyncio.run(asked())) == (200, 200)
    monkeypatch.setattr("payi_middleware.limits.admission.settle_of", None)
    assert ask(provider.url) == 200
    assert len(watched.events) == 3
    assert health.counters()["limit_fault"] == 4
    assert account(ledger, "all").spent == 3 * TICKS
    monkeypatch.setattr("payi_middleware.limits.held.accounts_of", None)
    monkeypatch.setattr("payi_middleware.limits.settling.accounts_of", None)
    assert ask(provider.url) == 200
    assert (watched.events[-1].ledger, current().limits) == (None, ())
    with track(user_id="jane"):
        assert current().limits == ()


def test_what_was_ordered_can_be_fetched(provider: Loopback, limited: Limited) -> None:
    """A limit refuses what would consume something; what was consumed before is counted when it is told."""
    told = {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "background": True,
        "model": "gpt-4o-mini",
        "output": [],
        "usage": {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120},
    }
    provider.replies = [Reply([json.dumps(told).encode()])]
    ledger = MemoryLedger()
    watched = limited("openai", Limit("full", 1, unit="tokens", strict=True), ledger=ledger)
    with httpx2.Client(trust_env=False) as client:
        url = provider.url.replace("chat/completions", "responses/resp_1")
        assert client.get(url).status_code == 200
    assert ask(provider.url) == 400
    counted, refused = watched.events
    assert (list(counted.limits.values()), refused.outcome) == (["overrun"], "blocked")
    assert account(ledger, "full").spent == 120


def test_without_limits_nothing_is_held(provider: Loopback) -> None:
    """A store in memory has none but the code's: no call is looked at."""
    watched = Watched(hosts={provider.host: "openai"})
    with track(meter=watched.meter):
        assert current().limits == ()
    assert watched.meter.limits.wakes > time.perf_counter_ns() + 10**15
    assert watched.meter.health()["limits"] is None
    assert LimitReached.of(ValueError()) is None
    watched.meter.close()


@pytest.mark.parametrize(("api_key", "sends"), [(None, False), ("", False), ("key", True)])
def test_whether_a_server_is_sent_to_is_told(
    api_key: str | None, sends: bool, provider: Loopback, limited: Limited
) -> None:
    """By the key: a server's address has a default."""
    watched = limited("openai", Limit("all", 10), api_key=api_key)
    assert ask(provider.url) == 200
    assert watched.meter.health()["limits"]["sends"] is sends


def test_a_limit_that_is_named_and_not_there_is_told(
    provider: Loopback, limited: Limited, caplog: pytest.LogCaptureFixture
) -> None:
    """Counted, and said once; names and ids of limits that are there are none of it."""
    ledger = MemoryLedger()
    ledger.define(Definition(limit_id="team-1", application="default", limit=Limit("team", 1)))
    watched = limited("openai", ledger=ledger, limits=())
    for ids in (["team-1"], ["team"], ["team-l"], ["team", "tame"]):
        with track(limit_ids=ids):
            assert ask(provider.url) == 200
    with caplog.at_level(logging.WARNING, "payi_middleware"):
        assert len(watched.events) == 4
    assert health.counters()["limit_unknown"] == 2
    assert caplog.text.count("names limit 'team-l' in limit_ids") == 1


def test_without_any_limit_a_name_names_nothing(provider: Loopback, limited: Limited) -> None:
    """Unless events go to a server, which may have it."""
    for number, key in enumerate(("", "a-key")):
        watched = limited("openai", ledger=None, limits=(), api_key=key, base_url="http://127.0.0.1:9")
        with track(limit_ids=["there"], meter=watched.meter):
            ask(provider.url)
        assert len(watched.events) == 1
        assert health.counters()["limit_unknown"] == 1, number


def test_calls_of_nobody_are_told(provider: Loopback, limited: Limited, caplog: pytest.LogCaptureFixture) -> None:
    """They pass every limit of a user; where a limit does not apply at all, or is of tags, nothing is said."""
    ledger = MemoryLedger()
    limits = (
        Limit("each", 1, per=("user", "account")),
        Limit("tagged", 1, per="request_tag"),
        Limit("premium", 1, per="user", tags=["premium"]),
    )
    watched = limited("openai", *limits, ledger=ledger)
    for who in ({}, {"user_id": "jane"}, {"user_id": "jane", "account_name": "acme"}):
        with track(**who):
            assert ask(provider.url) == 200
    with caplog.at_level(logging.WARNING, "payi_middleware"):
        assert len(watched.events) == 3
    assert health.counters()["limit_nobodys"] == 2
    assert caplog.text.count("a call has no user, whose account limit 'each' would charge") == 1
    assert "has no account" not in caplog.text


def test_accounts_are_found_as_their_events_find_them(limited: Limited, provider: Loopback) -> None:
    """A call's own tags, and the limit that it names."""
    ledger = MemoryLedger()
    ledger.define(Definition(limit_id="named", application="default", limit=Limit("by id", 1, unit="calls")))
    watched = limited("openai", Limit("tags", 1, unit="calls", per="request_tag"), ledger=ledger)
    with track(request_tags=["a", "b"], limit_ids=["named"]):
        assert ask(provider.url) == 200
    with track(request_tags=["b", "c"]):
        assert ask(provider.url) == 400
    with track(limit_ids=["named"]):
        assert ask(provider.url) == 400
    ok, tagged, named = watched.events
    (tags,) = [one.limit_id for one in ledger.definitions("default").limits if one.limit.name == "tags"]
    assert (ok.limits, tagged.limits, named.limits) == (
        {"named": "exceeded", tags: "exceeded"},
        {tags: "blocked"},
        {"named": "blocked"},
    )
    assert ledger.totals("default", tags, '["c"]')[0].spent == 0
    assert Account(tags, '["c"]') in watched.meter.limits.snapshot._seen
