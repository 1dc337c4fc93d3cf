"""What files of a spool hold of a text: those of running processes, and damaged ones that were put aside."""

from __future__ import annotations

from pathlib import Path

from .leftovers import own_files
from .segment import DAMAGED

__all__ = ["holding"]


def holding(folder: Path | None, label: str, text: str) -> list[Path]:
    """The spool files of a store's label, and all damaged ones, in which a text stands.

    Raises:
        OSError: The folder cannot be looked at.
    """
    if folder is None:
        return []
    needle = text.encode()
    return [path for path in (*own_files(folder, label), *sorted(folder.glob(f"*{DAMAGED}"))) if _holds(path, needle)]


def _holds(path: Path, needle: bytes) -> bool:
    try:
        return needle in path.read_bytes()
    except FileNotFoundError:  # its process is done with it
        return False
