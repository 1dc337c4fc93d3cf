"""A store on PostgreSQL: what only this database can do, and what can happen to it."""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from children import run
from made import START_NS, call
from postgres import ASKED, database, server

from payi_middleware.exceptions import StoreError
from payi_middleware.limits.ledger import Account, Settle
from payi_middleware.limits.limit import Definition, Limit
from payi_middleware.limits.postgresql import PostgresqlLedger
from payi_middleware.settings import Settings
from payi_middleware.store import Store, open_store
from payi_middleware.store.compact import backup, vacuum
from payi_middleware.store.deliveries import Place
from payi_middleware.store.histogram import letter, packed
from payi_middleware.store.on_postgresql import OnPostgreSQL
from payi_middleware.store.pack import COLUMNS, Packer
from payi_middleware.store.postgresql import LOCK, connect, message_of
from payi_middleware.store.schema import MIGRATIONS, VERSION
from payi_middleware.store.store import exists, schema_version

PLACE = Place("https://a.test", "default")


@pytest.fixture
def url() -> str:
    return database()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url, create=True) as opened:
        yield opened


def raw(store: Store) -> psycopg.Connection[Any]:
    assert isinstance(store.database, OnPostgreSQL)
    return store.database.connection.raw


def cut_off(name: str) -> None:
    """End every connection to a database, as its restart does."""
    server().execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")


def name_of(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


def cut_off_within(store: Store, name: str) -> None:
    """The same in the middle of a transaction."""
    with store.batch() as batch:
        cut_off(name)
        batch.add([call(user_id="paul")])


def users(store: Store) -> dict[str | None, int]:
    return {row.key[0]: row.sums.calls for row in store.report(("user",)).rows}


def test_histograms_are_spelt_as_elsewhere(store: Store) -> None:
    """The database's own function gives what ours gives, for every letter and count."""
    chance = random.Random(1)
    joined = [b"", b"A", bytes(range(0x40, 0x100)), b"A2B3A", b"\xff9\xff\x80", b"A1000000000000A"]
    joined += [b"".join(letter(int(chance.lognormvariate(20, 2))) for _ in range(500)) for _ in range(3)]
    for one in joined:
        assert raw(store).execute("SELECT hist_packed(%s)", (one,)).fetchone() == (packed(one),)


def test_several_make_a_store_at_once() -> None:
    """Each finds it made, once."""
    empty = database(empty=True)
    assert not exists(Settings(store=empty))
    with ThreadPoolExecutor(4) as pool:
        for opened in list(pool.map(lambda n: open_store(empty, create=True), range(4))):
            opened.close()
    assert exists(Settings(store=empty))
    assert schema_version(Settings(store=empty)) == VERSION


def test_an_older_schema_is_brought_up_to_date() -> None:
    """By who writes; who only reads says how."""
    older = database(empty=True)
    with open_store(older, create=True) as store:
        store.write([call()])
        raw(store).execute("DROP TABLE windows")
        raw(store).execute("DROP TABLE filled")
        raw(store).execute("DROP FUNCTION hist_less")
        raw(store).execute("ALTER TABLE folded RENAME COLUMN event TO id")
        raw(store).execute("ALTER TABLE corrections RENAME COLUMN told TO rest")
        raw(store).execute("UPDATE payi_schema SET version = %s", (VERSION - 1,))
    assert len(MIGRATIONS) == 5, "this test takes back the last step"
    assert schema_version(Settings(store=older)) == VERSION - 1
    with pytest.raises(StoreError, match=r"has an older schema .* payi store upgrade"):
        open_store(older, create=False)
    with open_store(older, create=True) as store:
        assert store.count() == 1


def test_a_newer_schema_is_left_alone(store: Store, url: str) -> None:
    raw(store).execute("UPDATE payi_schema SET version = %s", (VERSION + 1,))
    with pytest.raises(StoreError, match=r"newer version of payi-middleware .* upgrade this one"):
        store.write([call()])
    for create in (True, False):
        with pytest.raises(StoreError, match=r"newer version of payi-middleware .* upgrade this one"):
            open_store(url, create=create)


def told(url: str, **given: Any) -> str:
    with pytest.raises(StoreError) as caught:
        open_store(url, **{"create": True, **given}).write([call()])
    return str(caught.value)


def test_what_is_wrong_is_said_with_its_cure(url: str) -> None:
    """And without a password, which no message ever has."""
    where = server().url
    server().execute(f"CREATE ROLE {ASKED} LOGIN PASSWORD 'right'")
    server().execute("CREATE ROLE bare LOGIN")
    other = database(empty=True)
    server().execute("CREATE SCHEMA payi; CREATE TABLE payi.theirs (a int)", name_of(other))
    server().execute("CREATE DATABASE odd ENCODING 'SQL_ASCII' TEMPLATE template0")
    empty = database(empty=True)

    for broken, message in {
        "postgresql://127.0.0.1:1/payi": "cannot be reached; check that the server runs",
        "postgresql://jane:wr%zz@127.0.0.1/payi": "has a URL that cannot be read",
        where(name_of(url), ASKED).replace("@", ":wr0ng@"): "refuses this user; check the user and the password",
        where(name_of(url), "nobody_such"): "refuses this user",
        where("nowhere"): "is not there; make it: CREATE DATABASE",
        where(name_of(empty), "bare"): "does not give this user the right; as its owner: CREATE SCHEMA payi",
        where(name_of(url), "bare"): "does not give this user the right",
        other: "has a schema payi of another program; name another database",
        where("odd"): "has the encoding SQL_ASCII",
    }.items():
        said = told(broken)
        assert message in said
        assert "wr" not in said.replace("write", "")
    assert "there is no store at" in told(empty, create=False)
    with pytest.raises(StoreError, match="there is no store at"):
        schema_version(Settings(store=empty))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (psycopg.errors.DiskFull, "cannot grow, the disk is full; free some space on the server"),
        (psycopg.errors.TooManyConnections, "has too many connections"),
        (psycopg.errors.ReadOnlySqlTransaction, "is read-only, a standby for example"),
        (psycopg.errors.AdminShutdown, "is being stopped or started; it is tried again"),
        (psycopg.errors.DataCorrupted, "reports that it is damaged"),
        (psycopg.errors.QueryCanceled, "ended the question, which took longer than its statement_timeout"),
        (psycopg.errors.UndefinedTable, "lacks a table"),
        (psycopg.errors.SyntaxError, "cannot be used"),
        (psycopg.InterfaceError, "cannot be used"),
    ],
)
def test_what_the_server_says_has_a_cure(error: type[psycopg.Error], message: str) -> None:
    """By its SQLSTATE, or by the class of that."""
    said = message_of(error("it said\n so"), "postgresql://jane:pw@db/payi")
    assert said.startswith(f"store postgresql://jane@db/payi {message}")
    assert said.endswith("(it said so)")


