"""What went wrong in this process, counted by kind; each kind is logged once.

A fault of ours never becomes the application's, so it would be invisible without these counters. `payi doctor` shows them.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import Any

__all__ = ["count", "counters", "log", "note", "reset", "shown"]

log = logging.getLogger("payi_middleware")

_LONGEST = 200  # characters of a foreign value in a log line

_lock = threading.RLock()  # the garbage collector may end a call, and that count, while this thread counts
_counters: dict[str, int] = {}
_logged: set[str] = set()


def count(kind: str, n: int = 1) -> None:
    """Count `n` more of `kind`."""
    with _lock:
        _counters[kind] = _counters.get(kind, 0) + n


def note(kind: str, message: str, *args: Any, exc_info: bool = False, n: int = 1) -> None:
    """Count `n` more of `kind` and, the first time in this process, log the message as a warning."""
    with _lock:
        _counters[kind] = _counters.get(kind, 0) + n
        first = kind not in _logged
        _logged.add(kind)
    if first:
        with contextlib.suppress(Exception):  # of a filter or handler of the application's; the count stands
            log.warning(message, *args, exc_info=exc_info, extra={"kind": kind})


def shown(value: object) -> str:
    """A foreign value as it may stand in a log line: its repr, cut at 200 characters."""
    text = repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def counters() -> dict[str, int]:
    """A copy of the counters."""
    with _lock:
        return dict(_counters)


def reset() -> None:
    """Forget all: for a forked child, which has a health of its own, and for tests."""
    global _lock
    _lock = threading.RLock()
    _counters.clear()
    _logged.clear()
