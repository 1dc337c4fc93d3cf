"""A store that cannot be used says so, and names the cure."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from forking import in_child
from made import call

from payi_middleware import forks
from payi_middleware.exceptions import StoreError
from payi_middleware.settings import Settings
from payi_middleware.store import open_store, sqlite

NOBODY = 65534


def url(path: Path) -> str:
    return f"sqlite:///{path}"


def filled(path: Path, n: int = 3) -> Path:
    """A store with some calls."""
    with open_store(url(path), create=True) as store:
        store.write([call() for _ in range(n)])
    return path


def as_nobody(action: Callable[[], str]) -> str:
    """What `action` returns to a user without rights: as root in a child process, else here."""
    if os.getuid() != 0:
        return action()

    def without_rights() -> str:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        return action()

    return in_child(without_rights)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter; pytest's own are private."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def told(action: Callable[[], object]) -> str:
    """The message of the StoreError that `action` raises."""
    try:
        action()
    except StoreError as error:
        return str(error)
    return "nothing was raised"


def test_files_are_private(tmp_path: Path) -> None:
    """The folder is made with 0700, the database and its companions with 0600, whatever the umask."""
    path = tmp_path / "new" / "deeper" / "payi.db"
    before = os.umask(0)
    try:
        with open_store(url(path), create=True) as store:
            store.write([call()])
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(before)

    assert modes == {"payi.db": 0o600, "payi.db-wal": 0o600, "payi.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_reading_never_creates_a_store(tmp_path: Path) -> None:
    """Without a store a reader gets an error that names the path and what to do, and no file appears."""
    with pytest.raises(StoreError, match=r"no store at .*payi\.db; run the application.*--store"):
        open_store(url(tmp_path / "payi.db"), create=False)

    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_being_made_is_none_yet(tmp_path: Path) -> None:
    """An empty file is no store for a reader, and becomes one for a writer."""
    path = tmp_path / "payi.db"
    path.touch()

    with pytest.raises(StoreError, match="no store at"):
        open_store(url(path), create=False)
    assert filled(path).stat().st_size > 0


def test_symbolic_links_are_not_followed(tmp_path: Path) -> None:
    """A link where the database should be is refused, for writing and reading; its target is untouched."""
    path, link = filled(tmp_path / "real.db"), tmp_path / "payi.db"
    link.symlink_to(path)
    dangling = tmp_path / "dangling.db"
    dangling.symlink_to(tmp_path / "elsewhere.db")

    for create in (True, False):
        with pytest.raises(StoreError, match=r"symbolic link.*real\.db"):
            open_store(url(link), create=create)
    with pytest.raises(StoreError, match="symbolic link"):
        open_store(url(dangling), create=True)
    assert not (tmp_path / "elsewhere.db").exists()


def test_a_locked_store(tmp_path: Path) -> None:
    """Another program that holds the lock makes a write fail after the timeout; the next one succeeds."""
    path = filled(tmp_path / "payi.db")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    events = [call(), call()]
    with open_store(url(path), create=True, timeout=0.05) as store:
        with pytest.raises(StoreError, match=r"payi\.db is locked.*end that program or wait"):
            store.write(events)
        other.execute("ROLLBACK")
        other.close()

        assert store.write(events) == 2


def test_a_store_that_is_locked_while_it_is_made(tmp_path: Path) -> None:
    """A new store that another program has locked is waited for, and the wait ends."""
    path = tmp_path / "payi.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")

    with pytest.raises(StoreError, match="is locked"):
        open_store(url(path), create=True, timeout=0.05)
    other.execute("ROLLBACK")
    other.close()


def test_waiting_for_a_lock_lets_others_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock is waited for in Python, where greenlets and forks get their turn: who holds the lock can let go meanwhile."""
    other = sqlite3.connect(tmp_path / "payi.db", isolation_level=None)
    other.execute("PRAGMA journal_mode = WAL")
    held: list[str] = []

    def let_go(seconds: float) -> None:
        held.append("waited")
        if other.in_transaction:
            other.execute("ROLLBACK")

    monkeypatch.setattr(forks, "rest", let_go)
    other.execute("BEGIN EXCLUSIVE")
    with open_store(url(tmp_path / "payi.db"), create=True, timeout=60) as store:  # makes the tables
        assert len(held) == 1
        other.execute("BEGIN IMMEDIATE")
        assert store.write([call()]) == 1
        assert len(held) == 2
    other.close()


def test_a_full_disk(tmp_path: Path) -> None:
    """A batch that does not fit is refused whole, with the cure; when there is space again it is stored."""
    with open_store(url(tmp_path / "payi.db"), create=True) as store:
        store.write([call()])
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        events = [call(provider_response_id="x" * 500) for _ in range(200)]

        with pytest.raises(StoreError, match="disk is full; free some space"):
            store.write(events)
        assert store.count() == 1
        store._connection.execute("PRAGMA max_page_count = 1000000")
        assert store.write(events) == 200


