"""The append-only files in which events wait for their sinks, and which a killed process leaves behind whole.

A record is copied into a preallocated, mapped file (`segment.py`): no system call, so no thread loses the interpreter's lock, and
the pages belong to the kernel, so they outlive the process. Names of segments begin with their owner, which has one such file
after the other; the first are small, so that many processes that do little fit into a folder's bound.
"""

from __future__ import annotations

import collections
import errno
import itertools
import os
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

from . import health
from .ownership import make_folder
from .segment import AGAIN, ANSWERED, BEGUN, ENDED, FRAME, HEADER, TO_PRICE, VOID, Segment, fcntl

__all__ = ["AGAIN", "ANSWERED", "BEGUN", "ENDED", "TO_PRICE", "VOID", "Spool", "waiting_bytes"]

FIRST_BYTES = 512 << 10
"""Of a process's first segment; each is twice as large as the one before."""
SEGMENT_BYTES = 4 << 20
"""At most."""
MEMORY_RECORDS = 20_000
RETRY_SECONDS = 10.0
"""Between two tries to open a segment, after the disk refused one: trying is slow, and the application waits for it."""

_pack_frame = FRAME.pack
_join = b"".join
_PADDING = tuple(bytes(-size & 7) for size in range(8))
"""What follows a record, so that the next one begins at a multiple of eight, by the length's last three bits."""


