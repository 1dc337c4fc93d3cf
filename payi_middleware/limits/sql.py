"""A ledger in a database: its rows, records and limits as tables, whatever database that is.

One transaction is one `run`. What was read is remembered as long as nobody else can have changed it, which the database tells:
until then a hot limit's row is only written.
"""

from __future__ import annotations

import abc
import functools
import itertools
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from .book import Book
from .kept import EVERY, Follow, Kept, Sought
from .ledger import Alert, Answer, Past, Renew, Step, Unreadable
from .limit import Definition
from .readable import note_unreadable, read_definition
from .rows import OUTBOX_NS, SETTLED, Known, Place, Record, Row, Terms, Turn

__all__ = ["COLUMNS", "LATER", "TABLES", "TOGETHER", "SqlKept", "events_of"]

T = TypeVar("T")

_NS: Final = 10**9
_SWEEP_NS: Final = _NS  # between two looks for leases that ended, while no call is refused
_MOST_LAPSING: Final = 5_000  # that are taken back in one transaction
TOGETHER: Final = 256
"""Events that are moved from what is held to what is settled."""

TABLES: Final = (
    "CREATE TABLE ledger (id TEXT NOT NULL, clock_ns INTEGER NOT NULL, changes INTEGER NOT NULL)",
    "CREATE TABLE limits (number INTEGER PRIMARY KEY, application TEXT NOT NULL, limit_id TEXT NOT NULL, "
    "definition TEXT NOT NULL, changed INTEGER NOT NULL, gone_ns INTEGER, turns BLOB)",
    "CREATE INDEX limits_changed ON limits (changed)",
    "CREATE TABLE rows (number INTEGER NOT NULL, key TEXT NOT NULL, starts_ns INTEGER NOT NULL, ends_ns INTEGER NOT NULL, "
    "most INTEGER NOT NULL, spent INTEGER NOT NULL, held INTEGER NOT NULL, input_ticks INTEGER NOT NULL, "
    "output_ticks INTEGER NOT NULL, ok INTEGER NOT NULL, exceeded INTEGER NOT NULL, overrun INTEGER NOT NULL, "
    "blocked INTEGER NOT NULL, blocked_external INTEGER NOT NULL, failed INTEGER NOT NULL, told BLOB NOT NULL, "
    "turn INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (number, key, starts_ns)) WITHOUT ROWID",
    "CREATE TABLE holds (event_id BLOB PRIMARY KEY, state INTEGER NOT NULL, due_ns INTEGER NOT NULL, "
    "record BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE settled (event_id BLOB PRIMARY KEY, due_ns INTEGER NOT NULL, record BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE resets (id INTEGER PRIMARY KEY, number INTEGER NOT NULL, key TEXT NOT NULL, closed_ns INTEGER NOT NULL, "
    "past BLOB NOT NULL)",
    "CREATE INDEX resets_account ON resets (number, key, id)",
    "CREATE TABLE alerts (id INTEGER PRIMARY KEY AUTOINCREMENT, free_ns INTEGER NOT NULL, at_ns INTEGER NOT NULL, "
    "told INTEGER NOT NULL DEFAULT 0, alert BLOB NOT NULL)",
)
"""In SQLite's words."""
LATER: Final = (
    "ALTER TABLE limits ADD COLUMN turns BLOB",
    "ALTER TABLE rows ADD COLUMN turn INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX resets_account ON resets (number, key, id)",
    "DROP INDEX resets_number",
    "DROP INDEX rows_ends",  # of no use where the account is told
)
"""What the first ledgers lack, and what they have too much."""

_encode = msgspec.msgpack.Encoder().encode
_record = msgspec.msgpack.Decoder(Record).decode
_told = msgspec.msgpack.Decoder(tuple[float | str, ...]).decode
_past = msgspec.msgpack.Decoder(Past).decode
_alert = msgspec.msgpack.Decoder(Alert).decode
_turns = msgspec.msgpack.Decoder(tuple[Turn, ...]).decode
_definition_json = msgspec.json.Encoder().encode

