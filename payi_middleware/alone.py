"""The one process that does something now: whoever holds a file's lock, which the system takes from the dead."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .ownership import give
from .segment import fcntl

__all__ = ["alone"]

_locks: list[int] = []
"""What this process has open, and a child that is forked meanwhile must not keep locked."""


def _after_fork() -> None:
    while _locks:
        os.close(_locks.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Whether we are the one that holds the file's lock, until the block ends. Where there are no locks, everybody does.

    Raises:
        OSError: The file can be neither made nor opened.
    """
    if fcntl is None:
        yield True
        return
    fd = _lock_file(path)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        yield False
        return
    _locks.append(fd)
    try:
        yield True
    finally:
        if fd in _locks:  # else this is a child that was forked from within
            _locks.remove(fd)
            os.close(fd)


def _lock_file(path: Path) -> int:
    """A descriptor of the lock's file, made if need be; to read suffices."""
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | flags, 0o600)
    except FileExistsError:
        return os.open(path, os.O_RDONLY | flags)
    give(fd, path.parent)
    return fd
