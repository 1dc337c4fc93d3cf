"""Telling that a limit comes to an end: to the log, to a function of the application, to webhooks.

What is to be told is decided by the ledger as it counts, once a window, and waits there until it was told
(`Ledger.outbox_take`), so that neither a restart nor several processes tell it twice or not at all. Log and function come
first and once; a webhook that does not answer is tried again, less and less often, for three days.
"""

from __future__ import annotations

import logging
import pkgutil
import threading
import time
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec

from .. import forks, health
from ..events import format_time, usd
from ..exceptions import PayiError
from ..settings import Settings
from .alert import LimitAlert, OnAlert
from .ledger import Alert, Ledger
from .limit import FORECAST
from .webhook import RefusedError, Webhook

__all__ = ["Alerts", "LimitAlert", "OnAlert", "alerts_of"]

log = logging.getLogger("payi_middleware.alerts")

GIVE_UP_NS: Final = 3 * 86_400 * 10**9
_LEASE = 15.0
"""Seconds for which what was taken from the ledger is nobody else's."""
_SOONEST, _LATEST = 15.0, 3_600.0
"""Seconds between two tries."""
_ORPHANED_NS: Final = 60 * 10**9
"""After so long an alert is left by a process that died, and anybody's who shares the ledger."""
_DECODE = msgspec.json.Decoder(tuple[str, ...]).decode


class _Waiting(NamedTuple):
    """An alert that some webhooks did not take."""

    webhooks: tuple[Webhook, ...]
    due: float
    """When to try again, monotonic seconds."""
    pause: float
    """How long to wait after that."""


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
        """Tell what waits now; how much that was.

        Raises:
            LedgerError: The ledger is out of reach.
        """
        ledger = self._ledger()
        now = ledger.now_ns()
        before = now - _ORPHANED_NS if self._application is None else None
        waiting = ledger.outbox_take(_LEASE, self._application, before)
        fresh = [alert for alert in waiting if not alert.told]
        for alert in fresh:
            self._tell_here(_public(alert))
        if fresh:
            ledger.outbox_told([alert.alert_id for alert in fresh])
        done = [alert.alert_id for alert in waiting if self._is_sent(alert, now)]
        if done:
            ledger.outbox_done(done)
        return len(waiting)

    def _tell_here(self, alert: LimitAlert) -> None:
        log.warning("%s", alert)
        if self._on_alert is not None:
            try:
                found = pkgutil.resolve_name(self._on_alert) if isinstance(self._on_alert, str) else self._on_alert
                found(alert)
            except Exception:
                health.note("on_alert", "on_alert raised an error", exc_info=True)

    def _is_sent(self, alert: Alert, now: int) -> bool:
        """Whether nothing is left to do for an alert."""
        waiting = self._waiting.get(alert.alert_id) or _Waiting(self._webhooks, 0.0, _SOONEST)
        if time.monotonic() < waiting.due:
            return False
        refused = {webhook: why for webhook in waiting.webhooks if (why := _refusal(webhook, alert)) is not None}
        if refused and now - alert.at_ns <= GIVE_UP_NS:
            due, pause = time.monotonic() + waiting.pause, min(2 * waiting.pause, _LATEST)
            self._waiting[alert.alert_id] = _Waiting(tuple(refused), due, pause)
            return False
        if refused:
            health.note("alert_lost", "an alert could not be sent in three days: %s", "; ".join(refused.values()))
        self._waiting.pop(alert.alert_id, None)
        return True


def alerts_of(settings: Settings, ledger: Callable[[], Ledger], application: str | None) -> Alerts:
    """What tells alerts as settings say: of one application, or what all have left."""
    webhooks = [Webhook(url, settings.alert_key, settings.alert_networks) for url in settings.alert_webhooks]
    return Alerts(ledger, application=application, on_alert=settings.on_alert, webhooks=webhooks)


def _refusal(webhook: Webhook, alert: Alert) -> str | None:
    """Why an alert is to be sent again; None if it is not."""
    try:
        webhook.send(alert.alert_id, _body(alert))
    except RefusedError as error:
        health.note("alert_refused", "an alert could not be sent, and will not be: %s", error)
        return None
    except PayiError as error:
        health.note("alert_unsent", "an alert could not be sent; it is tried again: %s", error)
        return str(error)
    return None


def _public(alert: Alert) -> LimitAlert:
    """An alert as the application sees it."""

    def amount(counted: int) -> Decimal:
        return usd(counted).normalize() if alert.unit == "usd" else Decimal(counted)

    forecast = alert.share == FORECAST
    return LimitAlert(
        alert_id=alert.alert_id,
        application=alert.application,
        limit_id=alert.limit_id,
        limit_name=alert.name,
        account=_DECODE(alert.key) if alert.key else (),
        share=None if forecast else Decimal(str(alert.share)).normalize(),
        forecast=forecast,
        unit=alert.unit,
        spent=amount(alert.spent),
        max=amount(alert.most),
        window=alert.window,
        window_starts_ns=alert.starts_ns,
        at_ns=alert.at_ns,
    )


def _body(alert: Alert) -> bytes:
    """The message, in the shape that Standard Webhooks recommends."""
    told = {"type": "limit.alert", "timestamp": format_time(alert.at_ns), "data": _public(alert).to_dict()}
    return msgspec.json.encode(told)
