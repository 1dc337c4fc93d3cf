"""Rates fetched after those that were installed: on request (`payi prices update`), or now and then in the background.

They are kept beside the store, where every process finds them. A newer genai-prices that is installed later comes with
newer rates of its own, so a file of another version of it is passed over.
"""

from __future__ import annotations

import datetime
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from . import forks
from .exceptions import PricesError
from .ownership import give, make_folder

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot

__all__ = ["SHRUNK", "URL", "Fetched", "fetched_at"]

URL = "https://raw.githubusercontent.com/pydantic/genai-prices/refs/heads/main/prices/new_data/v2/data.json"
"""Where genai-prices publishes its rates, as its own `UpdatePrices` does."""

SHRUNK = 0.8
"""The share of the installed list's models that a fetched one must have: another is broken."""

_TIMEOUT = 30.0  # seconds
_LARGEST = 64 << 20  # bytes


class _File(msgspec.Struct):
    genai_prices: str
    fetched: datetime.datetime
    providers: Any


def fetched_at(store: Path | None) -> Path | None:
    """The file of fetched rates that belongs to a store, whose files are named after a path."""
    return None if store is None else store.with_name(store.name + ".prices.json")


class Fetched:
    """The rates in one file.

    Args:
        path: The file, which need not be there; None to keep what is fetched in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._name = None if path is None else os.fspath(path)
        self._seen: tuple[int, int, int] | None = None
        self._snapshot: DataSnapshot | None = None

    def snapshot(self) -> DataSnapshot | None:
        """What was fetched last; None if nothing was, or the installed rates are to be used. Blocks to read, the first time.

        Raises:
            PricesError: The file is there and cannot be read.
        """
        if self.path is None or self._name is None:
            return self._snapshot
        # most have none, and are asked with each batch of events: this takes least
        if not os.access(self._name, os.F_OK):
            return None
        try:
            there = self.path.stat()
        except OSError:
            return None
        seen = (there.st_ino, there.st_size, there.st_mtime_ns)
        if seen != self._seen:
            self._snapshot = self._read(self.path)
            self._seen = seen
        return self._snapshot

    def _read(self, path: Path) -> DataSnapshot | None:
        import genai_prices

        try:
            kept = msgspec.json.decode(path.read_bytes(), type=_File)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise PricesError(f"{path} cannot be read ({error}); run `payi prices update`, or delete it") from None
        return _snapshot_of(kept) if kept.genai_prices == genai_prices.__version__ else None

    def fetch(self, url: str = URL) -> DataSnapshot:
        """Fetch the rates and keep them. Blocks for the network.

        Raises:
            PricesError: They could not be had, or cannot be true; those in use stay.
        """
        with forks.loading():
            import genai_prices

        now = datetime.datetime.now(datetime.UTC)
        kept = _File(genai_prices.__version__, now, _get(url))
        snapshot = _snapshot_of(kept)
        _check(snapshot, url)
        if self.path is None:
            self._snapshot = snapshot
        else:
            _write(self.path, msgspec.json.encode(kept))
        return snapshot


def _get(url: str) -> Any:
    with forks.loading():
        import httpx2

    try:
        with httpx2.stream("GET", url, timeout=_TIMEOUT, follow_redirects=True) as answer:
            answer.raise_for_status()
            body = bytearray()
            for part in answer.iter_bytes():
                body += part
                if len(body) > _LARGEST:
                    raise PricesError(f"rates from {url}: more than {_LARGEST >> 20} MiB; those in use stay")
        return msgspec.json.decode(body)
    except (httpx2.HTTPError, httpx2.InvalidURL, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PricesError(
            f"rates could not be had from {url}: {error or type(error).__name__}; those in use stay"
        ) from None


def _snapshot_of(kept: _File) -> DataSnapshot:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import _providers_from_raw  # its own updater makes its snapshots so

    try:
        providers = _providers_from_raw(kept.providers)
        return DataSnapshot(providers, from_auto_update=True, timestamp=kept.fetched)
    except (ValueError, TypeError) as error:  # pydantic's errors are ValueErrors
        first = str(error).splitlines()[0]
        raise PricesError(
            f"the rates are not of the form that the installed genai-prices reads ({first}); upgrade it"
        ) from None


def _check(snapshot: DataSnapshot, url: str) -> None:
    from genai_prices.data import providers as installed

    found, known = (sum(len(provider.models) for provider in listed) for listed in (snapshot.providers, installed))
    if found < SHRUNK * known:
        raise PricesError(f"rates from {url} list {found} models where {known} are known: not taken; those in use stay")


def _write(path: Path, data: bytes) -> None:
    """Put a file in place whole, so that no process reads half of one."""
    try:
        make_folder(path.parent)
        fd, name = tempfile.mkstemp(prefix=path.name, dir=path.parent)  # its mode is 0600
        with os.fdopen(fd, "wb") as file:
            give(file.fileno(), path.parent)
            file.write(data)
        Path(name).replace(path)
    except OSError as error:
        raise PricesError(f"{path} cannot be written ({error.strerror or error}); the rates in use stay") from None
