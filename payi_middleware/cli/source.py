"""The store a command reads, with what dead processes left taken in before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..exceptions import StoreError
from ..settings import Settings, load
from .faults import warn

if TYPE_CHECKING:
    from ..store import Store

__all__ = ["opened", "opened_to_write", "settings_of"]


def settings_of(store: str | None, ledger: str | None = None) -> Settings:
    """The settings, of which `--store` and `--ledger` may name some.

    Raises:
        SettingsError: One is malformed.
    """
    given = {"store": store, "ledger": ledger}
    return load({name: value for name, value in given.items() if value is not None})


@contextmanager
def opened(store: str | None) -> Iterator[Store]:
    """The store, for reading. It is never created here, unless events of its own wait to be taken in.

    Raises:
        SettingsError, StoreError: As they say.
    """
    from ..intake import take_in
    from ..store import open_store

    settings = settings_of(store)
    try:
        take_in(settings)
    except (StoreError, OSError) as error:
        warn(f"what waits in the spool is not shown, it cannot be taken in: {error}")
    with open_store(settings, create=False) as found:
        yield found


@contextmanager
def opened_to_write(store: str | None) -> Iterator[Store]:
    """The store, for housekeeping, with what dead processes left taken in. It is never created here.

    Raises:
        SettingsError, StoreError: As they say; the spool too must be there for us.
    """
    from ..intake import take_in
    from ..store import open_store
    from ..store.store import schema_version

    settings = settings_of(store)
    if not settings.in_memory:
        schema_version(settings)
    try:
        take_in(settings)
    except OSError as error:
        raise StoreError(f"what waits in the spool cannot be taken in: {error}") from error
    with open_store(settings, create=True) as found:
        yield found