def test_one_writes_at_a_time(store: Store, url: str) -> None:
    """Who waits too long for another says so; readers wait for nobody; the one who waited has a number after the other's."""
    with open_store(url, create=True, timeout=0.05) as impatient, open_store(url, create=True) as patient:
        with store.batch() as batch:
            batch.add([call(user_id="first")])
            with pytest.raises(StoreError, match="is locked by another program"):
                impatient.write([call(user_id="third")])
            assert impatient.count() == 0
            waiting = threading.Thread(target=patient.write, args=([call(user_id="second")],))
            waiting.start()
        waiting.join()
        impatient.write([call(user_id="third")])
    assert [event.user_id for _, event in next(store.walk())] == ["first", "second", "third"]


def test_numbers_have_no_gaps(store: Store) -> None:
    """A transaction that is taken back takes its numbers with it, so a count need not count, and no mark passes an event."""
    store.write([call() for _ in range(7)])
    with pytest.raises(OverflowError), store.batch() as batch:
        [batch.add(some) for some in ([call() for _ in range(20)], [call(ticks=1 << 60)])]
    store.write([call() for _ in range(3)])

    assert [number for batch in store.walk() for number, _ in batch] == list(range(1, 11))
    assert (store.count(), store.last()) == (10, 10)


def test_what_is_marked_is_never_passed_by(url: str) -> None:
    """While several write, a reader that goes on after its mark misses nothing, and rollups count each event once."""
    stores = [open_store(url, create=True, fold_every=20, timeout=30) for _ in range(3)]
    reader, seen = open_store(url, create=True), list[bytes]()
    shares = [[call(user_id=f"user-{n}") for _ in range(60)] for n in range(3)]

    def write(n: int) -> None:
        for at in range(0, 60, 4):
            stores[n].write(shares[n][at : at + 4])

    threads = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    while len(seen) < 180:
        batch = reader.undelivered(PLACE, 1 << 62, 50)
        if batch is None:
            assert any(thread.is_alive() for thread in threads) or reader.last() > len(seen)
            continue
        seen += [event.event_id for event in batch.events]
        reader.delivered(PLACE, batch, [])
    for thread in threads:
        thread.join()
    assert sorted(seen) == sorted(event.event_id for share in shares for event in share)
    assert users(reader) == {f"user-{n}": 60 for n in range(3)}
    for opened in (*stores, reader):
        opened.close()


