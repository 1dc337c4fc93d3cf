"""The ledger a command looks at. Looking makes none: where there is no file, there are no limits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..limits.ledger import Ledger
    from ..settings import Settings

__all__ = ["opened_ledger_of"]

_FILE = "sqlite:///"


@contextmanager
def opened_ledger_of(settings: Settings, *, create: bool = False) -> Iterator[Ledger]:
    """The ledger that is named, or that belongs to the store.

    Raises:
        SettingsError, LedgerError: As they say.
    """
    opened = _opened(settings, create=create)
    try:
        yield opened
    finally:
        opened.close()


def _opened(settings: Settings, *, create: bool) -> Ledger:
    from ..limits.memory import MemoryLedger
    from ..limits.opening import open_ledger

    named = settings.ledger
    file = settings.ledger_path
    if isinstance(named, str) and named.startswith(_FILE):
        file = Path(named.removeprefix(_FILE))
    is_there = file.exists() if file is not None else named is not None
    return open_ledger(settings) if create or is_there else MemoryLedger()
