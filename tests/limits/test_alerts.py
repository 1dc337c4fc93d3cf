"""Alerts reach the log, the application's function and webhooks, each once; what could not be sent is sent later."""

import json
import logging
import os
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from receiver import KEY, LOOPBACK, Receiver, receiving

from payi_middleware import health
from payi_middleware.exceptions import LedgerError
from payi_middleware.limits import Limit, alerts
from payi_middleware.limits.alerts import Alerts, LimitAlert
from payi_middleware.limits.ledger import LOGGED, TOLD, Account, Alert, Ledger, Settle
from payi_middleware.limits.limit import Definition
from payi_middleware.limits.memory import MemoryLedger
from payi_middleware.limits.sqlite import SqliteLedger
from payi_middleware.limits.webhook import Webhook

USD = 10**10


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that runs."""
    with receiving() as server:
        yield server


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be sent is tried again at once."""
    monkeypatch.setattr(alerts, "_LEASE", 0.0)
    monkeypatch.setattr(alerts, "_SOONEST", 0.0)


def spend(ledger: Ledger, usd: int, key: str = "", **more: Any) -> None:
    """So much in one call, of a limit of 10 USD."""
    limit = Limit("Monthly", 10, alerts=(0.5, 0.8, 1), per="user" if key else None, **more)
    ledger.define(Definition(limit_id="L", application="shop", limit=limit, source="code"))
    ledger.run([Settle(os.urandom(16), "shop", (Account("L", key),), usd * USD, 0, 0, time.time_ns())])


def telling(ledger: Ledger, *webhooks: Webhook, **more: Any) -> tuple[Alerts, list[LimitAlert]]:
    """What tells the alerts of a ledger, and what the application's function got."""
    got: list[LimitAlert] = []
    more = {"application": "shop", "on_alert": got.append, **more}
    return Alerts(lambda: ledger, webhooks=webhooks, **more), got


def test_each_is_told_once_to_log_and_function(caplog: pytest.LogCaptureFixture) -> None:
    ledger = MemoryLedger()
    told, got = telling(ledger)
    spend(ledger, 6, '["jane"]')
    with caplog.at_level(logging.WARNING, "payi_middleware.alerts"):
        assert told.tell() == 1
        assert told.tell() == 0
    assert caplog.messages == ["limit 'Monthly' of 'jane' is at 50 %: 6 of 10 USD"]
    (alert,) = got
    assert (alert.limit_name, alert.account, alert.share, alert.forecast) == (
        "Monthly",
        ("jane",),
        Decimal("0.5"),
        False,
    )
    assert (alert.spent, alert.max, alert.unit, alert.application) == (Decimal(6), Decimal(10), "usd", "shop")


def test_a_forecast_is_told_in_its_own_words() -> None:
    kept = Alert("1", "shop", "L", "Calls", "", "forecast", "calls", 6000, 10_000, "month", 10**18, 10**18)
    alert = alerts._public(kept, "memory:1")
    assert str(alert) == "limit 'Calls' will be reached before its month ends: 6,000 of 10,000 calls"
    assert alert.to_dict()["share"] is None
    assert alert.to_dict()["window_starts_at"] == "2001-09-09T01:46:40.000000Z"


def test_names_are_harmless_in_a_log() -> None:
    kept = Alert("1", "s", "L", "\x1b[31m", '["\\u001b[2J"]', 1, "usd", 0, USD, None, None, 0)
    alert = alerts._public(kept, "memory:1")
    assert "\x1b" not in str(alert)


def test_a_function_that_raises_hinders_nobody(receiver: Receiver) -> None:
    def broken(alert: LimitAlert) -> None:
        raise RuntimeError("no")

    ledger = MemoryLedger()
    told, _ = telling(ledger, Webhook(receiver.url, KEY, LOOPBACK), on_alert=broken)
    spend(ledger, 6)
    assert told.tell() == 1
    assert len(receiver.taken) == 1
    assert told.tell() == 0
    assert health.counters()["on_alert"] == 1


async def told_later(alert: LimitAlert) -> None:
    """What `on_alert` must not be."""


def test_a_named_function_that_has_to_be_awaited_is_noted(caplog: pytest.LogCaptureFixture) -> None:
    ledger = MemoryLedger()
    told, _ = telling(ledger, on_alert=f"{__name__}:told_later")
    spend(ledger, 6)
    assert told.tell() == 1
    assert health.counters()["on_alert"] == 1
    assert "on_alert is an async function, which nobody awaits" in caplog.text


def test_the_function_may_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    ledger = MemoryLedger()
    told, _ = telling(ledger, on_alert="builtins:print")
    spend(ledger, 6)
    told.tell()
    assert "at 50 %" in capsys.readouterr().out


