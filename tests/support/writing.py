"""A process that writes to a store beside others."""

from __future__ import annotations

import os
from multiprocessing.synchronize import Barrier

from payi_middleware.events import CallEvent
from payi_middleware.store import open_store

__all__ = ["write_overlapping"]


def write_overlapping(store_url: str, events: list[CallEvent], barrier: Barrier) -> None:
    """Write the events in small batches that overlap, as soon as all the others are ready."""
    barrier.wait()
    with open_store(store_url, create=True, fold_every=50, timeout=60) as store:
        for start in range(0, len(events), 7):
            store.write(events[start : start + 10], {"process": str(os.getpid()), "pid": os.getpid(), "seen_ns": start})
