"""The append-only files in which events wait for their sinks, and which a killed process leaves behind whole.

A record is copied into a preallocated, mapped file: no system call, so no thread loses the interpreter's lock, and the pages
belong to the kernel, so they outlive the process. A segment is `HEADER`, then records of `size, checksum, payload`, each
aligned to 8 bytes; a size of zero ends it. The first byte of a payload tells its kind, the next 16 are the call's id.

A segment belongs to the process that holds an exclusive `flock` on it, never to whoever a process id seems to name. It gets
its final name only once it is locked, so a `*.spool` file whose lock can be had was left by a process that is gone. Names begin
with their owner: what one owner left is taken in together, since a call may begin in one segment and end in the next.
"""

from __future__ import annotations

import collections
import errno
import itertools
import mmap
import os
import secrets
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from . import health

try:
    import fcntl as _fcntl
except ImportError:  # not a POSIX system: events wait in memory
    _fcntl = None  # type: ignore[assignment]

fcntl: Any = _fcntl

__all__ = ["AGAIN", "BEGUN", "ENDED", "TO_PRICE", "VOID", "Segment", "Spool", "adopt", "sweep", "waiting_bytes"]

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

HEADER = struct.Struct("<8sQ16x")  # magic, offset up to which the store has the records
MAGIC = b"payispl1"
SEGMENT_BYTES = 4 << 20
MEMORY_RECORDS = 20_000
RETRY_SECONDS = 10.0
"""Between two tries to open a segment, after the disk refused one: trying is slow, and the application waits for it."""
DRAFT_SECONDS = 60.0
"""After which a segment that never got its name was left by a process that is gone."""

_frame = struct.Struct("<II")
_delivered = struct.Struct("<Q")


