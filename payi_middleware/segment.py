"""One file of the spool: a header, then records of `size, checksum, payload`, each aligned to 8 bytes; zeros follow the last.

The first byte of a payload tells its kind, the next 16 are the call's id. A segment belongs to the process that holds an
exclusive `flock` on it, never to whoever a process id seems to name. It gets its final name only once it is locked, so a
`*.spool` file whose lock can be had was left by a process that is gone.
"""

from __future__ import annotations

import errno
import mmap
import os
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import health
from .ownership import give

try:
    import fcntl as _fcntl
except ImportError:  # not a POSIX system: events wait in memory
    _fcntl = None  # type: ignore[assignment]

fcntl: Any = _fcntl

__all__ = ["AGAIN", "ANSWERED", "BEGUN", "DAMAGED", "ENDED", "FRAME", "HEADER", "MAGIC", "TO_PRICE", "VOID", "Segment"]

BEGUN = b"\x01"
"""A call was sent."""
ENDED = b"\x02"
"""A call ended; the payload is its finished event."""
TO_PRICE = b"\x03"
"""A call ended before rates were loaded; whoever drains the spool prices it."""
VOID = b"\x04"
"""A begun call was taken over by an inner face and has no event of its own."""
AGAIN = b"\x05"
"""A copy of `BEGUN`, for a call that outlives the segment in which it began."""
ANSWERED = b"\x06"
"""A call ended with an answer that tells its usage: whoever drains the spool makes the event of that, and prices it."""

HEADER = struct.Struct("<8sQ16x")  # magic, offset up to which the store has the records
MAGIC = b"payispl1"
FRAME = struct.Struct("<II")
DAMAGED = ".damaged"
"""What the name of a segment that could not be read in whole gets behind it."""

_delivered = struct.Struct("<Q")
_SHORTEST = 17
_KINDS = BEGUN + ENDED + TO_PRICE + VOID + AGAIN + ANSWERED
_something = re.compile(rb"[^\0]")


class Segment:
    """One mapped file. The mapping keeps the descriptor's lock, so a segment that nobody holds any more is free."""

    def __init__(self, path: Path, fd: int, size: int) -> None:
        self.path = path
        self.size = size
        self.map = mmap.mmap(fd, size)
        self._end: int | None = None
        self.read = HEADER.size
        """Offset up to which records were handed out."""
        self.damaged = False

    @classmethod
    def create(cls, folder: Path, name: str, size: int) -> Segment:
        """Make, lock, fill and only then name a new segment.

        Raises:
            OSError: The folder cannot be written, or the disk is full.
        """
        draft = folder / f"{name}.spool.new"
        fd = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            give(fd, folder)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _allocate(fd, size)
            segment = cls(folder / f"{name}.spool", fd, size)
            segment.map.write(HEADER.pack(MAGIC, HEADER.size))  # and there the first record follows
            os.rename(draft, segment.path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)  # the mapping has a duplicate
        return segment

    @property
    def end(self) -> int:
        """Offset behind the last record of one that this process writes."""
        return self.map.tell() if self._end is None else self._end

    def seal(self) -> None:
        """From now on the map's `write`, which another thread may be about to call, raises `ValueError`."""
        if self._end is not None:
            return
        end = self.map.tell()
        self.map.seek(self.size)
        for behind, _ in self.records(end, self.size):  # what was written between these two lines
            end = behind
        self._end = end

    def records(self, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
        """Whole records between two offsets, each with the offset behind it; damaged ones are left out."""
        at = start
        while at + FRAME.size <= stop:
            size, checksum = FRAME.unpack_from(self.map, at)
            end = at + FRAME.size + size
            payload = self.map[at + FRAME.size : end] if end <= stop else b""
            if payload and zlib.crc32(payload) == checksum:
                at = (end + 7) & ~7
                yield at, payload
            else:
                at = self._behind_damage(at, size, stop)

    def _behind_damage(self, at: int, size: int, stop: int) -> int:
        """The next whole record behind one that is not: where its size says, else wherever one is; `stop` for none."""
        found = (at + FRAME.size + size + 7) & ~7
        if not size or not self._is_whole(found, stop):
            found = self._next_whole(at + FRAME.size, stop)
        if size or found < stop:  # else these are the zeros behind the last record
            self.damaged = True
            health.note("spool_torn", "a record in %s is damaged and left out; what is whole is kept", self.path)
        return found

    def _next_whole(self, at: int, stop: int) -> int:
        while (something := _something.search(self.map, at, stop)) is not None:
            at = something.start() & ~7
            if self._is_whole(at, stop):
                return at
            at += 8
        return stop

    def _is_whole(self, at: int, stop: int) -> bool:
        if at + FRAME.size > stop:
            return False
        size, checksum = FRAME.unpack_from(self.map, at)
        begin, end = at + FRAME.size, at + FRAME.size + size
        if size < _SHORTEST or end > stop or self.map[begin] not in _KINDS:
            return False
        return bool(zlib.crc32(self.map[begin:end]) == checksum)

    @property
    def delivered(self) -> int:
        """Offset up to which the store has the records."""
        offset = int(_delivered.unpack_from(self.map, 8)[0])
        return offset if offset <= self.size else HEADER.size

    @delivered.setter
    def delivered(self, offset: int) -> None:
        _delivered.pack_into(self.map, 8, offset)

    def remove(self) -> None:
        """Delete the file, while the lock is still held; a damaged one is put aside, since there may be more in it."""
        try:
            if self.damaged:
                os.replace(self.path, self.path.with_name(self.path.name + DAMAGED))
            else:
                self.path.unlink()
        except FileNotFoundError:
            pass
        except OSError as error:
            health.note("spool_kept", "%s is done with, but cannot be deleted: %s", self.path, error.strerror)
        self.close()

    def close(self) -> None:
        """Let go of the file, and so of its lock."""
        self.map.close()


def _allocate(fd: int, size: int) -> None:
    """Reserve the bytes now: a hole in the file would be a crash at the moment the disk is full."""
    try:
        os.posix_fallocate(fd, 0, size)
        return
    except AttributeError:  # macOS has no such call
        pass
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):  # what a file system says that has none
            raise
    left = size
    while left:
        left -= os.write(fd, bytes(min(left, 1 << 16)))