def test_a_lost_connection_is_made_anew(store: Store, url: str) -> None:
    """At the next transaction; what was under way is taken back and said."""
    store.write([call(user_id="jane")])
    cut_off(name_of(url))
    assert store.write([call(user_id="jane")]) == 1
    cut_off(name_of(url))
    assert store.count() == 2
    assert raw(store).info.transaction_status == psycopg.pq.TransactionStatus.IDLE

    with pytest.raises(StoreError, match="is being stopped or started"):
        cut_off_within(store, name_of(url))
    store.write([call(user_id="paul", request_tags=("red",))])
    assert users(store) == {"jane": 2, "paul": 1}


def test_a_server_that_is_stopped_and_started(store: Store) -> None:
    """Meanwhile it is said; what was committed is there, once, when it is offered again."""
    events = [call() for _ in range(10)]
    store.write(events[:5])
    server().stop()
    try:
        with pytest.raises(StoreError, match="cannot be reached"):
            store.write(events)
        with pytest.raises(StoreError, match="cannot be reached"):
            store.count()
    finally:
        server().start()
    assert store.write(events) == 5
    assert list(store.events()) == events


def test_a_store_that_was_put_in_its_place(store: Store, url: str) -> None:
    """After a backup was restored under an open store, numbers of the old one are not taken for its."""
    store.write([call(user_id=f"old-{n}") for n in range(3)])
    raw(store).execute("DROP SCHEMA payi CASCADE")
    with open_store(url, create=True) as other:
        other.write([call(user_id="new")])
    store.write([call(user_id="old-0")])
    assert users(store) == {"new": 1, "old-0": 1}


def test_whether_others_wrote(store: Store, url: str) -> None:
    """Who remembers what is in the store is told when to look again."""
    with open_store(url, create=True) as other:
        versions = []
        for writer in (store, store, other, store, store):
            with writer.batch():
                if writer is store:
                    versions.append(store.database.data_version())
    assert [a == b for a, b in itertools.pairwise(versions)] == [True, False, True]


def test_one_of_several_processes(store: Store, url: str) -> None:
    """Something that one does: the other may when the first has ended, or lost its connection."""
    with open_store(url, create=True) as other:
        with store.only_one("delivery") as mine, other.only_one("delivery") as theirs, other.only_one("else") as elses:
            assert (mine, theirs, elses) == (True, False, True)
        with other.only_one("delivery") as theirs, store.only_one("delivery") as mine:
            assert (theirs, mine) == (True, False)
            raw(other).close()
            until = time.monotonic() + 5  # for the server to notice
            while not mine and time.monotonic() < until:
                with store.only_one("delivery") as mine:
                    time.sleep(0.01)
            assert mine


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child(store: Store, url: str) -> None:
    """It opens its own connection, and its end does nothing to the parent's."""
    events = [call(user_id=name) for name in ("parent", "child", "parent")]
    store.write(events[:1])
    child = os.fork()
    if not child:
        code = 1
        try:
            assert not store.is_current()
            store.close()
            with open_store(url, create=True) as own:
                own.write(events[1:2])
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    store.write(events[2:])
    assert users(store) == {"parent": 2, "child": 1}


def test_a_long_answer_comes_in_parts(store: Store) -> None:
    """Events are read as they are asked for, while others write, over a connection that ends with them."""
    events = [call(started_ns=START_NS + n) for n in range(2100)]
    store.write(events)
    reading = store.events()
    first = [next(reading) for _ in range(3)]
    store.write([call(started_ns=START_NS + 2100)])
    assert first + list(reading) == events
    ended = store.events()
    next(ended)
    ended.close()  # type: ignore[attr-defined]


