"""Telling that a limit comes to an end: to the log, to a function of the application, to webhooks.

What is to be told is decided by the ledger as it counts, once a window, and waits there until it was told
(`Ledger.outbox_take`), so that neither a restart nor several processes tell it twice or not at all. Log and function come
first and once; a webhook that does not answer is tried again, less and less often, for three days.

Not every process that comes upon an alert has a way to tell it: a worker may have neither function nor webhooks, where the web
processes of the application have both. Such a process logs it, and leaves the rest to them.
"""

from __future__ import annotations

import inspect
import logging
import pkgutil
import threading
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec

from .. import forks, health
from ..exceptions import PayiError
from ..settings import Settings
from ..values import format_time, plain, usd
from .alert import LimitAlert, OnAlert
from .ledger import LEFT, LOGGED, NEW, TOLD, Alert, Ledger
from .limit import FORECAST
from .webhook import RefusedError, Webhook

__all__ = ["Alerts", "LimitAlert", "OnAlert", "alerts_of"]

log = logging.getLogger("payi_middleware.alerts")

GIVE_UP_NS: Final = 3 * 86_400 * 10**9
_LEASE = 60.0
"""Seconds for which an alert that was taken from the ledger is nobody else's: a function or a webhook may take so long."""
_SOONEST, _LATEST = 15.0, 3_600.0
"""Seconds between two tries."""
_ORPHANED_NS: Final = 60 * 10**9
"""After so long an alert is left by a process that died, and anybody's who shares the ledger."""
_LOGGED_NS: Final = 86_400 * 10**9
"""So long an alert that only the log has waits for a process with a function or webhooks, which there may never be."""
_DECODE = msgspec.json.Decoder(tuple[str, ...]).decode


class _Waiting(NamedTuple):
    """An alert that some webhooks did not take."""

    webhooks: tuple[Webhook, ...]
    pause: float
    """How long to wait, seconds."""


class Alerts:
    """Tells what waits in a ledger, on a thread of its own while there is something.

    Args:
        ledger: Opened at the first look.
        application: Whose alerts; None for what all others have left.
        on_alert: Called with each, in our thread; or where it is, `module:function`.
        webhooks: Sent to each of them.
    """

    def __init__(
        self,
        ledger: Callable[[], Ledger],
        *,
        application: str | None,
        on_alert: OnAlert | str | None = None,
        webhooks: Iterable[Webhook] = (),
    ) -> None:
        self._ledger = ledger
        self._application = application
        self._on_alert = on_alert
        self._webhooks = tuple(webhooks)
        self._lock = threading.Lock()
        self._asked = threading.Event()
        self._thread: threading.Thread | None = None
        self._waiting: dict[str, _Waiting] = {}

    def look(self) -> None:
        """See soon whether there is anything to tell; returns at once."""
        self._asked.set()
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="payi-alerts", daemon=True)
                self._thread.start()

    def close(self, timeout: float) -> None:
        """Wait for what is being told; the rest waits in the ledger."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def after_fork(self) -> None:
        """In a forked child: the thread stayed with the parent."""
        self._lock, self._asked, self._thread = threading.Lock(), threading.Event(), None

    def _run(self) -> None:
        while self._asked.is_set():
            self._asked.clear()
            try:
                with forks.at_work():
                    self.tell()
            except Exception:
                health.note("alerts", "alerts could not be read from the ledger; they wait there", exc_info=True)

    def tell(self) -> int:
        """Tell what waits now, each for itself, as that may take its time; how many that were.

        Raises:
            LedgerError: The ledger is out of reach.
        """
        ledger = self._ledger()
        now, told = ledger.now_ns(), 0
        before = now - _ORPHANED_NS if self._application is None else None
        seen: set[str] = set()
        while True:
            taken = ledger.outbox_take(_LEASE, self._application, before, stages=self._stages, most=1)
            if not taken or taken[0].alert_id in seen:  # its turn comes again when others had theirs
                break
            seen.add(taken[0].alert_id)
            self._tell(ledger, taken[0], now)
            told += 1
        if not self._has_way:
            self._drop_logged(ledger, now)
        return told

    @property
    def _has_way(self) -> bool:
        """Whether there is more to tell it to than the log."""
        return self._on_alert is not None or bool(self._webhooks)

    @property
    def _stages(self) -> tuple[int, ...]:
        """Of the alerts that are this process's to tell."""
        if not self._has_way:
            return (NEW,)
        return (NEW, LOGGED, self._stage) if self._webhooks else (NEW, LOGGED)

    @property
    def _stage(self) -> int:
        """Of what is told here, and is to be sent on: by whoever has the same webhooks."""
        return LEFT if self._application is None else TOLD

    def _tell(self, ledger: Ledger, alert: Alert, now: int) -> None:
        if alert.stage in (NEW, LOGGED):
            self._tell_here(_public(alert, ledger.id), is_logged=alert.stage == LOGGED)
            if not self._has_way:
                ledger.outbox_told([alert.alert_id], LOGGED)
                return
            if self._webhooks:
                ledger.outbox_told([alert.alert_id], self._stage, _LEASE)
        pause = self._sent(ledger, alert, now)
        if pause is None:
            ledger.outbox_done([alert.alert_id])
        else:
            ledger.outbox_told([alert.alert_id], self._stage, pause)

    def _drop_logged(self, ledger: Ledger, now: int) -> None:
        """Alerts that nobody came for who could tell them otherwise."""
        old = ledger.outbox_take(_LEASE, self._application, now - _LOGGED_NS, stages=(LOGGED,))
        if old:
            ledger.outbox_done([alert.alert_id for alert in old])

    def _tell_here(self, alert: LimitAlert, *, is_logged: bool) -> None:
        if not is_logged:
            log.warning("%s", alert)
        if self._on_alert is not None:
            try:
                found: Callable[[LimitAlert], object]
                found = pkgutil.resolve_name(self._on_alert) if isinstance(self._on_alert, str) else self._on_alert
                left = found(alert)
                if inspect.iscoroutine(left):  # of a function that is named, and looked up only now
                    left.close()
                    raise TypeError("on_alert is an async function, which nobody awaits; give a plain one")
            except Exception:
                health.note("on_alert", "on_alert raised an error", exc_info=True)

    def _sent(self, ledger: Ledger, alert: Alert, now: int) -> float | None:
        """Send an alert to the webhooks that did not take it yet; seconds until the next try, None if none is needed."""
        waiting = self._waiting.pop(alert.alert_id, None) or _Waiting(self._webhooks, _SOONEST)
        refused: dict[Webhook, str] = {}
        for number, webhook in enumerate(waiting.webhooks):
            if number:  # each has the whole of a lease
                ledger.outbox_told([alert.alert_id], self._stage, _LEASE)
            why = _refusal(webhook, alert, ledger.id)
            if why is not None:
                refused[webhook] = why
        if refused and now - alert.at_ns <= GIVE_UP_NS:
            self._waiting[alert.alert_id] = _Waiting(tuple(refused), min(2 * waiting.pause, _LATEST))
            return waiting.pause
        if refused:
            health.note("alert_lost", "an alert could not be sent in three days: %s", "; ".join(refused.values()))
        return None


