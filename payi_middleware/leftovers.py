"""Segments whose owner is gone. What one owner left is taken over together, since a call may begin in one and end in the next."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

from . import health
from .segment import HEADER, MAGIC, Segment, fcntl

__all__ = ["adopt", "any_left", "own_files", "sweep"]

DRAFT_SECONDS = 60.0
"""After which a segment that never got its name was left by a process that is gone."""


def own_files(folder: Path, label: str) -> list[Path]:
    """The segments in a folder that belong to the store of this label, of living processes and dead ones.

    Raises:
        OSError: The folder cannot be looked at, or is a link, which is not followed.
    """
    if folder.is_symlink():
        raise OSError(errno.ELOOP, "the spool folder is a symbolic link", str(folder))
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(folder / name for name in names if name.endswith(".spool") and _label_in(name) == label)


def any_left(folder: Path | None, label: str) -> bool:
    """Whether there is anything to adopt or to sweep, perhaps.

    Raises:
        OSError: As `own_files` does.
    """
    return folder is not None and (bool(own_files(folder, label)) or any(folder.glob("*.spool.new")))


def adopt(folder: Path | None, label: str = "") -> Iterator[list[Segment]]:
    """Segments whose owner is gone, an owner's in their order, each locked by us now, so that no other process takes it too.

    Raises:
        OSError: As `own_files` does.
    """
    if folder is None or fcntl is None:
        return
    for owner in dict.fromkeys(map(_owner, own_files(folder, label))):
        segments = _adopted(folder, label, owner)
        if segments:
            yield segments


def _label_in(name: str) -> str:
    """`number.spool` is in its store's own folder, `number.label.spool` in one that stores may share."""
    return name.removesuffix(".spool").partition(".")[2]


def _owner(path: Path) -> str:
    return path.name.rpartition("-")[0]


def _adopted(folder: Path, label: str, owner: str) -> list[Segment]:
    """All of an owner's segments or, as long as one is locked, none: a dying process lets go of them one by one."""
    segments: list[Segment] = []
    try:
        paths = _files_of(folder, label, owner)
        for path in paths:
            segment = _taken_over(path)
            if segment is not None:
                segments.append(segment)
        if _files_of(folder, label, owner) != paths:  # it opened another before it died, where calls of these may end
            raise BlockingIOError
    except BlockingIOError:
        for segment in segments:
            segment.close()
        return []
    return segments


def _files_of(folder: Path, label: str, owner: str) -> list[Path]:
    """An owner's files as they are now: to take in those of others, since they were looked for, may have taken long."""
    return [path for path in own_files(folder, label) if _owner(path) == owner]


def _taken_over(path: Path) -> Segment | None:
    """A segment that is locked and mapped, or None if it is gone or is no segment.

    Raises:
        BlockingIOError: Its owner lives.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if isinstance(error, PermissionError):
            health.note("intake", "%s cannot be taken in (%s); give this user the right to write it", path, error)
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(fd)
        if os.stat(path, follow_symlinks=False).st_ino != status.st_ino:
            return None
        segment = Segment(path, fd, status.st_size) if status.st_size >= HEADER.size else None
        if segment is not None and segment.map[: len(MAGIC)] == MAGIC:
            return segment
        health.note("spool_foreign", "%s is no spool file of this version; it is left alone", path)
    except BlockingIOError:
        raise
    except (OSError, ValueError):  # it has just been taken, or cut short
        pass
    finally:
        os.close(fd)
    return None


def sweep(folder: Path) -> None:
    """Delete the drafts of processes that were killed while they made a segment."""
    for path in folder.glob("*.spool.new"):
        try:
            if time.time() - path.stat(follow_symlinks=False).st_mtime > DRAFT_SECONDS:
                path.unlink()
        except OSError:  # another process was faster
            continue