def test_a_webhook_gets_the_facts(receiver: Receiver) -> None:
    ledger = MemoryLedger()
    told, (got) = telling(ledger, Webhook(receiver.url, KEY, LOOPBACK))
    spend(ledger, 9, window="month", timezone="Europe/Berlin")
    assert told.tell() == 2
    first, second = (json.loads(body) for _, body in receiver.taken)
    assert first["type"] == second["type"] == "limit.alert"
    assert (first["data"]["share"], second["data"]["share"]) == ("0.5", "0.8")
    assert first["data"] == got[0].to_dict()
    assert first["data"]["spent"] == "9"
    assert first["data"]["window_starts_at"].endswith("00:00.000000Z")


def test_what_was_not_taken_is_sent_again_and_told_once(receiver: Receiver) -> None:
    ledger = MemoryLedger()
    with receiving() as broken:
        broken.status = 500
        told, got = telling(ledger, Webhook(receiver.url, KEY, LOOPBACK), Webhook(broken.url, KEY, LOOPBACK))
        spend(ledger, 6)
        for _ in range(3):
            assert told.tell() == 1
        broken.status = 200
        assert told.tell() == 1
        assert told.tell() == 0
        assert len({headers["webhook-id"] for headers, _ in broken.taken}) == 1
        assert len(broken.taken) == 4
    assert len(receiver.taken) == len(got) == 1


