"""One file of the spool, and what can still be read of a damaged one."""

from __future__ import annotations

import mmap
import os
import zlib
from pathlib import Path

import pytest

from payi_middleware import health
from payi_middleware.leftovers import adopt
from payi_middleware.segment import ENDED, FRAME, HEADER, Segment
from payi_middleware.spool import Spool

FRAMED = 40  # bytes that a record of `ended` takes


def ended(call: int) -> bytes:
    return ENDED + call.to_bytes(16, "big") + bytes(10)


def killed(folder: Path, calls: int = 5) -> Path:
    """The file of a process that wrote so many records and is gone."""
    spool = Spool(folder, limit=1 << 20, wake=lambda: True)
    for call in range(calls):
        spool.append(ended(call))
    (path,) = folder.iterdir()
    return path


def adopted(folder: Path) -> Segment:
    ((segment,),) = adopt(folder)
    return segment


def calls(segment: Segment) -> list[int]:
    return [int.from_bytes(payload[1:17], "big") for _, payload in segment.records(HEADER.size, segment.size)]


def harmed(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def at(record: int) -> int:
    return HEADER.size + record * FRAMED


@pytest.mark.parametrize(
    ("place", "data"),
    [
        pytest.param(at(1) + 20, b"\xff", id="payload"),
        pytest.param(at(1) + 4, b"\xff", id="checksum"),
        pytest.param(at(1), b"\xff\xff\xff\x7f", id="size far too large"),
        pytest.param(at(1), b"\x50\x00\x00\x00", id="size too large"),
        pytest.param(at(1), b"\x01\x00\x00\x00", id="size too small"),
        pytest.param(at(1), bytes(FRAMED), id="hole"),
        pytest.param(at(1), bytes(range(1, FRAMED + 1)), id="garbage"),
    ],
)
def test_a_damaged_record_costs_only_itself(tmp_path: Path, place: int, data: bytes) -> None:
    """Whatever became of one record, those before and behind it are read, and the damage is counted once."""
    harmed(killed(tmp_path), place, data)

    assert calls(adopted(tmp_path)) == [0, 2, 3, 4]
    assert health.counters() == {"spool_torn": 1}


def test_a_lost_page_costs_what_stood_on_it(tmp_path: Path) -> None:
    """A power cut may leave 4096 zeros in the middle: the records of that page are lost, and no others."""
    path = killed(tmp_path, calls=1000)
    harmed(path, 8192, bytes(4096))

    found = calls(adopted(tmp_path))

    lost = set(range(1000)) - set(found)
    assert lost == set(range((8192 - HEADER.size) // FRAMED, (8192 + 4096 - HEADER.size) // FRAMED + 1))
    assert found == sorted(found)


def test_a_file_cut_short_ends_at_its_end(tmp_path: Path) -> None:
    """A segment that lost its tail still gives the records before it."""
    os.truncate(killed(tmp_path), at(1) + 12)

    assert calls(adopted(tmp_path)) == [0]


def test_a_record_that_was_being_written_is_no_damage(tmp_path: Path) -> None:
    """A process killed between a payload and its frame leaves bytes behind the last record: nothing is wrong with the file."""
    path = killed(tmp_path)
    harmed(path, at(5) + FRAME.size, ended(5))
    segment = adopted(tmp_path)

    assert calls(segment) == [0, 1, 2, 3, 4]
    assert health.counters() == {}
    segment.remove()
    assert not path.exists()


def test_a_damaged_file_is_put_aside(tmp_path: Path) -> None:
    """What could not be read in whole is not deleted but renamed, so that it is not taken in again and may be looked at."""
    path = killed(tmp_path)
    harmed(path, at(1) + 20, b"\xff")
    before = path.read_bytes()
    segment = adopted(tmp_path)
    calls(segment)

    segment.remove()

    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [(f"{path.name}.damaged", before)]
    assert list(adopt(tmp_path)) == []


def test_a_place_beyond_the_file_is_none(tmp_path: Path) -> None:
    """If the place up to which records were delivered lies behind the file's end, it counts as the begin: better twice than never."""
    harmed(killed(tmp_path), 8, b"\xff" * 8)

    assert adopted(tmp_path).delivered == HEADER.size


def test_damage_in_our_own_segment_does_not_hold_up_the_rest(tmp_path: Path) -> None:
    """A living process takes what stands behind a damaged record, and goes on."""
    spool = Spool(tmp_path, limit=1 << 20, wake=lambda: True)
    for call in range(3):
        spool.append(ended(call))
    spool._segments[0].map[at(1) + 20] ^= 0xFF
    assert spool.take(9) == [ended(0), ended(2)]
    assert not spool.waiting

    spool.append(ended(3))

    assert spool.take(9) == [ended(3)]


class _Late(mmap.mmap):
    """A map to which another thread writes as soon as it has told its end."""

    late: tuple[bytes, ...] = ()

    def tell(self) -> int:
        end = super().tell()
        for framed in self.late:
            self.write(framed)
        return end


def test_what_is_written_while_a_segment_is_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever still had its `write` got in, and what came too late is told so."""
    monkeypatch.setattr("payi_middleware.segment.mmap.mmap", _Late)
    segment = Segment.create(tmp_path, "1-a", 4096)
    monkeypatch.undo()
    assert isinstance(segment.map, _Late)
    payload = ended(1)
    framed = FRAME.pack(len(payload), zlib.crc32(payload)) + payload + bytes(-len(payload) % 8)
    segment.map.write(framed)
    segment.map.late = (framed, framed)

    segment.seal()
    segment.seal()

    assert segment.end == at(3)
    assert calls(segment) == [1, 1, 1]
    assert not segment.damaged
    with pytest.raises(ValueError, match="out of range"):
        segment.map.write(framed)
    segment.remove()
