"""A person out of the store: their calls stay, as nobody's, or go too.

First the events, some at a time, then in one transaction the sums and the name itself; from then on nothing tells of the
person. A process that is killed between leaves the name, and the next one goes on. Only events that are in the rollups are
taken: the number of one that is not must not be free again, see `keeping.py`.
"""

# ruff: noqa: S608 - statements are put together from names of ours alone; values are always parameters
from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from .adding import DIMS, OF_ROUTES
from .connection import Connection
from .deliveries import forget_events, forget_messages
from .keeping import changed, kept, last, removed
from .periods import month_of_hour
from .prune import rest
from .rebuild import day_again, month_again
from .rest import packings, tells_request, without
from .schema import (
    ACCOUNT,
    CORRECTED,
    DAY,
    HOUR,
    MONTH,
    NOT_GIVEN,
    OTHER,
    OTHER_ROUTE,
    RANKED,
    ROUTED,
    USER,
    WIDE,
    WINDOWS,
)

if TYPE_CHECKING:
    from .store import Store

__all__ = ["TELLING", "Forgotten", "Person", "forget", "would_forget"]

TELLING = 8
"""Characters from which an id within a longer text is no chance; of a shorter one only a text that is the id is cleared."""

_AT_ONCE = 500  # events of one transaction
_EVERY = "true"
_FOLDED = "e.id <= (SELECT event FROM folded)"


class Person(NamedTuple):
    """Who is to be forgotten, and of what."""

    id: str
    application: str | None = None
    """Only of the events of this application; None for all."""
    events: bool = False
    """Whether their events go, instead of losing the name."""

    def is_told_by(self, text: str) -> bool:
        """Whether a text holds the id, and not by chance."""
        return text == self.id or (len(self.id) >= TELLING and self.is_named_in(text))

    def is_named_in(self, text: str) -> bool:
        """Whether a text holds the id as a word, however short that is."""
        return re.search(_apart(self.id), text) is not None


def _apart(text: str) -> str:
    """The text, not as a part of a longer word or number."""
    return rf"(?<![0-9A-Za-z]){re.escape(text)}(?![0-9A-Za-z])"


class Forgotten(NamedTuple):
    """What was done, or would be."""

    events: int = 0
    """That were the person's."""
    cleared: int = 0
    """Others' that held the id elsewhere."""
    sums: int = 0
    """Rows of rollups."""
    left: tuple[str, ...] = ()
    """Where the id still stands."""

    def plus(self, other: Forgotten) -> Forgotten:
        """Both together."""
        return Forgotten(
            self.events + other.events,
            self.cleared + other.cleared,
            self.sums + other.sums,
            (*self.left, *(where for where in other.left if where not in self.left)),
        )


def would_forget(store: Store, person: Person) -> Forgotten:
    """What `forget` would do."""
    found = Forgotten()
    with store.snapshot() as connection:
        name = _number(connection, person.id)
        after = 0
        while batch := _found(connection, person, name, after, _EVERY):
            after = batch[-1].number
            for row in batch:
                is_theirs = name in (row.user, row.account)
                found = found.plus(Forgotten(events=int(is_theirs), cleared=int(not is_theirs)))
        sums = 0 if name is None else sum(len(_sums(connection, dim, name)) for dim in _DIMS)
        return found._replace(sums=sums if person.application is None else 0)


def forget(store: Store, person: Person) -> Iterator[Forgotten]:
    """Forget a person, and tell of each step what it did. Free pages still hold the id: then `compact.vacuum`.

    Raises:
        StoreError: A step failed; those before it hold, and it can be done again.
    """
    with store.transaction() as connection:
        store.fold()
        name = _number(connection, person.id)
    days: set[int] = set()
    theirs: set[int] = set()
    after = 0
    while True:
        began = time.monotonic()
        with store.snapshot() as connection:
            batch = _found(connection, person, name, after, _FOLDED)
        if not batch:
            break
        after = batch[-1].number
        with store.transaction() as connection:
            yield _cleared(connection, person, name, batch, days, theirs)
        rest(began)
    with store.transaction() as connection:
        store.fold()
        while late := _found(connection, person, name, after, _FOLDED):  # what was written since
            after = late[-1].number
            yield _cleared(connection, person, name, late, days, theirs)
        forget_messages(
            connection,
            person.id,
            lambda number, message: person.is_told_by(message) or (number in theirs and person.is_named_in(message)),
            person.application,
        )
        if name is not None and person.application is None:
            yield Forgotten(sums=sum(_moved(connection, dim, name) for dim in _DIMS))
        again = [day for day in sorted(days) if _is_to_be_made_anew(connection, person, day)]
    for day in again:
        began = time.monotonic()
        with store.transaction() as connection:
            day_again(connection, day, store.most_keys)
            for dim in DIMS:
                month_again(connection, dim, month_of_hour(day * 24))
        rest(began)
    yield _without_name(store, person, name)


