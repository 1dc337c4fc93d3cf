"""The spool by itself: its files, and what it does where they cannot be."""

from __future__ import annotations

import errno
import gc
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from garbage import collect

from payi_middleware import health, leftovers, spool
from payi_middleware.leftovers import adopt, own_files, sweep
from payi_middleware.segment import AGAIN, BEGUN, ENDED, HEADER, TO_PRICE, VOID, Segment
from payi_middleware.spool import Spool, waiting_bytes

LIMIT = 1 << 30


@pytest.fixture(autouse=True)
def _fresh_health() -> Iterator[None]:
    health.reset()
    yield
    health.reset()


def made(folder: Path | None, *, limit: int = LIMIT, label: str = "") -> Spool:
    return Spool(folder, limit=limit, wake=lambda: True, label=label)


def begun(call: int, size: int = 0) -> bytes:
    return BEGUN + call.to_bytes(16, "big") + bytes(size)


def ended(call: int, size: int = 0) -> bytes:
    return ENDED + call.to_bytes(16, "big") + bytes(size)


def left(folder: Path, label: str = "") -> list[bytes]:
    """All records that dead owners left, now deleted."""
    records: list[bytes] = []
    for segments in adopt(folder, label):
        for segment in segments:
            records += [payload for _, payload in segment.records(HEADER.size, segment.size)]
            segment.remove()
    return records


