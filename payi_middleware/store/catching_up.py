"""All that makes reports quick, done at once: the steps of `tending.py` and `filling.py` to their end, for commands."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .. import forks
from .filling import fill_day
from .tending import tend

if TYPE_CHECKING:
    from .store import Store

__all__ = ["fill", "tended"]

_REST = 0.02  # seconds between two steps, at least, in which others get the lock


def fill(store: Store) -> Iterator[int]:
    """Fill in all that lacks, a day a transaction, and tell each day when it is done.

    Raises:
        StoreError: A day failed; those before it hold.
    """
    while True:
        with store.transaction() as connection:
            day = fill_day(connection, store.most_keys)
        if day is None:
            return
        yield day


def tended(store: Store) -> Iterator[None]:
    """Take all steps, some at a time, and tell of each time.

    Raises:
        StoreError: A step failed; those before it hold.
    """
    while True:
        began = time.monotonic()
        with store.transaction() as connection:
            done = tend(connection, store.most_keys)
        if not done:
            return
        yield
        forks.rest(max(_REST, time.monotonic() - began))