def alerts_of(settings: Settings, ledger: Callable[[], Ledger], application: str | None) -> Alerts:
    """What tells alerts as settings say: of one application, or what all have left."""
    webhooks = [Webhook(url, settings.alert_key, settings.alert_networks) for url in settings.alert_webhooks]
    return Alerts(ledger, application=application, on_alert=settings.on_alert, webhooks=webhooks)


def _refusal(webhook: Webhook, alert: Alert, ledger: str) -> str | None:
    """Why an alert is to be sent again; None if it is not."""
    try:
        public = _public(alert, ledger)
        webhook.send(public.alert_id, _body(public))
    except RefusedError as error:
        health.note("alert_refused", "an alert could not be sent, and will not be: %s", error)
        return None
    except PayiError as error:
        health.note("alert_unsent", "an alert could not be sent; it is tried again: %s", error)
        return str(error)
    return None


def _public(alert: Alert, ledger: str) -> LimitAlert:
    """An alert as the application sees it: under an id that no other has, of this ledger or of any other."""

    def amount(counted: int) -> Decimal:
        return plain(usd(counted)) if alert.unit == "usd" else Decimal(counted)

    forecast = alert.share == FORECAST
    return LimitAlert(
        alert_id=f"{ledger}:{alert.alert_id}",
        application=alert.application,
        limit_id=alert.limit_id,
        limit_name=alert.name,
        account=_DECODE(alert.key) if alert.key else (),
        share=None if forecast else plain(Decimal(str(alert.share))),
        forecast=forecast,
        unit=alert.unit,
        spent=amount(alert.spent),
        max=amount(alert.most),
        window=alert.window,
        window_starts_ns=alert.starts_ns,
        at_ns=alert.at_ns,
    )


def _body(alert: LimitAlert) -> bytes:
    """The message, in the shape that Standard Webhooks recommends."""
    told = {"type": "limit.alert", "timestamp": format_time(alert.at_ns), "data": alert.to_dict()}
    return msgspec.json.encode(told)
