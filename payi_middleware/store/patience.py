"""Waiting for another process's lock."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

from .. import forks

__all__ = ["BUSY_TIMEOUT", "patiently"]

T = TypeVar("T")

BUSY_TIMEOUT = 5.0
"""Seconds to wait for another process that writes."""
_SHORTEST, _LONGEST = 0.001, 0.05  # seconds between two tries


def patiently(action: Callable[[], T], timeout: float) -> T:
    """What `action` returns, tried again while another process holds the lock.

    SQLite's own waiting sleeps in C: under gevent no request of the worker would go on, and a fork would copy it.

    Raises:
        sqlite3.OperationalError: It is still locked after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    pause = _SHORTEST
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            left = deadline - time.monotonic()
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or left <= 0:
                raise
        forks.rest(min(pause, left))
        pause = min(2 * pause, _LONGEST)