_ROW: Final = (
    "number, key, starts_ns, ends_ns, most, spent, held, input_ticks, output_ticks, "
    "ok, exceeded, overrun, blocked, blocked_external, failed, told, turn"
)
COLUMNS: Final = tuple(_ROW.split(", "))
"""Of a row."""
_CHANGING: Final = COLUMNS[4:16]
"""What a step changes in a row that is behind no turn of its limit."""
_PUT_ROWS: Final = (
    f"INSERT INTO rows ({_ROW}) VALUES",
    f"({', '.join('?' * 17)})",
    "ON CONFLICT (number, key, starts_ns) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[3:]),
)
_CHANGE_ROW: Final = (
    "UPDATE rows SET " + ", ".join(f"{name} = ?" for name in _CHANGING) + " "  # noqa: S608 - names that are written above
    "WHERE number = ? AND key = ? AND starts_ns = ?"
)
_COUNTING: Final = "(ends_ns > ? OR starts_ns = ?)"
_PUT_HOLDS: Final = ("INSERT INTO holds (event_id, state, due_ns, record) VALUES", "(?, ?, ?, ?)", "")
_CHANGE_HOLDS: Final = (
    *_PUT_HOLDS[:2],
    "ON CONFLICT (event_id) DO UPDATE SET state = excluded.state, due_ns = excluded.due_ns, record = excluded.record",
)
_PUT_HOLD: Final = " ".join(_PUT_HOLDS)
_CHANGE_HOLD: Final = "UPDATE holds SET state = ?, due_ns = ?, record = ? WHERE event_id = ?"
_PUT_RESETS: Final = ("INSERT INTO resets (number, key, closed_ns, past) VALUES", "(?, ?, ?, ?)", "")
_PUT_SETTLED: Final = ("INSERT INTO settled (event_id, due_ns, record) VALUES", "(?, ?, ?)", "")
_RECORDS: Final = (
    "SELECT event_id, record, 1 FROM holds WHERE event_id IN ({ids}) "
    "UNION ALL SELECT event_id, record, 0 FROM settled WHERE event_id IN ({ids})"
)
_RECORDS_OF_ONE: Final = _RECORDS.format(ids="?")
_AT_ONCE: Final = (64, 8, 1)
"""Rows of a statement: each statement lets other threads run before it and after, so a few large ones are quicker than many."""