class Spool:
    """What this process writes. One thread at a time may read; any thread may append.

    Args:
        folder: Where segments go, made by the first; None to keep records in memory.
        limit: Bytes that all segments in the folder may take, those of other processes included.
        wake: Called when there is something to take; tells whether somebody will.
        label: What the files' names carry in a folder that other stores may share.
    """

    def __init__(self, folder: Path | None, *, limit: int, wake: Callable[[], bool], label: str = "") -> None:
        self.folder = folder
        self.limit = limit
        self.durable = folder is not None and fcntl is not None
        """Whether records go to a file; if not, they wait in memory."""
        self.lock = threading.RLock()
        self._wake = wake
        self._signalled = False
        self._owner = f"{os.getpid()}-{secrets.token_hex(6)}"
        self.label = label
        self._numbers = itertools.count()
        self._largest = min(SEGMENT_BYTES, limit // 4 & ~4095)
        self._next_bytes = min(FIRST_BYTES, self._largest)
        self._segments: list[Segment] = []
        self._write: Callable[[bytes], object] = _nowhere
        """Appends to the last segment, or raises `ValueError`."""
        self._busy = False
        self._behind: collections.deque[bytes | Callable[[], None]] = collections.deque()
        """What waits until the lock is free: records, and notes, since a handler of the application's may be slow or call us."""
        self._memory: collections.deque[bytes] = collections.deque()
        self._recalled = 0
        """How many records were taken from memory."""
        self._retry_at = 0.0
        self._open: dict[bytes, tuple[Segment | None, bytes]] = {}

    def append(self, payload: bytes) -> None:
        """Keep one record. Never raises and never waits for a disk but to open the next segment."""
        size = len(payload)
        framed = _join((_pack_frame(size, crc32(payload)), payload, _PADDING[size & 7]))
        try:
            # A mapped file writes in one step of the interpreter's, at the end of what it has: no other thread comes between, and
            # no lock is needed, which would take twice as long as all of this.
            self._write(framed)
        except ValueError:  # it does not fit, or there is no file
            self._append_to_next(payload, framed)
        if not self._signalled:
            self._signal()

    def _append_to_next(self, payload: bytes, framed: bytes) -> None:
        """Keep a record for which the file has no room: in the next one, else in memory."""
        with self.lock:
            if self._busy:  # the garbage collector ended a call in the middle of this, in this very thread
                self._behind.append(payload)
                return
            self._busy = True
            try:
                while not self._is_written(framed):  # others may have been here before, and may fill the next one too
                    if not self._next_segment(len(framed)):
                        self._remember(payload)
                        break
            finally:
                self._busy = False
        if self._behind:
            self._catch_up()

    def _is_written(self, framed: bytes) -> bool:
        try:
            self._write(framed)
        except ValueError:
            return False
        return True

    def _signal(self) -> None:
        woken = False
        self._signalled = True  # before the drainer wakes, or it would be told last what it has begun to do
        try:
            woken = self._wake()
        finally:
            if not woken:
                self._signalled = False

    def listen(self) -> None:
        """From now on a record wakes the drainer: it begins to look, or there is none any more."""
        self._signalled = False

    def _catch_up(self) -> None:
        while self._behind:
            try:
                first = self._behind.popleft()
            except IndexError:  # another thread was faster
                return
            if isinstance(first, bytes):
                self.append(first)
            else:
                first()

    def _next_segment(self, size: int) -> bool:
        """Open another segment, with room for `size` bytes; False if there can be none."""
        needed = size + HEADER.size
        if self.folder is None or fcntl is None or needed > self._largest:
            return False
        self._seal()
        if not self.durable and time.monotonic() < self._retry_at:
            return False
        try:
            segment = self._created(self.folder, self._next_bytes if needed <= self._next_bytes else self._largest)
        except (OSError, ValueError) as error:
            self._refused(error)
            return False
        self.durable = True
        self._next_bytes = min(2 * segment.size, self._largest)
        self._segments.append(segment)
        self._write = segment.map.write
        return True

    def _seal(self) -> None:
        """Nothing more is written to the last segment."""
        self._write = _nowhere
        if self._segments:
            self._segments[-1].seal()

    def _created(self, folder: Path, size: int) -> Segment:
        used = waiting_bytes(folder)
        if used + size > self.limit:
            raise OSError(errno.EDQUOT, f"{used} of spool_bytes={self.limit} are used", str(folder))
        make_folder(folder)
        if folder.is_symlink():
            raise OSError(errno.ELOOP, "the spool folder is a symbolic link", str(folder))
        number = f"{self._owner}-{next(self._numbers):08}"
        return Segment.create(folder, f"{number}.{self.label}" if self.label else number, size)

    def _refused(self, error: Exception) -> None:
        self._behind.append(
            lambda: health.note(
                "spool_refused",
                "the spool %s cannot be written (%s): events wait in memory, at most %d; free the disk, set PAYI_SPOOL_DIR to a "
                "folder that can be written, or raise spool_bytes",
                self.folder, error, MEMORY_RECORDS,
            )
        )  # fmt: skip
        self.durable = False
        self._next_bytes = min(FIRST_BYTES, self._largest)  # there may be room for a small one
        self._retry_at = time.monotonic() + RETRY_SECONDS

    def _remember(self, payload: bytes) -> None:
        if payload[:1] in (BEGUN, AGAIN):  # memory dies with the process: there, what began tells nobody anything
            return
        if len(self._memory) < MEMORY_RECORDS:
            self._memory.append(payload)
        else:
            self._behind.append(_note_dropped)

    def take(self, most: int) -> list[bytes]:
        """The next ended records, at most `most`. Until `commit` they are found again after a crash."""
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
        if kind in (ENDED, TO_PRICE, ANSWERED):
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
            self._retry_at = 0.0
        for segment in done:
            segment.remove()

    @property
    def waiting(self) -> bool:
        """Whether records were written that nobody took yet."""
        return bool(self._memory) or any(s.read < s.end for s in self._segments)

    def mark(self) -> Callable[[], bool]:
        """Remember what was written so far; the answer tells whether all of it was taken."""
        with self.lock:  # while a file is sealed, it ends nowhere
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
            self._seal()
            for segment in self._segments:
                for _, payload in segment.records(segment.read, segment.end):
                    self._sort(segment, payload, [])
            if any(began_in is not None for began_in, _ in self._open.values()):
                return
            segments, self._segments = self._segments, []
            for segment in segments:
                if segment.delivered < segment.end:
                    segment.close()
                else:
                    segment.remove()

    def abandon(self) -> None:
        """In a forked child: let go of the parent's files without touching what they hold or their locks."""
        for segment in self._segments:
            segment.close()  # the lock stays with the parent's descriptor
        self._segments, self._write = [], _nowhere


def _nowhere(framed: bytes) -> None:
    """Where no segment is open."""
    raise ValueError


def _note_dropped() -> None:
    health.note("dropped", "the memory queue of %d events is full; newer events are dropped", MEMORY_RECORDS)


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
