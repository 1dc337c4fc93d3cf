"""An SDK's retries: each is a call of its own, joined to the one that failed before it in the same context."""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING, NamedTuple

from . import context

if TYPE_CHECKING:
    from .call import Call, Exchange
    from .frames import Activity
    from .spool import Spool

__all__ = ["Failed", "join", "remember"]

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


def remember(call: Call, attempt: int) -> None:
    """A call of the running context failed: the next one may be another attempt of it."""
    activity, spool = _ref(call.activity), weakref.ref(call.meter.spool)
    failed = Failed(call.group, attempt, _fingerprint(call.exchange), activity, spool, time.time_ns())
    context.last_attempt.set([failed])


def join(call: Call) -> None:
    """Find out whether a call that begins is another attempt of the one that failed last in this context."""
    failed = context.last_attempt.get()
    context.last_attempt.set(None)
    if not failed:
        return
    try:
        last = failed.pop()
    except IndexError:  # a parallel task was faster
        return
    if last.activity is not _ref(call.activity) or last.spool is not weakref.ref(call.meter.spool):
        return
    if call.started_ns - last.failed_ns > _RETRY_NS:
        return
    retry = call.exchange.retry
    told = retry is not None and retry.isdecimal()
    if (told and retry != "0") or (not told and last.fingerprint == _fingerprint(call.exchange)):
        call.group, call.attempt = last.group, last.attempt + 1


def _fingerprint(exchange: Exchange) -> int:
    return hash((exchange.method, exchange.path, exchange.body))


def _ref(activity: Activity | None) -> weakref.ref[Activity] | None:
    """The one weak reference to an activity, which tells it apart even when it is gone."""
    return None if activity is None else weakref.ref(activity)
