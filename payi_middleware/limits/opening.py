"""The ledger of a URL, or the one that belongs to a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Protocol

from ..exceptions import LedgerError, SettingsError
from ..store_url import SQLITE, is_postgresql
from .ledger import LEASE_SECONDS, Ledger

__all__ = ["ledger_at", "ledger_url", "open_ledger"]

_VALKEY: Final = ("valkey://", "valkeys://", "redis://", "rediss://", "valkey+unix://", "redis+unix://", "unix://")
_MEMORY: Final = "memory://"


class _Settings(Protocol):
    @property
    def store(self) -> str: ...

    @property
    def ledger(self) -> Any: ...


def open_ledger(settings: _Settings) -> Ledger:
    """The ledger that the settings name, or their store's own. It is not asked yet: no file is made and nothing connected.

    Raises:
        SettingsError: The URL is none of a ledger's.
        LedgerError: What it takes is not installed.
    """
    named = settings.ledger
    if named is not None and not isinstance(named, str):
        ledger: Ledger = named
        return ledger
    return ledger_at(named or ledger_url(settings.store))


def ledger_url(store: str) -> str:
    """Of the ledger that belongs to a store: a file beside a SQLite store, the same database elsewhere."""
    if is_postgresql(store):
        return store
    path = store.removeprefix(SQLITE)
    return _MEMORY if path in ("", ":memory:") else f"{SQLITE}{path}.ledger"


def ledger_at(url: str, *, lease_seconds: float = LEASE_SECONDS) -> Ledger:
    """The ledger of a URL; not asked yet.

    Raises:
        SettingsError: The URL is none of a ledger's.
        LedgerError: What it takes is not installed.
    """
    if is_postgresql(url):
        try:
            from .postgresql import PostgresqlLedger
        except ImportError as error:
            raise LedgerError(
                f"a ledger in PostgreSQL takes psycopg 3 ({error}); install it: pip install 'payi-middleware[postgresql]'"
            ) from None
        return PostgresqlLedger(url, lease_seconds=lease_seconds)
    if url.startswith(_VALKEY):
        from .valkey import ValkeyLedger  # type: ignore[import-not-found, unused-ignore]

        valkey: Ledger = ValkeyLedger(url, lease_seconds=lease_seconds)
        return valkey
    if url in (_MEMORY, f"{SQLITE}:memory:"):
        from .memory import MemoryLedger

        return MemoryLedger(lease_seconds=lease_seconds)
    if url.startswith(SQLITE) and url != SQLITE:
        from .sqlite import SqliteLedger

        return SqliteLedger(Path(url.removeprefix(SQLITE)), lease_seconds=lease_seconds)
    scheme = url.partition("://")[0][:20]  # what follows may have a password in it
    raise SettingsError(
        f"setting ledger={scheme!r}... is not a ledger; use sqlite:///payi.db.ledger, postgresql://..., valkey://..., "
        "redis://... or memory://"
    )