def test_what_it_cannot_keep(store: Store) -> None:
    """A NUL is replaced; an event with a text that is none is left out, and holds up no other."""
    assert store.write([call(user_id="a\0b"), call(user_id="\ud800"), call(user_id="c")]) == 2
    assert users(store) == {"a\ufffdb": 1, "c": 1}
    assert store.write([call(user_id="a\0b")]) == 1
    assert users(store) == {"a\ufffdb": 2, "c": 1}


def test_space_is_given_back(store: Store) -> None:
    """Each table is written anew, without what was removed; it is no file, so it is copied by PostgreSQL's own program."""
    store.write([call(user_id=f"user-{n}") for n in range(3000)])
    with store.transaction() as connection:
        connection.execute("DELETE FROM events WHERE id > 10")
    found = vacuum(store, 5)
    assert found.after < found.before - 300_000
    assert store.database.damage() == []


@pytest.mark.parametrize("limited", [True, False])
def test_a_backup_is_restored(store: Store, url: str, tmp_path: Path, limited: bool) -> None:
    """With PostgreSQL's own programs, as docs/postgresql.md tells, while applications write; what limits counted comes along."""
    with pytest.raises(StoreError, match="pg_dump --schema=payi --schema=payi_ledger --format=custom"):
        backup(store, tmp_path / "payi.dump")
    assert not (tmp_path / "payi.dump").exists()

    store.write([call(user_id=f"user-{n % 7}") for n in range(50)])
    if limited:
        ledger = PostgresqlLedger(url)
        ledger.define(Definition(limit_id="all", application="shop", limit=Limit("all", 5)))
        ledger.run([Settle(bytes(16), "shop", (Account("all", ""),), 3, 3, 3, time.time_ns())])
        ledger.close()
    schemas = ("--schema=payi", "--schema=payi_ledger")
    server().program("pg_dump", *schemas, "--format=custom", f"--file={tmp_path / 'payi.dump'}", url)
    restored = database()  # where something is already
    server().program("psql", restored, "-c", "DROP SCHEMA IF EXISTS payi, payi_ledger CASCADE")
    server().program("pg_restore", "--single-transaction", f"--dbname={restored}", str(tmp_path / "payi.dump"))
    if limited:
        ledger = PostgresqlLedger(restored)
        assert [one.limit_id for one in ledger.definitions("shop").limits] == ["all"]
        assert [totals.spent for totals in ledger.totals("shop", "all")] == [6]
        ledger.close()
    with open_store(restored, create=True) as found:
        assert list(found.events()) == list(store.events())
        found.write([call(user_id="user-0")])
        assert users(found)["user-0"] == users(store)["user-0"] + 1


def test_a_connection_for_others(url: str) -> None:
    """For what keeps its own tables beside ours: numbers are `int`, errors are ours, waiting has an end."""
    with connect(url, timeout=0.01) as one, connect(url, read_only=True) as other:
        assert one.execute("SELECT sum(x) FROM generate_series(1, 3) AS x").fetchone() == (6,)
        one.execute(f"SELECT pg_advisory_lock({LOCK})")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            other.execute("CREATE TABLE mine (a int)")


def test_without_the_driver() -> None:
    """It is said which extra has it; who is on SQLite never needs it, nor SQLAlchemy."""
    done = run(
        """
        import sys
        sys.modules["psycopg"] = sys.modules["sqlalchemy"] = None
        from payi_middleware.store import open_store
        open_store("sqlite:///:memory:", create=True).close()
        try:
            open_store("postgresql://jane:s3cret@db/payi", create=True)
        except Exception as error:
            print(type(error).__name__, error)
        """
    )
    assert done.stdout.startswith("StoreError a store on PostgreSQL takes psycopg 3")
    assert "pip install 'payi-middleware[postgresql]'" in done.stdout
    assert "s3cret" not in done.stdout + done.stderr


def test_a_row_that_the_database_refuses(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left out, and the others of its batch are stored."""
    row = Packer.row
    monkeypatch.setattr(
        Packer, "row", lambda self, event: odd(row(self, event)) if event.user_id == "odd" else row(self, event)
    )
    events = [call(user_id=name) for name in ("a", "odd", *"bcdefgh")]
    assert store.write(events) == 8
    assert users(store) == dict.fromkeys("abcdefgh", 1)


def odd(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row without a shape, which every row must have."""
    at = COLUMNS.split(", ").index("shape")
    return (*row[:at], 1 << 70, *row[at + 1 :])