def test_a_store_that_may_not_be_written(open_folder: Path) -> None:
    """A writer without the right to write gets the cure; a reader without it still reads."""
    path = filled(open_folder / "payi.db")
    path.chmod(0o444)
    open_folder.chmod(0o555)

    def read() -> str:
        with open_store(url(path), create=False) as store:
            return f"{store.report(('user',)).total.calls} {store.count()}"

    assert "right to write" in as_nobody(lambda: told(lambda: open_store(url(path), create=True).write([call()])))
    assert as_nobody(read) == "3 3"


def test_a_folder_that_may_not_be_written(open_folder: Path) -> None:
    """Where no file can be made, the error names the folder's rights."""
    open_folder.chmod(0o555)

    assert "right to write there" in as_nobody(
        lambda: told(lambda: open_store(url(open_folder / "payi.db"), create=True))
    )


def test_a_store_that_may_not_be_read(open_folder: Path) -> None:
    """A store without the right to read is told as such."""
    path = filled(open_folder / "payi.db")
    path.chmod(0)

    assert "cannot be opened" in as_nobody(lambda: told(lambda: open_store(url(path), create=False)))


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """Garbage in place of the store is told with the cure, and left as it is."""
    path = tmp_path / "payi.db"
    path.write_bytes(b"these are not the bytes of a database" * 300)
    before = path.read_bytes()

    for create in (True, False):
        with pytest.raises(StoreError, match=r"no SQLite database; name another file, or move .*-wal and .*-shm away"):
            open_store(url(path), create=create)
    assert path.read_bytes() == before


def test_a_corrupt_store(tmp_path: Path) -> None:
    """A damaged page is told with the cure when it is met."""
    path = filled(tmp_path / "payi.db", 3000)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))

    with (
        pytest.raises(StoreError, match=r"is corrupt; move .*payi\.db, .*-wal and .*-shm away.*recover"),
        open_store(url(path), create=True) as store,
    ):
        store.write([call()])


def test_a_database_of_another_program(tmp_path: Path) -> None:
    """A database that is not ours is left alone."""
    path = tmp_path / "app.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE users (name TEXT)")
    other.commit()
    other.close()

    for create in (True, False):
        with pytest.raises(StoreError, match=r"app\.db is a database of another program"):
            open_store(url(path), create=create)


def test_a_schema_that_becomes_newer_takes_no_more(tmp_path: Path) -> None:
    """Another process may upgrade it while this one has it open: what is new waits in the spool, and reports say why."""
    path = tmp_path / "payi.db"
    with open_store(f"sqlite:///{path}", create=True) as store:
        store.write([call()])
        with sqlite3.connect(path) as other:
            other.execute("PRAGMA user_version = 99")
        other.close()
        with pytest.raises(StoreError, match=r"newer version.*schema 99.*upgrade"):
            store.write([call()])
        assert store.count() == 1


def test_a_newer_schema_is_left_alone(tmp_path: Path) -> None:
    """Older code on a newer schema writes nothing and says what to do; its events wait in the spool."""
    path = filled(tmp_path / "payi.db")
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 99")
    newer.close()

    for create in (True, False):
        with pytest.raises(StoreError, match=r"newer version.*schema 99.*upgrade"):
            open_store(url(path), create=create)


def test_an_older_schema_is_brought_up_to_date_by_a_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of the version before is read by nobody until a writer has added what is new; its events stay."""
    path = filled(tmp_path / "payi.db")
    monkeypatch.setattr(sqlite, "MIGRATIONS", (*sqlite.MIGRATIONS, ("CREATE TABLE later (id INTEGER)",)))
    monkeypatch.setattr(sqlite, "VERSION", sqlite.VERSION + 1)

    with pytest.raises(StoreError, match="older schema"):
        open_store(url(path), create=False)
    with open_store(url(path), create=True) as store:
        assert store.count() == 3
        assert store._connection.execute("SELECT count(*) FROM later").fetchone() == (0,)


def test_a_failing_upgrade_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a step of an upgrade fails, none of it stays."""
    path = filled(tmp_path / "payi.db")
    with monkeypatch.context() as patched:
        patched.setattr(sqlite, "MIGRATIONS", (*sqlite.MIGRATIONS, ("CREATE TABLE later (id INTEGER)", "NONSENSE")))
        patched.setattr(sqlite, "VERSION", sqlite.VERSION + 1)
        with pytest.raises(StoreError, match="syntax error"):
            open_store(url(path), create=True)

    with open_store(url(path), create=False) as store:
        assert store.count() == 3


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    """A folder of the store's name is no store, neither for a writer nor for a reader."""
    for create in (True, False):
        with pytest.raises(StoreError, match="not a regular file"):
            open_store(url(tmp_path), create=create)


def test_an_unknown_kind_of_store() -> None:
    """A URL of no kind we know is refused with an example."""
    with pytest.raises(StoreError, match=r"sqlite:///payi\.db"):
        open_store("mysql://localhost/payi", create=True)


def test_a_store_in_memory_belongs_to_its_opener() -> None:
    """A store in memory needs no file, and settings may name it."""
    with open_store(Settings(store="sqlite:///:memory:"), create=True) as store:
        store.write([call()])

        assert store.count() == 1
        assert store.path is None
        assert store.is_current()
    with pytest.raises(StoreError, match="store in memory"):
        store.count()
