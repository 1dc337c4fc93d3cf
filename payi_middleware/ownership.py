"""What root makes in somebody's folder is given to them: a store that `sudo payi report` made must not lock the application out."""

from __future__ import annotations

import os
from itertools import takewhile
from pathlib import Path

__all__ = ["give", "make_folder"]

_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


def give(fd: int, folder: Path) -> None:
    """As root, give a new file to the owner of its folder."""
    if not _is_root():
        return
    try:
        owner = os.stat(folder)
        os.fchown(fd, owner.st_uid, owner.st_gid)
    except OSError:  # this root has not the right, in a container say; then it stays ours
        pass


def make_folder(folder: Path) -> None:
    """Make a folder that is its owner's only, and what is missing above it.

    Raises:
        OSError: It cannot be made.
    """
    missing = list(takewhile(lambda one: not one.exists(), (folder, *folder.parents))) if _is_root() else []
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for made in reversed(missing):
        fd = os.open(made, _FOLDER)
        try:
            give(fd, made.parent)
        finally:
            os.close(fd)


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0