class _Found(NamedTuple):
    number: int
    hour: int
    user: int
    account: int
    rest: bytes


def _number(connection: Connection, text: str) -> int | None:
    row = connection.execute("SELECT id FROM texts WHERE packed = ?", (text,)).fetchone()
    return None if row is None else row[0]


def _found(connection: Connection, person: Person, name: int | None, after: int, which: str) -> list[_Found]:
    """The next events with the person's name, or with the id in what they have packed; of those of which `which` is true."""
    needles = sorted(packings(person.id, whole=len(person.id) < TELLING))
    packed = " OR ".join(["instr(e.rest, ?) > 0"] * len(needles))
    source, only, more = "events AS e", "", []
    if person.application is not None:
        source, only, more = (
            "events AS e JOIN wide AS w ON w.id = e.wide",
            "AND w.application = ? ",
            [person.application],
        )
    found: list[_Found] = []
    while not found:
        rows = connection.execute(
            f"SELECT e.id, e.hour, e.user, e.account, e.rest FROM {source} "
            f"WHERE e.id > ? AND {which} AND (e.user = ? OR e.account = ? OR {packed}) {only}ORDER BY e.id LIMIT ?",
            (after, name or -1, name or -1, *needles, *more, _AT_ONCE),
        ).fetchall()
        if not rows:
            break
        after = rows[-1][0]
        every = [_Found(*row) for row in rows]
        found = [
            row for row in every if name in (row.user, row.account) or without(row.rest, person.is_told_by) is not None
        ]
    return found


def _cleared(
    connection: Connection, person: Person, name: int | None, batch: list[_Found], days: set[int], numbers: set[int]
) -> Forgotten:
    """Clear a batch; the days and the numbers of the person's own events are added to those of the batches before."""
    theirs = [row for row in batch if name in (row.user, row.account)]
    numbers.update(row.number for row in theirs)
    days.update(row.hour // 24 for row in theirs)
    ids = {(row.number,) for row in theirs if person.events and row.user == name}
    connection.executemany("DELETE FROM corrections WHERE event = ?", list(ids))
    connection.executemany("DELETE FROM events WHERE id = ?", list(ids))
    forget_events(connection, list(ids))
    removed(connection, len(ids))
    for row in batch:
        if (row.number,) in ids:
            continue
        packed = without(row.rest, person.is_told_by)
        connection.execute(
            "UPDATE events SET user = ?, account = ?, rest = ? WHERE id = ?",
            (
                NOT_GIVEN if row.user == name else row.user,
                NOT_GIVEN if row.account == name else row.account,
                row.rest if packed is None else packed,
                row.number,
            ),
        )
        if packed is not None and not tells_request(packed):
            connection.execute("UPDATE events SET request_key = NULL WHERE id = ?", (row.number,))
    return Forgotten(events=len(theirs), cleared=len(batch) - len(theirs))


_DIMS = [dim | more for dim in (USER, ACCOUNT) for more in (0, CORRECTED)]

_GRAINS = ", ".join(f"({grain})" for grain in (HOUR, DAY, MONTH, *WINDOWS, *RANKED.values()))
# Period by period, as the index has them: a key of one dimension is at one place of each.
_OF_KEY = f"""
WITH RECURSIVE periods (grain, period) AS (
    SELECT grains.column1, (SELECT min(period) FROM rollup WHERE dim = :dim AND grain = grains.column1)
    FROM (VALUES {_GRAINS}) AS grains
    UNION ALL
    SELECT p.grain, (SELECT min(r.period) FROM rollup AS r WHERE r.dim = :dim AND r.grain = p.grain AND r.period > p.period)
    FROM periods AS p WHERE p.period IS NOT NULL
)
SELECT r.grain, r.period, r.kind FROM periods AS p
JOIN rollup AS r ON r.dim = :dim AND r.grain = p.grain AND r.period = p.period AND r.key = :key
"""
_MEASURES = "calls, input_tokens, output_tokens, cost_ticks, latency, first_byte"
_MOVE = f"""
INSERT INTO rollup (dim, grain, period, key, kind, {_MEASURES})
SELECT dim, grain, period, {NOT_GIVEN}, kind, {_MEASURES} FROM rollup
WHERE dim = ? AND grain = ? AND period = ? AND key = ? AND kind = ?
ON CONFLICT (dim, grain, period, key, kind) DO UPDATE SET
    calls = rollup.calls + excluded.calls, input_tokens = rollup.input_tokens + excluded.input_tokens,
    output_tokens = rollup.output_tokens + excluded.output_tokens, cost_ticks = rollup.cost_ticks + excluded.cost_ticks,
    latency = hist_packed(CAST(rollup.latency || excluded.latency AS BLOB)),
    first_byte = hist_packed(CAST(rollup.first_byte || excluded.first_byte AS BLOB))
"""
_NO_SUM = "DELETE FROM rollup WHERE dim = ? AND grain = ? AND period = ? AND key = ? AND kind = ?"


def _sums(connection: Connection, dim: int, key: int) -> list[tuple[int, int, int]]:
    """(grain, period, kind) of a key's rows."""
    return connection.execute(_OF_KEY, {"dim": dim, "key": key}).fetchall()


def _moved(connection: Connection, dim: int, key: int) -> int:
    """Add a key's sums to those of calls without one; how many rows that were."""
    rows = [(dim, grain, period, key, kind) for grain, period, kind in _sums(connection, dim, key)]
    connection.executemany(_MOVE, rows)
    connection.executemany(_NO_SUM, rows)
    return len(rows)


def _is_to_be_made_anew(connection: Connection, person: Person, day: int) -> bool:
    """Whether the sums of a day, whose events are all there, cannot be right by moving the person's alone."""
    before = kept(connection).before_hour
    if before is not None and day * 24 < before:
        return False
    if person.events or person.application is not None:
        return True
    question = "SELECT EXISTS (SELECT 1 FROM rollup WHERE dim = ? AND grain = ? AND period = ? AND key = ?)"
    return any(connection.execute(question, (dim, DAY, day, OTHER)).fetchone()[0] for dim in (USER, ACCOUNT))


def _without_name(store: Store, person: Person, name: int | None) -> Forgotten:
    """Remove the name itself, unless it stands for something else too."""
    with store.snapshot() as connection:
        seen = last(connection)
        is_used = name is not None and _is_used(connection, name, 0)
    with store.transaction() as connection:
        if name is not None and not is_used and not _is_used_since(connection, name, seen):
            connection.execute("DELETE FROM texts WHERE id = ?", (name,))
            changed(connection)
    with store.snapshot() as connection:
        return Forgotten(left=tuple(_left(connection, person)))


def _is_used(connection: Connection, name: int, seen: int) -> bool:
    """Whether anything refers to a name: sums, sets of tags, events."""
    if any(_sums(connection, dim, name) for dim in DIMS if dim & ~CORRECTED not in (WIDE, ROUTED)):
        return True
    question = f"SELECT EXISTS (SELECT 1 FROM rollup WHERE {OF_ROUTES} AND key & {OTHER_ROUTE} = ?)"
    if connection.execute(question, (name,)).fetchone()[0]:
        return True
    found: int = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM tags WHERE tag = ? OR tags = ?)", (name, name)
    ).fetchone()[0]
    return found == 1 or _is_used_since(connection, name, seen)