class TestFiles:
    def test_files_are_for_their_owner_only(self, tmp_path: Path) -> None:
        """The folder is made with mode 0700, its files with 0600, whatever the umask."""
        before = os.umask(0)
        try:
            made(tmp_path / "s").append(begun(1))
        finally:
            os.umask(before)

        (file,) = (tmp_path / "s").iterdir()
        assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700
        assert file.stat().st_mode & 0o777 == 0o600

    def test_records_come_back_in_order(self, tmp_path: Path) -> None:
        """Ended records are taken in the order in which they were written, over any number of segments."""
        writer = made(tmp_path, limit=4 << 20)
        for call in range(5000):
            writer.append(begun(call, 100))
            writer.append(ended(call, 200))

        taken: list[bytes] = []
        while batch := writer.take(700):
            assert len(batch) <= 700
            taken += batch
            writer.commit()

        assert taken == [ended(call, 200) for call in range(5000)]
        assert len(list(tmp_path.iterdir())) == 1
        assert not writer.waiting

    def test_a_call_outlives_the_segments_in_which_it_began(self, tmp_path: Path) -> None:
        """A call still running when its segment is removed is written again, and found after a crash."""
        writer = made(tmp_path, limit=1 << 20)
        writer.append(begun(7, 10))
        for call in range(100, 5000):
            writer.append(ended(call, 500))
            if call % 100 == 0:
                writer.take(1000)
                writer.commit()
        assert len(list(tmp_path.iterdir())) <= 2
        del writer

        kinds = {payload[:1] for payload in left(tmp_path) if payload[1:17] == begun(7)[1:17]}
        assert kinds == {AGAIN}

    def test_a_call_that_ended_meanwhile_is_not_begun_again(self, tmp_path: Path) -> None:
        """The copy of a begun record that was written behind the end of its call means nothing."""
        writer = made(tmp_path, limit=1 << 20)
        writer.append(begun(7))
        writer.append(ended(1, 200_000))
        writer.append(ended(2, 200_000))  # the second segment
        assert len(writer.take(1)) == 1
        assert len(writer.take(1)) == 1
        writer.append(ended(7))
        writer.commit()  # writes the copy, behind the end
        assert writer.take(9) == [ended(7)]
        writer.commit()
        assert writer.take(9) == []
        writer.commit()
        writer.close()

        assert list(tmp_path.iterdir()) == []

    def test_a_copy_behind_an_end_that_is_gone_is_taken_back(self, tmp_path: Path) -> None:
        """A call that was over before its copy was written is not in flight for who adopts the copy without the end."""
        writer = made(tmp_path, limit=1 << 20)
        writer.append(begun(7))
        writer.append(ended(1, 200_000))
        writer.append(ended(2, 200_000))  # the second segment
        writer.take(2)
        writer.append(VOID + begun(7)[1:])
        writer.append(ended(3, 61_990))  # to its last byte
        writer.commit()  # so that the copy goes to the third
        assert len(writer.take(9)) == 1
        writer.commit()  # the second, with the end, is gone
        assert len(list(tmp_path.iterdir())) == 1
        del writer

        flying: set[bytes] = set()
        for payload in left(tmp_path):
            (flying.add if payload[:1] in (BEGUN, AGAIN) else flying.discard)(payload[1:17])
        assert flying == set()

    def test_void_and_unpriced_records(self, tmp_path: Path) -> None:
        """What an inner face took over is no call in flight; what is still to be priced is taken like any other."""
        writer = made(tmp_path)
        writer.append(begun(1))
        writer.append(VOID + begun(1)[1:])
        writer.append(begun(2))
        writer.append(TO_PRICE + begun(2)[1:])

        assert writer.take(9) == [TO_PRICE + begun(2)[1:]]
        writer.commit()
        writer.close()
        assert list(tmp_path.iterdir()) == []

    def test_what_was_not_delivered_stays_when_the_spool_closes(self, tmp_path: Path) -> None:
        """Taken but not committed is not delivered."""
        writer = made(tmp_path)
        writer.append(ended(1))
        assert writer.take(9) == [ended(1)]
        writer.close()

        assert left(tmp_path) == [ended(1)]

    def test_files_are_kept_while_a_call_is_in_flight(self, tmp_path: Path) -> None:
        """A spool that is closed under a running call keeps the file and its lock, so that nobody takes the call for lost."""
        writer = made(tmp_path)
        writer.append(begun(1))
        writer.close()
        assert left(tmp_path) == []

        writer.append(ended(1))

        assert writer.take(9) == [ended(1)]
        writer.commit()
        writer.close()
        assert list(tmp_path.iterdir()) == []

    def test_a_closed_spool_goes_on(self, tmp_path: Path) -> None:
        """A record after `close` opens another segment and wakes the drainer again."""
        woken: list[int] = []
        writer = Spool(tmp_path, limit=LIMIT, wake=lambda: not woken.append(1))
        writer.append(ended(1))
        writer.take(9)
        writer.commit()
        writer.close()

        writer.append(ended(2))

        assert len(woken) == 2
        assert writer.take(9) == [ended(2)]

    def test_who_cannot_be_woken_is_called_again(self, tmp_path: Path) -> None:
        """As long as no thread could be started, each record tries again."""
        woken: list[int] = []
        writer = Spool(tmp_path, limit=LIMIT, wake=lambda: bool(woken.append(1)))
        writer.append(ended(1))
        writer.append(ended(2))

        assert len(woken) == 2

    def test_a_drainer_that_begins_at_once_is_woken_again(self, tmp_path: Path) -> None:
        """A drainer that looks, and sleeps again, before `append` learns that it woke is woken by the next record."""
        woken: list[int] = []

        def wake() -> bool:
            writer.listen()
            return not woken.append(1)

        writer = Spool(tmp_path, limit=LIMIT, wake=wake)
        writer.append(ended(1))
        writer.append(ended(2))

        assert len(woken) == 2

    def test_an_interrupted_wake_is_no_wake(self, tmp_path: Path) -> None:
        """If a signal's handler raises while the drainer is woken, the next record wakes it."""
        writer = made(tmp_path)

        def interrupted() -> bool:
            raise KeyboardInterrupt

        writer._wake = interrupted
        with pytest.raises(KeyboardInterrupt):
            writer.append(ended(1))
        woken: list[int] = []
        writer._wake = lambda: not woken.append(1)
        writer.append(ended(2))

        assert woken == [1]
        assert writer.take(9) == [ended(1), ended(2)]

    def test_segments_grow(self, tmp_path: Path) -> None:
        """A process begins with a small file and doubles, so that many processes that do little fit into a folder's bound."""
        writer = made(tmp_path)
        for call in range(20):
            writer.append(ended(call, 400_000))

        sizes = [segment.size for segment in writer._segments]
        assert sizes == [512 << 10, 1 << 20, 2 << 20, 4 << 20, 4 << 20]
        assert writer.take(99) == [ended(call, 400_000) for call in range(20)]

    def test_a_record_larger_than_the_next_file_gets_a_large_one(self, tmp_path: Path) -> None:
        """The small first file is no bound on a record."""
        writer = made(tmp_path)
        writer.append(ended(1, 3_000_000))

        assert writer.durable
        assert [segment.size for segment in writer._segments] == [spool.SEGMENT_BYTES]

    def test_many_processes_fit_into_a_folder(self, tmp_path: Path) -> None:
        """The bound of a folder is shared by 2,000 processes at its default of 1 GB; here a hundredth of both."""
        writers = [made(tmp_path, limit=LIMIT // 100) for _ in range(20)]
        for writer in writers:
            writer.append(ended(1))

        assert all(writer.durable for writer in writers)

    def test_many_threads_append_while_one_takes(self, tmp_path: Path) -> None:
        """Records are written without a lock, and segments come and go meanwhile: each is taken once, whole."""
        writer, each, threads = made(tmp_path, limit=64 << 20), 4_000, 8
        barrier = threading.Barrier(threads + 1)

        def work(number: int) -> None:
            barrier.wait()
            for call in range(number * each, (number + 1) * each):
                writer.append(ended(call, call % 700))

        workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
        before = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        try:
            for worker in workers:
                worker.start()
            barrier.wait()
            taken: list[bytes] = []
            while any(worker.is_alive() for worker in workers) or writer.waiting:
                taken += writer.take(500)
                writer.commit()
        finally:
            sys.setswitchinterval(before)

        assert sorted(taken) == sorted(ended(call, call % 700) for call in range(threads * each))
        assert writer.durable
        assert "spool_torn" not in health.counters()

    def test_a_record_that_no_segment_can_hold_waits_in_memory(self, tmp_path: Path) -> None:
        """A record larger than a segment is delivered like any other, but only memory has it until then."""
        writer = made(tmp_path)
        writer.append(ended(1, spool.SEGMENT_BYTES))
        writer.append(ended(2))

        assert sorted(len(payload) for payload in writer.take(9)) == [17, 17 + spool.SEGMENT_BYTES]

    def test_a_file_that_cannot_be_deleted_is_let_go(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A segment that the file system will not delete is counted and holds nothing up."""
        writer = made(tmp_path)
        writer.append(ended(1))
        writer.take(9)
        writer.commit()

        def refuse(*_: object, **__: object) -> None:
            raise OSError(errno.EROFS, "Read-only file system")

        monkeypatch.setattr(Path, "unlink", refuse)
        writer.close()

        assert health.counters() == {"spool_kept": 1}
        assert left(tmp_path) == [ended(1)]

    def test_files_of_other_stores_are_left_alone(self, tmp_path: Path) -> None:
        """In a folder that stores share, only files of the own label are found."""
        made(tmp_path, label="aa").append(ended(1))
        made(tmp_path, label="bb").append(ended(2))
        made(tmp_path).append(ended(3))

        assert len(own_files(tmp_path, "aa")) == 1
        assert left(tmp_path, "cc") == []
        assert left(tmp_path, "aa") == [ended(1)]
        assert left(tmp_path) == [ended(3)]
        assert left(tmp_path, "bb") == [ended(2)]
        assert list(tmp_path.iterdir()) == []


class TestReentrance:
    def test_a_call_that_the_collector_ends_inside_an_append(self, tmp_path: Path) -> None:
        """The garbage collector may end a call in the middle of an append of the same thread: both records are kept."""
        writer = made(tmp_path)

        class Abandoned:
            def __init__(self, number: int) -> None:
                self.number = number
                self.myself = self  # only the collector finds it

            def __del__(self) -> None:
                writer.append(ended(self.number))

        thresholds = gc.get_threshold()
        gc.set_threshold(1)
        done = threading.Event()

        def work() -> None:
            for number in range(300):
                Abandoned(2 * number)
                writer.append(ended(2 * number + 1, 40))
            done.set()

        try:
            threading.Thread(target=work, daemon=True).start()
            assert done.wait(30), "the thread waits for a lock that it holds itself"
        finally:
            gc.set_threshold(*thresholds)
        collect()

        assert sorted(int.from_bytes(payload[1:17], "big") for payload in writer.take(10_000)) == list(range(600))

    def test_a_record_written_inside_another_is_kept(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """An append inside an append of the same thread neither waits for itself nor overwrites the outer one."""
        writer = made(tmp_path)
        create = Segment.create.__func__  # type: ignore[attr-defined]

        def interrupted(cls: type[Segment], *arguments: object) -> Segment:
            writer.append(ended(2))
            segment: Segment = create(cls, *arguments)
            return segment

        monkeypatch.setattr(Segment, "create", classmethod(interrupted))
        writer.append(ended(1, 50))

        assert writer.take(9) == [ended(1, 50), ended(2)]

    def test_others_fill_the_next_file_first(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who opens a file may find it full when it comes to write, as others write without a lock: it opens another."""
        writer = made(tmp_path, limit=64 << 10)
        open_next = Spool._next_segment
        others: list[bytes] = []

        def opened(self: Spool, size: int) -> bool:
            there = open_next(self, size)
            segment = self._segments[-1]
            while len(self._segments) == 1 and segment.size - segment.end > 2000:
                others.append(ended(len(others), 1000))
                writer.append(others[-1])
            return there

        monkeypatch.setattr(Spool, "_next_segment", opened)
        writer.append(ended(99, 3000))

        assert len(own_files(tmp_path, "")) == 2
        assert writer.take(99) == [*others, ended(99, 3000)]

    def test_what_is_remembered_while_a_file_is_sealed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """For a moment a file that is sealed ends nowhere; a drain that remembered that moment would never be over."""
        writer = made(tmp_path, limit=64 << 10)
        records = Segment.records
        marks: list[Callable[[], bool]] = []
        drains: list[threading.Thread] = []

        def looked(self: Segment, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
            if not drains:
                drains.append(threading.Thread(target=lambda: marks.append(writer.mark())))
                drains[0].start()
                drains[0].join(0.2)
            return records(self, start, stop)

        monkeypatch.setattr(Segment, "records", looked)
        while not drains:
            writer.append(ended(1, 1000))
        drains[0].join()
        while writer.take(99):
            pass

        assert [is_over() for is_over in marks] == [True]

    def test_a_deferred_record_is_written_once(self, tmp_path: Path) -> None:
        """Where two threads find the same deferred record, one of them writes it."""
        writer = made(tmp_path)
        writer._catch_up()
        writer.append(ended(1))

        assert writer.take(9) == [ended(1)]


class TestRefusals:
    """Where the disk refuses, events wait in memory, one warning tells why, and the application goes on."""

    @pytest.mark.parametrize("kind", ["file", "link", "below a file", "null"])
    def test_a_folder_that_cannot_be(self, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
        """A file or a link in the folder's place, a file above it, a name that is none."""
        folder = tmp_path / "s"
        if kind == "file":
            folder.write_text("mine")
        elif kind == "link":
            (tmp_path / "elsewhere").mkdir()
            folder.symlink_to(tmp_path / "elsewhere")
        elif kind == "below a file":
            folder.write_text("mine")
            folder = folder / "deep"
        else:
            folder = tmp_path / "a\0b"
        writer = made(folder)
        for call in range(3):
            writer.append(begun(call))
            writer.append(ended(call))

        assert not writer.durable
        assert writer.waiting
        assert writer.take(9) == [ended(call) for call in range(3)]
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert "PAYI_SPOOL_DIR" in caplog.text
        assert not (tmp_path / "elsewhere").exists() or list((tmp_path / "elsewhere").iterdir()) == []

    def test_a_full_disk_is_tried_again_after_a_while(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A full disk is not asked for each record, and is used again once it has room; nothing is left of the tries."""
        tries: list[int] = []

        def full(fd: int, offset: int, size: int) -> None:
            tries.append(size)
            raise OSError(errno.ENOSPC, "No space left on device")

        writer = made(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(os, "posix_fallocate", full)
            for call in range(100):
                writer.append(ended(call))
            assert len(tries) == 1
            assert list(tmp_path.iterdir()) == []
            monkeypatch.setattr(writer, "_retry_at", 0.0)
            writer.append(ended(100))
            assert len(tries) == 2
        monkeypatch.setattr(writer, "_retry_at", 0.0)
        writer.append(ended(101))

        assert writer.durable
        assert sorted(writer.take(1000)) == [ended(call) for call in range(102)]
        assert len(caplog.records) == 1

    def test_a_file_system_without_allocation(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where a file system, or the system, cannot reserve bytes, they are written."""

        def unsupported(fd: int, offset: int, size: int) -> None:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")

        monkeypatch.setattr(os, "posix_fallocate", unsupported)
        writer = made(tmp_path)
        writer.append(ended(1))
        (file,) = tmp_path.iterdir()
        assert file.stat().st_blocks * 512 >= spool.FIRST_BYTES

        monkeypatch.delattr(os, "posix_fallocate")
        other = made(tmp_path)
        other.append(ended(2))
        assert other.durable

    def test_room_for_a_small_file_is_used(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the next file, twice as large, does not fit, a small one is tried after a while."""
        writer = made(tmp_path)
        for call in range(3):
            writer.append(ended(call, 400_000))

        allocate = os.posix_fallocate

        def scarce(fd: int, offset: int, size: int) -> None:
            if size > spool.FIRST_BYTES:
                raise OSError(errno.ENOSPC, "No space left on device")
            allocate(fd, offset, size)

        monkeypatch.setattr(os, "posix_fallocate", scarce)
        writer.append(ended(3, 400_000))
        assert not writer.durable
        writer._retry_at = 0.0
        writer.append(ended(4))

        assert writer.durable

    def test_a_refusal_is_told_when_the_lock_is_free(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A slow log handler of the application's holds up the one call that met the refusal, not those of other threads."""
        (tmp_path / "s").write_text("mine")
        writer = made(tmp_path / "s")
        held: list[bool] = []

        def look() -> None:
            is_free = writer.lock.acquire(timeout=5)
            held.append(not is_free)
            if is_free:
                writer.lock.release()

        def note(*_: object) -> None:
            thread = threading.Thread(target=look)
            thread.start()
            thread.join()

        monkeypatch.setattr(health, "note", note)
        monkeypatch.setattr(spool, "MEMORY_RECORDS", 1)
        writer.append(ended(1))
        writer.append(ended(2))

        assert held == [False, False]

    def test_memory_is_bounded_and_drops_are_counted(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Without a folder at most so many ended records wait; newer ones are counted as dropped, with one warning."""
        monkeypatch.setattr(spool, "MEMORY_RECORDS", 10)
        writer = made(None)
        for call in range(15):
            writer.append(begun(call))
            writer.append(ended(call))

        assert len(writer.take(100)) == 10
        assert health.counters() == {"dropped": 5}
        assert len(caplog.records) == 1

    def test_without_locks_everything_waits_in_memory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """On a system without flock nothing is written, and nothing is adopted."""
        monkeypatch.setattr(spool, "fcntl", None)
        monkeypatch.setattr(leftovers, "fcntl", None)
        writer = made(tmp_path)
        writer.append(ended(1))

        assert not writer.durable
        assert writer.take(9) == [ended(1)]
        assert list(adopt(tmp_path)) == []
        assert list(tmp_path.iterdir()) == []

    def test_the_bound_holds_and_is_lifted_by_delivery(self, tmp_path: Path) -> None:
        """Files never take more than `spool_bytes`; beyond it records wait in memory; what is delivered makes room at once."""
        writer = made(tmp_path, limit=1 << 20)
        for call in range(3000):
            writer.append(ended(call, 500))
        assert waiting_bytes(tmp_path) <= 1 << 20
        assert not writer.durable

        taken = []
        while batch := writer.take(500):
            taken += batch
            writer.commit()
        writer.append(ended(3000))

        assert sorted(taken) == sorted(ended(call, 500) for call in range(3000))
        assert writer.durable

    def test_a_mark_tells_when_what_was_written_is_taken(self) -> None:
        """A mark is reached by taking what waited when it was set, however much came since."""
        writer = made(None)
        assert writer.mark()()
        writer.append(ended(1))
        is_over = writer.mark()
        writer.append(ended(2))
        assert not is_over()
        writer.take(1)

        assert is_over()

    def test_an_unreadable_folder_has_no_bytes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Measuring a folder never fails: it is missing, forbidden, or its files go away meanwhile."""
        assert waiting_bytes(None) == 0
        assert waiting_bytes(tmp_path / "missing") == 0
        (tmp_path / "gone.spool").symlink_to(tmp_path / "nothing")
        (tmp_path / "one.spool").write_bytes(b"1234")
        (tmp_path / "other").write_bytes(b"1234")
        assert waiting_bytes(tmp_path) >= 4

        class Gone:
            name = "x.spool"

            def stat(self, *, follow_symlinks: bool) -> os.stat_result:
                raise FileNotFoundError

        monkeypatch.setattr(os, "scandir", lambda folder: [Gone()])
        assert waiting_bytes(tmp_path) == 0


class TestAdoption:
    def test_what_others_put_there_is_left_alone(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Foreign files, folders, pipes and links named like segments are neither read nor deleted."""
        (tmp_path / "elsewhere").write_bytes(bytes(100))
        (tmp_path / "a-1.spool").write_bytes(b"somebody else's file, longer than a header")
        (tmp_path / "b-1.spool").write_bytes(b"")
        (tmp_path / "c-1.spool").mkdir()
        (tmp_path / "d-1.spool").symlink_to(tmp_path / "elsewhere")
        os.mkfifo(tmp_path / "e-1.spool")
        (tmp_path / "f-1.spool").write_bytes(b"payispl2" + bytes(100))
        before = sorted(path.name for path in tmp_path.iterdir())

        assert left(tmp_path) == []
        assert sorted(path.name for path in tmp_path.iterdir()) == before
        assert health.counters()["spool_foreign"] >= 3
        assert len(caplog.records) == 1

    def test_an_owner_is_taken_in_whole_or_not_at_all(self, tmp_path: Path) -> None:
        """A dying process lets go of its segments one by one; as long as one is locked, all are left alone."""
        writer = made(tmp_path, limit=1 << 20)
        for call in range(1000):
            writer.append(ended(call, 600))
        first, *rest = writer._segments
        assert rest
        first.close()
        assert list(adopt(tmp_path)) == []

        for segment in rest:
            segment.close()

        (segments,) = adopt(tmp_path)
        assert [segment.path for segment in segments] == sorted(tmp_path.iterdir())
        for segment in segments:
            segment.remove()

    def test_an_owner_that_lives_on_while_others_are_taken_in(self, tmp_path: Path) -> None:
        """What an owner writes, and where it dies, after the folder was looked at, is seen: its calls are whole or left for later."""
        first, second = made(tmp_path, limit=1 << 20), made(tmp_path, limit=1 << 20)
        first._owner, second._owner = "1-a", "2-b"
        first.append(ended(1))
        second.append(begun(7))
        del first
        taking = adopt(tmp_path)
        for segment in next(taking):
            segment.remove()
        for call in range(100, 1000):
            second.append(ended(call, 300))
        second.append(ended(7))
        assert len(second._segments) > 1
        del second

        (segments,) = taking
        assert [segment.path for segment in segments] == sorted(tmp_path.iterdir())

    def test_an_owner_that_opens_another_file_before_it_dies(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """If one more file of a dead owner shows itself once its others are locked, all are left for the next time."""
        writer = made(tmp_path)
        writer._owner = "1-a"
        writer.append(begun(7))
        del writer
        take = leftovers._taken_over

        def late(path: Path) -> Segment | None:
            if len(list(tmp_path.iterdir())) == 1:
                Segment.create(tmp_path, "1-a-00000001", 1 << 16).close()
            return take(path)

        monkeypatch.setattr(leftovers, "_taken_over", late)
        assert list(adopt(tmp_path)) == []

        assert len(next(adopt(tmp_path))) == 2

    def test_a_file_that_goes_away_meanwhile(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A segment that is deleted or replaced between being seen and being locked is nobody's."""
        writer = made(tmp_path)
        writer.append(ended(1))
        del writer
        (file,) = tmp_path.iterdir()
        opened = os.open

        def replaced(path: Path, flags: int, *rest: int) -> int:
            fd = opened(path, flags, *rest)
            os.unlink(path)
            if replace:
                Path(path).write_bytes(b"new")
            return fd

        monkeypatch.setattr(os, "open", replaced)
        for replace in (True, False):
            if not file.exists():
                file.write_bytes(b"x")
            assert list(adopt(tmp_path)) == []

    def test_drafts_of_killed_processes_are_swept_after_a_while(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A segment that never got its name is deleted once nobody can be making it any more."""
        draft = tmp_path / "1-ab-00000000.spool.new"
        draft.write_bytes(bytes(100))
        (tmp_path / "carrier.ab.new").write_bytes(b"key")
        sweep(tmp_path)
        assert draft.exists()
        os.utime(draft, (0, 0))

        sweep(tmp_path)

        assert [path.name for path in tmp_path.iterdir()] == ["carrier.ab.new"]
        monkeypatch.setattr(Path, "glob", lambda *_: [draft])
        sweep(tmp_path)

    def test_nothing_to_adopt(self, tmp_path: Path) -> None:
        """No folder, one that is not there, or a file in its place has nothing."""
        (tmp_path / "file").write_text("mine")
        assert list(adopt(None)) == []
        assert list(adopt(tmp_path / "missing")) == []
        assert list(adopt(tmp_path / "file")) == []

    def test_a_link_in_the_folders_place_is_not_followed(self, tmp_path: Path) -> None:
        """What is taken in is deleted, so it is never looked for behind a link."""
        made(tmp_path / "elsewhere").append(ended(1))
        (tmp_path / "s").symlink_to(tmp_path / "elsewhere")

        with pytest.raises(OSError, match="symbolic link"):
            list(adopt(tmp_path / "s"))
        assert left(tmp_path / "elsewhere") == [ended(1)]
