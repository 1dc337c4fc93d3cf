"""What tells the files of one store from those of others, where a spool folder is shared."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from .settings import Settings
from .store_url import identity, is_postgresql

__all__ = ["label_of"]


def label_of(settings: Settings) -> str:
    """What tells the files of these settings' store in a folder that others may share; empty in its own, which may be moved."""
    store, folder = settings.files_path, settings.spool_path
    if folder is None or (store is not None and _real(folder) == _real(store) + ".spool"):
        return ""
    return hashlib.blake2b(os.fsencode(_identity(settings)), digest_size=6).hexdigest()


def _identity(settings: Settings) -> str:
    """What all processes with these settings' store agree on."""
    if is_postgresql(settings.store):
        return identity(settings.store)
    return settings.store if settings.store_path is None else _real(settings.store_path)


def _real(path: Path) -> str:
    """A path in the one spelling that all processes agree on."""
    try:
        return os.path.join(os.path.realpath(path.parent), path.name)
    except (OSError, ValueError):  # the working directory is gone, or this is no path
        return os.fspath(path)