class Segment:
    """One mapped file. The mapping keeps the descriptor's lock, so a segment that nobody holds any more is free."""

    def __init__(self, path: Path, fd: int, size: int) -> None:
        self.path = path
        self.size = size
        self.map = mmap.mmap(fd, size)
        self.end = HEADER.size
        """Offset behind the last record."""
        self.read = HEADER.size
        """Offset up to which records were handed out."""

    @classmethod
    def create(cls, folder: Path, name: str, size: int) -> Segment:
        """Make, lock, fill and only then name a new segment.

        Raises:
            OSError: The folder cannot be written, or the disk is full.
        """
        draft = folder / f"{name}.spool.new"
        fd = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _allocate(fd, size)
            segment = cls(folder / f"{name}.spool", fd, size)
            HEADER.pack_into(segment.map, 0, MAGIC, HEADER.size)
            os.rename(draft, segment.path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)  # the mapping has a duplicate
        return segment

    def records(self, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
        """Whole records between two offsets, each with the offset behind it; ends early at a torn one."""
        at = start
        while at + _frame.size <= stop:
            size, checksum = _frame.unpack_from(self.map, at)
            end = at + _frame.size + size
            if size == 0:
                return
            payload = self.map[at + _frame.size : end]
            if end > stop or zlib.crc32(payload) != checksum:
                health.note("spool_torn", "a record in %s is damaged; what follows it is left out", self.path)
                return
            at = (end + 7) & ~7
            yield at, payload

    @property
    def delivered(self) -> int:
        """Offset up to which the store has the records."""
        return int(_delivered.unpack_from(self.map, 8)[0])

    @delivered.setter
    def delivered(self, offset: int) -> None:
        _delivered.pack_into(self.map, 8, offset)

    def remove(self) -> None:
        """Delete the file, while the lock is still held."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            health.note("spool_kept", "%s is done with, but cannot be deleted: %s", self.path, error.strerror)
        self.close()

    def close(self) -> None:
        """Let go of the file, and so of its lock."""
        self.map.close()


class Spool:
    """What this process writes. One thread at a time may read; any thread may append.

    Args:
        folder: Where segments go, made by the first; None to keep records in memory.
        limit: Bytes that all segments in the folder may take, those of other processes included.
        wake: Called when there is something to take; tells whether somebody will.
    """

    def __init__(self, folder: Path | None, *, limit: int, wake: Callable[[], bool]) -> None:
        self.folder = folder
        self.limit = limit
        self.durable = folder is not None and fcntl is not None
        """Whether records go to a file; if not, they wait in memory."""
        self.lock = threading.RLock()
        self._wake = wake
        self._signalled = False
        self._owner = f"{os.getpid()}-{secrets.token_hex(6)}"
        self._numbers = itertools.count()
        self._segment_bytes = min(SEGMENT_BYTES, limit // 4 & ~4095)
        self._segments: list[Segment] = []
        self._map: mmap.mmap | None = None
        self._at = 0
        self._room = 0
        self._busy = False
        self._behind: collections.deque[bytes] = collections.deque()
        self._memory: collections.deque[bytes] = collections.deque()
        self._recalled = 0
        """How many records were taken from memory."""
        self._retry_at = 0.0
        self._open: dict[bytes, tuple[Segment | None, bytes]] = {}

    def append(self, payload: bytes) -> None:
        """Keep one record. Never raises and never waits for a disk but to open the next segment."""
        checksum = zlib.crc32(payload)
        size = len(payload)
        with self.lock:
            if self._busy:  # the garbage collector ended a call in the middle of an append of this very thread
                self._behind.append(payload)
                return
            self._busy = True
            try:
                end = self._at + 8 + size
                if end > self._room:
                    end = self._next_segment(size)
                if end:
                    view, at = self._map, self._at
                    view[at + 8 : end] = payload  # type: ignore[index]  # a segment is open
                    _frame.pack_into(view, at, size, checksum)  # type: ignore[arg-type]
                    self._at = self._segments[-1].end = (end + 7) & ~7
                else:
                    self._remember(payload)
            finally:
                self._busy = False
        if self._behind:
            self._catch_up()
        if not self._signalled:
            self._signalled = True
            self._signalled = self._wake()

    def _catch_up(self) -> None:
        try:
            self.append(self._behind.popleft())
        except IndexError:  # another thread was faster
            pass

    def _next_segment(self, size: int) -> int:
        """Open another segment; returns where a record of `size` would end in it, or 0 if there can be none."""
        self._room = 0
        if self.folder is None or fcntl is None or size + HEADER.size + 16 > self._segment_bytes:
            return 0
        if not self.durable and time.monotonic() < self._retry_at:
            return 0
        try:
            segment = self._created(self.folder)
        except (OSError, ValueError) as error:
            self._refused(error)
            return 0
        self.durable = True
        self._segments.append(segment)
        self._map = segment.map
        self._at = segment.end
        self._room = segment.size - 8
        return self._at + 8 + size

    def _created(self, folder: Path) -> Segment:
        used = waiting_bytes(folder)
        if used + self._segment_bytes > self.limit:
            raise OSError(errno.EDQUOT, f"{used} of spool_bytes={self.limit} are used", str(folder))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.is_symlink():
            raise OSError(errno.ELOOP, "the spool folder is a symbolic link", str(folder))
        return Segment.create(folder, f"{self._owner}-{next(self._numbers):08}", self._segment_bytes)

    def _refused(self, error: Exception) -> None:
        health.note(
            "spool_refused",
            "the spool %s cannot be written (%s): events wait in memory, at most %d; free the disk, set PAYI_SPOOL_DIR to a "
            "folder that can be written, or raise spool_bytes",
            self.folder, error, MEMORY_RECORDS,
        )  # fmt: skip
        self.durable = False
        self._retry_at = time.monotonic() + RETRY_SECONDS

    def _remember(self, payload: bytes) -> None:
        if payload[:1] in (BEGUN, AGAIN):  # memory dies with the process: there, what began tells nobody anything
            return
        if len(self._memory) >= MEMORY_RECORDS:
            health.note("dropped", "the memory queue of %d events is full; newer events are dropped", MEMORY_RECORDS)
            return
        self._memory.append(payload)

    def take(self, most: int) -> list[bytes]:
        """The next ended records, at most `most`. Until `commit` they are found again after a crash."""
        self._signalled = False
        taken: list[bytes] = []
        for segment in list(self._segments):
            end = segment.end
            for offset, payload in segment.records(segment.read, end):
                self._sort(segment, payload, taken)
                segment.read = offset
                if len(taken) >= most:
                    return taken
            segment.read = end  # behind a damaged record too
        while self._memory and len(taken) < most:
            self._sort(None, self._memory.popleft(), taken)
            self._recalled += 1
        return taken

    def _sort(self, segment: Segment | None, payload: bytes, taken: list[bytes]) -> None:
        """Ended records are handed out, begun ones kept until their end is seen."""
        kind, call = payload[:1], payload[1:17]
        if kind == BEGUN or (kind == AGAIN and call in self._open):
            self._open[call] = (segment, payload)
            return
        if kind == AGAIN:  # written behind the end of its call, whose segment may be gone before this one
            self.append(VOID + call)
        self._open.pop(call, None)
        if kind in (ENDED, TO_PRICE):
            taken.append(payload)

    def commit(self) -> None:
        """The sinks have what was taken: segments that are full and read are removed."""
        with self.lock:
            for segment in self._segments:
                segment.delivered = segment.read
            done = [s for s in self._segments[:-1] if s.read >= s.end]
        if not done:
            return
        for call, (began_in, payload) in list(self._open.items()):
            if began_in in done:
                self.append(AGAIN + call + payload[17:])  # a call that is still running must outlive its segment
        with self.lock:
            for segment in done:
                self._segments.remove(segment)
                segment.remove()
            self._retry_at = 0.0

    @property
    def waiting(self) -> bool:
        """Whether records were written that nobody took yet."""
        return bool(self._memory) or any(s.read < s.end for s in self._segments)

    def mark(self) -> Callable[[], bool]:
        """Remember what was written so far; the answer tells whether all of it was taken."""
        last = self._segments[-1] if self._segments else None
        end = 0 if last is None else last.end
        remembered = self._recalled + len(self._memory)
        return lambda: self._recalled >= remembered and (last is None or last.read >= end)

    def close(self) -> None:
        """Let go of the files; those not delivered stay for the next start.

        While calls are in flight the files are kept, and with them their locks: let go, they would be taken for a dead
        process's, and the calls for lost.
        """
        with self.lock:
            self._signalled = False
            for segment in self._segments:
                for _, payload in segment.records(segment.read, segment.end):
                    self._sort(segment, payload, [])
            if any(began_in is not None for began_in, _ in self._open.values()):
                return
            segments, self._segments = self._segments, []
            self._map, self._room = None, 0
            for segment in segments:
                if segment.delivered < segment.end:
                    segment.close()
                else:
                    segment.remove()

    def abandon(self) -> None:
        """In a forked child: let go of the parent's files without touching what they hold or their locks."""
        for segment in self._segments:
            segment.close()  # the lock stays with the parent's descriptor
        self._segments, self._map, self._room = [], None, 0


def waiting_bytes(folder: Path | None) -> int:
    """Bytes of all spool files in a folder; 0 if it cannot be looked at."""
    total = 0
    try:
        for entry in os.scandir(folder) if folder is not None else ():
            if entry.name.endswith(".spool"):
                try:
                    total += entry.stat(follow_symlinks=False).st_size
                except FileNotFoundError:  # another process is done with it
                    continue
    except OSError:
        return 0
    return total


def adopt(folder: Path | None) -> Iterator[list[Segment]]:
    """Segments whose owner is gone, an owner's in their order, each locked by us now, so that no other process takes it too."""
    if folder is None or fcntl is None or not os.path.isdir(folder):
        return
    for _, paths in itertools.groupby(sorted(folder.glob("*.spool")), lambda path: path.name.rpartition("-")[0]):
        segments = _adopted(paths)
        if segments:
            yield segments


def _adopted(paths: Iterable[Path]) -> list[Segment]:
    """All of an owner's segments or, as long as one is locked, none: a dying process lets go of them one by one."""
    segments: list[Segment] = []
    try:
        for path in paths:
            segment = _taken_over(path)
            if segment is not None:
                segments.append(segment)
    except BlockingIOError:
        for segment in segments:
            segment.close()
        return []
    return segments


def _taken_over(path: Path) -> Segment | None:
    """A segment that is locked and mapped, or None if it is gone or is no segment.

    Raises:
        BlockingIOError: Its owner lives.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
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
