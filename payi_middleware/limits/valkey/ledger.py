"""The ledger in Valkey or Redis: shared by all processes and machines that name the same server.

Rules are kept by scripts on the server (`lua/`), each of them all or nothing. What they cannot know is sent along: which
definitions the asker thinks of, and which windows of the calendar hold, as the server knows no time zones. Where either is not
so, nothing is done, and it is asked again.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence, Set
from typing import Any, Final, NamedTuple

import msgspec

from ... import health
from ...exceptions import LedgerError
from ..aging import is_history, may_go
from ..ledger import (
    LEASE_SECONDS,
    STAGES,
    TOLD,
    Account,
    Alert,
    Answer,
    Definitions,
    Deleted,
    Held,
    Past,
    Renew,
    Reserve,
    Settle,
    Stale,
    Step,
    Totals,
    Unreadable,
)
from ..limit import Definition
from ..readable import note_unreadable, read_definition
from ..redefined import changed, check_name, goes_on, last_deleted, nameless, windows_of
from ..rows import Known, Row, Terms, Turn, merged, past_of, totals_of
from . import wire
from .address import address_of
from .client import Client, within
from .scripts import Script, function, script
from .terms import alerts_of, fields_of, told_of

__all__ = ["ValkeyLedger"]

_TRIES: Final = 16
"""Of what was written for other definitions or another window: each try knows what the one before was told."""
_STEPS: Final = 32
"""In one script, at most: about a millisecond, in which the server does nothing else."""
_PAGE: Final = 50
"""Accounts, rows or calls in one script where all there are are looked at: a millisecond or two."""
_MANY: Final = 500
"""Of what is only read or written, one after another."""

_ROWS = ("numbers", "begin", "rows", "records")
_STEPS_OF = ("standing", "alerts", "reserve", "settle", "running", "steps", "alone")
_STEP = function(*_ROWS, *_STEPS_OF)
_OPEN = script("open")
_READ = script(*_ROWS, "enter", "read")
_RESET = script(*_ROWS, "enter", "reset")
_MEND = script(*_ROWS, "standing", "enter", "mend")
_HELD = script(*_ROWS, "enter", "held")
_LIMITS = script("begin", "enter", "limits")
_DEFINE = script("begin", "enter", "define")
_DROP = script("begin", "enter", "drop")
_RESETS = script("begin", "enter", "resets")
_TAKE = script("begin", "enter", "take")
_TOLD = script("begin", "enter", "told")
_FORGET = script(*_ROWS, "enter", "forget")
_DROP_ALERTS = script("begin", "enter", "drop_alerts")
_DROP_RESETS = script("begin", "enter", "drop_resets")
_THROUGH = script(*_ROWS, "enter", "through")
_CALLED = script("begin", "enter", "called")
_NOW = script("begin", "enter", "now")
_APPLICATIONS = script("begin", "enter", "applications")
_NAMES = script("begin", "enter", "names")


class ValkeyLedger:
    """Keeps to `ledger.Ledger`. Made without a connection; the first that is asked makes one.

    Args:
        url: See `address.address_of`.
        lease_seconds: How long a hold lives without being renewed.
        clock: Nanoseconds of UTC, instead of the server's; for tests.

    Raises:
        LedgerError: The URL cannot be read, or the client library is not installed.
    """

    waits = True

    def __init__(
        self, url: str, *, lease_seconds: float = LEASE_SECONDS, clock: Callable[[], int] | None = None
    ) -> None:
        self.lease_seconds = lease_seconds
        address = address_of(url)
        self._lease_us = round(lease_seconds * 10**6)
        self._kept_us = round(address.settled_days * 86_400 * 10**6)
        self._client = Client(address)
        self._clock = clock
        self._id: str | None = None
        self._earlier: set[str] = set()
        """Ids of data that was lost, as far as this process knows."""
        self._seen = 0
        """The latest time that the ledger told, microseconds: data whose clock is behind it is older than what was told."""
        self._ahead_ns = 0
        """The ledger's clock before this process's."""
        self._lock = threading.RLock()
        self._terms: dict[str, Terms] = {}
        self._limit_ids: dict[int, str] = {}
        self._told: dict[int, msgspec.Raw] = {}
        """What steps tell of a limit, packed, by number."""
        self._last: dict[str, dict[str, Definition]] = {}
        """The limits of applications as they were last read or written, by id: also where `_terms` was let go of."""
        self._owed: dict[str, dict[str, Definition]] = {}
        """Limits of data that was lost, which are still to be put into what is there now."""
        self._is_putting_back = False

    @property
    def id(self) -> str:
        """Names the ledger in events: made once, with its data.

        Raises:
            LedgerError: It was never asked before, and is out of reach.
        """
        return self._id or self._opened()

    def names(self) -> frozenset[str]:
        """Its id, and those of the data that was lost before it."""
        earlier = self._asked(_NAMES)[1]
        return frozenset((self.id, *(earlier or ())))

    def run(self, steps: Sequence[Step]) -> list[Answer]:
        """Do the steps in their order, in one round trip; very many in several."""
        if len(steps) == 1 and isinstance(steps[0], (Reserve, Settle)):
            done = self._one(steps[0])
            return self._run(steps) if done is None else done
        if len(steps) <= _STEPS:
            return self._run(steps)
        answers: list[Answer] = []
        for first in range(0, len(steps), _STEPS):
            answers += self._run(steps[first : first + _STEPS])
        return answers

    def applications(self) -> list[str]:
        """Whose limits are kept here, or were."""
        return sorted(self._asked(_APPLICATIONS)[1])

    def definitions(self, application: str) -> Definitions:
        """The limits of an application, in the order in which they were made."""
        return self._fetched(application).told()

    def deleted(self, application: str) -> list[Deleted]:
        """The limits that an application had, the last deleted first."""
        return last_deleted(self._every(application))

    def define(self, definition: Definition) -> Definition:
        """Keep a new limit, or one of the same id anew.

        Another unit, or another `per`, makes it another limit: what was counted of the old one is history.

        Raises:
            LimitError: Another limit of the application has the name.
        """
        for _ in range(_TRIES):
            terms = self._fetched(definition.application)
            check_name(terms, definition)
            before, now = terms.by_id.get(definition.limit_id), self._seen * 1_000
            if way := terms.giving_way(definition):
                self._removed(application=definition.application, version=terms.version, number=way[0])
                continue
            if before is None:
                created = definition.created_ns or now  # told where a limit comes from elsewhere
                kept = msgspec.structs.replace(definition, created_ns=created, updated_ns=now)
                buried, number = 0, 0
            else:
                kept = changed(before.definition, definition, now)
                if kept is before.definition:
                    return kept
                buried, number = (0, before.number) if goes_on(before.definition, kept) else (before.number, 0)
            is_turn = bool(number) and before is not None and windows_of(kept) != windows_of(before.definition)
            if self._put(terms.version, buried, number, kept, is_turn=is_turn):
                return kept
        raise self._unsteady()

    def remove(self, application: str, limit_id: str) -> bool:
        """Delete a limit; its history stays."""
        for _ in range(_TRIES):
            terms = self._fetched(application)
            number = terms.number_of(limit_id)
            if number is None:
                return False
            if self._removed(application, terms.version, number):
                return True
        raise self._unsteady()

    def erase(self, application: str, limit_id: str) -> None:
        """Delete a limit, or what is kept of one, but for its history, which stays under an id and a name that tell nothing."""
        for known, gone in [one for one in self._every(application) if one[0].limit_id == limit_id]:
            erased, buried = nameless(known.definition), 0 if gone else known.number
            for _ in range(_TRIES):
                if self._defined(self._fetched(application).version, buried, known.number, erased):
                    self._let_go_of(application, limit_id)
                    break
            else:
                raise self._unsteady()
        self._drop_alerts_of(application, limit_id)

    def reset(self, application: str, limit_id: str, key: str | None = None) -> list[Past]:
        """Begin counting anew, in all accounts or in one.

        All of them in one instant, which is only noted with the limit (`rows.Turn`), so no call waits for that.
        """
        for _ in range(_TRIES):
            terms = self._fetched(application)
            known = terms.by_id.get(limit_id)
            if known is None:
                return []
            if key is not None or not known.definition.limit.per:
                return [wire.past_of(self._steady(_RESET, known, known.number, key or ""))]
            self._rows(known.number, [""])  # leases that are over have ended before
            turned = self._defined(terms.version, 0, known.number, known.definition, is_reset=True)
            if turned is not None:
                return self._closed_at(turned, turned.turns[-1])
        raise self._unsteady()

    def totals(self, application: str, limit_id: str, key: str | None = None) -> list[Totals]:
        """The running rows of a limit's accounts, or of one."""
        known = self._fetched(application).by_id.get(limit_id)
        if known is None:
            return []
        running = self._running(known, key)
        return [totals_of(known, name, rows, self._seen * 1_000) for name, rows in running.items()]

    def history(self, application: str, limit_id: str) -> list[Past]:
        """The rows that are over, the newest first."""
        past: list[Past] = []
        for known, gone in self._every(application):
            if known.limit_id != limit_id:
                continue
            rows = self._rows(known.number)
            now = self._seen * 1_000
            resets: list[Past] = []
            for kept in rows:
                row, closed = known.seen(kept)
                resets += closed
                if is_history(known, gone, row, now):
                    past.append(past_of(row, min(row.ends or now, gone or now, now)))
            past += merged([*resets, *self._resets(known.number)])
        return sorted(past, key=lambda one: one.closed_ns, reverse=True)

    def held(self) -> list[Held]:
        """What is held now, lease or not."""
        held: dict[bytes, Held] = {}
        for lapsed in (False, True):
            cursor = "0"
            while True:
                found, cursor = self._asked(_HELD, lapsed, cursor, _PAGE)[1]
                held.update((one.event_id, one) for one in map(wire.held_of, found))
                if cursor == "0":
                    break
        return list(held.values())

    def set_spent(self, application: str, account: Account, starts_ns: int | None, totals: Totals) -> None:
        """Correct a row."""
        known = self._fetched(application).by_id.get(account.limit_id)
        if known is not None:
            starts, ends = known.window_at(self._seen * 1_000 if starts_ns is None or known.rolling else starts_ns)
            place = (known.number, account.key, *(wire.DATED if known.dated else (starts // 10**9, ends // 10**9)))
            counted = (
                totals.spent,
                totals.input_ticks,
                totals.output_ticks,
                *(totals.requests[s] for s in wire.COUNTED),
            )
            self._asked(_MEND, place, [str(min(one, wire.FULL)) for one in counted])

    def accounts(self, application: str) -> list[Account]:
        """All accounts that have rows, running or over, also of limits that are deleted."""
        found: set[Account] = set()
        for known, _ in self._every(application):
            found.update(Account(known.limit_id, row.key) for row in self._rows(known.number))
            found.update(Account(known.limit_id, past.totals.key) for past in self._resets(known.number))
        return sorted(found)

    def forget(self, application: str, account: Account) -> int:
        """Delete an account with its history and its alerts; how many rows it had. The calls that it holds know it no more."""
        count = 0
        holding = [wire.event_text(one.event_id) for one in self.held() if account in one.accounts]
        for known, _ in self._every(application):
            if known.limit_id == account.limit_id:
                count += self._dropped(self._rows(known.number, [account.key]))
                count += self._dropped_resets(known.number, key=account.key)
                for page in _pages(holding, _PAGE) if holding else ((),):
                    self._asked(_FORGET, known.number, account.key, events=page)
        self._drop_alerts_of(application, account.limit_id, account.key)
        return count

    def _drop_alerts_of(self, application: str, limit_id: str, key: str | None = None) -> None:
        cursor = "0"
        while True:
            cursor = self._asked(_DROP_ALERTS, application, limit_id, False if key is None else key, cursor, _MANY)[1]
            if cursor == "0":
                return

    def prune(self, before_ns: int) -> int:
        """Delete rows that were over by then; how many."""
        count = 0
        for known, gone in self._every():
            rows = self._rows(known.number)
            now = self._seen * 1_000
            before = min(before_ns, now)
            over: list[Row] = []
            behind: list[Row] = []
            for kept in rows:
                row, closed = known.seen(kept)
                goes = may_go(known, gone, row, now, before)
                if goes:
                    over.append(row)
                if closed and (goes or closed[0].closed_ns <= before):
                    behind.append(row)  # what they had come to is kept, as of all others
            for page in _pages(_places(behind), _PAGE):
                self._asked(_THROUGH, page)
            count += self._dropped(over) + self._dropped_resets(known.number, before_us=max(1, before // 1_000))
        return count

    def outbox_take(
        self,
        lease_seconds: float,
        application: str | None = None,
        before_ns: int | None = None,
        *,
        stages: Collection[int] = STAGES,
        most: int = 1000,
    ) -> list[Alert]:
        """Alerts that nobody is telling, the oldest first."""
        whose, before = "" if application is None else application, -1 if before_ns is None else before_ns // 1_000
        found: list[Alert] = []
        passed = 0  # of others, of which there may be very many that nobody tells
        while passed >= 0 and len(found) < most:
            asked = (round(lease_seconds * 10**6), whose, before, list(stages), most - len(found), passed)
            some, passed = self._asked(_TAKE, *asked)[1]
            found += [wire.alert_of(one) for one in some or ()]
        return found

    def outbox_told(self, alert_ids: Sequence[str], stage: int = TOLD, lease_seconds: float = 0) -> None:
        """These have come so far, and stay."""
        if alert_ids:
            self._asked(_TOLD, list(alert_ids), stage, round(lease_seconds * 10**6))

    def outbox_done(self, alert_ids: Sequence[str]) -> None:
        """Nothing is left to do for these."""
        if alert_ids:
            self._asked(_TOLD, list(alert_ids), -1, 0)

    def now_ns(self) -> int:
        """The ledger's clock, UTC."""
        self._asked(_NOW)
        return self._seen * 1_000

    def close(self) -> None:
        """Let go of connections; who asks again makes another."""
        self._client.close()

    def _run(self, steps: Sequence[Step]) -> list[Answer]:
        for _ in range(_TRIES):
            done = self._several(steps)
            if done is not None:
                return done
        raise self._unsteady()

    def _one(self, step: Reserve | Settle) -> list[Answer] | None:
        """As `_several`; apart, as it is what a single call waits for: there each function that is called is felt."""
        window = wire.Window(self._guessed_ns())
        application, wanted = step.application, step.version if isinstance(step, Reserve) else 0
        with self._lock:  # a limit's windows are looked up by one thread at a time
            terms = self._terms.get(application)
            if terms is None or terms.version < wanted:
                terms = self._fetched(application)
            if wanted and wanted != terms.version:
                return [Stale(terms.version)]
            charged, limits = wire.found(terms, step.accounts), []
            for known, _ in charged:
                limits.append(self._told[known.number])  # a comprehension is a function, too
            written = wire.written(step, charged, window)
        events: Sequence[str] = wire.event_text(step.event_id)
        if wire.is_usual(charged):  # see `alone.lua`
            rest = wire.alone(limits, written)
        else:
            rest, events = [(), limits, (written,)], (wire.event_text(step.event_id),)
        about = (window.starts, window.ends, terms.version)
        kind, told = self._asked(_STEP, *about, *rest, application=application, events=events)
        if kind == "alone":
            return [self._read(told, charged)]
        if kind == "done":
            return [self._read(told[0], charged)]
        if kind == "changed":
            self._forget((application,))
        return None

    def _several(self, steps: Sequence[Step]) -> list[Answer] | None:
        """The answers, or none where other definitions or another window hold than was thought."""
        asked = self._written(steps)
        if not asked.steps:  # all of them are stale
            return asked.answers
        (application, version), *others = asked.versions.items() or (("", 0),)
        window = asked.window
        kind, told = self._asked(
            _STEP,
            window.starts,
            window.ends,
            version,
            [part for other in others for part in other],
            list(asked.limits.values()),
            asked.steps,
            application=application,
            events=asked.events,
        )
        if kind == "done":
            for place, charged, one in zip(asked.places, asked.charged, told, strict=True):
                asked.answers[place] = self._read(one, charged)
            return asked.answers
        if kind == "changed":
            self._forget(asked.versions)
        return None

    def _written(self, steps: Sequence[Step]) -> _Asked:
        asked = _Asked([None] * len(steps), [], [], [], [], {}, {}, wire.Window(self._guessed_ns()))
        with self._lock:  # a limit's windows are looked up by one thread at a time
            for place, step in enumerate(steps):
                charged: list[tuple[Known, str]] = []
                if isinstance(step, (Reserve, Settle)):
                    wanted = step.version if isinstance(step, Reserve) else 0
                    terms = self._at_least(step.application, wanted)
                    if isinstance(step, Reserve) and wanted != terms.version:
                        asked.answers[place] = Stale(terms.version)
                        continue
                    asked.versions[step.application] = terms.version
                    charged = wire.found(terms, step.accounts)
                    for known, _ in charged:
                        if known.number not in asked.limits:
                            asked.limits[known.number] = self._told[known.number]
                asked.places.append(place)
                asked.charged.append(charged)
                asked.events.append("" if isinstance(step, Renew) else wire.event_text(step.event_id))
                asked.steps.append(wire.written(step, charged, asked.window))
        return asked

    def _read(self, one: Any, charged: Sequence[tuple[Known, str]]) -> Answer:
        if not one:
            return None
        if one[0] != "admitted":
            self._learn_ids(wire.states_of(one[2 if one[0] == "settled" else 1]).keys())
        return wire.read_answer(one, charged, self._limit_ids)

    def _learn_ids(self, numbers: Set[int]) -> None:
        """Of limits that are gone, or of another application: a number is never another's."""
        if not self._limit_ids.keys() >= numbers:
            new = [number for number in numbers if number not in self._limit_ids]
            self._limit_ids.update(zip(new, self._asked(_CALLED, new)[1], strict=True))

    def _at_least(self, application: str, version: int) -> Terms:
        """The limits of an application as this process knows them, if they are of that version or later; else as they are."""
        terms = self._terms.get(application)
        return self._fetched(application) if terms is None or terms.version < version else terms

    def _fetched(self, application: str) -> Terms:
        version, found = self._asked(_LIMITS, 0, 0, application=application)[1]
        limits, unreadable = [], {}
        for number, text, gone, limit_id, turns in found or ():
            if gone:
                continue
            read = read_definition(limit_id, text)
            if isinstance(read, Unreadable):
                unreadable[number] = read
                note_unreadable(application, read)
            else:
                limits.append(Known(number, read, wire.turns_of(turns)))
        terms = Terms(version, limits, unreadable)
        with self._lock:
            self._terms[application] = terms
            self._last[application] = {known.limit_id: known.definition for known in terms.by_id.values()}
            self._limit_ids.update((known.number, known.limit_id) for known in terms.by_id.values())
            self._told.update((known.number, within(told_of(known))) for known in terms.by_id.values())
        return terms

    def _forget(self, applications: Iterable[str]) -> None:
        with self._lock:
            for application in applications:
                self._terms.pop(application, None)

    def _every(self, application: str = "") -> Iterator[tuple[Known, int | None]]:
        """All limits there are and were, of an application or of all, with when they were deleted."""
        first = 0 if application else 1
        while True:
            found = self._asked(_LIMITS, first, _MANY, application=application)[1][1]
            for number, text, gone, limit_id, turns in found or ():
                read = read_definition(limit_id, text)
                if not isinstance(read, Unreadable):
                    yield Known(number, read, wire.turns_of(turns)), gone * 1_000 or None
            if application or not found:
                return
            first += _MANY

    def _defined(
        self, version: int, buried: int, number: int, definition: Definition, *, is_reset: bool | None = None
    ) -> Known | None:
        """Keep a limit, unless others were changed since; whether all its accounts go through a turn, and what that is."""
        known = Known(number, definition)
        turn: Any = False
        if is_reset is not None:
            starts, ends = known.window_at(self._guessed_ns())
            turn = (starts // 10**9, ends // 10**9, is_reset)
        asked = (version, buried, number, fields_of(known), alerts_of(known), turn)
        self._forget([definition.application])
        kind, told = self._asked(_DEFINE, *asked, application=definition.application)
        return Known(told[0], definition, wire.turns_of(told[1])) if kind == "done" else None

    def _put(self, version: int, buried: int, number: int, definition: Definition, *, is_turn: bool = False) -> bool:
        """Keep a limit that is there from then on, and is put back if the data is lost; false if others were changed since."""
        done = self._defined(version, buried, number, definition, is_reset=False if is_turn else None) is not None
        if done:
            with self._lock:
                self._last.setdefault(definition.application, {})[definition.limit_id] = definition
        return done

    def _removed(self, application: str, version: int, number: int) -> bool:
        done: bool = self._asked(_DEFINE, version, number, -1, [], [], False, application=application)[0] == "done"
        self._forget([application])
        if done:
            self._let_go_of(application, self._limit_ids.get(number, ""))
        return done

    def _let_go_of(self, application: str, limit_id: str) -> None:
        """It is deleted, and not put back."""
        with self._lock:
            self._last.get(application, {}).pop(limit_id, None)

    def _closed_at(self, known: Known, turn: Turn) -> list[Past]:
        """What accounts had come to at a reset of all: some have gone through it meanwhile, and some have not."""
        found: dict[tuple[str, int | None], Past] = {}
        past = [past for row in self._rows(known.number) for past in known.seen(row)[1]]
        for one in (*past, *self._resets(known.number)):
            if one.closed_ns == turn.at_ns:
                found[one.totals.key, one.totals.starts_ns] = one
        return merged(found.values())

    def _resets(self, number: int) -> list[Past]:
        """What accounts of a limit had come to when they were reset; by row, where several had been."""
        past: list[Past] = []
        while True:
            page = self._asked(_RESETS, number, len(past), _MANY)[1]
            past += map(wire.past_of, page or ())
            if len(page or ()) < _MANY:
                return past

    def _dropped_resets(self, number: int, *, key: str | None = None, before_us: int = 0) -> int:
        """Delete those of an account, or those that were closed by then; how many."""
        count, left, looked = 0, 1, 0
        while looked < left:
            dropped, left = self._asked(_DROP_RESETS, number, _MANY, False if key is None else key, before_us)[1]
            count, looked = count + dropped, looked + _MANY - dropped
        return count

    def _running(self, known: Known, key: str | None) -> dict[str, list[Row]]:
        """By key the rows that count now; none for an account that has none yet, if it is asked for by name."""
        running: dict[str, list[Row]] = {}
        if key is not None or not known.definition.limit.per:
            running[key or ""] = []
        since = (self._guessed_ns() - known.rolling) // 10**9 - 1 if known.rolling else -1
        for kept in self._rows(known.number, None if key is None else [key], since):
            row, _ = known.seen(kept)
            if known.is_live(row, self._seen * 1_000):
                running.setdefault(row.key, []).append(row)
        return running

    def _rows(self, number: int, keys: list[str] | None = None, since: int = -1) -> list[Row]:
        """Of a limit, or of some accounts of it, as they are kept; without those that ended by `since`, seconds."""
        rows: dict[tuple[int, str, int], Row] = {}
        cursor = "0"
        while True:
            found, cursor = self._asked(_READ, number, keys or [], cursor, _PAGE, since)[1]
            rows.update((row.place, row) for row in (wire.row_of(number, told) for told in found))
            if cursor == "0":
                return list(rows.values())

    def _dropped(self, rows: Iterable[Row]) -> int:
        return sum(self._asked(_DROP, page)[1][0] for page in _pages(_places(rows), _MANY))

    def _steady(self, script: Script, known: Known, *rest: Any) -> Any:
        """What a script answers that is told the window which holds."""
        for _ in range(_TRIES):
            with self._lock:
                starts, ends = known.window_at(self._guessed_ns())
            kind, told = self._asked(script, *rest, starts // 10**9, ends // 10**9)
            if kind == "done":
                return told
        raise self._unsteady()

    def _unsteady(self) -> LedgerError:
        return LedgerError(
            f"ledger {self._client.address.shown}: limits changed faster than they could be read; try again"
        )

    def _guessed_ns(self) -> int:
        """The ledger's clock as it must stand about now."""
        now = time.time_ns() + self._ahead_ns if self._clock is None else self._clock()
        return max(now, self._seen * 1_000)

    def _opened(self) -> str:
        """Ask for the ledger's id, which is made if there is none; it is told which were lost before."""
        (self._id,) = self._client.ask(_OPEN, [f"valkey:{uuid.uuid4().hex[:16]}", *sorted(self._earlier)])
        assert self._id is not None
        return self._id

    def _asked(self, script: Script, *rest: Any, application: str = "", events: Sequence[str] = ()) -> tuple[str, Any]:
        """Run a script: whether it was done, and its answer.

        Raises:
            LedgerError: It is out of reach, or its data is another's.
        """
        if self._owed:
            self._put_back()
        now = 0 if self._clock is None else self._clock() // 1_000
        known, seen = self._id or self._opened(), self._seen
        about = [known, seen, now, application, self._lease_us, self._kept_us, events]
        told = self._client.ask(script, [*about, *rest])
        if told[0] == "lost":
            raise self._lost(known)
        kind, self._seen, before = told[0], told[1], told[2]
        if self._clock is None:
            self._ahead_ns = self._seen * 1_000 - time.time_ns()
        if before:
            health.note(
                "ledger_went_back",
                "ledger %s lost what was written in its last %.1f seconds; `payi limits audit` counts it again",
                self._client.address.shown,
                (seen - before) / 10**6,
            )
        return kind, told[3:] if kind == "alone" else told[3]

    def _lost(self, was: str) -> LedgerError:
        """The data is gone, or another's: the limits that this process knows are put into it; what was spent is for an audit."""
        with self._lock:
            if self._id == was:  # else another thread has noticed it, too
                self._let_go_of_all(was)
        self._put_back()
        return LedgerError(
            f"ledger {self._client.address.shown} lost its data ({was} is now {self.id}); nothing was counted. "
            "`payi limits audit` counts again what the store has; let the server persist (appendonly yes)"
        )

    def _let_go_of_all(self, was: str) -> None:
        self._earlier.add(was)
        self._id, self._seen = None, 0
        for application, last in self._last.items():
            self._owed.setdefault(application, {}).update(last)
        self._last.clear()
        self._terms.clear()
        self._limit_ids.clear()
        self._told.clear()
        health.note(
            "ledger_lost",
            "ledger %s is without its data, %s is gone: nothing is counted as spent until `payi limits audit` did it",
            self._client.address.shown,
            was,
        )

    def _put_back(self) -> None:
        """Before anything else is asked; others wait for it, as without its limits an application's calls all go through.

        Raises:
            LedgerError: Not all could be put back. Whoever asks next goes on with what is left.
        """
        with self._lock:
            if self._is_putting_back:  # what it asks itself
                return
            self._is_putting_back = True
            try:
                for application in list(self._owed):
                    self._put_back_of(application)
                    del self._owed[application]
            finally:
                self._is_putting_back = False

    def _put_back_of(self, application: str) -> None:
        owed = self._owed[application]
        for limit_id, definition in list(owed.items()):
            for _ in range(_TRIES):
                terms = self._fetched(application)
                is_there = limit_id in terms.by_id or any(
                    known.name == definition.limit.name for known in terms.by_id.values()
                )
                if is_there or self._put(terms.version, 0, 0, definition):
                    break
            else:
                raise self._unsteady()
            del owed[limit_id]


class _Asked(NamedTuple):
    """Steps as they are sent."""

    answers: list[Answer]
    """Of those that are stale, which are not sent; the others' is None until it is known."""
    places: list[int]
    charged: list[list[tuple[Known, str]]]
    events: list[str]
    """Of steps that are about one; else empty."""
    steps: list[list[Any]]
    versions: dict[str, int]
    limits: dict[int, msgspec.Raw]
    window: wire.Window


def _places(rows: Iterable[Row]) -> list[tuple[int, str, int]]:
    return [(row.number, row.key, row.starts_ns // 10**9) for row in rows]


def _pages(values: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    for first in range(0, len(values), most):
        yield values[first : first + most]
