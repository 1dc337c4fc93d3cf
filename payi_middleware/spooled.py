"""What files hold of a text: those of a spool, be it of running processes or damaged ones put aside, and any other."""

from __future__ import annotations

from pathlib import Path

from .leftovers import own_files
from .segment import DAMAGED

__all__ = ["holding", "holds"]

_AT_ONCE = 1 << 20


def holding(folder: Path | None, label: str, text: str) -> list[Path]:
    """The spool files of a store's label, and all damaged ones, in which a text stands.

    Raises:
        OSError: The folder cannot be looked at.
    """
    if folder is None:
        return []
    needle = text.encode()
    return [path for path in (*own_files(folder, label), *sorted(folder.glob(f"*{DAMAGED}"))) if _holds(path, needle)]


def holds(path: Path, text: str) -> bool:
    """Whether a text stands in a file; not in one that is gone."""
    return _holds(path, text.encode())


def _holds(path: Path, needle: bytes) -> bool:
    before = b""
    try:
        with path.open("rb") as file:
            while part := file.read(_AT_ONCE):
                if needle in before + part:
                    return True
                before = part[-len(needle) :]
    except FileNotFoundError:  # its process is done with it
        pass
    return False
