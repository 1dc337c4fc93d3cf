"""The named thread that hands events to Pay-i, or to a server of our own: at least once, in the order of the store.

It reads the store after a mark of its own, so it holds up no other sink, and what a process leaves behind is handed over
by the next. Of several processes on a store one hands over at a time, holding a lock while it has something to do; one
that finds the lock taken looks again, so whoever dies is replaced.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from .. import forks, health
from ..events import CallEvent
from ..exceptions import StoreError
from ..flush import Flusher, Postponed
from ..pricing import Prices
from ..settings import Settings
from ..store.deliveries import Batch, Rejected
from .api import Api
from .circuit import Circuit
from .past import BREAKS, past
from .remote import Remote
from .remote_errors import KeyRefused, Unreachable
from .sources import Source, source_of

__all__ = ["Delivery"]

NAME = "payi-delivery"
OTHERS_SECONDS = 0.5
"""Between two looks whether another process still hands over."""


class Delivery:
    """Hands events over as they come. Starts its thread with the first of them.

    Args:
        settings: Whose `base_url`, `api_key` and `application` say where and as what.
        prices: Our rates, should resources be made.
    """

    def __init__(self, settings: Settings, prices: Prices) -> None:
        self._url = settings.base_url
        self._source: Source = source_of(settings)
        self._remote = Remote(Api(self._url, settings.api_key or ""), prices if settings.create_resources else None)
        self._circuit = Circuit()
        self._error: str | None = None
        self._sent = 0
        self._deadline = 0.0
        """Monotonic seconds at which a flush gives up: where no thread is to be had, its own one hands over."""
        self._flusher = Flusher(
            self._drain,
            waits=lambda: True,
            prepare=lambda: None,
            interval=settings.flush_interval,
            idle=lambda: None,
            ended=lambda: None,
            name=NAME,
        )

    def offer(self, events: Sequence[CallEvent]) -> None:
        """The store has more; without one, these are kept in memory."""
        self._source.offer(events)
        self._flusher.arm()

    def flush(self, timeout: float) -> bool:
        """Hand over now; returns whether the server has everything. A server that is known to be away is not waited for."""
        if self._circuit.is_open and self._circuit.seconds:
            return False
        self._deadline = time.monotonic() + timeout
        return self._flusher.flush(timeout)

    def close(self, timeout: float) -> bool:
        """Hand over, then end the thread and let go of files and connections, in `timeout` seconds."""
        deadline = self._deadline = time.monotonic() + timeout
        delivered = self._flusher.close(0.0 if self._circuit.is_open else timeout)
        # Else it hangs, and the process's end closes all.
        if self._flusher.pause(max(0.0, deadline - time.monotonic())):
            try:
                with forks.at_work():
                    self._source.close()
                    self._remote.close()
            finally:
                self._flusher.resume()
        return delivered

    def health(self) -> dict[str, Any]:
        """What this process tells of it, for `payi doctor`."""
        return {"url": self._url, "server": self._remote.kind, "sent": self._sent, "error": self._error}

    def _drain(self) -> None:
        """Hand over what is there now; what comes meanwhile is next, or a flush would never end.

        Raises:
            Postponed: Something is left, for a while.
        """
        if self._circuit.seconds:
            raise Postponed(self._circuit.seconds)
        try:
            with self._source.alone() as alone:
                upto = self._source.last()
                if alone:
                    self._hand_over(upto)
                elif self._source.next(upto, 1) is not None:
                    raise Postponed(OTHERS_SECONDS)
        except Unreachable as error:
            raise Postponed(self._failed(error)) from None
        except (StoreError, OSError) as error:
            health.note("delivery_store", "events cannot be read to be delivered: %s", error)
            raise Postponed(self._circuit.failed()) from None

    def _hand_over(self, upto: int) -> None:
        self._remote.deadline = None if threading.current_thread().name == NAME else self._deadline
        while (batch := self._source.next(upto, self._circuit.size)) is not None:
            self._source.expect()
            try:
                handed = [(batch, self._send(batch.events))]
            except Unreachable as error:
                # It may break at the first event, rather than be broken: it answers at once, again and again.
                if error.status != BREAKS or not self._circuit.looked:
                    raise
                handed = past(self._suspected(upto), self._send, error)
            for batch, rejected in handed:
                self._done(batch, rejected)
            self._circuit.succeeded()
            self._error = None
            forks.rest(0)

    def _send(self, events: list[CallEvent]) -> list[Rejected]:
        self._remote.prepare()
        with forks.away():
            return self._remote.send(events)

    def _suspected(self, upto: int) -> list[Batch]:
        """What is next, to be looked through; behind what is offered again, new events too."""
        found = self._source.next(upto, self._circuit.looked)
        if found is None:  # forgotten meanwhile
            return []
        more = max(1, self._circuit.looked - len(found.events))
        new = self._source.next(upto, more, again=False) if found.again else None
        return [found] if new is None else [found, new]

    def _done(self, batch: Batch, rejected: list[Rejected]) -> None:
        if rejected:
            self._tell(len(rejected), rejected[0].message)
        self._source.done(batch, rejected)
        self._sent += len(batch.events) - len(rejected)

    def _failed(self, error: Unreachable) -> float:
        seconds = self._circuit.failed(error.asked, error.pause)
        self._error = str(error)
        if isinstance(error, KeyRefused):
            health.note(
                "delivery_key",
                "events are NOT delivered to %s: %s; they wait in the store. Set PAYI_API_KEY to a key that is valid",
                self._url,
                error,
            )
        else:
            health.note(
                "delivery", "events wait in the store, %s cannot be had: %s", self._url, health.shown(str(error))
            )
        return seconds

    def _tell(self, n: int, message: str) -> None:
        health.note(
            "delivery_rejected",
            "%s refuses events: %s; they are set aside, see `payi doctor`",
            self._url,
            health.shown(message),
            n=n,
        )
