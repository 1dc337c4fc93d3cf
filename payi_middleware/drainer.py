"""What the draining thread does: it takes the calls that ended from the spool and delivers them to the sinks."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _imports, forks, health, providers
from .counting.estimates import Estimates
from .events import CallEvent
from .flush import Flusher
from .limits.limits import Limits
from .pending import finished
from .pricing import Prices
from .settings import Settings
from .spool import Spool
from .types import Sink
from .updates import Updates

if TYPE_CHECKING:
    from .sinks.delivery import Delivery

__all__ = ["Drainer"]

BATCH = 200
"""Events of one transaction, at most: 20 ms for which, under gevent, no request goes on; larger ones are no faster."""
HEALTH_SECONDS = 20.0
"""Between two reports of a process that does nothing."""
_TOLD_SECONDS = 1.0
"""Between two of one whose counters stand still."""
_MOST_LATE = 3  # answers that wait to be read, each of 32 MB at most


class Drainer:
    """The spool, its thread and the sinks of one meter in one process.

    Args:
        settings: With absolute paths.
        prices: By which what is not priced yet is.
        estimates: That count what told no usage.
        limits: That settle what is not settled yet.
        updates: That fetch newer rates.
        sinks: Where events go; None for the store, and on to a server if the settings name a key.
        folder: The spool's; None for memory.
        label: What the names of its files carry.
        report: Tells of this process, for `payi doctor`.
    """

    def __init__(
        self,
        settings: Settings,
        prices: Prices,
        estimates: Estimates,
        limits: Limits,
        updates: Updates,
        *,
        sinks: Sequence[Sink] | None,
        folder: Path | None,
        label: str,
        report: Callable[[], dict[str, Any]],
    ) -> None:
        self._settings = settings
        self._prices = prices
        self._estimates = estimates
        self._limits = limits
        self._updates = updates
        self._given = sinks is not None
        self._sinks: list[Sink] | None = None if sinks is None else list(sinks)
        self._delivers = sinks is None and bool(settings.api_key)
        self.delivery: Delivery | None = None
        """What sends events on to a server; made when there is something to send."""
        self._report = report
        self._reported = 0.0
        self._told: dict[str, Any] | None = None
        self._told_at = 0.0
        self._late: deque[Callable[[], None]] = deque()
        """Long results that wait to be read."""
        self._small: deque[Callable[[], None]] = deque()
        """What else is to be done when there is something to deliver."""
        self._batch: list[CallEvent] = []
        """Taken from the spool, and not yet taken by the sinks: a refused batch is offered again as it is."""
        self.flusher = Flusher(
            self._drain,
            waits=self._waits,
            prepare=self.prepare,
            interval=settings.flush_interval,
            idle=self.look_around,
            ended=lambda: self.spool.listen(),
        )
        self.spool = Spool(folder, limit=settings.spool_bytes, wake=self.flusher.arm, label=label)

    @property
    def has_reported(self) -> bool:
        """Whether the sinks have heard of this process."""
        return self._reported > 0

    def read_later(self, read: Callable[[], None]) -> None:
        """Let the thread read an answer that would hold up an event loop; a few may wait, as they are large."""
        self._late.append(read)
        if len(self._late) > _MOST_LATE or not self.flusher.arm():
            _do_all(self._late)

    def do_later(self, work: Callable[[], None]) -> None:
        """Let the thread do something small that raises nothing, when it next has calls to deliver."""
        self._small.append(work)

    def flush(self, timeout: float) -> bool:
        """Deliver everything that ended so far; returns whether the sinks have it after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        delivered, delivery = self.flusher.flush(timeout), self.delivery
        return delivered and (delivery is None or delivery.flush(max(0.0, deadline - time.monotonic())))

    def close(self, timeout: float) -> bool:
        """Flush, end the thread and let go of all files; returns whether the sinks have everything after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        self._told = None  # the last word is of this moment
        delivered = self.flusher.close(timeout)
        delivery, self.delivery = self.delivery, None
        if delivery is not None:  # after the store: it reads from there
            delivered = delivery.close(max(0.0, deadline - time.monotonic())) and delivered
        self.spool.listen()
        if not self.flusher.pause(max(0.0, deadline - time.monotonic())):
            return delivered  # a sink hangs: nothing is pulled from under its feet, and the process's end closes all
        try:
            with forks.at_work():
                self._let_go()
        finally:
            self.flusher.resume()
        return delivered

    def _let_go(self) -> None:
        self.spool.close()
        self._limits.close(self._settings.flush_timeout)
        for sink in self._sinks or ():
            sink.close()
        if not self._given:
            self._sinks = None

    def prepare(self) -> None:
        """Load what calls need, in the background."""
        providers.load(lambda: forks.rest(0))  # first: routes are asked for before a call, rates after it
        self._prices.load()
        self._limits.prepare()

    def _drain(self) -> None:
        """Deliver what the spool has, a transaction a batch; what is written meanwhile comes later, or this would never end."""
        self.spool.listen()
        _do_all(self._late)
        _do_all(self._small)
        if not self._waits():
            return
        self._prices.load()
        is_over = self.spool.mark()
        while True:
            if not self._batch:  # else it was refused before
                self._batch = self._limits.settled(finished(self.spool.take(BATCH), self._prices, self._estimates))
            if self._batch or self._report_is_due():
                self.write(self._batch)
                stored, self._batch = self._batch, []
                self._limits.stored(stored)
            self.spool.commit()
            if is_over():
                break
            forks.rest(0)
        if self._limits.is_behind:
            self._limits.catch_up()

    def _waits(self) -> bool:
        return bool(self._batch) or bool(self._late) or self.spool.waiting or self._report_is_due()

    def write(self, events: Sequence[CallEvent]) -> None:
        """Hand events to the sinks, and what this process tells of itself."""
        report = self._recent() if events else self._report()
        for sink in self._opened():
            sink.write(events, report)
        self._reported = time.monotonic()
        if self._delivers and events:
            self.deliver(events)

    def deliver(self, events: Sequence[CallEvent]) -> None:
        """Let what the store has, these events among it, be sent on."""
        if self.delivery is None:
            with forks.loading():
                from .sinks.delivery import Delivery

            self.delivery = Delivery(self._settings, self._prices)
        self.delivery.offer(events)

    def _opened(self) -> list[Sink]:
        if self._sinks is None:
            from .sinks.store import StoreSink

            self._sinks = [StoreSink(self._settings)]
        return self._sinks

    def _report_is_due(self) -> bool:
        return self._reported > 0 and time.monotonic() - self._reported > HEALTH_SECONDS

    def _recent(self) -> dict[str, Any]:
        """What this process tells of itself, made anew when something was counted, else once a second: batches may come faster."""
        now = time.monotonic()
        if self._told is None or now - self._told_at >= _TOLD_SECONDS or self._told["counters"] != health.counters():
            self._told, self._told_at = self._report(), now
        return self._told

    def look_around(self) -> None:
        """Take in what other processes left behind when they died, and see whether the rates are old, or an import was missed."""
        _imports.look()
        self._limits.catch_up()
        self._limits.look()
        self._updates.fetch_if_due(self._prices.load)
        path = self._settings.store_path
        if self._delivers and not self._settings.in_memory and (path is None or path.exists()):
            self.deliver(())  # what was left when the last process ended, or failed
        try:
            from .intake import orphans

            orphans(self.spool.folder, self.spool.label, self._prices, self._take_in)
        except Exception:
            health.note(
                "intake", "what dead processes left could not be taken in; it waits in the spool", exc_info=True
            )

    def _take_in(self, events: Sequence[CallEvent]) -> None:
        self.write(self._limits.settled(events))
        self._limits.stored(events)
        forks.rest(0)
        self.flusher.serve()  # who flushes must not wait for all that the dead left


def _do_all(work: deque[Callable[[], None]]) -> None:
    while work:
        try:
            do = work.popleft()
        except IndexError:  # another thread was quicker
            return
        do()
