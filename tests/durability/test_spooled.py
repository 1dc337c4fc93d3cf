"""What files of a spool hold of a text."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from payi_middleware import spooled
from payi_middleware.segment import DAMAGED
from payi_middleware.spooled import holding


def test_files_of_the_store_and_damaged_ones(tmp_path: Path) -> None:
    """Another store's files, and files that are no segments, are none of our business; without a folder there are none."""
    for name in ("1-a-0.spool", "1-a-1.spool", "1-a-2.other.spool", f"1-a-3.spool{DAMAGED}", "carrier.key"):
        (tmp_path / name).write_bytes(b"nobody" if name.startswith("1-a-1") else b"..jane..")

    assert [path.name for path in holding(tmp_path, "", "jane")] == ["1-a-0.spool", f"1-a-3.spool{DAMAGED}"]
    assert [path.name for path in holding(tmp_path, "other", "jane")] == ["1-a-2.other.spool", f"1-a-3.spool{DAMAGED}"]
    assert holding(tmp_path / "none", "", "jane") == holding(None, "", "jane") == []


def test_a_file_that_is_done_with_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that removes its file while we look has delivered it."""
    (tmp_path / "1-a-0.spool").write_bytes(b"jane")
    found = spooled.own_files(tmp_path, "")
    os.unlink(found[0])
    monkeypatch.setattr(spooled, "own_files", lambda folder, label: found)
    assert holding(tmp_path, "", "jane") == []
