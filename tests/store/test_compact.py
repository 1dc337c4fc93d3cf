"""The file made small, and copied, while it is in use."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest
from keeping import EVENTS, made, problems, url
from made import call

from payi_middleware.exceptions import StoreError
from payi_middleware.store import Store, open_store
from payi_middleware.store.compact import backup, emptied_log, vacuum
from payi_middleware.store.forget import Person, forget


def free_pages(store: Store) -> int:
    """Of the file, which new events fill before it grows."""
    found: int = store._connection.execute("PRAGMA freelist_count").fetchone()[0]
    return found


def test_vacuum(tmp_path: Path) -> None:
    """Free pages and the log are given back, and all that uses the store goes on."""
    with made(tmp_path) as store, open_store(url(tmp_path), create=True) as other:
        for _ in forget(store, Person("user-3", events=True)):
            pass
        assert free_pages(store) > 0
        before = store.report(("user",)).to_dict()

        found = vacuum(store, 5)

        assert (tmp_path / "payi.db").stat().st_size == found.after < found.before
        assert (tmp_path / "payi.db-wal").stat().st_size == 0
        assert free_pages(store) == 0
        assert 0 < found.seconds < 60
        other.write([call(user_id="new")])
        assert store.count() == other.count()
        assert store.report(("user",)).total.calls == before["total"]["calls"] + 1
        assert problems(store) == []


def test_a_reader_keeps_the_log(tmp_path: Path) -> None:
    """As long as somebody reads an older state the log cannot be emptied, and that is said."""
    with made(tmp_path) as store, sqlite3.connect(tmp_path / "payi.db") as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchone()
        store.write([call()])
        assert emptied_log(store, 0.05) is False
        reader.rollback()
        assert emptied_log(store, 0.05) is True
    reader.close()


def test_backup(tmp_path: Path) -> None:
    """A copy of a store that others have open is a whole store, its owner's alone; what it was taken from goes on."""
    copied = tmp_path / "copy" / "payi.db"
    copied.parent.mkdir()
    with made(tmp_path) as writer, open_store(url(tmp_path), create=False) as store:
        assert backup(store, copied) == copied.stat().st_size
        writer.write([call()])
        expected = writer.report(("user",)).total.calls
    assert stat.S_IMODE(copied.stat().st_mode) == 0o600
    with open_store(url(copied.parent), create=True) as store:
        assert store.count() == len(EVENTS)
        assert problems(store) == []
        store.write([call()])
        assert store.report(("user",)).total.calls == expected


def test_a_backup_overwrites_nothing(tmp_path: Path) -> None:
    """A file that exists, a folder that does not, a link: nothing is touched, and the cure is told."""
    there = tmp_path / "there"
    there.write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with made(tmp_path, []) as store:
        for name in ("there", "link", "none/copy"):
            with pytest.raises(StoreError, match="name a file that does not exist yet"):
                backup(store, tmp_path / name)
        store._connection.execute("BEGIN")
        with pytest.raises(StoreError, match="VACUUM"):
            backup(store, tmp_path / "copy")
        store._connection.execute("ROLLBACK")
    assert there.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "payi.db", "there"]
