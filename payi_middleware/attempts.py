"""An SDK's retries: each is a call of its own, joined to the one that failed before it in the same context."""

from __future__ import annotations

import time
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .exchange import Exchange
    from .frames import Activity
    from .spool import Spool

__all__ = ["Failed", "joined", "last", "remember"]

_RETRY_NS = 600 * 10**9  # so long after a failure the same request is no retry, but the next round of a loop


class Failed(NamedTuple):
    """A call that failed, as the next one of its context sees it."""

    group: bytes
    attempt: int
    fingerprint: int
    """Of method, path and body."""
    activity: weakref.ref[Activity] | None
    """A thread that serves request after request keeps its context: what failed for one is not another's."""
    spool: weakref.ref[Spool]
    """The meter's: after a fork, or in another test, nothing is a retry of what was before."""
    failed_ns: int


last: ContextVar[list[Failed] | None] = ContextVar("payi_last_attempt", default=None)
"""The last call of this context, if it failed. A list, because tasks copy their parent's context: the first that tries again
empties it for all."""


def remember(exchange: Exchange, activity: Activity | None, spool: Spool, group: bytes, attempt: int) -> None:
    """A call of the running context failed: the next one may be another attempt of it."""
    failed = Failed(group, attempt, _fingerprint(exchange), _ref(activity), weakref.ref(spool), time.time_ns())
    last.set([failed])


def joined(exchange: Exchange, activity: Activity | None, spool: Spool, now: int) -> tuple[bytes, int] | None:
    """Group and number of a call that begins now, if it is another attempt of the one that failed last in this context."""
    failed = last.get()
    last.set(None)
    if not failed:
        return None
    try:
        before = failed.pop()
    except IndexError:  # a parallel task was faster
        return None
    if before.activity is not _ref(activity) or before.spool is not weakref.ref(spool):
        return None
    if now - before.failed_ns > _RETRY_NS:
        return None
    retry = exchange.retry
    told = retry is not None and retry.isdecimal()
    if (told and retry != "0") or (not told and before.fingerprint == _fingerprint(exchange)):
        return before.group, before.attempt + 1
    return None


def _fingerprint(exchange: Exchange) -> int:
    return hash((exchange.method, exchange.path, exchange.original or exchange.body))


def _ref(activity: Activity | None) -> weakref.ref[Activity] | None:
    """The one weak reference to an activity, which tells it apart even when it is gone."""
    return None if activity is None else weakref.ref(activity)