def _is_used_since(connection: Connection, name: int, seen: int) -> bool:
    question = "SELECT EXISTS (SELECT 1 FROM events WHERE id > ? AND ? IN (user, account, route, tags, failure))"
    found: int = connection.execute(question, (seen, name)).fetchone()[0]
    return found == 1


def _left(connection: Connection, person: Person) -> Iterator[str]:
    """Where the id still stands, in words."""
    before, name = kept(connection).before_hour, _number(connection, person.id)
    if person.application is not None:  # others may have the name, and it is theirs to have
        if name is not None and before is not None and _sums_before(connection, name, before):
            yield "sums of pruned days, which are not told apart by application: forget the user of all applications"
        return
    if name is not None:
        yield "calls, tags or routes that have the very name: if calls came meanwhile, do it again"
    for where, question, as_stored in _TEXTS:
        needle = as_stored(person.id)
        rows = connection.execute(question, (needle, needle))
        if any(person.is_told_by(_text(row[0])) for row in rows):
            yield where


_TEXTS: list[tuple[str, str, Callable[[str], str | bytes]]] = [
    ("tags, accounts or routes", "SELECT packed FROM texts WHERE instr(packed, ?) > 0 AND packed != ?", str),
    (
        "use cases, their steps, or models",
        "SELECT packed FROM wide WHERE instr(packed, ?) > 0 AND packed != ?",
        str.encode,
    ),
    ("endpoints or models", "SELECT packed FROM shapes WHERE instr(packed, ?) > 0 AND packed != ?", str.encode),
    (
        "what servers told of calls that they refused",
        "SELECT message FROM rejected WHERE instr(message, ?) > 0 AND message != ?",
        str,
    ),
    (
        "what processes told of themselves",
        "SELECT health FROM processes WHERE instr(health, ?) > 0 AND health != ?",
        str.encode,
    ),
]
"""Where else an id may stand, the question for it, and as what the column has it."""


def _text(packed: str | bytes) -> str:
    return packed if isinstance(packed, str) else packed.decode("utf-8", "replace")


def _sums_before(connection: Connection, name: int, before: int) -> bool:
    return any(grain == HOUR and period < before for dim in _DIMS for grain, period, _ in _sums(connection, dim, name))