class SqlKept(Kept):
    """What all databases have in common."""

    waits = True
    _move: tuple[str, ...] = (
        "INSERT INTO settled (event_id, due_ns, record) SELECT event_id, due_ns, record FROM holds WHERE state >= 2",
        "DELETE FROM holds WHERE state >= 2",
    )
    """How what is settled comes from one table to the other, where nobody else writes meanwhile."""
    _taking = ""
    """Put to a question so that nobody else is answered the same meanwhile."""

    def __init__(self, lease_seconds: float) -> None:
        self.lease_seconds = lease_seconds
        self._lease_ns = int(lease_seconds * _NS)
        self._changes = 0
        """Of definitions, by all who use the database, as far as they were read."""
        self._every: dict[int, tuple[Known, int | None]] = {}
        self._unreadable: dict[str, dict[int, Unreadable]] = {}
        """By application and number."""
        self._terms: dict[str, Terms] = {}
        self._rows_read: dict[Place, Row] = {}
        self._records_read: dict[bytes, Record] = {}
        """Of calls that are, or lately were, held."""
        self._looked_up: dict[bytes, Record | None] = {}
        """Of the calls that this transaction is about."""
        self._swept_ns = 0
        self._looked_at = b""
        """The last settled event of which it was looked whether its time has come."""
        self._unlooked = 0

    def run(self, steps: Sequence[Step]) -> list[Answer]:
        """Do the steps in their order, in one transaction."""
        swept = self._swept_ns
        try:
            with self._transaction() as now:
                return self._run_at(now, steps)
        except BaseException:
            self._swept_ns = swept  # if it looked for leases that ended, that was for nothing
            raise

    def _run_at(self, now: int, steps: Sequence[Step]) -> list[Answer]:
        self._look_up(steps)
        book = Book(self, now, self._lease_ns)
        if now - self._swept_ns >= _SWEEP_NS:
            book.sweep()
        answers = [book.do(step) for step in steps]
        self._write(book)
        return answers

    def terms(self, application: str) -> Terms:
        """See `book.Shelf`."""
        return self._terms.get(application) or Terms(0, ())

    def known(self, number: int) -> Known | None:
        """See `book.Shelf`."""
        found = self._every.get(number)
        return None if found is None else found[0]

    def record(self, event_id: bytes) -> Record | None:
        """See `book.Shelf`."""
        record = self._records_read.get(event_id)
        if record is None and event_id not in self._looked_up:
            self._read_records([event_id])
            record = self._looked_up[event_id]
        return record or self._looked_up.get(event_id)

    def row(self, place: Place) -> Row | None:
        """See `book.Shelf`."""
        row = self._rows_read.get(place)
        if row is None:
            sql = f"SELECT {_ROW} FROM rows WHERE number = ? AND key = ? AND starts_ns = ?"  # noqa: S608
            found = self._ask(sql, place)
            if found:
                row = self._rows_read[place] = _row(found[0])
        return row

    def _remember_rows(self, found: Iterable[Sequence[Any]]) -> None:
        for one in found:
            row = _row(one)
            self._rows_read[row.place] = row

    def rows(self, number: int, key: str, since_ns: int) -> list[Row]:
        """See `book.Shelf`."""
        return [self._rows_read.setdefault(row.place, row) for row in self._rows_of(number, key, (since_ns, -1))]

    def behind(self, number: int, key: str, ended_ns: int, turn: int) -> Iterable[Row]:
        """See `book.Shelf`."""
        where = "number = ? AND key = ? AND ends_ns > 0 AND ends_ns <= ? AND turn < ?"
        return map(_row, self._ask(f"SELECT {_ROW} FROM rows WHERE {where}", (number, key, ended_ns, turn)))  # noqa: S608

    def lapsing(self, now_ns: int) -> Iterable[bytes]:
        """See `book.Shelf`."""
        self._swept_ns = now_ns
        sql = "SELECT event_id FROM holds WHERE state = 0 AND due_ns <= ? ORDER BY event_id LIMIT ?"
        lapsing = [event_id for (event_id,) in self._ask(sql, (now_ns, _MOST_LAPSING))]
        self._read_records([event_id for event_id in lapsing if event_id not in self._looked_up])
        return lapsing

    def _is_to_sweep(self, now_ns: int) -> bool:
        return now_ns - self._swept_ns >= _SWEEP_NS

    def _is_lease_over(self, now_ns: int) -> bool:
        return bool(self._ask("SELECT 1 FROM holds WHERE state = 0 AND due_ns <= ? LIMIT 1", (now_ns,)))

    def _sweep(self) -> None:
        self._swept_ns = 0
        self.run(())

    def _forget_read(self) -> None:
        """Somebody else may have changed what was read."""
        self._rows_read.clear()
        self._records_read.clear()
        self._looked_up.clear()

    def _look_up(self, steps: Sequence[Step]) -> None:
        looked_up, there = self._looked_up, self._records_read
        if looked_up:
            looked_up.clear()
        if len(steps) == 1 and not isinstance(steps[0], Renew):  # what a single call waits for, written out
            event_id = steps[0].event_id
            if event_id not in there:
                looked_up[event_id] = None
                self._remember_records((), self._ask(_RECORDS_OF_ONE, (event_id, event_id)))
            return
        self._read_records([event_id for event_id in events_of(steps) if event_id not in there])

    def _read_records(self, event_ids: Sequence[bytes]) -> None:
        found: list[tuple[Any, ...]] = []
        for some in _parts(event_ids):
            found += self._ask(_records_of(len(some)), (*some, *some))
        self._remember_records(event_ids, found)

    def _remember_records(self, event_ids: Iterable[bytes], found: Iterable[Sequence[Any]]) -> None:
        """Of some events what the tables have; of those that they have not, that."""
        self._looked_up.update(dict.fromkeys(event_ids))
        for event_id, kept, is_hold in found:
            record = self._looked_up[event_id] = _record(kept)
            if is_hold:
                self._records_read[event_id] = record

    def _write(self, book: Book) -> None:
        if len(book.changed) != 1 or book.has_turned or not self._wrote_row(*next(iter(book.changed.items()))):
            self._write_rows(book.changed)
        if book.past:
            self._put(_PUT_RESETS, [_columns_of_past(*one) for one in book.past])
        for (number, key), ended_ns in book.outdated.items():
            sql = "DELETE FROM rows WHERE number = ? AND key = ? AND ends_ns > 0 AND ends_ns <= ?"
            self._do(sql, [(number, key, ended_ns)])
        if len(book.records) != 1 or not self._wrote_record(*next(iter(book.records.items()))):
            self._write_records(book.records)
        if self._is_to_tidy() or book.swept:
            self._tidy(book.now_ns)
        if book.alerts:
            told = [(alert.at_ns, _encode(alert)) for alert in book.alerts]
            self._do("INSERT INTO alerts (free_ns, at_ns, alert) VALUES (0, ?, ?)", told)
            self._drop_old_alerts(book.now_ns - OUTBOX_NS)

    def _write_rows(self, changed: dict[Place, Row]) -> None:
        self._put(_PUT_ROWS, [_columns(row) for row in changed.values()])
        self._rows_read.update(changed)

    def _wrote_row(self, place: Place, row: Row) -> bool:
        """Whether it is one that is there already; apart, as it is what a single call waits for."""
        if place not in self._rows_read:
            return False
        told = _encode(row.told) if row.told else b""
        self._do_one(_CHANGE_ROW, (*msgspec.structs.astuple(row)[4:15], told, *place))
        return True

    def _write_records(self, records: dict[bytes, Record | None]) -> None:
        """Those that are held are changed in their place, also when they are settled: some are moved together."""
        there = self._records_read
        changed, new, settled, gone, unsettled = [], [], [], [], []
        for event_id, record in records.items():
            if record is None:
                gone.append((event_id,))
                if there.pop(event_id, None) is None:  # it was refused, and went out all the same
                    unsettled.append((event_id,))
                continue
            self._unlooked += record.state >= SETTLED
            if event_id in there:
                changed.append((event_id, record.state, record.due_ns, _encode(record)))
            elif record.state < SETTLED:
                new.append((event_id, record.state, record.due_ns, _encode(record)))
            else:
                settled.append((event_id, record.due_ns, _encode(record)))
                continue
            there[event_id] = record
        if changed:
            self._put(_CHANGE_HOLDS, changed)
        if new:
            self._put(_PUT_HOLDS, new)
        if settled:
            self._put(_PUT_SETTLED, settled)
        if gone:
            self._do("DELETE FROM holds WHERE event_id = ?", gone)
        if unsettled:
            self._do("DELETE FROM settled WHERE event_id = ?", unsettled)

    def _wrote_record(self, event_id: bytes, record: Record | None) -> bool:
        """Whether it is of a call that is held, or was and ended; apart, as it is what a single call waits for."""
        there = self._records_read
        if record is None:
            return False
        if event_id in there:
            self._do_one(_CHANGE_HOLD, (record.state, record.due_ns, _encode(record), event_id))
        elif record.state < SETTLED:
            self._do_one(_PUT_HOLD, (event_id, record.state, record.due_ns, _encode(record)))
        else:
            return False
        self._unlooked += record.state >= SETTLED
        there[event_id] = record
        return True

    def _is_to_tidy(self) -> bool:
        return self._unlooked >= TOGETHER

    def _tidy(self, now_ns: int) -> None:
        """Move what is settled; then go on through all that is, and delete what has been known for long enough, round and round."""
        count, self._unlooked = 2 * max(self._unlooked, TOGETHER), 0
        self._forget_read()
        for sql in self._move:
            self._do(sql, [()])
        sql = "SELECT event_id, due_ns FROM settled WHERE event_id > ? ORDER BY event_id LIMIT ?"
        looked = self._ask(sql, (self._looked_at, count))
        self._looked_at = looked[-1][0] if len(looked) == count else b""
        over = [(event_id,) for event_id, due_ns in looked if due_ns <= now_ns]
        if over:
            self._do("DELETE FROM settled WHERE event_id = ?", over)

    def _running_records(self) -> list[tuple[bytes, Record]]:
        return [
            (event_id, _record(kept))
            for event_id, kept in self._ask("SELECT event_id, record FROM holds WHERE state < 2", ())
        ]

    def _change_record(self, event_id: bytes, record: Record) -> None:
        self._records_read.pop(event_id, None)
        self._do_one(_CHANGE_HOLD, (record.state, record.due_ns, _encode(record), event_id))

    def _read_limits(self, changes: int) -> None:
        """Limits were changed since they were read; by all who use the database so often."""
        sql = (
            "SELECT number, application, limit_id, definition, gone_ns, changed, turns FROM limits "
            "WHERE changed > ? ORDER BY number"
        )
        versions: dict[str, int] = {}
        for number, application, limit_id, definition, gone_ns, changed, turns in self._ask(sql, (self._changes,)):
            versions[application] = max(changed, versions.get(application, 0))
            self._unreadable.get(application, {}).pop(number, None)
            read = read_definition(limit_id, definition)
            if not isinstance(read, Unreadable):
                self._every[number] = (Known(number, read, _turns(turns) if turns else ()), gone_ns)
            elif gone_ns is None:
                self._unreadable.setdefault(application, {})[number] = read
                note_unreadable(application, read)
        there: dict[str, list[Known]] = {application: [] for application in versions}
        for known, gone in self._limits() if there else ():
            if gone is None and known.definition.application in there:
                there[known.definition.application].append(known)
        for application, version in versions.items():
            unreadable = dict(self._unreadable.get(application, {}))
            self._terms[application] = Terms(version, there[application], unreadable)
        self._changes = changes

    def _forget_all(self) -> None:
        """What was read may be what was not kept."""
        self._forget_read()
        self._every.clear()
        self._unreadable.clear()
        self._terms.clear()
        self._changes = 0

    def _limits(self, application: str | None = None) -> list[tuple[Known, int | None]]:
        every = sorted(self._every.items())
        return [one for _, one in every if application is None or one[0].definition.application == application]

    def _add_limit(self, definition: Definition) -> Known:
        number = self._next_change()
        sql = "INSERT INTO limits (number, application, limit_id, definition, changed) VALUES (?, ?, ?, ?, ?)"
        kept = _definition_json(definition).decode()
        self._do(sql, [(number, definition.application, definition.limit_id, kept, number)])
        self._read_limits(number)
        return self._every[number][0]

    def _change_limit(self, known: Known) -> Known:
        change = self._next_change()
        kept = _definition_json(known.definition).decode()
        row = (known.limit_id, kept, change, _encode(known.turns) if known.turns else None, known.number)
        self._do("UPDATE limits SET limit_id = ?, definition = ?, changed = ?, turns = ? WHERE number = ?", [row])
        self._read_limits(change)
        return self._every[known.number][0]

    def _with_unreadable(self) -> set[str]:
        return {application for application, some in self._unreadable.items() if some}

    def _bury_limit(self, number: int, now_ns: int) -> None:
        change = self._next_change()
        self._do("UPDATE limits SET gone_ns = ?, changed = ? WHERE number = ?", [(now_ns, change, number)])
        self._read_limits(change)

    def _next_change(self) -> int:
        self._do("UPDATE ledger SET changes = changes + 1", [()])
        change: int = self._ask("SELECT changes FROM ledger", ())[0][0]
        return change

    def _rows_of(self, number: int, key: str | None = None, counting: tuple[int, int] = EVERY) -> list[Row]:
        where, told = f"number = ? AND {_COUNTING}", [number, *counting]
        if key is not None:
            where, told = where + " AND key = ?", [*told, key]  # type: ignore[list-item]
        return [
            _row(found)
            for found in self._ask(f"SELECT {_ROW} FROM rows WHERE {where} ORDER BY key, starts_ns", told)  # noqa: S608
        ]

    def _page_of(self, number: int, counting: tuple[int, int], follow: Follow, most: int) -> tuple[list[Row], Follow]:
        """What follows is behind a key."""
        sign, key = (">=", "") if follow is None else (">", follow)
        sql = (
            f"SELECT {_ROW} FROM rows WHERE number = ? AND key {sign} ? "  # noqa: S608 - words of ours
            f"AND {_COUNTING} ORDER BY key, starts_ns LIMIT ?"
        )
        rows = [_row(found) for found in self._ask(sql, (number, key, *counting, most))]
        if len(rows) < most:
            return rows, None
        last = rows[-1].key  # of which there may be more
        whole = [row for row in rows if row.key != last]
        return (whole, whole[-1].key) if whole else (self._rows_of(number, last, counting), last)

    def _put_rows(self, rows: Iterable[Row]) -> None:
        for row in (put := list(rows)):
            self._rows_read.pop(row.place, None)
        self._put(_PUT_ROWS, [_columns(row) for row in put])

    def _drop_rows(self, places: Iterable[Place]) -> None:
        for place in (dropped := list(places)):
            self._rows_read.pop(place, None)
        self._do("DELETE FROM rows WHERE number = ? AND key = ? AND starts_ns = ?", dropped)

    def _resets(self, number: int, closed_ns: int | None = None) -> list[Past]:
        sql, told = "SELECT past FROM resets WHERE number = ?", [number]
        if closed_ns is not None:
            sql, told = f"{sql} AND closed_ns = ?", [number, closed_ns]
        return [_past(past) for (past,) in self._ask(sql, told)]

    def _add_resets(self, number: int, past: Iterable[Past]) -> None:
        self._put(_PUT_RESETS, [_columns_of_past(number, one) for one in past])

    def _drop_resets(self, number: int, key: str) -> int:
        found = self._ask("SELECT count(*) FROM resets WHERE number = ? AND key = ?", (number, key))
        self._do("DELETE FROM resets WHERE number = ? AND key = ?", [(number, key)])
        count: int = found[0][0]
        return count

    def _drop_old_resets(self, number: int, before_ns: int, follow: Follow, most: int) -> tuple[int, Follow]:
        """What follows is behind a key and an id."""
        sql = "SELECT key, id, closed_ns FROM resets WHERE number = ? AND (key, id) > (?, ?) ORDER BY number, key, id LIMIT ?"
        found = self._ask(sql, (number, *(follow or ("", 0)), most))
        old = [(number_of_reset,) for _, number_of_reset, closed_ns in found if closed_ns <= before_ns]
        self._do("DELETE FROM resets WHERE id = ?", old)
        return len(old), found[-1][:2] if len(found) == most else None

    def _free_alerts(self, now_ns: int, sought: Sought) -> list[Alert]:
        stages = ", ".join(str(int(stage)) for stage in sought.stages)
        sql = f"SELECT id, alert, told FROM alerts WHERE free_ns <= ? AND at_ns <= ? AND told IN ({stages})"  # noqa: S608
        values: list[Any] = [now_ns, sought.before_ns]
        # Of others' there may be very many, which nobody tells: none of them is read.
        if sought.application is not None:
            which, begins = _beginning_with("", sought.application)
            sql, values = f"{sql} AND {which}", [*values, begins]
        found = self._ask(f"{sql} ORDER BY id LIMIT ?{self._taking}", [*values, sought.most])
        return [_alert(alert)._replace(alert_id=str(number), stage=stage) for number, alert, stage in found]

    def _lease_alerts(self, alert_ids: Iterable[str], until_ns: int) -> None:
        self._do("UPDATE alerts SET free_ns = ? WHERE id = ?", [(until_ns, int(alert_id)) for alert_id in alert_ids])

    def _note_alerts(self, alert_ids: Iterable[str], stage: int, until_ns: int) -> None:
        rows = [(stage, until_ns, int(alert_id)) for alert_id in alert_ids]
        self._do("UPDATE alerts SET told = ?, free_ns = ? WHERE id = ?", rows)

    def _drop_alerts(self, alert_ids: Iterable[str]) -> None:
        self._do("DELETE FROM alerts WHERE id = ?", [(int(alert_id),) for alert_id in alert_ids])

    def _drop_old_alerts(self, until_ns: int) -> None:
        self._do_one("DELETE FROM alerts WHERE at_ns <= ?", (until_ns,))

    def _drop_alerts_of(self, application: str, limit_id: str, key: str | None = None) -> None:
        which, begins = _beginning_with("", application, limit_id)
        found = self._ask(f"SELECT id, alert FROM alerts WHERE {which}", (begins,))  # noqa: S608 - a number of ours
        self._drop_alerts([number for number, alert in found if key in (None, _alert(alert).key)])

    def _put(self, statement: tuple[str, str, str], rows: Sequence[Sequence[Any]]) -> None:
        """Many rows by few statements."""
        for some in _parts(rows):
            values = some[0] if len(some) == 1 else list(itertools.chain.from_iterable(some))
            self._do(_of_rows(statement, len(some)), (values,))

    @abc.abstractmethod
    def _ask(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """What a question, with `?` for its values, is answered."""

    @abc.abstractmethod
    def _do_one(self, sql: str, values: Sequence[Any]) -> None:
        """A statement, once."""

    @abc.abstractmethod
    def _do(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """A statement, once for each row of values."""


def events_of(steps: Sequence[Step]) -> Iterable[bytes]:
    """Which events some steps are about."""
    if len(steps) == 1 and not isinstance(steps[0], Renew):
        return (steps[0].event_id,)
    found: dict[bytes, None] = {}
    for step in steps:
        if isinstance(step, Renew):
            found.update(dict.fromkeys(step.event_ids))
        else:
            found[step.event_id] = None
    return found


def _beginning_with(*members: str) -> tuple[str, bytes]:
    """Which alerts begin with these members, as a condition and its value."""
    begins = _encode(members)[1:]  # without the head, which tells how many there are
    return f"substr(alert, 2, {len(begins)}) = ?", begins


def _parts(rows: Sequence[T]) -> Sequence[Sequence[T]]:
    """Rows in parts of few sizes, so that there are few statements."""
    if len(rows) == 1:
        return (rows,)
    parts: list[Sequence[T]] = []
    start = 0
    for size in _AT_ONCE:
        while len(rows) - start >= size:
            parts.append(rows[start : start + size])
            start += size
    return parts


@functools.cache
def _of_rows(statement: tuple[str, str, str], count: int) -> str:
    """For so many rows."""
    head, row, tail = statement
    return f"{head} {', '.join([row] * count)} {tail}"


@functools.cache
def _records_of(count: int) -> str:
    """Asks for the records of so many events."""
    return _RECORDS.format(ids=", ".join("?" * count))


def _row(found: Sequence[Any]) -> Row:
    *counted, told, turn = found
    return Row(*counted, _told(told) if told else (), turn)  # type: ignore[call-arg]


def _columns(row: Row) -> tuple[Any, ...]:
    columns = msgspec.structs.astuple(row)
    return (*columns[:15], _encode(row.told) if row.told else b"", row.turn)


def _columns_of_past(number: int, past: Past) -> tuple[Any, ...]:
    return (number, past.totals.key, past.closed_ns, _encode(past))
