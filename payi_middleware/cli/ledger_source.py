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
    from ..limits.opening import ledger_url, open_ledger
    from ..store_url import SQLITE

    url = settings.ledger or ledger_url(settings.store)
    is_missing = url.startswith(SQLITE) and not Path(url.removeprefix(SQLITE)).exists()
    return MemoryLedger() if is_missing and not create else open_ledger(settings)