def test_tries_have_pauses_that_grow(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the ledger's clock, so that nobody tries in between."""
    monkeypatch.setattr(alerts, "_SOONEST", 60.0)
    now = time.time_ns()
    receiver.status = 500
    ledger = MemoryLedger(clock=lambda: now)
    told, _ = telling(ledger, Webhook(receiver.url, KEY, LOOPBACK))
    other, _ = telling(ledger, Webhook(receiver.url, KEY, LOOPBACK))
    spend(ledger, 6)
    for seconds, tries in ((0, 1), (59, 1), (1, 2), (119, 2), (1, 3)):
        now += seconds * 10**9
        told.tell()
        assert other.tell() == 0
        assert len(receiver.taken) == tries


def test_what_nobody_takes_for_three_days_is_given_up(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "GIVE_UP_NS", -1)
    receiver.status = 500
    ledger = MemoryLedger()
    told, _ = telling(ledger, Webhook(receiver.url, KEY, LOOPBACK))
    spend(ledger, 6)
    assert [told.tell(), told.tell()] == [1, 0]
    assert health.counters()["alert_lost"] == 1


def test_a_webhook_that_must_not_be_reached_is_not_tried_again(receiver: Receiver) -> None:
    ledger = MemoryLedger()
    told, got = telling(ledger, Webhook(receiver.url, KEY))
    spend(ledger, 6)
    assert [told.tell(), told.tell()] == [1, 0]
    assert (len(got), receiver.taken) == (1, [])
    assert health.counters()["alert_refused"] == 1


def test_another_process_goes_on_and_tells_nothing_twice(tmp_path: Path, receiver: Receiver) -> None:
    receiver.status = 503
    first = SqliteLedger(tmp_path / "ledger")
    told, got = telling(first, Webhook(receiver.url, KEY, LOOPBACK))
    spend(first, 6)
    told.tell()
    first.close()
    receiver.status = 200
    second = SqliteLedger(tmp_path / "ledger")
    again, more = telling(second, Webhook(receiver.url, KEY, LOOPBACK))
    assert [again.tell(), again.tell()] == [1, 0]
    second.close()
    assert (len(got), more) == (1, [])
    assert len({headers["webhook-id"] for headers, _ in receiver.taken}) == 1


def test_who_shares_the_ledger_tells_what_others_left(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = MemoryLedger()
    spend(ledger, 6)
    told, got = telling(ledger, application=None)
    assert told.tell() == 0  # whose it is may be about to
    monkeypatch.setattr(alerts, "_ORPHANED_NS", 0)
    assert told.tell() == 1
    assert len(got) == 1


def test_who_can_only_log_leaves_the_rest_to_who_can_do_more(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker has neither function nor webhooks; the web process beside it has."""
    ledger = MemoryLedger()
    worker, _ = telling(ledger, on_alert=None)
    web, got = telling(ledger, Webhook(receiver.url, KEY, LOOPBACK))
    spend(ledger, 6)
    with caplog.at_level(logging.WARNING, "payi_middleware.alerts"):
        assert [worker.tell(), worker.tell(), web.tell(), web.tell()] == [1, 0, 1, 0]
    assert caplog.messages == ["limit 'Monthly' is at 50 %: 6 of 10 USD"]
    assert (len(got), len(receiver.taken)) == (1, 1)


def test_what_only_a_log_is_there_for_is_forgotten_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = MemoryLedger()
    told, _ = telling(ledger, on_alert=None)
    spend(ledger, 6)
    assert told.tell() == 1
    assert [alert.stage for alert in ledger.outbox_take(0)] == [LOGGED]
    monkeypatch.setattr(alerts, "_LOGGED_NS", 0)
    told.tell()
    assert ledger.outbox_take(0) == []


@pytest.mark.parametrize("more", [{"on_alert": None}, {}, {"application": None, "on_alert": None}])
def test_who_has_no_webhook_does_not_end_what_another_is_to_send(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    """Another process, or a server over the same ledger."""
    monkeypatch.setattr(alerts, "_ORPHANED_NS", 0)
    ledger = MemoryLedger()
    told, _ = telling(ledger, Webhook(receiver.url, KEY, LOOPBACK))
    other, got = telling(ledger, **more)
    spend(ledger, 6)
    receiver.status = 500
    assert [told.tell(), other.tell(), other.tell()] == [1, 0, 0]
    assert [alert.stage for alert in ledger.outbox_take(0)] == [TOLD]
    receiver.status = 200
    assert [told.tell(), told.tell(), got] == [1, 0, []]
    assert len(receiver.taken) == 2


def test_a_server_sends_what_it_told_and_not_what_an_application_sends(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has webhooks of its own."""
    monkeypatch.setattr(alerts, "_ORPHANED_NS", 0)
    ledger = MemoryLedger()
    receiver.status = 500
    with receiving() as servers:
        servers.status = 500
        told, _ = telling(ledger, Webhook(receiver.url, KEY, LOOPBACK))
        server, _ = telling(ledger, Webhook(servers.url, KEY, LOOPBACK), application=None)
        spend(ledger, 6)
        assert [told.tell(), server.tell()] == [1, 0]
        spend(ledger, 3)
        assert [server.tell(), told.tell()] == [1, 1]
        receiver.status = servers.status = 200
        assert [server.tell(), told.tell()] == [1, 1]
        shares = [[json.loads(body)["data"]["share"] for _, body in one.taken] for one in (receiver, servers)]
    assert shares == [["0.5"] * 3, ["0.8"] * 2]
    assert ledger.outbox_take(0) == []


def test_a_slow_function_is_told_each_alert_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many wait: the time that is another's to wait is that of one alert."""
    monkeypatch.setattr(alerts, "_LEASE", 1.0)
    now = [time.time_ns()]
    ledger = MemoryLedger(clock=lambda: now[0])
    told: list[tuple[str, ...]] = []
    other, got = telling(ledger)

    def slow(alert: LimitAlert) -> None:
        told.append(alert.account)
        now[0] += 6 * 10**8
        if len(told) == 1:
            other.tell()  # meanwhile another process tells all that is free

    for n in range(6):
        spend(ledger, 6, f'["{n}"]')
    first, _ = telling(ledger, on_alert=slow)
    first.tell()
    other.tell()
    whose = [*told, *(alert.account for alert in got)]
    assert sorted(whose) == [(str(n),) for n in range(6)]


def test_several_webhooks_have_a_lease_each(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though each is slow, nobody else sends to one of them meanwhile."""
    monkeypatch.setattr(alerts, "_LEASE", 1.0)
    now = [time.time_ns()]
    ledger = MemoryLedger(clock=lambda: now[0])
    others: list[int] = []

    class Slow(Webhook):
        def send(self, message_id: str, body: bytes) -> None:
            now[0] += 9 * 10**8
            others.append(len(ledger.outbox_take(0)))
            super().send(message_id, body)

    told, _ = telling(ledger, *(Slow(receiver.url, KEY, LOOPBACK) for _ in range(3)))
    spend(ledger, 6)
    assert told.tell() == 1
    assert (others, len(receiver.taken)) == ([0, 0, 0], 3)


def test_ids_of_alerts_are_unique_over_ledgers(receiver: Receiver) -> None:
    """Two applications with a ledger each may send to the same address, which knows by the id what it has seen before."""
    got: list[LimitAlert] = []
    for _ in range(2):
        ledger = MemoryLedger()
        told, _ = telling(ledger, Webhook(receiver.url, KEY, LOOPBACK), on_alert=got.append)
        spend(ledger, 6)
        told.tell()
    ids = [headers["webhook-id"] for headers, _ in receiver.taken]
    assert len(set(ids)) == 2
    assert ids == [alert.alert_id for alert in got]
    assert ids == [json.loads(body)["data"]["alert_id"] for _, body in receiver.taken]


def test_looking_starts_a_thread_that_ends() -> None:
    ledger = MemoryLedger()
    told, got = telling(ledger)
    for usd in (6, 2):
        spend(ledger, usd)
        told.look()
        told.close(5)
    assert [alert.share for alert in got] == [Decimal("0.5"), Decimal("0.8")]


def test_a_ledger_out_of_reach_is_noted() -> None:
    def away() -> Ledger:
        raise LedgerError("away")

    told = Alerts(away, application="shop")
    told.look()
    told.close(5)
    assert health.counters()["alerts"] == 1
